#!/usr/bin/env python3
"""How much a sandbox may write: bytes, names, what is told to who writes more, and
that files outlive every process of the host."""

import os
import subprocess
import time

import api
import host as host_module
from host import TMP, Host
from tap import check, done, equal, ok

MIB = 1 << 20
FILL = """
import os
n = 0
try:
    while n < 200000:
        with open(f"/workspace/many-{n}", "w"):
            n += 1
except OSError as error:
    print(error.errno == 122)
    for name in os.listdir("/workspace"):
        os.unlink("/workspace/" + name)
print(os.listdir("/workspace"))
"""


def run(host, name, code):
    return host.cli("run", name, "-c", code, check=False)


def loops(host):
    """The loop devices of this host's disk; other hosts have theirs."""
    return subprocess.run(["losetup", "-j", host.state / "disk.img"],
                          capture_output=True, text=True).stdout


def loops_end(host):
    """What is left of them; the kernel lets go of namespaces in its own time."""
    for _ in range(50):
        if not loops(host):
            break
        time.sleep(0.2)
    return loops(host)


def writes(host, path, size, name="box"):
    """How many bytes of SIZE went into PATH."""
    code = (f"n = 0\ntry:\n    with open('{path}', 'wb', 0) as f:\n"
            f"        while n < {size}:\n            n += f.write(bytes(1 << 20))\n"
            "except OSError as error:\n    print(error)\n"
            "print(n)")
    out = run(host, name, code).stdout.split("\n")
    return int(out[-2]), out[0]


def limits(host):
    host.cli("create", "box", "--disk", "64M")
    host.cli("create", "other", "--disk", "64M")
    equal(host.json("show", "box")["limits"]["disk"], 64 * MIB, "the limit is shown")
    got, why = writes(host, "/workspace/x", 100 * MIB)
    ok(60 * MIB <= got < 64 * MIB and "Disk quota exceeded" in why,
       f"who writes more is told so: {got} bytes, {why}")
    got, _ = writes(host, "/workspace/x", 20 * MIB, "other")
    equal(got, 20 * MIB, "the neighbour has its own")
    run(host, "box", "import os; os.unlink('/workspace/x')")
    got, _ = writes(host, "/tmp/y", 20 * MIB)
    equal(got, 20 * MIB, "what was deleted can be written again, anywhere")
    run(host, "box", "import os; os.unlink('/tmp/y')")
    host.cli("create", "tiny", "--disk", "16M")
    equal(run(host, "tiny", FILL).stdout, "True\n[]\n",
          "names count: a flood of empty files ends, and can be cleared")
    equal(writes(host, "/workspace/z", 4 * MIB, "tiny")[0], 4 * MIB,
          "then there is room again")
    for size, why in (("1M", "16M"), ("900T", "range")):
        result = host.cli("create", "bad", "--disk", size, check=False)
        ok(result.returncode == 2 and why in result.stderr,
           f"--disk {size} is refused: {result.stderr.strip()}")
    status, answer = api.call(host, "POST", "/v1/sandboxes", {"disk": "lots"})
    equal((status, "disk" in answer["message"]), (400, True), "so is a text")


def full(host):
    """A sandbox whose disk is full is started again, and can be cleared."""
    writes(host, "/workspace/x", 100 * MIB)
    host.cli("stop", "box")
    host.cli("start", "box")
    got, why = writes(host, "/workspace/y", 10 * MIB)
    ok(got < 4 * MIB and "quota" in why, f"started again, it is still full: {got}")
    host.cli("exec", "box", "--", "sh", "-c", "rm /workspace/*")
    equal(writes(host, "/workspace/y", 10 * MIB)[0], 10 * MIB, "and can be cleared")
    run(host, "box", "import os; os.unlink('/workspace/y')")


def lasts(host):
    run(host, "box", "open('/workspace/keep', 'w').write('kept')")
    read = "print(open('/workspace/keep').read())"
    host.cli("stop", "box")
    equal(run(host, "box", read).stdout, "kept\n", "files outlive a stop")
    host.kill()
    host.start()
    equal(run(host, "box", read).stdout, "kept\n", "and kernelhostd")
    got, why = writes(host, "/workspace/x", 100 * MIB)
    ok(got < 64 * MIB and "quota" in why, "and so does the limit")
    host.cli("rm", "box", "tiny")
    ok(loops(host), "it is on a loop device")
    host.stop()
    equal(loops_end(host), "", "a host that stopped leaves no loop device")
    host.start()
    equal(host.cli("ls", "-q").stdout, "other\n", "the disk is found again")
    got = run(host, "other", "import os; print(os.path.getsize('/workspace/x'))").stdout
    equal(got, f"{20 * MIB}\n", "with what is in it")


def power_cut(host):
    """The record is on the disk, the sandbox's own directory is not."""
    host.cli("create", "lost")
    host.cli("create", "gone")
    host.cli("stop", "lost", "gone")
    where = [f"--target={host.pid}", "--mount", "--"]
    disk = host.state / "disk"
    ids = {name: host.json("show", name)["id"] for name in ("lost", "gone")}
    subprocess.run(["nsenter", *where, "btrfs", "subvolume", "delete",
                    disk / ids["lost"]], check=True, capture_output=True)
    equal(run(host, "lost", "print(open('/etc/hostname').read())").stdout, "lost\n\n",
          "a disk that was not there yet is made anew")
    host.kill()
    (host.state / "sandboxes" / ids["gone"] / "record").unlink()
    host.start()
    listed = subprocess.run(["nsenter", f"--target={host.pid}", "--mount", "--", "ls",
                             disk], capture_output=True, text=True).stdout.split()
    ok(ids["gone"] not in listed and ids["lost"] in listed,
       "a disk that belongs to no record goes")


def without(_):
    """A host that has no mkfs.btrfs, as seen by hiding it."""
    start = TMP / "start"
    start.write_text("#!/bin/sh\nfor f in /usr/sbin/mkfs.btrfs /sbin/mkfs.btrfs; do\n"
                     "mount --bind /dev/null $f; done\n"
                     f'exec "{host_module.DAEMON}"\n')
    start.chmod(0o755)
    daemon, host_module.DAEMON = host_module.DAEMON, start
    with Host("plain") as host:
        host_module.DAEMON = daemon
        host.cli("create", "box")
        equal(host.json("show", "box")["limits"]["disk"], None,
              "where disks cannot be limited, none is")
        ok("disks of sandboxes have no limit" in host.log_text(), "the log says so")
        result = host.cli("create", "more", "--disk", "64M", check=False)
        ok(result.returncode == 2 and "doctor" in result.stderr,
           "who asks for one is refused")
        run(host, "box", "open('/workspace/keep', 'w').write('kept')")
        host.cli("rm", "box")
        equal(os.listdir(host.state / "trash"), [], "and it is removed")


with Host() as private:
    for test in (limits, full, lasts, power_cut, without):
        with check(test.__name__):
            test(private)
equal(loops_end(private), "", "no loop device is left")
done()
