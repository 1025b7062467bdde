#!/usr/bin/env python3
"""Raw ZeroMQ and raw bytes against the endpoints of a kernel: dropped or answered as
the protocol says, counted, logged once, and nobody else feels it."""

import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import socket
import struct
import time
import uuid

import zmq

import api
from host import Host
from talk import Talk
from tap import check, done, equal, note, ok

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
DELIMITER = b"<IDS|MSG>"


class Target:
    """A kernel's endpoints over TCP, and its key."""

    def __init__(self, host, name):
        path = host.cli("connect", name, "--tcp").stdout.strip()
        self.info = json.loads(pathlib.Path(path).read_text())
        self.key = self.info["key"].encode()
        self.context = zmq.Context()

    def url(self, channel):
        return f"tcp://127.0.0.1:{self.port(channel)}"

    def port(self, channel):
        return self.info[f"{channel}_port"]

    @contextlib.contextmanager
    def socket(self, kind=zmq.DEALER, channel="shell", identity=None):
        made = self.context.socket(kind)
        made.linger = 0
        made.reconnect_ivl = -1
        if identity:
            made.setsockopt(zmq.IDENTITY, identity)
        made.connect(self.url(channel))
        try:
            yield made
        finally:
            made.close()

    def sign(self, frames):
        digest = hmac.new(self.key, digestmod=hashlib.sha256)
        for frame in frames:
            digest.update(frame)
        return digest.hexdigest().encode()

    def message(self, content=b"{}", msg_type="execute_request", header=None,
                parent=b"{}", metadata=b"{}", signature=None):
        """The frames of a message, signed unless a signature is given."""
        if header is None:
            header = json.dumps({
                "msg_id": uuid.uuid4().hex, "session": "abuse", "username": "x",
                "date": "2026-01-01T00:00:00Z", "msg_type": msg_type,
                "version": "5.3"}).encode()
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        frames = [header, parent, metadata, content]
        return [DELIMITER, self.sign(frames) if signature is None else signature,
                *frames]


def header(**changes):
    base = {"msg_id": "m", "session": "s", "username": "u", "msg_type":
            "execute_request", "version": "5.3", "date": "2026-01-01T00:00:00Z"}
    base |= changes
    return json.dumps({k: v for k, v in base.items() if v is not None}).encode()


def bad_messages(target):
    """(what, frames, fault): none of them may be answered."""
    run = {"code": "abused = True"}
    good = target.message(run)
    many = b"{" + b",".join(b'"%d":0' % n for n in range(10 ** 6)) + b"}"
    deep = b'{"code":"abused = True","x":' + b"[" * 10 ** 5 + b"]" * 10 ** 5 + b"}"
    other = Target.sign(type("", (), {"key": b"another key"})(), good[2:])
    return [
        ("a signature of another key", [DELIMITER, other, *good[2:]], "bad_signature"),
        ("a signature in capitals", [DELIMITER, good[1].upper(), *good[2:]],
         "bad_signature"),
        ("a signature that is too short", [DELIMITER, good[1][:-1], *good[2:]],
         "bad_signature"),
        ("a signature that is no hex", [DELIMITER, b"z" * 64, *good[2:]],
         "bad_signature"),
        ("no signature", [DELIMITER, b"", *good[2:]], "unsigned"),
        ("one byte changed", [*good[:-1], good[-1].replace(b"T", b"F")],
         "bad_signature"),
        ("nothing but a delimiter", [DELIMITER], "malformed"),
        ("an empty frame", [b""], "malformed"),
        ("no delimiter", good[1:], "malformed"),
        ("frames missing", good[:-1], "malformed"),
        ("300 frames", [*good, *[b"x"] * 300], "too_large"),
        ("100,000 frames", [b"i"] * 10 ** 5 + good, "too_large"),
        ("20 identities", [b"i%d" % n for n in range(20)] + good, "too_large"),
        ("an identity of 100 kB", [b"i" * 10 ** 5, *good], "too_large"),
        ("content 100,000 levels deep", target.message(deep), "bad_json"),
        ("NaN", target.message(b'{"code":"abused = True","x":NaN}'), "bad_json"),
        ("UTF-8 that is none", target.message(b'{"code":"abused = True","x":"\xff"}'),
         "bad_json"),
        ("a lone surrogate", target.message(b'{"code":"abused","x":"\\ud800"}'),
         "bad_json"),
        ("content that is a list", target.message(b"[]"), "bad_json"),
        ("empty content", target.message(b""), "bad_json"),
        ("two values", target.message(b"{}{}"), "bad_json"),
        ("a number of 10,000 digits", target.message(b'{"x":' + b"9" * 10000 + b"}"),
         "bad_json"),
        ("a header that is a list", target.message(run, header=b"[]"), "bad_json"),
        ("no msg_id", target.message(run, header=header(msg_id=None)), "bad_header"),
        ("a msg_id of 10,000 bytes",
         target.message(run, header=header(msg_id="m" * 10000)), "bad_header"),
        ("a msg_type with spaces",
         target.message(run, header=header(msg_type="execute\nrequest")), "bad_header"),
        ("a msg_type that is a number",
         target.message(run, header=header(msg_type=7)), "bad_header"),
        ("version 4.1", target.message(run, header=header(version="4.1")),
         "bad_header"),
        ("a parent_header that is null", target.message(run, parent=b"null"),
         "bad_json"),
        ("metadata of 10^6 members that is cut",
         target.message(run, metadata=many[:-1]), "bad_json"),
    ]


