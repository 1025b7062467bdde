# Completion of kernelhost(1) for bash.
# shellcheck shell=bash

# _kernelhost_names [STATE]: the sandboxes of the host that runs, if any.
_kernelhost_names() {
    kernelhost ${1:+--state "$1"} ls --quiet 2>/dev/null </dev/null
}

# _kernelhost_snapshots [STATE]: the snapshots of the host that runs, if any.
_kernelhost_snapshots() {
    kernelhost ${1:+--state "$1"} snapshot ls --quiet 2>/dev/null </dev/null
}

# _kernelhost_images [STATE]: the images there.
_kernelhost_images() {
    kernelhost ${1:+--state "$1"} image ls 2>/dev/null </dev/null | awk 'NR > 1 { print $1 }'
}

_kernelhost() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands='serve restart upgrade create ls show limits usage rm start stop sleep wake idle run exec
        checkpoint checkpoints rollback connect kernel kernelspec image snapshot fork doctor version help'
    local resources='--memory --cpus --pids --disk'
    local ladder='--freeze-after --hibernate-after --keep-awake'
    local limits="--image $resources" every='--state --json --help'
    local command='' state='' arguments=0 i options words

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --) [ "$command" != exec ] || return 0 ;; # the command inside is not ours
        --state) state=${COMP_WORDS[++i]} ;;
        --image | -i | --memory | -m | --cpus | --pids | --disk | --code | -c | --kernel | -k | \
            --output | -o | --save-dir | --cwd | -C | --env | -e | --name | --prefix | \
            --display-name | --connection-file | -f | --ref | --max-size | --max-entries | \
            --timeout | --from | --packages | --requirements | --to | --expires | --label | --freeze-after | \
            --hibernate-after | --since | -s | --key) ((i++)) ;;
        -*) ;;
        *)
            if [ -z "$command" ]; then
                command=${COMP_WORDS[i]}
            elif [ "$command" = kernelspec ] || [ "$command" = image ] ||
                [ "$command ${COMP_WORDS[i]}" = 'checkpoint rm' ]; then
                command+=" ${COMP_WORDS[i]}"
            elif [ "$command:$arguments" = snapshot:0 ] &&
                [[ ${COMP_WORDS[i]} = @(ls|show|rm|export|import) ]]; then
                command+=" ${COMP_WORDS[i]}"
            else
                ((arguments++))
            fi
            ;;
        esac
    done

    case $previous in
    --state | --prefix | --save-dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --output | -o | --connection-file | -f | --to | --packages | --requirements | --key)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --kernel | -k)
        [ "$command" != run ] || mapfile -t COMPREPLY < <(compgen -W python -- "$current")
        return
        ;;
    --from)
        words=$(_kernelhost_images "$state")
        [ "$command" != create ] || words=$(_kernelhost_snapshots "$state")
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return
        ;;
    --image | -i)
        mapfile -t COMPREPLY < <(compgen -W "$(_kernelhost_images "$state")" -- "$current")
        return
        ;;
    --memory | -m | --cpus | --pids | --disk | --code | -c | --cwd | -C | --env | -e | \
        --name | --display-name | --ref | --max-size | --max-entries | --timeout | --expires | --label | \
        --freeze-after | --hibernate-after | --since | -s) return ;;
    esac

    case $command in
    '') words=$commands options=--version ;;
    serve) options=--foreground ;;
    upgrade) options=--to ;;
    create) options="--from $limits $ladder" ;;
    kernel) options=$limits ;;
    ls) options=--quiet ;;
    sleep) options=--frozen ;;
    fork) options=--files ;;
    idle) options=$ladder ;;
    limits) options=$resources ;;
    usage) options='--since --prometheus' ;;
    run) options="--code --kernel --output --allow-errors --save-dir --create $limits" ;;
    exec) options='--cwd --env --no-stdin' ;;
    connect) options='--tcp --kernel' ;;
    checkpoint) words=rm options='--kernel --files --label' ;;
    'checkpoint rm' | checkpoints | rollback) options=--kernel ;;
    kernelspec) words='install list remove' ;;
    'kernelspec install')
        options="--user --prefix --sys-prefix --name --display-name $limits" ;;
    'kernelspec remove') options='--user --prefix --sys-prefix' ;;
    image) words='ls import build rm' ;;
    'image import') options='--ref --max-size --max-entries --timeout' ;;
    'image build') options='--from --packages --requirements' ;;
    snapshot) options='--memory --expires' ;;
    'snapshot ls') options=--quiet ;;
    'snapshot export') options=--key ;;
    'snapshot import') options='--key --image --max-size --expires' ;;
    help) words=$commands ;;
    esac
    [ "$command" != kernel ] || options+=' --connection-file'
    case $command:$arguments in
    show:0 | limits:0 | usage:0 | run:0 | exec:0 | connect:0 | idle:0 | rm:* | start:* | stop:* | sleep:* | \
        wake:* | fork:0 | 'snapshot ls:0' | 'checkpoint rm:0' | checkpoints:0 | rollback:0)
        words=$(_kernelhost_names "$state")
        ;;
    snapshot:0) words="ls show rm export import $(_kernelhost_names "$state")" ;;
    'snapshot show:0' | 'snapshot export:0' | 'snapshot rm:'*) words=$(_kernelhost_snapshots "$state") ;;
    checkpoint:0) words+=" $(_kernelhost_names "$state")" ;;
    rollback:1 | 'checkpoint rm:'*) words=$(_kernelhost_snapshots "$state") ;;
    esac
    case $command:$arguments in
    'image import:0' | 'snapshot import:0' | 'snapshot export:1') [[ $current = -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    'image rm:'*) words=$(_kernelhost_images "$state") ;;
    esac
    [ ${#COMPREPLY[@]} = 0 ] || return
    case $current in
    -*) mapfile -t COMPREPLY < <(compgen -W "$options $every" -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    esac
    if [ "$command:$arguments" = run:1 ] && [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}

complete -o filenames -F _kernelhost kernelhost
