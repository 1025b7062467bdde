#!/usr/bin/env python3
"""Archives of snapshots: what is exported comes back exactly, on this host or another;
what is damaged, foreign or made to do harm is refused, and leaves nothing."""

import os
import random
import shutil
import signal
import subprocess
import time

import envelopes as env
from envelopes import directory, file, link, node, same as name_of, seal
from host import PREFIX, TMP, Host
from snapshots import (MAKE, TOOL, each, image_of, key_of, left, look, run, same,
                       snapshots)
from tap import done, equal, ok

PLACES = ("/workspace", "/tmp")


def acl(*entries):
    """A POSIX ACL as its extended attribute."""
    out = (2).to_bytes(4, "little")
    for tag, perm, ident in entries:
        out += tag.to_bytes(2, "little") + perm.to_bytes(2, "little")
        out += ident.to_bytes(4, "little")
    return out


ACL = acl((1, 6, 0xFFFFFFFF), (2, 4, 1234), (4, 4, 0xFFFFFFFF), (16, 6, 0xFFFFFFFF),
          (32, 0, 0xFFFFFFFF))


def exact(host):
    host.cli("create", "box")
    host.cli("exec", "box", "--", "python3", "-", input=MAKE)
    host.cli("exec", "box", "--", "python3", "-c", f"""
import os
os.chdir("/workspace")
open("acl", "w").close(); os.mkdir("acl-dir")
os.setxattr("acl", "system.posix_acl_access", {ACL!r})
os.setxattr("acl-dir", "system.posix_acl_default", {ACL!r})
open("acl-dir/inherits", "w").close()
path = os.path.expanduser("~/deeper")
for n in range(300):
    os.mkdir(path); os.chdir(path); path = "d" * 100
open("bottom", "w").write("bottom")
""")
    host.cli("stop", "box")
    upper = host.upper("box")
    for place in ("usr/share", "etc/apt"):
        (upper / place).mkdir(parents=True)
    os.mknod(upper / "usr/share/doc", 0o020000, os.makedev(0, 0))
    os.setxattr(upper / "etc/apt", "trusted.overlay.opaque", b"y")
    host.cli("snapshot", "box", "origin")
    result = host.cli("snapshot", "export", "origin", TMP / "origin.khs")
    ok("files" in result.stderr, f"it is exported: {result.stderr.strip()}")
    equal(os.stat(TMP / "origin.khs").st_mode & 0o777, 0o600,
          "into a file of one's own")
    ok(os.stat(TMP / "origin.khs").st_size < 30 << 20, "holes take no room in it")
    equal(host.cli("snapshot", "import", TMP / "origin.khs", "copy").stdout,
          "copy\n", "and imported")
    for name in ("origin", "copy"):
        host.cli("create", f"of-{name}", "--from", name)
    places = (*PLACES, "/usr/share", "/etc/apt")
    same(look(host, "of-copy", *places), look(host, "of-origin", *places),
         "every byte, name, mode, time, hole, link, attribute and whiteout is there")
    ok("/usr/share/doc" not in look(host, "of-copy", "/usr/share")["/usr/share"],
       "what was deleted is deleted")
    bottom = ("import os\nos.chdir(os.path.expanduser('~/deeper'))\n"
              "for n in range(299): os.chdir('d' * 100)\nprint(open('bottom').read())")
    equal(run(host, "of-copy", bottom), "bottom\n", "however deep")
    shown = host.json("snapshot", "show", "copy")
    equal((shown["sandbox"], shown["image"], shown["limits"]["memory"]),
          ("box", "default", None),
          "it tells where it is from, and has no limits of its own")
    piped = subprocess.run(
        "kernelhost snapshot export origin - | kernelhost snapshot import - piped",
        shell=True, check=True, capture_output=True, text=True,
        env={**host.env, "PATH": f"{PREFIX}/bin:{os.environ['PATH']}"})
    equal(piped.stdout, "piped\n", "through a pipe, too")
    host.cli("snapshot", "rm", "origin")
    equal(host.cli("snapshot", "import", TMP / "origin.khs", "--expires", "1h").stdout,
          "origin\n", "without a name it has the one it had")
    ok(host.json("snapshot", "show", "origin")["expires"], "and it may expire")
    equal(left(host), [], "nothing is left over")


