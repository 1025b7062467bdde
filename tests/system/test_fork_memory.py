#!/usr/bin/env python3
"""Snapshots and forks with memory: sandboxes that begin in the middle of a session."""

import json
import os
import threading

import session
from api import call
from host import Host
from outlive import settled, states
from tap import done, equal, note, ok

DRAW = """
import secrets, ssl, tempfile
print(json.dumps([random.random(), np.random.random(), str(uuid.uuid4()),
                  secrets.token_hex(8),
                  os.urandom(8).hex(), ssl.RAND_bytes(8).hex(), tempfile.mktemp()]))
"""

GROW = """
for i in range(50):
    frame.loc[len(frame)] = [{number}, i]
    with open("/workspace/own", "a") as file:
        print({number}, i, file=file)
half.write("of {number}"); half.flush()
print(len(frame), frame.a[5000:].sum(), open("/workspace/half").read(),
      sum(1 for _ in open("/workspace/own")))
"""


def forked(host):
    looks, first = session.begin(host, "old")
    session.run(
        host, "old", "import secrets, ssl, tempfile; ssl.RAND_bytes(8); random.random()"
    )
    names = [f"new{i}" for i in range(4)]
    printed = host.cli("fork", "old", *names).stdout.split()
    equal(printed, names, "four forks of a session that runs")
    ok(all(states(host)[n] == "running" for n in ["old", *names]), "all of them run")
    seen = {}
    for name in ["old", *names]:
        count, now = session.look(host, name)
        equal(
            {**now, "host": 0}, {**first, "host": 0}, f"{name}: everything came along"
        )
        equal(
            (count, now["host"]), (looks + 1, name), f"{name}: under a name of its own"
        )
        seen[name] = json.loads(session.run(host, name, DRAW))
    draws = [x for row in seen.values() for x in row]
    equal(
        len(set(draws)),
        len(draws),
        "random numbers, UUIDs, keys and names of files differ",
    )
    ids = [i for n in ["old", *names] for i in session.kernel_ids(host, n)]
    ok(len(ids) == 10 and len(set(ids)) == 10, "each has two kernels of its own")
    equal(
        [
            host.cli("exec", n, "--", "cat", "/etc/hostname").stdout.strip()
            for n in names
        ],
        names,
        "and a host name",
    )
    for name in names:
        session.moves(host, name, name)
    diverge(host, ["old", *names])
    equal({s["state"] for s in host.json("ls")}, {"running"}, "all go on")
    client = host.client("new0")
    reply = client.execute_interactive("n_client = 1", timeout=30)
    equal(reply["content"]["status"], "ok", "a Jupyter client attaches to a fork")
    client.stop_channels()
    host.cli("sleep", "new0")
    ok(session.run(host, "new0", "n_client") == "1\n", "a fork sleeps and wakes")
    host.cli("fork", "new0", "newer")
    ok(session.run(host, "newer", "n_client") == "1\n", "and is forked itself")
    host.cli("rm", *names, "newer")


def diverge(host, names):
    """At the same time."""
    out = {}

    def grow(number, name):
        out[name] = session.run(host, name, GROW.format(number=number)).split()

    threads = [threading.Thread(target=grow, args=x) for x in enumerate(names, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, name in enumerate(names, 1):
        equal(
            out.get(name),
            ["5050", str(50 * number), "first", "half,", "of", str(number), "50"],
            f"{name} touched nothing but its own",
        )


def snapshots(host):
    session.run(host, "old", "mark = 'kept'")
    shown = host.json("snapshot", "old", "point", "--memory")
    equal((shown["name"], shown["memory"]), ("point", True), "a snapshot with memory")
    equal(
        session.run(host, "old", "mark = 'changed'; mark"),
        "'changed'\n",
        "the sandbox goes on",
    )
    saved = host.json("snapshot", "show", "point")["saved"]
    ok(saved > 10 << 20, f"its processes take {saved >> 20} MiB on the disk")
    host.cli("create", "again", "--from", "point")
    equal(
        session.run(host, "again", "mark"), "'kept'\n", "a new one begins at that point"
    )
    session.moves(host, "again", "again")
    host.kill()
    host.start()
    host.cli("create", "third", "--from", "point")
    equal(
        session.run(host, "third", "mark, count > 0"),
        "('kept', True)\n",
        "also after a restart of the host",
    )
    host.stop()
    host.start()
    host.cli("rm", "old")
    host.cli("create", "fourth", "--from", "point", "--memory", "2G")
    equal(
        session.run(host, "fourth", "mark"), "'kept'\n", "also when the old one is gone"
    )
    equal(
        host.json("show", "fourth")["limits"]["memory"],
        2 << 30,
        "with limits of its own",
    )
    host.cli("sleep", "fourth")
    host.json("snapshot", "fourth", "asleep", "--memory")
    equal(states(host)["fourth"], "hibernated", "one that sleeps is snapshotted asleep")
    host.cli("create", "fifth", "--from", "asleep")
    equal(
        session.run(host, "fifth", "mark"),
        "'kept'\n",
        "and what is made of it is awake",
    )
    host.cli("snapshot", "rm", "point")
    equal(session.run(host, "fourth", "mark"), "'kept'\n", "it outlives the snapshot")


def refused(host):
    host.cli("stop", "third")
    got = host.cli("snapshot", "third", "none", "--memory", check=False)
    ok(got.returncode == 4 and "stopped" in got.stderr, got.stderr.strip())
    host.cli("fork", "third", "cold")
    ok(states(host)["cold"] == "running", "a stopped one is forked without memory")
    got = session.run(
        host,
        "fifth",
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1,)).start()",
    )
    got = call(
        host, "POST", "/v1/sandboxes/fifth/fork", {"names": ["x1", "fifth", "Bad"]}
    )
    names = {f["name"]: f.get("error", {}).get("code") for f in got[1]["forks"]}
    equal(
        names,
        {"x1": None, "fifth": "exists", "Bad": "invalid"},
        "each child tells how it went",
    )
    host.cli("fork", "fifth", "onlyfiles", "--files")
    ok(
        "NameError" in host.cli("run", "onlyfiles", "-c", "mark", check=False).stderr,
        "--files: no variable comes along",
    )


def main():
    with Host() as host:
        forked(host)
        snapshots(host)
        refused(host)
        host.cli("rm", *states(host))
        host.cli("snapshot", "rm", "asleep")
        ok(settled(host, {}), "nothing is left over")
        for place in ("memory", "snapshots"):
            equal(os.listdir(host.state / place), [], f"nothing in {place}/")
        note(host.log_text()[-300:])
    done()


main()
