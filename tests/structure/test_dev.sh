#!/bin/bash
# ./dev: what it says without doing anything.
set -u
. "$KH_SRCDIR/tests/lib.sh"
dev=$KH_SRCDIR/dev

# shellcheck disable=SC2317 # called by ok and fails
as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups \
        env HOME=/nonexistent KH_DEV_STATE=/nonexistent/state "$@"
}

is "$("$dev")" "$("$dev" help)" 'without a command it explains itself'
for command in run test bench serve stop build image doctor clean help; do
    ok "help names '$command'" grep -qE "^  $command " <("$dev" help)
done
fails 'an unknown command is refused' "there is no command 'nosuch'" "$dev" nosuch
fails 'an argument too many is refused' 'takes no arguments' "$dev" build now
fails 'an unknown suite is refused, and named' "no suite 'nosuch'" "$dev" test nosuch
fails 'an unknown program is refused' 'no test program' "$dev" test unit/nosuch
# From a copy: the tree may be where nobody else can look.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$KH_SRCDIR/dev" "$KH_SRCDIR/tests" "$copy"
chmod -R a+rX "$copy"
ok 'another user can read the copy' as_nobody "$copy/dev" help
fails 'only root builds and runs' 'needs root.*hint: sudo' as_nobody "$copy/dev" run
done_testing
