#!/usr/bin/env python3
"""SandboxImage / Host, Lateral, Availability: images whose zygote is a program of their
own (hostile_zygote.py). It may end its own sandboxes and carry on in them; it gets
at nothing else, kernelhostd believes nothing it says, and nothing of it stays."""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import time

from host import IMAGES, SRCDIR, Host, run
from tap import check, done, equal, eventually, note, ok

sys.path.append(str(SRCDIR / "tests/system"))
import api  # noqa: E402

HOSTILE = (SRCDIR / "tests/escape/hostile_zygote.py").read_text()
PACKAGES = "usr/lib/python3/dist-packages"


def make_host():
    """A host with the images of all tests, and room for more."""
    host = Host("h", images=False)
    shutil.copytree(IMAGES / "images", host.state / "images")
    for layer in (IMAGES / "layers").iterdir():
        place = host.state / "layers" / layer.name
        place.mkdir()
        run("mount", "--bind", "-o", "ro", layer, place)
    return host


def make_image(host, behaviour):
    """The default image and a layer above; returns its id."""
    names, ids = host.state / "images/names", host.state / "images/id"
    number, layer = secrets.token_hex(16), secrets.token_hex(16)
    place = host.state / "layers" / layer / PACKAGES
    place.mkdir(parents=True)
    (host.state / "layers" / layer).chmod(0o755)
    code = HOSTILE.replace('BEHAVIOUR = "none"', f'BEHAVIOUR = "{behaviour}"')
    (place / "hostile_zygote.py").write_text(code)
    (place / "hostile.pth").write_text("import hostile_zygote\n")
    head, *layers = (ids / (names / "default").read_text().strip()) \
        .read_text().splitlines()
    (ids / number).write_text("\n".join([head, f"layer {layer}", *layers]) + "\n")
    (names / behaviour.replace("_", "-")).write_text(number + "\n")
    return number


