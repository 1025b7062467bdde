#!/usr/bin/env python3
"""SandboxRoot / Availability: what one sandbox uses up, another still has (rows R1,
R2, R3). Nothing is timed: the other one has to answer while the first is full."""

import ctypes
import os
import pathlib
import subprocess
import time

import probe
from host import Host
from tap import check, done, equal, ok

PIDS, MEMORY = 48, 128 << 20

FORKS = """
import os, sys, time
ready, done = os.pipe()
if os.fork():
    os.close(done)
    print(os.read(ready, 100).decode(), flush=True)
    os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for fd in range(3):
    os.dup2(null, fd)
count, why = 0, ""
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError as error:
    why = error.strerror
os.write(done, f"{count} {why}".encode())
os.close(done)
while True:  # and never leave a place free
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    except OSError:
        time.sleep(0.01)
"""
THREADS = """
import threading, time
count = 0
try:
    while count < 10000:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        count += 1
except RuntimeError as error:
    print(count, error, flush=True)
import os
os._exit(0)
"""
BOMBS = {
    "anonymous": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "memfd": "import os\nf = os.memfd_create('x')\n"
             "while True: os.write(f, bytes(1 << 20))",
    "huge mapping": "import mmap\nm = mmap.mmap(-1, 1 << 30)\n"
                    "for i in range(0, 1 << 30, 4096): m[i] = 1",
}
SHM = """
import os, errno
fd = os.open("/dev/shm/full", os.O_CREAT | os.O_WRONLY)
total = 0
try:
    while total < 1 << 30:
        total += os.write(fd, bytes(1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno], total >> 20)
os.unlink("/dev/shm/full")
"""
RAISE = """
import os, resource
def tried(f, *a):
    try:
        f(*a)
        return "OK"
    except (PermissionError, ValueError) as error:
        return type(error).__name__
one = os.sched_param(1)
print(tried(os.nice, -5), tried(os.sched_setscheduler, 0, os.SCHED_FIFO, one),
      tried(os.sched_setscheduler, 0, os.SCHED_RR, one),
      tried(resource.setrlimit, resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)),
      tried(resource.setrlimit, resource.RLIMIT_MEMLOCK, (1 << 30, 1 << 30)),
      tried(os.setpriority, os.PRIO_PROCESS, 0, -1))
"""
# inotify instances up to the limit, and Linux AIO contexts, whose limit is the host's.
COUNTED = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
context = ctypes.c_ulong(0)
aio = libc.syscall(206, 16384, ctypes.byref(context)), ctypes.get_errno()
count = 0
while count < 100000 and libc.inotify_init1(0) >= 0:
    count += 1
print(count, os.strerror(ctypes.get_errno()), *aio, flush=True)
if len(sys.argv) > 1:
    time.sleep(60)