def elsewhere(host):
    """Another host believes it only with the key, and counts with its own limits."""
    host.cli("create", "box", "--memory", "1G", "--disk", "1G")
    run(host, "box", "open('/workspace/x', 'w').write('carried')")
    host.cli("snapshot", "box", "carried")
    archive, key = TMP / "carried.khs", TMP / "key"
    host.cli("snapshot", "export", "carried", archive)
    shutil.copy(host.state / "snapshot.key", key)
    with Host("other") as other:
        result = other.cli("snapshot", "import", archive, check=False)
        ok(result.returncode == 1 and "--key" in result.stderr,
           f"another host refuses it: {result.stderr.strip()}")
        other.cli("snapshot", "import", archive, "--key", key)
        other.cli("create", "box", "--from", "carried")
        equal(run(other, "box", "print(open('/workspace/x').read())"), "carried\n",
              "with the key it takes it")
        other.cli("create", "plain")
        equal(other.json("show", "box")["limits"],
              other.json("show", "plain")["limits"],
              "and gives what is made from it its own limits")
        (other.state / "images/id" / image_of(other)).rename(TMP / "image")
        result = other.cli("snapshot", "import", archive, "again", "--key", key,
                           check=False)
        ok(result.returncode == 3 and "--image" in result.stderr,
           f"without its image it is refused: {result.stderr.strip()}")
        (TMP / "image").rename(other.state / "images/id" / image_of(other))
        other.cli("snapshot", "import", archive, "again", "--key", key, "--image",
                  "default")
        equal(left(other), [], "nothing is left over")
    os.chmod(key, 0o644)
    result = host.cli("snapshot", "import", archive, "x", "--key", key, check=False)
    ok(result.returncode == 1 and "chmod 600" in result.stderr,
       f"a key that others can read is none: {result.stderr.strip()}")
    os.chmod(key, 0o600)
    key.write_text("not a key\n")
    result = host.cli("snapshot", "import", archive, "x", "--key", key, check=False)
    ok(result.returncode == 1 and "hexadecimal" in result.stderr,
       f"nor is any text: {result.stderr.strip()}")


def refuse(host, data, name="bad"):
    """Tries to import DATA; returns status and line."""
    (TMP / name).write_bytes(data)
    result = host.cli("snapshot", "import", TMP / name, "bad", check=False)
    return result.returncode, result.stderr.strip()


def damaged(host):
    host.cli("create", "box")
    host.cli("exec", "box", "--", "sh", "-c",
             "head -c 300000 /dev/urandom >/workspace/x; ln -s x /workspace/y")
    host.cli("snapshot", "box", "good")
    host.cli("snapshot", "export", "good", TMP / "good.khs")
    good = (TMP / "good.khs").read_bytes()
    head, *pieces = env.blocks(good)
    cases = {
        "nothing": b"", "a head alone": head, "half a head": head[:30],
        "text": b"x" * 1000, "zeros": bytes(100000),
        "the last block missing": head + b"".join(pieces[:-1]),
        "the first block missing": head + b"".join(pieces[1:]),
        "two blocks in the other order":
            head + pieces[1] + pieces[0] + b"".join(pieces[2:]),
        "a block twice": head + pieces[0] + b"".join(pieces),
        "a byte behind the end": good + b"x", "itself behind the end": good + good,
        "a later version": good.replace(b"snapshot 1", b"snapshot 2", 1),
        "an earlier version": good.replace(b"snapshot 1", b"snapshot 0", 1),
        "another key": seal(bytes(32), env.content(good)),
        "a block of another archive":
            head + env.blocks(seal(key_of(host), env.content(good)))[1] +
            b"".join(pieces[1:]),
    }
    for what, data in cases.items():
        status, line = refuse(host, data)
        ok(status == 1 and line.startswith("kernelhost: cannot import") and
           "\n" not in line, f"{what}: {line}")
    random.seed(20)
    wrong = []
    for n in range(250):
        cut = n % 5 == 0
        at = random.randrange(len(good))
        data = good[:at] if cut else (
            good[:at] + bytes([good[at] ^ (1 << random.randrange(8))]) + good[at + 1:])
        status, line = refuse(host, data)
        if status != 1 or "cannot import" not in line:
            wrong.append((n, at, cut, status, line))
    equal(wrong, [], "250 files with one bit changed, or cut somewhere, are refused")
    with subprocess.Popen(["head", "-c", "200000", TMP / "good.khs"],
                          stdout=subprocess.PIPE) as cut:
        result = host.cli("snapshot", "import", "-", "bad", check=False,
                          stdin=cut.stdout)
    ok(result.returncode == 1 and "cut short" in result.stderr,
       f"from a pipe as well: {result.stderr.strip()}")
    equal((snapshots(host), left(host)), (["good"], []), "nothing is left of it")


