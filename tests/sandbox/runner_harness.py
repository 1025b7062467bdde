"""A stand-in for kernelhost-init: starts a Python runner, speaks
protocol/link/runner.h to it and merges its frames and pipes by the markers.

Standard library only, so that it runs on the host's and on any image's python3.
"""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

HEAD = struct.Struct("<IHHIQQI")
HELLO, REQUEST, SHUTDOWN = 1, 2, 3
READY, PUBLISH, STREAM, REPLY, DONE = 16, 17, 18, 19, 20
CONTROL, EXECUTE, STOP_ON_ERROR = 1, 2, 4
NAMES = {1: "stdout", 2: "stderr"}

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGE = os.path.join(SOURCE, "sandbox", "runner", "python")


def encode(kind, ident=0, flags=0, slices=()):
    """The bytes of one frame."""
    lengths = struct.pack(f"<{len(slices)}I", *map(len, slices))
    size = HEAD.size + len(lengths) + sum(map(len, slices)) - 4
    head = HEAD.pack(size, kind, flags, 0, ident, 0, len(slices))
    return b"".join([head, lengths, *slices])


class Protocol(Exception):
    """The runner broke the protocol."""


class Event:
    """Something the runner said, in the order init would journal it."""

    def __init__(self, kind, ident, **fields):
        self.kind, self.id = kind, ident
        self.time = time.monotonic()
        self.__dict__.update(fields)

    def __repr__(self):
        fields = {
            k: v for k, v in self.__dict__.items() if k not in ("kind", "id", "time")
        }
        return f"<{self.kind} {self.id} {fields}>"