def dropped(target, host):
    tried = bad_messages(target)
    with target.socket() as shell, target.socket(channel="control") as control:
        for _, frames, _ in tried:
            for _ in range(20 if sum(map(len, frames)) < 10 ** 4 else 2):
                shell.send_multipart(frames)
                if sum(map(len, frames)) < 10 ** 5:
                    control.send_multipart(frames)
        # Anything valid behind them comes through and is the only thing answered.
        shell.send_multipart(target.message({}, "kernel_info_request"))
        control.send_multipart(target.message({}, "kernel_info_request"))
        for name, sock in (("shell", shell), ("control", control)):
            if not ok(sock.poll(20000), f"{name} is served after all of that"):
                continue
            answers = [sock.recv_multipart()]
            while sock.poll(300):
                answers.append(sock.recv_multipart())
            types = [json.loads(a[2])["msg_type"] for a in answers]
            equal(types, ["kernel_info_reply"],
                  f"{name}: {len(tried)} kinds of bad messages are not answered")
    log = host.log_text()
    for fault in sorted({fault for _, _, fault in tried}):
        lines = re.findall(rf"message dropped .*fault={fault}\b.*", log)
        if not ok(len(lines) == 1, f"fault {fault} is logged, and once"):
            note("\n".join(lines[:5]) or log[-2000:])
    ok(all(word not in log for word in (target.key.decode(), "abused")),
       "neither the key nor code is in the log")


def replayed(target, talk):
    frames = target.message({"code": "count = globals().get('count', 0) + 1"})
    with target.socket() as one, target.socket() as two:
        for sock in (one, one, two):
            sock.send_multipart(frames)
            sock.poll(500)
        ok(one.poll(5000), "a valid message is answered")
        ok(not two.poll(300), "its replay on another connection is not")
    equal(talk.execute("count").value, "1", "and it ran once")


