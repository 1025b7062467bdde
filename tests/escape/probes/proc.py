"""Rows P2-P7, N8: what /proc and /sys tell, what of them can be written, and what
processes can be reached. Not for root: it would succeed."""

import os
import re
import resource
import signal
import struct
import time

import inside
from inside import attempt, call, open_and_close, run, say

def text(path):
    with open(path) as file:
        return file.read()


# P2, P3: told to the test, which knows the limits, the paths and the ids.
for name in ("version", "mounts", "self/mountinfo", "self/mountstats", "self/cgroup",
             "1/cgroup", "1/mountinfo", "1/cmdline", "self/cpuset", "meminfo",
             "cpuinfo", "stat", "loadavg", "uptime", "net/dev", "net/unix",
             "net/route", "sysvipc/shm", "sys/kernel/random/boot_id", "net/tcp",
             "net/arp", "net/if_inet6", "net/netlink"):
    attempt("P2", name, text, f"/proc/{name}")

attempt("P3", "monotonic", lambda: str(time.monotonic()))
attempt("P3", "boottime", lambda: str(time.clock_gettime(time.CLOCK_BOOTTIME)))

# P4: everything below /proc that opens for writing. Only opened: nothing is written.
OWN = str(os.getpid())


def writable(top, skip=()):
    found, asked = [], 0
    for where, dirs, files in os.walk(top):
        dirs[:] = [d for d in dirs if os.path.join(where, d) not in skip]
        for name in files:
            path = os.path.join(where, name)
            asked += 1
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
            except OSError:
                continue
            found.append(path)
    return found, asked


def others():
    """Of the processes, only this one and init are looked at."""
    return {f"/proc/{p}" for p in os.listdir("/proc") if p.isdigit()} | {
        "/proc/self", "/proc/thread-self"}


for label, top, skip in (
    ("/proc", "/proc", others() | {"/proc/sys"}), ("/proc/sys", "/proc/sys", ()),
    ("/proc/1", "/proc/1", ()), ("/sys", "/sys", ()),
    ("/proc/self", f"/proc/{OWN}", {f"/proc/{OWN}/{d}" for d in ("fd", "map_files")}),
):
    found, asked = writable(top, skip)
    found = sorted({re.sub(r"/\d+(?=/|$)", "/N", path) for path in found})
    say("P4", f"writable below {label}", " ".join(found) or "nothing", asked > 0 or
        not os.listdir(top) if os.path.isdir(top) else True)
    say("P4", f"files below {label}", str(asked))


def write(path, data):
    with open(path, "w") as file:
        file.write(data)


attempt("P4", "lower oom_score_adj", write, "/proc/self/oom_score_adj", "-1000")
attempt("P4", "attributes of init", write, "/proc/1/attr/current", "x")
attempt("P4", "map ids", write, "/proc/self/uid_map", "0 0 1")

# P5
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
             "/proc/sys/kernel/hotplug", "/proc/sys/fs/binfmt_misc/register",
             "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/randomize_va_space",
             "/proc/sys/user/max_user_namespaces", "/proc/sys/net/ipv4/ip_forward",
             "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
             "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent"):
    attempt("P5", path, open_and_close, path, os.O_WRONLY)

# P6
attempt("P6", "core file limit", lambda: str(resource.getrlimit(resource.RLIMIT_CORE)))
attempt("P6", "raise it", resource.setrlimit, resource.RLIMIT_CORE, (1, 1))


def crash():
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    _, status = os.waitpid(pid, 0)
    return f"signal {os.WTERMSIG(status)} core {os.WCOREDUMP(status)}"


attempt("P6", "crash", crash)

# P7
for name in ("mem", "environ", "maps", "smaps", "auxv", "stack", "syscall", "io",
             "pagemap", "mountstats", "personality", "numa_maps", "timers"):
    attempt("P7", name, open_and_close, f"/proc/1/{name}", os.O_RDONLY)
for name in ("exe", "root", "cwd"):
    attempt("P7", name, os.readlink, f"/proc/1/{name}")
for name in ("fd", "fdinfo", "map_files"):
    attempt("P7", name, lambda n: " ".join(os.listdir(f"/proc/1/{n}")), name)
attempt("P7", "mem, for writing", open_and_close, "/proc/1/mem", os.O_RDWR)
attempt("P7", "ns", lambda: os.readlink("/proc/1/ns/mnt"))

# N8
own = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
say("N8", "pids", " ".join(map(str, own)))
host_pid = getattr(inside, "host_pid", 1 << 21)
attempt("N8", "signal a host process by its number", os.kill, host_pid, 0)
attempt("N8", "look at a host process", os.stat, f"/proc/{host_pid}")
attempt("N8", "a pidfd of a host process", os.pidfd_open, host_pid)
attempt("N8", "signal init", os.kill, 1, signal.SIGKILL)
attempt("N8", "send init a queued signal", lambda: call(129, 1, 9, struct.pack(
    "<iii", 9, 0, -1) + bytes(116)))
attempt("N8", "the scheduler's view of init", os.sched_setaffinity, 1, {0})
attempt("N8", "the limits of init", resource.prlimit, 1, resource.RLIMIT_NOFILE, (1, 1))
attempt("N8", "the priority of init", os.setpriority, os.PRIO_PROCESS, 1, 5)
_, result = run(lambda: os.kill(-1, 0))
say("N8", "signal everybody", result)
