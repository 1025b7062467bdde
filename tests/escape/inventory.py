"""inventory: everything that a sandbox could leave behind on its host.

    before = Inventory(host).settled(None)
    ...
    compare(before, inventory.settled(before), "before that")
"""

import collections
import os
import subprocess
import time

from tap import note, ok

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
    """The loop devices of this host's disk; other hosts have theirs, under names that
    may be the same."""
    if not (host.state / "disk.img").exists():
        return ""
    return subprocess.run(["losetup", "-n", "-O", "NAME", "-j",
                           host.state / "disk.img"],
                          capture_output=True, text=True).stdout


class Inventory:
    def __init__(self, host):
        self.host = host
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
            "cgroups": cgroups(host.key),
            "files": files(host.state),
            "descriptors of kernelhostd": descriptors(host.pid),
            "descriptors of the gateway": descriptors(self.gateway),
            "loop devices": loops(host),
            "disks": host.disks(),
            "keys": keyrings(),
        }

    def settled(self, want):
        """Again until it equals WANT (None: the one before), for 10 s: the gateway
        closes what clients left, and the kernel collects keys, in their own time. Who
        asks for usage has the accounts of what was removed collected."""
        before = None
        self.host.cli("usage", check=False)
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
