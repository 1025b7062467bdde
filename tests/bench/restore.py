#!/usr/bin/env python3
"""A project with hundreds of npm packages: git clone and npm install in a fresh
sandbox, beside a sandbox made from a snapshot of the finished directory, and beside a
fork, with its memory, of one in which the project's server runs. Run by hand, as root,
with the environment of tests/run:

    tests/bench/restore.py [INSTALLS [RESTORES]]

Each time begins with the request for the sandbox and ends with the first output of
node, which has loaded the modules, or the first answer of the server. The packages come
once from the registry that npm of this machine is configured for, and are kept in the
state directory of ./dev, as is the image with node; sandboxes get them from a registry
of their own inside, on 127.0.0.1: no network is in the times. The exit status is 1 if
anything failed.
"""

import base64
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import time

sys.path[:0] = [
    str(pathlib.Path(__file__).resolve().parent.parent / part)
    for part in ("", "system")
]

from api import Connection, call  # noqa: E402
from host import IMAGES, PREFIX, TMP, Host  # noqa: E402

STORE = pathlib.Path(os.environ["KH_DEV_STATE"]) / "bench-npm"
IMAGE = "bench-node"
PACKAGES = "nodejs\nnpm\ngit\n"
DEPENDENCIES = {
    "express": "4.21.2",
    "webpack": "5.97.1",
    "typescript": "5.7.2",
    "eslint": "8.57.1",
}
LIMITS = {"memory": "2G", "cpus": 2}
REGISTRY = "http://127.0.0.1:4873/"
CHUNK = 24 << 20  # of files, in one request

SERVE_PACKAGES = """
const fs = require("fs"), http = require("http");
http.createServer((request, response) => {
  const path = decodeURIComponent(request.url).slice(1);
  const file = path.includes("/-/") ? path : path + "/packument.json";
  if (path.includes("..") || !fs.existsSync("/workspace/registry/" + file)) {
    response.writeHead(404);
    response.end("{}");
    return;
  }
  fs.createReadStream("/workspace/registry/" + file).pipe(response);
}).listen(4873, "127.0.0.1");
"""

LOAD = "".join(f'require("{name}");' for name in DEPENDENCIES)

SERVER = """
const typescript = require("typescript");
require("webpack");
require("eslint");
const app = require("express")();
app.get("/", (request, response) =>
  response.send("typescript " + typescript.version));
app.listen(3000, "127.0.0.1");
"""

ASK = (
    "for i in $(seq 600); do exec 3<>/dev/tcp/127.0.0.1/3000 && break; sleep 0.1; done "
    "2>/dev/null; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
)
AWAIT_REGISTRY = (
    "for i in $(seq 300); do exec 3<>/dev/tcp/127.0.0.1/4873 && exit; sleep 0.1; done"
)
INSTALL = (
    "git clone -q file:///workspace/project.git project && cd project && "
    f"npm install --silent --no-audit --no-fund --registry {REGISTRY} && "
    f"node -e '{LOAD} console.log(\"loaded\")'"
)
START = f"cd project && node -e '{LOAD} console.log(\"loaded\")'"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])}: {done.stdout}{done.stderr}")
    return done.stdout


# ---- once ----


def make_image():
    if (IMAGES / "images/names" / IMAGE).exists():
        return
    print("building the image with node", flush=True)
    listed = TMP / "packages"
    listed.write_text(PACKAGES)
    run(
        str(PREFIX / "bin/kernelhost"),
        *("image", "build", IMAGE, "--packages", str(listed)),
        env={**os.environ, "KERNELHOST_STATE": str(IMAGES)},
    )


def fetch():
    """The project with its lock file, and the archive of every package in it."""
    if (STORE / "done").exists():
        return
    if not shutil.which("npm"):
        sys.exit("there is no npm to fetch packages with (hint: apt-get install npm)")
    print("fetching packages", flush=True)
    shutil.rmtree(STORE, ignore_errors=True)
    (STORE / "archives").mkdir(parents=True)
    project = {"name": "project", "version": "1.0.0", "dependencies": DEPENDENCIES}
    (STORE / "package.json").write_text(json.dumps(project, indent=2))
    run("npm", "install", "--package-lock-only", "--ignore-scripts", cwd=STORE)
    lock = json.loads((STORE / "package-lock.json").read_text())
    wanted = {
        f"{path.rpartition('node_modules/')[2]}@{entry['version']}"
        for path, entry in lock["packages"].items()
        if path
    }
    run("npm", "pack", "--silent", *sorted(wanted), cwd=STORE / "archives")
    (STORE / "done").touch()


