#!/usr/bin/env python3
"""kernelhost-init's journal: what it holds, sends again and gives back.

Needs no privileges: part of `make check`.
"""

import random
import struct

from init_client import (
    ACK, ATTACH, DONE, EXEC_ACK, EXEC_OUTPUT, JOURNAL_BYTES, PUBLISH, READY, START,
    STREAM, Timeout, fresh, kinds, run_tests, small, text,
)
from tap import equal, eventually, ok


def reconnects():
    with fresh() as (init, c):
        c.start()
        c.send(START, kernel=2, slices=[b"python", b"/tmp", b""])
        c.cell(1, "import time\n"
               "for i in range(400): publish(str(i)); time.sleep(0.002)")
        seen = []
        while not seen or seen[-1].kind != DONE:
            try:
                seen.append(c.wait(lambda f: True, 5))
            except EOFError:
                break
            if len(seen) % 40 == 7:
                c.send(ACK, kernel=1, seq=seen[-1].seq - 3)
                old, c = c, init.connect()
                ok(old.closed(), "a new connection replaces the old") \
                    if len(seen) == 7 else old.close()
                c.send(ATTACH, kernel=1, seq=seen[-1].seq)
        equal([f.slices[2] for f in seen if f.kind == PUBLISH],
              [b"%d" % i for i in range(400)], "over reconnects each entry comes once")
        last = seen[-1].seq
        c.close()
        c = init.connect()
        numbers = {struct.unpack("<IIQQQ", s)[0]: struct.unpack("<IIQQQ", s)[1:]
                   for s in c.welcome.slices}
        equal(sorted(numbers), [1, 2], "WELCOME lists the kernels")
        ok(numbers[1][0] == READY and numbers[1][2] == last, "with state and numbers")
        equal(c.quiet(0.2), [], "nothing comes before ATTACH")
        c.send(ATTACH, kernel=1, seq=0)
        frames = c.quiet(0.3)
        equal([f.seq for f in frames], list(range(numbers[1][1], last + 1)),
              "all that is held comes again")
        c.send(ATTACH, kernel=1, seq=last - 2)
        equal([f.seq for f in c.quiet(0.2)], [last - 1, last], "or a part of it")
        c.send(ATTACH, kernel=1, seq=last + 1)
        equal(c.refused().flags, ATTACH, "an entry that never was is refused")
        c.send(ACK, kernel=1, seq=last + 1)
        equal(c.refused().flags, ACK, "also by ACK")
        c.send(ATTACH, kernel=2, seq=0)
        equal(kinds(c.until(lambda f: f.kernel == 2 and f.flags == READY), 2),
              ["state", "state"], "another kernel's journal was kept")
        c.stop(2)
        c.close()
        c = init.connect()
        equal(len(c.welcome.slices), 2, "a stopped kernel is listed")
        c.send(ACK, kernel=2, seq=3)
        c.close()
        c = init.connect()
        equal(len(c.welcome.slices), 1, "until all of it is acknowledged")
        c.send(ATTACH, kernel=2, seq=3)
        c.start(2, attach=False)
        equal([f.seq for f in c.frames], [], "its numbers")
        c.send(ATTACH, kernel=2, seq=0)
        equal([f.seq for f in c.quiet(0.2)], [4, 5], "go on in the next kernel")


def large():
    size = 50_000_000
    with fresh() as (init, c):
        c.start()
        c.cell(1, f"""
import random
data = random.Random(5).randbytes(1_000_000)
for i in range({size} // 1_000_000):
    out(data[i:] + data[:i])
    publish(data[:50_000]) if i % 10 == 0 else None
""")
        frames = []
        while not frames or frames[-1].kind != DONE:
            try:
                frames.append(c.wait(lambda f: True, 0.5))
            except Timeout:
                held = frames[-1].seq
                unread = sum(len(f.slices[0]) for f in frames if f.kind == STREAM)
                ok(JOURNAL_BYTES * 0.9 < unread < JOURNAL_BYTES * 1.2,
                   f"without ACK it stops after the journal's size ({unread})")
                break
        small(init, 40 << 20, "init is small meanwhile")
        c.send(ACK, kernel=1, seq=held // 4)
        equal(c.quiet(0.3), [], "a quarter acknowledged is not enough to go on")
        c.send(ACK, kernel=1, seq=held)
        while frames[-1].kind != DONE:
            frames.append(c.wait(lambda f: True))
            if frames[-1].seq % 20 == 0:
                c.send(ACK, kernel=1, seq=frames[-1].seq)
        data = random.Random(5).randbytes(1_000_000)
        want = b"".join(data[i:] + data[:i] for i in range(size // 1_000_000))
        ok(text(frames) == want, "50 MB arrive, every byte and in order")
        equal([f.seq for f in frames], list(range(frames[0].seq, frames[-1].seq + 1)),
              "each entry once")
        ok(max(len(f.slices[0]) for f in frames if f.kind == STREAM) <= 65536,
           "no entry of text is larger than 64 KiB")
        c.send(ACK, kernel=1, seq=frames[-1].seq)
        c.cell(2, "publish(b'x' * (60 << 20))")
        frame = c.wait(lambda f: f.kind == PUBLISH)
        equal(len(frame.slices[2]), 60 << 20, "a frame of 60 MiB passes")
        c.send(ACK, kernel=1, seq=frame.seq)
        c.send(ACK, kernel=1, seq=c.done(2)[-1].seq)
        c.run(3, "pass")
        small(init, 20 << 20, "its memory is given back")


def fairness():
    """A command that writes without end does not starve a kernel."""
    with fresh() as (_, c):
        c.start()
        for i in range(20):
            c.exec(i, [b"yes"])
        c.cell(1, "import time\n"
               "for i in range(200): publish('x' * 10000); time.sleep(0.002)")
        totals, last = {}, None
        while last is None or last.kind != DONE:
            last = c.wait(lambda f: True)
            if last.kind == EXEC_OUTPUT:
                totals[last.ident] = totals.get(last.ident, 0) + len(last.slices[0])
                c.send(EXEC_ACK, ident=last.ident, seq=totals[last.ident])
        ok(True, "a kernel has its turn beside floods")
        ok(len(totals) == 20 and min(totals.values()) * 20 > max(totals.values()),
           "and each of the floods has")


def leaks():
    with fresh() as (init, c):
        c.start()
        c.exec(1, [b"true"])
        c.exited(1)
        c.stop()
        before, memory = init.fds(), init.memory()
        for i in range(200):
            number = i % 8 + 1
            c.start(number, attach=i < 8, ready=i % 4 != 0)
            if i % 4 == 1:
                c.cell(1, "os._exit(1)", kernel=number)
                c.dead(number)
            c.send(ACK, kernel=number, seq=c.stop(number)[-1].seq)
        equal(init.fds(), before, "200 kernels leave no descriptor")
        for i in range(200):
            c.exec(i, [b"true"] if i % 3 else [b"/nowhere"])
            c.exited(i)
        equal(init.fds(), before, "nor do 200 commands")
        small(init, memory + (2 << 20), "nor memory")
        c.exec(1, [b"sh", b"-c", b"for i in $(seq 100); do (sh -c 'exit 0' &) ; done"])
        c.exited(1)
        ok(eventually(lambda: not init.children()), "orphans are reaped")


run_tests(reconnects, large, fairness, leaks)
