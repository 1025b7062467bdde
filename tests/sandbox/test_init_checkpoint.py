#!/usr/bin/env python3
"""Checkpoints of a kernel, as kernelhost-init keeps them: with runners that do it
right, and with hostile ones.

Needs no privileges: part of `make check`.
"""

import json
import os
import struct

from init_client import (
    CELL, CONTROL, DIED, DONE, FAST, LOST, READY, REFUSED, REPLY, REQUEST,
    RESTART, RESTARTED, STATE, fresh, kinds, run_tests, status, text,
)
from tap import equal, eventually, ok

CHECKPOINT, ROLLBACK, LIST, FORGET = 8, 16, 32, 64


class Kernel:
    """Kernel 1 of an init: cells, checkpoints and rollbacks, by rising numbers."""

    def __init__(self, c, **options):
        self.c, self.ident = c, 0
        c.start(**options)

    def cell(self, code, timeout=20):
        self.ident += 1
        return self.c.run(self.ident, code, timeout=timeout)

    def say(self, code):
        return text(self.cell(f"out(str({code}).encode())")).decode()

    def send(self, flags, code="", number=None):
        self.ident += 1
        extra = [] if number is None else [struct.pack("<Q", number)]
        self.c.send(REQUEST, kernel=1, ident=self.ident, flags=flags,
                    slices=[b"{}", b"{}", b"{}", code.encode(), *extra])
        return self.ident

    def ask(self, *args, **options):
        """The frames of a request, and the content of its reply."""
        frames = self.c.done(self.send(*args, **options))
        replies = [f for f in frames if f.kind == REPLY]
        return frames, replies and replies[-1].slices[2]

    def checkpoint(self, about="{}"):
        frames, _ = self.ask(CHECKPOINT, f"out(b'%d' % checkpoint({about.encode()!r}))")
        return int(text(frames))

    def rollback(self, number, code="pass"):
        return self.ask(ROLLBACK, code, number=number)

    def list(self):
        content = json.loads(self.ask(CONTROL | LIST)[1])
        assert content["status"] == "ok"
        return content["checkpoints"]


def losses(frames):
    return [(f.ident, f.flags) for f in frames if f.kind == LOST]


def forth_and_back():
    with fresh() as (init, c):
        k = Kernel(c)
        k.cell("runner.state = 1")
        equal(k.checkpoint('{"label": "one"}'), 1, "the first is number 1")
        k.cell("runner.state = 2")
        equal(k.checkpoint('{"label": "two"}'), 2, "then come 2")
        k.cell("runner.state = 3")
        pid = int(k.say("os.getpid()"))
        equal(k.list(), [{"id": 1, "about": {"label": "one"}},
                         {"id": 2, "about": {"label": "two"}}], "they are listed")
        for number in (1, 2, 1, 1, 2):
            frames, _ = k.rollback(number, "publish('%d' % runner.state)")
            equal((kinds(frames), frames[1].slices[-1]),
                  (["begin", "publish", "reply", "done"], b"%d" % number),
                  f"back to {number}: it answers the request, no state is told")
            equal(k.say("runner.state"), str(number), "and is what it was")
            k.cell("runner.state = 9")
        ok(int(k.say("os.getpid()")) != pid and pid not in dict(init.children()),
           "by another process")
        frames = k.cell("out(b'a'); publish('p'); out(b'b')")
        equal((text(frames), kinds(frames)),
              (b"ab", ["begin", "stream", "publish", "stream", "reply", "done"]),
              "whose output keeps its order")
        _, content = k.ask(CONTROL | FORGET, number=1)
        equal((json.loads(content), [one["id"] for one in k.list()]),
              ({"status": "ok"}, [2]), "one is forgotten")
        for flags, number in ((ROLLBACK, 1), (ROLLBACK, 77), (CONTROL | FORGET, 1)):
            frames, content = k.ask(flags, number=number)
            content = json.loads(content)
            ok(kinds(frames) == FAST and frames[1].flags == 1
               and content["ename"] == "NoSuchCheckpoint"
               and f"no checkpoint {number}" in content["evalue"],
               f"{number} is none: {content['evalue']}")
        equal(k.say("runner.state"), "9", "which changes nothing")
        frames = c.stop()
        ok(eventually(lambda: not init.children()), "all of them end with the kernel")
        c.start()
        k.cell("runner.state = 5")
        equal(k.list(), [], "the next one of that number has none")
        equal(k.checkpoint(), 3, "and goes on counting")