def describe(archive):
    """package.json of the package in the archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.count("/") == 1 and member.name.endswith("/package.json"):
                return json.load(tar.extractfile(member))
    sys.exit(f"{archive} holds no package")


def registry():
    """What the registry inside serves, by path; and where the archive of each name and
    version is."""
    files, packuments, places = {}, {}, {}
    for archive in sorted((STORE / "archives").iterdir()):
        about = describe(archive)
        name, version = about["name"], about["version"]
        place = f"{name}/-/{archive.name}"
        files[place] = archive.read_bytes()
        places[name, version] = about["dist"] = {"tarball": REGISTRY + place}
        packument = packuments.setdefault(name, {"name": name, "versions": {}})
        packument["versions"][version] = about
        packument["dist-tags"] = {"latest": version}
    for name, packument in packuments.items():
        files[f"{name}/packument.json"] = json.dumps(packument).encode()
    return files, places


def repository(places):
    """The project in a bare repository, as files by path. Its lock file says where the
    archives are inside."""
    lock = json.loads((STORE / "package-lock.json").read_text())
    for path, entry in lock["packages"].items():
        if path:
            name = path.rpartition("node_modules/")[2]
            entry["resolved"] = places[name, entry["version"]]["tarball"]
    source, bare = TMP / "project", TMP / "project.git"
    source.mkdir()
    shutil.copy(STORE / "package.json", source)
    (source / "package-lock.json").write_text(json.dumps(lock, indent=2))
    (source / "server.js").write_text(SERVER)
    git = (
        "git",
        "-C",
        str(source),
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@localhost",
    )
    run(*git, "init", "-q")
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "the project")
    run("git", "clone", "-q", "--bare", str(source), str(bare))
    return {
        str(path.relative_to(TMP)): path.read_bytes()
        for path in bare.rglob("*")
        if path.is_file() and path.suffix != ".sample"
    } | {"project.git/refs/heads/.keep": b""}


# ---- sandboxes ----


def ask(host, method, path, body=None):
    status, answer = call(host, method, f"/v1/{path}", body, timeout=600)
    if status >= 300:
        sys.exit(f"{method} {path}: {status} {answer}")
    return answer


def shell(host, name, script, stdin=b""):
    """Runs it with bash; returns what it printed, and the clock at its first output."""
    body = {"argv": ["bash", "-c", script], "stdin": base64.b64encode(stdin).decode()}
    connection = Connection(host.state / "run/api.sock", 600)
    first, out = None, {"stdout": b"", "stderr": b""}
    try:
        connection.request("POST", f"/v1/sandboxes/{name}/exec", json.dumps(body))
        for line in connection.getresponse():
            event = json.loads(line)
            if event["type"] in out:
                first = first or time.perf_counter()
                out[event["type"]] += base64.b64decode(event["data"])
    finally:
        connection.close()
    if event.get("status") != 0:
        sys.exit(f"{name}: {script}: {event} {out}")
    return out["stdout"].decode(), first


def put(host, name, files, where):
    """Unpacks files below a directory of the sandbox."""
    files = list(files.items())
    while files:
        data, size = io.BytesIO(), 0
        with tarfile.open(fileobj=data, mode="w") as tar:
            while files and size < CHUNK:
                path, content = files.pop()
                about = tarfile.TarInfo(path)
                about.size, about.mode = len(content), 0o644
                tar.addfile(about, io.BytesIO(content))
                size += len(content)
        script = f"mkdir -p {where} && tar -x -C {where} --no-same-owner"
        shell(host, name, script, data.getvalue())


def seed(host):
    """A snapshot of what is outside in real life: the registry and the repository."""
    files, places = registry()
    size = sum(map(len, files.values())) / 1e6
    ask(host, "POST", "sandboxes", {"name": "seed", "image": IMAGE, **LIMITS})
    put(host, "seed", files, "/workspace/registry")
    put(host, "seed", repository(places), "/workspace")
    put(host, "seed", {"registry.js": SERVE_PACKAGES.encode()}, "/workspace")
    ask(host, "POST", "sandboxes/seed/snapshots", {"name": "seed"})
    ask(host, "DELETE", "sandboxes/seed")
    print(f"the project: {len(places)} packages, {size:.1f} MB of archives", flush=True)


def install(host, name):
    """The seconds to make the sandbox, and from the clone to the first output; the time
    in which the registry inside starts is between them."""
    begun = time.perf_counter()
    ask(host, "POST", "sandboxes", {"name": name, "from": "seed", **LIMITS})
    made = time.perf_counter() - begun
    shell(host, name, "setsid node registry.js >/dev/null 2>&1 </dev/null &")
    shell(host, name, AWAIT_REGISTRY)
    begun = time.perf_counter()
    text, first = shell(host, name, INSTALL)
    if text != "loaded\n":
        sys.exit(f"{name}: {text}")
    return made + first - begun


def create(host, name):
    begun = time.perf_counter()
    ask(host, "POST", "sandboxes", {"name": name, "from": "done", **LIMITS})
    return time.perf_counter() - begun


def load(host, name):
    begun = time.perf_counter()
    text, first = shell(host, name, START)
    if text != "loaded\n":
        sys.exit(f"{name}: {text}")
    return first - begun


def restore(host, name):
    return create(host, name) + load(host, name)


def serving(host):
    """A sandbox in which the project's server has answered."""
    ask(host, "POST", "sandboxes", {"name": "server", "from": "done", **LIMITS})
    begun = time.perf_counter()
    shell(
        host,
        "server",
        "cd project && setsid node server.js >/dev/null 2>&1 </dev/null &",
    )
    shell(host, "server", ASK)
    return time.perf_counter() - begun


