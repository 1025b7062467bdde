#!/usr/bin/env python3
"""SandboxRoot / Escape: a sandbox that woke from the disk, and one that was forked
with its memory, are as confined as a new one: what slept in them, and what begins in
them (rows N1-N10, S1, S3-S9, P1-P10, F1-F5, F7, F13, F16, D1, R1-R3)."""

import os
import re
import time

import control
import posture
import probe
import test_files
import test_limits
import test_proc
import test_syscalls
import test_table
from host import Host
from posture import Box
from tap import check, done, equal, ok

PIDS, MEMORY = test_limits.PIDS, test_proc.MEMORY
OPTIONS = ("--pids", PIDS, "--memory", "256M", "--cpus", "1")

FILL = f"""
import os, signal, time
pids, why = [], ""
try:
    while len(pids) < {2 * PIDS}:
        pids.append(os.fork())
        if pids[-1] == 0:
            time.sleep(60)
            os._exit(0)
except OSError as error:
    why = error.strerror
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(len(pids), why)
"""
RAISED = """
import os, resource
def tried(f, *a):
    try:
        f(*a)
        return "OK"
    except (PermissionError, ValueError) as error:
        return type(error).__name__
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
print(tried(os.nice, -1),
      tried(resource.setrlimit, resource.RLIMIT_NOFILE, (1, hard + 1)),
      tried(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)))
"""


def text(path):
    with open(path) as file:
        return file.read()


def files_of(pid):
    """What is mapped: names, and how. Addresses and anonymous memory are nobody's."""
    found = set()
    for line in text(f"/proc/{pid}/maps").splitlines():
        _, how, _, _, inode, *name = line.split(maxsplit=5)
        if inode != "0":
            found.add((how, *name))
    return found


def executable(pid):
    """Memory that is anonymous or can be written, and executed: code of nobody's."""
    found = []
    for line in text(f"/proc/{pid}/maps").splitlines():
        _, how, _, _, inode, *name = line.split(maxsplit=5)
        if "x" in how and (inode == "0" or "w" in how) and name not in (
                ["[vdso]"], ["[vsyscall]"]):
            found.append((how, *name))
    return found


def facts(box):
    """Of each process, by its number inside, what sleep and fork must not change."""
    found = {}
    for pid in box.pids:
        path = f"/proc/{pid}"
        s = posture.status(path)
        owner = os.stat(path).st_uid
        found[probe.inner_pid(pid)] = {
            "limits": re.sub(r" +", " ", text(f"{path}/limits")),
            "oom_score_adj": text(f"{path}/oom_score_adj"),
            "dumpable": owner - box.first if owner else "no",
            "exe": os.readlink(f"{path}/exe"), "cwd": os.readlink(f"{path}/cwd"),
            "root": os.readlink(f"{path}/root"),
            "session": (s["NSsid"].split()[-1], s["NSpgid"].split()[-1]),
            "umask": s["Umask"], "files": files_of(pid), "executable": executable(pid),
            "personality": text(f"{path}/personality"),
            "coredump_filter": text(f"{path}/coredump_filter"),
            "scheduler": (os.sched_getscheduler(pid), os.getpriority(0, pid)),
            "descriptors": sorted(re.sub(r"\d+\]", "]", t) for t in
                                  posture.fds(pid).values() if "socket" not in t),
            "environment": text(f"{path}/environ"), "seccomp": s["Seccomp_filters"],
        }
    return found


def kept(before, box):
    after = facts(box)
    equal(sorted(after), sorted(before), f"{box.name}: the same processes")
    for number, was in before.items():
        changed = {k: (v, after.get(number, {}).get(k)) for k, v in was.items()
                   if after.get(number, {}).get(k) != v}
        equal(changed, {}, f"{box.name}: process {number} is what it was")


def outside(box, others, host):
    posture.namespaces(box, others[0], host)
    posture.compare(box)
    posture.filters(box)
    posture.descriptors(box, f"({box.name})", "/dev/null")
    for other in others:
        posture.id_ranges(box, other)
    test_limits.limits(host, box.pids, box.name, MEMORY)


def confined(box, pids, what):
    """Processes that began after it woke: they come from init, not from a zygote."""
    want = {**posture.GOLDEN["user"], "groups": "", "id": {str(box.first + 1000)}}
    ours = control.filters(box.init)
    for pid in pids:
        equal(posture.posture(f"/proc/{pid}"), want, f"N2 {box.name}: {what}")
        equal(control.filters(pid), ours, f"S8 {box.name}: {what} has init's filters")
        other = [n for n in posture.NAMESPACES if os.readlink(f"/proc/{pid}/ns/{n}")
                 != os.readlink(f"/proc/{box.init}/ns/{n}")]
        equal(other, [], f"N1 {box.name}: {what} is in init's namespaces")


