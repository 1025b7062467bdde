#!/usr/bin/env python3
"""kernelhostd dies, or something fails, at every named point of sleep, of waking and of
going back to a snapshot."""

import os
import time

import session
from faults import Faulty, points
from outlive import settled, states
from tap import done, equal, note, ok

CODE = "n = globals().get('n', 0) + 1; n"
POINTS = points("(?!snapshot|rollback)")  # test_snapshot_kill.py comes to the former
BACK = points("rollback-")
COMMITTED = ("rollback-recorded", "rollback-dropped")  # what follows cannot fail
ERRORS = ("ENOSPC", "EIO", "EMFILE")


def count(host, name):
    return int(session.run(host, name, CODE))


def leads_there(host, point, attempt):
    """Does what comes to the point; what it says is judged by who calls."""
    if point.startswith("wake"):
        return attempt("wake", "box")
    return patiently(attempt, "sleep", "box")


def patiently(attempt, *args):
    """A new gateway looks at what the last one had under way first, 2 s at most."""
    for _ in range(50):
        got = attempt(*args)
        if "a cell runs" not in got.stderr:
            break
        time.sleep(0.1)
    return got


def killed(host, point, counted):
    """It dies there; the next host finds the sandbox with all it had."""
    if point.startswith("wake"):
        host.cli("sleep", "box")
    host.begin(f"{point}=kill")
    got = leads_there(host, point, lambda *a: host.cli(*a, check=False, timeout=20))
    died = host.process.poll() is not None
    in_child = "writing" in point or "sync" in point  # which dies, and that is told
    if not ok(got.returncode != 0 if in_child else died, f"{point}: it died there"):
        note(got.stdout + got.stderr + host.log_text()[-1500:])
    host.begin("")
    equal(count(host, "box"), counted + 1, f"{point}: killed there, nothing is lost")
    host.cli("sleep", "box")
    equal(count(host, "box"), counted + 2, f"{point}: and it sleeps and wakes again")
    return counted + 2


def failed(host, point, error, counted):
    """It fails there; the sandbox is as it was, and recovers."""
    if point.startswith("wake"):
        host.cli("sleep", "box")
    host.begin(f"{point}={error}")
    got = leads_there(host, point, lambda *a: host.cli(*a, check=False, timeout=60))
    ok(
        got.returncode not in (0, 99) and got.stderr.startswith("kernelhost: "),
        f"{point} {error}: {got.stderr.strip()[:150]}",
    )
    want = ("hibernated",) if point.startswith("wake") else ("frozen", "running")
    ok(states(host)["box"] in want, f"{point} {error}: it is {states(host)['box']}")
    if not point.startswith("wake"):
        equal(count(host, "box"), counted + 1, f"{point} {error}: it goes on")
        counted += 1
    shown = host.json("show", "box")
    if point.startswith("wake"):
        ok(shown.get("problem"), f"problem: {shown.get('problem')}")
    host.begin("")
    equal(
        count(host, "box"), counted + 1, f"{point} {error}: without the cause it works"
    )
    return counted + 1


def whole(host):
    """No disk and no memory but of the sandbox and of its snapshots."""
    snapshots = {s["id"] for s in host.json("snapshot", "ls")}
    return len(set(host.disks()) - snapshots), len(os.listdir(host.state / "memory"))


def back(host, point, fault, state, snapshot):
    """At that point of a rollback: it is as it was, or as the snapshot, and whole."""
    text = f"{point} {fault}, {state}, {snapshot}"
    session.run(host, "box", "n = 100; open('/workspace/n', 'w').write('later')")
    host.cli(*{"running": ("wake",), "hibernated": ("sleep",),
               "stopped": ("stop",)}[state], "box")
    host.begin(f"{point}={fault}")
    got = patiently(lambda *a: host.cli(*a, check=False, timeout=60),
                    "rollback", "box", snapshot)
    died = host.process.poll() is not None
    ok(got.returncode != 0 and died == (fault == "kill"),
       f"{text}: {got.returncode} {got.stderr.strip()[:150]}")
    host.begin("")
    n = {"point": "1", "files": "None"} if point in COMMITTED else {
        "running": "100", "hibernated": "100", "stopped": "None"}
    want = n[snapshot if point in COMMITTED else state]
    file = "early" if point in COMMITTED else "later"
    equal(whole(host)[0], 1, f"{text}: there is one disk")
    equal(session.run(host, "box", "globals().get('n'), open('/workspace/n').read()"),
          f"({want}, '{file}')\n", f"{text}: it is whole, as it shall be")
    equal(whole(host), (1, 0), f"{text}: nothing is left over")
    got = patiently(lambda *a: host.cli(*a, check=False), "rollback", "box", "point")
    equal(got.returncode, 0, f"{text}: and it can be rolled back {got.stderr}")
    equal(session.run(host, "box", "n, open('/workspace/n').read()"),
          "(1, 'early')\n", f"{text}: to the whole of that")


def not_woken(host):
    """It is rolled back, and cannot come back: that is told, and can be mended."""
    session.run(host, "box", "n = 100; open('/workspace/n', 'w').write('later')")
    host.begin("wake-ready=EIO")
    got = patiently(lambda *a: host.cli(*a, check=False), "rollback", "box", "point")
    ok(got.returncode == 1 and "is rolled back, but does not run" in got.stderr,
       f"criu fails: {got.stderr.strip()[:200]}")
    equal(states(host)["box"], "hibernated", "it is hibernated")
    ok(host.json("show", "box").get("problem"), "and show tells why")
    host.begin("")
    equal(session.run(host, "box", "n, open('/workspace/n').read()"),
          "(1, 'early')\n", "without the cause it wakes")


def rollbacks():
    note(" ".join(BACK))
    ok(len(BACK) >= 5, f"{len(BACK)} points")
    with Faulty("b", wait=False, preload="none") as host:
        host.cli("create", "box")
        session.run(host, "box", "n = 1; open('/workspace/n', 'w').write('early')")
        host.cli("snapshot", "box", "point", "--memory")
        host.cli("snapshot", "box", "files")
        cases = [(p, f) for p in BACK for f in ("kill", *ERRORS)
                 if f == "kill" or p not in COMMITTED]
        for number, (point, fault) in enumerate(cases):
            states = ("running", "hibernated", "stopped")
            back(host, point, fault, states[number % 3], "point")
            if fault == "kill":
                back(host, point, fault, "running", "files")
        not_woken(host)
        host.cli("rm", "box")
        host.cli("snapshot", "rm", "point", "files")
        ok(settled(host, {}), "nothing is left over")
        equal((host.disks(), os.listdir(host.state / "memory")), ([], []),
              "no disk and no memory")


def main():
    rollbacks()
    note(" ".join(POINTS))
    ok(len(POINTS) >= 12, f"{len(POINTS)} points")
    with Faulty(wait=False, preload="none") as host:
        host.cli("create", "box")
        counted = count(host, "box")
        for point in POINTS:
            counted = killed(host, point, counted)
        for number, point in enumerate(POINTS):
            if point in ("hibernate-recorded", "wake-recorded", "wake-dropped"):
                continue  # what follows cannot fail
            counted = failed(host, point, ERRORS[number % len(ERRORS)], counted)
        host.cli("rm", "box")
        ok(settled(host, {}), "nothing is left over")
        equal(os.listdir(host.state / "memory"), [], "no memory is left over")
    done()


main()
