#!/usr/bin/env python3
"""kernelhost-gateway between hostile sandboxes and careless clients.

Drives the real program with a stand-in for kernelhostd. Needs no privileges: part of
`make check`.
"""

import json
import os
import pathlib
import signal
import socket
import struct

from gateway_host import (
    B_EXITED, FINE, Frame, Gateway, Init, SANITIZED, as_json, asked, output, shown,
)
from init_client import (
    DEAD, DONE, EXEC_OUTPUT, LOST, PUBLISH, READY, REFUSED, REQUEST, STARTING, STATE,
    STREAM, WELCOME,
)
from tap import check, done, equal, eventually, ok

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
SHOWN = [b"display_data", b"{}", b'{"data":{},"metadata":{},"transient":{}}',
         b"x" * (1 << 20)]
BAD_JSON = {
    "no JSON": b"{",
    "JSON with a tail": b"{} {}",
    "an array": b"[]",
    "a lone surrogate": b'{"name":"stdout","text":"\\ud800"}',
    "a NaN": b'{"name":"stdout","text":"x","y":NaN}',
    "bytes that are no UTF-8": b'{"name":"stdout","text":"\xff"}',
    "a field that is missing": b'{"name":"stdout"}',
    "a field of another type": b'{"name":"stdout","text":1}',
    "a bomb of brackets": b'{"x":' + b"[" * 100000 + b"]" * 100000 + b"}",
}


def ordinary():
    with Gateway() as g:
        equal(g.create("box").status, 201, "a sandbox is made")
        equal(g.create("box").status, 200, "once")
        equal(shown(g.run("box")), FINE, "a cell runs")
        ok(eventually(lambda: g.inits["box"].acked == g.inits["box"].seq),
           "what was published is acknowledged")
        got = g.http("POST", "/v1/sandboxes/box/exec", {"argv": ["a", "b"]})
        equal(output(got), (b"a\0b\0", {"type": "exit", "status": 0}),
              "a process runs")
        record = g.http("GET", "/v1/sandboxes/box").json
        equal((record["state"], record["image"], len(record["kernels"])),
              ("running", "default", 1), "it is shown")
        equal(g.http("DELETE", "/v1/sandboxes/box").status, 204, "and removed")
        equal(g.http("GET", "/v1/sandboxes/box").status, 404, "for good")


def wrong_messages():
    """What a runner gets wrong is dropped; the cell still ends as it must."""
    wrong = [("stream", content, b"{}") for content in BAD_JSON.values()]
    wrong += [("stream", b'{"name":"stdout","text":"x"}', meta)
              for meta in (b"null", b"[", b'"x"')]
    wrong += [(kind, b'{"execution_state":"idle"}', b"{}")
              for kind in ("status", "iopub_welcome", "nonsense", "execute_reply", "",
                           "stream\0", "x" * 70000)]

    class Runner(Init):
        def request(self, frame):
            self.begin(frame)
            for kind, content, metadata in wrong:
                self.publish(frame, kind, content, metadata)
            self.publish(frame, "display_data",
                         as_json({"data": {}, "metadata": {}}))
            self.finish(frame)

    class Replier(Init):
        replies = [("execute_reply", content) for content in BAD_JSON.values()]
        replies += [("kernel_info_reply", b'{"status":"ok"}'),
                    ("shutdown_reply", b"{}"), ("status", b"{}"),
                    ("stream", b'{"name":"stdout","text":"x"}')]

        def request(self, frame):
            self.begin(frame)
            if self.replies:
                self.reply(frame, *self.replies.pop())
            self.done(frame)
            self.finish(frame)

    with Gateway() as g:
        g.create("runner", Runner)
        equal(shown(g.run("runner")), ["busy", "display_data", "ok", "idle"],
              f"{len(wrong)} wrong messages are dropped, the right one is not")
        equal(g.text().count("message of the runner dropped"), 1, "and logged once")
        g.create("replier", Replier)
        for _ in range(len(Replier.replies)):
            equal(shown(g.run("replier")), ["busy", "KernelError", "idle"],
                  "a wrong reply is replaced")
        equal(shown(g.run("replier")), ["busy", "KernelError", "idle"],
              "and so is one that never comes")
        ok(g.fine(), "another sandbox works")


