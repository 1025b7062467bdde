"""link: the one way out of the runner to init.

Before every frame a marker goes into both pipes, so that init can put text that
came through fds 1 and 2 before the frame. The markers go through duplicates of
our own: a cell that closes or replaces fd 1 cannot hurt them.

Everything that is sent stands in one queue, and whoever comes empties it, under
`lock`. It is the only lock of the runner (stream uses it too): code of the user
that runs inside it, a __del__ or a signal handler, can print without ever
waiting for a second lock. The writes let go of the GIL and init reads outside of
this process, so a full pipe only makes the writer wait.

KeyboardInterrupt, or what a signal handler of the user raises, may strike in the
middle of all that. So progress is kept in the item that is being sent, in steps
between which Python runs no handler, and the next sender goes on exactly there.
"""

import collections
import errno
import fcntl
import os
import select
import socket
import struct
import threading

from . import frame

_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF}
_HIGH = 200  # where our descriptors live, out of the way of the user's


def _private(fd):
    """Duplicates fd to a high number, closed on exec."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)


class _Item:
    """A frame, or text for a pipe, on its way.

    todo is the list of (fd, buffers) that are still to be written, None for a
    frame that has not begun; wrote is what the writes since then returned.
    """

    __slots__ = ("buffers", "todo", "wrote")

    def __init__(self, buffers, todo=None):
        self.buffers = buffers
        self.todo = todo
        self.wrote = []


class Link:
    """Sends frames (any thread) and receives them (one thread)."""

    def __init__(self, fd, wake):
        """Takes over the socket fd and duplicates fds 1 and 2. wake() makes
        another thread call drain(), for a sender that was interrupted."""
        self._socket = socket.socket(fileno=_private(fd))
        os.close(fd)
        self._pipes = {frame.STDOUT: _private(1), frame.STDERR: _private(2)}
        self._wake = wake
        self.lock = threading.RLock()
        self.queue = collections.deque()
        self._sending = False
        self._decoder = frame.Decoder()
        self._nonce = bytes(frame.NONCE_SIZE)
        self._count = 0
        self.open = True

    def fileno(self):
        """The socket's descriptor, to wait on."""
        return self._socket.fileno()

    def greet(self):
        """Waits for HELLO. Returns the frames that came behind it.

        Raises EOFError or ValueError when init does not say HELLO.
        """
        frames = []
        while not frames:
            frames = self.receive()
        hello = frames.pop(0)
        if hello.type != frame.HELLO or hello.id != frame.VERSION:
            raise ValueError(f"expected HELLO of version {frame.VERSION}, got {hello}")
        if len(hello.slices) != 1 or len(hello.slices[0]) != frame.NONCE_SIZE:
            raise ValueError("HELLO without a nonce")
        self._nonce = hello.slices[0]
        return frames

    def receive(self):
        """Reads once, returns the frames this completed. Raises EOFError."""
        data = self._socket.recv(1 << 20)
        if not data:
            raise EOFError("init closed the socket")
        return self._decoder.feed(data)

    def frame(self, kind, ident=0, flags=0, slices=()):
        """An item for `queue`. Raises frame.MessageTooLarge."""
        return _Item(frame.encode(kind, flags, ident, slices))

    def text(self, stream, data):
        """An item for `queue`: bytes that go into the pipe as they are, where
        they keep their order with what others write there."""
        return _Item((), [(self._pipes[stream], [data])])

    def send(self, kind, ident=0, flags=0, slices=()):
        """Sends one frame, after all that was queued before. Raises
        frame.MessageTooLarge, having sent nothing."""
        item = self.frame(kind, ident, flags, slices)
        self.queue.append(item)
        self.drain()

    def drain(self):
        """Sends what is queued. If init is gone the process ends: there is
        nobody left to be a runner for."""
        try:
            with self.lock:
                self._drain()
        except BaseException as error:
            # TimeoutError of a user's alarm is an OSError, too.
            if isinstance(error, OSError) and error.errno in _GONE:
                os._exit(1)
            self._wake()
            raise

    def _drain(self):
        # Code of the user that runs while we write, in this very thread, only
        # queues: we are not through with our item.
        if self._sending or not self.open:
            return
        try:
            self._sending = True
            self._send_all()
        finally:
            self._sending = False

    # CPython 3.11 to 3.13 leave the jump back to the head of a loop out of the
    # try and with around it, but a signal handler may raise just there. So no
    # loop of ours, nor a comprehension, stands inside one; it is called there.

    def _send_all(self):
        while self.queue:
            self._advance(self.queue[0])

    def _advance(self, item):
        """One step with the first item of the queue. Raising leaves item and
        queue so that the next call goes on where this one was."""
        if item.todo is None:
            count = self._count + 1
            marker = self._nonce + struct.pack("<Q", count)
            todo = [(fd, [marker]) for fd in self._pipes.values()]
            todo.append((self._socket.fileno(), item.buffers))
            item.todo = todo
            self._count = count
        elif item.wrote:
            todo = _rest(item.todo, item.wrote)
            item.todo = todo
            item.wrote = []
        if not item.todo:
            self.queue.popleft()
            return
        fds, buffers = zip(*item.todo, strict=True)
        try:
            # One call: the results are stored before a handler can raise.
            item.wrote.extend(map(os.writev, fds, buffers))
        except BlockingIOError:
            # O_NONBLOCK belongs to the pipe, not to our duplicate: user code
            # that hands fd 1 to an event loop may have set it.
            poll = select.poll()
            poll.register(fds[len(item.wrote)], select.POLLOUT)
            poll.poll()

    def abandon(self):
        """In a forked child: nothing is sent from here, ever."""
        self.lock = threading.RLock()
        self.queue.clear()
        if self.open:
            self.open = False
            self._socket.close()
            for fd in self._pipes.values():
                os.close(fd)


def _rest(todo, wrote):
    """What is left of todo after writes that returned wrote. A write of the last
    may have been short; then it is the only one that is left, or the first."""
    left = todo[len(wrote) :]
    for (fd, buffers), size in zip(todo, wrote, strict=False):
        if size < sum(map(len, buffers)):
            parts = []
            for part in buffers:
                if size < len(part):
                    parts.append(memoryview(part)[size:])
                size = max(size - len(part), 0)
            left.insert(0, (fd, parts))
    return left
