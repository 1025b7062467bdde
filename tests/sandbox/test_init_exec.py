#!/usr/bin/env python3
"""Commands that kernelhost-init runs.

Needs no privileges: part of `make check`.
"""

import hashlib
import os
import resource
import time

from init_client import (
    ATTACH, EXEC_ACK, EXEC_EXIT, EXEC_INPUT, EXEC_OUTPUT, EXEC_SIGNAL, FAST, READY,
    REFUSED, RESTART, STATE, WINDOW, fresh, kinds, run_tests, status,
)
from tap import equal, eventually, ok


def commands():
    with fresh() as (init, c):
        c.exec(1, [b"/bin/sh", b"-c", b"echo out; echo err >&2; pwd; echo $A; exit 3"],
               [b"A=b c"], b"/usr")
        out, end = c.exited(1)
        equal(b"".join(d for s, d in out if s == 1), b"out\n/usr\nb c\n", "stdout")
        equal(b"".join(d for s, d in out if s == 2), b"err\n", "stderr")
        equal(end.seq, 3 << 8, "the status")
        c.exec(2, [b"cat"])
        c.send(EXEC_INPUT, ident=2, slices=[b"one "])
        c.send(EXEC_INPUT, ident=2, slices=[b"two"])
        c.send(EXEC_INPUT, ident=2)
        equal(c.exited(2)[0][0][1], b"one two", "input and its end")
        c.exec(3, [b"no-such-command"])
        end = c.exited(3)[1]
        ok(end.seq == 0x7F00 and b"no-such-command" in end.slices[0], "no such command")
        c.exec(3, [b"true"], cwd=b"/no-such-directory")
        ok(b"/no-such-directory" in c.exited(3)[1].slices[0], "no such directory")
        for name, argv, env, cwd in [
            ("no command", [], [], b"/"), ("an empty command", [b""], [], b"/"),
            ("a relative directory", [b"true"], [], b"tmp"),
            ("a wrong environment", [b"true"], [b"A"], b"/"),
            ("a nameless variable", [b"true"], [b"=A"], b"/"),
        ]:
            c.exec(4, argv, env, cwd)
            equal(c.refused().ident, 4, f"{name} is refused")
        c.send(9, ident=4, slices=[b"true", b"", b"/"])
        equal(c.refused().ident, 4, "strings without an end are refused")
        c.exec(5, [b"sleep", b"1000"])
        c.exec(5, [b"true"])
        ok(b"already" in c.refused().slices[0], "an id is used once")
        c.send(EXEC_SIGNAL, ident=5, flags=999)
        equal(c.refused().flags, EXEC_SIGNAL, "there is no signal 999")
        c.send(EXEC_SIGNAL, ident=5, flags=15)
        equal(c.exited(5)[1].seq, 15, "a signal")
        c.send(EXEC_SIGNAL, ident=5, flags=15)
        equal(c.refused().ident, 5, "but not after the end")
        # The window.
        c.exec(6, [b"head", b"-c", b"5000000", b"/dev/zero"])
        got = sum(len(f.slices[0]) for f in c.quiet(0.5) if f.kind == EXEC_OUTPUT)
        equal(got, WINDOW, "output stops at the window")
        while got < 5_000_000:
            c.send(EXEC_ACK, ident=6, seq=got)
            got += len(c.wait(lambda f: f.kind == EXEC_OUTPUT).slices[0])
        equal((got, c.exited(6)[1].seq), (5_000_000, 0), "and goes on with each ACK")
        # Large input to a slow reader.
        data = os.urandom(3 << 20)
        c.exec(7, [b"sh", b"-c", b"sleep 0.5; sha256sum"])
        c.send(EXEC_INPUT, ident=7, slices=[data])
        c.send(EXEC_INPUT, ident=7)
        out, _ = c.exited(7)
        equal(out[0][1].split()[0].decode(), hashlib.sha256(data).hexdigest(),
              "3 MiB of input")
        c.exec(8, [b"sleep", b"1000"])
        for _ in range(2):
            c.send(EXEC_INPUT, ident=8, slices=[bytes(40 << 20)])
        equal(c.refused().flags, EXEC_INPUT, "input that nobody reads is bounded")
        c.send(EXEC_SIGNAL, ident=8, flags=9)
        c.exited(8)
        # Something in the background holds the pipe.
        begun = time.monotonic()
        c.exec(9, [b"sh", b"-c", b"(echo one; sleep 3; echo two) & exit 5"])
        out, end = c.exited(9)
        took = time.monotonic() - begun
        ok(out == [(1, b"one\n")] and end.seq == 5 << 8 and 0.15 < took < 2,
           f"a background child does not delay the end ({took:.2f} s)")
        c.exec(10, [b"sh", b"-c", b"yes & exit 5"])
        total, end = 0, None
        while not end:
            f = c.wait(lambda f: f.ident == 10)
            end = f if f.kind == EXEC_EXIT else None
            total += 0 if end else len(f.slices[0])
            c.send(EXEC_ACK, ident=10, seq=total)
        equal(end.seq, 5 << 8, "nor does one that writes without end")
        # Without a gateway.
        c.exec(11, [b"sh", b"-c", b"sleep 0.5; echo late; sleep 0.5; exit 6"])
        c.exec(12, [b"sh", b"-c", b"sleep 0.2"])
        c.close()
        time.sleep(0.7)
        c = init.connect()
        out, end = c.exited(11)
        ok(out == [(1, b"late\n")] and end.seq == 6 << 8,
           "a process outlives a gateway")
        equal(c.quiet(0.2), [], "one that ended meanwhile is forgotten")
        for i in range(300):
            c.exec(1000 + i, [b"sleep", b"1000"])
        for _ in range(300 - 256):
            c.wait(lambda f: f.kind == REFUSED, 60)
        equal([f for f in c.quiet(1) if f.kind == REFUSED], [],
              "processes are bounded")
        for i in range(256):
            c.send(EXEC_SIGNAL, ident=1000 + i, flags=9)
        ended = {c.wait(lambda f: f.kind == EXEC_EXIT).ident for _ in range(256)}
        equal(len(ended), 256, "and all can be ended")
        ok(eventually(lambda: not init.children()), "and are reaped")


def shortage():
    """No descriptor is left."""
    with fresh() as (init, c):
        c.start()
        limits = resource.prlimit(init.process.pid, resource.RLIMIT_NOFILE)
        short = len(init.fds()) + 1
        resource.prlimit(init.process.pid, resource.RLIMIT_NOFILE, (short, limits[1]))
        c.start(2, ready=False)
        frame = c.dead(2)[-1]
        ok(status(frame) == 0xFFFFFFFF and b"pipes" in frame.slices[1],
           "a kernel that finds no descriptors is told dead")
        c.exec(1, [b"true"])
        end = c.exited(1)[1]
        ok(end.seq == 0x7F00 and b"pipes" in end.slices[0], "so is a command")
        short = len(init.fds())
        resource.prlimit(init.process.pid, resource.RLIMIT_NOFILE, (short, limits[1]))
        c = init.connect()
        c.send(ATTACH, kernel=1, seq=2)
        equal(kinds(c.run(1, "pass")), FAST, "a gateway can still connect")
        resource.prlimit(init.process.pid, resource.RLIMIT_NOFILE, limits)
        c.send(RESTART, kernel=2)
        c.send(ATTACH, kernel=2, seq=2)
        ok(c.wait(lambda f: f.kind == STATE and f.flags == READY), "and all goes on")


run_tests(commands, shortage)