class Runner:
    """A runner process and everything it has said, in `events`."""

    def __init__(self, python=sys.executable, package=PACKAGE, env=None, cwd=None):
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.nonce = os.urandom(16)
        self.pipes, self.buffers, writers = {}, {1: bytearray(), 2: bytearray()}, {}
        for fd in (1, 2):
            reader, writers[fd] = os.pipe()
            self.pipes[fd] = reader
        theirs_fd = theirs.fileno()

        def arrange():
            high = fcntl.fcntl(theirs_fd, fcntl.F_DUPFD, 50)
            os.dup2(writers[1], 1)
            os.dup2(writers[2], 2)
            os.dup2(high, 3)
            os.closerange(4, 256)

        self.process = subprocess.Popen(
            [*([python] if isinstance(python, str) else python), package],
            stdin=subprocess.DEVNULL,
            preexec_fn=arrange,
            close_fds=False,
            cwd=cwd,
            env=env,
            process_group=0,
        )
        theirs.close()
        for fd in writers.values():
            os.close(fd)
        self.events, self.frames, self.raw = [], 0, bytearray()
        self.running = self.last = 0
        self.next_id = 1
        self.ended = False
        self.socket.sendall(encode(HELLO, 1, 0, [self.nonce]))

    # Talking

    def send(self, kind, ident=0, flags=0, slices=()):
        """Sends a frame."""
        self.socket.sendall(encode(kind, ident, flags, slices))

    def request(
        self, msg_type, content=None, control=False, metadata=None, buffers=()
    ):
        """Sends a request, returns its id."""
        ident, self.next_id = self.next_id, self.next_id + 1
        header = {"msg_id": f"m{ident}", "msg_type": msg_type, "session": "s"}
        parts = [header, {}, metadata or {}, content or {}]
        flags = CONTROL if control else 0
        if msg_type == "execute_request":
            flags |= EXECUTE
        if not control:
            self.running = self.last = ident
        slices = [json.dumps(part).encode() for part in parts]
        self.send(REQUEST, ident, flags, [*slices, *buffers])
        return ident

    def execute(self, code, timeout=30, **content):
        """Runs a cell to its DONE, returns its Result."""
        ident = self.request("execute_request", {"code": code, **content})
        return self.finish(ident, timeout)

    def ask(self, msg_type, content=None, control=False, timeout=30):
        """Sends a request, returns the content of its reply (None if none)."""
        ident = self.request(msg_type, content, control)
        return self.finish(ident, timeout).reply

    def interrupt(self):
        """SIGINT as init sends it."""
        os.killpg(self.process.pid, signal.SIGINT)

    # Listening

    def finish(self, ident, timeout=30):
        """Reads until DONE of the request."""
        self.wait(lambda e: e.kind == "done" and e.id == ident, timeout)
        return Result([e for e in self.events if e.id == ident])

    def wait(self, wanted, timeout=30):
        """Reads until an event is wanted, returns it. Raises TimeoutError, or
        EOFError when the runner ends first."""
        for event in self.events:
            if wanted(event):
                return event
        deadline = time.monotonic() + timeout
        while True:
            seen = len(self.events)
            self.read(max(0, deadline - time.monotonic()))
            for event in self.events[seen:]:
                if wanted(event):
                    return event
            if self.ended:
                raise EOFError(
                    f"runner ended: {self.process.wait()} {self.events[-3:]}"
                )
            if time.monotonic() >= deadline:
                raise TimeoutError(f"waited {timeout} s; last: {self.events[-3:]}")

    def read(self, timeout):
        """Reads what is there within the timeout."""
        fds = [self.socket, *self.pipes.values()]
        ready, _, _ = select.select(fds, [], [], timeout)
        for number, fd in self.pipes.items():
            if fd in ready:
                self._take_pipe(number)
        if self.socket in ready:
            data = self.socket.recv(1 << 20)
            if not data:
                self.ended = True
                for number in self.pipes:
                    while self._take_pipe(number):
                        pass
                self._flush_pipes()
                return
            self.raw += data
            self._decode()
        elif not ready or len(ready) == len(self.pipes):
            self._flush_pipes()
        else:
            self._flush_pipes()

    def _take_pipe(self, number):
        data = os.read(self.pipes[number], 1 << 20)
        self.buffers[number] += data
        return bool(data)

    def _decode(self):
        while len(self.raw) >= HEAD.size:
            size, kind, flags, _, ident, _, count = HEAD.unpack_from(self.raw)
            if len(self.raw) < size + 4:
                return
            at, slices = HEAD.size + 4 * count, []
            for length in struct.unpack_from(f"<{count}I", self.raw, HEAD.size):
                slices.append(bytes(self.raw[at : at + length]))
                at += length
            if at != size + 4:
                raise Protocol("slices do not fill the frame")
            del self.raw[: size + 4]
            self._frame(kind, flags, ident, slices)

    def _frame(self, kind, flags, ident, slices):
        self.frames += 1
        marker = self.nonce + struct.pack("<Q", self.frames)
        for number, buffer in self.buffers.items():
            while marker not in buffer:
                if (
                    self.nonce in buffer
                    and len(buffer) - buffer.index(self.nonce) >= 24
                ):
                    raise Protocol(f"wrong marker before frame {self.frames}")
                if not self._take_pipe(number):
                    raise Protocol("pipe ended before its marker")
            at = buffer.index(marker)
            self._text(number, bytes(buffer[:at]))
            del buffer[: at + len(marker)]
        if kind == STREAM:
            text = slices[0].decode()
            self.events.append(
                Event("stream", ident, name=NAMES[flags], text=text, piped=False)
            )
        elif kind == PUBLISH:
            msg_type, metadata, content, *buffers = slices
            self.events.append(
                Event(
                    "publish",
                    ident,
                    type=msg_type.decode(),
                    metadata=json.loads(metadata),
                    content=json.loads(content),
                    buffers=buffers,
                )
            )
        elif kind == REPLY:
            msg_type, metadata, content, *buffers = slices
            self.events.append(
                Event(
                    "reply",
                    ident,
                    type=msg_type.decode(),
                    metadata=json.loads(metadata),
                    content=json.loads(content),
                    failed=bool(flags & 1),
                )
            )
        elif kind == DONE:
            self.events.append(Event("done", ident))
            if ident == self.running:
                self.running = 0
        elif kind == READY:
            self.events.append(Event("ready", ident, info=json.loads(slices[0])))
        else:
            raise Protocol(f"frame of type {kind}")

    def _flush_pipes(self):
        for number, buffer in self.buffers.items():
            at = len(buffer) if self.ended else self._text_end(buffer)
            self._text(number, bytes(buffer[:at]))
            del buffer[:at]

    def _text_end(self, buffer):
        """Where the text ends: at a marker, or at a tail that may begin one."""
        at = buffer.find(self.nonce)
        if at >= 0:
            return at
        for size in range(min(len(buffer), len(self.nonce) - 1), 0, -1):
            if buffer.endswith(self.nonce[:size]):
                return len(buffer) - size
        return len(buffer)

    def _text(self, number, data):
        if data:
            ident = self.running or self.last
            text = data.decode("utf-8", "replace")
            self.events.append(
                Event("stream", ident, name=NAMES[number], text=text, piped=True)
            )

    # Ending

    def shut_down(self, timeout=10):
        """Sends SHUTDOWN, returns the exit status."""
        self.send(SHUTDOWN)
        deadline = time.monotonic() + timeout
        while not self.ended and time.monotonic() < deadline:
            self.read(0.1)
        return self.process.wait(timeout)

    def close(self):
        """Ends the runner, however it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.socket.close()
        for fd in self.pipes.values():
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()


class Result:
    """What one request brought."""

    def __init__(self, events):
        self.events = events
        self.replies = [e for e in events if e.kind == "reply"]
        self.reply = self.replies[0].content if self.replies else None

    def text(self, name="stdout"):
        """All text of a stream."""
        return "".join(
            e.text for e in self.events if e.kind == "stream" and e.name == name
        )

    def published(self, msg_type):
        """Contents of the published messages of a type."""
        return [
            e.content for e in self.events if e.kind == "publish" and e.type == msg_type
        ]

    @property
    def result(self):
        """The text/plain of execute_result, or None."""
        found = self.published("execute_result")
        return found[0]["data"]["text/plain"] if found else None

    @property
    def order(self):
        """Kinds of output in order, streams joined: [("stdout", "a\\n"), ...]."""
        found = []
        for event in self.events:
            if event.kind == "stream":
                if found and found[-1][0] == event.name:
                    found[-1] = (event.name, found[-1][1] + event.text)
                else:
                    found.append((event.name, event.text))
            elif event.kind == "publish" and event.type != "execute_input":
                found.append((event.type, event.content))
        return found
