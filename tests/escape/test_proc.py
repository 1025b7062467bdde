#!/usr/bin/env python3
"""SandboxRoot / Information, Escape: /proc, /sys and processes seen from inside
(rows P1-P7, N8). An ordinary container shows the host at the starred paths."""

import os
import re

import probe
from host import Host
from tap import check, done, equal, note, ok, parts

HIDDEN = {"absent", "empty", "EACCES", "EPERM"}
# Read as content in a container without our masks; others need a capability there,
# or a kernel that has them.
STARRED = """cmdline kallsyms keys locks interrupts iomem diskstats partitions
    buddyinfo vmstat zoneinfo devices softirqs swaps consoles crypto key-users misc
    cgroups ioports timer_list pagetypeinfo execdomains tty bus driver irq fs
    config.gz""".split()
# What a process may write of itself; the kernel's configuration takes some away.
SELF = """attr autogroup clear_refs comm coredump_filter fail-nth gid_map loginuid
    make-it-fail mem oom_adj oom_score_adj projid_map reclaim sched setgroups
    timens_offsets timerslack_ns uid_map net""".split()
MEMORY, CPUS = 256 << 20, 1


def masks(host, box="a", **where):
    c = probe.Compare(host, box, "masks", **where)
    for key in sorted(k for k in c.box if k[0] == "P1"):
        got, plain, root = c.box[key], c.container.get(key), c.root.get(key)
        name = key[1].removeprefix("/proc/")
        if name not in STARRED:
            c.blocked(key, HIDDEN)
            continue
        how, shown = f"a container reads {plain}", plain == "content"
        if not shown and root in ("absent", "empty"):
            how, shown = f"this kernel lacks it, root finds it {root}", True
        elif not shown and root == "content" and plain in ("EACCES", "EPERM"):
            how, shown = f"root reads content; a container gets {plain}", True
        ok(got in HIDDEN and shown, f"P1 {key[1]}: {got} ({how})")
    count = sum(v == "content" for (r, _), v in c.container.items() if r == "P1")
    ok(count > 20, f"P1 a container reads {count} of these")


def texts(host, c, age=60):
    """P2: no path, id or name of the host. P3: the sandbox's limits, and its AGE in
    seconds at most."""
    told = {name: value for (row, name), value in c.box.items() if row == "P2"}
    everything = "\n".join(told.values())
    secrets = [str(host.state), "sandboxes/", "/upper/", "/kernelhost/"]
    secrets += os.listdir(host.state / "sandboxes")
    for line in open("/proc/mounts"):
        device = line.split()[0]
        if device.startswith("/dev/"):
            secrets.append(device)
    leaks = sorted({s for s in secrets if s in everything})
    if re.search(rf"\b{re.escape(os.uname().nodename)}\b", everything):
        leaks.append(os.uname().nodename)
    equal(leaks, [], "P2 no path, device, id or name of the host is told")
    plain = "\n".join(v for (r, _), v in c.container.items() if r == "P2")
    ok(any(s in plain for s in secrets), "P2 a container is told some")
    boot = open("/proc/sys/kernel/random/boot_id").read()
    ok(len(told["sys/kernel/random/boot_id"]) == 37, "P2 there is a boot id")
    ok(told["sys/kernel/random/boot_id"] != boot, "P2 which is not the host's")
    equal(c.container["P2", "sys/kernel/random/boot_id"], boot, "P2 a container's is")
    paths = {line.split(":")[-1] for line in told["self/cgroup"].splitlines()}
    equal(paths, {"/"}, "P2 the process's cgroups are the roots")
    equal(sorted(re.findall(r"^ *(\w+):", told["net/dev"], re.M)), ["lo"],
          "P2 the only interface is lo")
    paths = re.findall(r" (\S*[/@]\S*)$", told["net/unix"], re.M)
    ours = [f"/.kernelhost/run/{name}.sock" for name in ("init", "join")]
    equal(sorted(set(paths)), ours, "P2 the only Unix sockets are init's")
    for name in ("net/tcp", "net/arp", "sysvipc/shm"):
        ok(len(told[name].splitlines()) <= 2, f"P2 {name} has nothing of the host")
    total = int(re.search(r"MemTotal: +(\d+) kB", told["meminfo"])[1])
    equal(total, MEMORY >> 10, "P3 meminfo shows the limit")
    host_total = int(re.search(r"\d+", open("/proc/meminfo").read())[0])
    ok(total < host_total, "P3 which is not the host's memory")
    equal(len(re.findall(r"^processor", told["cpuinfo"], re.M)), CPUS,
          "P3 cpuinfo shows the limit")
    equal(len(re.findall(r"^cpu\d", told["stat"], re.M)), CPUS, "P3 and stat")
    equal(told["loadavg"].split()[:3], ["0.00"] * 3, "P3 loadavg shows nothing")
    up = float(told["uptime"].split()[0])
    ok(up < age, f"P3 uptime is the sandbox's: {up}")
    for clock in ("monotonic", "boottime"):
        now = float(c.box["P3", clock])
        ok(now < age, f"P3 {clock} is the sandbox's: {now}")
    up = float(c.container["P2", "uptime"].split()[0])
    ok(up > age, f"P3 a container's is the host's: {up}")