def odd_orders():
    class Init1(Init):
        def request(self, frame):
            other = Frame(0, kernel=1, ident=frame.ident + 1000)
            self.entry(STREAM, ident=0, flags=1, slices=[b"nobody's "])
            self.finish(other)
            self.begin(frame)
            self.begin(frame)
            self.entry(STREAM, ident=frame.ident, flags=2, slices=[b"\xff\xe2\x82"])
            self.entry(STREAM, ident=frame.ident, flags=2, slices=[b"\xac"])
            self.reply(frame)
            self.finish(frame)
            self.done(frame)

    with Gateway() as g:
        g.create("box", Init1)
        got = shown(g.run("box"))
        equal("".join(x[7:] for x in got if x.startswith("stderr")), "�€",
              "bytes become text, cut characters are put together")
        equal([x for x in got if not x.startswith("stderr")], ["busy", "ok", "idle"],
              "a second begin, reply or end is nothing")


def breaches():
    """Each ends the link of that sandbox, and only that."""
    def say(data):
        def request(self, frame):
            self.begin(frame)
            self.raw(data(self) if callable(data) else data)
        return request

    def entry(kind, step=1, **fields):
        return lambda init: Frame(kind, kernel=fields.pop("kernel", 1),
                                  seq=init.seq + step, **fields).encode()

    cases = {
        "bytes that are no frame": b"\xff" * 64,
        "a giant frame": struct.pack("<I", 0x7FFFFFFF),
        "a frame shorter than its head": struct.pack("<II", 3, 0),
        "too many slices": struct.pack("<IHHIQQI", 28, 67, 0, 1, 0, 0, 999),
        "an unknown type": Frame(99).encode(),
        "a frame of ours": Frame(5, kernel=1).encode(),
        "a second WELCOME": Frame(WELCOME, ident=1).encode(),
        "a gap in the journal": entry(DONE, 2),
        "a journal that goes back": entry(DONE, 0),
        "an entry without a number": Frame(DONE, kernel=1).encode(),
        "a kernel that is none": entry(DONE, kernel=9),
        "an entry with slices that it has not": entry(DONE, slices=[b"x"]),
        "an entry without the slices that it has": entry(STREAM, flags=1),
        "an unknown stream": entry(STREAM, flags=3, slices=[b"x"]),
        "an unknown state": entry(STATE, flags=9),
        "an unknown loss": entry(LOST, flags=9),
    }
    with Gateway() as g:
        for number, (name, data) in enumerate(cases.items()):
            box = f"box{number}"
            g.create(box, type("Breach", (Init,), {"request": say(data)}))
            got = g.run(box)
            ok(shown(got)[0] == "busy" and shown(got)[-2:] == ["KernelDied", "idle"],
               f"{name} breaks the link, and the client hears of it")
            ok(g.inits[box].closed.wait(5), "the link is closed")
        got = g.run("box0")
        ok(got.status == 409 and "broken" in got.json["message"],
           "the sandbox is broken")
        g.kinds["box0"] = Init
        g.http("POST", "/v1/sandboxes/box0/stop")
        equal(shown(g.run("box0")), FINE, "until it was stopped")
        ok(g.fine(), "another sandbox works all the time")


