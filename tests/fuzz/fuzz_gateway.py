#!/usr/bin/env python3
"""The whole gateway, for KH_FUZZ_SECONDS: sandboxes that send frames nobody expects and
clients that ask for what nobody should, by chance from KH_FUZZ_SEED. It must not end,
and after every round it serves a good sandbox. `./dev test fuzz` runs it with the
sanitizers, which end the gateway when they find something."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import struct
import sys
import threading
import time

sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parent.parent / "sandbox"),
                 str(pathlib.Path(__file__).resolve().parent.parent)]

from gateway_host import Connection, Frame, Gateway, INFO, Init, OK_REPLY  # noqa: E402
from init_client import (  # noqa: E402
    BEGIN, DONE, EXEC_EXIT, EXEC_OUTPUT, LOST, PUBLISH, REFUSED, REPLY, STATE, STREAM,
    WELCOME,
)

SEED = int(os.environ.get("KH_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
SECONDS = float(os.environ.get("KH_FUZZ_SECONDS", 5))
# What init may say, with the slices that are right.
KINDS = {REFUSED: 1, STATE: 1, BEGIN: 0, PUBLISH: 3, STREAM: 1, REPLY: 3, DONE: 0,
         LOST: 0, EXEC_OUTPUT: 1, EXEC_EXIT: 0}
WORDS = (b"", b"{}", b"[]", b"null", INFO, OK_REPLY, b"stream", b"execute_reply",
         b"error", b"display_data", b"execute_input", b"status", b"input_request",
         b"comm_open", b"kernel_info_reply", b"shutdown_reply", b"complete_reply",
         b"clear_output", b'{"name":"stdout","text":"x"}',
         b'{"data":{},"metadata":{},"transient":{}}', b'{"execution_state":"idle"}',
         b'{"prompt":"","password":false}', b"\xff\xfe", b"\xe2\x82",
         struct.pack("<IIQQ", 1, 2, 1, 5), bytes(4), b"x" * 5000)
PATHS = ("", "/run", "/exec", "/kernels", "/connect", "/start", "/stop", "/kernels/ID",
         "/kernels/ID/restart", "/kernels/ID/interrupt", "/nothing")
VALUES = (None, True, -1, 0, 1, 1e308, "", "1", "python", "tcp", "ipc", "512M",
          "x" * 300, [], ["true"], {}, {"A": "1"}, [["x"]])
FIELDS = ("code", "kernel", "language", "store_history", "stop_on_error", "argv", "cwd",
          "env", "stdin", "transport", "ip", "create", "memory", "cpus", "pids",
          "image")


def spoiled(rng, data):
    """The bytes with some of them changed, taken out or doubled."""
    data = bytearray(data)
    for _ in range(rng.choice((0, 0, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(3):
            case 0:
                data[at:at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at:at + rng.randrange(8)]
            case 2:
                data[at:at] = data[at:at + rng.randrange(16)]
    return bytes(data)


class Hostile(Init):
    """Answers as it should, or as it likes."""

    rng = random.Random(SEED)

    def take(self, frame):
        rng = self.rng
        if rng.random() < 0.7:
            super().take(frame)
        for _ in range(rng.choice((0, 0, 1, 3, 9))):
            kind = rng.choice(list(KINDS))
            journal = STATE <= kind <= LOST
            self.seq += journal
            frame = Frame(kind, rng.choice((1, 2, 1, 2, 3, 0, 4)),
                          frame.kernel or 1, rng.choice((frame.ident, 0, 1, 1 << 63)),
                          self.seq if journal else rng.choice((0, 9, 0x7F00)),
                          rng.choices(WORDS, k=KINDS[kind]))
            self.raw(self.wrong(frame) if rng.random() < 0.05 else frame.encode())

    def wrong(self, frame):
        """Something about it is not as it may be."""
        rng = self.rng
        match rng.randrange(5):
            case 0:
                frame.kind = rng.choice((WELCOME, 0, 5, 99))
            case 1:
                frame.kernel = rng.choice((0, 2, 65, 1 << 31))
            case 2:
                frame.seq = max(0, frame.seq + rng.choice((-1, 1, 1 << 62)))
            case 3:
                frame.slices = rng.choices(WORDS, k=rng.randrange(6))
            case 4:
                return spoiled(rng, frame.encode())
        return frame.encode()


def client(gateway, rng):
    """One request, and some of its answer."""
    name = rng.choice(("box0", "box1", "box2", "new", "-bad", "x" * 99))
    path = f"/v1/sandboxes/{name}{rng.choice(PATHS)}".replace("ID", "0" * 36)
    body = {field: rng.choice(VALUES) for field in rng.sample(FIELDS, rng.randrange(5))}
    if rng.random() < 0.7:
        body |= {"code": "1", "argv": ["x"]}
    text = json.dumps(body).encode()
    connection = Connection(gateway.path)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request(rng.choice(("GET", "PUT", "POST", "POST", "POST", "DELETE")),
                           path, spoiled(rng, text) if rng.random() < 0.2 else text)
        connection.sock.settimeout(0.2)
        connection.getresponse().read(rng.choice((0, 100, 100000)))
    connection.close()


def round_of(gateway, rng):
    """Some clients at once, with new sandboxes for those that were cut."""
    for i in range(3):
        gateway.kinds[f"box{i}"] = Hostile
        with contextlib.suppress(OSError):
            gateway.http("PUT", f"/v1/sandboxes/box{i}")
    threads = [
        threading.Thread(target=client, args=(gateway, random.Random(rng.random())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    rng, rounds, end = random.Random(SEED), 0, time.monotonic() + SECONDS
    # The gateway may not be traced, which the search for leaks wants.
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    with Gateway() as gateway:
        while time.monotonic() < end:
            round_of(gateway, rng)
            rounds += 1
            if gateway.process.poll() is not None or not gateway.fine():
                break
        alive = gateway.process.poll() is None and gateway.fine()
        gateway.process.terminate()
        status = gateway.process.wait(20)
        if not alive or status != 0:
            print("\n".join("# " + line for line in gateway.text().splitlines()[-60:]))
            print("not ", end="")
        print(f"ok - the gateway: {rounds} rounds with KH_FUZZ_SEED={SEED}")


main()
