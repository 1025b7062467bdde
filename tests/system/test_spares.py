#!/usr/bin/env python3
"""Spares: sandboxes made ahead, which a create only names. Nobody sees them before,
nothing of them is left after, and one that was claimed is a sandbox like any other."""

import concurrent.futures
import contextlib
import os
import pathlib

from host import Host
from tap import check, done, equal, eventually, ok, parts

COUNT = 3


def directories(host):
    return {p.name for p in (host.state / "sandboxes").iterdir()}


def records(host):
    return {p.parent.name for p in (host.state / "sandboxes").glob("*/record")}


def spares(host):
    return directories(host) - records(host)


def inits(host):
    """First processes of sandboxes, children of kernelhostd."""
    found = {}
    children = pathlib.Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text()
    for pid in children.split():
        with contextlib.suppress(OSError, IndexError):
            name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            uid = pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()[1]
            if name.startswith(b"kernelhost-") and uid != "0":
                found[int(pid)] = uid
    return found


def full(host):
    return eventually(lambda: len(spares(host)) == COUNT and len(inits(host)) >= COUNT)


def claimed(host):
    ok(full(host), f"{COUNT} spares are made")
    equal(host.json("ls"), [], "nobody sees them")
    before = spares(host)
    host.cli("create", "first")
    now = host.json("show", "first")
    ok(now["id"] in before, "a create takes one")
    equal(now["name"], "first", "it has the name")
    for command in (["hostname"], ["cat", "/etc/hostname"]):
        equal(host.cli("exec", "first", "--", *command).stdout, "first\n",
              f"{command[0]} inside says so, too")
    hosts = host.cli("exec", "first", "--", "cat", "/etc/hosts").stdout
    ok("127.0.0.1\tfirst\n" in hosts and "~" not in hosts, "and /etc/hosts")
    code = "import gc, socket; print(socket.gethostname(), gc.get_freeze_count() > 0)"
    equal(host.cli("run", "first", "-c", code).stdout, "first True\n",
          "its kernel waited in it")
    ok(full(host), "another one is made in its place")
    host.cli("create", "large", "--memory", "300M")
    ok(host.json("show", "large")["id"] not in before, "other limits take none")
    memory = host.cli("exec", "large", "--", "grep", "MemTotal", "/proc/meminfo").stdout
    equal(int(memory.split()[1]), 300 * 1024, "and are right inside")
    with check("a name that is taken is refused, and no spare is lost"):
        assert host.cli("create", "first", check=False).returncode != 0
        assert full(host)


def lives_on(host):
    """Stop, start, restart of kernelhostd, removal."""
    host.cli("run", "first", "-c", "x = 7")
    host.cli("exec", "first", "--", "sh", "-c", "echo kept > /workspace/f")
    host.kill()
    host.start()
    equal(host.cli("run", "first", "-c", "print(x)").stdout, "7\n",
          "after kernelhostd was killed its variables are there")
    equal(sorted(s["name"] for s in host.json("ls")), ["first", "large"],
          "and the spares are nobody's")
    ok(eventually(lambda: len(inits(host)) == COUNT), "they were ended, and made anew")
    host.cli("stop", "first")
    host.cli("start", "first")
    equal(host.cli("exec", "first", "--", "sh", "-c", "hostname; cat f").stdout,
          "first\nkept\n", "it stops and starts like any other")
    host.cli("rm", "first", "large")
    ok(eventually(lambda: len(directories(host)) == COUNT), "removed, nothing is left")


def dies(host):
    full(host)
    before = spares(host)
    victim = next(iter(inits(host)))
    os.kill(victim, 9)
    ok(eventually(lambda: spares(host) != before and full(host)),
       "a spare that dies is replaced")
    host.cli("create", "after")
    equal(host.cli("run", "after", "-c", "1 + 1").stdout, "2\n", "and never given out")
    host.cli("rm", "after")


def burst(host):
    """More at once than there are."""
    full(host)
    names = [f"burst-{i}" for i in range(4 * COUNT)]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        def one(name):
            host.cli("create", name)
            return host.cli("run", name, "-c", f"print('{name}')").stdout.strip()
        equal(list(pool.map(one, names)), names,
              "a burst larger than the pool succeeds")
    ids = [s["id"] for s in host.json("ls")]
    equal(len(set(ids)), len(names), "each got one of its own")
    for name in names:
        host.cli("rm", name)


def retagged(host):
    full(host)
    old = spares(host)
    names = host.state / "images/names"
    ident = (names / "default").read_text().strip()
    other = os.urandom(16).hex()
    (host.state / "images/id" / other).write_text(
        (host.state / "images/id" / ident).read_text())
    (names / "default").write_text(other + "\n")
    host.cli("create", "new")
    ok(host.json("show", "new")["id"] not in old,
       "when the name means another image, its spares are not taken")
    ok(eventually(lambda: full(host) and not spares(host) & old, 60),
       "but made anew of that image")
    host.cli("rm", "new")


def main():
    with Host("spares", spares=COUNT) as host:
        parts(host, claimed, lives_on, dies, burst, retagged)
        state = host.state
        status = host.stop()
    equal(status, 0, "the host stops")
    left = [p for p in (state / "sandboxes").iterdir()]
    equal(left, [], "with it the spares, and their disks")
    done()


main()