def bad_greetings():
    def greet(*frames):
        def welcome(self):
            for frame in frames:
                self.raw(frame.encode() if isinstance(frame, Frame) else frame)
        return type("Greeter", (Init,), {"welcome": welcome})

    kernel = struct.Struct("<IIQQQ")
    cases = {
        "another version": Frame(WELCOME, ident=2),
        "a kernel that is cut": Frame(WELCOME, ident=1, slices=[b"xy"]),
        "kernel number 0": Frame(WELCOME, ident=1, slices=[kernel.pack(0, 2, 1, 1, 0)]),
        "kernel number 65": Frame(WELCOME, ident=1,
                                  slices=[kernel.pack(65, 2, 1, 1, 0)]),
        "too many kernels": Frame(WELCOME, ident=1,
                                  slices=[kernel.pack(1, 2, 1, 1, 0)] * 65),
        "an entry before WELCOME": Frame(DONE, kernel=1, seq=1),
    }
    with Gateway() as g:
        for number, (name, frame) in enumerate(cases.items()):
            g.create(f"box{number}", greet(frame))
            equal(g.run(f"box{number}").status, 409, f"{name} is refused")
        g.create("known", greet(Frame(
            WELCOME, ident=1, slices=[kernel.pack(3, READY, 5, 9, 0)])))
        ok(eventually(lambda: g.http("GET", "/v1/sandboxes/known").json["kernels"]),
           "a kernel that init has is adopted")
        g.inits["known"].seq = 9
        equal(shown(g.run("known")), FINE, "and used")
        ok(g.fine(), "another sandbox works")


def floods():
    class Journal(Init):
        def request(self, frame):
            self.begin(frame)
            piece = Frame(PUBLISH, kernel=1, ident=frame.ident, slices=SHOWN)
            while not self.closed.is_set():
                self.seq += 1
                piece.seq = self.seq
                self.raw(piece.encode())

    class Output(Init):
        def exec(self, frame):
            while not self.closed.is_set():
                self.send(EXEC_OUTPUT, ident=frame.ident, flags=1,
                          slices=[b"x" * 65536])

    with Gateway() as g:
        g.create("journal", Journal)
        before = g.memory()
        client = g.open("POST", "/v1/sandboxes/journal/run", {"code": "1"})
        flood = eventually(lambda: asked(g, "journal", REQUEST)) and g.inits["journal"]
        # One that is slow acknowledges as fast as it reads, and may read for ever.
        ok(flood.closed.wait(20 if SANITIZED else 120) or SANITIZED and flood.seq > 140,
           "a journal that ignores its limit breaks the link")
        ok(SANITIZED or g.memory() - before < 400, "memory stays bounded")
        client.close()
        g.create("output", Output)
        client = g.open("POST", "/v1/sandboxes/output/exec", {"argv": ["x"]})
        ok(eventually(lambda: "output" in g.inits)
           and g.inits["output"].closed.wait(120),
           "output that ignores its window breaks the link")
        client.close()
        ok(g.fine(), "another sandbox works")


def deaths():
    class Mortal(Init):
        def request(self, frame):
            self.begin(frame)
            self.entry(LOST, ident=frame.ident, flags=2)
            self.entry(STATE, flags=DEAD, ident=1, slices=[struct.pack("<I", 3 << 8)])

    class Unborn(Init):
        def start(self, frame):
            self.entry(STATE, frame.kernel, flags=STARTING, ident=1)
            self.entry(STATE, frame.kernel, flags=DEAD, ident=1,
                       slices=[b"\xff" * 4, b"no \x1b[31mpython here"])

        def request(self, frame):
            self.entry(LOST, frame.kernel, ident=frame.ident, flags=2)

    class Refuser(Init):
        def start(self, frame):
            self.send(REFUSED, kernel=frame.kernel, flags=2, slices=[b"no"])

    with Gateway() as g:
        g.create("mortal", Mortal)
        for _ in range(6):
            got = shown(g.run("mortal"))
            equal(got, ["busy", "stderr \nthe kernel died: exit status 3\n",
                        "KernelDied", "idle"], "a death is explained and answered")
        equal(g.run("mortal").status, 409, "the sixth within a minute is the last")
        kernel = g.http("GET", "/v1/sandboxes/mortal/kernels").json["kernels"][0]
        equal(kernel["execution_state"], "dead", "the kernel is dead")
        g.http("POST", f"/v1/sandboxes/mortal/kernels/{kernel['id']}/restart")
        equal(shown(g.run("mortal"))[2], "KernelDied", "until it is restarted")

        g.create("unborn", Unborn)
        got = g.run("unborn").lines
        ok("could not be started: no \\x1b[31mpython here" in
           [m for m in got if m["header"]["msg_type"] == "execute_reply"]
           [0]["content"]["evalue"], "why it did not start is said, harmlessly")
        g.create("refuser", Refuser)
        equal(shown(g.run("refuser"))[-2:], ["KernelDied", "idle"],
              "a start that init refuses is answered")
        ok(g.fine(), "another sandbox works")


