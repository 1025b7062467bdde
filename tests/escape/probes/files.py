"""Rows F1, F2, F5, F7, F13, N4, P8-P10: files, mounts and devices."""

import errno
import os
import re
import stat
import subprocess

import inside
from inside import attempt, call, open_and_close, say, status_field

# F1: CANARY is part of a name, and the whole content, of files on the host.
name, content = inside.canary, inside.content.encode()
seen, found = 0, []
for where, dirs, files in os.walk("/"):
    dirs[:] = [d for d in dirs if os.path.join(where, d) != "/proc"]
    for entry in dirs + files:
        path = os.path.join(where, entry)
        seen += 1
        try:
            facts = os.lstat(path)
            same = stat.S_ISREG(facts.st_mode) and facts.st_size == len(content)
            if name in entry or (same and open(path, "rb").read() == content):
                found.append(path)
        except OSError:
            continue
say("F1", "walked", str(seen))
say("F1", "canaries", " ".join(found) or "none")
roots = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    for link in ("root", "cwd", "fd"):
        try:
            entries = os.listdir(f"/proc/{pid}/{link}")
        except OSError:
            continue
        roots += [f"{pid}/{link}/{e}" for e in entries if name in e]
say("F1", "through /proc", " ".join(roots) or "none")


# F2
def up():
    os.chdir("/")
    for _ in range(20):
        os.chdir("..")
    return str(os.stat(".").st_ino == os.stat("/").st_ino and os.getcwd() == "/")


attempt("F2", "above the root", up)
attempt("F2", "/..", lambda: str(os.stat("/..").st_ino == os.stat("/").st_ino))


def directories():
    return str([n for n in os.listdir("/proc/self/fd") if os.path.isdir(
        f"/proc/self/fd/{n}") and "/fd" not in os.readlink(f"/proc/self/fd/{n}")])


attempt("F2", "inherited directories", directories)

# F5: what is ours inside, and what would be if it were there.
CREATE = os.O_WRONLY | os.O_CREAT
for path in ("/.kernelhost/init", "/.kernelhost/runner/python/__main__.py",
             "/etc/passwd", "/usr/bin/python3", "/usr/bin/env", "/etc/hosts"):
    attempt("F5", f"write {path}", open_and_close, path, os.O_WRONLY)
for path in ("/.kernelhost/new", "/.kernelhost/runner/new", "/.kernelhost/run/new",
             "/.kernelhost/runner/python/sitecustomize.py", "/etc/ld.so.preload",
             "/etc/profile.d/new.sh", "/usr/lib/python3/dist-packages/new.pth", "/new",
             "/usr/lib/locale/new", "/root/new", "/home/new", "/proc/new", "/dev/new"):
    attempt("F5", f"create {path}", open_and_close, path, CREATE)
for old, new in (("/.kernelhost", "/new"), ("/.kernelhost/init", "/workspace/init"),
                 ("/.kernelhost/runner", "/.kernelhost/old"), ("/etc", "/etc2")):
    attempt("F5", f"rename {old}", os.rename, old, new)
attempt("F5", "remove /.kernelhost/init", os.unlink, "/.kernelhost/init")
attempt("F5", "remove /.kernelhost/run", os.rmdir, "/.kernelhost/run")
attempt("F5", "mode of /.kernelhost", os.chmod, "/.kernelhost", 0o777)
attempt("F5", "list /.kernelhost/run", os.listdir, "/.kernelhost/run")
attempt("F5", "init through /proc", open_and_close, "/proc/1/exe", os.O_WRONLY)
attempt("F5", "own program", open_and_close, "/proc/self/exe", os.O_WRONLY)
attempt("F5", "link to init", os.link, "/.kernelhost/init", "/workspace/init")
attempt("F5", "owner of a file", os.chown, "/etc/hosts", 1000, 1000)


def extended():
    path = "/workspace/attributes"
    open_and_close(path, CREATE)
    os.setxattr(path, "trusted.overlay.opaque", b"y")


attempt("F8", "set trusted.overlay", extended)

# F7
for path in ("/proc/kallsyms", "/proc/cmdline", "/proc/keys", "/proc/interrupts"):
    def facts(path=path):
        st = os.stat(path)
        return f"{stat.S_ISREG(st.st_mode)} {st.st_size} {open(path).read()!r}"

    attempt("F7", path, facts)


