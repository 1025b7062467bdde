#!/usr/bin/env python3
"""SandboxImage / Host: archives that were made to hurt (rows A7, F6, R8;
CVE-2018-15664, CVE-2019-14271 and their kind). Each is refused for the reason that it
was made for, or imported without what it tried; nothing outside of the new layer
changes, and nothing is left of one that was refused. The process that reads them is
looked at from outside."""

import gzip
import hashlib
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import tarfile
import time

import archives
from archives import BLOCK, CHAR, DIR, FIFO, HARD, LINK, Layout, tar
from host import PREFIX, TMP, Host
from tap import done, equal, note, ok, parts

CANARY = TMP / "canary"
UP = "../" * 12


def raw(name=b"x", size=b"00000000000\0", kind=b"0", rest=b""):
    """One tar header, whatever its fields say, with a checksum that fits."""
    head = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    head += size.ljust(12, b"\0")
    head += b"00000000000\0" + b" " * 8 + kind + b"\0" * 100 + b"ustar\00000"
    head = head.ljust(512, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:] + rest


def base256(number):
    return b"\x80" + number.to_bytes(11, "big")


def zeros(size):
    """GZIP of SIZE zero bytes, of which nothing is unpacked here."""
    data = b""
    for _ in range(size >> 20):
        data += ZERO_MIB
    return data