def answered(target, talk):
    """What is signed but not sensible is answered as the protocol says."""
    cell = talk.request("no_such_request", {"x": 1})
    talk.until(lambda: cell.idle)
    equal((cell.types, cell.message), (["busy", "idle"], None),
          "an unknown type: busy, idle, no reply")
    for what, content in (("without code", {}), ("with code as a number", {"code": 7}),
                          ("with silent as text", {"code": "1", "silent": "no"})):
        cell = talk.finish(talk.request("execute_request", content))
        ok(cell.reply["status"] == "error" and cell.reply["evalue"]
           and "execute_input" not in cell.types, f"execute_request {what}: an error")
    cell = talk.finish(talk.request("interrupt_request", {}, "control"))
    equal(cell.reply["status"], "ok", "interrupt_request on control")
    cell = talk.request("interrupt_request", {})
    talk.until(lambda: cell.idle)
    equal((cell.types, cell.message), (["busy", "idle"], None),
          "interrupt_request on shell: an unknown type there")
    many = {"code": "len('x')", "user_expressions": {f"e{n}": "1" for n in range(2000)}}
    cell = talk.finish(talk.request("execute_request", many), timeout=60)
    equal(len(cell.reply["user_expressions"]), 2000, "2,000 user_expressions work")
    many = {"code": "'a million'"} | {f"unknown {n}": n for n in range(10 ** 6)}
    cell = talk.finish(talk.request("execute_request", many), timeout=60)
    ok(cell.value == "'a million'" or cell.reply["status"] == "error",
       f"a million unknown members are answered: {cell.reply['status']}")
    code = "big = '" + "x" * 5_000_000 + "'\nlen(big)"
    equal(talk.execute(code).value, "5000000", "5 MB of code work")


def too_large(target):
    """Messages over the limit that are all right otherwise."""
    for what, size, channel in (("70 MB", 70_000_000, "shell"),
                                ("2 MB", 2_000_000, "control"),
                                ("2 MB", 2_000_000, "stdin")):
        with target.socket(channel=channel) as sock:
            sock.send_multipart(target.message(
                {"code": "abused = True", "x": "y" * size}))
            ok(not sock.poll(1500), f"{what} on {channel} are not answered")
    with target.socket(zmq.REQ, "hb") as sock:
        sock.send(b"x" * 1_000_000)
        ok(not sock.poll(500), "1 MB to the heartbeat is not echoed")


def flood_of_names(target):
    """Many identities, in messages and as connections."""
    with target.socket() as sock:
        for n in range(20000):
            sock.send_multipart([b"name %d" % n, *target.message(signature=b"0" * 64)])
    socks = []
    for n in range(300):
        sock = target.context.socket(zmq.DEALER)
        sock.linger = 0
        sock.setsockopt(zmq.IDENTITY, b"name %d" % n)
        sock.connect(target.url("shell"))
        sock.send_multipart(target.message({}, "kernel_info_request"))
        socks.append(sock)
    equal(sum(bool(s.poll(2000)) for s in socks), 300, "300 connections are served")
    for sock in socks:
        sock.close()
    with target.socket(identity=b"same") as old:
        old.send_multipart(target.message({}, "kernel_info_request"))
        ok(old.poll(5000), "an identity is served")
        with target.socket(identity=b"same") as new:
            new.send_multipart(target.message({}, "kernel_info_request"))
            ok(new.poll(5000), "and again, on another connection")
    with target.socket(zmq.SUB, "iopub") as sub:
        for n in range(20000):
            sub.subscribe(b"topic %d " % n + b"t" * 200)
        sub.subscribe(b"t" * 100_000)
        time.sleep(0.5)


def wrong_sockets(target):
    for channel in CHANNELS:
        for kind in (zmq.REQ, zmq.REP, zmq.PUB, zmq.SUB, zmq.PUSH, zmq.PULL, zmq.PAIR,
                     zmq.ROUTER, zmq.DEALER):
            with target.socket(kind, channel) as sock:
                with contextlib.suppress(zmq.ZMQError):
                    if kind == zmq.SUB:
                        sock.subscribe(b"")
                    sock.send(b"x" * 1000, zmq.NOBLOCK)
    time.sleep(0.3)


