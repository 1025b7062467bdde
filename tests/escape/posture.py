"""posture: what the processes of a sandbox are, looked at from the host (rows N1-N3,
N10, S8, D1). For the programs that look at new, at woken and at forked ones."""

import os
import re
import threading
import time

import control
import probe
from tap import equal, ok

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time",
              "time_for_children", "user", "uts")
INIT_CAPS = "00000000000000e0"  # SETUID, SETGID, KILL
NONE = "0" * 16
# Lines of /proc/P/status; the ids are offsets into the sandbox's range.
GOLDEN = {
    "init": dict(id=0, CapInh=NONE, CapPrm=INIT_CAPS, CapEff=INIT_CAPS, CapBnd=NONE,
                 CapAmb=NONE, NoNewPrivs="1", Seccomp="2", Seccomp_filters="2"),
    "user": dict(id=1000, CapInh=NONE, CapPrm=NONE, CapEff=NONE, CapBnd=NONE,
                 CapAmb=NONE, NoNewPrivs="1", Seccomp="2", Seccomp_filters="2"),
}
# It came from a zygote, whose programs stay below the sandbox's.
GOLDEN["runner"] = {**GOLDEN["user"], "Seccomp_filters": "4"}
LIMITS = {"Max core file size": "0 0", "Max realtime priority": "0 0",
          "Max nice priority": "0 0"}
# What descriptors may be: never a directory, a file of the host, a memfd.
PIPE, SOCKET = r"pipe:\[\d+\]", r"socket:\[\d+\]"
FDS = {
    "init": rf"/dev/null|{PIPE}|{SOCKET}|anon_inode:\[(eventpoll|signalfd)\]",
    "runner": rf"/dev/null|{PIPE}|{SOCKET}|anon_inode:\[(eventpoll|eventfd|timerfd)\]",
}
KERNEL = """
import subprocess, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
child = subprocess.Popen(["sleep", "600"])
"""
SLEEPER = """
import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
time.sleep(600)
"""


