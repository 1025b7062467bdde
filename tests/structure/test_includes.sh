#!/bin/bash
# Who may include whom: one folder is one trust level and one list of libraries.
set -u
. "$KH_SRCDIR/tests/lib.sh"
cd "$KH_SRCDIR" || exit

# folder | our headers it may include | headers of libraries it may include
rules='
base               | base/
protocol/link      | base/ protocol/link/
protocol/jupyter   | base/ protocol/link/frame.h protocol/jupyter/ | jansson.h openssl/
sandbox/host       | base/ protocol/link/ sandbox/host/ | seccomp.h sys/capability.h
sandbox/image      | base/ protocol/link/ sandbox/host/ sandbox/image/ | archive.h archive_entry.h jansson.h openssl/ seccomp.h
sandbox/archive    | base/ protocol/link/ sandbox/host/ sandbox/image/command.h sandbox/image/drop.h sandbox/image/progress.h sandbox/archive/ | openssl/ seccomp.h
sandbox/init       | base/ protocol/link/ sandbox/init/
sandbox/runner     | sandbox/runner/
kernelhost/gateway | base/ protocol/ kernelhost/gateway/ kernelhost/http/ | czmq.h zmq.h uv.h jansson.h openssl/ seccomp.h sqlite3.h
kernelhost/http    | base/ protocol/ kernelhost/gateway/ kernelhost/http/ | microhttpd.h uv.h jansson.h
kernelhost/cli     | base/ protocol/ kernelhost/cli/ | curl/ jansson.h
'
libraries='czmq.h zmq.h uv.h jansson.h openssl/ microhttpd.h curl/ seccomp.h sys/capability.h
sqlite3.h wslay/ archive.h archive_entry.h'

# starts_with TEXT PREFIX...
starts_with() {
    local text=$1 prefix
    shift
    for prefix in "$@"; do
        case $text in "$prefix"*) return 0 ;; esac
    done
    return 1
}

# offences FOLDER "OURS" "LIBRARIES": prints each include that the rule forbids.
offences() {
    local file line header
    grep -rHE '^[[:space:]]*#[[:space:]]*include' "$1" --include='*.[ch]' |
        while IFS=: read -r file line; do
            case $line in
            *\"*\"*)
                header=${line#*\"} header=${header%%\"*}
                [ -f "$header" ] || echo "$file: \"$header\" does not name its layer"
                # shellcheck disable=SC2086 # lists of words
                starts_with "$header" $2 || echo "$file: \"$header\""
                ;;
            *\<*\>*)
                header=${line#*<} header=${header%%>*}
                # shellcheck disable=SC2086
                ! starts_with "$header" $libraries || starts_with "$header" $3 ||
                    echo "$file: <$header>"
                ;;
            *) echo "$file: $line" ;;
            esac
        done
}

while IFS='|' read -r folder ours theirs; do
    folder=${folder// /}
    if [ -z "$folder" ] || [ ! -d "$folder" ]; then
        continue
    fi
    is "$(offences "$folder" "$ours" "$theirs")" '' "$folder includes what it may"
done <<<"$rules"

# A folder that no rule names would escape the test.
mapfile -t folders < <(awk -F'|' 'NF > 1 { gsub(/ /, "", $1); print $1 "/" }' <<<"$rules")
is "$(find base protocol sandbox kernelhost -name '*.[ch]' -printf '%h/\n' | sort -u |
    while read -r folder; do
        starts_with "$folder" "${folders[@]}" || echo "$folder"
    done)" '' 'every folder with C has its rule'
done_testing
