"""outlive: what tests of a host whose processes die need to look at."""

import os
import time

from host import status_of
from session import run
from tap import note


def states(host):
    return {s["name"]: s["state"] for s in host.json("ls")}


def ids(host):
    return {s["name"]: s["id"].replace("-", "") for s in host.json("ls")}


def value(host, name, code):
    return run(host, name, code).strip()


def firsts():
    """PID 1 of every sandbox, with its first host id."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = status_of(pid)
        if (len(status.get("NSpid", "").split()) == 2 and status["State"][0] != "Z"
                and status["NSpid"].split()[1] == "1"):
            found[int(pid)] = int(status["Uid"].split()[0])
    return found


def groups(host):
    """The names of this host's cgroups of sandboxes, in any hierarchy; those of
    zygotes have the names of their images."""
    return {
        name for path, names, _ in os.walk("/sys/fs/cgroup")
        if path.endswith(f"/kernelhost/{host.key}") for name in names
    } - set(os.listdir(host.state / "images/id"))


def settled(host, want, seconds=15):
    """True when these ids, and no others, have a directory, a cgroup, a first
    process if they run, and the trash is empty."""
    end = time.monotonic() + seconds
    while True:
        running = {i for i, state in want.items() if state == "running"}
        got = (set(os.listdir(host.state / "sandboxes")), groups(host), len(firsts()),
               os.listdir(host.state / "trash"), os.listdir(host.state / "damaged"))
        if got == (set(want), running, len(running), [], []):
            return True
        if time.monotonic() > end:
            note(f"want {want}, have {got}")
            return False
        time.sleep(0.05)


def all_is_known(host):
    names = ids(host)
    return settled(host, {names[n]: state for n, state in states(host).items()})
