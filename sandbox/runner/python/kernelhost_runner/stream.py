"""stream: sys.stdout and sys.stderr.

Text is gathered and sent as STREAM frames: a line at once when nothing was
sent lately, then every 50 ms or 64 KiB; before any other message, before the
other stream's text, before a process is started, and at the end of a cell.
flush() sends now; the running cell's short text then goes through the pipe
itself, which is cheaper than a frame and keeps its order with what children and
C libraries write there.

In a forked child there is no link: text goes straight to fds 1 and 2, a line at
a time.
"""

import codecs
import functools
import io
import os
import select
import sys
import time

from . import frame

WINDOW = 0.05  # seconds between two frames while output keeps coming
PARTIAL = 0.002  # how long an unfinished line waits for its end
LIMIT = 64 * 1024  # characters that are gathered at most
PIECE = 1024 * 1024  # characters a frame

codecs.register_error(
    "kernelhost.replace",
    lambda error: (b"\xef\xbf\xbd" * (error.end - error.start), error.end),
)


def to_bytes(text):
    """UTF-8; a lone surrogate becomes U+FFFD, as clients would show it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "kernelhost.replace")


def write_all(fd, data):
    """Writes all of it."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(fd, rest) :]


class Output:
    """What both streams have in common: the gathered text and its deadline."""

    def __init__(self, link, origin, alarm):
        """alarm(deadline) makes the inbox thread call expire() at that time."""
        self._link = link
        self._origin = origin
        self._alarm = alarm
        self._chunks = []
        self._size = 0
        self._stream = frame.STDOUT
        self._ident = 0
        self._last = frame.STDOUT  # the stream that was sent last
        self._quiet_until = 0.0
        self._begun = False  # a line whose end is to be sent at once
        self.deadline = None  # when the inbox thread is to call expire()
        self.forked = False

    def write(self, stream, text):
        """Takes text of the calling thread's request."""
        if self.forked:
            self._write_forked(stream, text)
            return
        origin = self._origin
        ident = origin.get()
        if ident is None:
            ident = origin.latest
        with self._link.lock:
            if stream != self._stream or ident != self._ident:
                if self._chunks:
                    self.send()
                self._stream, self._ident = stream, ident
            self._chunks.append(text)
            self._size += len(text)
            if self.deadline is not None and not (self._begun and text[-1:] == "\n"):
                if self._size >= LIMIT:
                    self.send()
                return
            now = time.monotonic()
            quiet = now >= self._quiet_until
            if self._size >= LIMIT or (quiet and text[-1:] == "\n"):
                self._begun = False
                self.send()
                self._quiet_until = now + WINDOW
            elif self.deadline is None:
                self._begun = quiet
                self.deadline = max(self._quiet_until, now + PARTIAL)
                self._alarm(self.deadline)

    def flush(self):
        """Sends what is gathered, by the shortest way that keeps the order."""
        if self.forked:
            self._flush_forked()
            return
        with self._link.lock:
            if (
                self._size <= select.PIPE_BUF // 4  # bytes a character, at most
                and self._stream == self._last
                and self._ident == self._origin.running != 0
            ):
                if self._chunks:
                    data = to_bytes("".join(self._chunks))
                    self._send([self._link.text(self._stream, data)])
            else:
                self.send()

    def send(self):
        """Sends what is gathered as frames."""
        with self._link.lock:
            if self._chunks:
                self._last = self._stream
                self._send(self._frames("".join(self._chunks)))

    def _frames(self, text):
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        return [self._frame(to_bytes(piece)) for piece in pieces]

    def _frame(self, data):
        return self._link.frame(frame.STREAM, self._ident, self._stream, [data])

    def _send(self, items):
        # No signal handler runs between these two lines: nothing is lost or
        # sent twice when KeyboardInterrupt ends a print.
        self._chunks, self._size = [], 0
        self._link.queue.extend(items)
        self._link.drain()

    def expire(self):
        """If the deadline has come, sends; else sets the alarm again (inbox)."""
        if self.deadline is None:
            return
        with self._link.lock:
            now = time.monotonic()
            if self.deadline is None:
                return
            if now < self.deadline:
                self._alarm(self.deadline)
                return
            self.deadline = None
            if self._chunks:
                self.send()
                self._quiet_until = now + WINDOW

    def flush_for_process(self):
        """Another process is about to write to our fds, or this one ends."""
        if self.forked:
            self._flush_forked()
        else:
            self.send()

    def abandon(self):
        """In a forked child: from here on text goes to fds 1 and 2."""
        self._chunks, self._size = [], 0
        self.forked = True

    def revive(self):
        """The forked child is a runner of its own from now on."""
        self._quiet_until = 0.0
        self._last = frame.STDOUT
        self._begun = self.forked = False
        self.deadline = None

    def _write_forked(self, stream, text):
        with self._link.lock:
            if stream != self._stream:
                self._flush_forked()
                self._stream = stream
            self._chunks.append(text)
            if "\n" in text:
                self._flush_forked()

    def _flush_forked(self):
        with self._link.lock:
            data, self._chunks = to_bytes("".join(self._chunks)), []
            write_all(self._stream, data)


