"""link: the one way out of the runner to init.

Before a frame a marker goes into both pipes, so that init can put text that came
through fds 1 and 2 before the frame; or, when both are empty and nothing has to
be marked, the time goes with the frame. The markers go through duplicates of our
own: a cell that closes or replaces fd 1 cannot hurt them.

Everything that is sent stands in one queue, and whoever comes empties it, under
`lock`. It is the only lock of the runner (stream uses it too): code of the user
that runs inside it, a __del__ or a signal handler, can print without ever
waiting for a second lock. The writes let go of the GIL and init reads outside of
this process, so a full pipe only makes the writer wait.

Frames that wait together leave together: their markers in one write a pipe (one
marker behind the other, with nothing between), then the frames in one.

KeyboardInterrupt, or what a signal handler of the user raises, may strike in the
middle of all that. So progress is kept in steps between which Python runs no
handler, and the next sender goes on exactly there.
"""

import collections
import errno
import fcntl
import itertools
import os
import select
import socket
import struct
import termios
import threading
import time

from . import frame

_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF}
_HIGH = 200  # where our descriptors live, out of the way of the user's
_TOGETHER = 100  # frames in one go: PIPE_BUF holds the markers of 170
_BUFFERS = 1000  # of one writev (IOV_MAX is 1024)
_NOTHING = bytes(4)
_NUMBER = struct.Struct("<Q")
_READ = 64 * 1024  # bytes of one read


