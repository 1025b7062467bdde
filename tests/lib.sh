# lib: TAP for tests in shell.
#
#     . "$KH_SRCDIR/tests/lib.sh"
#     ok 'a sandbox is made' kernelhost create mybox
#     is "$(kernelhost run mybox -c '1+1')" 2 'it computes'
#     done_testing
#
# shellcheck shell=bash

tap_count=0 tap_failed=0

# pass TEXT, fail TEXT: one line of TAP.
pass() {
    tap_count=$((tap_count + 1))
    printf 'ok %d - %s\n' $tap_count "$1"
}

fail() {
    tap_count=$((tap_count + 1)) tap_failed=$((tap_failed + 1))
    printf 'not ok %d - %s\n' $tap_count "$1"
}

# note: standard input as comments.
note() {
    head -c 20000 | awk '{ print "# " $0 }'
}

# ok TEXT COMMAND...: passes if the command succeeds; else shows what it printed.
ok() {
    local text=$1 output status=0
    shift
    output=$("$@" 2>&1) || status=$?
    if [ $status = 0 ]; then
        pass "$text"
    else
        fail "$text"
        printf 'status %d from: %s\n%s\n' $status "$*" "$output" | note
    fi
}

# fails TEXT PATTERN COMMAND...: passes if the command fails and prints a line that
# matches the extended regular expression.
fails() {
    local text=$1 pattern=$2 output status=0
    shift 2
    output=$("$@" 2>&1) || status=$?
    if [ $status != 0 ] && grep -qE -- "$pattern" <<<"$output"; then
        pass "$text"
    else
        fail "$text"
        printf "status %d, wanted failure and '%s' from: %s\n%s\n" $status "$pattern" \
            "$*" "$output" | note
    fi
}

# is GOT WANT TEXT.
is() {
    if [ "$1" = "$2" ]; then
        pass "$3"
    else
        fail "$3"
        printf "got:\n%s\nwant:\n%s\n" "$1" "$2" | note
    fi
}

# skip TEXT WHY: only for what this machine cannot show; KH_MUST_WORK=1 makes it fail.
skip() {
    tap_count=$((tap_count + 1))
    printf 'ok %d - %s # SKIP %s\n' $tap_count "$1" "$2"
}

done_testing() {
    printf '1..%d\n' $tap_count
    [ $tap_failed = 0 ]
    exit
}

# tree_files: every file of the source tree, also where there is no git.
tree_files() {
    (
        cd "$KH_SRCDIR" || exit
        git ls-files --cached --others --exclude-standard 2>/dev/null ||
            find . -name '.?*' -prune -o -type f -printf '%P\n' |
            grep -vE '^(build|autom4te|configure$|aclocal.m4|Makefile.in)'
    ) | while IFS= read -r file; do
        [ ! -f "$KH_SRCDIR/$file" ] || printf '%s\n' "$file"
    done
}