GREETING = (b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0")
            + b"\0" * 32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
GIB = 1 << 30

# Bytes on a connection, as they are.
BYTES = [
    ("nothing", b""),
    ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("random bytes", os.urandom(4096)),
    ("half a greeting", GREETING[:20]),
    ("ZMTP 1.0", b"\x01\x00" * 100),
    ("another mechanism", GREETING[:12] + b"CURVE".ljust(20, b"\0") + b"\0" * 32),
    ("a command of 1 GiB", GREETING + b"\x06" + struct.pack(">Q", GIB) + b"x" * 1000),
    ("READY, then a frame of 1 GiB", GREETING + b"\x04" + bytes([len(READY)]) + READY
     + b"\x02" + struct.pack(">Q", GIB) + b"x" * 100_000),
    ("READY, then a frame of 2^63", GREETING + b"\x04" + bytes([len(READY)]) + READY
     + b"\x02" + b"\xff" * 8 + b"x" * 1000),
    ("a property longer than its command", GREETING
     + b"\x04\x20\x05READY\x0bSocket-Type\xff\xff\xff\xffDEALER"),
]


def raw_bytes(target):
    held = []
    for channel in CHANNELS:
        for _, data in BYTES:
            for _ in range(5):
                sock = socket.create_connection(("127.0.0.1", target.port(channel)))
                with contextlib.suppress(OSError):
                    sock.sendall(data)
                held.append(sock)
    time.sleep(0.5)
    return held


def endless_message(target):
    """Frames of one message that never ends, 600 MB, without a key. (libzmq itself
    would not send them before the last.)"""
    command = b"\x04" + bytes([len(READY)]) + READY
    with contextlib.suppress(OSError), socket.create_connection(
            ("127.0.0.1", target.port("shell")), timeout=5) as sock:
        sock.sendall(GREETING + command)
        while sock.recv(4096)[-1:] != b"\0":  # its greeting and READY
            pass
        for _ in range(600):
            sock.sendall(b"\x03" + struct.pack(">Q", 1_000_000) + b"x" * 1_000_000)
        time.sleep(1)
        return 600
    return 0


def rss(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) // 1024


class Others:
    """The kernels and clients that must not notice."""

    def __init__(self, host):
        self.host = host
        host.cli("create", "victim")
        self.same = Talk(host.client("target"))
        self.other = Talk(host.client("victim"))
        self.pid = api.call(host, "GET", "/v1/health")[1]["pid"]
        self.before = rss(self.pid)

    def are_well(self, what):
        with check(f"{what}: other clients and kernels are served"):
            for talk in (self.same, self.other):
                cell = talk.execute("1 + 1", timeout=20)
                assert cell.value == "2" and cell.types[-1] == "idle", cell.types
            assert api.call(self.host, "GET", "/v1/health")[1]["pid"] == self.pid
        most = rss(self.pid)
        ok(most < 400, f"{what}: the gateway had {most} MiB at most, below 400")

    def close(self):
        self.same.close()
        self.other.close()


def main():
    with Host() as host:
        host.cli("create", "target")
        target = Target(host, "target")
        others = Others(host)
        talk = Talk(host.client("target", "--tcp"))
        dropped(target, host)
        equal(talk.execute("'abused' in globals()").value, "False",
              "nothing of it was executed")
        others.are_well("bad messages")
        replayed(target, talk)
        answered(target, talk)
        others.are_well("strange requests")
        too_large(target)
        others.are_well("messages over the limits")
        flood_of_names(target)
        others.are_well("many identities")
        wrong_sockets(target)
        others.are_well("wrong kinds of sockets")
        held = raw_bytes(target)
        others.are_well(f"{len(held)} connections with garbage")
        for sock in held:
            sock.close()
        endless_message(target)
        others.are_well("a message without an end")
        equal(talk.execute("2 + 2").value, "4", "the client over TCP is served")
        talk.close()
        others.close()
        target.context.destroy(linger=0)
        equal(host.stop(), 0, "the host ends well")
        lines = host.log_text().count("\n")
        ok(lines < 200, f"its log has {lines} lines")
    done()


main()
