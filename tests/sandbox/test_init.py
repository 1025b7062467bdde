#!/usr/bin/env python3
"""kernelhost-init as a plain process, driven by a gateway and runners of our own.

Needs no privileges: part of `make check`.
"""

import contextlib
import hashlib
import os
import random
import resource
import socket
import struct
import sys
import time

from init_client import (
    ABORTED, ACK, ATTACH, BEGIN, CELL, CONTROL, DIED, DONE, EXECUTE, EXEC_ACK,
    EXEC_EXIT, EXEC_INPUT, EXEC_OUTPUT, EXEC_SIGNAL, FULL, Frame, HELLO, INTERRUPT,
    Init, JOURNAL_BYTES, LOST, PUBLISH, READY, REFUSED, REPLY, REQUEST, RESTART,
    RESTARTED, SANITIZED, START, STARTING, STATE, STOP, STREAM, Timeout, WINDOW,
    eventually, kinds, session_members, text,
)
from tap import check, done, equal, ok

FAST = ["begin", "reply", "done"]


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


def starts():
    with fresh() as (init, c):
        equal(init.ready, b"R", "it says R when it can be connected to")
        equal(c.welcome.slices, [], "nothing is there at first")
        frames = c.start()
        equal([(f.kind, f.flags, f.ident) for f in frames],
              [(STATE, STARTING, 1), (STATE, READY, 1)], "a kernel starts")
        equal(frames[-1].slices, [b'{"status":"ok"}'], "with what the runner says")
        c.stop()
        with check("an unknown kind is refused"):
            c.send(START, kernel=2, slices=[b"cobol", b"", b""])
            frame = c.refused()
            assert frame.flags == START and frame.kernel == 2
            assert b"cobol" in frame.slices[0]
        with check("a directory that is not there is told"):
            c.start(2, ready=False, cwd=b"/nowhere")
            frame = c.dead(2)[-1]
            assert status(frame) == 0xFFFFFFFF and b"/nowhere" in frame.slices[1]


def surroundings():
    with fresh() as (_, c):
        c.start(env=[b"X=1=2", b"LANG=C"])
        code = """
fds = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')
       if int(n) < 4}
publish(repr((sorted(fds), fds['0'], fds['1'][:5], fds['2'][:5], fds['3'][:7],
    os.getpid() == os.getsid(0) == os.getpgrp(), os.getcwd(),
    [os.environ.get(k) for k in ('HOME', 'USER', 'LANG', 'X', 'MPLBACKEND',
                                 'PYTHONUNBUFFERED')],
    open('/proc/self/oom_score_adj').read().strip(),
    [l for l in open('/proc/self/status') if l[:6] in ('SigBlk', 'SigIgn')])))"""
        frame = [f for f in c.run(1, code) if f.kind == PUBLISH][0]
        got = eval(frame.slices[2])
        equal(got[:5], (["0", "1", "2", "3"], "/dev/null", "pipe:", "pipe:", "socket:"),
              "a runner has its four descriptors")
        ok(got[5], "it leads its session and its group")
        equal(got[6], "/tmp", "it is where it was asked to be")
        equal(got[7], ["/home/user", "user", "C", "1=2",
                       "module://matplotlib_inline.backend_inline", None],
              "it has its environment")
        if os.geteuid() == 0:
            equal(got[8], "500", "it is killed before init when memory is out")
        equal(got[9][0].split()[1], "0" * 16, "no signal is blocked")
        # Python ignores SIGPIPE and SIGXFSZ itself.
        equal(int(got[9][1].split()[1], 16) & ~(1 << 12 | 1 << 24 | 1 << 1), 0,
              "no signal is ignored")
        c.exec(1, [b"sh", b"-c", b"ls /proc/self/fd | wc -l"])
        out, _ = c.exited(1)
        equal(out[0][1].split()[0], b"4", "a command has three (and ls its own)")