def status(path):
    with open(f"{path}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def inside(pid):
    """Still there: the command that listed the processes has ended."""
    return os.path.exists(f"/proc/{pid}")


def threads(pid):
    return int(status(f"/proc/{pid}")["Threads"])


def links(path):
    found = {}
    for name in os.listdir(path):
        try:
            found[name] = os.readlink(f"{path}/{name}")
        except OSError:
            continue
    return found


def fds(pid):
    return {int(n): target for n, target in links(f"/proc/{pid}/fd").items()}


def posture(task):
    """What is compared, in the words of the golden table."""
    s = status(task)
    ids = set(s["Uid"].split() + s["Gid"].split())
    facts = {k: s.get(k) for k in GOLDEN["init"] if k != "id"}
    return facts | dict(id=ids, groups=s["Groups"].strip())


class Box:
    """A sandbox with a kernel of two threads that has a child, and a command of four
    threads; all of them sleep."""

    @classmethod
    def begin(cls, host, name, detached=False):
        """In a sandbox that has nothing yet. Only where the command is DETACHED from
        its client can it sleep."""
        host.cli("run", name, "-c", KERNEL)
        if detached:
            host.cli("exec", name, "--", "sh", "-c",
                     f"exec python3 -c '{SLEEPER}' </dev/null >/dev/null 2>&1 &")
            return cls(host, name)
        command = ("exec", name, "--", "python3", "-c", SLEEPER)
        threading.Thread(target=host.cli, args=command, daemon=True,
                         kwargs=dict(check=False)).start()
        return cls(host, name)

    def __init__(self, host, name):
        """Finds them, also after a sleep or a fork."""
        self.host, self.name = host, name
        for _ in range(100):
            self.pids = [p for p in probe.tasks(host, name) if inside(p)]
            if len(self.pids) > 3 and threads(self.pids[-1]) == 4:
                break
            time.sleep(0.05)
        self.init, self.runner, *_, self.command = self.pids
        # What is the zygote's child, and inherits from it.
        self.joined = {p for p in self.pids
                       if {p, int(status(f"/proc/{p}")["PPid"])} & {self.runner}}
        with open(f"/proc/{self.init}/uid_map") as file:
            self.first = int(file.read().split()[1])

    def tasks(self):
        for pid in self.pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                yield pid, f"/proc/{pid}/task/{task}"

    def kind(self, pid):
        return "init" if pid == self.init else (
            "runner" if pid in self.joined else "user")


def namespaces(box, other, host):
    foreign = {n: {os.readlink(f"/proc/{p}/ns/{n}") for p in ("self", host.pid)}
               for n in NAMESPACES}
    for n in NAMESPACES:
        foreign[n].add(os.readlink(f"/proc/{other.init}/ns/{n}"))
    shared = [f"{path} {n}" for _, path in box.tasks() for n in NAMESPACES
              if os.readlink(f"{path}/ns/{n}") in foreign[n]]
    equal(shared, [], f"N1 no task of {box.name} is in a namespace of another")
    for n in NAMESPACES:
        inside = {os.readlink(f"{path}/ns/{n}") for _, path in box.tasks()}
        equal(len(inside), 1, f"N1 all tasks of {box.name} are in one {n} namespace")


def compare(box):
    count = 0
    for pid, path in box.tasks():
        want = {**GOLDEN[box.kind(pid)], "groups": ""}
        want["id"] = {str(box.first + want["id"])}
        if posture(path) != want:
            equal(posture(path), want, f"N2 N3 posture of {path}")
        count += 1
    ok(count >= 1 + 2 + 1 + 4,
       f"N2 N3 {count} threads of {box.name} are as they must be")
    for pid in box.pids:
        with open(f"/proc/{pid}/limits") as file:
            text = re.sub(r" +", " ", file.read())
        wrong = [k for k, v in LIMITS.items() if f"{k} {v} " not in text]
        equal(wrong, [], f"N2 resource limits of {pid}")
    scores = [int(open(f"/proc/{p}/oom_score_adj").read()) for p in box.pids]
    ok(scores[0] < min(scores[1:]), f"N2 init is killed last: {scores}")
    ok(status(f"/proc/{box.init}")["Threads"] == "1", "N2 init has one thread")


def id_ranges(a, b):
    ranges = []
    for box in (a, b):
        for kind in ("uid_map", "gid_map"):
            with open(f"/proc/{box.init}/{kind}") as file:
                rows = [list(map(int, line.split())) for line in file]
            equal(len(rows), 1, f"N10 {box.name} has one range in {kind}")
            inside, outside, count = rows[0]
            ok(inside == 0 and outside >= 65536 and count == 65536,
               f"N10 {box.name} {kind}: {inside} {outside} {count}")
            ranges.append((outside, outside + count))
    ok(ranges[0][1] <= ranges[2][0] or ranges[2][1] <= ranges[0][0],
       "N10 the ranges of two sandboxes are apart")


def filters(box):
    """S8: the same programs on every process."""
    programs = {pid: control.filters(pid) for pid in box.pids}
    joined = [programs.pop(pid) for pid in sorted(box.joined)]
    runner = joined[0]
    ok(len(joined) == 2 and joined[1] == runner, "S8 the runner's child has its own")
    equal({len(p) for p in programs.values()}, {2}, "S8 each process has two filters")
    sandbox = programs[box.init]
    ok(all(p == sandbox for p in programs.values()), "S8 and they are the same")
    equal(len(runner), 4, "S8 the runner, which joined, has two more")
    equal(runner[2:], sandbox, "S8 the newest of which are the sandbox's")
    equal(runner[1], sandbox[1], "S8 as is the zygote's look at arguments")


def descriptors(box, where="", stdio=PIPE):
    """D1: what each process holds; STDIO is what a command's three are."""
    for pid, kind in ((box.init, "init"), (box.runner, "runner")):
        held = fds(pid)
        wrong = {n: t for n, t in held.items() if not re.fullmatch(FDS[kind], t)}
        equal(wrong, {}, f"D1 {len(held)} descriptors of {kind} are its own {where}")
        for n in range(3):
            ok(n in held, f"D1 descriptor {n} of {kind} is open {where}")
    held = fds(box.command)
    equal(sorted(held), [0, 1, 2], f"D1 a command has three descriptors {where}")
    wrong = {n: t for n, t in held.items() if not re.fullmatch(stdio, t)}
    equal(wrong, {}, f"D1 which are what it was given {where}")
    # Both ends of each pipe are inside: nobody outside reads or writes them.
    outside = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) not in box.pids:
            try:
                outside |= set(fds(pid).values())
            except OSError:
                pass
    shared = {t for pid in box.pids for t in fds(pid).values()
              if t.startswith("pipe:")} & outside
    equal(shared, set(), f"D1 no process outside holds an end of them {where}")
