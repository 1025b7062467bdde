#!/usr/bin/env python3
"""CrashFault / Availability: nothing is left of sandboxes that are gone (rows N11,
D5): after 200 of them, after the host stopped, and after it was killed."""

import os
import subprocess
import time

import host as host_module
import probe
from host import TMP, Host
from inventory import (
    FIRST_ID, Inventory, cgroups, compare, files, loops, mounts, processes, slabs,
)
from tap import check, done, equal, ok

ROUNDS = 200


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
        if work and i % 20 == 0:
            host.cli("exec", f"box-{i}", "--", "sh", "-c",
                     "head -c 20000000 /dev/urandom > /workspace/much")
            host.cli("snapshot", f"box-{i}", "snap")
            host.cli("create", "child", "--from", "snap")
            host.cli("create", f"bad-{i}", "--from", "snap", "--disk", "16M",
                     check=False)  # it holds more
            host.cli("fork", f"box-{i}", "fork", "child", check=False)
            host.cli("snapshot", "rm", "snap")
            host.cli("rm", "child", "fork")
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
    equal(cgroups(host.key), [], "N11 no cgroup after the host")
    homes = ("sandboxes/", "snapshots/", "trash/", "mnt/", "damaged/")
    left = [name for name in files(host.state) if name.startswith(homes)]
    equal(left, [], "N11 no file of a sandbox after the host")
    used = subprocess.run(["find", host.state / "run", "!", "-type", "d"],
                          capture_output=True, text=True).stdout.split()
    equal(used, [], "N11 nothing in run/ after the host")


main()
done()
