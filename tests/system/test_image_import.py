#!/usr/bin/env python3
"""kernelhost image import, ls and rm: every format, whiteouts, shared layers, what a
sandbox of an imported image is like. Archives are made by hand, and by skopeo and
umoci where they are."""

import gzip
import lzma
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import time

import archives
from archives import CHAR, DIR, FIFO, HARD, LINK, Layout, named, tar
from host import IMAGES, PREFIX, TMP, Host, run
from tap import check, done, equal, note, ok, parts

BUSYBOX = pathlib.Path("/bin/busybox").read_bytes()
TOOLS = ("sh", "ls", "cat", "id", "stat", "find", "touch", "env", "readlink", "sort")
BASE = [("bin/", DIR), ("bin/busybox", BUSYBOX, {"mode": 0o755}),
        *((f"bin/{tool}", LINK, "busybox") for tool in TOOLS),
        ("etc/", DIR), ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
        ("data/", DIR), ("data/gone", b"x"), ("data/stays", b"base\n"),
        ("data/turns", b"file"), ("data/falls/", DIR), ("data/falls/a", b"x"),
        ("hidden/", DIR), ("hidden/below/", DIR), ("hidden/below/x", b"x"),
        ("hidden/y", b"x")]
# Every way in which a layer can change what is below it.
CHANGE = [("data/.wh.gone", b""), ("data/new", b"new\n"), ("data/.wh.turns", b""),
          ("data/turns/", DIR), ("data/turns/in", b"x"), ("data/.wh.falls", b""),
          ("data/falls", b"now a file"), ("hidden/z", b"x"),
          ("hidden/.wh..wh..opq", b""), (".wh..wh.plnk", b"")]
MERGED = ["data", "data/falls", "data/new", "data/stays", "data/turns", "data/turns/in",
          "hidden", "hidden/z"]


def layers_of(host, name):
    ident = (host.state / "images/names" / name).read_text().strip()
    lines = (host.state / "images/id" / ident).read_text().splitlines()
    return [line.split()[1] for line in lines[1:]]


def write(name, data):
    path = TMP / name
    path.write_bytes(data)
    return path


def left(host):
    return [p.name for p in (host.state / "layers").iterdir() if p.name[0] == "."]


def formats(host):
    two = [tar(BASE), tar(CHANGE)]
    rootfs = tar(BASE)
    oci = archives.layout(TMP / "oci", two)
    cases = {
        "oci": oci,
        "oci-plain": archives.layout(TMP / "oci-plain", two, pack=bytes, kind=""),
        "oci-zstd": archives.layout(TMP / "oci-zstd", two, pack=zstd, kind="+zstd"),
        "oci-tar": write("oci.tar", archives.whole(oci)),
        "docker": archives.docker(TMP / "docker.tar", two),
        "docker-old": archives.docker(TMP / "old.tar", two + two[1:], old=True),
        "docker-gz": write("docker.tgz",
                           gzip.compress((TMP / "docker.tar").read_bytes())),
    }
    for name, path in cases.items():
        host.cli("image", "import", path, name)
    ids = {name: layers_of(host, name) for name in cases}
    equal(ids, dict.fromkeys(cases, ids["oci"]), "every format gives the same layers")
    equal(len(ids["oci"]), 3, "two, and ours on top")
    for name, data in (("plain", rootfs), ("gzip", gzip.compress(rootfs)),
                       ("xz", lzma.compress(rootfs)), ("zstd", zstd(rootfs))):
        host.cli("image", "import", write(f"root.{name}", data), f"root-{name}")
        equal(layers_of(host, f"root-{name}")[1:], ids["oci"][2:],
              f"a {name} root filesystem shares the layer of the container's base")
    equal(left(host), [], "nothing half-made is left")


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def inside(host):
    host.cli("create", "box", "--image", "oci")
    got = host.cli("exec", "box", "-C", "/", "--", "find", "data", "hidden")
    equal(sorted(got.stdout.split()), MERGED, "whiteouts hide what they must, no more")
    equal(host.cli("exec", "box", "--", "cat", "/data/stays").stdout, "base\n",
          "what is below shows")
    equal(host.cli("exec", "box", "--", "sh", "-c", "id; touch here; ls").stdout,
          "uid=1000(user) gid=1000(user)\nhere\n",
          "uid 1000 has a name, and /workspace")
    env = host.cli("exec", "box", "--", "env").stdout
    ok("/evil" not in env and "HOME=/home/user" in env,
       "the container's configuration is not the sandbox's")
    why = host.cli("run", "box", "-c", "1", check=False)
    ok(why.returncode == 1 and len(why.stderr.splitlines()) == 1 and
       "no Python" in why.stderr and "image build" in why.stderr,
       "without Python run says so, and the cure")
    host.cli("rm", "box")


