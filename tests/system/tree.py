"""tree: what a directory tree holds, told so that two can be compared.

Executed inside sandboxes as a program (python3 - DIR...), and printed as JSON: every
entry by its path, with all that a snapshot must keep.
"""

import hashlib
import json
import os
import stat
import sys


def content(path, status):
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return None
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except PermissionError:
        return "not for us"
    return digest.hexdigest()


def attributes(path):
    return {
        name: os.getxattr(path, name, follow_symlinks=False).hex()
        for name in os.listxattr(path, follow_symlinks=False)
    }


def entries(top):
    found, inodes = {}, {}
    paths = [top]
    for place, dirs, files in os.walk(top):
        paths += [os.path.join(place, name) for name in dirs + files]
    for path in sorted(paths, key=os.fsencode):
        status = os.lstat(path)
        key = os.fsencode(path).hex() if "\\udc" in ascii(path) else path
        regular = stat.S_ISREG(status.st_mode)
        found[key] = {
            "mode": oct(status.st_mode),
            "owner": [status.st_uid, status.st_gid],
            "mtime": status.st_mtime_ns,
            "size": status.st_size if not stat.S_ISDIR(status.st_mode) else None,
            "blocks": status.st_blocks if regular else None,
            # Which names are one file, by the first of them.
            "same": inodes.setdefault(status.st_ino, key) if regular else None,
            "content": content(path, status),
            "xattrs": attributes(path),
        }
    return found


if __name__ == "__main__":
    json.dump({top: entries(top) for top in sys.argv[1:]}, sys.stdout)