"""


def run(host, box, code):
    return host.cli("exec", box, "--", "python3", "-", input=code, check=False)


def answers(host, when):
    got = host.cli("exec", "b", "--", "echo", "here", check=False, timeout=60)
    equal(got.stdout, "here\n", f"the other sandbox answers {when}")


def groups(pid):
    """Where the process is in each hierarchy: the files of the controllers."""
    found = {}
    with open(f"/proc/{pid}/cgroup") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            found.update(dict.fromkeys(names.split(","), path))
    return found


def limits(host, pids, name="a", memory=MEMORY):
    """Every process is in the cgroups of its sandbox, in every hierarchy used."""
    box = host.json("show", name)["id"].replace("-", "")
    where = {pid: groups(pid) for pid in pids}
    unified = where[pids[0]].get("", "/").endswith(box)
    for kind in ("memory", "cpu", "pids"):
        paths = {w.get(kind, w.get("", "")) for w in where.values()}
        ok(len(paths) == 1 and paths.pop().endswith(box),
           f"R1 all processes are in the {kind} cgroup of the sandbox")
    ok(unified, "R1 and in its unified one")
    mounts = {}
    with open("/proc/mounts") as file:
        for line in file:
            _, point, kind, options = line.split()[:4]
            if kind.startswith("cgroup"):
                mounts.update(dict.fromkeys(options.split(",") + [kind], point))
    path = where[pids[0]]
    if "pids" in path:
        files = {"pids": "pids.max", "memory": "memory.limit_in_bytes"}
        values = {n: pathlib.Path(mounts[n] + path[n], f).read_text().strip()
                  for n, f in files.items()}
    else:
        top = pathlib.Path(mounts["cgroup2"] + path[""])
        values = {n: (top / f"{n}.max").read_text().strip() for n in ("pids", "memory")}
    equal(values, {"pids": str(PIDS), "memory": str(memory)}, "R1 R2 with its limits")


def counted(host):
    """R5: what the kernel counts by user is not one account for all sandboxes."""
    with subprocess.Popen(["kernelhost", "exec", "a", "--", "python3", "-c", COUNTED,
                           "stay"], env=host.env, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True) as full:
        count, *why = full.stdout.readline().split()
        ok(int(count) > 0 and "Too many" in " ".join(why),
           f"R5 inotify ends after {count} instances: {why}")
        equal(why[-2:], ["-1", "38"], "R5 there are no AIO contexts to take")
        there = run(host, "b", COUNTED).stdout.split()
        equal(there[:1], [count], "R5 and another sandbox has as many")
        libc = ctypes.CDLL(None, use_errno=True)
        mine = libc.inotify_init1(0)
        ok(mine >= 0, f"R5 and root of the host has some: {ctypes.get_errno()}")
        full.kill()


def processes(host):
    got = run(host, "a", THREADS)
    count = int((got.stdout.split() or ["0"])[0])
    ok(10 < count < PIDS, f"R1 a thread bomb ends at {count} threads")
    answers(host, "during and after it")
    got = run(host, "a", FORKS)
    count, why = got.stdout.strip().split(" ", 1)
    ok(10 < int(count) < PIDS, f"R1 a fork bomb ends at {count} processes: {why}")
    answers(host, "while a fork bomb fills its place")
    got = host.cli("exec", "a", "--", "echo", "here", check=False)
    ok(got.returncode != 0 and got.stderr, f"R1 there: {got.stderr.strip()[:60]!r}")
    used = host.json("show", "a")["usage"]["pids"]
    ok(PIDS - 3 <= used <= PIDS, f"R1 it counts {used} processes")
    host.cli("stop", "a")
    answers(host, "after it was stopped")
    host.cli("start", "a")
    equal(host.cli("exec", "a", "--", "echo", "here").stdout, "here\n",
          "R1 it runs again")


def reaping(host):
    code = ("import os, time\nfor _ in range(300):\n"
            "    if os.fork() == 0:\n        if os.fork() == 0: os._exit(0)\n"
            "        os._exit(0)\n    os.wait()\ntime.sleep(0.3)")
    equal(run(host, "a", code).returncode, 0, "R1 300 orphans fit, for init reaps them")
    run(host, "a", "import os, signal; os.kill(-1, signal.SIGKILL)")
    equal(host.cli("exec", "a", "--", "echo", "here").stdout, "here\n",
          "R1 init lives after kill(-1, SIGKILL)")


def memory(host):
    before = host.json("show", "a")["usage"]["oom_kills"]
    for name, code in BOMBS.items():
        got = run(host, "a", code)
        ok(got.returncode in (137, -9), f"R2 {name}: killed, status {got.returncode}")
        answers(host, f"after a bomb of {name} memory")
        equal(host.cli("exec", "a", "--", "echo", "here").stdout, "here\n",
              f"R2 {name}: init lives")
    after = host.json("show", "a")["usage"]["oom_kills"]
    ok(after >= before + len(BOMBS), f"R2 the host counts {after} kills")
    got = run(host, "a", SHM)
    ok(got.stdout.startswith("ENOSPC 6") or got.returncode in (137, -9),
       f"R2 /dev/shm ends: {got.stdout.strip()}, status {got.returncode}")
    peak = host.json("show", "a")["usage"]["memory_peak"]
    ok(0 < peak <= MEMORY, f"R2 it never had more than its own: {peak >> 20} MiB")


def priority(host):
    got = run(host, "a", RAISE).stdout.split()
    equal(got, ["PermissionError"] * 3 + ["ValueError"] * 2 + ["PermissionError"],
          "R3 R5 no priority and no limit can be raised")


def main():
    with Host() as host:
        host.cli("create", "a", "--pids", str(PIDS), "--memory", "128M", "--cpus", "1")
        host.cli("create", "b")
        with check("the cgroups could be looked at"):
            limits(host, probe.tasks(host, "a")[:1])
        for part in (counted, processes, reaping, memory, priority):
            with check(f"{part.__name__}: everything was tried"):
                part(host)
        pids = probe.tasks(host, "a")
        host.cli("rm", "a")
        time.sleep(0.1)
        equal([p for p in pids if os.path.exists(f"/proc/{p}")], [],
              "R1 after rm no process is left")
        answers(host, "at the end")


if __name__ == "__main__":
    main()
    done()