def writes(c):
    for label in ("/proc", "/proc/sys", "/proc/1", "/sys"):
        got = c.box["P4", f"writable below {label}"]
        # These of other processes open for anybody, and then refuse.
        rest = [p for p in got.split() if not re.search(r"/timerslack_ns$|/attr/", p)]
        ok(set(rest) <= {"nothing"}, f"P4 writable below {label}: {' '.join(rest)}")
    files = int(c.box["P4", "files below /proc/sys"])
    ok(files > 300, f"P4 {files} files below /proc/sys were tried")
    names = {re.sub(r"^/proc/N/(task/N/)?", "", p).split("/")[0]
             for p in c.box["P4", "writable below /proc/self"].split()}
    equal(sorted(names - set(SELF)), [], "P4 of itself, only what every process may")
    ok({"comm", "oom_score_adj", "mem"} <= names, "P4 and these are found")
    c.blocked(("P4", "lower oom_score_adj"), {"EACCES", "EPERM"})
    c.blocked(("P4", "map ids"), "EPERM")
    c.blocked(("P4", "attributes of init"), {"EACCES", "EPERM"})
    open_sys = c.container["P4", "writable below /proc/sys"]
    note(f"in a container, below /proc/sys: {open_sys}")
    for key in (k for k in c.box if k[0] == "P5"):
        c.blocked(key, {"EROFS", "EACCES", "ENOENT", "EPERM"})


def others(c):
    c.blocked(("P6", "core file limit"), "(0, 0)")
    c.blocked(("P6", "raise it"), "ValueError: not allowed to raise maximum limit")
    c.blocked(("P6", "crash"), "signal 11 core False")
    for key in (k for k in c.box if k[0] == "P7"):
        c.blocked(key, {"EACCES", "EPERM"})
    pids = {int(p) for p in c.box["N8", "pids"].split()}
    ok(1 in pids and len(pids) < 10, f"N8 only own processes are seen: {sorted(pids)}")
    c.blocked(("N8", "signal a host process by its number"), "ESRCH")
    c.blocked(("N8", "look at a host process"), "ENOENT")
    c.blocked(("N8", "a pidfd of a host process"), "ESRCH")
    for name in ("signal init", "send init a queued signal", "the limits of init",
                 "the scheduler's view of init", "the priority of init"):
        c.blocked(("N8", name), "EPERM")
    c.blocked(("N8", "signal everybody"), {"OK", "ESRCH"})
    ok(os.path.exists(f"/proc/{os.getpid()}"), "N8 and the host lives")


def main():
    with Host() as host:
        with check("a sandbox is made"):
            host.cli("create", "a", "--memory", "256M")
        with check("the probes ran"):
            # The lowest number that is no process inside.
            pid = max(int(p) for p in os.listdir("/proc") if p.isdigit()) + 20000
            compare = probe.Compare(host, "a", "proc", host_pid=pid)
        parts(host, masks)
        parts(compare, writes, others)
        with check("texts: all rows are there"):
            texts(host, compare)


if __name__ == "__main__":
    main()
    done()
