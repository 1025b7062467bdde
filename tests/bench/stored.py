#!/usr/bin/env python3
"""Thousands of stopped sandboxes and hundreds of hibernated ones on one host: what
each takes of disk and memory, what they make slower, and whether the hibernated ones
come back as they were. Run by hand, as root, with the environment of tests/run:

    tests/bench/stored.py [STOPPED [HIBERNATED]]

STOPPED sandboxes (10,000) have a file in them and are stopped; HIBERNATED ones (200)
have a kernel with variables and sleep on the disk. Neither may have a process, a mount
or a control group. Then the host is restarted, and some of both kinds are used. The
exit status is 1 if anything failed.
"""

import concurrent.futures
import itertools
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import scale  # noqa: E402
from host import Host  # noqa: E402
from scale import ask, failed  # noqa: E402

WORKERS = 8
CALLS = 20  # of each kind, timed
WOKEN = 20
REST_S = 120
START_S = 600
STOPPED_BYTES, HIBERNATED_BYTES = 64 << 10, 60 << 20  # at most, of the disk
MIB = 1 << 20
PATH = "/v1/sandboxes/"

BEGIN = """
import decimal, hashlib, random, types
numbers = [random.Random({n}).random() for _ in range(1000)]
data = random.Random({n}).randbytes(1 << 20)
table = {{str(i): i * {n} for i in range(1000)}}
money = decimal.Decimal({n}) / 7
class Point(types.SimpleNamespace):
    pass
point = Point(x={n}, next=None); point.next = point
def counter():
    while True:
        yield from range(10**9)
count = counter(); next(count)
open("/workspace/note", "w").write("{n}")
"""

LOOK = """
_h = hashlib.sha256(data)
_h.update(repr((numbers, table, money, point.x, point.next is point,
                open("/workspace/note").read())).encode())
_h.hexdigest(), next(count)
"""


def run(host, name, code):
    """The value of the code's last expression, as text."""
    status, lines = ask(host, "POST", f"{PATH}{name}/run", {"code": code})
    bad = [m for m in lines if m.get("header", {}).get("msg_type") == "error"]
    if status != 200 or bad:
        failed(f"{name}: {status} {(bad or lines)[-1:]}")
    return scale.value_of(lines)


def must(host, method, path, body=None, wanted=(200, 201, 204)):
    """A request that has to succeed; the seconds that it took, and the answer."""
    begun = time.perf_counter()
    status, lines = ask(host, method, path, body)
    took = time.perf_counter() - begun
    if status not in wanted:
        failed(f"{method} {path}: {status} {lines}")
    return took, lines[0] if lines else None


# ---- what is there ----