def attributes(host):
    entries = BASE + [
        ("f/", DIR, {"mode": 0o1777, "uid": 1000, "gid": 50, "mtime": 1234567890}),
        ("f/a", b"same", {"mode": 0o4755, "mtime": 1111111111}),
        ("f/b", HARD, "f/a"), ("f/c", LINK, "/etc/passwd", {"uid": 7}),
        ("f/dev", CHAR, 1, 3), ("f/zero", CHAR, 0, 0), ("f/fifo", FIFO),
        ("f/far", b"", {"uid": 70000}), ("f/twice", b"1"), ("f/twice", b"22"),
        ("deep/down/file", b"no entries for the directories"),
        ("f/xattr", b"", {"pax_headers": {
            "SCHILY.xattr.user.mine": "yes", "SCHILY.xattr.user.overlay.opaque": "y",
            "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.user.kernelhost.opaque": "y",
            "SCHILY.xattr.security.capability": "x"}}),
    ]
    path = write("attributes.tar", tar(entries, archives.tarfile.PAX_FORMAT))
    said = host.cli("image", "import", path, "attributes").stderr
    ok(re.search("^3 devices", said, re.M) and re.search("^1 set-id", said, re.M) and
       re.search("^1 owners", said, re.M) and re.search("^4 extended", said, re.M),
       "what is left out is counted")
    root = host.state / "layers" / layers_of(host, "attributes")[1]
    st = os.stat(root / "f")
    equal((st.st_mode & 0o7777, st.st_uid, st.st_gid, int(st.st_mtime)),
          (0o1777, 1000, 50, 1234567890), "a directory's mode, owner and time")
    a, b, c = (os.lstat(root / "f" / n) for n in "abc")
    equal((a.st_mode & 0o7777, int(a.st_mtime), a.st_ino == b.st_ino, a.st_nlink),
          (0o755, 1111111111, True, 2), "a file's, without set-id, and a hard link")
    equal((os.readlink(root / "f/c"), c.st_uid), ("/etc/passwd", 7), "a link as it is")
    equal(sorted(os.listdir(root / "f")), ["a", "b", "c", "far", "twice", "xattr"],
          "no devices, no FIFO, no whiteout from an archive's device")
    equal(os.stat(root / "f/far").st_uid, 65534, "an owner out of range is nobody")
    equal((root / "f/twice").read_bytes(), b"22", "the later entry counts")
    equal(os.listxattr(root / "f/xattr"), ["user.mine"], "attributes: only the user's")
    equal((root / "deep/down/file").read_bytes()[:2], b"no",
          "directories without entry")


def choice(host):
    other = "arm64" if archives.ARCH == "amd64" else "amd64"
    mine, theirs = [tar(BASE)], [tar([("theirs", b"x")])]
    made = Layout(TMP / "multi")
    path = made.index(made.image(theirs, other), made.image(mine))
    host.cli("image", "import", path, "multi")
    equal(layers_of(host, "multi"), layers_of(host, "root-plain"),
          "an index: this machine's processor is taken")
    nested = Layout(TMP / "nested")
    inner = nested.image(mine)
    blob = archives.json.dumps({"manifests": [inner]}).encode()
    path = nested.index(nested.blob(blob, archives.INDEX))
    host.cli("image", "import", path, "nested")
    equal(layers_of(host, "nested"), layers_of(host, "multi"), "an index in an index")
    path = archives.layout(TMP / "foreign", theirs, arch=other)
    got = host.cli("image", "import", path, "foreign", check=False)
    ok(got.returncode and archives.ARCH in got.stderr, "another processor is refused")
    made = Layout(TMP / "refs")
    path = made.index(made.image(mine, **named("app:v1")),
                      made.image([tar([("v2", b"")])], **named("app:v2")))
    got = host.cli("image", "import", path, "refs", check=False)
    ok(got.returncode == 2 and "app:v1, app:v2" in got.stderr and "--ref" in got.stderr,
       "of several images one must be chosen; they are named")
    host.cli("image", "import", path, "refs", "--ref", "v1")
    equal(layers_of(host, "refs"), layers_of(host, "multi"), "by its tag")