def order():
    with fresh() as (_, c):
        c.start()
        frames = c.run(1, """
for i in range(200):
    out(b'o%d.' % i)
    err(b'e%d.' % i)
    publish('p%d' % i)
    os.system('echo s%d' % i) if i % 20 == 0 else None
    stream('t%d' % i)
""")
        got = [f.slices[-1].decode() for f in frames if f.kind in (STREAM, PUBLISH)]
        want = []
        for i in range(200):
            want += [f"o{i}.", f"e{i}.", f"p{i}"]
            if i % 20 == 0:
                want.append(f"s{i}\n")
            want.append(f"t{i}")
        equal("".join(got), "".join(want), "text and frames keep their order")
        equal([f.seq for f in frames], list(range(frames[0].seq, frames[-1].seq + 1)),
              "numbers have no gap")
        ok(all(f.ident == 1 for f in frames), "all of it belongs to its request")
        frames = c.run(2, "out(b'last words')")
        equal(kinds(frames), ["begin", "stream", "reply", "done"],
              "text without a newline is there before the reply")
        begun = time.monotonic()
        c.cell(3, "hold(); out(b'early'); import time;"
               " time.sleep(1); reply(); done()")
        c.wait(lambda f: f.kind == STREAM)
        ok(time.monotonic() - begun < 0.9, "text is not held back until a frame comes")
        c.done(3)
        c.run(4, "os.system('(sleep 0.3; echo late) &')")
        frame = c.wait(lambda f: f.kind == STREAM)
        equal((frame.ident, frame.slices[0]), (4, b"late\n"),
              "what comes after the end belongs to the last request")
        frames = c.run(5, "out(runner.nonce[:15]); publish('x'); out(runner.nonce[:1]);"
                       "err(runner.nonce[:8] + b'!')")
        nonce = text(frames)
        equal(len(nonce), 16, "bytes that look like a part of a marker pass")
        equal((nonce[15:], text(frames, 2)), (nonce[:1], nonce[:8] + b"!"), "unchanged")
        frames = c.run(6, "os.system('i=0; while [ $i -lt 2000 ]; do printf x; "
                       "i=$((i+1)); done')")
        equal(text(frames), b"x" * 2000, "single bytes arrive")
        ok(kinds(frames).count("stream") < 500, "and are gathered")


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


def requests():
    with fresh() as (_, c):
        c.start()
        c.cell(1, "import time; time.sleep(0.3); publish('slow')")
        c.cell(2, "publish('b')")
        c.cell(2, "publish('again')")
        c.cell(1, "publish('again')")
        c.cell(3, "publish('c')", flags=0)
        c.cell(4, "{}", flags=CONTROL)
        frames = c.done(3)
        equal([(f.kind, f.ident) for f in frames if f.kind in (BEGIN, DONE)],
              [(BEGIN, 1), (BEGIN, 4), (DONE, 4), (DONE, 1), (BEGIN, 2), (DONE, 2),
               (BEGIN, 3), (DONE, 3)],
              "shell requests run one by one, control requests at once")
        equal([f.slices[2] for f in frames if f.kind == PUBLISH],
              [b"control", b"slow", b"b", b"c"], "a repeated id is ignored")
        c.send(REQUEST, kernel=1, ident=0, slices=[b"{}"] * 4)
        equal(c.refused().flags, REQUEST, "id 0 is refused")
        c.send(REQUEST, kernel=1, ident=50, flags=64, slices=[b"{}"] * 4)
        equal(c.refused().ident, 50, "unknown flags are refused")
        c.send(REQUEST, kernel=9, ident=1, slices=[b"{}"] * 4)
        ok(b"no kernel 9" in c.refused().slices[0], "a kernel that is not there too")
        c.send(REQUEST, kernel=65, ident=1, slices=[b"{}"] * 4)
        equal(c.refused().kernel, 65, "and one that cannot be")
        c.send(START, kernel=1, slices=[b"python", b"", b""])
        ok(b"kernel 1" in c.refused().slices[0], "a number is used once")
        # Before READY: everything waits, and control goes first.
        c.start(2, ready=False, env=[b"FAKE_START=import time; time.sleep(0.3)"])
        c.cell(1, "pass", kernel=2)
        c.cell(2, "pass", kernel=2, flags=CONTROL)
        frames = c.done(1, kernel=2)
        equal([(f.kind, f.ident) for f in frames if f.kind in (STATE, BEGIN)],
              [(STATE, 1), (STATE, 1), (BEGIN, 2), (BEGIN, 1)],
              "requests wait for READY")


def aborts():
    with fresh() as (_, c):
        c.start()
        c.cell(1, "import time; time.sleep(0.3); 1/0")
        c.cell(2, "pass")
        c.cell(3, "pass", flags=0)
        c.cell(4, "pass", flags=EXECUTE)
        frames = c.done(3)
        equal(lost(frames), [(2, ABORTED), (4, ABORTED)],
              "an error aborts the execute requests that wait")
        equal([(f.kind, f.ident) for f in frames if f.kind in (DONE, LOST)],
              [(DONE, 1), (LOST, 2), (LOST, 4), (DONE, 3)],
              "after the end of the one that failed; others stay")
        equal(kinds(c.run(5, "pass")), FAST, "later ones run")
        c.cell(6, "import time; time.sleep(0.2); 1/0", flags=EXECUTE)
        c.cell(7, "pass")
        equal(lost(c.done(7)), [], "without stop_on_error nothing is aborted")
        c.cell(8, "hold(); import time; time.sleep(0.2); reply(True);"
               "time.sleep(0.4); done()")
        c.cell(9, "pass")
        c.wait(lambda f: f.kind == REPLY)
        c.cell(10, "pass")
        frames = c.done(10)
        equal(lost(frames), [(9, ABORTED)],
              "what comes after the reply is not aborted")
        c.cell(11, "hold(); reply(True); reply(True); reply(); done(); done(); done(3)")
        frames = c.quiet()
        equal(kinds(frames), FAST, "a request has one reply and one end")


