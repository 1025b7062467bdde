# host: a private host for one test in shell; tests/host.py says more.
#
#     . "$KH_SRCDIR/tests/lib.sh"
#     . "$KH_SRCDIR/tests/host.sh"
#     host_new; host_start
#     ok 'a sandbox is made' kernelhost create mybox
#     host_stop
#     done_testing
#
# shellcheck shell=bash

host_pid=

# host_new [NAME]: makes a state directory and exports KERNELHOST_STATE.
host_new() {
    export KERNELHOST_STATE=$KH_TMP/${1:-h}
    if ! { mkdir "$KERNELHOST_STATE" && mkdir -m 0700 "$KERNELHOST_STATE/layers" &&
        cp -r "$KH_IMAGES/images" "$KERNELHOST_STATE/images" &&
        mount --bind "$KH_IMAGES/layers" "$KERNELHOST_STATE/layers" &&
        mount -o remount,bind,ro "$KERNELHOST_STATE/layers"; }; then
        echo "Bail out! no state directory"
        exit 1
    fi
}

# host_start: starts kernelhostd and waits until it answers.
host_start() {
    local try
    env --default-signal=INT,QUIT "$KH_PREFIX/libexec/kernelhost/kernelhostd" --preload none --spares 0 \
        >>"$KERNELHOST_STATE.log" 2>&1 </dev/null &
    host_pid=$!
    for ((try = 0; try < 200; try++)); do
        ! kernelhost ls >/dev/null 2>&1 || return 0
        kill -0 "$host_pid" 2>/dev/null || break
        sleep 0.1
    done
    note <"$KERNELHOST_STATE.log"
    echo "Bail out! the host did not come up"
    exit 1
}

# host_stop: ends it as its operator would; returns its status.
host_stop() {
    kill -TERM "$host_pid"
    wait "$host_pid"
}

# host_log: what it said.
host_log() {
    cat "$KERNELHOST_STATE.log"
}
