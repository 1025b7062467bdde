"""A runner for the tests of kernelhost-init: it speaks doc/PROTOCOL.runner and
does what the request says. The content of a request is Python code, which finds
the functions of `Runner` as its globals. Reply and DONE follow by themselves
unless the code calls hold().
"""

import fcntl
import os
import queue
import random
import signal
import socket
import struct
import sys
import termios
import threading
import time

HELLO, REQUEST, SHUTDOWN, FORK = 1, 2, 3, 4
READY, PUBLISH, STREAM, REPLY, DONE, FORKS = 16, 17, 18, 19, 20, 21
FROZEN_HELLO, COPY, THAW = 34, 35, 36
CONTROL = 1
HEAD = struct.Struct("<IHHIQQI")


def encode(kind, ident=0, flags=0, slices=(), kernel=0, seq=0):
    body = b"".join(struct.pack("<I", len(s)) for s in slices) + b"".join(slices)
    size = 28 + len(body)
    return HEAD.pack(size, kind, flags, kernel, ident, seq, len(slices)) + body


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Runner:
    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.ident = 0
        self.held = False
        self.markers = True
        self.stamps = False  # where the pipes are empty, in place of markers
        self.stamped = 0
        self.shell = queue.Queue()
        # Out of the way of the user's code, which may close or fill 1 and 2.
        self.pipes = [os.dup(1), os.dup(2)]
        self.nonce = bytes(16)
        self.socket = socket.socket(fileno=3)
        self.passed = []
        self.forks = queue.Queue()
        self.state = 0  # what a checkpoint keeps, besides all else

    def read_frame(self):
        data = b""
        while len(data) < 4 or len(data) < struct.unpack("<I", data[:4])[0] + 4:
            want = 4 if len(data) < 4 else struct.unpack("<I", data[:4])[0] + 4
            piece, fds, _, _ = socket.recv_fds(self.socket, want - len(data), 1)
            self.passed += fds
            if not piece:
                os._exit(70)
            data += piece
        _, kind, flags, _, ident, _, count = HEAD.unpack_from(data)
        lengths = struct.unpack_from(f"<{count}I", data, 32)
        at, slices = 32 + 4 * count, []
        for length in lengths:
            slices.append(data[at : at + length])
            at += length
        return kind, flags, ident, slices

    def marker(self, counter):
        for fd in self.pipes:
            write_all(fd, self.nonce + struct.pack("<Q", counter))

    def send(self, kind, ident=0, flags=0, slices=()):
        with self.lock:
            self.count += 1
            stamp = self.stamp() if self.stamps else 0
            if self.markers and not stamp:
                self.marker(self.count)
            write_all(3, encode(kind, ident, flags, slices, seq=stamp))

    def stamp(self):
        """The time, if both pipes are empty; else 0."""
        empty = bytes(4)
        for fd in self.pipes:
            if fcntl.ioctl(fd, termios.FIONREAD, empty) != empty:
                return 0
        self.stamped += 1
        return time.monotonic_ns()

    def raw(self, data):
        with self.lock:
            write_all(3, data)

    def publish(self, text, ident=None):
        content = text if isinstance(text, bytes) else text.encode()
        self.send(PUBLISH, self.ident if ident is None else ident, 0,
                  [b"display_data", b"{}", content])

    def stream(self, text, which=1):
        self.send(STREAM, self.ident, which, [text.encode()])

    def reply(self, error=False, ident=None):
        self.send(REPLY, self.ident if ident is None else ident, 1 if error else 0,
                  [b"execute_reply", b"{}", b"{}"])

    def done(self, ident=None):
        self.send(DONE, self.ident if ident is None else ident)

    def hold(self):
        self.held = True

    def out(self, data):
        write_all(1, data)

    def err(self, data):
        write_all(2, data)

    def reader(self):
        while True:
            kind, flags, ident, slices = self.read_frame()
            if kind == SHUTDOWN:
                if not os.environ.get("FAKE_STUBBORN"):
                    os._exit(0)
            elif kind == FORK:
                fd = self.passed.pop() if self.passed else None
                self.forks.put((ident, slices, fd))
            elif flags & CONTROL and slices[3] == b"hang":
                pass
            elif flags & CONTROL:
                self.send(PUBLISH, ident, 0, [b"status", b"{}", b"control"])
                self.send(REPLY, ident, 0, [b"control_reply", b"{}", slices[3]])
                self.send(DONE, ident)
            else:
                self.shell.put((ident, slices[3]))

    def cell(self, ident, code):
        scope = {name: getattr(self, name) for name in dir(self)}
        scope.update(os=os, sys=sys, runner=self, struct=struct, signal=signal,
                     random=random, time=time)
        self.ident, self.held, error = ident, False, False
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            exec(code, scope)
        except KeyboardInterrupt:
            self.publish("interrupted")
            error = True
        except Exception as e:
            self.publish(repr(e))
            error = True
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not self.held:
            self.reply(error)
            self.done()

    # Checkpoints

    def connection(self):
        """What init gives for a checkpoint: its number, the slices, a socket."""
        self.send(FORKS)
        ident, slices, fd = self.forks.get(timeout=10)
        return ident, slices, fd if fd is None else socket.socket(fileno=fd)

    def orphan(self):
        """A copy that is init's child: True there, and once it is."""
        reader, writer = os.pipe()
        middle = os.fork()
        if middle:
            os.close(reader)
            os.waitpid(middle, 0)
            os.close(writer)
            return False
        if os.fork():
            os._exit(0)
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        os.setsid()
        return True

    def checkpoint(self, about=b"{}"):
        """Makes one that works. Returns its number; `dropped` is that of another."""
        ident, slices, sock = self.connection()
        if writer := self.copy():
            self.frozen(sock, about, writer)
        sock.close()
        self.dropped = struct.unpack("<Q", slices[0])[0]
        return ident

    def copy(self):
        """In a copy a pipe to tell that it has said hello; else 0, once it has."""
        reader, writer = os.pipe()
        if self.orphan():
            os.close(reader)
            return writer
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        return 0

    def frozen(self, sock, about, writer):
        self.socket.close()
        for fd in (1, 2, *self.pipes):
            os.close(fd)
        while True:
            if writer:
                sock.sendall(encode(FROZEN_HELLO, slices=[about]))
                os.close(writer)
            data, fds, _, _ = socket.recv_fds(sock, 4096, 3)
            if not data:
                os._exit(0)
            if HEAD.unpack_from(data)[1] == THAW:
                self.thaw(fds)
            writer = self.copy()
            if writer:
                sock.close()
                sock = socket.socket(fileno=fds[0])
            else:
                os.close(fds[0])

    def thaw(self, fds):
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
        for fd in fds:
            os.close(fd)
        for fd, number in zip(high, (1, 2, 3), strict=True):
            os.dup2(fd, number)
            os.close(fd)
        again, self.state = self.state, None
        self.__init__()
        self.state = again
        exec(os.environ.get("FAKE_THAW", ""), {"os": os, "time": time})
        self.main()

    def main(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        exec(os.environ.get("FAKE_START", ""), {"os": os, "sys": sys, "runner": self})
        kind, _, ident, slices = self.read_frame()
        assert kind == HELLO and ident == 2 and len(slices[0]) == 16
        self.nonce = slices[0]
        self.send(READY, 0, 0, [b'{"status":"ok"}'])
        threading.Thread(target=self.reader, daemon=True).start()
        while True:
            self.cell(*self.shell.get())


Runner().main()
