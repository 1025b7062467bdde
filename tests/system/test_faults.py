#!/usr/bin/env python3
"""kernelhostd dies, or something fails, at every named point of sleep and waking."""

import os
import time

import session
from faults import Faulty, points
from outlive import settled, states
from tap import done, equal, note, ok

CODE = "n = globals().get('n', 0) + 1; n"
POINTS = points("(?!snapshot)")  # test_snapshot_kill.py comes to those
ERRORS = ("ENOSPC", "EIO", "EMFILE")


def count(host, name):
    return int(session.run(host, name, CODE))


def leads_there(host, point, attempt):
    """Does what comes to the point; what it says is judged by who calls."""
    if point.startswith("wake"):
        return attempt("wake", "box")
    # A new gateway looks at what the last one had under way first, 2 s at most.
    for _ in range(50):
        got = attempt("sleep", "box")
        if got.returncode != 4:
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


def main():
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