def fork(host, name):
    begun = time.perf_counter()
    (made,) = ask(host, "POST", "sandboxes/server/fork", {"names": [name]})["forks"]
    if "error" in made:
        sys.exit(f"{name}: {made}")
    text, first = shell(host, name, ASK)
    if not text.endswith("typescript " + DEPENDENCIES["typescript"]):
        sys.exit(f"{name}: {text}")
    return first - begun


def show(what, times):
    """Prints and returns the median."""
    median = statistics.median(times)
    print(
        f"{what:45} median {median:6.3f} s, {min(times):.3f} to {max(times):.3f}, "
        f"n {len(times)}",
        flush=True,
    )
    return median


def several(host, what, count, work):
    """WORK in a sandbox of its own each time."""
    times = []
    for number in range(count):
        name = f"{work.__name__}-{number}"
        times.append(work(host, name))
        ask(host, "DELETE", f"sandboxes/{name}")
    return show(what, times)


def main(installs, restores):
    make_image()
    fetch()
    with Host(preload="none") as host:
        seed(host)
        slow = several(host, "clone, install, load", installs, install)
        install(host, "finished")
        begun = time.perf_counter()
        shown = ask(host, "POST", "sandboxes/finished/snapshots", {"name": "done"})
        print(
            f"snapshot of {shown['bytes'] / 1e6:.0f} MB in "
            f"{time.perf_counter() - begun:.3f} s"
        )
        several(host, "create from it", restores, create)
        fast = several(host, "create from it, load", restores, restore)
        print(f"that is {slow / fast:.0f} times as fast")
        again = [load(host, "finished") for _ in range(restores)]
        show("load again where it was loaded", again)
        print(f"the server starts and answers in {serving(host):.3f} s")
        forked = several(host, "fork with memory, first answer", restores, fork)
        print(f"that is {slow / forked:.0f} times as fast as to install")
    return 0


if __name__ == "__main__":
    COUNTS = [int(word) for word in sys.argv[1:]] + [3, 10][len(sys.argv) - 1 :]
    sys.exit(main(*COUNTS))
