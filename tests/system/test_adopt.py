#!/usr/bin/env python3
"""Sandboxes outlive kernelhostd: it is killed at any moment and finds them again, and
takes for its own only what is."""

import os
import pathlib
import random
import signal
import subprocess
import threading
import time
import zlib

from host import Failed, Host, status_of
from outlive import all_is_known, firsts, ids, settled, states, value
from tap import check, done, equal, note, ok

ROUNDS = 20
CRASHES = 15
BIRTH = {"boot": (24, 37), "kit": (61, 17), "pid": (78, 8), "start": (86, 8),
         "slot": (94, 8), "zygote": (102, 8), "first": (110, 8)}


def birth(host, name):
    return host.state / "sandboxes" / ids(host)[name] / "birth"


def forge(path, **fields):
    """Changes fields of a birth, and its checksum."""
    data = bytearray(path.read_bytes())
    for name, new in fields.items():
        at, size = BIRTH[name]
        if isinstance(new, int):
            new = new.to_bytes(8, "little")
        data[at:at + size] = new.ljust(size, b"\0")
    data[-8:] = zlib.crc32(data[:-8]).to_bytes(8, "little")
    path.write_bytes(data)


def claimed(path):
    """The numbers in a birth."""
    data = path.read_bytes()
    return {name: int.from_bytes(data[at:at + size], "little")
            for name, (at, size) in BIRTH.items() if size == 8}


def start_time(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])


def again_and_again(host):
    host.cli("create", "one")
    host.cli("create", "two", "--memory", "256M")
    for name in ("one", "two"):
        value(host, name, "import threading, time; n = ticks = 0\n"
              "def tick():\n  global ticks\n"
              "  while True: time.sleep(0.01); ticks += 1\n"
              "threading.Thread(target=tick, daemon=True).start()")
    before, seen, times = firsts(), [], []
    for _ in range(ROUNDS):
        host.kill()
        begun = time.monotonic()
        host.start()
        times.append(time.monotonic() - begun)
        seen.append((states(host), *[value(host, name, "n += 1; n")
                                     for name in ("one", "two")]))
    both = {"one": "running", "two": "running"}
    equal(seen, [(both, str(i + 1), str(i + 1)) for i in range(ROUNDS)],
          f"kill -9 and start, {ROUNDS} times: both run, and count on")
    equal(firsts(), before, "the processes are the same")
    ok(all(int(value(host, name, "ticks")) > ROUNDS for name in both),
       "threads went on")
    ok(all_is_known(host), "nothing is left over")
    note(f"until it answers: {min(times) * 1000:.0f} to {max(times) * 1000:.0f} ms")


