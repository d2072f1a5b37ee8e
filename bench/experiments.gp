# bench/experiments.gp: what the values of one option cost: four charts. Variables: data, svg, option.
set terminal svg size 1000, 640 font "sans-serif,12" background "white"
set output svg
set multiplot layout 2, 2 title option." in a database, and simulated" noenhanced
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set boxwidth 0.9
set grid ytics
set yrange [0:*]
set xtics noenhanced rotate by 30 right
set key bmargin center horizontal
set title "entries written for each update"
plot data using 3:xtic(1) every ::1 title "measured" linecolor "#0072b2", \
     data using 4 every ::1 title "simulated" linecolor "#e69f00"
set title "false reads of an empty lookup"
plot data using 5:xtic(1) every ::1 title "measured" linecolor "#0072b2", \
     data using 6 every ::1 title "simulated" linecolor "#e69f00"
set title "entries stored for each key, the most"
plot data using 7:xtic(1) every ::1 title "measured" linecolor "#0072b2", \
     data using 8 every ::1 title "simulated" linecolor "#e69f00"
set title "microseconds for each update, with the reads beside it"
plot data using 2:xtic(1) every ::1 title "measured" linecolor "#0072b2"
unset multiplot