def ends():
    class Slow(Init):
        def request(self, frame):
            self.begin(frame)

    with Gateway() as g:
        g.create("box", Slow)
        client = g.open("POST", "/v1/sandboxes/box/run", {"code": "1"})
        ok(eventually(lambda: asked(g, "box", REQUEST)), "a cell runs")
        g.end("box")
        g.records["box"] = 4
        g.send(B_EXITED, 0, 9, b"box", state=4)
        text = client.getresponse().read().decode()
        ok("the sandbox ended" in text and text.rstrip().endswith(
            '"content":{"execution_state":"idle"}}'),
           "the end of a sandbox is answered")
        g.kinds["box"] = Init
        equal(shown(g.run("box")), FINE, "it is started again when it is wanted")
        g.end("box")
        # A cell sent before the gateway has seen the loss is lost with the link.
        ok(eventually(lambda: shown(g.run("box")) == FINE), "a lost link is made again")
        g.process.send_signal(signal.SIGTERM)
        equal(g.process.wait(20), 0, "SIGTERM ends the gateway")
        ok(not [p for p in g.public.rglob("*") if not p.is_dir()],
           "which leaves no file")
    with Gateway() as g:
        g.create("box", Slow)
        client = g.open("POST", "/v1/sandboxes/box/run", {"code": "1"})
        eventually(lambda: asked(g, "box", REQUEST))
        g.process.send_signal(signal.SIGTERM)
        equal(g.process.wait(20), 0, "with clients waiting, too")
        client.close()
    with Gateway() as g:
        g.fine()
        g.broker.shutdown(socket.SHUT_RDWR)
        equal(g.process.wait(20), 1, "it does not outlive kernelhostd")
    for data in (b"x", b"\0" * 752):
        with Gateway() as g:
            g.fine()
            g.broker.send(data)
            equal(g.process.wait(20), 1, "a malformed message of kernelhostd ends it")


