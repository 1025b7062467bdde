#!/usr/bin/env python3
"""SandboxRoot / Escape: the processes of a sandbox, looked at from the host (rows
N1-N3, N9, N10, N12, S8, D1-D3)."""

import os
import re
import subprocess
import sys
import threading
import time

import control
import host as host_module
import probe
from host import TMP, Host
from tap import check, done, equal, note, ok

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
SLEEPER = """
import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)
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
    """A sandbox with a kernel and a command of four threads that sleeps."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        host.cli("create", name)
        host.cli("run", name, "-c", "import threading, time\n"
                 "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()")
        command = ("exec", name, "--", "python3", "-c", SLEEPER)
        threading.Thread(target=host.cli, args=command, daemon=True,
                         kwargs=dict(check=False)).start()
        for _ in range(100):
            self.pids = [p for p in probe.tasks(host, name) if inside(p)]
            if len(self.pids) > 2 and threads(self.pids[-1]) == 4:
                break
            time.sleep(0.05)
        self.init, self.runner, *_, self.command = self.pids
        with open(f"/proc/{self.init}/uid_map") as file:
            self.first = int(file.read().split()[1])

    def tasks(self):
        for pid in self.pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                yield pid, f"/proc/{pid}/task/{task}"


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
        kind = {box.init: "init", box.runner: "runner"}.get(pid, "user")
        want = {**GOLDEN[kind], "groups": ""}
        want["id"] = {str(box.first + GOLDEN[kind]["id"])}
        if posture(path) != want:
            equal(posture(path), want, f"N2 N3 posture of {path}")
        count += 1
    ok(count >= 1 + 2 + 4, f"N2 N3 {count} threads of {box.name} are as they must be")
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
    runner = programs.pop(box.runner)
    equal({len(p) for p in programs.values()}, {2}, "S8 each process has two filters")
    sandbox = programs[box.init]
    ok(all(p == sandbox for p in programs.values()), "S8 and they are the same")
    equal(len(runner), 4, "S8 the runner, which joined, has two more")
    equal(runner[2:], sandbox, "S8 the newest of which are the sandbox's")
    equal(runner[1], sandbox[1], "S8 as is the zygote's look at arguments")


def descriptors(box, where=""):
    """D1: what each process holds."""
    for pid, kind in ((box.init, "init"), (box.runner, "runner")):
        held = fds(pid)
        wrong = {n: t for n, t in held.items() if not re.fullmatch(FDS[kind], t)}
        equal(wrong, {}, f"D1 {len(held)} descriptors of {kind} are its own {where}")
        for n in range(3):
            ok(n in held, f"D1 descriptor {n} of {kind} is open {where}")
    held = fds(box.command)
    equal(sorted(held), [0, 1, 2], f"D1 a command has three descriptors {where}")
    wrong = {n: t for n, t in held.items() if not re.fullmatch(PIPE, t)}
    equal(wrong, {}, f"D1 which are pipes {where}")
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


def environment(box):
    """N12: init has nothing that a client could set; forged variables reach only the
    process they are given to."""
    with open(f"/proc/{box.init}/environ", "rb") as file:
        equal(file.read(), b"", "N12 the environment of init is empty")
    forged = {"LD_PRELOAD": "/workspace/evil.so", "LD_AUDIT": "/workspace/evil.so",
              "GCONV_PATH": "/workspace", "PYTHONPATH": "/workspace/evil",
              "NODE_OPTIONS": "--require /workspace/evil.js", "PATH": "/workspace/bin",
              "GLIBC_TUNABLES": "glibc.malloc.check=3", "LD_LIBRARY_PATH": "/workspace",
              "MALLOC_TRACE": "/workspace/trace", "HOME": "/proc/1/root"}
    options = [w for k, v in forged.items() for w in ("--env", f"{k}={v}")]
    got = box.host.cli("exec", box.name, *options, "--", "/usr/bin/env", check=False)
    ok("LD_AUDIT=/workspace/evil.so" in got.stdout, "N12 the command gets them")
    with open(f"/proc/{box.init}/environ", "rb") as file:
        equal(file.read(), b"", "N12 init does not")
    maps = open(f"/proc/{box.init}/maps").read()
    ok(".so" not in maps, "N12 init is static: it maps no library")
    # Not through files, either: the next start finds them.
    box.host.cli("stop", box.name)
    upper = box.host.upper(box.name)
    (upper / "etc/ld.so.preload").write_text("/workspace/evil.so\n")
    box.host.cli("start", box.name)
    got = box.host.cli("exec", box.name, "--", "echo", "alive")
    equal(got.stdout, "alive\n", "N12 nor through /etc/ld.so.preload at a restart")


def directories(box):
    """D3: no working directory is outside."""
    code = "import os; print(os.getcwd(), os.readlink('/proc/self/cwd'))"
    for cwd in ("..", "../../../..", "/proc/self/fd/3", "/proc/self/fd/0", "/dev/fd/3",
                "/proc/1/root", "/proc/self/root", "/proc/self/cwd", "/proc/1/cwd",
                "/proc/self/fd/10", "/proc/thread-self/root/..", "/dev/shm"):
        got = box.host.cli("exec", box.name, "--cwd", cwd, "--", "python3", "-c", code,
                           check=False)
        words = got.stdout.split()
        fine = got.returncode != 0 if not words else (
            words[0] == words[1] and words[0].startswith("/") and "(" not in got.stdout)
        ok(fine, f"D3 in {cwd}: {got.stdout.strip() or got.stderr.strip()[:60]}")


def dirty():
    """D2: the host is started with 200 descriptors and without 0, 1 and 2."""
    start = TMP / "start"
    start.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "for _ in range(100):\n"
        "    os.set_inheritable(os.open('/etc', os.O_RDONLY), True)\n"
        "    os.set_inheritable(os.open('/etc/passwd', os.O_RDWR), True)\n"
        "os.closerange(0, 3)\n"
        f"os.execv({str(host_module.DAEMON)!r}, sys.argv)\n")
    start.chmod(0o755)
    clean, host_module.DAEMON = host_module.DAEMON, start
    try:
        with Host("dirty", preload="none") as host:
            box = Box(host, "d")
            descriptors(box, "(dirty start)")
            junk = re.compile(r"/etc(/passwd)?")
            children = subprocess.run(["pgrep", "-P", str(host.pid)],
                                      capture_output=True, text=True).stdout.split()
            for pid in children:
                held = {n: t for n, t in fds(pid).items() if junk.fullmatch(t)}
                equal(held, {}, f"D2 process {pid} got none of them")
            ok(len(children) >= 2, "D2 the gateway and init were looked at")
            low = {n: t for n, t in fds(host.pid).items() if n < 3}
            equal(low, dict.fromkeys(range(3), "/dev/null"),
                  "D2 kernelhostd has 0, 1 and 2 on /dev/null")
    finally:
        host_module.DAEMON = clean
        note(f"log of the host: {TMP}/dirty.log")


def main():
    names = os.uname()
    with Host() as host:
        a, b = Box(host, "a"), Box(host, "b")
        for part, args in (
            (namespaces, (a, b, host)), (namespaces, (b, a, host)), (compare, (a,)),
            (compare, (b,)), (id_ranges, (a, b)), (filters, (a,)), (descriptors, (a,)),
            (directories, (a,)),
        ):
            with check(f"{part.__name__} could be looked at"):
                part(*args)
        equal(os.uname(), names, "N9 the host has its names")
        host.cli("rm", "b")
        with check("environment could be looked at"):
            environment(a)
    with check("a dirty start could be looked at"):
        dirty()


main()
done()
