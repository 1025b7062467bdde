#!/usr/bin/env python3
"""kernelhost-gateway with many ZeroMQ clients at once: what its threads share.

The heartbeats have a thread of their own and libzmq has others; here all of them
work at the same time. `./dev test threads` runs this under ThreadSanitizer.
"""

import hashlib
import hmac
import json
import pathlib
import threading
import time
import uuid

import zmq
from gateway_host import Gateway, Init
from init_client import STREAM
from tap import check, done, equal, ok

KERNELS, CELLS = 4, 25
BIG = b"x" * 200000  # a display's buffer: libzmq sends it after we have let go of it


class Chatty(Init):
    """Every cell prints, and displays something large."""

    def request(self, frame):
        self.begin(frame)
        for _ in range(5):
            self.entry(STREAM, frame.kernel, ident=frame.ident, flags=1,
                       slices=[b"line\n"])
        self.publish(frame, "display_data",
                     b'{"data":{},"metadata":{},"transient":{}}', buffers=[BIG])
        self.finish(frame)


class Mute(Init):
    """Takes cells and never answers."""

    def request(self, frame):
        self.begin(frame)


class Client:
    """The channels of one kernel, for one thread."""

    def __init__(self, gateway, name, transport):
        self.gateway, self.name = gateway, name
        made = gateway.http("POST", f"/v1/sandboxes/{name}/connect",
                            {"transport": transport}).json
        self.kernel = made["kernel_id"]
        self.file = json.loads(pathlib.Path(made["connection_file"]).read_text())
        self.context = zmq.Context()
        self.shell = self.open(zmq.DEALER, "shell")
        self.iopub = self.open(zmq.SUB, "iopub")
        self.heart = self.open(zmq.REQ, "hb")
        self.welcome = self.iopub.recv_multipart()  # from now on nothing is missed

    def open(self, kind, channel):
        sock = self.context.socket(kind)
        sock.linger = 0
        sock.rcvtimeo = 20000
        if kind == zmq.SUB:
            sock.subscribe(b"")
        mark = "-" if self.file["transport"] == "ipc" else ":"
        sock.connect(f"{self.file['transport']}://{self.file['ip']}{mark}"
                     f"{self.file[channel + '_port']}")
        return sock

    def close(self):
        self.context.destroy(linger=0)

    def send(self, kind, content):
        header = {"msg_id": uuid.uuid4().hex, "session": "s", "username": "u",
                  "date": "2024-01-01T00:00:00Z", "msg_type": kind, "version": "5.3"}
        parts = [json.dumps(x).encode() for x in (header, {}, {}, content)]
        key = self.file["key"].encode()
        mac = hmac.new(key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        self.shell.send_multipart([b"<IDS|MSG>", mac, *parts])
        return header["msg_id"]

    def execute(self, code="1"):
        return self.send("execute_request", {
            "code": code, "silent": False, "store_history": True,
            "user_expressions": {}, "allow_stdin": False, "stop_on_error": True})

    def reply(self):
        """The status in the next reply."""
        return json.loads(self.shell.recv_multipart()[-1])["status"]

    def ping(self):
        self.heart.send(b"ping")
        return self.heart.recv() == b"ping"


def cells(gateway, name, results):
    """One user: cells one after the other, pings between them."""
    client = Client(gateway, name, "tcp" if name.endswith("0") else "ipc")
    good = pings = displays = 0
    for _ in range(CELLS):
        client.execute()
        pings += client.ping()
        good += client.reply() == "ok"
    while displays < CELLS:
        displays += client.iopub.recv_multipart()[-1] == BIG
    results[name] = (good, pings, displays)
    client.close()


def comers(gateway, name, results):
    """Clients that come and go in the midst of what they asked for."""
    for i in range(15):
        client = Client(gateway, name, "ipc" if i % 2 else "tcp")
        client.execute()
        client.heart.send(b"ping")
        time.sleep(0.01)
        client.close()
    results["comers"] = True


def enders(gateway, results):
    """Kernels that end while their heartbeat is asked."""
    for i in range(8):
        name = f"short{i}"
        gateway.create(name)
        client = Client(gateway, name, "ipc")
        ok(client.ping(), f"kernel {i} is alive")
        client.heart.send(b"ping")
        gateway.http("DELETE", f"/v1/sandboxes/{name}")
        client.close()
    results["enders"] = True


def together():
    results = {}
    with Gateway() as g:
        names = [f"box{i}" for i in range(KERNELS)]
        for name in names:
            g.create(name, Chatty)
        threads = [threading.Thread(target=cells, args=(g, name, results))
                   for name in names]
        threads += [threading.Thread(target=comers, args=(g, names[-1], results)),
                    threading.Thread(target=enders, args=(g, results))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in names:
            equal(results.get(name), (CELLS, CELLS, CELLS),
                  f"{name}: every reply, ping and display came")
        equal((results.get("comers"), results.get("enders")), (True, True),
              "who came and went did so to the end")


def busy():
    """A heartbeat is there for the client of a kernel that does not answer; and the
    gateway ends in order while its threads are at work."""
    with Gateway() as g:
        g.create("mute", Mute)
        client = Client(g, "mute", "ipc")
        client.execute()
        ok(all(client.ping() for _ in range(100)), "100 pings of a busy kernel")
        stop = threading.Event()

        def pings():
            while not stop.is_set():
                client.heart.send(b"ping")
                if not client.heart.poll(1000):
                    return
                client.heart.recv()

        thread = threading.Thread(target=pings)
        thread.start()
        g.process.terminate()
        equal(g.process.wait(20), 0, "ended while pinged, the status is 0")
        stop.set()
        thread.join()
        client.close()


def main():
    for test in (together, busy):
        with check(f"{test.__name__} ran to its end"):
            test()
    done()


main()