def members(group):
    """The processes in the control groups of a sandbox's or an image's id."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and any(
                    line.endswith(f"/{group}")
                    for line in (entry / "cgroup").read_text().splitlines()):
                found.append(int(entry.name))
    return sorted(found)


def groups_of(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text()


def group_directories(group):
    return [path for path, dirs, _ in os.walk("/sys/fs/cgroup") if group in dirs]


def status(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].split()
    return []


def alive(pid):
    try:
        return status(pid, "State")[0] not in "ZX"
    except OSError:
        return False


class Hostile:
    """An image with that behaviour, and its zygote once one is asked for."""

    def __init__(self, host, behaviour):
        self.host = host
        self.name = behaviour.replace("_", "-")
        self.id = make_image(host, behaviour)
        self.serial = 0
        self.pid = self.told = None

    def start(self):
        """Has the zygote started, by a sandbox that is removed again."""
        self.host.cli("create", f"{self.name}-first", "--image", self.name)
        self.host.cli("rm", f"{self.name}-first")
        mark = f"zygote ready image={self.id} pid="
        assert eventually(lambda: mark in self.host.log_text()), "no zygote"
        self.pid = int(self.host.log_text().rpartition(mark)[2].split()[0])
        tmp = pathlib.Path(f"/proc/{self.pid}/root/tmp")
        try:
            self.orders = open(tmp / "orders", "a", buffering=1)  # noqa: SIM115
            self.told = open(tmp / "report")  # noqa: SIM115 - and read after its end
        except OSError:
            assert eventually(lambda: self.condemned), "its zygote is gone"
        return self

    def create(self, **options):
        """A sandbox of it; returns its name, its id and its first process."""
        self.serial += 1
        name = f"{self.name}-{self.serial}"
        self.host.cli("create", name, "--image", self.name, **options)
        return name, *found(self.host, name)

    def order(self, *words):
        self.orders.write(" ".join(map(str, words)) + "\n")

    def reports(self, key):
        if self.told is None:
            return []
        self.told.seek(0)
        facts = map(json.loads, self.told.read().splitlines())
        return [fact for fact in facts if key in fact]

    def report(self, key, count=1):
        """The COUNT-th that has KEY; None when it does not come."""
        eventually(lambda: len(self.reports(key)) >= count)
        if failed := self.reports("failed"):
            note(failed)
        return self.reports(key)[count - 1] if len(self.reports(key)) >= count else None

    @property
    def condemned(self):
        return f"no warm kernels for image id={self.id}" in self.host.log_text()


def found(host, name):
    ident = host.json("show", name)["id"]
    first = [pid for pid in members(ident) if status(pid, "NSpid")[-1:] == ["1"]]
    return ident, first[0]


def runs(host, name):
    """A kernel in it works."""
    return host.cli("run", name, "-c", "print(6*7)").stdout == "42\n"


def with_number(pid):
    """A process that gets a number which is free."""
    pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    return subprocess.Popen(["sleep", "600"])


def lingering(host):
    """User ids are given out again; who stayed behind must not be their user."""
    image = Hostile(host, "linger").start()
    name, ident, first = image.create()
    ok(image.report("stays"), "a child stays in the sandbox's user namespace")
    ids = status(first, "Uid")[0]
    image.order("strike", 0, first)
    strike = image.report("strike", 1) or {}
    equal([strike.get("kill"), strike.get("prlimit")], ["OK", "OK"],
          "N8 it reaches the sandbox, whose image's it is")
    host.cli("rm", name)
    others = []
    for i in range(4):
        host.cli("create", f"other{i}")
        others.append(found(host, f"other{i}")[1])
    for other in others:
        for uid in (0, 1000):
            image.order("strike", uid, other)
    equal([status(pid, "Uid")[0] for pid in others].count(ids), 0,
          "N10 its ids are no other image's while it lives")
    image.report("strike", 1 + 8)
    strikes = image.reports("strike")[1:]
    equal(len(strikes) >= 8, True, "it strikes at sandboxes of another image")
    equal({s[key] for s in strikes for key in ("kill", "prlimit", "nice")}, {"EPERM"},
          "N8 none of it reaches one")
    again, _, pid = image.create()
    equal(status(pid, "Uid")[0], ids, "N10 a sandbox of the same image gets them again")
    host.cli("rm", again)
    for i in range(4):
        host.cli("rm", f"other{i}")
    return image


def forging(host):
    """Root inside may write another number of its own pid namespace into its
    credentials: unix(7), SCM_CREDENTIALS."""
    image = Hostile(host, "forge").start()
    victim, _, first = image.create()
    before = groups_of(first)
    image.order("forge")
    image.create()
    ok(image.report("forges"), "the word was sent")
    time.sleep(0.5)
    equal(groups_of(first), before, "the process that it names is not moved")
    ok(alive(first) and runs(host, victim), "and its sandbox runs")
    ok(image.condemned, "the zygote is ended")


def elsewhere(host):
    image = Hostile(host, "elsewhere").start()
    name, ident, _ = image.create()
    ok(image.report("moved"), "one of its children is moved")
    ok(image.condemned, "another, outside of the sandbox's limits, is no runner")
    ok(eventually(lambda: not members(image.id)), "all its processes are ended")
    ok(runs(host, name), "a kernel is started without it")
    host.cli("rm", name)


def ghosts(host, behaviour, what):
    """The number of who spoke is another's when it is looked at: made certain here by
    holding kernelhostd up, which is a matter of luck for an attacker."""
    image = Hostile(host, behaviour).start()
    own = groups_of(os.getpid())
    with creating(host, image) as name:
        if behaviour == "ghost_runner":
            ok(image.report("moved"), f"{what}: it said hello")
        time.sleep(0.3)
        os.kill(host.pid, signal.SIGSTOP)
        try:
            image.order("speak")
            gone = image.report("gone")["gone"]
            stranger = with_number(gone)
        finally:
            os.kill(host.pid, signal.SIGCONT)
    equal(stranger.pid, gone, f"{what}: who said it is gone, another has its number")
    ok(stranger.poll() is None, f"{what}: the other is not ended")
    with check(f"{what}: nor moved"):
        assert groups_of(stranger.pid) == own
    ok(runs(host, name), f"{what}: the sandbox runs")
    stranger.kill()
    stranger.wait()
    host.cli("rm", name)


@contextlib.contextmanager
def creating(host, image):
    image.serial += 1
    name = f"{image.name}-{image.serial}"
    process = subprocess.Popen(
        [os.environ["KH_PREFIX"] + "/bin/kernelhost", "create", name, "--image",
         image.name],
        env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield name
    finally:
        process.wait(30)


def staying(host):
    """Moved to the sandbox's groups it belongs to the sandbox, and ends with it, also
    when its first process ends by itself."""
    image = Hostile(host, "stay").start()
    name, ident, first = image.create()
    depth = len(status(host.pid, "NSpid"))
    ok([pid for pid in members(ident) if len(status(pid, "NSpid")) == depth],
       "a process is in the sandbox's groups, and not in the sandbox")
    os.kill(first, signal.SIGKILL)
    ok(eventually(lambda: not members(ident)), "it ends with the sandbox")
    ok(eventually(lambda: not group_directories(ident)), "N11 whose groups are gone")
    with check("which starts again"):
        host.cli("start", name)
        assert runs(host, name)
    host.cli("rm", name)
    equal(group_directories(ident), [], "N11 nothing is left of it")


WORDS = ("wrong", "runner_at_once", "hello_twice", "long", "empty", "text",
         "descriptors", "unasked", "silent", "naked")


def words(host):
    """Each is one sandbox: created all the same, and soon."""
    for word in WORDS:
        with check(f"a zygote that is {word}: its sandbox runs without it"):
            image = Hostile(host, word).start()
            for _ in range(3):
                name, *_ = image.create()
                assert image.reports("said") or image.condemned, "it said nothing"
                assert runs(host, name)
                host.cli("rm", name)
                if image.condemned:
                    break
            assert image.condemned, "the zygote is still believed"
            assert eventually(lambda image=image: not members(image.id)), "it lives"
    ok("\x1b" not in host.log_text(), "its bytes are not in the log as they are")


CLOSED = {"EPERM", "EACCES", "ENOENT", "ENOSYS", "ESRCH", "EAFNOSUPPORT", "EROFS",
          "EPROTONOSUPPORT"}


CROWD = """
import os, time
if os.fork() == 0:
    os.setsid()  # it stays when the kernel goes
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
        except OSError:
            time.sleep(0.001)
