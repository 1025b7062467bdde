"""The bytes of a frame, as protocol/link/frame.h draws them. Pure."""

import struct
from typing import NamedTuple

HEAD = struct.Struct("<IHHIQQI")
FRAME_MAX = 64 * 1024 * 1024
SLICES_MAX = 256

# protocol/link/runner.h
VERSION = 1
HELLO, REQUEST, SHUTDOWN = 1, 2, 3
READY, PUBLISH, STREAM, REPLY, DONE = 16, 17, 18, 19, 20
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


class Decoder:
    """Cuts a byte stream into frames."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, data):
        """Takes bytes, returns the list of frames they completed.

        Raises ValueError when no continuation can be a frame.
        """
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self):
        buffer = self._buffer
        if len(buffer) < HEAD.size:
            return None
        size, kind, flags, _kernel, ident, _seq, count = HEAD.unpack_from(buffer)
        total, at = size + 4, HEAD.size + 4 * count
        if total > FRAME_MAX or count > SLICES_MAX or total < at:
            raise ValueError(f"malformed frame: {total} bytes, {count} slices")
        if len(buffer) < total:
            return None
        slices = []
        for length in struct.unpack_from(f"<{count}I", buffer, HEAD.size):
            slices.append(bytes(buffer[at : at + length]))
            at += length
        if at != total:
            raise ValueError("malformed frame: slices do not fill it")
        del buffer[:total]
        return Frame(kind, flags, ident, slices)
