"""archives: container images and root filesystems, made by hand.

    layer = tar([("usr/", DIR), ("usr/a", b"text"), ("b", LINK, "usr/a")])
    layout(path, [layer])           an OCI layout
    docker(path, [layer])           what docker save writes

An entry is (name, kind, what it needs) or (name, bytes); a last dict sets fields of the
tarfile.TarInfo. Nothing is checked: hostile archives are made by the same functions.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import tarfile

DIR, LINK, HARD, FIFO, CHAR, BLOCK = "dir", "link", "hard", "fifo", "char", "block"
TYPES = {DIR: tarfile.DIRTYPE, LINK: tarfile.SYMTYPE, HARD: tarfile.LNKTYPE,
         FIFO: tarfile.FIFOTYPE, CHAR: tarfile.CHRTYPE, BLOCK: tarfile.BLKTYPE}
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "unknown")
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def info(name, kind=b"", *rest):
    """The TarInfo and the bytes of an entry."""
    fields = rest[-1] if rest and isinstance(rest[-1], dict) else {}
    item = tarfile.TarInfo(name)
    item.mtime, item.mode = 1_600_000_000, 0o644
    data = b""
    if isinstance(kind, bytes):
        data, item.size = kind, len(kind)
    else:
        item.type = TYPES[kind]
        if kind == DIR:
            item.mode = 0o755
        if kind in (LINK, HARD):
            item.linkname = rest[0]
        if kind in (CHAR, BLOCK):
            item.devmajor, item.devminor = rest[0], rest[1]
    for key, value in fields.items():
        setattr(item, key, value)
    return item, data


def tar(entries, format=tarfile.GNU_FORMAT):
    """The bytes of a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as file:
        for entry in entries:
            item, data = info(*entry)
            file.addfile(item, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(layers, arch=ARCH):
    return json.dumps({"architecture": arch, "os": "linux",
                       "config": {"Env": ["PATH=/evil"], "User": "0"},
                       "rootfs": {"type": "layers",
                                  "diff_ids": [digest(t) for t in layers]}}).encode()


class Layout:
    """An OCI layout directory that grows blob by blob."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data, media_type, **more):
        """Stores it; returns its descriptor."""
        name = digest(data)
        (self.path / "blobs/sha256" / name[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": name, "size": len(data), **more}

    def image(self, layers, arch=ARCH, pack=gzip.compress, kind="+gzip", **more):
        """Stores an image of these plain tars; returns its descriptor."""
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": self.blob(config(layers, arch), CONFIG),
                    "layers": [self.blob(pack(t), LAYER + kind) for t in layers]}
        return self.blob(json.dumps(manifest).encode(), MANIFEST,
                         platform={"os": "linux", "architecture": arch}, **more)

    def index(self, *descriptors):
        text = json.dumps({"schemaVersion": 2, "manifests": list(descriptors)})
        (self.path / "index.json").write_text(text)
        return self.path


def named(name):
    return {"annotations": {"org.opencontainers.image.ref.name": name}}


def layout(path, layers, **options):
    made = Layout(path)
    return made.index(made.image(layers, **options))


def whole(path):
    """A tar of the files below PATH."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name in sorted(os.listdir(path)):
            file.add(os.path.join(path, name), name)
    return out.getvalue()


def docker(path, layers, tags=("test:latest",), old=False):
    """What docker save writes; OLD: as versions before 25 did, with a link for a
    layer that comes twice."""
    text = config(layers)
    names, entries, seen = [], [], {}
    for number, data in enumerate(layers):
        name = digest(data)[7:]
        if old:
            name = f"{number:064x}/layer.tar"
            entries.append((name[:64] + "/", DIR))
            entries.append((name[:64] + "/VERSION", b"1.0"))
        else:
            name += ".tar"
        if data in seen and old:
            entries.append((name, LINK, "../" + seen[data]))
        elif data not in seen:
            entries.append((name, data))
            seen[data] = name
        names.append(name)
    manifest = [{"Config": digest(text)[7:] + ".json", "RepoTags": list(tags),
                 "Layers": names}]
    entries += [(digest(text)[7:] + ".json", text),
                ("manifest.json", json.dumps(manifest).encode())]
    pathlib.Path(path).write_bytes(tar(entries))
    return path