def cell_goes_on(host):
    cell = subprocess.Popen(
        ["kernelhost", "run", "one", "-c",
         "import time; time.sleep(2); open('done', 'w').write('yes'); late = 1"],
        env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    time.sleep(0.5)
    host.kill()
    host.start()
    cell.communicate(timeout=60)
    equal(value(host, "one", "late, open('done').read()"), "(1, 'yes')",
          "a cell that ran meanwhile comes to its end")


def ends(host):
    """An adopted sandbox is stopped, started, removed, dies, like any other."""
    host.cli("stop", "one")
    equal(states(host)["one"], "stopped", "an adopted sandbox is stopped")
    host.cli("start", "one")
    equal(value(host, "one", "open('done').read()"), "'yes'", "and started")
    host.kill()
    host.start()
    first = {uid: pid for pid, uid in firsts().items()}
    host.cli("create", "three")
    uids = sorted(firsts().values())
    ok(len(uids) == 3 and len(set(uids)) == 3 and set(first) < set(uids),
       f"a new one gets ids of its own: {uids}")
    host.cli("rm", "three")
    path = birth(host, "two")
    pid = claimed(path)["pid"]
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while states(host)["two"] == "running" and time.monotonic() < end:
        time.sleep(0.05)
    equal(states(host), {"one": "running", "two": "stopped"},
          "one whose first process is killed is stopped")
    line = [text for text in host.log_text().splitlines()
            if "sandbox ended name=two" in text][-1]
    ok("status=0xffffffff" in line, f"with a status that is not known: {line}")
    ok(not path.exists() and all_is_known(host), "nothing is left over")
    host.cli("start", "two")
    pid = claimed(path)["pid"]
    host.kill()
    os.kill(pid, signal.SIGKILL)
    host.start()
    equal(states(host), {"one": "running", "two": "stopped"},
          "and so is one that ended while there was no kernelhostd")
    ok(not path.exists() and all_is_known(host), "of which nothing is left over")


def refused(host, what, reason, spared=None, **fields):
    """A birth that is not true: the sandbox is stopped, and its processes end."""
    host.cli("start", "two", check=False)
    path = birth(host, "two")
    pid = claimed(path)["pid"]
    host.kill()
    if fields:
        forge(path, **fields)
    else:
        path.write_bytes(path.read_bytes()[:100])
    host.start()
    gone = status_of(pid).get("State", "Z")[0] == "Z"
    why = [text.partition("name=two: ")[2] for text in host.log_text().splitlines()
           if "sandbox is stopped name=two" in text][-1]
    equal((states(host), gone), ({"one": "running", "two": "stopped"}, True),
          f"{what}: it is stopped, the other runs ({why})")
    ok(reason in why, f"{what}: '{reason}' is the reason")
    if spared:
        ok(status_of(spared).get("State", "Z")[0] != "Z",
           f"{what}: that process is left alone")
    ok(not path.exists() and all_is_known(host), f"{what}: nothing is left over")


def not_true(host):
    stranger = subprocess.Popen(["sleep", "1000"])
    other, slot, first = (claimed(birth(host, "one"))[n] for n in ("pid", "slot",
                                                                  "first"))
    refused(host, "the boot id of another boot", "machine was started again",
            boot=b"00000000-1111-2222-3333-444444444444")
    refused(host, "another start time", "another has the number", start=1)
    refused(host, "the number of another process", "another has the number",
            stranger.pid, pid=stranger.pid)
    refused(host, "another process, with its start time", "not first in a pid",
            stranger.pid, pid=stranger.pid, start=start_time(stranger.pid))
    refused(host, "kernelhostd's parent", "not first in a pid", os.getpid(),
            pid=os.getpid(), start=start_time(os.getpid()))
    refused(host, "the first process of another sandbox", "sandbox's cgroups", other,
            pid=other, start=start_time(other), slot=slot, first=first)
    refused(host, "other ids", "uid_map", first=first + 65536 * 100)
    refused(host, "ids of another's slot", "uid_map", slot=slot, first=first)
    refused(host, "the slot of another", "none of this host's", slot=slot)
    refused(host, "a slot out of range", "none of this host's", slot=1 << 20)
    refused(host, "process 1", "impossible process", pid=1)
    refused(host, "no process", "impossible process", pid=2 ** 31 + 5)
    refused(host, "half a file", "100 bytes")
    equal(value(host, "one", "1 + 1"), "2", "the other answers")
    stranger.kill()
    stranger.wait()


def unfinished(host):
    """What a stop, a removal and a create leave when kernelhostd dies in them."""
    host.cli("start", "two", check=False)
    host.cli("create", "three")
    three = ids(host)["three"]
    gone = birth(host, "two")
    host.kill()
    gone.unlink()
    (host.state / "sandboxes" / three / "record").unlink()
    host.start()
    equal(states(host), {"one": "running", "two": "stopped"},
          "a stop and a removal that had begun are finished")
    ok(all_is_known(host), "nothing is left over")


class Load(threading.Thread):
    """Creates, stops and removes; knows what was acknowledged."""

    def __init__(self, host, number):
        super().__init__()
        self.host, self.number, self.end = host, number, False
        self.sure, self.unsure = {}, set()

    def tell(self, name, after, *command):
        """One command: until it has succeeded, nothing is sure."""
        old = self.sure.pop(name, None)
        self.unsure.add(name)
        if self.host.cli(*command, check=False).returncode == 0:
            self.unsure.discard(name)
            if after:
                self.sure[name] = after
        elif self.end and old and command[0] == "run":
            self.unsure.discard(name)
            self.sure[name] = old

    def run(self):
        for i in range(1000):
            if self.end:
                return
            name = f"load-{self.number}-{i}"
            self.tell(name, "running", "create", name)
            if self.end:
                return
            if i % 3 == 0:
                self.tell(name, "stopped", "stop", name)
            elif i % 3 == 1:
                self.tell(name, None, "rm", name)


def crashes(host):
    lost, leftover, appeared, made = {}, 0, set(), 0
    random.seed(1)
    for number in range(CRASHES):
        load = [Load(host, 2 * number), Load(host, 2 * number + 1)]
        for one in load:
            one.start()
        time.sleep(random.uniform(0.05, 0.7))
        for one in load:
            one.end = True
        host.kill()
        for one in load:
            one.join()
        try:
            host.start()
        except Failed as error:
            note(error)
            ok(False, f"round {number}: the host starts")
            return
        have = states(host)
        sure = {n: s for one in load for n, s in one.sure.items()}
        unsure = {n for one in load for n in one.unsure}
        made += len(sure)
        lost.update({n: (s, have.get(n)) for n, s in sure.items() if have.get(n) != s})
        appeared |= {n for n in have if n.startswith("load-")} - set(sure) - unsure
        leftover += not all_is_known(host)
        names = [n for n in have if n.startswith("load-")]
        if names:
            host.cli("rm", *names)
    equal((lost, appeared, leftover), ({}, set(), 0),
          f"{CRASHES} crashes at random moments: of {made} sandboxes that were "
          "acknowledged none is lost, none comes back, nothing is left over")
    equal(states(host), {"one": "running", "two": "stopped"}, "the others are there")


def main():
    with Host(wait=False) as host:
        again_and_again(host)
        cell_goes_on(host)
        ends(host)
        with check("births are forged"):
            not_true(host)
        unfinished(host)
        crashes(host)
        host.cli("rm", "one", "two")
        ok(settled(host, {}), "in the end nothing is left over")
    done()


main()
