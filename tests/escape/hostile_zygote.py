"""hostile_zygote: what test_zygote.py puts into images, as code that any Python of the
image executes as it starts. In a zygote it takes the place of ours and does what
BEHAVIOUR says; in every other process it does nothing.

It appends one JSON line a report to /tmp/report, and reads lines from /tmp/orders;
both are on the zygote's own disk in memory.
"""

import array
import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import sys
import time

BEHAVIOUR = "none"  # the test writes another one here
REPORT = 100  # a descriptor

NEWUSER, NEWPID, NEWNS = 0x10000000, 0x20000000, 0x20000
ALL = NEWUSER | NEWPID | NEWNS | 0x40000000 | 0x8000000 | 0x4000000 | 0x2000000
PTRACE_SEIZE = 0x4206
SCM_CREDENTIALS = 2
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
behaviours = {}


def behaviour(function):
    behaviours[function.__name__] = function
    return function


def report(**facts):
    os.write(REPORT, json.dumps(facts).encode() + b"\n")


def orders():
    """The lines of /tmp/orders, as they come, for a minute."""
    seen = 0
    for _ in range(6000):
        with open("/tmp/orders") as file:
            lines = [line for line in file.read().splitlines(True) if line[-1] == "\n"]
        for line in lines[seen:]:
            yield line.split()
        seen = len(lines)
        time.sleep(0.01)


def result(function, *args):
    try:
        value = function(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return value if isinstance(value, str) else "OK"


def call(number, *args):
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(a) for a in args])
    if value < 0:
        raise OSError(ctypes.get_errno(), "")
    return value


def setns(fd, flags):
    if libc.setns(fd, flags) < 0:
        raise OSError(ctypes.get_errno(), "setns")


def child(function, *args):
    """function in a child, which ends then; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*args)
    except BaseException as error:
        report(failed=f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def asks(control):
    """The pidfd and the socket of every J."""
    while True:
        data, fds, _flags, _address = socket.recv_fds(control, 1, 2)
        if not data:
            return
        yield fds[0], socket.socket(fileno=fds[1])


def join(pidfd):
    """Enters, and goes on as a process born inside, of a parent that was born there and
    so has init for heir; those above end."""
    setns(pidfd, ALL)
    for _ in range(2):
        if os.fork():
            os._exit(0)


def confine(filters, pidfd, talk):
    """What an honest child does when it is inside; it says R. Returns its way to
    init."""
    sys.path[:0] = ["/.kernelhost/runner/zygote", "/.kernelhost/runner/python"]
    from kernelhost_zygote.native import Native

    return Native(filters).confine(pidfd, talk, lambda: None)


def honest(filters, pidfd, talk):
    """A runner as it should be, but that it executes Python when it is claimed."""
    talk.send(b"H")
    if talk.recv(1) != b"G":
        os._exit(1)
    join(pidfd)
    init = socket.socket(fileno=confine(filters, pidfd, talk.fileno()))
    from kernelhost_runner import frame

    decoder = frame.Decoder()
    data, fds, _, _ = socket.recv_fds(init, 1 << 16, 4)
    if not data:
        os._exit(0)
    decoder.chunks.append(data)
    decoder.decode()
    cwd, strings = decoder.frames[0].slices
    pairs = [text.partition(b"=")[::2] for text in bytes(strings).split(b"\0")[:-1]]
    os.chdir(bytes(cwd))
    for source, target in zip(fds[:3], (1, 2, 3), strict=True):
        os.dup2(source, target)
    runner = "/.kernelhost/runner/python"
    os.execve("/usr/bin/python3", ["/usr/bin/python3", runner], dict(pairs))


# ---- those who are not where they say ----


@behaviour
def linger(control, filters):
    """A child stays in the user namespace of each sandbox, in nobody's way."""

    def strike(uid, pid):
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        report(
            strike=pid, uid=uid, kill=result(os.kill, pid, 0),
            prlimit=result(resource.prlimit, pid, resource.RLIMIT_NOFILE),
            nice=result(os.setpriority, os.PRIO_PROCESS, pid, 1),
        )

    def stay(pidfd):
        setns(pidfd, NEWUSER)
        report(stays=os.getpid())
        for word, uid, pid in orders():
            if word == "strike":
                os.waitpid(child(strike, int(uid), int(pid)), 0)

    for pidfd, talk in asks(control):
        child(stay, pidfd)
        child(honest, filters, pidfd, talk)
        talk.close()