"""


def crowding(host):
    """SandboxRoot / Availability: whose kernels cannot come must not keep them from
    other sandboxes of the image."""
    zygote = (host.state / "images/names/default").read_text().strip()
    assert eventually(lambda: f"ready image={zygote}" in host.log_text())
    names = [f"crowd{i}" for i in range(5)]
    for name in names:
        host.cli("create", name, "--pids", "32")
    for name in names:
        with contextlib.suppress(subprocess.TimeoutExpired):
            host.cli("run", name, "-c", CROWD, check=False, timeout=10)
    idents = [found(host, name)[0] for name in names]
    ok(eventually(lambda: min(len(members(i)) for i in idents) > 28), "five are full")
    for name in names:
        path = f"/v1/sandboxes/{name}/kernels/{api.kernel_of(host, name)}/restart"
        with contextlib.suppress(OSError):
            api.call(host, "POST", path, timeout=5)
    ok(eventually(lambda: host.log_text().count("no warm kernel for 'crowd") >= 3),
       "three runners in a row could not come there")
    ok(f"no warm kernels for image id={zygote}" not in host.log_text(),
       "the image has its zygote still")
    for name in names:
        host.cli("rm", name)
    host.cli("create", "roomy")
    frozen = "import gc; print(gc.get_freeze_count() > 0)"
    equal(host.cli("run", "roomy", "-c", frozen).stdout, "True\n",
          "and other sandboxes warm kernels")
    host.cli("rm", "roomy")


def looking(host):
    image = Hostile(host, "look").start()
    host.cli("create", "box")
    _, box = found(host, "box")
    children = pathlib.Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text()
    gateway = next(int(pid) for pid in children.split()
                   if "gate" in pathlib.Path(f"/proc/{pid}/comm").read_text())
    image.order("look", host.pid, gateway, box)
    image.report("look", 4)
    for fact in image.reports("look"):
        results = fact["results"]
        if fact["look"] == "alone":
            equal(results.pop("processes"), "1", "N8 alone: it sees itself only")
            equal(results.pop("network"), "lo", "alone: it has no network")
            equal(results.pop("descriptors"), "0,1,100,2,3",
                  "F2 alone: it has no descriptor but its own")
        equal({k: v for k, v in results.items() if v not in CLOSED}, {},
              f"N8 {fact['look']}: {len(results)} doors are closed")
    equal(len(image.reports("look")), 4, "all were tried")
    host.cli("rm", "box")


def flooding(host):
    image = Hostile(host, "flood").start()
    done_ = image.report("processes")
    ok(done_ and done_["processes"] < 64, "A2 its processes are limited")
    ok(done_ and done_["disk"] <= 64 << 20, "A2 its disk is limited")
    host.cli("create", "beside")
    ok(runs(host, "beside"), "another image's sandbox runs beside it")
    host.cli("rm", "beside")


def left_over(host):
    """After all that, when the host stops."""
    host.stop()
    rest = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and "/kernelhost/" in (
                    entry / "cgroup").read_text():
                rest.append((entry.name, (entry / "comm").read_text()))
    equal(rest, [], "N11 no process is left")


def ghost_hello(host):
    ghosts(host, "ghost", "a hello")


def ghost_runner(host):
    ghosts(host, "ghost_runner", "a runner")


PARTS = (crowding, lingering, forging, elsewhere, ghost_hello, ghost_runner, staying,
         words, looking, flooding)


def main():
    with make_host() as host:
        for part in PARTS:
            with check(f"{part.__name__}: it came to its end"):
                part(host)
        left_over(host)


main()
done()
