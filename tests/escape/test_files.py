#!/usr/bin/env python3
"""SandboxRoot / Escape: files, mounts, devices (rows F1-F5, F7, F8, F9, F13, N4,
P8-P10)."""

import contextlib
import os
import re
import secrets
import shutil
import stat
import subprocess

import probe
from host import TMP, Host, run
from tap import check, done, equal, ok, parts

NAME = "canary-" + secrets.token_hex(8)
CONTENT = secrets.token_hex(2054)
PLACES = [TMP, "/", "/root", "/home", "/var/tmp", "/tmp"]

# path, root inside the filesystem, mount options, type, superblock options
MOUNTS = [
    ("/", "/", "rw,nosuid,nodev", "overlay", "lowerdir=0:1 upperdir=box/upper "
     "workdir=box/work redirect_dir=nofollow"),
    ("/proc", "/", "rw,nosuid,nodev,noexec", "proc", ""),
    ("/proc/sys", "/sys", "ro,nosuid,nodev,noexec", "proc", ""),
    ("/dev", "/", "ro,nosuid,noexec", "tmpfs", ""),
    ("/dev/pts", "/", "rw,nosuid,noexec", "devpts", "mode=620 ptmxmode=666 max=256"),
    ("/dev/shm", "/", "rw,nosuid,nodev,noexec", "tmpfs", "size=131072k"),
]
FACTS = ("boot_id", "cpuinfo", "stat", "meminfo", "loadavg", "empty", "emptydir")
DEV = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
NODES = {"null": "c 1:3 666", "zero": "c 1:5 666", "full": "c 1:7 666", "pts": "dir",
         "random": "c 1:8 666", "urandom": "c 1:9 666", "tty": "c 5:0 666",
         "shm": "dir", "ptmx": "c 5:2 666"}


def plant(host, box):
    """While the sandbox is stopped: what no user inside could make."""
    work = host.upper(box) / "workspace"
    if not work.exists():
        work.mkdir(mode=0o755)
        os.chown(work, 1000, 1000)
    layers = (host.state / "layers").glob("*/usr/bin/python3")
    python = next(layers).resolve()
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("capable", 0o755)):
        shutil.copy(python, work / name)
        os.chown(work / name, 0, 0)
        os.chmod(work / name, mode)
    # cap_sys_admin, cap_setuid and cap_dac_override, permitted and effective
    os.setxattr(work / "capable", "security.capability",
                bytes.fromhex("0100000282002000000000000000000000000000"))
    for name, mode, number in (("mem", stat.S_IFCHR, (1, 1)),
                               ("zero", stat.S_IFCHR, (1, 5)),
                               ("loop", stat.S_IFBLK, (7, 0)),
                               ("kmsg", stat.S_IFCHR, (1, 11))):
        os.mknod(work / f"device-{name}", mode | 0o666, os.makedev(*number))
        os.chmod(work / f"device-{name}", 0o666)
    root = os.stat("/").st_dev
    os.mknod(work / "device-root", stat.S_IFBLK | 0o666, root)
    os.chmod(work / "device-root", 0o666)
    # What the search must find: by its name, and by its content.
    (work / f"{NAME}-inside").write_text("")
    (work / "other").write_text(CONTENT)
    (work / "elsewhere").mkdir()
    os.setxattr(work / "elsewhere", "trusted.overlay.redirect", b"/etc")


def files(rows):
    inside = f"/workspace/{NAME}-inside /workspace/other"
    equal(" ".join(sorted(rows["F1", "canaries"].split())), inside,
          "F1 no file of the host is reached, only two that were put inside")
    ok(int(rows["F1", "walked"]) > 5000, f"F1 {rows['F1', 'walked']} were looked at")
    links = [n for n in rows["F1", "through /proc"].split() if not n.endswith("inside")]
    equal(links, ["none"] if links else [], "F1 nor through /proc")
    for key in (k for k in rows if k[0] == "F2"):
        equal(rows[key], "[]" if "inherited" in key[1] else "True", f"F2 {key[1]}")
    for key in (k for k in rows if k[0] == "F5"):
        want = {"EACCES", "EPERM", "EROFS", "ENOENT", "ETXTBSY", "EXDEV"}
        if "/proc/new" not in key[1]:
            want -= {"ENOENT"}
        ok(rows[key] in want, f"F5 {key[1]}: {rows[key]}")
    equal(rows["F8", "set trusted.overlay"], "EPERM", "F8 no trusted.overlay is set")
    for key in (k for k in rows if k[0] == "F7"):
        equal(rows[key], "True 0 ''", f"F7 {key[1]} is an empty file")
    for name, want in {
        "link between mounts": {"EXDEV"}, "rename between mounts": {"EXDEV"},
        "link out of /proc": {"EXDEV", "EPERM"}, "link /dev/null": {"EXDEV", "EPERM"},
        "reopen /proc/cpuinfo": {"EROFS", "EACCES"},
        "reopen /proc/sys/kernel/hostname": {"EROFS", "EACCES"},
        "reopen /etc/passwd": {"EACCES"}, "reopen /.kernelhost/init": {"EACCES"},
        "reopen own": {"OK"},
    }.items():
        ok(rows["F13", name] in want, f"F13 {name}: {rows['F13', name]}")