def raw_http(g, data, half=False):
    """Sends bytes as they are; the status of what comes back, or None."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(g.path)
        s.sendall(data)
        if half:
            s.shutdown(socket.SHUT_WR)
        try:
            got = s.recv(4096)
        except ConnectionResetError:
            return None
        return int(got.split()[1]) if got else None


def http_limits():
    with Gateway() as g:
        g.create("box")
        body = {"code": "1"}
        for name, text in {
            "no JSON": b"{", "an array": b"[]", "a tail": b"{}{}",
            "NaN": b'{"code":NaN}',
            "a repeated name": b'{"code":"1","code":"2"}',
            "deep JSON": b'{"code":' + b"[" * 1000 + b"]" * 1000 + b"}",
            "a million values": b'{"code":[' + b"1," * 1000000 + b"1]}",
            "bytes that are no UTF-8": b'{"code":"\xff"}',
        }.items():
            head = (b"POST /v1/sandboxes/box/run HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(text))
            equal(raw_http(g, head + text), 400, f"{name} is refused")
        head = (b"POST /v1/sandboxes/box/run HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: %d\r\n\r\n")
        big = 65 << 20
        equal(raw_http(g, head % big + b" " * big), 413,
              "a body over 64 MiB is refused")
        get = b"GET /v1/sandboxes/%s HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n"
        ok(raw_http(g, get % (b"box", b"y" * 200000)) in (None, 413, 431),
           "a giant head is refused")
        equal(raw_http(g, get % (b"../../etc", b"")), 404, "a path is no file")
        equal(raw_http(g, get % (b"%2e%2e", b"")), 400, "a name is no path")
        equal(raw_http(g, get % (b"a" * 5000, b"")), 404, "a giant name is none")
        for field in ({"store_history": 1}, {"stop_on_error": "x"}, {"language": 3},
                      {"kernel": "x" * 99}, {"code": 7}, {"code": None}):
            got = g.http("POST", "/v1/sandboxes/box/run", {**body, **field})
            equal(got.status, 400, f"{field} is refused")
        for field in ({"argv": "ls"}, {"argv": [1]}, {"argv": [""]}, {"argv": ["a\0b"]},
                      {"argv": ["a"], "env": []}, {"argv": ["a"], "env": {"a": 1}},
                      {"argv": ["a"], "env": {"": "c"}},
                      {"argv": ["a"], "env": {"A=B": "c"}},
                      {"argv": ["a"], "stdin": "?"}, {"argv": ["a"], "cwd": 1},
                      {"argv": ["a" * 70000] * 20}):
            equal(g.http("POST", "/v1/sandboxes/box/exec", field).status, 400,
                  f"{str(field)[:40]} is refused")
        idle = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for s in idle:
            s.connect(g.path)
            s.send(b"GET /v1/he")
        equal(g.http("GET", "/v1/health").status, 200, "200 clients that say nothing")
        for s in idle:
            s.close()
        clients = [g.open("POST", "/v1/sandboxes/box/run", body) for _ in range(100)]
        for client in clients:
            client.close()
        ok(g.fine(), "100 clients that go at once")
        fds = f"/proc/{g.process.pid}/fd"
        before = len(os.listdir(fds))
        for _ in range(300):
            g.open("POST", "/v1/sandboxes/box/run", body).close()
        ok(g.fine() and eventually(lambda: len(os.listdir(fds)) <= before + 3),
           "300 more leave no descriptor")


def confinement():
    with Gateway() as g:
        ok(g.fine(), "it serves")
        if SANITIZED:
            return
        tasks = [pathlib.Path(p) for p in
                 (f"/proc/{g.process.pid}/task/{t}/status"
                  for t in os.listdir(f"/proc/{g.process.pid}/task"))]
        for task in tasks:
            text = task.read_text()
            ok("Seccomp:\t2" in text and "NoNewPrivs:\t1" in text,
               "a thread is filtered and gains nothing")
        ok(len(tasks) >= 4, "all threads were looked at")


def connections():
    with Gateway() as g:
        g.create("box")
        made = g.http("POST", "/v1/sandboxes/box/connect").json
        path = pathlib.Path(made["connection_file"])
        equal(path.stat().st_mode & 0o777, 0o600,
              "a connection file is for one user")
        file = json.loads(path.read_text())
        ok(file["transport"] == "ipc" and len(file["key"]) == 64,
           "with a key of 256 bits")
        ok(all(pathlib.Path(f"{file['ip']}-{file[c + '_port']}").is_socket()
               for c in CHANNELS),
           "and five sockets that are there")
        again = g.http("POST", "/v1/sandboxes/box/connect").json
        equal(again, made, "asked again it is the same")
        tcp = g.http("POST", "/v1/sandboxes/box/connect", {"transport": "tcp"}).json
        file = json.loads(pathlib.Path(tcp["connection_file"]).read_text())
        ports = [file[f"{c}_port"] for c in CHANNELS]
        for port in ports:
            socket.create_connection(("127.0.0.1", port), 5).close()
        ok(len(set(ports)) == 5, "TCP has five ports that listen")
        for field in ({"transport": "x"}, {"ip": "0.0.0.0", "transport": "tcp"},
                      {"ip": "example.org", "transport": "tcp"}, {"kernel": 5},
                      {"ip": "192.0.2.1", "transport": "tcp"}):
            equal(g.http("POST", "/v1/sandboxes/box/connect", field).status, 400,
                  f"{field} is refused")
        g.http("DELETE", f"/v1/sandboxes/box/kernels/{made['kernel_id']}")
        ok(eventually(lambda: not list(g.public.rglob("*-*"))),
           "with the kernel its sockets and files go")


def main():
    for test in (ordinary, wrong_messages, odd_orders, breaches, bad_greetings, floods,
                 deaths, ends, http_limits, confinement, connections):
        with check(f"{test.__name__} ran to its end"):
            test()
    done()


main()
