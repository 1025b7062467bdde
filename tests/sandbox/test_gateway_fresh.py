#!/usr/bin/env python3
"""kernelhost-gateway and the stream that comes with CREATE and START: what is wanted
goes along with HELLO, and a sandbox that lies about being new harms itself only."""

import struct

from gateway_host import B_CONNECT, FINE, Frame, Gateway, Init, asked, shown
from init_client import DONE, HELLO, READY, REQUEST, START, STATE, WELCOME
from tap import check, done, equal, eventually, ok

KERNEL = struct.Struct("<IIQQQ")


class Silent(Init):
    """Says nothing until it is told to."""

    def welcome(self):
        pass

    def start(self, frame):
        pass

    def request(self, frame):
        pass

    def talk(self):
        """All that it owes, in order."""
        self.send(WELCOME, ident=1)
        for frame in list(self.frames):
            if frame.kind == START:
                Init.start(self, frame)
            elif frame.kind == REQUEST:
                Init.request(self, frame)


def one_request():
    with Gateway() as g:
        g.streams = True
        got = g.run("box", create={"memory": "64M"})
        equal(shown(got), FINE, "one request makes a sandbox and runs code in it")
        equal(g.asked.count(B_CONNECT), 0, "nobody asked for another stream")
        equal(shown(g.run("box", create={})), FINE, "the next one finds it")
        equal(g.run("none").status, 404, "without create there is none")
        equal(g.run("BAD", create={}).status, 400, "a bad name is refused")
        equal(g.run("new", create={"image": "/etc"}).status, 400, "so is a bad image")
        equal(g.run("new", create={"pids": 1}).status, 400, "a bad limit")
        equal(g.run("new", create=True).status, 400, "and what is no object")
        equal(g.run("launch-0123456789abcdef", create={}).status, 400,
              "names for launchers are not given away")
        equal(sorted(g.records), ["box"], "nothing else was made")
        g.http("POST", "/v1/sandboxes/box/stop")
        equal(shown(g.run("box")), FINE, "START brings a stream, too")
        equal(g.asked.count(B_CONNECT), 0, "as well")
        response = g.open("POST", "/v1/sandboxes/box/run", {"code": "1"}).getresponse()
        kernel = g.http("GET", "/v1/sandboxes/box").json["kernels"][0]["id"]
        equal(response.getheader("Kernel-Id"), kernel, "the answer names the kernel")


def nothing_waits():
    with Gateway() as g:
        g.streams = True
        g.kinds["box"] = Silent
        connection = g.open("POST", "/v1/sandboxes/box/run",
                            {"code": "1", "create": {}})
        ok(eventually(lambda: asked(g, "box", REQUEST)),
           "HELLO, the kernel and the request come without an answer")
        kinds = [f.kind for f in g.inits["box"].frames]
        equal(kinds[0], HELLO, "HELLO first")
        ok(kinds.index(START) < kinds.index(REQUEST), "then the kernel, then the code")
        g.inits["box"].talk()
        response = connection.getresponse()
        text = response.read().decode()
        equal((response.status, '"idle"' in text.splitlines()[-1]), (200, True),
              "and all is answered")


def no_stream():
    with Gateway() as g:
        equal(shown(g.run("box", create={})), FINE, "without a stream one is asked for")
        equal(g.asked.count(B_CONNECT), 1, "once")


def liars():
    old = [KERNEL.pack(1, READY, 5, 9, 0)]
    cases = {
        "kernels": [Frame(WELCOME, ident=1, slices=old)],
        "another version": [Frame(WELCOME, ident=7)],
        "an entry": [Frame(DONE, kernel=1, seq=1)],
        "a state": [Frame(STATE, kernel=1, seq=1, flags=READY, ident=1)],
        "WELCOME twice": [Frame(WELCOME, ident=1), Frame(WELCOME, ident=1)],
    }
    with Gateway() as g:
        g.streams = True
        for number, (name, frames) in enumerate(cases.items()):
            def welcome(self, frames=frames):
                for frame in frames:
                    self.raw(frame.encode())
            g.kinds[f"box{number}"] = type("Liar", (Silent,), {"welcome": welcome})
            got = g.run(f"box{number}", create={})
            ok(shown(got)[-1:] != ["idle"]
               or {"KernelDied", "KernelUnavailable"} & set(shown(got)),
               f"a new init that begins with {name} gets nothing: {shown(got)}")
            ok(eventually(lambda n=number: g.run(f"box{n}").status == 409),
               f"{name}: the sandbox is broken")
        ok(g.fine(), "another sandbox works")


for test in (one_request, nothing_waits, no_stream, liars):
    with check(test.__name__):
        test()
done()
