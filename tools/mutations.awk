# tools/mutations.awk: small changes of a C source, of which most should be noticed by a test. Prints
# a line for each: first line, last line, kind, and the text that stands there instead, with tabs
# between. It knows no C: it goes by how firn is formatted. tools/mutate plants them.

function emit(from, to, kind, text) {
    printf "%d\t%d\t%s\t%s\n", from, to, kind, text
}

# `old` becomes `new`, once in each mutation, up to where a text begins.
function replace_each(kind, old, new, line,    code, at, next_at) {
    code = line
    sub(/".*/, "", code)
    for (at = index(code, old); at > 0; at = next_at > 0 ? at + next_at : 0) {
        emit(NR, NR, kind, substr(line, 1, at - 1) new substr(line, at + length(old)))
        next_at = index(substr(code, at + 1), old)
    }
}

function operators(line) {
    replace_each("compare", " < ", " <= ", line)
    replace_each("compare", " <= ", " < ", line)
    replace_each("compare", " > ", " >= ", line)
    replace_each("compare", " >= ", " > ", line)
    replace_each("compare", " == ", " != ", line)
    replace_each("compare", " != ", " == ", line)
    replace_each("logic", " && ", " || ", line)
    replace_each("logic", " || ", " && ", line)
    replace_each("one", " + 1", "", line)
    replace_each("one", " - 1", "", line)
    replace_each("one", " + ", " + 1 + ", line)
    replace_each("truth", "true", "false", line)
    replace_each("truth", "false", "true", line)
    if (line ~ /for \(.* < /) {
        replace_each("last", " < ", " + 1 < ", line)
        replace_each("first", " = 0;", " = 1;", line)
    }
}

# The two first arguments of a call, where both are names.
function arguments(line,    behind, parts) {
    if (match(line, /\([a-z_]+, [a-z_]+[,)]/)) {
        split(substr(line, RSTART + 1, RLENGTH - 2), parts, ", ")
        behind = substr(line, RSTART + RLENGTH - 1)
        emit(NR, NR, "swap", substr(line, 1, RSTART) parts[2] ", " parts[1] behind)
    }
}

function conditions(line,    at, before_it, it) {
    if (line ~ /^ +(\} else )?if \(.*\) \{$/) {
        at = index(line, "if (") + 4
        before_it = substr(line, 1, at - 1)
        it = "(" substr(line, at, length(line) - at - 2) ")) {"
        emit(NR, NR, "never", before_it "0 && " it)
        emit(NR, NR, "always", before_it "1 || " it)
    }
    if (line ~ /^ +return .*;$/ && line !~ /return (FIRN_OK|NULL|0|true|false);/) {
        at = index(line, "return ")
        emit(NR, NR, "return", substr(line, 1, at + 6) "0;")
    }
    if (line ~ /^ +(break|continue);$/) {
        emit(NR, NR, "drop", ";")
    }
}

# A call or an assignment that begins in this line.
function is_statement(line) {
    return line ~ /^ +(\(void\))?[a-z_0-9]+\(/ || line ~ /^ +[^ ]+ [-+*|&^]?= / ||
           line ~ /^ +[^ ]+(\+\+|--);$/
}

# What does things may be left out, or done one step later.
function statements(line) {
    if (statement == 0 && ends ~ /[;{}:)]$/ && is_statement(line) &&
        line !~ /^ +(if|for|while|switch|return|sizeof|assert|static_assert|FIRN_YIELD)\W?\(/) {
        statement = NR
    }
    if (statement > 0 && line ~ /;$/) {
        emit(statement, NR, "drop", ";")
        if (before > 0 && statement == NR && (line text_before) ~ /\(.*\)/) {
            sub(/^ +/, "", text_before)
            emit(before, NR, "later", line " " text_before)
        }
        before = statement == NR ? NR : 0
        text_before = line
        statement = 0
    } else if (statement == 0) {
        before = 0
    }
}

/^[^ \t#}\/].*\) (REQUIRES\(.*\) )?\{$/ || (/^ +.*\) (REQUIRES\(.*\) )?\{$/ && header) { body = 1 }
{ header = /^[^ \t#}\/].*\($|^[^ \t#}\/].*\(.*[^;{]$/ || (header && /[^;{]$/) }
/^\}/ { body = 0 }
/^ *\/\*/ { comment = 1 }
body && !comment && /^ / && !/assert\(|^ +case / {
    operators($0)
    arguments($0)
    conditions($0)
    statements($0)
}
!comment && NF { ends = $0; sub(/ *\/\*.*/, "", ends) }
/\*\/ *$/ { comment = 0 }