def peers(host):
    """What other tools write of the same tree, and of a change."""
    bundle, lay = TMP / "bundle", TMP / "umoci"
    run("umoci", "init", "--layout", lay)
    run("umoci", "new", "--image", f"{lay}:v1")
    run("umoci", "unpack", "--image", f"{lay}:v1", bundle)
    root = bundle / "rootfs"
    for step in (BASE, None):
        if step:
            write("base.tar", tar(BASE))
            run("tar", "-C", root, "-xf", TMP / "base.tar")
        else:
            (root / "data/gone").unlink()
            shutil.rmtree(root / "data/falls")
            (root / "data/new").write_text("new\n")
        run("umoci", "repack", "--refresh-bundle", "--image", f"{lay}:v1", bundle)
    host.cli("image", "import", lay, "umoci")
    archive = TMP / "skopeo.tar"
    run("skopeo", "--insecure-policy", "copy", f"oci:{lay}:v1",
        f"docker-archive:{archive}:peer/app:v1")
    host.cli("image", "import", archive, "skopeo", "--ref", "peer/app:v1")
    run("skopeo", "--insecure-policy", "copy", f"oci:{lay}:v1",
        f"oci-archive:{TMP}/skopeo-oci.tar")
    host.cli("image", "import", TMP / "skopeo-oci.tar", "skopeo-oci")
    equal(layers_of(host, "skopeo"), layers_of(host, "umoci"),
          "skopeo's docker archive and umoci's layout are the same image")
    equal(layers_of(host, "skopeo-oci"), layers_of(host, "umoci"),
          "skopeo's OCI archive")
    host.cli("create", "peer", "--image", "skopeo")
    got = host.cli("exec", "peer", "-C", "/", "--", "find", "data").stdout.split()
    equal(sorted(got), ["data", "data/new", "data/stays", "data/turns"],
          "umoci's whiteouts hold in a sandbox")
    host.cli("rm", "peer")


def removal(host):
    before = set(os.listdir(host.state / "layers"))
    one = write("one.tar", tar(BASE + [("only", b"one")]))
    host.cli("image", "import", one, "one")
    host.cli("image", "import", one, "alias")
    mine = set(layers_of(host, "one")) - before
    host.cli("create", "pins", "--image", "one")
    host.cli("image", "rm", "one")
    got = host.cli("image", "rm", "alias", check=False)
    ok(got.returncode == 4 and "'pins'" in got.stderr and "kernelhost rm" in got.stderr,
       "an image with another name loses this one; the last is kept for a sandbox")
    two = write("two.tar", tar(BASE + [("only", b"two")]))
    host.cli("image", "import", two, "alias")
    host.cli("stop", "pins")
    host.cli("start", "pins")
    equal(host.cli("exec", "pins", "--", "cat", "/only").stdout, "one",
          "a sandbox keeps what it was made from when the name means something new")
    host.cli("rm", "pins")
    host.cli("image", "rm", "alias")
    after = set(os.listdir(host.state / "layers"))
    equal((after, len(mine)), (before, 1), "then nothing of either is left")
    got = host.cli("image", "rm", "alias", check=False)
    ok(got.returncode == 3 and "no image 'alias'" in got.stderr, "it is gone")
    record = next((host.state / "sandboxes").glob("*/record"), None)
    equal(record, None, "no sandbox is left")
    odd = host.state / "sandboxes" / ("0" * 32)
    odd.mkdir()
    (odd / "record").write_text("what?")
    host.cli("image", "import", one, "one")
    got = host.cli("image", "rm", "one", check=False)
    ok(got.returncode and "cannot be read" in got.stderr,
       "a record that cannot be read may need anything: nothing is removed")
    shutil.rmtree(odd)
    host.cli("image", "rm", "one")


