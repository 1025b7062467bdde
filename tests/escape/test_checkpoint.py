#!/usr/bin/env python3
"""SandboxCode / Sandbox: a checkpoint is a process that no line of init or
kernelhostd has confined: it is a copy of one that they had. It has nothing that a
runner has not, neither while it waits nor when it is the runner."""

import os
import pathlib

from host import Host
from tap import done, equal, eventually, ok

SAME = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
        "NoNewPrivs", "Seccomp", "Seccomp_filters", "Umask")
SPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
ATTEMPTS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, *args):
    r = getattr(libc, name)(*args)
    return "OK" if r != -1 else errno.errorcode[ctypes.get_errno()]
print(attempt("unshare", 0x10000000), attempt("setns", os.pidfd_open(1), 0x20000),
      attempt("mount", b"none", b"/mnt", b"tmpfs", 0, 0), attempt("setuid", 0),
      attempt("chroot", b"/"))
"""


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def posture(pid):
    """What a process may do."""
    fields = status(pid)
    place = pathlib.Path(f"/proc/{pid}")
    return ({name: fields[name] for name in SAME},
            {name: os.readlink(place / "ns" / name) for name in SPACES},
            (place / "cgroup").read_text(), (place / "limits").read_text(),
            (place / "oom_score_adj").read_text(), (place / "mountinfo").read_text(),
            os.readlink(place / "root"), os.readlink(place / "exe"))


def of_the_sandbox():
    """Runner, then checkpoints: all but PID 1, by their numbers inside."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            inside = status(pid)["NSpid"].split()
        except (OSError, KeyError):
            continue
        if len(inside) == 2 and inside[1] != "1" and status(pid)["State"][0] != "Z":
            found[int(inside[1])] = pid
    return [found[number] for number in sorted(found)]


def descriptors(pid):
    place = pathlib.Path(f"/proc/{pid}/fd")
    return sorted((os.readlink(fd), int(fd.name)) for fd in place.iterdir())


def own(pid):
    """Its sockets, pipes and the like."""
    return {link for link, _ in descriptors(pid) if ":" in link}


def settled():
    """Processes of checkpoints that wait to be asked, with no other end open."""
    return [pid for pid in of_the_sandbox() if status(pid)["Name"] == "checkpoint"
            and status(pid)["State"][0] == "S" and len(own(pid)) == 2]


def main():
    with Host() as host:
        host.cli("create", "box")
        host.cli("run", "box", "-c",
                 "import os; a, b = os.pipe(); f = open('/etc/passwd')")
        (runner,) = of_the_sandbox()
        want = posture(runner)
        before = host.cli("run", "box", "-c", ATTEMPTS).stdout
        ok("OK" not in before and before.count("EPERM") >= 3,
           f"a runner: {before.strip()}")
        host.cli("checkpoint", "box")
        ok(eventually(lambda: len(settled()) == 2), "a checkpoint is two processes")
        frozen = settled()
        theirs = {link for pid in (runner, status(runner)["PPid"])
                  for link, _ in descriptors(pid)
                  if link.startswith(("socket", "pipe"))}
        for pid in frozen:
            equal(posture(pid), want, "one that waits is confined like the runner")
            fields = status(pid)
            equal((fields["Threads"], int(fields["SigBlk"], 16) > 1 << 60),
                  ("1", True), "it has one thread and hears no signal")
            shared = theirs & {link for link, _ in descriptors(pid)}
            # The other end of its own socket is init's, and another inode.
            equal(shared, set(), "it shares no pipe and no socket with others")
            equal(len(own(pid)), 2, f"it has one to init, and a closed one: {own(pid)}")
        host.cli("rollback", "box")
        after = host.cli("run", "box", "-c", ATTEMPTS).stdout
        equal(after, before, f"when it is the runner: {after.strip()}")
        now = [pid for pid in of_the_sandbox() if status(pid)["Name"] != "checkpoint"]
        equal((len(now), now[0] in frozen, posture(now[0])), (1, True, want),
              "it is confined as before")
    done()


main()