def limit():
    with fresh() as (init, c):
        k = Kernel(c)
        dropped = []
        for _ in range(20):
            frames, _ = k.ask(CHECKPOINT, "checkpoint(); out(b'%d' % runner.dropped)")
            dropped.append(int(text(frames)))
        equal(dropped, [0] * 16 + [1, 2, 3, 4], "for the 17th the oldest goes")
        ok(eventually(lambda: [one["id"] for one in k.list()] == list(range(5, 21))),
           "16 are left")
        ok(eventually(lambda: len(init.children()) == 33),
           f"of two processes each ({len(init.children())} children)")
        c.send(RESTART, kernel=1)
        c.wait(lambda f: f.kind == STATE and f.flags == READY)
        ok(k.list() == [] and eventually(lambda: len(init.children()) == 1),
           "a restart ends them")
        k.checkpoint()
        k.send(CELL, "os._exit(3)")
        c.dead()
        ok(eventually(lambda: not init.children()), "so does a death")


def processes():
    with fresh() as (_, c):
        k = Kernel(c)
        early = int(k.say("__import__('subprocess').Popen(['sleep', '100']).pid"))
        k.checkpoint()
        own = int(k.say("__import__('subprocess').Popen(['sleep', '101'], "
                        "start_new_session=True).pid"))
        late = int(k.say("__import__('subprocess').Popen(['sleep', '102']).pid"))
        k.rollback(1)

        def alive(pid):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    return file.read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False

        ok(eventually(lambda: not alive(late)), "what began since is killed")
        ok(alive(early), "what was there goes on")
        ok(alive(own), "so does what has a session of its own")
        later = int(k.say("__import__('subprocess').Popen(['sleep', '103']).pid"))
        k.rollback(1)
        ok(eventually(lambda: not alive(later)), "again: what began since")
        ok(alive(early), "and what was there")
        c.send(RESTART, kernel=1)
        c.wait(lambda f: f.kind == STATE and f.flags == READY)
        ok(eventually(lambda: not alive(early)), "a restart ends what was there")
        os.kill(own, 9)


def what_waits():
    with fresh() as (_, c):
        k = Kernel(c)
        k.cell("runner.state = 1")
        k.checkpoint()
        hung = k.send(CONTROL, "hang")
        cell = k.send(CELL, "time.sleep(0.3); runner.state = 2; publish('2')")
        number = k.send(CHECKPOINT, "out(b'%d' % checkpoint(b'{}'))")
        after = k.send(CELL, "runner.state = 3")
        back = k.send(ROLLBACK, "publish('%d' % runner.state)", number=2)
        last = k.send(CELL, "publish('%d' % runner.state)")
        frames = c.done(last)
        order = [f.ident for f in frames if f.kind == DONE]
        said = [f.slices[2] for f in frames if f.kind == 66]
        equal((order, said), ([cell, number, after, back, last], [b"2", b"2", b"2"]),
              "checkpoint and rollback have their turn among the cells")
        equal(losses(frames), [(hung, RESTARTED)],
              "a control request that the old runner had is lost")
        k.send(CELL, "time.sleep(0.2)")
        k.send(ROLLBACK, "", number=1)
        late = k.send(CELL, "publish('late')")
        c.send(RESTART, kernel=1)
        frames = c.until(lambda f: f.kind == STATE and f.flags == READY)
        ok((late, RESTARTED) in losses(frames),
           "a restart forgets what waits")
        equal((k.say("runner.state"), k.list()), ("0", []), "and wins")
        for _ in range(5):
            k.checkpoint()
            k.send(ROLLBACK, "", number=k.list()[-1]["id"])
            c.send(RESTART, kernel=1)
            c.until(lambda f: f.kind == STATE and f.flags == READY)
        equal(k.say("runner.state"), "0", "in the middle of a rollback, too")
        k.checkpoint()
        k.send(ROLLBACK, "", number=k.list()[-1]["id"])
        frames = c.stop()
        ok(frames, "and so does a stop")


def fails():
    with fresh() as (init, c):
        k = Kernel(c, env=[b"FAKE_THAW=os._exit(4)"])
        k.checkpoint()
        ident = k.send(ROLLBACK, "", number=1)
        frames = c.dead()
        ok(status(frames[-1]) == 4 << 8 and losses(frames) == [(ident, DIED)],
           "a checkpoint that ends as it takes over is a death")
        equal((k.ident, c.send(RESTART, kernel=1)), (ident, None), "restart")
        c.wait(lambda f: f.kind == STATE and f.flags == READY)
        equal(k.say("1 + 1"), "2", "a restart helps")
        equal(k.list(), [], "no checkpoint is left")
        ok(eventually(lambda: len(init.children()) == 1), "nor a process")
    with fresh() as (init, c):
        k = Kernel(c, env=[b"FAKE_THAW=time.sleep(100)"])
        k.checkpoint()
        k.send(ROLLBACK, "", number=1)
        frames = c.dead(timeout=15)
        equal(status(frames[-1]), 9, "one that says nothing is killed")


