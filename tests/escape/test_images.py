#!/usr/bin/env python3
"""SandboxImage / Host: images, and disks of stopped sandboxes, in which the paths that
the host works on are something else (row F6; CVE-2025-31133, CVE-2026-41579 and
their kind). A sandbox of it starts as it must or not at all; nothing outside of
it changes."""

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import stat

from host import TMP, Host
from tap import check, done, equal, note, ok

CANARY = TMP / "canary"
PATHS = ["dev", "proc", "sys", "etc", "workspace", "home/user", "mnt", "etc/hosts",
         "etc/hostname", "dev/null", "dev/pts", "dev/shm", "proc/sys", ".kernelhost",
         ".kernelhost/run", ".kernelhost/init", ".kernelhost/run/init.sock"]


def link(target):
    return lambda path: path.symlink_to(target)


def node(kind, major, minor):
    return lambda path: os.mknod(path, kind | 0o666, os.makedev(major, minor))


def opaque(path):
    path.mkdir()
    os.setxattr(path, "trusted.overlay.opaque", b"y")


def redirected(path):
    path.mkdir()
    os.setxattr(path, "trusted.overlay.redirect", b"/etc")


def bound(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


KINDS = {
    "a link to the host": link(CANARY),
    "a link upwards": link("../" * 12 + str(CANARY).lstrip("/")),
    "a dangling link": link("/nonexistent/there"),
    "a loop": lambda path: path.symlink_to(path.name),
    "a magic link": link(f"/proc/self/root{CANARY}"),
    "a magic link to PID 1": link(f"/proc/1/root{CANARY}"),
    "a fifo": lambda path: os.mkfifo(path),
    "a socket": bound,
    "a device": node(stat.S_IFCHR, 1, 1),
    "a whiteout": node(stat.S_IFCHR, 0, 0),
    "a file": lambda path: path.write_text("x"),
    "an opaque directory": opaque,
    "a redirected directory": redirected,
}


# On a disk; the rest is for images only.
DISK_KINDS = ("a link to the host", "a link upwards", "a loop", "a socket", "a device",
              "a whiteout", "a file")


def put(top, path, make):
    """PATH below TOP becomes what MAKE makes; TOP is a new layer or an upper."""
    target = top / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file() or target.is_socket():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    make(target)


def state():
    """All of the canary: names, modes, owners, contents."""
    facts = []
    for top, dirs, files in os.walk(CANARY):
        for name in sorted(dirs + files):
            path = os.path.join(top, name)
            st = os.lstat(path)
            data = b""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    data = file.read()
            facts.append((path, st.st_mode, st.st_uid, st.st_mtime_ns,
                          hashlib.sha256(data).hexdigest()))
    return sorted(facts)


def plant_canary():
    for path in ("null", "pts/0", "shm/x", "self/status", "sys/kernel/hostname",
                 "hosts", "hostname", "user/.profile", "run/init.sock", "init"):
        file = CANARY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(secrets.token_hex(16))


def mounts(pid):
    with open(f"/proc/{pid}/mountinfo") as file:
        return [line.split() for line in file]


def first_process(host):
    with open(f"/proc/{host.pid}/task/{host.pid}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    for pid in children:  # the one that is PID 1 of a namespace below ours
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
            numbers = next(line for line in file if line.startswith("NSpid")).split()
            if len(numbers) > 2 and numbers[-1] == "1":
                return pid
    return None


def wrong(host, top):
    """What is not as it must be in the sandbox that runs, or nothing."""
    pid = first_process(host)
    if pid is None:
        return "it has no process"
    kinds = {fields[4]: fields[fields.index("-") + 1] for fields in mounts(pid)}
    if (kinds.get("/"), kinds.get("/proc"), kinds.get("/dev")) != (
            "overlay", "proc", "tmpfs"):
        return f"its mounts are {kinds}"
    null = os.stat(f"/proc/{pid}/root/dev/null")
    if not stat.S_ISCHR(null.st_mode) or null.st_rdev != os.makedev(1, 3):
        return "its /dev/null is another"
    roots = {fields[3] for fields in mounts(pid)}
    return [r for r in roots if str(TMP) in r or "canary" in r]


def attempt(host, before, do, undo, top):
    """Returns (started, problem)."""
    got = do()
    started = got.returncode == 0
    problem = wrong(host, top) if started else None
    if not started and (len(got.stderr.splitlines()) != 1 or "not" not in got.stderr):
        problem = f"it says {got.stderr!r}"
    undo()
    if state() != before:
        problem = "the canary has changed"
    left = [m[4] for m in mounts(host.pid) if m[4].startswith(f"{host.state}/mnt")]
    if left or os.listdir(host.state / "mnt"):
        problem = f"{left} is left mounted"
    if not os.path.exists(f"/proc/{host.pid}"):
        problem = "kernelhostd has ended"
    return started, problem


def make_image(host, name):
    """An image of one empty layer; returns the directory of the layer."""
    ids = host.state / "images/id", host.state / "images/names"
    number = secrets.token_hex(16)
    layer = host.state / "layers" / number
    layer.mkdir(parents=True)
    for path in ids:
        path.mkdir(parents=True, exist_ok=True)
    (ids[0] / number).write_text(f"kernelhost-image 1\nlayer {number}\n")
    (ids[1] / name).write_text(number + "\n")
    return layer


def report(label, results):
    started = sum(s for s, _ in results.values())
    bad = {k: p for k, (_, p) in results.items() if p}
    equal(bad, {}, f"F6 {label}: {started} start as they must, "
          f"{len(results) - started} are refused in one line")
    ok(started > 20 and started < len(results), f"F6 {label}: there are both")


def images(host, before):
    results = {}
    for path in PATHS:
        for kind, make in KINDS.items():
            layer = make_image(host, "hostile")
            put(layer, path, make)
            results[path, kind] = attempt(
                host, before,
                lambda: host.cli("create", "a", "--image", "hostile", check=False),
                lambda: host.cli("rm", "a", check=False), layer)
            shutil.rmtree(layer)
    report("images", results)
    refused = sorted({path for (path, _), (s, _) in results.items() if not s})
    note(f"refused as images, some: {refused}")
    ok({"dev", "proc"} <= set(refused), "F6 a link for /dev or /proc is refused")


def disks(host, before):
    """The same in the upper directory of a sandbox that was stopped: code that has
    become its root could leave that."""
    results = {}
    make_image(host, "plain")
    for path in PATHS:
        for kind in DISK_KINDS:
            host.cli("create", "a", "--image", "plain")
            host.cli("stop", "a")
            upper = host.upper("a")
            put(upper, path, KINDS[kind])
            results[path, kind] = attempt(
                host, before, lambda: host.cli("start", "a", check=False),
                lambda: host.cli("rm", "a", check=False), upper)
    report("disks", results)


def main():
    plant_canary()
    before = state()
    with Host(images=False) as host:
        for part in (images, disks):
            with check(f"{part.__name__}: all were tried"):
                part(host, before)
        make_image(host, "good")
        host.cli("create", "good", "--image", "good")
        equal(wrong(host, None), [], "F6 afterwards a sandbox starts")
        equal(os.listdir(host.state / "trash"), [], "F6 nothing is left in the trash")


main()
done()