def _private(fd):
    """Duplicates fd to a high number, closed on exec."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)


def _is_empty(pipe):
    return fcntl.ioctl(pipe, termios.FIONREAD, _NOTHING) == _NOTHING


class _Item:
    """A frame, or text for a pipe (fd), on its way."""

    __slots__ = ("buffers", "fd")

    def __init__(self, buffers, fd=None):
        self.buffers = buffers
        self.fd = fd


class Ended(EOFError):
    """Init is gone, or talks nonsense."""


class Link:
    """Sends frames (any thread) and receives them (one thread)."""

    def __init__(self):
        """Sends nothing before attach."""
        self._socket = None
        self._pipes = {}
        self.wake = None  # makes another thread call drain(), for a sender that was
        # interrupted; set before the first frame is sent
        self.lock = threading.RLock()
        self.queue = collections.deque()
        self._sending = False
        # What was taken from the queue and is not sent yet; what is still to be
        # written for it, (fd, buffers), None if it has not begun; and what the
        # writes since then returned.
        self._taken = []
        self._todo = None
        self._wrote = []
        self._decoder = frame.Decoder()
        self._nonce = bytes(frame.NONCE_SIZE)
        self._stamps = False  # init knows what a stamp is
        self._count = 0
        self.open = False

    def attach(self, fd, out=1, err=2):
        """Takes over the socket fd and duplicates the descriptors of the pipes."""
        self._socket = socket.socket(fileno=_private(fd))
        os.close(fd)
        self._pipes = {frame.STDOUT: _private(out), frame.STDERR: _private(err)}
        self.open = True

    @property
    def pipes(self):
        """Our duplicates of the pipes, by stream."""
        return dict(self._pipes)

    def fileno(self):
        """The socket's descriptor, to wait on."""
        return self._socket.fileno()

    def greet(self):
        """Waits for HELLO; `frames` has what came behind it.

        Raises Ended or ValueError when init does not say HELLO.
        """
        while not self.frames:
            self.read(0)
        hello, *self.frames = self.frames
        if hello.type != frame.HELLO or hello.id not in frame.VERSIONS:
            raise ValueError(f"expected HELLO of {frame.VERSIONS}, got {hello}")
        self._stamps = hello.id > 1
        if len(hello.slices) != 1 or len(hello.slices[0]) != frame.NONCE_SIZE:
            raise ValueError("HELLO without a nonce")
        self._nonce = hello.slices[0]

    def read(self, flags=socket.MSG_DONTWAIT):
        """Reads once and adds to `frames` what this completed. Returns whether
        there was something. Raises Ended."""
        chunks, something = self._decoder.chunks, True
        try:
            # One call: what was read is kept before a handler can raise.
            chunks.extend(map(self._socket.recv, (_READ,), (flags,)))
        except BlockingIOError:
            something = False
        except ConnectionError:
            raise Ended("init closed the socket") from None
        if something and not chunks[-1]:
            raise Ended("init closed the socket")
        try:
            self._decoder.decode()
        except ValueError as error:
            raise Ended(str(error)) from None
        return something

    @property
    def frames(self):
        """Frames that were read; whoever is through with one takes it off."""
        return self._decoder.frames

    @frames.setter
    def frames(self, frames):
        self._decoder.frames = frames

    def ask(self, kind, wanted):
        """Sends a frame and waits for one of type wanted: returns it, and the
        descriptor that came along or None. What else comes is in `frames`. Nobody
        else may read meanwhile. Raises Ended."""
        self.send(kind)
        fds = []
        while True:
            data, came, _flags, _address = socket.recv_fds(self._socket, _READ, 1)
            fds += came
            if not data:
                raise Ended("init closed the socket")
            self._decoder.chunks.append(data)
            self._decoder.decode()
            for answer in self.frames:
                if answer.type == wanted:
                    self.frames = [one for one in self.frames if one is not answer]
                    return answer, fds[0] if fds else None

    def frame(self, kind, ident=0, flags=0, slices=()):
        """An item for `queue`. Raises frame.MessageTooLarge."""
        return _Item(frame.encode(kind, flags, ident, slices))

    def text(self, stream, data):
        """An item for `queue`: bytes that go into the pipe as they are, where
        they keep their order with what others write there."""
        return _Item([data], self._pipes[stream])

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
            self.wake()
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
        while self.queue or self._taken:
            self._advance()

    def _advance(self):
        """One step. Raising leaves everything so that the next call goes on where
        this one was."""
        if not self._taken:
            # One call takes them all: no handler runs in the middle of it.
            pops = itertools.repeat((), self._together())
            self._taken.extend(itertools.starmap(self.queue.popleft, pops))
        if self._todo is None:
            todo, count = self._plan()
            self._todo = todo
            self._count = count
        elif self._wrote:
            todo = _rest(self._todo, self._wrote)
            self._todo = todo
            self._wrote = []
        if not self._todo:
            self._todo = None
            self._taken = []
            return
        fds, buffers = zip(*self._todo, strict=True)
        try:
            # One call: the results are stored before a handler can raise.
            self._wrote.extend(map(os.writev, fds, buffers))
        except BlockingIOError:
            # O_NONBLOCK belongs to the pipe, not to our duplicate: user code
            # that hands fd 1 to an event loop may have set it.
            poll = select.poll()
            poll.register(fds[len(self._wrote)], select.POLLOUT)
            poll.poll()

    def _together(self):
        """How many items at the head of the queue may leave in one go: a text, or
        frames as far as one writev carries them."""
        count = size = 0
        limit = min(len(self.queue), _TOGETHER)
        while count < limit:  # others may append meanwhile
            item = self.queue[count]
            size += len(item.buffers)
            if count and (item.fd or size > _BUFFERS):
                break
            count += 1
            if item.fd:
                break
        return count

    def _plan(self):
        """What is to be written for the items taken, and the count after it."""
        first = self._taken[0]
        if first.fd:
            return [(first.fd, first.buffers)], self._count
        count = self._count + len(self._taken)
        fd = self._socket.fileno()
        if self._stamps and all(map(_is_empty, self._pipes.values())):
            stamp = time.monotonic_ns()
            frames = [frame.stamped(item.buffers, stamp) for item in self._taken]
            return [(fd, list(itertools.chain.from_iterable(frames)))], count
        numbers = range(self._count + 1, count + 1)
        markers = [b"".join([self._nonce + _NUMBER.pack(n) for n in numbers])]
        frames = list(itertools.chain.from_iterable(i.buffers for i in self._taken))
        todo = [(fd, markers) for fd in self._pipes.values()]
        todo.append((fd, frames))
        return todo, count

    def abandon(self):
        """In a forked child: nothing is sent from here, ever."""
        self.lock = threading.RLock()
        self.queue.clear()
        self._sending = False
        self._taken = []
        self._todo = None
        self._wrote = []
        self._count = 0
        self._decoder = frame.Decoder()
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
