#!/usr/bin/env python3
"""kernelhost-init among hostile runners and gateways.

Needs no privileges: part of `make check`.
"""

import contextlib
import os
import socket
import struct

from init_client import (
    ACK, ATTACH, CELL, DONE, FULL, Frame, HELLO, INTERRUPT, LOST, READY, REQUEST,
    RESTART, STATE, STOP, STREAM, Timeout, fresh, kinds, lost, run_tests, small, status,
    text,
)
from tap import equal, ok


def hostile_runner():
    with fresh() as (init, c):
        big = "struct.pack('<IHHIQQI', 0x7fffffff, 17, 0, 0, 0, 0, 3)"
        garbage = {
            "bytes that are no frame": "raw(b'\\xff' * 64)",
            "a giant frame": f"raw({big})",
            "a frame shorter than its head": "raw(struct.pack('<I', 3))",
            "too many slices": "raw(struct.pack('<IHHIQQI', 28, 17, 0, 0, 0, 0, 999))",
            "an unknown type": "runner.send(99)",
            "a type of the other direction": "runner.send(2, 1, 0, [b''] * 4)",
            "a message without content": "runner.send(17, 1, 0, [b'x'])",
            "an end with slices": "runner.send(20, 1, 0, [b'x'])",
            "output of a request to come": "publish('x', 10**6)",
            "an unknown stream": "stream('x', 7)",
            "unknown flags in a reply": "runner.send(19, 1, 8, [b''] * 3)",
            "unknown flags in a message": "runner.send(17, 1, 1, [b''] * 3)",
        }
        ident = 0
        c.start()
        for name, code in garbage.items():
            ident += 1
            c.cell(ident, f"out(b'bye'); {code}; import time; time.sleep(60)")
            frames = c.dead(timeout=5)
            ok(text(frames) == b"bye" and status(frames[-1]) == 9
               and b"protocol" in frames[-1].slices[1], f"{name} ends the runner")
            c.send(RESTART, kernel=1)
            c.wait(lambda f: f.kind == STATE and f.flags == READY)
        ident += 1
        frames = c.run(ident, "for i in range(10000): runner.send(17, 0, 0, [b''] * 3)")
        equal(kinds(frames).count("publish"), 10000, "10,000 frames")
        c.send(ACK, kernel=1, seq=frames[-1].seq)
        ident += 1
        frames = c.run(ident, """
for i in range(3000):
    runner.marker([0, 1, i, 2**64 - 1, runner.count + 1, runner.count + 2][i % 6])
    out(b'x')
    publish('p')""")
        ok(text(frames) == b"x" * 3000 and kinds(frames).count("publish") == 3000
           and runner_is_clean(frames), "wrong markers lose nothing and are not seen")
        c.send(ACK, kernel=1, seq=frames[-1].seq)
        ident += 1
        frames = c.run(ident, "runner.markers = False\n"
                       "for i in range(3000): out(b'y'); err(b'z'); publish('p')")
        ok(text(frames) == b"y" * 3000 and text(frames, 2) == b"z" * 3000,
           "no markers lose nothing")
        c.send(ACK, kernel=1, seq=frames[-1].seq)
        ident += 1
        # A child that floods the pipe while frames come.
        c.cell(ident, "os.system('timeout 2 yes & timeout 2 yes >&2 &')\n"
               "runner.markers = True\nfor i in range(100): publish('p')")
        frames = []
        while not frames or frames[-1].kind != DONE:
            frames.append(c.wait(lambda f: True, 10))
            c.send(ACK, kernel=1, seq=frames[-1].seq)
        equal(kinds(frames).count("publish"), 100, "a flood does not stop frames")
        frames = c.start(2) + c.run(1, "pass", kernel=2)
        ok(frames, "nor another kernel")
        c.send(ACK, kernel=1, seq=max(f.seq for f in frames if f.kernel == 1))
        c.send(STOP, kernel=1)
        while True:
            frame = c.wait(lambda f: True, 10)
            if frame.kernel == 1:
                c.send(ACK, kernel=1, seq=frame.seq)
            if frame.kernel == 1 and frame.kind == STATE:
                break
        small(init, 64 << 20, "init stays small")
        # It never reads: what waits for it is bounded by the queue.
        c.run(2, "pass", kernel=2)
        c.cell(3, "os.kill(os.getpid(), signal.SIGSTOP)", kernel=2)
        for i in range(4, 10010):
            c.cell(i, "pass", kernel=2)
        frames = c.until(lambda f: f.kind == LOST and f.ident == 10009, 30)
        equal({why for _, why in lost(frames, 2)}, {FULL}, "a full queue is told")
        equal(len(lost(frames, 2)), 10009 - 3 + 1 - 10000, "to whom it does not hold")
        c.send(ACK, kernel=2, seq=frames[-1].seq)
        frames = c.stop(2)
        equal(len(lost(frames, 2)), 10000, "and all others are answered at the end")