def hostile(host):
    """The key is right, and what is inside is not."""
    host.cli("create", "box")
    host.cli("snapshot", "box", "first")
    host.cli("snapshot", "export", "first", TMP / "first.khs")
    key, head = key_of(host), env.info(image_of(host))
    xattr = (("user.x", b"1"),)
    trees = {
        "a name with a slash": directory("", file("a/b", b"x")),
        "an absolute name": directory("", file("/x", b"x")),
        "a way up": directory("", directory("..", file("x", b"x"))),
        "a dot": directory("", directory(".")),
        "an empty name": directory("", file("")),
        "a name with a NUL": directory("", file(b"a\0b")),
        "a name of 256": directory("", file("x" * 256)),
        "a top with a name": directory("x"), "a top that is a file": file(""),
        "a top that is a link": link("", "/etc"), "no top": b"",
        "an end too many": directory("") + b"e",
        "a second top": directory("") + directory(""),
        "no end": directory("", directory("a"))[:-1],
        "a name twice": directory("", file("a", b"1"), file("a", b"2")),
        "a directory over a link": directory("", link("a", "/"), directory("a")),
        "a file over a link": directory("", link("a", "/etc/passwd"), file("a", b"x")),
        "a device": directory("", node(b"c", "null")),
        "a block device": directory("", node(b"b", "sda")),
        "an unknown kind": directory("", node(b"z", "x")),
        "an owner out of range": directory("", file("a", uid=65536)),
        "a mode out of range": directory("", file("a", mode=0o100644)),
        "nanoseconds out of range": directory("", file("a", ns=1000000000)),
        "bytes behind the size": directory("", file("a", b"xyz", size=2)),
        "pieces that overlap":
            directory("", file("a", size=9, pieces=[(0, b"abc"), (2, b"abc")])),
        "a piece far away":
            directory("", file("a", size=9, pieces=[((1 << 64) - 1, b"a")])),
        "a giant file": directory("", file("a", size=1 << 63)),
        "a name of no file": directory("", name_of("a", 1)),
        "a name of number 0": directory("", name_of("a", 0)),
        "numbers with a gap": directory("", file("a", number=5)),
        "an attribute of the kernel's":
            directory("", file("a", values=[("security.capability", b"x" * 20)])),
        "another attribute of overlayfs":
            directory("", file("a", values=[("trusted.overlay.redirect", b"/etc")])),
        "a trusted attribute": directory("", file("a", values=[("trusted.x", b"1")])),
        "too many attributes": directory("", file("a", values=xattr * 1025)),
        "an attribute too large":
            directory("", file("a", values=[("user.x", b"x" * 65537)])),
        "an ACL that is none":
            directory("", file("a", values=[("system.posix_acl_access", b"x" * 5)])),
        "a link to nowhere": directory("", link("a", "")),
        "a target too long": directory("", link("a", "x" * 4096)),
        "a target with a NUL": directory("", link("a", b"a\0b")),
    }
    for what, tree in trees.items():
        status, line = refuse(host, seal(key, head + tree))
        ok(status == 1 and "cannot import" in line and "\n" not in line,
           f"{what}: {line}")
    for what, start in {
        "an image that is a path": env.info("../../../etc/passwd".ljust(32, "x")),
        "a sandbox that is a path": env.info(image_of(host), sandbox="../x"),
        "a name that is a path": env.info(image_of(host), name="../x"),
        "half an info": head[:10],
    }.items():
        status, line = refuse(host, seal(key, start + directory("")))
        ok(status == 1 and "cannot import" in line, f"{what}: {line}")
    hole = directory("", file("a", size=1 << 40))
    status, line = refuse(host, seal(key, head + hole))
    equal(status, 0, "a hole of a terabyte takes no room")
    host.cli("snapshot", "rm", "bad")
    (TMP / "large").write_bytes(seal(key, head + directory(
        "", file("a", size=64 << 20,
                 pieces=[(n << 16, os.urandom(1 << 16)) for n in range(1024)]))))
    result = host.cli("snapshot", "import", TMP / "large", "bad", "--max-size", "32M",
                      check=False)
    ok(result.returncode == 1 and "--max-size" in result.stderr,
       f"more than it may have is refused: {result.stderr.strip()}")
    equal((snapshots(host), left(host)), (["first"], []), "nothing is left of it")
    outside = [p for p in (TMP / "x", TMP / "a", host.state / "x") if p.exists()]
    equal(outside, [], "and nothing was made elsewhere")
    # What is right is taken, to show that the others are refused for what they are.
    good = directory("", directory("workspace", file(
        "a", b"made by hand", mode=0o4755, number=1, values=xattr), name_of("b", 1),
        node(b"p", "fifo"), node(b"s", "socket"), link("l", "a")),
        directory("etc"), directory("opt", values=[("trusted.overlay.opaque", b"y")]))
    equal(refuse(host, seal(key, head + good, block=200))[0], 0,
          "one that is right is taken")
    host.cli("create", "hand", "--from", "bad")
    equal(run(host, "hand", "import os; s = os.stat('/workspace/b'); "
              "print(oct(s.st_mode), s.st_nlink, "
              "os.getxattr('/workspace/a', 'user.x'), s.st_mtime_ns)"),
          "0o104755 2 b'1' 1000000002\n", "with all it says")