def python(host):
    default = IMAGES / "layers" / (IMAGES / "images/id" / (
        IMAGES / "images/names/default").read_text().strip()).read_text().split()[-1]
    run("tar", "-C", default, "-cf", TMP / "python.tar", ".")
    run("tar", "-C", default, "--exclude=IPython", "-cf", TMP / "bare.tar",
        "--exclude=./usr/share", "./usr", "./bin", "./lib", "./lib64", "./etc")
    host.cli("image", "import", TMP / "python.tar", "python")
    said = host.cli("image", "import", TMP / "bare.tar", "bare").stderr
    ok("lacks IPython" in said, "an image without IPython is told of at once")
    images = {i["name"]: i for i in host.json("image", "ls")}
    equal([images[n]["kernels"] for n in ("python", "bare", "oci")],
          [["python"], [], []], "image ls --json tells which kernels")
    layer = images["python"]["layers"][0]
    ok(images["python"]["size"] > 1 << 28 and layer["entries"] > 9000 and
       images["oci"]["digest"].startswith("sha256:"), "sizes and digests too")
    table = host.cli("image", "ls").stdout
    ok(re.search(r"^python +\w{12} +\d+M +1 +\S+ \S+ +python$", table, re.M),
       "and the table")
    host.cli("create", "py", "--image", "python")
    got = host.cli("run", "py", "-c", "import pandas; int(pandas.Series([42]).sum())")
    equal(got.stdout, "42\n", "the default image, exported and imported, runs pandas")
    host.cli("create", "bare", "--image", "bare")
    got = host.cli("exec", "bare", "--", "python3", "-c", "print(6 * 7)")
    equal(got.stdout, "42\n", "Python without IPython runs as a command")
    got = host.cli("run", "bare", "-c", "1", check=False)
    ok(got.returncode == 1 and "pip install ipython" in got.stderr,
       "and as a kernel says what is missing")
    with archives.tarfile.open(TMP / "python.tar", "a") as file:
        file.addfile(archives.info("./usr/local/bin/python3", LINK,
                                   "/usr/bin/python3")[0])
    host.cli("image", "import", TMP / "python.tar", "local")
    host.cli("create", "local", "--image", "local")
    got = host.cli("run", "local", "-c", "import sys; print(sys.executable)")
    equal(got.stdout, "/usr/local/bin/python3\n", "a Python in /usr/local comes first")
    host.cli("rm", "py", "bare", "local")
    return TMP / "python.tar"


def stopped(host, big):
    """Interrupted, killed, on a terminal, out of time or space."""
    tool = [PREFIX / "bin/kernelhost", "image", "import", big, "big"]
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        process = subprocess.Popen(tool, env=host.env, text=True,
                                   stderr=subprocess.PIPE)
        end = time.monotonic() + 20
        while not left(host) and time.monotonic() < end:
            time.sleep(0.01)
        ok(left(host), "an import has begun")
        helpers = children(process.pid)
        process.send_signal(number)
        said = process.communicate()[1]
        equal(process.returncode, status, f"it ends with {number.name}")
        if number == signal.SIGINT:
            ok(len(said.splitlines()) == 1 and "nothing was imported" in said,
               "and says so")
            equal(left(host), [], "nothing is left")
    time.sleep(0.2)
    equal([p for p in helpers if os.path.exists(f"/proc/{p}")], [],
          "the helper of the killed one ends with it")
    ok(left(host), "what it made stays for now")
    host.cli("image", "rm", "nested")
    equal(left(host), [], "the next image command sweeps it")
    ok("big" not in [i["name"] for i in host.json("image", "ls")],
       "there is no such image")
    for options, words in ((["--max-size", "100M"], "--max-size"),
                           (["--max-entries", "500"], "--max-entries"),
                           (["--timeout", "1"], "--timeout")):
        got = host.cli("image", "import", big, "big", *options, check=False)
        ok(got.returncode == 1 and words in got.stderr.splitlines()[-1],
           f"over {words}")
        equal(left(host), [], "nothing is left")
    parent, child = pty.openpty()
    process = subprocess.Popen(tool, env=host.env, stdout=child, stderr=child)
    os.close(child)
    shown = b""
    with check("the terminal is read to its end"):
        while True:
            try:
                data = os.read(parent, 4096)
            except OSError:
                break
            shown += data
    equal(process.wait(), 0, "an import on a terminal")
    lines = [line for line in shown.split(b"\n") if line.strip()]
    ok(shown.count(b"\r\x1b[K") > 3 and len(lines) == 1,
       "shows its progress in one line that goes away")
    host.cli("image", "rm", "big")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def main():
    with Host(images=False) as host:
        parts(host, formats, inside, attributes, choice, peers, removal)
        with check("python: all was tried"):
            big = python(host)
            stopped(host, big)
        got = host.cli("image", "import", TMP / "nosuch", "x", check=False)
        equal(got.returncode, 3, "an archive that is not there")
        got = host.cli("image", "import", big, "Bad/Name", check=False)
        ok(got.returncode == 2 and "image name" in got.stderr, "a bad name")
        names = [i["name"] for i in host.json("image", "ls")]
        host.cli("image", "rm", *names, timeout=600)  # some 100,000 files
        equal(os.listdir(host.state / "layers"), [],
              "without images there are no layers")
    note(f"removed {len(names)} images")


main()
done()
