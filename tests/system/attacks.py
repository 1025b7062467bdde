"""attacks: what one sandbox does to all others, and how the others fare meanwhile.

    neighbours_load.py measures with them, test_neighbours.py asserts what is no timing.
"""

import json
import threading
import time

import api

MEMORY = "256M"

# name: (how it is run, code, words of which one must be told to the guilty)
ATTACKS = {
    "fork bomb": ("run", """
import os, time
made = 0
while True:
    try:
        if os.fork() == 0:
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
        made += 1
    except OSError as error:
        raise SystemExit(f"after {made}: {error}")
""", ("temporarily unavailable", "died")),
    "thread bomb": ("run", """
import threading, time
made = 0
while True:
    try:
        threading.Thread(target=time.sleep, args=(60,)).start()
        made += 1
    except RuntimeError as error:
        for _ in range(200):
            sum(range(100000))
        raise SystemExit(f"after {made}: {error}")
""", ("can't start new thread", "died")),
    "memory bomb": ("run", """
held = []
while True:
    held.append(bytearray(b"x") * (1 << 24))
""", ("memory limit", "MemoryError")),
    "disk flood": ("run", """
with open("/workspace/flood", "wb", 0) as file:
    while True:
        file.write(bytes(1 << 20))
""", ("quota exceeded", "No space left")),
    "inode flood": ("run", """
import os
os.makedirs("/workspace/many", exist_ok=True)
number = 0
while True:
    os.close(os.open(f"/workspace/many/{number}", os.O_CREAT | os.O_WRONLY))
    number += 1
""", ("quota exceeded", "No space left")),
    "output flood": ("exec", ["yes", "a line that is as long as a line mostly is"], ()),
}


class Attack(threading.Thread):
    """One attack in the sandbox `bad`, and what its client is told. Ends by itself, by
    `seconds`, or when its sandbox is stopped."""

    def __init__(self, host, name):
        super().__init__(daemon=True)
        self.host = host
        self.how, self.code, self.words = ATTACKS[name]
        self.told = ""
        self.bytes = 0
        self.ended = None

    def run(self):
        body = {"code": self.code} if self.how == "run" else {"argv": self.code}
        connection = api.Connection(self.host.state / "run/api.sock", 600)
        try:
            path = f"/v1/sandboxes/bad/{self.how}"
            connection.request("POST", path, json.dumps(body))
            response = connection.getresponse()
            while line := response.readline():
                self.bytes += len(line)
                if self.how == "run" or len(self.told) < 2000:
                    self.told += line.decode(errors="replace")
                    self.told = self.told[-20000:]
        except OSError as error:
            self.told += str(error)
        finally:
            self.ended = time.monotonic()
            connection.close()

    @property
    def was_told(self):
        """The words that it was promised, as they came; "" if none did."""
        return next((word for word in self.words if word in self.told), "")


class Neighbour:
    """A client of another sandbox's kernel, over one connection of the local API."""

    def __init__(self, host, name):
        self.path = f"/v1/sandboxes/{name}/run"
        self.socket = host.state / "run/api.sock"
        self.number = 0
        self.connect()

    def connect(self):
        """Anew: the host closes a connection on which nothing moves for a minute."""
        self.connection = api.Connection(self.socket, 60)

    def ask(self):
        """Runs a cell; returns the milliseconds. AssertionError when it is wrong."""
        self.number += 1
        body = json.dumps({"code": f"{self.number} * 2", "store_history": False})
        begun = time.perf_counter()
        self.connection.request("POST", self.path, body)
        text = self.connection.getresponse().read().decode()
        took = (time.perf_counter() - begun) * 1000
        assert f'"text/plain":"{self.number * 2}"' in text.replace(": ", ":"), text
        return took

    def ask_for(self, seconds, least=1):
        """As often as it goes in so many seconds; returns all times, sorted."""
        self.connect()
        end, times = time.monotonic() + seconds, []
        while time.monotonic() < end or len(times) < least:
            times.append(self.ask())
            time.sleep(0.005)
        return sorted(times)


def quantile(times, part):
    return times[min(len(times) - 1, int(len(times) * part))]


def prepare(host, disk):
    """Makes `bad` and `good`, and returns the neighbour's client, warm."""
    host.cli("create", "bad", "--memory", MEMORY, "--disk", disk, "--pids", "128")
    host.cli("create", "good", "--memory", MEMORY)
    for name in ("bad", "good"):
        host.cli("run", name, "-c", "1")
    neighbour = Neighbour(host, "good")
    for _ in range(50):
        neighbour.ask()
    return neighbour