# F13
def reopen(path, flags):
    fd = os.open(path, os.O_RDONLY)
    os.close(os.open(f"/proc/self/fd/{fd}", flags))


open_and_close("/dev/shm/own", CREATE)
open_and_close("/workspace/own", CREATE)
attempt("F13", "link between mounts", os.link, "/dev/shm/own", "/workspace/linked")
attempt("F13", "rename between mounts", os.rename, "/dev/shm/own", "/workspace/moved")
attempt("F13", "link out of /proc", os.link, "/proc/self/status", "/workspace/status")
attempt("F13", "link /dev/null", os.link, "/dev/null", "/workspace/null")
for path in ("/proc/cpuinfo", "/proc/sys/kernel/hostname", "/etc/passwd",
             "/.kernelhost/init"):
    attempt("F13", f"reopen {path}", reopen, path, os.O_WRONLY)
attempt("F13", "reopen own", reopen, "/workspace/own", os.O_WRONLY)


# P8
def device(path):
    st = os.stat(path)
    if stat.S_ISCHR(st.st_mode):
        return f"c {os.major(st.st_rdev)}:{os.minor(st.st_rdev)} {st.st_mode & 0o777:o}"
    return {stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}.get(stat.S_IFMT(st.st_mode), "?")


say("P8", "/dev", " ".join(sorted(os.listdir("/dev"))))
for path in ("null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "ptmx"):
    attempt("P8", path, device, f"/dev/{path}")
for where in ("/workspace", "/tmp", "/dev/shm", "/dev"):
    for label, kind, number in (("c 1:1", stat.S_IFCHR, (1, 1)),
                                ("b 8:0", stat.S_IFBLK, (8, 0)),
                                ("c 0:0", stat.S_IFCHR, (0, 0))):
        attempt("P8", f"mknod {label} in {where}", os.mknod, f"{where}/node-{label[0]}",
                kind | 0o666, os.makedev(*number))
attempt("P8", "mknod, garbage above", call, "mknodat", -100, b"/tmp/node-g",
        0xDEADBEEF00002000 | 0o666, os.makedev(1, 1))
attempt("P8", "a fifo", os.mkfifo, "/workspace/fifo")

# P9: nodes that the test put into the sandbox's disk.
for path in sorted(p for p in os.listdir("/workspace") if p.startswith("device-")):
    attempt("P9", path, open_and_close, f"/workspace/{path}", os.O_RDONLY)


# P10
def terminals():
    pairs = []
    try:
        while len(pairs) < 400:
            pairs.append(os.openpty())
    except OSError as error:
        return f"{len(pairs)} {errno.errorcode[error.errno]}"
    return str(len(pairs))


attempt("P10", "terminals", terminals)
say("P10", "/dev/pts", " ".join(sorted(os.listdir("/dev/pts"))))
attempt("P10", "/dev/ptmx", os.readlink, "/dev/ptmx")


# N4: programs with setuid or capabilities on them, put there by the test.
def identity(path):
    code = ("import os,re;print(os.getresuid(),os.getresgid(),"
            "re.findall(r'Cap....\\t(.*)',open('/proc/self/status').read()))")
    done = subprocess.run([path, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


for path in ("setuid", "setgid", "capable"):
    attempt("N4", path, identity, f"/workspace/{path}")
attempt("N4", "python3", identity, "/usr/bin/python3")
attempt("N4", "become root", os.setresuid, 0, 0, 0)
attempt("N4", "join a group", os.setgroups, [5])
say("N4", "capabilities", " ".join(
    status_field(f"Cap{s}") for s in ("Inh", "Prm", "Eff", "Bnd", "Amb")))


def own_setuid():
    path = "/workspace/own-setuid"
    with open("/usr/bin/env", "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    os.chmod(path, 0o6755)
    return f"{stat.S_IMODE(os.stat(path).st_mode):o}"


attempt("N4", "make a setuid file", own_setuid)

# F3
say("F3", "mountinfo", re.sub(r"^\d+ \d+ \d+:\d+ ", "", open(
    "/proc/self/mountinfo").read(), flags=re.M))