def hostile():
    with fresh() as (init, c):
        k = Kernel(c)
        k.cell("pass")
        k.send(CELL, "runner.send(21); time.sleep(60)")
        frames = c.dead(timeout=5)
        ok(b"checkpoint" in frames[-1].slices[1], f"unasked: {frames[-1].slices[1]}")
        c.send(RESTART, kernel=1)
        c.wait(lambda f: f.kind == STATE and f.flags == READY)
        bad = {
            "garbage": "sock.send(b'x' * 100)",
            "an empty message": "sock.send(b'')",
            "another type": "sock.send(encode(35, slices=[b'{}']))",
            "two slices": "sock.send(encode(34, slices=[b'{}', b'{}']))",
            "nothing about it": "sock.send(encode(34, slices=[b'']))",
            "too much about it": "sock.send(encode(34, slices=[b'x' * 16385]))",
            "a giant message": "sock.setsockopt(1, 7, 1 << 20)\n"
                               "sock.send(encode(34, slices=[b'x' * 100000]))",
            "a descriptor": "__import__('socket').send_fds(sock, "
                            "[encode(34, slices=[b'{}'])], [0] * 3)",
            "its end": "sock.shutdown(2)",
            "a grandchild's hello": "pid = os.fork()\n"
                                    "if not pid:\n"
                                    "    sock.send(encode(34, slices=[b'{}']))\n"
                                    "    os._exit(0)\n"
                                    "os.waitpid(pid, 0)",
        }
        scope = "encode = __import__('sys').modules['__main__'].encode\n"
        c.frames.clear()
        before = init.fds()
        for name, code in bad.items():
            frames, _ = k.ask(CHECKPOINT, f"{scope}number, slices, sock = "
                              f"runner.connection()\ntry:\n    "
                              + code.replace("\n", "\n    ")
                              + "\nexcept OSError: pass\nsock.close()")
            ok(kinds(frames) == FAST and k.list() == [],
               f"{name}: no checkpoint {frames[1:-2]}")
        for _ in range(100):
            k.ask(CHECKPOINT, "runner.connection()[2].close()")
        ok(k.list() == [] and eventually(lambda: init.fds() == before),
           "many that say nothing leave nothing")
        # The runner itself, in the place of a copy.
        frames, _ = k.ask(CHECKPOINT, scope + "number, slices, sock = "
                          "runner.connection()\nrunner.kept = sock\n"
                          "sock.send(encode(34, slices=[b'{}']))")
        one = k.list()
        equal((kinds(frames), len(one)), (FAST, 1), "its own hello is taken")
        k.send(ROLLBACK, "", number=one[0]["id"])
        frames = c.dead()
        ok(status(frames[-1]) == 9 or b"the checkpoint ended" in frames[-1].slices[1],
           f"a runner that is its own checkpoint dies of it: {frames[-1].slices}")
        c.send(RESTART, kernel=1)
        c.wait(lambda f: f.kind == STATE and f.flags == READY)
        equal((k.say("6 * 7"), k.list()), ("42", []), "the next one is well")
        k.send(CHECKPOINT, "runner.connection(); runner.send(21); time.sleep(60)")
        frames = c.dead(timeout=5)
        ok(b"checkpoint" in frames[-1].slices[1], "one connection a request")
    with fresh() as (_, c):
        c.start()
        eight = [b"x" * 8]
        for flags, extra in ((CHECKPOINT | ROLLBACK, eight), (CHECKPOINT | CONTROL, []),
                             (LIST, []), (FORGET, eight), (ROLLBACK, []),
                             (ROLLBACK, [b"x" * 7]), (FORGET | CONTROL, []),
                             (CHECKPOINT | CELL, []), (128, [])):
            c.send(REQUEST, kernel=1, ident=5, flags=flags, slices=[b"{}"] * 4 + extra)
            ok(c.refused().kind == REFUSED, f"flags {flags} with {extra} are refused")
        c.run(5, "pass")


run_tests(forth_and_back, limit, processes, what_waits, fails, hostile)
