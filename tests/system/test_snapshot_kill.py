#!/usr/bin/env python3
"""kernelhostd is killed while it takes snapshots and forks, and finds damaged records:
what was acknowledged is there and whole, and nothing is left over."""

import subprocess
import time

from faults import Faulty, points
from snapshots import each, run, snapshots
from tap import done, equal, ok


def killed(host, rounds=30):
    """kernelhostd dies in the middle: a snapshot is whole or not there, what was
    acknowledged is there, the sandbox goes on, and nothing is left over."""
    host.cli("create", "box")
    digest = ("--", "sha256sum", "/workspace/x")
    host.cli("exec", "box", "--", "sh", "-c",
             "head -c 3000000 /dev/urandom >/workspace/x")
    want = host.cli("exec", "box", *digest).stdout
    run(host, "box", "kept = 'variable'")
    begun = time.monotonic()
    host.cli("snapshot", "box", "first")
    pause = 2 * (time.monotonic() - begun) / rounds
    acknowledged, whole, wrong_ones = ["first"], 0, []
    for n in range(rounds):
        host.cli("exec", "box", "--", "sh", "-c",
                 "head -c 2000000 /dev/urandom >/workspace/dirty")
        pending = subprocess.Popen(
            host.command("snapshot", "box", f"snap-{n}") if n % 3 else
            host.command("fork", "box", f"fork-{n}-a", f"fork-{n}-b"),
            env=host.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        time.sleep(pause * n)  # from the begin to some time after the end
        host.process.kill()
        host.process.wait()
        host.process = None
        acknowledged += pending.communicate()[0].split()
        host.start()
        known = {"box", *snapshots(host), *host.cli("ls", "-q").stdout.split()}
        missing = [name for name in acknowledged if name not in known]
        ids = ({s["id"] for s in host.json("snapshot", "ls")} |
               {s["id"] for s in host.json("ls")})
        if missing or set(host.disks()) != ids or {
                p.name for p in (host.state / "snapshots").iterdir()} != {
                s["id"] for s in host.json("snapshot", "ls")}:
            wrong_ones.append((n, missing, set(host.disks()) ^ ids))
        if host.json("show", "box")["state"] != "running":
            wrong_ones.append((n, "it stands still"))
        if run(host, "box", "print(kept)") != "variable\n":
            wrong_ones.append((n, "the kernel is another"))
    equal(wrong_ones, [], f"{rounds} times: nothing lost, nothing left over")
    for name in snapshots(host):
        host.cli("create", "probe", "--from", name)
        whole += host.cli("exec", "probe", *digest).stdout == want
        host.cli("rm", "probe")
    equal(whole, len(snapshots(host)), f"all {whole} that are there are whole")
    ok(1 < len(acknowledged) < rounds,
       f"some came to their end, {len(acknowledged)}, and some did not")


POINTS = points("snapshot-")


def leads_there(host, point, number):
    """Does what comes to the point. Returns what the command said."""
    if point == "snapshot-removed":
        return host.cli("snapshot", "rm", "old", check=False)
    if point == "snapshot-cloned":
        return host.cli("create", f"of-{number}", "--from", "old", check=False)
    return host.cli("snapshot", "box", f"new-{number}", check=False)


def faults(host):
    """At every named point: kernelhostd dies, or something fails."""
    host.cli("create", "box")
    run(host, "box", "kept = 'variable'")
    host.cli("snapshot", "box", "old")
    ok(len(POINTS) >= 7, f"{len(POINTS)} points: {' '.join(POINTS)}")
    cases = [(p, f) for p in POINTS for f in ("kill", "ENOSPC", "EIO", "EMFILE")
             # What follows those cannot fail.
             if f == "kill" or p not in ("snapshot-recorded", "snapshot-removed")]
    for number, (point, fault) in enumerate(cases):
        host.begin(f"{point}={fault}")
        got = leads_there(host, point, number)
        status = got.returncode
        # The fault of a child ends the child.
        died = fault == "kill" and point != "snapshot-copying"
        ok(status != 0 and (died or got.stderr.count("\n") == 1),
           f"{point} {fault}: {status} {got.stderr.strip()[:200]}")
        if fault == "ENOSPC":
            ok("full" in got.stderr or "space" in got.stderr, f"{point}: it says why")
        if died:
            host.process.wait(10)
        host.begin("")
        want = {s["id"] for s in host.json("snapshot", "ls") + host.json("ls")}
        equal(set(host.disks()), want, f"{point} {fault}: nothing is left over")
        there = {*snapshots(host), *host.cli("ls", "-q").stdout.split()}
        made = {"snapshot-removed": "old", "snapshot-cloned": f"of-{number}"}
        whole = point == "snapshot-recorded"
        equal(made.get(point, f"new-{number}") in there, whole,
              f"{point} {fault}: it is {'whole' if whole else 'not there'}")
        equal(host.json("show", "box")["state"], "running", "the sandbox goes on")
        equal(run(host, "box", "print(kept)"), "variable\n", "as it was")
        if "old" not in snapshots(host):
            host.cli("snapshot", "box", "old")


def damaged(host):
    host.cli("create", "box")
    run(host, "box", "open('/workspace/x', 'w').write('kept')")
    host.cli("snapshot", "box", "snap")
    ident = host.json("snapshot", "show", "snap")["id"]
    record = host.state / "snapshots" / ident / "record"
    good = record.read_bytes()
    host.kill()
    record.write_bytes(good[:100] + b"x" + good[101:])
    host.start()
    equal(snapshots(host), [], "a damaged record is no snapshot")
    ok(f"set aside id={ident}" in host.log_text(), "which the log tells")
    host.kill()
    host.start()
    host.kill()
    (host.state / "damaged" / f"{ident}.snapshot").unlink()
    record.write_bytes(good)
    host.start()
    equal(snapshots(host), ["snap"], "with a good copy it is back")
    host.cli("create", "child", "--from", "snap")
    equal(run(host, "child", "print(open('/workspace/x').read())"), "kept\n",
          "and whole")


with Faulty() as private:
    each(private, killed, faults, damaged)
done()
