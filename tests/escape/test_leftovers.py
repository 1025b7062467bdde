#!/usr/bin/env python3
"""CrashFault / Availability: nothing is left of sandboxes that are gone (rows N11,
D5): after 200 of them, after the host stopped, and after it was killed."""

import collections
import os
import subprocess
import time

import host as host_module
import probe
from host import TMP, Host
from tap import check, done, equal, note, ok

ROUNDS = 200
FIRST_ID = 0x60000000  # not the default, so that the keys of other hosts do not count
LAST_ID = FIRST_ID + 8192 * 65536


def processes():
    """pid: command, of all that are not us or a zombie of ours."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                found[int(pid)] = comm.read().strip()
        except OSError:
            continue
    return found


def namespaces():
    """Every namespace that a process is in or a descriptor holds."""
    found = set()
    for pid in processes():
        for name in ("ns", "fd"):
            try:
                entries = os.listdir(f"/proc/{pid}/{name}")
            except OSError:
                continue
            for entry in entries:
                try:
                    link = os.readlink(f"/proc/{pid}/{name}/{entry}")
                except OSError:
                    continue
                if name == "ns" or link.split(":")[0] in ("mnt", "net", "pid", "user"):
                    found.add(link)
    return found


def mounts(pid):
    with open(f"/proc/{pid}/mountinfo") as file:
        return sorted(line.split(" ", 3)[3] for line in file)


def cgroups(key):
    """The directories of this host in every hierarchy."""
    found = []
    for top, dirs, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, d) for d in dirs if key in os.path.join(top, d)]
    return sorted(found)


def keyrings():
    """Users of the sandboxes' id ranges that still own a key."""
    with open("/proc/key-users") as file:
        ids = [int(line.split(":")[0]) for line in file]
    return [i for i in ids if FIRST_ID <= i < LAST_ID]


def slabs():
    """How many namespaces the kernel holds, also those that nothing shows."""
    found = {}
    try:
        with open("/proc/slabinfo") as file:
            for line in file:
                if line.split()[0].endswith("_namespace"):
                    found[line.split()[0]] = int(line.split()[1])
    except OSError:
        pass
    return found


def files(state):
    return sorted(
        os.path.relpath(os.path.join(top, name), state)
        for top, dirs, names in os.walk(state) for name in dirs + names
        if not os.path.relpath(top, state).startswith(("layers/", "kit/"))
    )


def descriptors(pid):
    kinds = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            kinds.append(os.readlink(f"/proc/{pid}/fd/{fd}").split("[")[0])
        except OSError:
            continue
    return sorted(kinds)


def loops(host):
    """The loop devices of this host's disk; other hosts have theirs."""
    return subprocess.run(["losetup", "-n", "-O", "NAME", "-j",
                           host.state / "disk.img"],
                          capture_output=True, text=True).stdout


class Inventory:
    def __init__(self, host):
        self.host = host
        status = os.stat(host.state)
        self.key = f"{status.st_dev:x}-{status.st_ino:x}"
        with open(f"/proc/{host.pid}/task/{host.pid}/children") as children:
            (self.gateway,) = [pid for pid in map(int, children.read().split())
                               if processes()[pid].startswith("kernelhost-gat")]

    def take(self):
        host = self.host
        return {
            "processes": processes(),
            "namespaces": namespaces(),
            "mounts of the host": mounts("self"),
            "mounts of kernelhostd": mounts(host.pid),
            "mounts of the gateway": mounts(self.gateway),
            "cgroups": cgroups(self.key),
            "files": files(host.state),
            "descriptors of kernelhostd": descriptors(host.pid),
            "descriptors of the gateway": descriptors(self.gateway),
            "loop devices": loops(host),
            "keys": keyrings(),
        }

    def settled(self, want):
        """Again until it equals WANT (None: the one before), for 10 s: the gateway
        closes what clients left, and the kernel collects keys, in their own time."""
        before = None
        for _ in range(50):
            got = self.take()
            if not differing(before if want is None else want, got):
                break
            before = got
            time.sleep(0.2)
        return got


def show(name, before, after):
    if isinstance(before, dict):
        before, after = before.items(), after.items()
    before, after = collections.Counter(before), collections.Counter(after)
    note(f"{name}: new {list((after - before).elements())[:20]}, "
         f"gone {list((before - after).elements())[:20]}")


