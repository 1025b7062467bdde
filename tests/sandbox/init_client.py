"""A stand-in for the gateway: starts kernelhost-init as a plain process and speaks
doc/PROTOCOL.init with it."""

import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HELLO, START, RESTART, STOP, REQUEST, INTERRUPT, ACK, ATTACH = range(1, 9)
EXEC, EXEC_INPUT, EXEC_SIGNAL, EXEC_ACK = range(9, 13)
WELCOME, REFUSED = 32, 33
STATE, BEGIN, PUBLISH, STREAM, REPLY, DONE, LOST = range(64, 71)
EXEC_OUTPUT, EXEC_EXIT = 80, 81
STARTING, READY, DEAD = 1, 2, 3
ABORTED, DIED, RESTARTED, FULL = 1, 2, 3, 4
CONTROL, EXECUTE, STOP_ON_ERROR = 1, 2, 4
CELL = EXECUTE | STOP_ON_ERROR
FAST = ["begin", "reply", "done"]
JOURNAL_BYTES = 8 << 20
WINDOW = 1 << 20

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent))

from tap import check, done, eventually, ok  # noqa: E402

BUILD = pathlib.Path(os.environ["KH_BUILDDIR"])
BINARY = BUILD / "sandbox/init/init"
# AddressSanitizer does not give memory back.
SANITIZED = b"__asan_init" in BINARY.read_bytes()
HEAD = struct.Struct("<IHHIQQI")
NAMES = {STATE: "state", BEGIN: "begin", PUBLISH: "publish", STREAM: "stream",
         REPLY: "reply", DONE: "done", LOST: "lost"}


class Frame:
    def __init__(self, kind, flags=0, kernel=0, ident=0, seq=0, slices=()):
        self.kind, self.flags, self.kernel = kind, flags, kernel
        self.ident, self.seq, self.slices = ident, seq, list(slices)

    def encode(self):
        body = b"".join(struct.pack("<I", len(s)) for s in self.slices)
        body += b"".join(self.slices)
        return HEAD.pack(28 + len(body), self.kind, self.flags, self.kernel,
                         self.ident, self.seq, len(self.slices)) + body

    def __repr__(self):
        shown = [bytes(s[:60]) for s in self.slices]
        return (f"<{NAMES.get(self.kind, self.kind)} flags={self.flags} kernel="
                f"{self.kernel} id={self.ident} seq={self.seq} {shown}>")


def decode(data):
    """One frame at the start of data and its length, or (None, 0)."""
    if len(data) < 32:
        return None, 0
    size, kind, flags, kernel, ident, seq, count = HEAD.unpack_from(data)
    if len(data) < size + 4:
        return None, 0
    frame = Frame(kind, flags, kernel, ident, seq)
    at = 32 + 4 * count
    for length in struct.unpack_from(f"<{count}I", data, 32):
        frame.slices.append(bytes(data[at : at + length]))
        at += length
    return frame, size + 4


class Timeout(Exception):
    pass


