"""envelopes: archives of snapshots (doc/PROTOCOL.archive), taken apart, and made by
hand with the key, so that what is in them can be wrong."""

import hashlib
import hmac
import os
import struct

BLOCK = 65536
LAST = 0x80000000
MAGIC = b"kernelhost-snapshot 1\n".ljust(24, b"\0")


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def seal(key, content, magic=MAGIC, block=BLOCK):
    """CONTENT in an envelope under KEY (32 bytes)."""
    head = magic + mac(key, b"kernelhost key id\0")[:8] + os.urandom(32)
    own = mac(key, head)
    out = head
    pieces = [content[i:i + block] for i in range(0, len(content), block)]
    if not pieces or len(pieces[-1]) == block:
        pieces.append(b"")
    for number, piece in enumerate(pieces):
        length = struct.pack(
            "<I", len(piece) | (LAST if number == len(pieces) - 1 else 0))
        out += length + piece + mac(own, struct.pack("<Q", number) + length + piece)
    return out


def blocks(archive):
    """The head, and each block with its length and MAC."""
    found, at = [archive[:64]], 64
    while at < len(archive):
        size = struct.unpack_from("<I", archive, at)[0] & ~LAST
        found.append(archive[at:at + 4 + size + 32])
        at += 4 + size + 32
    return found


def content(archive):
    return b"".join(piece[4:-32] for piece in blocks(archive)[1:])


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<H", len(value)) + value


def info(image_id, name="snap", sandbox="box", image="default"):
    return b"".join(map(text, (name, sandbox, image, image_id))) + struct.pack("<Q", 1)


def attributes(mode=0o755, uid=1000, gid=1000, mtime=1, ns=2):
    return struct.pack("<IIIqI", mode, uid, gid, mtime, ns)


def xattrs(values):
    out = struct.pack("<I", len(values))
    for name, value in values:
        out += text(name) + struct.pack("<I", len(value)) + value
    return out


def directory(name, *entries, mode=0o755, values=(), **more):
    return (b"d" + text(name) + attributes(mode, **more) + xattrs(values) +
            b"".join(entries) + b"e")


def file(name, data=b"", mode=0o644, number=0, size=None, values=(), pieces=None,
         **more):
    out = b"f" + text(name) + attributes(mode, **more)
    out += struct.pack("<QI", len(data) if size is None else size, number)
    out += xattrs(values)
    if pieces is None:
        pieces = [(0, data)] if data else []
    for offset, piece in pieces:
        out += struct.pack("<IQ", len(piece), offset) + piece
    return out + struct.pack("<I", 0)


def link(name, target, **more):
    return b"l" + text(name) + attributes(0o777, **more) + text(target)


def same(name, number):
    return b"h" + text(name) + struct.pack("<I", number)


def node(kind, name, **more):
    return kind + text(name) + (b"" if kind == b"w" else attributes(**more))
