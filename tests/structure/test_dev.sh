#!/bin/bash
# ./dev: what it says without doing anything.
set -u
. "$KH_SRCDIR/tests/lib.sh"
dev=$KH_SRCDIR/dev

as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups \
        env HOME=/nonexistent KH_DEV_STATE=/nonexistent/state "$@"
}

is "$("$dev")" "$("$dev" help)" 'without a command it explains itself'
for command in run test serve stop build image doctor clean help; do
    ok "help names '$command'" grep -qE "^  $command " <("$dev" help)
done
fails 'an unknown command is refused' "there is no command 'nosuch'" "$dev" nosuch
fails 'an argument too many is refused' 'takes no arguments' "$dev" build now
fails 'an unknown suite is refused, and named' "no suite 'nosuch'" "$dev" test nosuch
fails 'an unknown program is refused' 'no test program' "$dev" test unit/nosuch
# The tree may be where nobody else can look.
cp -r "$KH_SRCDIR/dev" "$KH_SRCDIR/tests" "$KH_TMP"
chmod -R a+rX "$KH_TMP"
if as_nobody test -x "$KH_TMP/dev"; then
    fails 'only root builds and runs' 'needs root.*hint: sudo' as_nobody "$KH_TMP/dev" run
else
    skip 'only root builds and runs' "nobody cannot enter $KH_TMP"
fi
done_testing
