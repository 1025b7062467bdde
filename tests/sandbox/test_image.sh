#!/bin/bash
# The image store and the default image.
set -u
. "$KH_SRCDIR/tests/lib.sh"
store=$KH_TMP/state

# in_store CODE: with the store's functions, as build and the peer layer use them.
in_store() {
    bash -euc '. "$0/sandbox/image/store.sh"; store_open "$1"; eval "$2"' \
        "$KH_SRCDIR" "$store" "$1"
}

# A store from nothing.
ok 'a state directory is made' in_store true
is "$(stat -c %a "$store/layers")" 700 'only root sees the layers'
# shellcheck disable=SC2016 # expanded in there
make='root=$(store_temp); mkdir "$root/usr"; echo TEXT >"$root/usr/file"'
a=0123456789abcdef0123456789abcdef b=fedcba9876543210fedcba9876543210
ok 'a layer is registered' in_store "${make/TEXT/1}; store_layer \"\$root\" $a"
ok 'the same again changes nothing' in_store "${make/TEXT/2}; store_layer \"\$root\" $a"
is "$(cat "$store/layers/$a/usr/file")" 1 'the first one stays'
is "$(stat -c %a "$store/layers/$a")" 755 'a layer is a root directory'
ok 'an image is registered' in_store "store_image two $b $a"
is "$(cat "$store/images/id/$(cat "$store/images/names/two")")" \
    "kernelhost-image 1
layer $b
layer $a" 'it lists its layers, top first'
ok 'its id is 32 hex digits' grep -qxE '[0-9a-f]{32}' "$store/images/names/two"
is "$(in_store 'store_layers two')" "$b
$a" 'its layers are found by name'
fails 'a name that is not there is named' "no image 'three'" in_store 'store_layers three'

# What an interrupted build leaves.
# shellcheck disable=SC2016
in_store 'root=$(store_temp); touch "$root/half"; kill -KILL $$' 2>/dev/null
ok 'an interrupted build leaves a directory' test -n \
    "$(find "$store/layers" -name '.build-*')"
touch "$store/images/names/.new-1" "$store/images/id/.new-2"
ok 'the next build' in_store true
is "$(find "$store" -name '.*')" '' 'sweeps it'
(flock 9 && sleep 1) 9<"$store/layers" &
sleep 0.2
ok 'two builds at once wait for each other' grep -q waiting <(in_store true)

# The default image.
layer=$(sed -n 's/^layer //p' "$KH_IMAGES/images/id/$(cat "$KH_IMAGES/images/names/default")")
is "$(wc -w <<<"$layer")" 1 'the default image has one layer'
root=$KH_IMAGES/layers/$layer
ok 'it is Debian 13' grep -q 'VERSION_ID="13"' "$root/etc/os-release"
is "$(stat -c '%a %u' "$root")" '755 0' 'its root is as a root must be'
is "$(find "$root" -xdev -type f -perm /6000)" '' 'nothing is setuid or setgid'
is "$(find "$root" -xdev \( -uid +65533 -o -gid +65533 -o -type b -o -type c \))" '' \
    'no id over 65533, no device'
is "$(for name in dev proc sys run tmp; do
    [ ! -L "$root/$name" ] && [ -d "$root/$name" ] && ls -A "$root/$name"
done)" '' 'mount points are real, empty directories'
is "$(for name in hostname hosts resolv.conf machine-id passwd group; do
    stat -c %F "$root/etc/$name"
done | sort -u)" 'regular empty file
regular file' 'files of the running system are plain'
is "$(stat -c '%u:%g %a' "$root/workspace" "$root/home/user")" '1000:1000 755
1000:1000 755' 'uid 1000 owns /workspace and its home'
is "$(chroot --userspec=1000:1000 "$root" env -i HOME=/home/user PATH=/usr/bin \
    python3 -Bc 'import os, pwd, site
print(pwd.getpwuid(os.getuid()).pw_name, site.getusersitepackages() in __import__("sys").path)')" \
    'user True' 'the user has a site that Python knows'
is "$(find "$root" -name EXTERNALLY-MANAGED)" '' 'pip may install into it'
ok 'the font cache is there' ls "$root"/home/user/.cache/matplotlib/fontlist-*.json
is "$(find "$root/var/lib/apt/lists" "$root/usr/share/man" -type f)" '' \
    'no package lists, no manual pages'
done_testing