def hostile_gateway():
    with fresh() as (init, c):
        c.start()
        vectors = {
            "no frame": b"\xff" * 64,
            "a giant frame": struct.pack("<I", 0x7FFFFFFF),
            "an unknown type": Frame(77).encode(),
            "a type of the other direction": Frame(STREAM, 1, 1).encode(),
            "too few slices": Frame(REQUEST, 0, 1, 5, 0, [b""] * 3).encode(),
            "too many slices": Frame(ACK, 0, 1, 0, 0, [b""]).encode(),
        }
        for name, data in vectors.items():
            other = init.connect()
            other.sock.sendall(data)
            ok(other.closed(), f"{name} ends the connection")
        other = init.connect(greet=False)
        other.send(ATTACH, kernel=1, seq=0)
        ok(other.closed(), "so does anything before HELLO")
        other = init.connect(greet=False)
        other.send(HELLO, ident=99)
        equal(other.refused().flags, HELLO, "another version is refused")
        other.send(HELLO, ident=1)
        ok(other.wait(lambda f: f.kind == 32), "and the right one is welcome")
        data = Frame(REQUEST, CELL, 1, 1, 0, [b"{}"] * 3 + [b"pass"]).encode()
        other.send(ATTACH, kernel=1, seq=2)
        for i in range(len(data)):
            other.sock.sendall(data[i : i + 1])
        ok(other.done(1), "a frame that comes byte by byte is taken")
        # Descriptors that come along are closed.
        before = len(init.fds())
        r, w = os.pipe()
        for _ in range(200):
            socket.send_fds(other.sock, [Frame(ACK, 0, 1).encode()], [r, w])
        other.send(HELLO, ident=1)
        other.wait(lambda f: f.kind == 32)
        equal(len(init.fds()), before, "passed descriptors are not kept")
        # Asking without reading.
        quiet = init.connect()
        quiet.sock.settimeout(1)
        sent, frame = 0, Frame(INTERRUPT, 0, 50).encode() * 1000
        try:
            while sent < 200 << 20:
                sent += quiet.sock.send(frame)
        except TimeoutError:
            pass
        ok(sent < 64 << 20, "who asks without reading is not read")
        small(init, 40 << 20, "and costs little")
        got = 0
        with contextlib.suppress(Timeout):
            while True:
                quiet.receive(1)
                got += 1
        ok(got >= sent // 32 - 1000, "each question was answered in the end")
        other = init.connect()
        other.send(ATTACH, kernel=1, seq=0)
        ok(other.run(2, "pass"), "the kernel has felt nothing")
        for _ in range(300):
            init.connect(greet=False).close()
        ok(init.connect().welcome, "connections that come and go")


def runner_is_clean(frames):
    return all(set(f.slices[0]) <= set(b"x") for f in frames if f.kind == STREAM)


run_tests(hostile_runner, hostile_gateway)
