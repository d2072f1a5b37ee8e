#!/usr/bin/env bash
# Any bytes survive as text: escaped, as hex, and raw where lines can hold them.
. "$(dirname "$0")/lib.sh"

# Every byte, in keys and values, alone and between others.
for i in $(seq 0 255); do
    printf '%02x\t%02x00\n61%02x62\t\n' "$i" "$i" "$i"
done | sort >hex
exits 0 "$firn" load db hex --hex
"$firn" scan db --hex >found
same_files "hex" hex found

"$firn" scan db >escaped
same "escaped: a line for each key" 512 "$(wc -l <escaped)"
LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177]')" escaped && fail "escaped text has controls"
exits 0 "$firn" load copy escaped --escaped
"$firn" scan copy --hex >found
same_files "escaped and back" hex found

"$firn" scan db --keys-only --null --raw >raw
same "raw with NUL ends: bytes" $((256 * 4 + 512)) "$(wc -c <raw)"

exits 0 "$firn" load text - <<<$'caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8f\x94\tback\\slash'
same "UTF-8 stays readable" $'caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8f\x94\tback\\\\slash' \
    "$("$firn" scan text)"
same "raw" $'caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8f\x94\tback\\slash' "$("$firn" scan text --raw)"
printf 'c0af\ne08080\neda080\nf4908080\nff\nc285\n' | "$firn" load bad --hex
same "what is no UTF-8 is escaped, and so are controls" \
    '\xc0\xaf \xc2\x85 \xe0\x80\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xff' \
    "$(echo -E $("$firn" scan bad --keys-only))"

exits 0 "$firn" put db --hex 00ff0a 0a0d
same "get --hex" 0a0d "$("$firn" get db --hex 00ff0A)"
same "get --escaped" '\n\r' "$("$firn" get db --escaped '\x00\xff\n')"
"$firn" get db --raw $'a!b' >out && same "a value of no bytes, raw" 0 "$(wc -c <out)"
printf '6d\t0a005c0d\n' | "$firn" load db --hex
printf '\n\0\\\r\n' >expected
"$firn" get db m >found
same_files "get prints the bytes as they are and a newline" expected found
exits 0 "$firn" delete db --hex 00ff0a
exits 1 "$firn" get db --hex 00ff0a

same "bounds in the form that is asked for" "61ff62 62" \
    "$(echo $("$firn" scan db --hex --from 61ff --to 63 --keys-only))"
same "a prefix of 0xff has no end" "ff" "$("$firn" scan db --hex --prefix ff --keys-only)"
same "a prefix that ends in 0xff" "61ff62" "$("$firn" scan db --hex --prefix 61ff --keys-only)"
same "an empty prefix is all keys" 512 "$("$firn" count db --prefix '')"

printf 'k\t00ff\n' | "$firn" load values --values-hex
same "values as hex, keys as text" $'k\t00ff' "$("$firn" scan values --values-hex)"

printf 'two\nlines\tx\ty\0second\tz\0' | "$firn" load nul --null
same "lines that end with NUL" $'second\tz\ntwo\\nlines\tx\\ty' "$("$firn" scan nul)"

complains 2 "odd" "$firn" get db --hex 123
complains 2 "no hex digit" "$firn" put db --hex zz 00
complains 2 "escape" "$firn" put db --escaped 'a\q' b
complains 2 "escape" "$firn" put db --escaped 'a\' b
complains 2 "escape" "$firn" put db --escaped 'a\x4' b
complains 2 "odd" "$firn" scan db --hex --from 1
finish
