# store: how an image gets into a host's state directory. Sourced by build and
# peer-layer; runs as root, never beside foreign archives.
#
#   STATE/layers/LAYERID/       a root of files with canonical ids (0..65535)
#   STATE/images/id/IMAGEID     "kernelhost-image 1", then "layer LAYERID", top first
#   STATE/images/names/NAME     IMAGEID
#
# LAYERID and IMAGEID are 32 lower-case hex characters, from what went into them.
# Everything is made under a name that begins with a dot and then renamed, so that
# whoever reads the directories sees whole layers and whole images only.
# shellcheck shell=bash

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

hash_id() {
    sha256sum | cut -c1-32
}

# store_open STATE: makes the directories, takes the lock of the image store (the
# directory itself, so no lock file lies about) and sweeps what an interrupted
# build left.
store_open() {
    store_state=$1
    [ "$(id -u)" = 0 ] || die "cannot build an image: not root (hint: sudo)"
    umask 022
    mkdir -p "$store_state/images/id" "$store_state/images/names"
    [ -d "$store_state/layers" ] || mkdir -m 0700 "$store_state/layers"
    exec 9<"$store_state/layers"
    flock -n 9 || {
        echo "waiting for another image build in '$store_state'"
        flock 9
    }
    rm -rf --one-file-system "$store_state"/layers/.build-*
    rm -f "$store_state"/images/id/.new-* "$store_state"/images/names/.new-*
}

# store_temp: prints a new directory to build a layer in.
store_temp() {
    local dir
    dir=$(mktemp -d "$store_state/layers/.build-XXXXXXXX")
    chmod 0755 "$dir"
    printf '%s\n' "$dir"
}

# store_file PATH: writes standard input to PATH, whole or not at all.
store_file() {
    local new
    new=$(mktemp "$(dirname "$1")/.new-XXXXXXXX")
    cat >"$new"
    chmod 0644 "$new"
    sync "$new"
    mv -T "$new" "$1"
    sync "$(dirname "$1")"
}

# store_layer DIR LAYERID: DIR becomes the layer, or goes if it is there already.
store_layer() {
    if [ -d "$store_state/layers/$2" ]; then
        rm -rf --one-file-system "$1"
    else
        sync -f "$1"
        mv -T "$1" "$store_state/layers/$2"
        sync "$store_state/layers"
    fi
}

# store_image NAME LAYERID...: registers the image of these layers, top first.
store_image() {
    local name=$1 text id
    shift
    text=$(printf 'kernelhost-image 1\n' && printf 'layer %s\n' "$@")
    id=$(printf '%s\n' "$text" | hash_id)
    printf '%s\n' "$text" | store_file "$store_state/images/id/$id"
    printf '%s\n' "$id" | store_file "$store_state/images/names/$name"
    printf "image '%s' is %s (layers: %s)\n" "$name" "$id" "$*"
}

# store_layers NAME: prints the layers of a registered image, top first.
store_layers() {
    local id
    id=$(cat "$store_state/images/names/$1") ||
        die "there is no image '$1' in '$store_state'"
    sed -n 's/^layer //p' "$store_state/images/id/$id"
}