def new_ones(host, box):
    found = [p for p in probe.tasks(host, box.name) if posture.inside(p)]
    return [p for p in found if p not in box.pids]


def later(host, box):
    host.cli("exec", box.name, "--", "sh", "-c", "sleep 600 >/dev/null 2>&1 &")
    new = new_ones(host, box)
    equal(len(new), 1, f"{box.name}: a process begins")
    confined(box, new, "a new process")
    old, now = text(f"/proc/{box.command}/limits"), text(f"/proc/{new[0]}/limits")
    equal(now, old, f"{box.name}: with the limits that the old ones have")


def walls(host, name, begun):
    """From the kernel, an old process: everything that a new sandbox is asked."""
    where = dict(kernel=True)
    for part in (test_syscalls.doors, test_syscalls.syscalls, test_syscalls.sockets,
                 test_table.table, test_proc.masks):
        with check(f"{name}: {part.__name__}: the probes ran"):
            part(host, name, **where)
    with check(f"{name}: a second layer is there"):
        test_syscalls.second_layer(host, name)
    pid = max(int(p) for p in os.listdir("/proc") if p.isdigit()) + 20000
    compare = probe.Compare(host, name, "proc", host_pid=pid, **where)
    for part in (test_proc.writes, test_proc.others):
        with check(f"{name}: {part.__name__}: all rows are there"):
            part(compare)
    with check(f"{name}: texts: all rows are there"):
        test_proc.texts(host, compare, time.monotonic() - begun)


def files(host, name):
    rows = probe.inside(host, name, "files", kernel=True, canary=test_files.NAME,
                        content=test_files.CONTENT)
    for part in (test_files.files, test_files.mounts, test_files.devices,
                 test_files.setuid):
        with check(f"{name}: {part.__name__}: all rows are there"):
            part(rows)


def full(host, box):
    """The limits hold for who was there before they were made anew."""
    name = box.name
    got = host.cli("run", name, "-c", RAISED, check=False).stdout.split()
    equal(got, ["PermissionError", "ValueError", "PermissionError"],
          f"R3 R5 {name}: no priority and no limit can be raised")
    count, why = host.cli("run", name, "-c", FILL).stdout.split(" ", 1)
    ok(10 < int(count) < PIDS, f"R1 {name}: the kernel forks {count} times: {why}")
    kills = host.json("show", name)["usage"]["oom_kills"]
    got = host.cli("exec", name, "--", "python3", "-c", test_limits.BOMBS["anonymous"],
                   check=False)
    ok(got.returncode == 137, f"R2 {name}: a new process is killed, {got.returncode}")
    got = host.cli("run", name, "-c", test_limits.BOMBS["anonymous"], check=False)
    ok("memory limit" in got.stderr, f"R2 {name}: the kernel is killed: {got.stderr!r}")
    shown = host.json("show", name)["usage"]
    ok(shown["oom_kills"] >= kills + 2, f"R2 {name}: the host counts the kills")
    equal(host.cli("exec", name, "--", "echo", "here").stdout, "here\n",
          f"R2 {name}: init lives")
    host.cli("run", name, "-c", "1")
    new = [p for p in new_ones(host, box) if "runner" in text(f"/proc/{p}/cmdline")]
    equal(len(new), 1, f"{name}: a kernel begins")
    confined(box, new, "a new kernel")


def main():
    begun = time.monotonic()
    with Host() as host, test_files.canaries(host):
        host.cli("create", "plain", *OPTIONS)
        plain = Box.begin(host, "plain", True)
        host.cli("exec", "plain", "--", "tee", f"/tmp/{test_files.NAME}",
                 input=test_files.CONTENT)
        host.cli("create", "woken", *OPTIONS)
        host.cli("stop", "woken")
        test_files.plant(host, "woken")
        host.cli("start", "woken")
        before = facts(Box.begin(host, "woken", True))
        host.cli("sleep", "woken")
        host.cli("wake", "woken")
        woken = Box(host, "woken")
        host.cli("fork", "woken", "forked")
        forked = Box(host, "forked")
        woken = Box(host, "woken")  # which may have slept for it
        for box, others in ((woken, (plain, forked)), (forked, (plain, woken))):
            for part, args in ((kept, (before, box)), (outside, (box, others, host)),
                               (later, (host, box)), (walls, (host, box.name, begun)),
                               (files, (host, box.name)), (full, (host, box))):
                with check(f"{box.name}: {part.__name__}: everything was looked at"):
                    part(*args)


main()
done()
