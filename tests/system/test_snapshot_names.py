#!/usr/bin/env python3
"""Snapshots by name: how they are listed, when they expire, how many there may be, and
what is refused."""

import time

import api
from host import Host
from snapshots import each, run, snapshots
from tap import check, done, equal, ok


WRONG = [  # arguments, status, a word of the answer
    ("snapshot nosuch", 3, "nosuch"),
    ("snapshot Bad", 2, "lower-case"),
    ("snapshot box Bad_Name", 2, "lower-case"),
    (f"snapshot box {'x' * 57}", 2, "hint"),
    ("snapshot box ../../etc", 2, "hint"),
    ("snapshot box ~temp", 2, "hint"),
    ("snapshot box taken", 4, "taken"),
    ("snapshot box a b", 2, "'b'"),
    ("snapshot box new --expires", 2, "--expires"),
    ("snapshot box new --expires soon", 2, "--expires"),
    ("snapshot box new --expires 0s", 2, "between"),
    ("snapshot box new --expires -1h", 2, "hint"),
    ("snapshot box new --expires 1y", 2, "hint"),
    ("snapshot box new --expires 9999d", 2, "ten years"),
    ("snapshot box new --expires 99999999999999999999d", 2, "--expires"),
    ("snapshot show nosuch", 3, "snapshot ls"),
    ("snapshot rm nosuch", 3, "nosuch"),
    ("snapshot show ../x", 2, "lower-case"),
    ("snapshot ls Bad", 2, "lower-case"),
    ("snapshot", 2, "usage"),
    ("create new --from nosuch", 3, "nosuch"),
    ("create new --from ../../x", 2, "from"),
    ("create new --from taken --image default", 2, "not both"),
    ("create box --from taken", 4, "box"),
    ("create new --from taken --disk 16M", 2, "holds"),
    ("fork nosuch new", 3, "nosuch"),
    ("fork box", 2, "missing"),
    ("fork box Bad", 2, "lower-case"),
]


def wrong(host):
    host.cli("create", "box")
    run(host, "box", "open('/workspace/x', 'wb').write(bytes(30 << 20))")
    host.cli("snapshot", "box", "taken")
    before = host.disks()
    for words, status, answer in WRONG:
        result = host.cli(*words.split(), check=False)
        line = result.stderr.strip()
        ok(result.returncode == status and answer in line and "\n" not in line,
           f"{words}: {result.returncode} {line}")
    for status, body, word in (
            (400, {"memory": 1}, "memory"),
            (400, {"expires": 1.5}, "expires"), (400, {"expires": -1}, "expires"),
            (400, {"expires": "1h"}, "expires"), (400, {"expires": 1 << 40}, "expires"),
            (400, {"name": 5}, "name"), (400, {"name": "~a"}, "name")):
        code, answer = api.call(host, "POST", "/v1/sandboxes/box/snapshots", body)
        ok(code == status and word in answer["message"], f"{body}: {code} {answer}")
    for body in ({}, {"count": 0}, {"count": 101}, {"names": []}, {"names": "x"},
                 {"names": [1]}, {"names": ["a"], "count": 1}, {"count": 1.5}):
        code, answer = api.call(host, "POST", "/v1/sandboxes/box/fork", body)
        equal((code, answer["code"]), (400, "invalid"), f"fork with {body} is refused")
    begun = len(host.log_text())
    names = ["Bad", "a" + "\u00e9" * 40, "\U0001f600" * 30, "x" * 57]
    code, answer = api.call(host, "POST", "/v1/sandboxes/box/fork", {"names": names})
    equal((code, [(f["name"], f["error"]["code"]) for f in answer["forks"]]),
          (200, [("Bad", "invalid"), ("a" + "\u00e9" * 27, "invalid"),
                 ("\U0001f600" * 14, "invalid"), ("x" * 56, "invalid")]),
          "each name that is none is told back, as far as it is a text")
    ok("snapshot taken" not in host.log_text()[begun:],
       "and the sandbox does not stand still for it")
    equal(api.call(host, "GET", "/v1/snapshots?sandbox=..%2Fx")[0], 400,
          "a filter that is no name is refused")
    equal(host.disks(), before, "and nothing is half made")
    equal(run(host, "box", "import os; print(os.path.getsize('/workspace/x'))"),
          f"{30 << 20}\n", "the sandbox is as it was")


def listing(host):
    """Names that a command could be, and which are listed where."""
    host.cli("create", "ls")
    host.cli("create", "other")
    equal(host.cli("snapshot", "--", "ls", "one").stdout, "one\n",
          "a sandbox may be called ls")
    name = host.cli("snapshot", "other").stdout.strip()
    ok(name.startswith("snap-"), f"a name is made: {name}")
    equal(snapshots(host), ["one", name], "all are listed, in their order")
    equal(host.cli("snapshot", "ls", "ls", "-q").stdout, "one\n",
          "or those of one sandbox")
    equal(host.cli("snapshot", "ls", "nosuch", "-q").stdout, "", "or none")
    lines = host.cli("snapshot", "ls").stdout.splitlines()
    equal((lines[0].split()[:3], lines[1].split()[:3]),
          (["NAME", "SANDBOX", "IMAGE"], ["one", "ls", "default"]), "as a table")
    equal([s["name"] for s in host.json("snapshot", "ls")], ["one", name],
          "and as JSON")
    ok("size" in host.cli("snapshot", "show", "one").stdout, "one is shown for people")


def expiry(host):
    host.cli("create", "box")
    host.cli("snapshot", "box", "soon", "--expires", "20s")
    host.cli("snapshot", "box", "later", "--expires", "1h")
    host.cli("snapshot", "box", "while-away", "--expires", "28s")
    ok(host.json("snapshot", "show", "later")["expires"] >
       host.json("snapshot", "show", "later")["created"], "an expiry is shown")
    equal(len(host.disks()), 4, "the disks are there")
    for _ in range(300):
        if "soon" not in snapshots(host):
            break
        time.sleep(0.1)
    ok("soon" not in snapshots(host), "it goes by itself")
    equal(host.cli("create", "x", "--from", "soon", check=False).returncode, 3,
          "nothing can be made from it")
    ok("while-away" in snapshots(host), "the other's time has not come")
    host.kill()
    time.sleep(9)
    host.start()
    equal(snapshots(host), ["later"], "also when its time comes while no host runs")
    equal(len(host.disks()), 2, "and what it held is gone from the disk")


def bounded():
    """As many as the operator wants."""
    with Host("few", options=("--max-snapshots", "2")) as host:
        host.cli("create", "box")
        host.cli("snapshot", "box", "one")
        host.cli("snapshot", "box", "two")
        result = host.cli("snapshot", "box", "three", check=False)
        ok(result.returncode == 1 and "2 snapshots" in result.stderr and
           "snapshot rm" in result.stderr,
           f"no more than that: {result.stderr.strip()}")
        equal(host.cli("fork", "box", "child", check=False).returncode, 1,
              "a fork needs one, too")
        host.cli("snapshot", "rm", "one")
        host.cli("snapshot", "box", "three")
        equal(snapshots(host), ["two", "three"], "there is room when one is gone")


with Host() as private:
    each(private, wrong, listing, expiry)
with check("bounded"):
    bounded()
done()
