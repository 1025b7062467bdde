"""snapshots: what the tests of snapshots and forks share."""

import json
import pathlib
import time

import tree
from host import PREFIX
from session import run  # noqa: F401, for those who share this
from tap import check, equal, note, ok

MIB = 1 << 20
TOOL = PREFIX / "libexec/kernelhost/kernelhost-snapshot"
TREE = pathlib.Path(tree.__file__).read_text(encoding="utf-8")
PLACES = ("/workspace", "/tmp", "/etc/hostname")

# Everything that an unprivileged user can make, and that a copy could get wrong.
MAKE = r"""
import os, socket
os.chdir("/workspace")
os.makedirs("deep/" + "/".join(["d" * 200] * 10))
open("plain", "w").write("plain\n")
open(b"not-utf8-\xff\xfe", "w").write("name")
open("with\nnewline", "w").write("name")
for mode in (0o000, 0o400, 0o644, 0o711, 0o4755, 0o2755, 0o1777):
    open(f"mode-{mode:o}", "w").write("x")
    os.chmod(f"mode-{mode:o}", mode)
os.chmod("mode-0", 0o400)
os.mkdir("sticky"); os.chmod("sticky", 0o1777)
os.mkdir("empty")
os.symlink("plain", "link"); os.symlink("/etc/passwd", "absolute")
os.symlink("nowhere/at/all", "dangling"); os.symlink("x" * 1000, "long-link")
os.link("plain", "hard-1"); os.link("plain", "deep/hard-2")
os.link("link", "hard-link")
os.mkfifo("fifo", 0o620)
s = socket.socket(socket.AF_UNIX); s.bind("socket"); s.close()
with open("sparse", "wb") as f:
    f.seek(300 << 20); f.write(b"end"); f.truncate(1 << 30)
    f.seek(5 << 20); f.write(os.urandom(100000))
open("random", "wb").write(os.urandom(3 << 20))
open("empty-file", "w").close()
os.setxattr("plain", "user.one", b"\0value\xff")
os.setxattr("empty", "user.big", b"b" * 3000)
os.utime("plain", ns=(1, 1234567890123456789)); os.utime("empty", ns=(1, 7))
os.utime("link", ns=(1, 42), follow_symlinks=False)
os.makedirs("/tmp/of/tmp"); open("/tmp/of/tmp/file", "w").write("tmp")
"""


def look(host, name, *places):
    """What is in these places of the sandbox, as it sees them itself."""
    return json.loads(host.cli("exec", name, "--", "python3", "-", *(places or PLACES),
                               input=TREE).stdout)


def same(got, want, text):
    """Compares two looks; tells only what differs."""
    different = {
        path: (got.get(top, {}).get(path), want.get(top, {}).get(path))
        for top in {**got, **want}
        for path in {**got.get(top, {}), **want.get(top, {})}
        if got.get(top, {}).get(path) != want.get(top, {}).get(path)
    }
    if not ok(not different, text):
        note(different)


def snapshots(host):
    return host.cli("snapshot", "ls", "-q").stdout.split()


def key_of(host):
    return bytes.fromhex((host.state / "snapshot.key").read_text())


def image_of(host):
    return (host.state / "images/names/default").read_text().strip()


def left(host):
    """What an import could leave: directories, and disks of nobody."""
    known = {s["id"] for s in host.json("snapshot", "ls") + host.json("ls")}
    return sorted(set(host.disks()) - known) + sorted(
        p.name for p in (host.state / "snapshots").iterdir() if p.name not in known)


def clean(host):
    host.cli("rm", *host.cli("ls", "-q").stdout.split(), check=False)
    if names := snapshots(host):
        host.cli("snapshot", "rm", *names)
    for directory in ("snapshots", "sandboxes"):
        equal(sorted(p.name for p in (host.state / directory).iterdir()), [],
              f"nothing is left in {directory}/")
    for _ in range(50):
        if not host.disks() and not list((host.state / "trash").iterdir()):
            break
        time.sleep(0.1)
    equal(host.disks(), [], "nor on the disk")
    equal(list((host.state / "trash").iterdir()), [], "nor in the trash")


def each(host, *tests):
    """Runs the tests one after the other, and sees that each leaves nothing."""
    for test in tests:
        begun = len(host.log_text())
        with check(test.__name__):
            try:
                test(host)
            except Exception:
                note(host.log_text()[begun:][-5000:])
                raise
        clean(host)
