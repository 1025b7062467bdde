#!/bin/bash
# How the source looks.
set -u
. "$KH_SRCDIR/tests/lib.sh"
cd "$KH_SRCDIR" || exit
mapfile -t all < <(tree_files | grep -vE '^tests/(data|fuzz/corpus)/|\.ipynb$')
mapfile -t text < <(grep -IlE . -- "${all[@]}")
mapfile -t code < <(printf '%s\n' "${all[@]}" | grep -E '\.([ch]|sh|py|js)$|^dev$')
mapfile -t c < <(printf '%s\n' "${all[@]}" | grep -E '\.[ch]$')

ok 'the C files are found' test ${#c[@]} -gt 10
is "$(wc -l -- "${code[@]}" | awk '$2 != "total" && $1 > 450')" '' \
    'no file is longer than 450 lines'
is "$(for file in "${all[@]}"; do
    [ "$(stat -c %s -- "$file")" -le 100000 ] || echo "$file"
done)" '' 'no file is larger than 100 KB'
is "$(grep -nE '[[:space:]]+$' -- "${text[@]}" | grep -v '^LICENSE:')" '' \
    'no line ends in spaces'
is "$(grep -nP '^\t' -- "${c[@]}")" '' 'C is indented with spaces'
is "$(for file in "${text[@]}"; do
    [ -z "$(tail -c 1 -- "$file")" ] || echo "$file"
done)" '' 'every file ends in a newline'
is "$(for file in "${all[@]}"; do
    if [ -x "$file" ] && ! head -c 2 -- "$file" | grep -q '#!'; then echo "$file"; fi
done)" '' 'what is executable says by whom'
is "$(grep -nE '\b(alloca|strcpy|strcat|sprintf|gets|strtok) *\(' -- "${c[@]}" |
    grep -v '^tests/')" '' 'no call that cannot be bounded'
ok 'clang-format would change nothing' \
    "$KH_VENV/bin/clang-format" --dry-run -Werror "${c[@]}"
done_testing
