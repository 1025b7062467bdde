#!/usr/bin/env python3
"""kernelhost-init as a plain process: kernels, their order, ends and restarts.

Needs no privileges: part of `make check`.
"""

import os
import shutil
import struct
import subprocess
import time

from init_client import (
    ABORTED, BEGIN, CONTROL, DIED, DONE, EXECUTE, FAST, INTERRUPT, Init, LOST, PUBLISH,
    READY, REPLY, REQUEST, RESTART, RESTARTED, START, STARTING, STATE, STOP, STREAM,
    fresh, kinds, lost, run_tests, session_members, status, text,
)
from tap import check, equal, eventually, ok, skip


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


def stamps():
    """Frames without markers, sent when both pipes were empty: init reads at its own
    times meanwhile, and nothing may change its place."""
    with fresh() as (_, c):
        c.start()
        frames = c.run(1, """
runner.stamps = True
for i in range(6000):
    random.choice((lambda text: out(text.encode()), publish))(f"{i}.")
    if random.random() < 0.2:
        time.sleep(random.random() * 0.001)
publish(f"={runner.stamped}")""")
        parts = [f.slices[-1].decode() for f in frames if f.kind in (STREAM, PUBLISH)]
        last = parts.pop()
        numbers = [int(n) for n in "".join(parts).split(".") if n]
        equal(numbers, list(range(6000)), "text and stamped frames keep their order")
        ok(int(last[1:]) > 100, f"{last[1:]} frames were stamped")
        frames = c.run(2, "runner.stamps = True\nfor i in range(3000):\n"
                       "    runner.stamp = lambda: (1, 2**64 - 1, time.monotonic_ns())"
                       "[i % 3]\n    out(b'x')\n    publish('p')")
        late = c.run(3, "runner.stamps = False; runner.markers = True\n"
                     "out(b'a'); publish('b'); out(b'c'); publish('d')")
        parts = b"".join(f.slices[-1] for f in late if f.kind in (STREAM, PUBLISH))
        ok(len(text(frames)) + len(parts) == 3000 + len("abcd")
           and kinds(frames).count("publish") == 3000,
           "wrong stamps lose nothing, but its place")
        equal(parts.lstrip(b"x"), b"abcd", "markers count on behind frames without")


def late_looks():
    """A frame that is sent, and text that is written, between init's last read of the
    socket and its look at the pipes: strace makes that time long."""
    if not shutil.which("strace"):
        skip("late looks", "there is no strace (hint: ./dev test installs it)")
        return
    with fresh() as (init, c):
        c.start()
        strace = subprocess.Popen(
            ["strace", "-o", "/dev/null", "-e", "trace=ioctl", "-e",
             "inject=ioctl:delay_enter=400:when=2+5", "-p", str(init.process.pid)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if "attached" not in strace.stderr.readline():
            skip("late looks", "strace may not attach (hint: run it as root)")
            return
        frames = c.run(1, """
runner.stamps = True
for i in range(3000):
    random.choice((lambda text: out(text.encode()), publish))(f"{i}.")
    if random.random() < 0.2:
        time.sleep(random.random() * 0.001)
""")
        strace.terminate()
        strace.communicate(timeout=10)
        parts = [f.slices[-1].decode() for f in frames if f.kind in (STREAM, PUBLISH)]
        equal([int(n) for n in "".join(parts).split(".") if n], list(range(3000)),
              "text and frames keep their order when init looks late")


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


run_tests(
    failures, starts, surroundings, order, stamps, late_looks, requests, aborts,
    deaths, interrupts, restarts,
)
