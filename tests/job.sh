# job: one command at a time in a process group of its own, so that whoever runs it
# can end all of it. Sourced by ./dev and tests/run.
# shellcheck shell=bash

job= # the process group, while one runs

# job_start COMMAND...: set -m and not a plain '&', which would make the command
# ignore SIGINT, and everything that it starts, down to the kernels.
job_start() {
    set -m
    "$@" </dev/null 8>&- &
    job=$!
    set +m
}

job_runs() {
    [ -n "$job" ] && kill -0 "$job" 2>/dev/null
}

# job_wait: returns the status of the command.
job_wait() {
    local status=0
    wait "$job" || status=$?
    job=
    return $status
}

# job_end: ends what is left of the job; for traps.
job_end() {
    local try
    [ -n "$job" ] || return 0
    kill -TERM -- "-$job" 2>/dev/null || true
    for ((try = 0; try < 20; try++)); do
        kill -0 -- "-$job" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$job" 2>/dev/null || true
    job=
}
