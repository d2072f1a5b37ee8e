# bench/experiments.gp: what the values of one option cost: six charts. Variables: data, svg, option,
# keys.
set terminal svg size 1300, 700 font "sans-serif,12" background "white"
set output svg
set multiplot layout 2, 3 margins 0.06, 0.98, 0.15, 0.82 spacing 0.07, 0.19
set label 1 "What ".option." costs, everything else being alike" at screen 0.5, 0.965 center \
    font "sans-serif,16" noenhanced
set label 2 sprintf("%.0f keys inserted in random order, then as many updates with lookups between them; ", keys). \
    "all merges that are due are done before more is written" at screen 0.5, 0.925 center
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set boxwidth 0.9
set border 3
set grid ytics
set yrange [0:*]
set ytics nomirror
set xtics noenhanced nomirror scale 0
set xlabel option noenhanced
set key at screen 0.5, 0.04 center horizontal
set title "entries written for each update (low is good)"
plot data using 2:xtic(1) every ::1 title "in a database" linecolor "#0072b2", \
     data using 3 every ::1 title "simulated" linecolor "#e69f00"
unset key
unset label
set title "pages read in vain for an absent key (low is good)"
stats data using 5 every ::1 name "S" nooutput
if (S_max > 30 * S_min && S_min > 0) {
    set title "pages read in vain for an absent key (low is good; logarithmic)"
    set logscale y
    set yrange [S_min / 3:*]
}
plot data using 4:xtic(1) every ::1 notitle linecolor "#0072b2", \
     data using 5 every ::1 notitle linecolor "#e69f00"
unset logscale y
set yrange [0:*]
set title "entries stored for each key, the most (1 is least)"
plot data using 6:xtic(1) every ::1 notitle linecolor "#0072b2", \
     data using 7 every ::1 notitle linecolor "#e69f00"
set title "bytes of files for each key and value of 16 bytes (low is good)"
plot data using 8:xtic(1) every ::1 notitle linecolor "#0072b2"
set title "pages read from files to find a key (low is good)"
stats data using 9 every ::1 name "P" nooutput
set yrange [0:(P_max > 0 ? 1.1 * P_max : 1)]
plot data using 9:xtic(1) every ::1 notitle linecolor "#0072b2"
set yrange [0:*]
set title "µs of the processor for each update (low is good)"
plot data using 10:xtic(1) every ::1 notitle linecolor "#0072b2"
unset multiplot