@behaviour
def forge(control, filters):
    """Root of one sandbox says hello for another, as that one's first process."""
    ours, theirs = socket.socketpair()

    def send_for(pidfd):
        setns(pidfd, NEWUSER | NEWPID)
        if os.fork():
            os._exit(0)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        talk = socket.socket(fileno=fds[0])
        who = struct.pack("=iII", 1, 0, 0)  # pid, uid and gid, as seen inside
        report(forges=1)  # it may not live to tell how it went
        talk.sendmsg([b"H"], [(socket.SOL_SOCKET, SCM_CREDENTIALS, who)])
        talk.recv(1)

    for pidfd, talk in asks(control):
        with open("/tmp/orders") as file:
            begin = "forge" in file.read()
        if not begin:
            child(send_for, pidfd)
            child(honest, filters, pidfd, talk)
        else:
            socket.send_fds(ours, [b"x"], [talk.fileno()])
        talk.close()


@behaviour
def elsewhere(control, filters):
    """One is moved to the sandbox's groups, another becomes the runner."""

    def moved(talk, go):
        talk.send(b"H")
        report(moved=talk.recv(1).decode())
        os.write(go, b"g")

    def runs(pidfd, talk, go):
        os.read(go, 1)
        join(pidfd)
        report(runs=os.getpid())
        confine(filters, pidfd, talk.fileno())
        time.sleep(60)

    for pidfd, talk in asks(control):
        reader, writer = os.pipe()
        child(moved, talk, writer)
        child(runs, pidfd, talk, reader)
        talk.close()


@behaviour
def ghost(control, filters):
    """Who has said hello is gone, and reaped, when it is heard."""
    for _, talk in asks(control):
        for line in orders():
            if line == ["speak"]:
                break
        pid = child(talk.send, b"H")
        os.waitpid(pid, 0)
        report(gone=pid)


@behaviour
def ghost_runner(control, filters):
    """The same a word later."""
    for _, talk in asks(control):

        def hello(talk=talk):
            talk.send(b"H")
            report(moved=talk.recv(1).decode())

        os.waitpid(child(hello), 0)
        for line in orders():
            if line == ["speak"]:
                break
        pid = child(talk.send, b"R")
        os.waitpid(pid, 0)
        report(gone=pid)


@behaviour
def stay(control, filters):
    """It is moved to the sandbox's groups, and stays outside of it."""

    def moved(talk):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        talk.send(b"H")
        report(moved=talk.recv(1).decode(), pid=os.getpid())
        talk.close()
        time.sleep(120)

    for _, talk in asks(control):
        child(moved, talk)
        talk.close()


# ---- those who say what they should not ----


def said(*words):
    def function(control, filters):
        for _, talk in asks(control):
            with contextlib.suppress(OSError):
                for word in words:
                    talk.send(word)
                    report(said=len(word))
            time.sleep(60)

    return function


behaviours.update(
    wrong=said(b"X"), runner_at_once=said(b"R"), hello_twice=said(b"H", b"H"),
    long=said(b"H" * 60000), empty=said(b""), text=said(b"F\x1b[31m\n" + b"x" * 400),
)


@behaviour
def descriptors(control, filters):
    """Descriptors with each word, more than anybody has room for."""
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
    for _, talk in asks(control):
        report(said=result(talk.sendmsg, [b"H"], rights))
        report(said=result(control.sendmsg, [b"R"], rights))
        talk.close()


@behaviour
def unasked(control, filters):
    for _ in asks(control):
        control.send(b"R" * 1000)
        report(said=1000)
        time.sleep(60)


@behaviour
def silent(control, filters):
    for _ in asks(control):
        report(said=0)
        time.sleep(60)


@behaviour
def naked(control, filters):
    """A runner with the right ids, but with its capabilities and without filters."""
    def runs(pidfd, talk):
        talk.send(b"H")
        talk.recv(1)
        join(pidfd)
        talk.send(b"R")
        time.sleep(60)

    for pidfd, talk in asks(control):
        report(said=1)
        child(runs, pidfd, talk)
        talk.close()


# ---- those who look around ----