class OutStream(io.TextIOBase):
    """sys.stdout or sys.stderr.

    `__module__` is ipykernel's on purpose: click and others look at it to learn
    that a stream which is no terminal shows colours all the same.
    """

    encoding = "UTF-8"
    errors = "replace"

    def __init__(self, output, stream, name):
        """stream is frame.STDOUT or STDERR: both the kind and the descriptor."""
        self._output = output
        self._stream = stream
        self.name = f"<{name}>"
        self.buffer = _Bytes(self)

    def write(self, text):
        """Takes text; returns its length."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        if text:
            self._output.write(self._stream, text)
        return len(text)

    def writelines(self, lines):
        """Writes each of them."""
        for line in lines:
            self.write(line)

    def flush(self):
        """Sends what was written."""
        self._output.flush()

    def fileno(self):
        """fd 1 or 2, for children to inherit."""
        return self._stream

    def isatty(self):
        """False: init reads a pipe."""
        return False

    def writable(self):
        """True."""
        return True

    def reconfigure(self, **_options):
        """Accepted and ignored: scripts call it to get UTF-8, which this is."""

    def close(self):
        """Only flushes: a cell that closes stdout must not silence the rest."""
        self.flush()


OutStream.__module__ = "ipykernel.iostream"


class _Bytes(io.BufferedIOBase):
    """sys.stdout.buffer: bytes straight into the pipe, after the text so far."""

    def __init__(self, stream):
        self._stream = stream
        self.raw = self

    def write(self, data):
        """Writes all of it; returns its length."""
        self._stream.flush()
        write_all(self._stream.fileno(), data)
        return memoryview(data).nbytes

    def flush(self):
        """Nothing is held back."""

    def fileno(self):
        """As the text stream's."""
        return self._stream.fileno()

    def writable(self):
        """True."""
        return True

    def close(self):
        """Nothing to close."""


def flush_before_processes(flush):
    """Makes flush() run before another process can write to our fds, or this
    one ends. Forks are left to os.register_at_fork; fork_exec does not call
    those hooks."""
    import _posixsubprocess

    table = [(_posixsubprocess, "fork_exec")]
    if "subprocess" in sys.modules:
        table.append((sys.modules["subprocess"], "_fork_exec"))
    for name in ("system", "posix_spawn", "posix_spawnp", "execv", "execve", "_exit"):
        table.append((os, name))
    for module, name in table:
        if (function := getattr(module, name, None)) is not None:
            setattr(module, name, _flushing(function, flush))


def _flushing(function, flush):
    @functools.wraps(function)
    def flushing(*args, **kwargs):
        flush()
        return function(*args, **kwargs)

    return flushing