def mounts(rows):
    got = {}
    for line in rows["F3", "mountinfo"].splitlines():
        left, right = line.split(" - ")
        root, path, options, *propagation = left.split()
        equal(propagation, [], f"F3 {path} is private") if propagation else None
        ok(path not in got, f"F3 {path} is mounted once") if path in got else None
        kind, _, super_options = right.split(maxsplit=2)
        options = ",".join(o for o in options.split(",") if o != "relatime")
        got[path] = (path, root, options, kind, set(super_options.split(",")))
    for want in MOUNTS:
        path = want[0]
        have = got.pop(path, None)
        ok(have and have[:4] == want[:4] and set(want[4].split()) <= have[4],
           f"F3 {path} is mounted as it must be")
    covers = {path: m for path, m in got.items() if path.startswith("/proc/")}
    equal(sorted(set(got) - set(covers)), [], "F3 there is no other mount")
    bad = [m for m in covers.values() if m[3] != "tmpfs"
           or m[2] != "ro,nosuid,nodev,noexec" or m[1].strip("/") not in FACTS]
    equal(bad, [], f"F3 {len(covers)} paths of /proc are covered, read-only")
    ok(len(covers) > 20, "F3 which are many")
    overlay = [line for line in rows["F3", "mountinfo"].splitlines()
               if " overlay " in line][0]
    ok(not re.search("metacopy=on|index=on|redirect_dir=on|userxattr", overlay),
       "F8 the overlay follows nothing")


def devices(rows):
    equal(rows["P8", "/dev"], DEV, "P8 /dev has what it must")
    for name, want in NODES.items():
        equal(rows["P8", name], want, f"P8 /dev/{name}")
    tried = [k for k in rows if k[0] == "P8" and k[1].startswith("mknod")]
    equal({k[1]: rows[k] for k in tried if rows[k] != "EPERM"}, {},
          f"P8 {len(tried)} ways to make a device fail")
    equal(rows["P8", "a fifo"], "OK", "P8 a fifo may be made")
    nodes = [k for k in rows if k[0] == "P9"]
    equal(len(nodes), 5, "P9 the planted devices are seen")
    equal({k[1]: rows[k] for k in nodes if rows[k] != "EACCES"}, {},
          "P9 and none of them opens")
    count, why = rows["P10", "terminals"].split()
    ok(int(count) <= 256 and why == "ENOSPC", f"P10 {count} terminals, then {why}")
    equal(rows["P10", "/dev/pts"], "ptmx", "P10 no other terminal is seen")
    equal(rows["P10", "/dev/ptmx"], "pts/ptmx", "P10 the terminals are the own ones")


def setuid(rows):
    plain = rows["N4", "python3"]
    ok("(1000, 1000, 1000)" in plain, f"N4 the user is {plain[:50]}")
    for name in ("setuid", "setgid", "capable"):
        equal(rows["N4", name], plain, f"N4 a {name} program gives nothing")
    for name in ("become root", "join a group"):
        equal(rows["N4", name], "EPERM", f"N4 {name}")
    equal(rows["N4", "capabilities"], " ".join(["0" * 16] * 5), "N4 no capability")
    ok(rows["N4", "make a setuid file"] == "6755", "F9 a setuid file may be made")


def from_host(host):
    """F9: another user of the host gets at nothing. P9: the nodes are real."""
    work = host.upper("a") / "workspace"
    own = work / "own-setuid"
    ok(os.stat(own).st_mode & stat.S_ISUID, "F9 on the host's disk it is setuid, too")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for path in (own, work, host.state / "sandboxes", host.state / "layers",
                 host.state / "images", host.state / "kit", host.state / "disk"):
        got = subprocess.run([*as_nobody, "stat" if path == own else "ls", path],
                             capture_output=True, text=True)
        ok("Permission denied" in got.stderr, f"F9 nobody gets at {path.name}")
    node = os.stat(work / "device-zero")
    ok(stat.S_ISCHR(node.st_mode) and node.st_rdev == os.makedev(1, 5),
       "P9 the planted node is one")
    # kernelhostd's own view of the disk is nosuid and nodev.
    lines = [line.split() for line in open(f"/proc/{host.pid}/mountinfo")]
    for place in (host.state, host.state / "disk"):
        mine = [f[5] for f in lines if f[4] == str(place)]
        ok(mine and {"nosuid", "nodev"} <= set(mine[-1].split(",")),
           f"F9 kernelhostd sees {place.name} {mine[-1:]}")
    got = subprocess.run([*as_nobody, "cat", host.state / "disk.img"],
                         capture_output=True, text=True)
    ok("Permission denied" in got.stderr, "F9 nor at the disk's own file")
    equal(sorted(os.listdir(work / "elsewhere")), [], "F8 the redirected directory")
    got = host.cli("exec", "a", "--", "ls", "/workspace/elsewhere", check=False)
    ok("passwd" not in got.stdout, f"F8 is not followed: {got.stderr.strip()[:60]!r}")


@contextlib.contextmanager
def canaries(host):
    """Files all over the host that nobody inside may find."""
    planted = []
    try:
        for place in [*PLACES, host.state]:
            path = os.path.join(place, NAME)
            with open(path, "w") as file:
                file.write(CONTENT)
            planted.append(path)
        yield
    finally:
        for path in planted:
            os.unlink(path)


def main():
    with Host() as host, canaries(host):
        with check("a sandbox is made, stopped, and started with plants"):
            host.cli("create", "a", "--memory", "256M")
            host.cli("stop", "a")
            plant(host, "a")
            host.cli("start", "a")
        layers = run("find", host.state / "kit", "-type", "f", "-exec", "sha256sum",
                     "{}", "+")
        rows = probe.inside(host, "a", "files", canary=NAME, content=CONTENT)
        parts(rows, files, mounts, devices, setuid)
        with check("seen from the host"):
            from_host(host)
        equal(run("find", host.state / "kit", "-type", "f", "-exec", "sha256sum",
                  "{}", "+"), layers, "F5 the kit on the host is as it was")


if __name__ == "__main__":
    main()
    done()