def same(name, before, after):
    """Keys may become fewer: those of earlier sandboxes are collected late."""
    return set(after) <= set(before) if name == "keys" else after == before


def differing(before, after):
    return before is None or any(not same(n, before[n], after[n]) for n in before)


def compare(before, after, when, names=None):
    for name in names or before:
        if not ok(same(name, before[name], after[name]), f"N11 {name}: as {when}"):
            show(name, before[name], after[name])


def rounds(host, count, work):
    for i in range(count):
        host.cli("create", f"box-{i}")
        if work and i % 10 == 0:
            host.cli("exec", f"box-{i}", "--", "sh", "-c",
                     "sleep 60 >/dev/null 2>&1 & echo x > /workspace/x; mkdir -p d/e/f")
        if work and i % 70 == 0:
            host.cli("run", f"box-{i}", "-c", "import os; os.mkfifo('/tmp/f'); 1")
        if work and i % 40 == 0:
            host.cli("create", f"box-{i}", check=False)  # there is one
            host.cli("create", f"bad-{i}", "--image", "missing", check=False)
            host.cli("create", f"bad-{i}", "--memory", "1K", check=False)
        if work and i % 25 == 0:
            host.cli("stop", f"box-{i}")
        host.cli("rm", f"box-{i}")


def many(host, inventory):
    rounds(host, 3, True)  # what is made once and kept
    before = inventory.settled(None)
    kernel = slabs()
    rounds(host, ROUNDS, True)
    compare(before, inventory.settled(before), f"before {ROUNDS} create and rm")
    grown = {n: c - kernel[n] for n, c in slabs().items()}
    grown = {n: c for n, c in grown.items() if c >= ROUNDS / 2}
    equal(grown, {}, f"N11 the kernel keeps no namespaces: {kernel}")
    equal(host.cli("ls", "-q").stdout, "", "N11 none is listed")
    return before


def killed(host, inventory):
    """A power cut for kernelhostd; what it left is found at the next start."""
    for name in ("x", "y"):
        host.cli("create", name)
        host.cli("exec", name, "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 &")
    left = [pid for name in ("x", "y") for pid in probe.tasks(host, name)]
    host.kill()
    ok(len(left) >= 4, f"N11 kernelhostd was killed beside {len(left)} processes")
    host.start()
    inventory = Inventory(host)
    time.sleep(0.3)
    alive = [pid for pid in left if os.path.exists(f"/proc/{pid}")]
    states = [box["state"] for box in host.json("ls")]
    ok(not alive or states == ["running"] * 2,
       f"N11 no process is left that is not known: {alive}, {states}")
    host.cli("rm", "x", "y")
    return inventory


def main():
    start = TMP / "start"
    start.write_text("#!/bin/sh\n"
                     f'exec "{host_module.DAEMON}" --id-base {FIRST_ID} "$@"\n')
    start.chmod(0o755)
    host_module.DAEMON = start
    host = Host()
    outside = processes(), mounts("self"), loops(host)
    host.start()
    inventory = Inventory(host)
    before = {}
    with check("sandboxes are made and removed"):
        before = many(host, inventory)
    with check("kernelhostd is killed and started"):
        inventory = killed(host, inventory)
        after = inventory.settled(None)
        compare(before, after, "before kernelhostd was killed", (
            "cgroups", "files", "loop devices", "mounts of kernelhostd", "keys",
            "mounts of the host", "descriptors of kernelhostd"))
    host.stop()
    for _ in range(50):  # the kernel lets go of namespaces in its own time
        if not loops(host):
            break
        time.sleep(0.2)
    after = processes(), mounts("self"), loops(host)
    equal(after[0].keys() - outside[0].keys(), set(), "N11 no process after the host")
    equal(after[1:], outside[1:], "N11 no mount and no loop device after the host")
    equal(cgroups(inventory.key), [], "N11 no cgroup after the host")
    homes = ("sandboxes/", "trash/", "mnt/", "damaged/")
    left = [name for name in files(host.state) if name.startswith(homes)]
    equal(left, [], "N11 no file of a sandbox after the host")
    used = subprocess.run(["find", host.state / "run", "!", "-type", "d"],
                          capture_output=True, text=True).stdout.split()
    equal(used, [], "N11 nothing in run/ after the host")


main()
done()
