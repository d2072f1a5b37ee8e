# bench/plot.gp: one table of report.awk as clustered bars. Variables: data, svg, title_text.
# The first row names the engines, the first column what the bars are about; "?" is missing.
set terminal svg size 1000, 460 font "sans-serif,12" background "white"
set output svg
set title title_text noenhanced
set datafile missing "?"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set boxwidth 0.9
set grid ytics
set key outside right noenhanced
set xtics rotate by 60 right noenhanced
set bmargin 10
if (title_text[1:5] eq "bytes") {
    set yrange [0:*]
} else {
    set logscale y
    set arrow from graph 0, first 1 to graph 1, first 1 nohead lw 2
}
columns = int(system("awk '!/^#/ { print NF; exit }' '".data."'"))
plot for [i = 2:columns] data using i:xtic(1) title columnheader(i)
