#!/bin/bash
# tests/count.awk: a program that did not do all it said must not count as passed.
set -u
. "$KH_SRCDIR/tests/lib.sh"

# counted STATUS MUST: counts standard input.
counted() {
    awk -v status="$1" -v limit=9 -v must="$2" -f "$KH_SRCDIR/tests/count.awk" | head -n 1
}

is "$(printf 'ok 1\nok 2 - x\n1..2\n' | counted 0 0)" '2 0 0' 'two pass'
is "$(printf '1..2\nok 1\nnot ok 2 - x\n' | counted 1 0)" '1 1 0' 'one fails'
is "$(printf '1..2\nok 1\nnot ok 2 - x\n' | counted 0 0)" '1 1 0' \
    'a failure counts whatever the status'
is "$(printf 'ok 1\n1..2\n' | counted 0 0)" '1 1 0' 'a missing check is a failure'
is "$(printf 'ok 1\nok 2\n1..1\n' | counted 0 0)" '2 1 0' 'so is one too many'
is "$(printf 'ok 1\n' | counted 0 0)" '1 1 0' 'a program without a plan failed'
is "$(printf 'ok 1\n1..1\n' | counted 3 0)" '1 1 0' 'a bad status is a failure'
is "$(printf 'ok 1\n1..1\n' | counted 137 0)" '1 1 0' 'so is the end by a signal'
is "$(printf '' | counted 0 0)" '0 1 0' 'a program that says nothing failed'
is "$(printf 'ok 1\nBail out! no\n' | counted 1 0)" '1 2 0' 'giving up is a failure'
is "$(printf 'ok 1 - x # SKIP why\nok 2\n1..2\n' | counted 0 0)" '1 0 1' 'a skip'
is "$(printf 'ok 1 - x # SKIP why\nok 2\n1..2\n' | counted 0 1)" '1 1 0' \
    'a skip where everything must work'
is "$(printf 'ok 1 - x \\# skip\n1..1\n' | counted 0 0)" '1 0 0' 'an escaped mark is none'
is "$(printf '1..0 # SKIP why\n' | counted 0 0)" '0 0 1' 'a whole program skipped'
is "$(printf '' | counted 77 0)" '0 0 1' 'the same by its status'
is "$(printf '' | counted 77 1)" '0 1 0' 'the same where everything must work'
done_testing
