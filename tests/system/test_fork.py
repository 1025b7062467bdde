#!/usr/bin/env python3
"""Forks: sandboxes with the files that another has now, which go their own ways."""

import threading

import api
from host import Host
from snapshots import MAKE, each, look, run, same, snapshots
from tap import done, equal, ok


def fork(host):
    host.cli("create", "origin")
    host.cli("exec", "origin", "--", "python3", "-", input=MAKE)
    run(host, "origin", "x = 1; open('/workspace/who', 'w').write('origin')")
    ladder = host.json("idle", "origin", "--freeze-after", "1h", "--hibernate-after",
                       "never")
    names = [f"fork-{n}" for n in range(4)]
    equal(host.cli("fork", "origin", *names).stdout.split(), names,
          "four forks are made")
    want = look(host, "origin", "/tmp", "/workspace")
    for name in names:
        same(look(host, name, "/tmp", "/workspace"), want, f"{name} has everything")
    equal([host.json("idle", name) for name in names], [ladder] * 4,
          "and sleeps by itself when the origin does")
    threads = [threading.Thread(target=run, args=(
        host, name, f"open('/workspace/who', 'w').write('{name}'); import os\n"
        f"os.unlink('/workspace/random'); open('/workspace/{name}', 'w')"))
        for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = ("import os; print(open('/workspace/who').read(), "
            "*sorted(os.listdir('/workspace')))")
    for name in names:
        got = run(host, name, read).split()
        ok(got[0] == name and [n for n in names if n in got[1:]] == [name] and
           "random" not in got, f"{name} went its own way")
        equal(host.cli("exec", name, "--", "hostname").stdout, f"{name}\n",
              "under its own name")
    same(look(host, "origin", "/tmp", "/workspace"), want, "the origin is as it was")
    equal(run(host, "origin", "print(x)"), "1\n", "with its kernel")
    draw = "import random, uuid; print(random.random(), uuid.uuid4())"
    drawn = {run(host, name, draw) for name in names}
    equal(len(drawn), 4, "random numbers differ")
    equal(len({host.json("show", n)["id"] for n in [*names, "origin"]}), 5, "so do ids")
    result = host.cli("fork", "origin", "fork-9", "fork-0", "fork-9", check=False)
    ok(result.stdout == "fork-9\n" and result.returncode == 4 and
       result.stderr.count("already") == 2,
       f"each child has its own answer: {result.stderr.strip()}")
    code, answer = api.call(host, "POST", "/v1/sandboxes/origin/fork",
                            {"names": ["Bad", "launch-0123456789abcdef", "x" * 90,
                                       "good"]})
    equal((code, [("error" in f, "sandbox" in f) for f in answer["forks"]]),
          (200, [(True, False)] * 3 + [(False, True)]), "wrong names spoil no others")
    code, answer = api.call(host, "POST", "/v1/sandboxes/origin/fork", {"count": 3})
    ok(code == 200 and len({f["sandbox"]["name"] for f in answer["forks"]}) == 3,
       "without names, names are made")
    host.cli("stop", "origin")
    host.cli("fork", "origin", "of-stopped")
    same(look(host, "of-stopped", "/tmp", "/workspace"), want,
         "a stopped one is forked")
    equal(host.json("idle", "of-stopped"), ladder, "its ladder comes along, too")
    equal(host.json("show", "origin")["state"], "stopped", "and stays stopped")
    equal(snapshots(host), [], "no snapshot is left")
    equal(len(host.disks()), len(host.json("ls")), "nor a disk")


with Host() as private:
    each(private, fork)
done()