@behaviour
def look(control, filters):
    """From where a zygote is, what any user of the host could try."""
    words = next(line for line in orders() if line[0] == "look")
    host, gateway, box = map(int, words[1:])
    buffer = ctypes.create_string_buffer(64)
    part = struct.pack("=QQ", ctypes.addressof(buffer), 64)
    part = ctypes.addressof(keep := ctypes.create_string_buffer(part))
    for name, pid in (("host", host), ("gateway", gateway), ("box", box)):
        pidfd = os.pidfd_open(pid)
        report(look=name, results={
            "kill": result(os.kill, pid, 0),
            "pidfd kill": result(signal.pidfd_send_signal, pidfd, 0),
            "proc": result(os.listdir, f"/proc/{pid}"),
            "environ": result(open, f"/proc/{pid}/environ"),
            "root": result(os.listdir, f"/proc/{pid}/root"),
            "ptrace": result(call, 101, PTRACE_SEIZE, pid, 0, 0),
            "memory": result(call, 310, pid, part, 1, part, 1, 0),
            "prlimit": result(resource.prlimit, pid, resource.RLIMIT_NOFILE),
            "affinity": result(os.sched_setaffinity, pid, {0}),
            "nice": result(os.setpriority, os.PRIO_PROCESS, pid, 1),
            "ionice": result(call, 251, 1, pid, 3 << 13),
            **{
                f"setns {flag:#x}": result(setns, pidfd, flag)
                for flag in (NEWUSER, NEWNS, 0x40000000, 0x4000000, 0x8000000)
            },
            "descriptor": result(call, 438, pidfd, 0, 0),
        })
        os.close(pidfd)
    del keep
    report(look="alone", results={
        "user namespace": result(call, 272, NEWUSER),
        "mount namespace": result(call, 272, NEWNS),
        "clone": result(call, 56, NEWUSER | 17, 0, 0, 0, 0),
        "mount": result(call, 165, 0, 0, 0, 0, 0),
        "become root": result(os.setuid, 0),
        "host name": result(socket.sethostname, "x"),
        "new key": result(call, 248, 0, 0, 0, 0, 0),
        "keys": result(call, 250, 6, 0, 0, 0, 0),
        "bpf": result(call, 321, 0, 0, 0),
        "perf": result(call, 298, 0, 0, 0, 0, 0),
        "io_uring": result(call, 425, 1, 0),
        "packet": result(socket.socket, 17, 3, 0),
        "kernel log": result(call, 103, 10, 0, 0),
        "sysctl": result(open, "/proc/sys/kernel/core_pattern"),
        "processes": result(
            lambda: str(sum(n.isdigit() for n in os.listdir("/proc")))),
        "network": result(lambda: ",".join(n for _, n in socket.if_nameindex())),
        "kit": result(os.unlink, "/.kernelhost/runner/zygote/join.so"),
        "init": result(open, "/.kernelhost/init", "r+b"),
        "descriptors": ",".join(
            n for n in sorted(os.listdir("/proc/self/fd"))
            if os.path.exists(f"/proc/self/fd/{n}")),
    })
    control.recv(1)


@behaviour
def flood(control, filters):
    """As many processes, bytes on the disk, and bytes of memory as there are."""
    count = 0
    with contextlib.suppress(OSError):
        while count < 5000:
            child(time.sleep, 60)
            count += 1
    size = 0
    with contextlib.suppress(OSError), open("/tmp/big", "wb", 0) as file:
        while size < 4 << 30:
            size += file.write(bytes(1 << 20))
    with contextlib.suppress(OSError):
        os.unlink("/tmp/big")
    report(processes=count, disk=size)
    control.recv(1)


def main(fd):
    control = socket.socket(fileno=fd)
    message = control.recv(192 * 1024)
    sizes = struct.unpack_from("=II", message, 1)
    filters = [message[9 : 9 + sizes[0]], message[9 + sizes[0] : 9 + sum(sizes)]]
    open("/tmp/orders", "w").close()
    os.dup2(os.open("/tmp/report", os.O_WRONLY | os.O_APPEND | os.O_CREAT), REPORT)
    os.closerange(4, REPORT)
    control.send(b"R")
    behaviours[BEHAVIOUR](control, filters)
    signal.pause()


if any(word.endswith("/runner/zygote") for word in sys.orig_argv):
    main(3)
