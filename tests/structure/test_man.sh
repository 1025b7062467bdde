#!/bin/bash
# The manual pages.
set -u
. "$KH_SRCDIR/tests/lib.sh"
mapfile -t pages < <(tree_files | grep -E '\.[1-8]$')
ok 'there are manual pages' test ${#pages[@]} -gt 0
for page in "${pages[@]}"; do
    is "$(groff -man -Tutf8 -ww -z "$KH_SRCDIR/$page" 2>&1)" '' \
        "$page renders without a warning"
    ok "$page is installed" test -f \
        "$KH_PREFIX/share/man/man${page##*.}/$(basename "$page")"
done
done_testing
