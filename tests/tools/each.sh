# each FUNCTION ITEM...: runs the function for every item, as many at a time as
# there are processors. What one call prints stays together. Sourced by tools.
# shellcheck shell=bash
each() {
    local function=$1
    shift
    [ $# != 0 ] || return 0
    export -f "${function?}"
    # shellcheck disable=SC2016 # expanded by the shells inside
    printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" \
        bash -c 'text=$("$0" "$1"); printf "%s\n" "$text"' "$function"
}