def processes(host):
    """Those of sandboxes, by the sandbox's id."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            groups = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            continue
        for part in groups.replace("\n", "/").split("/"):
            if len(part) == 32 and (host.state / "sandboxes" / part).exists():
                found.setdefault(part, []).append(int(pid))
                break
    return found


def surroundings(host):
    """What sandboxes have beside disk: processes, mounts (kernelhostd sees all of
    them), control groups."""
    mounts = pathlib.Path(f"/proc/{host.pid}/mountinfo").read_text().count("\n")
    groups = [
        path
        for path, _, _ in os.walk("/sys/fs/cgroup")
        if (host.state / "sandboxes" / os.path.basename(path)).exists()
    ]
    return {
        "processes of sandboxes": sum(map(len, processes(host).values())),
        "mounts": mounts,
        "control groups of sandboxes": len(groups),
    }


def blocks(path):
    """Bytes of the files below, as the disk has them."""
    done = subprocess.run(["du", "-s", "-B1", path], capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.stdout else 0


def disk(host):
    """Bytes by what they are for. What sandboxes wrote is seen as its filesystem
    counts, and by the file that it is in, of which freed blocks stay."""
    os.sync()
    records = blocks(host.state / "sandboxes") + blocks(host.state / "accounts")
    written = os.statvfs(f"/proc/{host.pid}/root{host.state}/disk")
    return {
        "files": (written.f_blocks - written.f_bfree) * written.f_frsize,
        "disk.img": (host.state / "disk.img").stat().st_blocks * 512,
        "records": records,
        "registry": blocks(host.state / "registry"),
        "memory": blocks(host.state / "memory"),
    }


def grown(before, after, count, what):
    print(
        f"disk of a {what} sandbox, KiB: "
        + ", ".join(
            f"{key} {(after[key] - before[key]) / count / 1024:.1f}" for key in before
        ),
        flush=True,
    )


def room(path, stopped, hibernated):
    need = stopped * STOPPED_BYTES + hibernated * HIBERNATED_BYTES
    free = shutil.disk_usage(path).free
    print(f"needs {need >> 30} GiB of disk at most, {free >> 30} GiB are free")
    if free < need + (4 << 30):
        sys.exit("there is no room for that")


# ---- what it costs ----


class Times:
    """How long commands and requests take among those that are there."""

    def __init__(self, host):
        made, gone = itertools.count(), itertools.count()
        self.at = {
            "kernelhost ls": self._each(5, lambda: host.cli("ls", "-q", timeout=600)),
            "list": self._each(5, lambda: must(host, "GET", "/v1/sandboxes")),
            "show": self._each(CALLS, lambda: must(host, "GET", PATH + "first")),
            "create": self._each(
                CALLS, lambda: must(host, "PUT", f"{PATH}among-{next(made)}", {})
            ),
            "remove": self._each(
                CALLS, lambda: must(host, "DELETE", f"{PATH}among-{next(gone)}")
            ),
        }

    @staticmethod
    def _each(count, call):
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            call()
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    def show(self, since):
        for key, took in self.at.items():
            print(
                f"{key:16} {took * 1e3:8.1f} ms, with one sandbox there "
                f"{since.at[key] * 1e3:.1f} ms"
            )
        sys.stdout.flush()


def since_start(host, count, how):
    """Starts the host that is down; tells when it answers, and with how many."""
    starting = threading.Thread(target=host.start, args=(START_S,))
    begun = time.monotonic()
    starting.start()
    while True:
        try:
            answer = host.health()
            break
        except (OSError, ValueError):
            if not starting.is_alive() and host.process is None:
                sys.exit("the host did not come up")
            time.sleep(0.005)
    first = time.monotonic() - begun
    listed = len(ask(host, "GET", "/v1/sandboxes")[1][0]["sandboxes"])
    print(
        f"{how}: first answer after {first:.2f} s, all listed after "
        f"{time.monotonic() - begun:.2f} s",
        flush=True,
    )
    starting.join()
    if (answer["sandboxes"], listed) != (count, count):
        failed(f"{how}: {answer['sandboxes']}, then {listed} of {count} are there")


def restarts(host, count):
    begun = time.monotonic()
    host.stop(START_S)
    print(f"stopped in {time.monotonic() - begun:.2f} s")
    since_start(host, count, "start")
    host.kill()
    since_start(host, count, "start after SIGKILL")
    print(f"another gateway after SIGKILL answers after {host.kill_gateway():.2f} s")


def at_rest(host):
    """What the host's processes take of a processor when nobody asks for anything: it
    looks at every sandbox once a minute."""

    def ticks(pid):
        return sum(
            map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().split()[13:15])
        )

    pids = {"kernelhostd": host.pid, "gateway": host.gateway()}
    before = {name: ticks(pid) for name, pid in pids.items()}
    time.sleep(REST_S)
    for name, pid in pids.items():
        took = (ticks(pid) - before[name]) / os.sysconf("SC_CLK_TCK")
        print(f"{name} at rest takes {took / REST_S * 100:.2f} % of a processor")


# ---- the sandboxes ----


def store(host, number):
    path = f"{PATH}stopped-{number}"
    must(host, "PUT", path, {})
    must(
        host,
        "POST",
        f"{path}/exec",
        {"argv": ["sh", "-c", f"echo {number} > /workspace/note"]},
    )
    must(host, "POST", f"{path}/stop")


def share(pid):
    """Bytes of memory, its part of what it shares counted (PSS); it may have ended."""
    try:
        return scale.private(pid)[1] * 1024
    except OSError:
        return 0


def usage(host, name):
    """Bytes that are charged to it, and its share (PSS)."""
    _, shown = must(host, "GET", PATH + name)
    pids = processes(host).get(shown["id"], [])
    return shown["usage"]["memory"], sum(map(share, pids))


def hibernate(host, number):
    """Makes it and puts it to sleep; returns how it looked, and what it used."""
    name = f"asleep-{number}"
    must(host, "PUT", PATH + name, {})
    run(host, name, BEGIN.format(n=number))
    seen = run(host, name, LOOK)
    used = usage(host, name) if number < WOKEN else None
    took, shown = must(host, "POST", f"{PATH}{name}/sleep", {})
    if shown.get("state") != "hibernated":
        failed(f"{name}: {shown}")
    return seen, used, took


def wake(host, slept):
    """A cell wakes each; it finds everything."""
    times, used = [], []
    for number, (seen, before, _) in enumerate(slept[:WOKEN]):
        begun = time.perf_counter()
        got = run(host, f"asleep-{number}", LOOK)
        times.append(time.perf_counter() - begun)
        if not got or got != seen.replace(", 1)", ", 2)"):
            failed(f"asleep-{number}: {seen} has become {got}")
        used.append((*before, *usage(host, f"asleep-{number}")))
    print(f"{len(times)} woken by a cell, to its value: {scale.line_of(times)}")
    for name, before, after in (("charged", 0, 2), ("PSS", 1, 3)):
        print(
            f"{name}, of one before it slept: "
            f"{statistics.median(u[before] for u in used) / MIB:.1f} MiB, woken "
            f"{statistics.median(u[after] for u in used) / MIB:.1f} MiB"
        )
    sys.stdout.flush()


def start(host, stopped):
    times = []
    for number in range(0, stopped, max(1, stopped // WOKEN)):
        path = f"{PATH}stopped-{number}"
        times.append(must(host, "POST", f"{path}/start")[0])
        note = host.cli("exec", f"stopped-{number}", "--", "cat", "/workspace/note")
        if note.stdout != f"{number}\n":
            failed(f"stopped-{number}: its file has {note.stdout!r}")
        must(host, "POST", f"{path}/stop")
    print(f"{len(times)} of the stopped ones started: {scale.line_of(times)}")


def fill(host, pool, stopped, hibernated):
    """Makes them; returns how the hibernated ones were."""
    empty, costs = disk(host), scale.Costs(host)
    _, took = scale.each(pool, lambda n: store(host, n), range(stopped))
    print(f"{stopped} made, written to and stopped in {took:.0f} s")
    full = disk(host)
    grown(empty, full, stopped, "stopped")
    scale.Costs(host).show(costs, stopped, "stopped")
    costs = scale.Costs(host)
    slept, took = scale.each(pool, lambda n: hibernate(host, n), range(hibernated))
    times = scale.line_of([s[2] for s in slept])
    print(f"{hibernated} made and hibernated in {took:.0f} s; hibernating: {times}")
    grown(full, disk(host), hibernated, "hibernated")
    scale.Costs(host).show(costs, hibernated, "hibernated")
    return slept


def main(stopped, hibernated):
    pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
    with Host() as host:
        room(host.state, stopped, hibernated)
        must(host, "PUT", f"{PATH}first", {})
        run(host, "first", "1")
        must(host, "POST", f"{PATH}first/stop")
        alone, before = Times(host), surroundings(host)
        slept = fill(host, pool, stopped, hibernated)
        after = surroundings(host)
        print(
            "then there are: "
            + ", ".join(f"{v} {k}" for k, v in after.items())
            + " (before: "
            + ", ".join(map(str, before.values()))
            + ")"
        )
        if any(after[key] > before[key] for key in before):
            failed("what sleeps or is stopped takes more than disk")
        Times(host).show(alone)
        restarts(host, stopped + hibernated + 1)
        at_rest(host)
        wake(host, slept)
        start(host, stopped)
    print(f"{len(scale.failures)} failures")
    return 1 if scale.failures else 0


if __name__ == "__main__":
    COUNTS = [int(word) for word in sys.argv[1:]] + [10000, 200][len(sys.argv) - 1 :]
    sys.exit(main(*COUNTS))