def deaths():
    with fresh() as (init, c):
        c.start()
        c.cell(1, "out(b'before'); publish('p'); out(b'after'); err(b'E'); os._exit(3)")
        c.cell(2, "pass")
        c.cell(3, "pass", flags=0)
        frames = c.dead()
        equal(kinds(frames), ["begin", "stream", "publish", "stream", "stream", "lost",
                              "lost", "lost", "state"],
              "what it wrote comes before the news")
        equal((text(frames), text(frames, 2)), (b"beforeafter", b"E"), "all of it")
        equal(lost(frames), [(1, DIED), (2, DIED), (3, DIED)], "each request is told")
        equal((status(frames[-1]), len(frames[-1].slices)), (3 << 8, 1),
              "exit 3 is told")
        c.cell(4, "pass")
        equal(lost(c.until(lambda f: f.kind == LOST)), [(4, DIED)],
              "a dead kernel answers new requests")
        c.send(RESTART, kernel=1)
        frames = c.until(lambda f: f.kind == STATE and f.flags == READY)
        equal([(f.flags, f.ident) for f in frames], [(STARTING, 2), (READY, 2)],
              "a restart starts it again")
        equal(kinds(c.run(5, "pass")), FAST, "and it works")
        frames = c.run(6, "os.system('sleep 1000 & (setsid sleep 1001 &)');"
                       "publish(str(os.getpid()))")
        runner = int(frames[1].slices[2])
        c.cell(7, "os.kill(os.getpid(), 9)")
        frames = c.dead()
        equal(status(frames[-1]), 9, "SIGKILL is told")
        ok(eventually(lambda: len(session_members(runner)) == 1),
           "what it left behind lives on")
        c.send(STOP, kernel=1)
        equal(status(c.dead()[-1]), 9, "a stop of a dead kernel is told once more")
        ok(eventually(lambda: not session_members(runner)), "and ends them")
        ok(eventually(lambda: len(init.children()) == 1), "but not who left it")
        os.kill(init.children()[0][0], 9)
        ok(eventually(lambda: not init.children()), "orphans are reaped")
        c.start(attach=False)
        equal(kinds(c.run(1, "pass")), FAST, "the number can be used again")
        c.start(2, ready=False, env=[b"FAKE_START=sys.exit(4)"])
        equal(status(c.dead(2)[-1]), 4 << 8, "death before READY is told")
        c.start(3)
        c.cell(1, "import socket, time; socket.socket(fileno=3).shutdown(1);"
               "time.sleep(60)", kernel=3)
        begun = time.monotonic()
        frames = c.dead(3)
        equal(status(frames[-1]), 9, "a runner that closes its socket is ended")
        ok(time.monotonic() - begun > 1.5, "after a time to end by itself")


def interrupts():
    with fresh() as (init, c):
        c.start()
        c.send(INTERRUPT, kernel=1, ident=0)
        equal(c.quiet(0.2), [], "an interrupt of an idle kernel means nothing")
        equal(kinds(c.run(1, "pass")), FAST, "and does not hit the next cell")
        c.cell(2, "publish('on'); import time; time.sleep(60)")
        c.wait(lambda f: f.kind == PUBLISH)
        c.send(INTERRUPT, kernel=1, ident=1)
        equal([f for f in c.quiet(0.3) if f.kind != BEGIN], [],
              "nor for another request")
        c.send(INTERRUPT, kernel=1, ident=2)
        frames = c.done(2, timeout=5)
        equal([f.slices[2] for f in frames if f.kind == PUBLISH], [b"interrupted"],
              "the request that runs is interrupted")
        c.cell(3, "publish('on'); os.system('sleep 61; echo ended')")
        c.wait(lambda f: f.kind == PUBLISH)
        time.sleep(0.2)
        c.send(INTERRUPT, kernel=1, ident=3)
        ok(c.done(3, timeout=5), "a child process is interrupted")
        # bash with job control: the job is in a group of its own.
        c.cell(4, "publish('on'); import subprocess;"
               "subprocess.call(['bash', '-mc', 'trap : INT; sleep 62; true'])")
        c.wait(lambda f: f.kind == PUBLISH)
        runner = init.children()[0][0]
        ok(eventually(lambda: len(session_members(runner)) == 3), "a shell runs a job")
        c.send(INTERRUPT, kernel=1, ident=4)
        time.sleep(0.3)
        c.send(INTERRUPT, kernel=1, ident=4)
        frames = c.done(4, timeout=5)
        ok(eventually(lambda: len(session_members(runner)) == 1),
           "a second interrupt reaches its group")
        c.send(INTERRUPT, kernel=5)
        ok(b"no kernel 5" in c.refused().slices[0], "a kernel that is not there")