ZERO_MIB = gzip.compress(bytes(1 << 20), mtime=0)
ENDLESS = [("a", b"x", {"pax_headers": {"path": "p" * (1 << 20)}})]
# name: the archive, and the words with which it is refused.
REFUSED = {
    "a name that leads up": (tar([("../canary/x", b"x")]), "leads out"),
    "a name that leads up later": (tar([("a/", DIR), ("a/../../canary/x", b"x")]),
                                   "leads out"),
    "an absolute name": (tar([(f"{CANARY}/x", b"x")]), "absolute"),
    "a directory that leads up": (tar([("..", DIR)]), "leads out"),
    "a link, then an entry below it": (
        tar([("a", LINK, str(CANARY)), ("a/x", b"x")]), "below the link"),
    "a link upwards, then an entry": (
        tar([("a", LINK, UP + str(CANARY)[1:]), ("a/b/x", b"x")]), "below the link"),
    "a magic link, then an entry": (
        tar([("a", LINK, "/proc/self/root"), ("a/canary", b"x")]), "below the link"),
    "a directory that becomes a link": (
        tar([("a/", DIR), ("a/x", b"x"), ("a", LINK, str(CANARY)), ("a/y", b"x")]),
        "replace the directory"),
    "an empty one, and then an entry": (
        tar([("a/", DIR), ("a", LINK, str(CANARY)), ("a/y", b"x")]), "below the link"),
    "a file, then an entry below it": (tar([("a", b"x"), ("a/x", b"x")]),
                                       "below the file"),
    "a hard link upwards": (tar([("a", HARD, UP + "etc/passwd")]), "leads out"),
    "an absolute hard link": (tar([("a", HARD, "/etc/passwd")]), "absolute"),
    "a hard link through a link": (
        tar([("a", LINK, "/etc"), ("b", HARD, "a/passwd")]), "no file of this layer"),
    "a hard link to nothing": (tar([("a", HARD, "b")]), "no file of this layer"),
    "a hard link to a directory": (tar([("b/", DIR), ("a", HARD, "b")]),
                                   "no file of this layer"),
    "a hard link to a whiteout": (tar([(".wh.b", b""), ("a", HARD, "b")]),
                                  "no file of this layer"),
    "a whiteout of '..'": (tar([(".wh...", b"")]), "whiteout of nothing"),
    "a whiteout of nothing": (tar([("a/.wh.", b"")]), "whiteout of nothing"),
    "a whiteout below a link": (tar([("a", LINK, str(CANARY)), ("a/.wh.null", b"")]),
                                "below the link"),
    "an opaque root": (tar([(".wh..wh..opq", b"")]), "hides all"),
    "8 EiB": (raw(size=base256((1 << 63) - 1)), "--max-size|overflow"),
    "8 TiB": (raw(size=base256(1 << 43)), "--max-size"),
    "more than 8 EiB": (raw(size=base256(1 << 80)), "(?i)size|tar|negative"),
    "a negative size": (raw(size=b"\xff" * 12), "(?i)size|tar|negative|max-size"),
    "a PAX name of 1 MiB": (tar(ENDLESS, tarfile.PAX_FORMAT), "longer than|tar"),
    "a name of 4,096 bytes": (tar([("/".join(["d" * 100] * 41), b"")]), "longer than"),
    "a part of 256 bytes": (tar([("x" * 256, b"")]), "over 255"),
    "65 levels": (tar([("d/" * 64 + "x", b"")]), "deeper"),
    "a cut file": (tar([("a", bytes(100000))])[:50000], "(?i)tar|cut"),
    "no tar": (os.urandom(4096), "(?i)tar"),
    "an empty file": (b"", "empty"),
    "a cut gzip": (gzip.compress(tar([("a", os.urandom(100000))]))[:50000], "."),
    "a sparse file of 8 EiB": (tar([("a", b"", {"pax_headers": {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a",
        "GNU.sparse.realsize": str((1 << 63) - 1)}})], tarfile.PAX_FORMAT), "."),
    "no JSON": (tar([("manifest.json", b"{" * 100000)]), "too deep|no JSON"),
    "a manifest that leads up": (tar([("manifest.json", json.dumps([{
        "Config": UP + "etc/passwd", "Layers": []}]).encode())]), "leads out"),
    "a layer that leads up": (None, "leads out"),
    "links that do not end": (tar([
        ("0" * 64 + ".tar", LINK, "0" * 64 + ".tar"), ("manifest.json", json.dumps([{
            "Config": "0" * 64 + ".tar", "Layers": []}]).encode())]), "do not end"),
}
# Imported, and then without what they tried.
HARMLESS = {
    "devices": tar([("null", CHAR, 1, 3), ("mem", CHAR, 1, 1), ("sda", BLOCK, 8, 0),
                    ("gone", CHAR, 0, 0), ("fifo", FIFO)]),
    "set-id": tar([("su", b"x", {"mode": 0o6755}), ("d/", DIR, {"mode": 0o2777})]),
    "overlayfs's attributes": tar([("d/", DIR, {"pax_headers": {
        f"SCHILY.xattr.{ns}.{name}": value for ns in ("trusted", "user")
        for name, value in (("overlay.opaque", "y"), ("overlay.redirect", "/etc"),
                            ("overlay.metacopy", ""))}}), ("f", b"", {"pax_headers": {
                                "SCHILY.xattr.security.capability": "\x01\0\0\2" * 5,
                                "SCHILY.xattr.security.selinux": "x"}})],
        tarfile.PAX_FORMAT),
    "links everywhere": tar([("etc", LINK, str(CANARY)), ("dev", LINK, UP),
                             ("proc", LINK, "/proc/self"), ("home", LINK, "home"),
                             ("workspace", LINK, str(CANARY)), ("tmp", LINK, "/tmp")]),
    "names that are terminal commands": tar([("\x1b]0;x\x07\n", b"x"), ("a\rb", b"")]),
    "the same a thousand times": tar([("a", b"x")] * 1000 + [("b", HARD, "a")] * 999),
    "a link to itself": tar([("a", b"x"), ("a", HARD, "a")]),
    "an image that is another's directory": tar([(".build-evil/x", b"x")]),
    "case": tar([("A", b"1"), ("a", b"2")]),
}


def plant_canary():
    for path in ("null", "passwd", "x-not", "user/.profile"):
        file = CANARY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(hashlib.sha256(os.urandom(16)).hexdigest())


def state(top):
    """Names, modes, owners, times and contents below TOP."""
    facts = []
    for where, dirs, files in os.walk(top):
        for name in sorted(dirs + files):
            path = os.path.join(where, name)
            st = os.lstat(path)
            data = pathlib.Path(path).read_bytes() if stat.S_ISREG(st.st_mode) else b""
            facts.append((path, st.st_mode, st.st_uid, st.st_mtime_ns, data))
    return sorted(facts)


def attempt(host, label, path, *options):
    got = host.cli("image", "import", path, "hostile", *options, check=False)
    equal(left(host), [], f"{label}: nothing is left half-made")
    return got


def left(host):
    return [p for p in os.listdir(host.state / "layers") if p.startswith(".")]


