#!/bin/bash
# What is installed: what the privileged process links, and how all is hardened.
set -u
. "$KH_SRCDIR/tests/lib.sh"
libexec=$KH_PREFIX/libexec/kernelhost

needed() {
    readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\.so.*/\1/p' | sort | paste -sd' '
}

ok 'kernelhostd is installed' test -x "$libexec/kernelhostd"
is "$(needed "$libexec/kernelhostd" | tr ' ' '\n' |
    grep -vxE 'libc|libcap|libseccomp')" '' \
    'kernelhostd links libc, libcap and libseccomp only'
is "$(needed "$libexec/kernelhost-image" | tr ' ' '\n' | grep -vxE 'libc|libcrypto')" '' \
    'kernelhost-image, which owns the image store, links libc and libcrypto only'
mapfile -t inits < <(find "$KH_PREFIX/lib/kernelhost/kit" -type f -name init)
is "${#inits[@]}" 1 'one kernelhost-init is installed in the kit'
is "$(readelf -lW "${inits[0]-}" 2>&1 | grep INTERP)" '' 'it has no dynamic loader'
is "$(needed "${inits[0]-}" 2>&1)" '' 'it links nothing'

mapfile -t binaries < <(find "$KH_PREFIX" -type f -exec sh -c \
    'test "$(head -c 4 "$1" | tr -d "\177")" = ELF' _ {} \; -print)
ok "kernelhost, kernelhostd, gateway and init are installed" test ${#binaries[@]} -ge 4
for binary in "${binaries[@]}"; do
    name=${binary#"$KH_PREFIX"/}
    headers=$(readelf -hldW "$binary" 2>&1)
    ok "$name is position independent" grep -qE 'Type:.*DYN' <<<"$headers"
    ok "$name has read-only relocations" grep -q GNU_RELRO <<<"$headers"
    # join.so has nothing to bind, and no libc, whose work the protector is.
    [ "${name##*/}" = join.so ] || ok "$name binds at start" \
        grep -qE 'BIND_NOW|FLAGS_1.*NOW' <<<"$headers"
    ok "$name has no executable stack" \
        grep -qE 'GNU_STACK +([0-9a-fx]+ +){5}RW +' <<<"$headers"
    is "$(grep -E '^ *LOAD.* RWE ' <<<"$headers")" '' "$name maps nothing writable to run"
    [ "${name##*/}" = join.so ] ||
        ok "$name has the stack protector" \
            grep -q __stack_chk_fail <(readelf -sW "$binary")
    is "$(grep -E 'RPATH|RUNPATH' <<<"$headers")" '' "$name has no run path"
done
done_testing
