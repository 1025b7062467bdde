"""A stand-in for kernelhostd and for the init of every sandbox: starts the real
kernelhost-gateway as a plain process and lets a test say what a sandbox does."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import threading

from init_client import (
    ACK, BEGIN, DEAD, DONE, EXEC, EXEC_EXIT, EXEC_OUTPUT, Frame, HELLO, PUBLISH, READY,
    REPLY, REQUEST, RESTART, START, STARTING, STATE, STOP, STREAM, WELCOME, decode,
)

BUILD = pathlib.Path(os.environ["KH_BUILDDIR"])
BINARY = BUILD / "kernelhost-gateway"
# A gateway built for tests only is not confined, and gives no memory back.
SANITIZED = any(sign in BINARY.read_bytes()
                for sign in (b"__asan_init", b"__tsan_init", b"__gcov_dump"))

(B_HELLO, B_CREATE, B_START, B_STOP, B_REMOVE, B_CONNECT, B_STAT, B_LIST,
 B_IMAGES) = range(1, 10)
B_EXITED = 32
MAGIC = 0x4B48424B
REQUEST_HEAD = struct.Struct("<IIQQ57s65s6xQIIQII57s7xQ16x1024x65x7x")
REPLY_HEAD = struct.Struct(
    "<IIQQi508s16s57s65s6xIiQQQIIQQQQII8xIIQQ16x57s3xIQQ56x16x65x7x1024x")
RUNNING, STOPPED = 1, 4
ENOENT, EEXIST = 2, 17
INFO = json.dumps({
    "status": "ok", "protocol_version": "5.5", "implementation": "fake",
    "implementation_version": "1", "banner": "", "help_links": [],
    "supported_features": [],
    "language_info": {"name": "python", "version": "3", "mimetype": "text/x-python",
                      "file_extension": ".py"}}).encode()
OK_REPLY = json.dumps({"status": "ok", "execution_count": 1, "user_expressions": {},
                       "payload": []}).encode()


def as_json(value):
    return json.dumps(value).encode()


class Init:
    """The other end of one sandbox's link, in a thread. A test replaces `request`
    (what a request does), `welcome` or `exec`, or sends what it likes."""

    def __init__(self, sock):
        self.sock = sock
        self.seq = 0
        self.acked = 0
        self.frames = []
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def send(self, kind, **fields):
        self.raw(Frame(kind, **fields).encode())

    def raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed.set()

    def entry(self, kind, kernel=1, **fields):
        """One more entry of the journal."""
        self.seq += 1
        self.send(kind, kernel=kernel, seq=self.seq, **fields)

    def loop(self):
        data = bytearray()
        while True:
            try:
                piece = self.sock.recv(1 << 20)
            except OSError:
                piece = b""
            if not piece:
                self.closed.set()
                return
            data += piece
            while True:
                frame, size = decode(data)
                if not frame:
                    break
                del data[:size]
                self.frames.append(frame)
                self.take(frame)

    def take(self, frame):
        if frame.kind == HELLO:
            self.welcome()
        elif frame.kind in (START, RESTART):
            self.start(frame)
        elif frame.kind == STOP:
            self.entry(STATE, frame.kernel, flags=DEAD, ident=1, slices=[bytes(4)])
        elif frame.kind == ACK:
            self.acked = frame.seq
        elif frame.kind == REQUEST:
            self.request(frame)
        elif frame.kind == EXEC:
            self.exec(frame)

    def welcome(self):
        self.send(WELCOME, ident=1)

    def start(self, frame):
        self.entry(STATE, frame.kernel, flags=STARTING, ident=1)
        self.entry(STATE, frame.kernel, flags=READY, ident=1, slices=[INFO])

    def request(self, frame):
        """Every cell prints "fine" and succeeds."""
        self.begin(frame)
        self.entry(STREAM, frame.kernel, ident=frame.ident, flags=1, slices=[b"fine\n"])
        self.finish(frame)

    def begin(self, frame):
        self.entry(BEGIN, frame.kernel, ident=frame.ident)

    def publish(self, frame, kind, content, metadata=b"{}", buffers=()):
        self.entry(PUBLISH, frame.kernel, ident=frame.ident,
                   slices=[kind.encode(), metadata, content, *buffers])

    def reply(self, frame, kind="execute_reply", content=OK_REPLY, metadata=b"{}"):
        self.entry(REPLY, frame.kernel, ident=frame.ident,
                   slices=[kind.encode(), metadata, content])

    def done(self, frame):
        self.entry(DONE, frame.kernel, ident=frame.ident)

    def finish(self, frame):
        self.reply(frame)
        self.done(frame)

    def exec(self, frame):
        self.send(EXEC_OUTPUT, ident=frame.ident, flags=1, slices=[frame.slices[0]])
        self.send(EXEC_EXIT, ident=frame.ident, seq=0)


class Response:
    def __init__(self, status, body):
        self.status, self.body = status, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("gateway", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


class Gateway:
    """The gateway with its host. With `streams` CREATE and START pass one; `asked` has
    the type of every request. `inits` maps a sandbox's name to its Init; a test
    may put a subclass of Init into `kinds` before it makes the sandbox."""

    def __init__(self):
        self.temp = tempfile.TemporaryDirectory(prefix="kh")
        self.dir = pathlib.Path(self.temp.name)
        self.records, self.inits, self.kinds = {}, {}, {}
        self.streams, self.asked = False, []
        self.broker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.api = socket.socket(socket.AF_UNIX)
        self.path = str(self.dir / "api")
        self.api.bind(self.path)
        self.api.listen(512)
        self.public = self.dir / "gw"
        self.public.mkdir(mode=0o700)
        self.log = open(self.dir / "log", "w+b")  # noqa: SIM115
        os.set_inheritable(theirs.fileno(), True)
        self.process = subprocess.Popen(
            [BINARY, "--broker-fd", str(theirs.fileno()), "--api-fd",
             str(self.api.fileno()), "--public-dir", str(self.public)],
            pass_fds=(theirs.fileno(), self.api.fileno()), cwd=self.public,
            stderr=self.log)
        theirs.close()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if args[0]:
            print("\n".join("# " + line for line in self.text().splitlines()))
        self.log.close()
        self.api.close()
        self.broker.close()
        self.temp.cleanup()

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    # kernelhostd

    def serve(self):
        while True:
            try:
                data = self.broker.recv(4096)
            except OSError:
                return
            if not data:
                return
            self.answer(*REQUEST_HEAD.unpack(data))

    def send(self, kind, serial, arg=0, name=b"", error=0, why=b"", image=b"default",
             state=RUNNING, fds=()):
        data = REPLY_HEAD.pack(
            MAGIC, kind, serial, arg, error, why, bytes(16), name, image, state, 1, 1,
            1, 1 << 29, 1000, 100, 1 << 30, 0, 0, 0, 1, 0, 0, 0,
            1, 0, b"", 0, 0, 0)
        with contextlib.suppress(OSError):
            socket.send_fds(self.broker, [data], list(fds))

    def answer(self, _magic, kind, serial, arg, name, _image, *_limits):
        name = name.split(b"\0")[0]
        key = name.decode()
        self.asked.append(kind)
        if kind in (B_LIST, B_IMAGES):
            names = sorted(self.records) if kind == B_LIST else ["default"]
            if arg >= len(names):
                self.send(kind, serial, error=ENOENT)
            else:
                item = names[arg].encode()
                self.send(kind, serial, arg + 1, item, image=item,
                          state=self.records.get(names[arg], RUNNING))
        elif kind == B_CREATE and key in self.records:
            self.send(kind, serial, error=EEXIST, why=b"there is one already")
        elif kind not in (B_HELLO, B_CREATE) and key not in self.records:
            self.send(kind, serial, error=ENOENT, why=b"there is none")
        elif kind == B_CONNECT:
            self.connect(kind, serial, name, key)
        else:
            if kind in (B_CREATE, B_START):
                self.records[key] = RUNNING
            elif kind in (B_STOP, B_REMOVE):
                self.end(key)
                self.records[key] = STOPPED
            if kind == B_REMOVE:
                del self.records[key]
            if self.streams and kind in (B_CREATE, B_START):
                self.connect(kind, serial, name, key)
                return
            self.send(kind, serial, name=name, state=self.records.get(key, RUNNING))

    def connect(self, kind, serial, name, key):
        ours, theirs = socket.socketpair()
        self.end(key)
        self.inits[key] = self.kinds.get(key, Init)(ours)
        self.send(kind, serial, name=name, fds=[theirs.fileno()])
        theirs.close()
        self.inits[key].thread.start()

    def end(self, key):
        if key in self.inits:
            with contextlib.suppress(OSError):
                self.inits[key].sock.shutdown(socket.SHUT_RDWR)

    # clients

    def open(self, method, path, body=None):
        connection = Connection(self.path)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        return connection

    def http(self, method, path, body=None):
        connection = self.open(method, path, body)
        response = connection.getresponse()
        result = Response(response.status, response.read())
        connection.close()
        return result

    def create(self, name, kind=None):
        if kind:
            self.kinds[name] = kind
        return self.http("PUT", f"/v1/sandboxes/{name}")

    def run(self, name, code="1", **fields):
        return self.http("POST", f"/v1/sandboxes/{name}/run", {"code": code, **fields})

    def fine(self, name="good"):
        """Another sandbox works: everything is as it should be."""
        if name not in self.records:
            self.create(name)
        return shown(self.run(name)) == FINE

    def memory(self):
        """MiB the gateway has resident."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


FINE = ["busy", "stdout fine\n", "ok", "idle"]


def shown(response):
    """An execution in short: one word or text a message."""
    if response.status != 200:
        return [response.status]
    return [word(message) for message in response.lines]


def word(message):
    content = message["content"]
    kind = message["header"]["msg_type"]
    if kind == "status":
        return content["execution_state"]
    if kind == "stream":
        return f"{content['name']} {content['text']}"
    if kind.endswith("_reply"):
        return content["status"] if content["status"] != "error" else content["ename"]
    return kind


def output(response):
    """What an exec printed, and its last line."""
    data = b"".join(base64.b64decode(line["data"]) for line in response.lines
                    if "data" in line)
    return data, response.lines[-1]


def asked(gateway, name, kind):
    """True once the sandbox has got a frame of this kind."""
    init = gateway.inits.get(name)
    return init and any(frame.kind == kind for frame in init.frames)