WRONG = [
    ("snapshot export nosuch FILE", 3, "nosuch"),
    ("snapshot export Bad FILE", 3, "Bad"),
    ("snapshot export first", 2, "missing"),
    ("snapshot export first /nosuch/x", 3, "/nosuch"),
    ("snapshot export first GOOD", 4, "exists"),
    ("snapshot export first FILE --key /nosuch", 3, "/nosuch"),
    ("snapshot import /nosuch", 3, "/nosuch"),
    ("snapshot import /", 1, "cannot import"),
    ("snapshot import GOOD first", 4, "already"),
    ("snapshot import GOOD Bad_Name", 2, "name"),
    (f"snapshot import GOOD {'x' * 57}", 2, "name"),
    ("snapshot import GOOD new --image nosuch", 3, "nosuch"),
    ("snapshot import GOOD new --image ../x", 2, "image"),
    ("snapshot import GOOD new --max-size lots", 2, "--max-size"),
    ("snapshot import GOOD new --expires soon", 2, "--expires"),
]


def wrong(host):
    host.cli("create", "box")
    host.cli("snapshot", "box", "first")
    good, fresh = TMP / "wrong.khs", TMP / "fresh"
    host.cli("snapshot", "export", "first", good)
    for words, status, answer in WRONG:
        words = words.replace("GOOD", str(good)).replace("FILE", str(fresh))
        result = host.cli(*words.split(), check=False)
        line = result.stderr.strip()
        ok(result.returncode == status and answer in line and "\n" not in line,
           f"{words}: {result.returncode} {line}")
    ok(not fresh.exists(), "no file is left of an export that failed")
    equal((snapshots(host), left(host)), (["first"], []), "nor anything else")


def started(host, command):
    """Waits until it has made something."""
    for _ in range(1000):
        if (left(host) if command == "import" else list(TMP.glob("part.khs*"))):
            break
        time.sleep(0.01)


def interrupted(host):
    """A signal, or a kill, in the middle of an import or an export."""
    host.cli("create", "box", "--disk", "2G")
    host.cli("exec", "box", "--", "sh", "-c",
             "head -c 400000000 /dev/urandom >/workspace/x")
    host.cli("snapshot", "box", "large")
    host.cli("snapshot", "export", "large", TMP / "large.khs")
    for sign in (signal.SIGINT, signal.SIGTERM):
        for words in (("export", "large", TMP / "part.khs"),
                      ("import", TMP / "large.khs", "part")):
            process = subprocess.Popen(
                [TOOL, f"--state={host.state}", *map(str, words)], env=host.env,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            started(host, words[0])
            process.send_signal(sign)
            equal(process.wait(20), 128 + sign, f"{words[0]} ends with {sign.name}")
            ok(not (TMP / "part.khs").exists(), "without a file")
            equal(left(host), [], "and leaves nothing")
    process = subprocess.Popen([TOOL, f"--state={host.state}", "import",
                                str(TMP / "large.khs"), "part"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started(host, "import")
    process.kill()
    process.wait()
    ok(left(host), "a killed import leaves what it had")
    host.kill()
    host.start()
    equal(left(host), [], "until the host is started again")
    equal(snapshots(host), ["large"], "and is no snapshot")


with Host() as private:
    each(private, exact, elsewhere, damaged, hostile, wrong, interrupted)
done()