class Connection:
    """One connection of a gateway. What was received and not asked for waits in
    `frames`."""

    def __init__(self, path, greet=True):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.data = bytearray()
        self.frames = []
        self.welcome = None
        if greet:
            self.send(HELLO, ident=1)
            self.welcome = self.wait(lambda f: f.kind == WELCOME)

    def close(self):
        self.sock.close()

    def send(self, kind, **fields):
        self.sock.settimeout(60)
        self.sock.sendall(Frame(kind, **fields).encode())

    def receive(self, timeout):
        """One frame more from the socket; Timeout; EOFError."""
        end = time.monotonic() + timeout
        while True:
            frame, size = decode(self.data)
            if frame:
                del self.data[:size]
                return frame
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"waited {timeout} s; have {self.frames[-20:]}")
            self.sock.settimeout(left)
            try:
                piece = self.sock.recv(1 << 20)
            except TimeoutError:
                continue
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise EOFError
            self.data += piece

    def wait(self, want, timeout=20):
        """The first frame that is wanted; it is taken out, the others stay."""
        for i, frame in enumerate(self.frames):
            if want(frame):
                return self.frames.pop(i)
        end = time.monotonic() + timeout
        while True:
            frame = self.receive(max(0, end - time.monotonic()))
            if want(frame):
                return frame
            self.frames.append(frame)

    def until(self, want, timeout=20):
        """All frames up to the first wanted one, in their order."""
        last = self.wait(want, timeout)
        frames, self.frames = self.frames, []
        return [*frames, last]

    def quiet(self, seconds=0.3):
        """What comes within the time, with what waited."""
        end = time.monotonic() + seconds
        try:
            while True:
                self.frames.append(self.receive(max(0, end - time.monotonic())))
        except Timeout:
            frames, self.frames = self.frames, []
            return frames

    def closed(self, timeout=5):
        """True when init closes the connection."""
        try:
            self.wait(lambda f: False, timeout)
        except EOFError:
            return True
        except Timeout:
            return False

    # Kernels

    def start(self, kernel=1, attach=True, ready=True, env=(), cwd=b"/tmp"):
        env = [b"PYTHONDONTWRITEBYTECODE=1", *env]
        if attach:
            self.send(ATTACH, kernel=kernel, seq=0)
        self.send(START, kernel=kernel,
                  slices=[b"python", cwd, b"".join(e + b"\0" for e in env)])
        if ready:
            return self.until(lambda f: f.kernel == kernel and f.kind == STATE
                              and f.flags == READY)
        return None

    def cell(self, ident, code, kernel=1, flags=CELL):
        self.send(REQUEST, kernel=kernel, ident=ident, flags=flags,
                  slices=[b"{}", b"{}", b"{}", code.encode()])

    def run(self, ident, code, kernel=1, flags=CELL, timeout=20):
        """Runs a cell and returns its frames up to DONE."""
        self.cell(ident, code, kernel, flags)
        return self.done(ident, kernel, timeout)

    def done(self, ident, kernel=1, timeout=20):
        return self.until(lambda f: f.kind == DONE and f.kernel == kernel
                          and f.ident == ident, timeout)

    def dead(self, kernel=1, timeout=20):
        return self.until(lambda f: f.kind == STATE and f.kernel == kernel
                          and f.flags == DEAD, timeout)

    def stop(self, kernel=1):
        self.send(STOP, kernel=kernel)
        return self.dead(kernel)

    def refused(self):
        return self.wait(lambda f: f.kind == REFUSED, 5)

    # Processes

    def exec(self, ident, argv, env=(), cwd=b"/tmp"):
        self.send(EXEC, ident=ident, slices=[
            b"".join(a + b"\0" for a in argv), b"".join(e + b"\0" for e in env), cwd])

    def exited(self, ident, timeout=20):
        """Output, as (stream, bytes) pairs, and the EXEC_EXIT frame."""
        frames = self.until(lambda f: f.kind == EXEC_EXIT and f.ident == ident, timeout)
        out = [(f.flags, f.slices[0]) for f in frames if f.kind == EXEC_OUTPUT]
        return out, frames[-1]


class Init:
    def __init__(self, *options):
        self.directory = tempfile.mkdtemp(prefix="kh-init-")
        self.path = self.directory + "/init.sock"
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [BINARY, "--socket", self.path, "--runner",
             HERE / "init_runner", "--no-setuid", *options, str(writer)],
            pass_fds=[writer], stdin=subprocess.DEVNULL)
        os.close(writer)
        self.ready = os.read(reader, 4096)
        os.close(reader)

    def connect(self, **options):
        return Connection(self.path, **options)

    def children(self):
        """(pid, state) of the processes whose parent is init."""
        return [(int(s[0]), s[2]) for s in stats() if s[3] == str(self.process.pid)]

    def fds(self):
        return sorted(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """Resident bytes of init."""
        text = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        """Ends init; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(10)
        for name in os.listdir(self.directory):
            os.unlink(f"{self.directory}/{name}")
        os.rmdir(self.directory)
        return status


def stats():
    """The fields of /proc/PID/stat of every process: pid, name, state, parent,
    group, session..."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            text = pathlib.Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        rest = text.rpartition(")")
        found.append([name, rest[0].partition("(")[2], *rest[2].split()])
    return found


def session_members(session):
    return [int(s[0]) for s in stats() if s[5] == str(session) and s[2] != "Z"]


def kinds(frames, kernel=1):
    """The journal entries among frames, as short words."""
    return [NAMES[f.kind] for f in frames if f.kind in NAMES and f.kernel == kernel]


def text(frames, stream=1):
    return b"".join(f.slices[0] for f in frames
                    if f.kind == STREAM and f.flags == stream)


@contextlib.contextmanager
def fresh():
    """An init of its own, and a connection to it. Whatever happened, it must be
    there at the end, and end cleanly."""
    init = Init()
    try:
        yield init, init.connect()
        ok(init.process.poll() is None, "init is still there")
    finally:
        ok(init.close() == 0, "init ends cleanly")


def small(init, limit, name):
    if not SANITIZED:
        ok(eventually(lambda: init.memory() < limit, 3),
           f"{name} ({init.memory() >> 10} KiB of {limit >> 10})")


def status(frame):
    return struct.unpack("<I", frame.slices[0])[0]


def lost(frames, kernel=1):
    return [(f.ident, f.flags) for f in frames if f.kind == LOST and f.kernel == kernel]


def run_tests(*tests):
    """Runs the tests, or those that the command line names."""
    for test in tests:
        if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
            continue
        print(f"# {test.__name__}", flush=True)
        with check(f"{test.__name__}: ends as expected"):
            test()
    done()