def refused(host, cases):
    before = state(CANARY), state(host.state / "images"), state(host.state / "layers")
    for label, (path, words) in cases.items():
        got = attempt(host, label, path)
        lines = got.stderr.splitlines()
        ok(got.returncode != 0 and len(lines) == 1 and re.search(words, lines[0]) and
           lines[0].isprintable(), f"{label}: is refused in one line: {lines}")
    now = state(CANARY), state(host.state / "images"), state(host.state / "layers")
    ok(now == before, f"{len(cases)} archives changed nothing")


def tars(host):
    cases = {}
    for number, (label, (data, words)) in enumerate(REFUSED.items()):
        if data is None:
            evil = [tar([("../canary/x", b"x")])]
            path = archives.docker(TMP / "evil.tar", evil)
        else:
            path = TMP / f"{number}.tar"
            path.write_bytes(data)
        cases[label] = path, words
    refused(host, cases)


def layouts(host):
    """What an OCI layout can claim of its blobs."""
    good, cases = tar([("a", b"x")]), {}

    def case(label, words, break_it):
        made = Layout(TMP / re.sub(r"\W", "-", label))
        path = made.index(made.image([good]))
        break_it(made, json.loads((path / "index.json").read_text())["manifests"][0])
        cases[label] = path, words

    def manifest_of(made, entry):
        return made.path / "blobs/sha256" / entry["digest"][7:]

    def change(part, value):
        def break_it(made, entry):
            manifest = json.loads(manifest_of(made, entry).read_text())
            manifest.update({part: value(made, manifest)})
            made.index(made.blob(json.dumps(manifest).encode(), archives.MANIFEST))
        return break_it

    def swap(made, entry):
        manifest_of(made, entry).write_bytes(b"{}")

    def swap_layer(made, entry):
        layer = json.loads(manifest_of(made, entry).read_text())["layers"][0]
        path = made.path / "blobs/sha256" / layer["digest"][7:]
        path.write_bytes(gzip.compress(tar([("other", b"x")])))

    def link_layer(made, entry):
        layer = json.loads(manifest_of(made, entry).read_text())["layers"][0]
        path = made.path / "blobs/sha256" / layer["digest"][7:]
        path.unlink()
        path.symlink_to(CANARY / "passwd")

    case("another manifest", "damaged", swap)
    case("another layer", "damaged", swap_layer)
    case("a layer that is a link", "no file", link_layer)
    case("a layer that is not there", "no file", change("layers", lambda made, m: [
        {"digest": "sha256:" + "0" * 64}]))
    case("a digest that is a path", "not supported", change("layers", lambda made, m: [
        {"digest": "sha256:" + UP + "etc/passwd"}]))
    def configured(*layers):
        return change("config", lambda made, m: made.blob(
            archives.config(layers), archives.CONFIG))

    case("another plain digest", "damaged", configured(b"other"))
    case("a diff_id too many", "config has 2", configured(good, good))
    case("61 layers", "61 layers", change("layers", lambda made, m: m["layers"] * 61))
    case("indexes that do not end", "too deep", endless)
    case("a FIFO for a layer", "no file", fifo_layer)
    refused(host, cases)


def endless(made, entry):
    for _ in range(6):
        inner = json.dumps({"manifests": [entry]}).encode()
        entry = made.blob(inner, archives.INDEX)
    made.index(entry)


def fifo_layer(made, entry):
    manifest = made.path / "blobs/sha256" / entry["digest"][7:]
    layer = json.loads(manifest.read_text())["layers"][0]
    path = made.path / "blobs/sha256" / layer["digest"][7:]
    path.unlink()
    os.mkfifo(path)


