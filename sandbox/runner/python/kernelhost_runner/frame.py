"""The bytes of a frame, as protocol/link/frame.h draws them. Pure."""

import struct
from typing import NamedTuple

HEAD = struct.Struct("<IHHIQQI")
_STAMP = struct.Struct("<Q")
_SEQ = 20  # where it stands in a head
FRAME_MAX = 64 * 1024 * 1024
SLICES_MAX = 256
BUFFERS_MAX = SLICES_MAX - 4  # of a message, in either direction

# protocol/link/runner.h
VERSION = 2
VERSIONS = (1, VERSION)  # 1: every frame has its markers
HELLO, REQUEST, SHUTDOWN, FORK, RESEED = 1, 2, 3, 4, 5
RESEED_SECRETS = 1
READY, PUBLISH, STREAM, REPLY, DONE, FORKS = 16, 17, 18, 19, 20, 21
STDOUT, STDERR = 1, 2
REQUEST_CONTROL, REQUEST_EXECUTE, REQUEST_STOP_ON_ERROR = 1, 2, 4
REPLY_ERROR = 1
NONCE_SIZE = 16


class Frame(NamedTuple):
    """A frame that arrived; the slices are bytes of their own."""

    type: int
    flags: int
    id: int
    slices: list


class MessageTooLarge(ValueError):
    """A message does not fit a frame. Raised in the cell that tried to send it."""


def size_of(slices):
    """Bytes that a frame of these slices takes on the wire."""
    return HEAD.size + sum(4 + len(part) for part in slices)


def encode(kind, flags, ident, slices):
    """Returns the list of buffers that make up the frame.

    Raises MessageTooLarge past FRAME_MAX bytes or SLICES_MAX slices.
    """
    if len(slices) > SLICES_MAX:
        raise MessageTooLarge(
            f"a message of {len(slices)} parts is over the limit of {SLICES_MAX} parts"
        )
    total = size_of(slices)
    if total > FRAME_MAX:
        raise MessageTooLarge(
            f"a message of {total} bytes is over the limit of {FRAME_MAX} bytes "
            "(hint: write it to a file, or display less at once)"
        )
    head = HEAD.pack(total - 4, kind, flags, 0, ident, 0, len(slices))
    lengths = struct.pack(f"<{len(slices)}I", *map(len, slices))
    return [head + lengths, *slices]


def stamped(buffers, stamp):
    """The frame with a stamp in place of its markers."""
    head = buffers[0]
    return [head[:_SEQ] + _STAMP.pack(stamp) + head[_SEQ + _STAMP.size :], *buffers[1:]]


class Decoder:
    """Cuts a byte stream into frames.

    Bytes are put into `chunks`, and decode() moves what they complete to `frames`.
    It may be interrupted anywhere and called again: nothing is lost or doubled.
    """

    def __init__(self):
        self.chunks = []
        self.frames = []
        self._needed = HEAD.size

    def decode(self):
        """Raises ValueError when no continuation can be a frame."""
        if sum(map(len, self.chunks)) < self._needed:
            return
        data = b"".join(self.chunks)
        frames, rest, needed = _cut(data)
        # No signal handler runs in the middle of this line.
        self.frames, self.chunks, self._needed = self.frames + frames, rest, needed


def _cut(data):
    """The whole frames at the head of data; the rest, as a list; and how many bytes
    that has to have before there is something to do."""
    frames, start, needed = [], 0, HEAD.size
    while len(data) - start >= HEAD.size:
        size, kind, flags, _kernel, ident, _seq, count = HEAD.unpack_from(data, start)
        total, at = size + 4, HEAD.size + 4 * count
        if total > FRAME_MAX or count > SLICES_MAX or total < at:
            raise ValueError(f"malformed frame: {total} bytes, {count} slices")
        if len(data) - start < total:
            needed = total
            break
        slices, at = [], start + at
        for length in struct.unpack_from(f"<{count}I", data, start + HEAD.size):
            slices.append(data[at : at + length])
            at += length
        if at != start + total:
            raise ValueError("malformed frame: slices do not fill it")
        frames.append(Frame(kind, flags, ident, slices))
        start = at
    return frames, [data[start:]] if start < len(data) else [], needed