def restarts():
    with fresh() as (init, c):
        c.start()
        c.run(1, "os.system('sleep 1000 &')")
        runner = init.children()[0][0]
        c.cell(2, "publish('on'); import time\ntry: time.sleep(60)\n"
               "finally: publish('end')")
        c.cell(3, "pass")
        c.cell(4, "pass", flags=0)
        c.wait(lambda f: f.kind == PUBLISH)
        c.send(RESTART, kernel=1)
        c.cell(5, "publish('new')")
        frames = c.done(5)
        equal(lost(frames)[:2], [(3, RESTARTED), (4, RESTARTED)],
              "requests that wait are told of a restart")
        ok((2, RESTARTED) in lost(frames) or
           any(f.kind == DONE and f.ident == 2 for f in frames),
           "so is the one that runs, or it ends")
        equal([(f.flags, f.ident) for f in frames if f.kind == STATE],
              [(STARTING, 2), (READY, 2)], "the next incarnation starts")
        equal([f.slices[2] for f in frames if f.kind == PUBLISH][-1], b"new",
              "what came meanwhile runs there")
        ok(eventually(lambda: not session_members(runner)),
           "nothing of the old session is left")
        c.send(RESTART, kernel=1)
        c.send(RESTART, kernel=1)
        c.cell(6, "pass")
        equal(kinds(c.done(6))[-3:], FAST, "restarts in a row")
        c.stop()
        c.start(2, env=[b"FAKE_STUBBORN=1"])
        begun = time.monotonic()
        frames = c.stop(2)
        ok(1.5 < time.monotonic() - begun < 6, "who does not shut down is killed")
        equal(status(frames[-1]), 9, "and that is told")
        c.start(3)
        c.cell(1, "import time; time.sleep(60)", kernel=3)
        c.cell(2, "pass", kernel=3)
        frames = c.stop(3)
        equal([i for i, why in lost(frames, 3)][-1:], [2], "a stop tells the requests")
        c.start(4, ready=False, env=[b"FAKE_START=import time; time.sleep(60)"])
        c.send(RESTART, kernel=4)
        c.send(STOP, kernel=4)
        equal(status(c.dead(4)[-1]), 9, "a kernel that does not start can be stopped")
        ok(eventually(lambda: not init.children()), "no process is left")


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
        numbers = {struct.unpack("<IIQQ", s)[0]: struct.unpack("<IIQQ", s)[1:]
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


def runner_is_clean(frames):
    return all(set(f.slices[0]) <= set(b"x") for f in frames if f.kind == STREAM)


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
        equal(len([f for f in c.quiet(1) if f.kind == REFUSED]), 300 - 256,
              "processes are bounded")
        for i in range(256):
            c.send(EXEC_SIGNAL, ident=1000 + i, flags=9)
        ended = {c.wait(lambda f: f.kind == EXEC_EXIT).ident for _ in range(256)}
        equal(len(ended), 256, "and all can be ended")
        ok(eventually(lambda: not init.children()), "and are reaped")


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


def failures():
    with check("a wrong option is told"):
        init = Init("--wrong")
        assert init.process.wait(5) == 1
        code, = struct.unpack_from("i", init.ready)
        assert len(init.ready) == 512 and code == 22 and b"usage" in init.ready
        os.rmdir(init.directory)
    with check("a socket that cannot be made is told"):
        init = Init("--socket", "/nowhere/init.sock")
        assert init.process.wait(5) == 1
        assert len(init.ready) == 512 and b"/nowhere/init.sock" in init.ready
        os.rmdir(init.directory)


def main():
    chosen = sys.argv[1:]
    for test in (failures, starts, surroundings, order, requests, aborts, deaths,
                 interrupts, restarts, reconnects, commands, hostile_runner,
                 hostile_gateway, large, shortage, fairness, leaks):
        if chosen and test.__name__ not in chosen:
            continue
        print(f"# {test.__name__}", flush=True)
        with check(f"{test.__name__}: ends as expected"):
            test()
    done()


main()