def bombs(host):
    """R8: each ends by a limit, in little time and memory."""
    many = b"".join(raw(b"%07d" % i) for i in range(100000))
    huge = TMP / "zeros.tgz"
    head = gzip.compress(raw(b"zeros", size=base256(20 << 30)))
    huge.write_bytes(head + zeros(20 << 30))
    twice = TMP / "twice.gz"
    twice.write_bytes(gzip.compress(huge.read_bytes()))
    ten = TMP / "entries.tgz"
    ten.write_bytes(gzip.compress(many) * 101)
    blobs = TMP / "blobs.tgz"
    blobs.write_bytes(gzip.compress(raw(b"blobs/", kind=b"5") * 100000) * 101)
    window = TMP / "window.zst"
    wide = ["zstd", "-q", "--ultra", "-22", "--long=31", "-c"]
    window.write_bytes(subprocess.run(
        wide, input=tar([("a", bytes(1 << 16))]), stdout=subprocess.PIPE,
        check=True).stdout)
    for label, path, options, words in (
            ("20 GiB of zeros in 20 MiB", huge, (), "a bomb"),
            ("the same packed twice", twice, (), "a bomb|max-size"),
            ("10,100,000 entries", ten, ("--max-entries", "20000"), "max-entries"),
            ("10,100,000 entries of an archive", blobs, (), "max-entries"),
            ("a window of 2 GiB", window, (), "memory"),
            ("over the size given", huge, ("--max-size", "64M"), "--max-size")):
        begun = time.monotonic()
        got = attempt(host, label, path, *options)
        note(f"{label}: {path.stat().st_size} bytes, {time.monotonic() - begun:.1f} s")
        ok(got.returncode and re.search(words, got.stderr.splitlines()[-1]),
           f"R8 {label}: {got.stderr.splitlines()[-1:]}")
    equal(os.listdir(host.state / "images/names"), [], "no bomb became an image")


def harmless(host):
    before = state(CANARY)
    for number, (label, data) in enumerate(HARMLESS.items()):
        path = TMP / f"harmless-{number}.tar"
        path.write_bytes(data)
        got = attempt(host, label, path)
        equal(got.returncode, 0, f"{label}: is imported")
        bad = []
        for where, dirs, files in os.walk(host.state / "layers"):
            for name in dirs + files:
                file = os.path.join(where, name)
                st = os.lstat(file)
                if not (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode) or
                        stat.S_ISLNK(st.st_mode)):
                    bad.append((file, oct(st.st_mode)))
                if stat.S_ISREG(st.st_mode) and st.st_mode & 0o6000:
                    bad.append((file, oct(st.st_mode)))
                if not stat.S_ISLNK(st.st_mode):
                    bad += [(file, a) for a in os.listxattr(file)]
        equal(bad, [], f"{label}: has no device, set-id bit or attribute")
        started = host.cli("create", "a", "--image", "hostile", check=False)
        ok(started.returncode == 0 or len(started.stderr.splitlines()) == 1,
           f"{label}: a sandbox starts or says why not")
        host.cli("rm", "a", check=False)
        host.cli("image", "rm", "hostile")
    ok(state(CANARY) == before, "and the canary is as it was")


# ---- hostile root filesystems, through the front door ----

PATHS = ["dev", "proc", "sys", "etc", "tmp", "run", "workspace", "home", "home/user",
         "etc/hosts", "etc/hostname", "etc/passwd", "etc/group", "dev/null", "dev/pts",
         "dev/shm", "proc/sys", ".kernelhost", ".kernelhost/run", ".kernelhost/init",
         "bin/bash", "usr/bin/python3", "usr/local/bin/python3"]
KINDS = {
    "a link to the host": (LINK, str(CANARY)),
    "a link upwards": (LINK, UP + str(CANARY)[1:]),
    "a dangling link": (LINK, "/nonexistent/there"),
    "a loop": (LINK, "."),
    "a link to itself": (LINK, None),
    "a magic link": (LINK, f"/proc/self/root{CANARY}"),
    "a magic link to PID 1": (LINK, f"/proc/1/root{CANARY}"),
    "a file": (b"x" * 100,),
    "a directory": (DIR,),
    "a whiteout": None,
}


