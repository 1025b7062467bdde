"""link: the one way out of the runner to init.

Before every frame a marker goes into both pipes, so that init can put text that
came through fds 1 and 2 before the frame. The markers go through duplicates of
our own: a cell that closes or replaces fd 1 cannot hurt them. Markers and frame
are one step under `lock`. It is the only lock of the runner (stream uses it
too): code of the user that runs inside it, a __del__ or a signal handler, can
print without ever waiting for a second lock. The writes let go of the GIL and
init reads outside of this process, so a full pipe only makes the writer wait.
"""

import collections
import fcntl
import os
import select
import socket
import struct
import threading

from . import frame

_HIGH = 200  # where our descriptors live, out of the way of the user's


def _private(fd):
    """Duplicates fd to a high number, closed on exec."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)


class Link:
    """Sends frames (any thread) and receives them (one thread)."""

    def __init__(self, fd, shield):
        """Takes over the socket fd and duplicates fds 1 and 2.

        shield is a context manager that keeps KeyboardInterrupt away while a
        frame is half sent (interrupt.Interrupts).
        """
        self._socket = socket.socket(fileno=_private(fd))
        os.close(fd)
        self._pipes = {frame.STDOUT: _private(1), frame.STDERR: _private(2)}
        self.shield = shield
        self.lock = threading.RLock()
        self._queue = collections.deque()
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

    def send(self, kind, ident=0, flags=0, slices=()):
        """Sends one frame, with its markers, after all sent before.

        Raises frame.MessageTooLarge, having sent nothing. If init is gone the
        process ends: there is nobody left to be a runner for.
        """
        buffers = frame.encode(kind, flags, ident, slices)
        with self.shield, self.lock:
            if not self.open:
                return
            # A signal handler or __del__ of the user may print while we are in
            # here, in this very thread: its frame waits behind ours.
            self._queue.append(buffers)
            if self._sending:
                return
            self._sending = True
            try:
                while self._queue:
                    self._transmit(self._queue.popleft())
            except OSError:
                os._exit(1)
            finally:
                self._sending = False

    def write_pipe(self, stream, data):
        """Writes text of the running request into its pipe, where it keeps its
        order with whatever else is written there. False if that would cut
        into a frame that is being sent by this thread.
        """
        with self.lock:
            if self._sending or not self.open:
                return False
            self._write(self._pipes[stream], data)
            return True

    def _transmit(self, buffers):
        self._count += 1
        marker = self._nonce + struct.pack("<Q", self._count)
        for fd in self._pipes.values():
            self._write(fd, marker)
        sent, total = self._socket.sendmsg(buffers), sum(map(len, buffers))
        if sent == total:
            return
        for part in buffers:
            if sent < len(part):
                self._socket.sendall(memoryview(part)[sent:])
            sent = max(sent - len(part), 0)

    @staticmethod
    def _write(fd, data):
        # O_NONBLOCK belongs to the pipe, not to our duplicate: user code that
        # hands fd 1 to an event loop may have set it.
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll()

    def abandon(self):
        """In a forked child: nothing is sent from here, ever."""
        self.open = False
        self.lock = threading.RLock()
        self._queue.clear()
        self._socket.close()
        for fd in self._pipes.values():
            os.close(fd)
