#!/bin/bash
# The command line's table, its manual page and its completion say the same.
set -u
. "$KH_SRCDIR/tests/lib.sh"
cli=$KH_PREFIX/bin/kernelhost
page=$(groff -man -Tascii -P-cbou -rLL=200n "$KH_SRCDIR/doc/kernelhost.1")
json=$("$cli" help --json)

# field FILTER: what a Python expression over the table `c` prints, a line each.
field() {
    python3 -c 'import json, sys
for c in json.load(sys.stdin): print("\n".join('"$1"'))' <<<"$json" | grep .
}

# completions WORD...: what <Tab> offers behind these words.
completions() {
    (
        # shellcheck source=/dev/null
        . "$KH_SRCDIR/doc/kernelhost.bash"
        # shellcheck disable=SC2317 # the completion calls it
        kernelhost() { echo some-box; }
        COMP_WORDS=(kernelhost "$@") COMP_CWORD=$#
        _kernelhost
        printf '%s\n' "${COMPREPLY[@]}"
    )
}

mapfile -t commands < <(field '[c["name"]]')
ok 'there are commands' test ${#commands[@]} -gt 15
for command in "${commands[@]}"; do
    read -ra words <<<"$command"
    ok "the page explains '$command'" grep -qE "^ {7}([a-z]+ NAME\.\.\., )?$command( |$)" \
        <<<"$page"
    ok "<Tab> offers '$command'" grep -qxF -- "${words[-1]}" \
        <<<"$(completions "${words[@]:0:${#words[@]}-1}" '')"
    ok "'$command --help' explains it" grep -q "^usage: kernelhost $command" \
        <<<"$("$cli" "${words[@]}" --help)"
    while read -r option; do
        ok "the page knows '$command --$option'" grep -qF -- "--$option" <<<"$page"
        ok "<Tab> offers '$command --$option'" grep -qxF -- "--$option" \
            <<<"$(completions "${words[@]}" -)"
    done < <(KH_COMMAND=$command field \
        '[o["name"] for o in c["options"] if c["name"] == __import__("os").environ["KH_COMMAND"]]')
done
is "$(completions show '')" some-box '<Tab> offers the names of sandboxes'
is "$(completions exec some-box -- l)" '' '<Tab> offers nothing for a command inside'
done_testing