def rootfs(host):
    """F6: 230 root filesystems, imported and started."""
    before, started, problems = state(CANARY), 0, {}
    for path in PATHS:
        for kind, what in KINDS.items():
            if what is None:
                parent, name = os.path.split(path)
                entry = (os.path.join(parent, ".wh." + name), b"")
            elif what[0] == LINK:
                entry = (path, LINK, what[1] or os.path.basename(path))
            else:
                entry = (path, *what)
            file = TMP / "rootfs.tar"
            file.write_bytes(tar([entry]))
            got = host.cli("image", "import", file, "hostile", check=False)
            if got.returncode:
                problems[path, kind] = got.stderr
                continue
            got = host.cli("create", "a", "--image", "hostile", check=False)
            started += got.returncode == 0
            if got.returncode and len(got.stderr.splitlines()) != 1:
                problems[path, kind] = got.stderr
            alive = os.path.exists(f"/proc/{host.pid}")
            if not alive or os.listdir(host.state / "mnt"):
                problems[path, kind] = "kernelhostd has ended, or left a mount"
            host.cli("rm", "a", check=False)
        host.cli("image", "ls")
    total = len(PATHS) * len(KINDS)
    note(f"{total} root filesystems: {started} start, {total - started} do not")
    equal(problems, {}, "F6 each is imported, and starts or is refused in one line")
    ok(100 < started < total, "F6 there are both")
    ok(state(CANARY) == before, "F6 the canary is as it was")
    host.cli("image", "rm", "hostile")


# ---- the process that reads them ----


def fields(pid, name):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1:] for line in file if line.startswith(name + ":"))


def confined(host):
    big = TMP / "big.tar"
    with tarfile.open(big, "w") as file:
        for number in range(40):
            item, _ = archives.info(f"f{number}")
            item.size = 64 << 20
            with open("/dev/zero", "rb") as data:
                file.addfile(item, data)
    process = subprocess.Popen(
        [PREFIX / "bin/kernelhost", "image", "import", big, "big"], env=host.env,
        stderr=subprocess.PIPE, text=True)
    end, helper = time.monotonic() + 20, None
    while time.monotonic() < end and not helper:
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            for pid in map(int, file.read().split()):
                if left(host) and fields(pid, "Seccomp") == ["2"]:
                    helper = pid
        time.sleep(0.005)
    os.kill(helper, signal.SIGSTOP)
    caps = (1 << 0) | (1 << 1) | (1 << 3)  # CHOWN, DAC_OVERRIDE, FOWNER
    for name in ("CapEff", "CapPrm"):
        equal(int(fields(helper, name)[0], 16), caps, f"{name} of the helper")
    for name in ("CapBnd", "CapInh", "CapAmb"):
        equal(int(fields(helper, name)[0], 16), 0, f"{name} is empty")
    equal((fields(helper, "NoNewPrivs"), fields(helper, "Seccomp")), (["1"], ["2"]),
          "no_new_privs, and a filter of system calls")
    uids = set(map(int, fields(helper, "Uid") + fields(helper, "Gid")))
    ok(min(uids) >= 1 << 29, f"its ids are nobody's: {uids}")
    equal(fields(helper, "Groups"), [], "it has no other groups")
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        ours, own = (os.readlink(f"/proc/{p}/ns/{kind}") for p in ("self", helper))
        ok(ours != own, f"a {kind} namespace of its own")
    equal(os.listdir(f"/proc/{helper}/root"), [], "its root is empty")
    with open(f"/proc/{helper}/mountinfo") as file:
        mounts = [line.split() for line in file]
    equal([(m[4], m[5].split(",")[0]) for m in mounts], [("/", "ro")],
          "read-only, and all that is mounted")
    fds = [os.readlink(f"/proc/{helper}/fd/{n}")
           for n in os.listdir(f"/proc/{helper}/fd")]
    note(f"descriptors: {fds}")
    # 0 to 2, the link, the archive twice, the layer, a directory of it, a file.
    ok(4 < len(fds) <= 9 and fds.count("/dev/null") == 3 and
       len([fd for fd in fds if fd.startswith("socket:")]) == 1, "few descriptors")
    equal([fd for fd in fds if str(host.state) in fd and "/layers/" not in fd], [],
          "none of the state directory")
    with open(f"/proc/{helper}/limits") as file:
        text = file.read()
    ok(re.search(r"Max address space +1073741824 +1073741824", text) and
       re.search(r"Max cpu time +1800 +1800", text), "memory and time are limited")
    os.kill(helper, signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    equal((process.wait(20), left(host)), (130, []), "it ends when it is asked to")


def main():
    plant_canary()
    with Host(images=False) as host:
        good = TMP / "good.tar"
        good.write_bytes(tar([("a", b"x")]))
        host.cli("image", "import", good, "good")
        host.cli("image", "rm", "good")
        parts(host, tars, layouts, bombs, harmless, rootfs, confined)


main()
done()
