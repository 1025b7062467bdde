#!/usr/bin/env python3
"""bench: measures Kernelhost beside ipykernel and a kernel that does nothing, in one
run on one machine. Called by ./dev bench, which builds first.

    bench.py [--quick | --smoke] [--only WORD] [--out DIRECTORY]

The kernels are in kernels.py, the figures come from client and life (C, this
directory) and, where it says jupyter_client, from blocking.py. What is measured is
MEASURES and the functions below it; report.py makes the tables and plots.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "sandbox"),
                str(HERE.parent / "system")]

import api  # noqa: E402
from interpreters import image_root  # noqa: E402
from kernels import (  # noqa: E402
    PROGRAMS, Ipykernel, Kernelhost, Null, Pool, memory as memory_of, settle,
)
from sleeps import sleeps  # noqa: E402

DISPLAYS = ("from IPython.display import display\n"
            "for n in range(1000): display({'text/plain': str(n)}, raw=True)")
FLUSHED = "for n in range(20000): print(n, flush=True)"
PLAIN = "for n in range(100000): print(n)"
LARGE = "print('x' * 50_000_000)"
FILL = "many = [str(n) * 3 for n in range(1_000_000)]; block = bytearray(70 << 20)"
FIRST = "print(1)\nimport time; time.sleep(0.15)"
ENDLESS = ("print('on', flush=True)\ntry:\n    while True: pass\n"
           "except KeyboardInterrupt: pass")

# name, what it says, measure of client, cell, (full, quick) count, who
MEASURES = [
    ("execute", "execute `1+1`, to reply and idle", "roundtrip", "1+1", (2000, 300),
     "kernelhost ipykernel null"),
    ("pass", "execute `pass`", "roundtrip", "pass", (1000, 200),
     "kernelhost ipykernel null"),
    ("silent", "silent `pass`", "silent", "pass", (1000, 200),
     "kernelhost ipykernel null"),
    ("print", "`print(1)`, to reply and idle", "roundtrip", "print(1)", (1000, 200),
     "kernelhost ipykernel"),
    ("first_byte", "first byte of a print", "first", FIRST, (60, 10),
     "kernelhost ipykernel"),
    ("interrupt", "interrupt of a loop, to idle", "interrupt", ENDLESS, (60, 10),
     "kernelhost ipykernel"),
    ("displays", "1,000 `display_data`", "output", DISPLAYS, (7, 2),
     "kernelhost ipykernel"),
    ("flushed", "20,000 flushed prints", "output", FLUSHED, (5, 1),
     "kernelhost ipykernel"),
    ("plain", "100,000 plain prints", "output", PLAIN, (7, 2), "kernelhost ipykernel"),
    ("large", "one print of 50 MB", "output", LARGE, (7, 2), "kernelhost ipykernel"),
]
PIPELINES = (500, 2000)
CODES = (("", "1+1"), ("_pandas", "import pandas"))
# where sandboxes come from, in words, spares
KINDS = [("zygote", "from the zygote", 0), ("spare", "from a spare", 100)]


class Bench:
    """One run: where its figures go, and what it may leave out."""

    def __init__(self, options):
        self.options = options
        self.results = []
        self.kernels = 2 if options.smoke else 20  # of those that run together

    def wanted(self, name):
        return not self.options.only or self.options.only in name

    def count(self, full, quick):
        if self.options.smoke:
            return 1
        return quick if self.options.quick else full

    def add(self, name, text, kernel, samples, unit, **more):
        """One figure: samples of one measure of one kernel."""
        ordered = sorted(samples)
        entry = {
            "measure": name, "text": text, "kernel": kernel, "unit": unit,
            "count": len(ordered), "median": statistics.median(ordered),
            "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
            "least": ordered[0], "most": ordered[-1], "samples": samples[:5000], **more,
        }
        self.results.append(entry)
        print(f"  {kernel:16} {text:44} {entry['median']:11.3f} {unit}"
              f"   p99 {entry['p99']:.3f}  n {len(ordered)}", flush=True)


def call(program, measure, count, code, *args, timeout=900):
    """Runs client or life; returns what it printed."""
    command = [str(PROGRAMS / program), measure, str(count), json.dumps(code), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{program} {measure}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def milliseconds(answer):
    return [value / 1000 for value in answer["us"]]


def cells(bench, kernels):
    """What one kernel takes for one cell; then many cells at once. The measures go
    from kernel to kernel, so that what disturbs the machine disturbs all of them."""
    files = {kernel.name: kernel.open(1)[0] for kernel in kernels}
    for name, text, measure, code, counts, who in MEASURES:
        if not bench.wanted(name):
            continue
        for kernel in kernels:
            if kernel.name in who.split():
                answer = call("client", measure, bench.count(*counts), code,
                              files[kernel.name])
                more = {k: answer[k] for k in ("messages", "bytes") if k in answer}
                bench.add(name, text, kernel.name, milliseconds(answer), "ms", **more)
    for count in PIPELINES[: 1 if bench.options.smoke else 2]:
        if not bench.wanted("pipeline"):
            break
        for kernel in kernels:
            rates = [
                count / call("client", "pipeline", count, "1+1", files[kernel.name]
                             )["us"][0] * 1e6
                for _ in range(bench.count(5, 1))
            ]
            bench.add(f"pipeline_{count}", f"{count} cells sent at once", kernel.name,
                      rates, "cells/s")
    through_jupyter_client(bench, files)
    for kernel in kernels:
        kernel.close()


def through_jupyter_client(bench, files):
    """The same round trip with the client that everybody uses."""
    for name, path in files.items() if bench.wanted("jupyter_client") else ():
        done = subprocess.run(
            [sys.executable, str(HERE / "blocking.py"), path,
             str(bench.count(500, 100))], capture_output=True, text=True, check=True)
        bench.add("jupyter_client", "execute `1+1` through jupyter_client", name,
                  json.loads(done.stdout), "ms")


def together(bench, kernels):
    """Many kernels at once: how many cells they do, and what memory they take."""
    if not (bench.wanted("together") or bench.wanted("pss")):
        return
    for kernel in kernels:
        files = kernel.open(bench.kernels)
        if kernel.name != "null":
            memory(bench, kernel, files)
        each, rates = bench.count(100, 25), []
        for _ in range(bench.count(5, 1)):
            took = call("client", "together", each, "1+1", *files)["us"][0]
            rates.append(bench.kernels * each / took * 1e6)
        bench.add("together", f"{bench.kernels} kernels, a cell each at a time",
                  kernel.name, rates, "cells/s")
        kernel.close()


def memory(bench, kernel, files):
    """What a kernel takes with its init: before and after the first cell."""
    for name, code in (("idle", None), ("cell", "1+1")):
        for path in files:
            call("client", "roundtrip", 1, code or "", path) if code else None
        if code is None and kernel.name == "ipykernel":
            for path in files:  # until they are there
                call("client", "silent", 1, "", path)
        settle(kernel)
        text = "idle" if code is None else "after first cells"
        for what, word in (("Pss", "PSS"), ("Private", "private memory")):
            bench.add(f"{what.lower()}_{name}", f"{word}, {text} ({bench.kernels} "
                      "kernels)", kernel.name,
                      [memory_of(pids, what) / 2**20 for pids in kernel.pids()], "MB")


def launches(bench, ipykernel):
    """What ipykernel takes from nothing to the first reply, by code."""
    found = {}
    for suffix, code in CODES:
        if any(bench.wanted(f"create_{kind}{suffix}") for kind, _, _ in KINDS):
            path = ipykernel.connection_file("launch")
            found[code] = milliseconds(
                call("client", "launch", bench.count(20, 2), code, path,
                     *ipykernel.command(path)))
    return found


def made(bench, host, kind, words, launched):
    """One sandbox after the other, each to its first reply."""
    socket = str(host.state / "run/api.sock")
    for suffix, code in CODES:
        count = bench.count(50, 5)
        for how, measure in (("create", "create"), ("connect", "create, connect")):
            name = f"{how}_{kind}{suffix}"
            if not bench.wanted(name):
                continue
            host.full()
            text = f"{measure} {words}, first reply of `{code}`"
            text += " over ZeroMQ" if how == "connect" else ""
            answer = call("life", how, count, code, socket)
            bench.add(name, text, "kernelhost", milliseconds(answer), "ms")
            if how == "create" and code in launched:
                bench.add(name, text, "ipykernel", launched[code], "ms")


def burst(bench, host, kind, words):
    """Many at once."""
    if bench.wanted(f"burst_{kind}"):
        host.full()
        answer = call("life", "burst", bench.count(100, 20), "1+1",
                      str(host.state / "run/api.sock"))
        bench.add(f"burst_{kind}", f"{len(answer['us'])} creates at once {words}, each "
                  "to its first reply", "kernelhost", milliseconds(answer), "ms")


def restarts(bench, host):
    if bench.wanted("restart"):
        host.cli("create", "again")
        host.cli("run", "again", "-c", "1+1")
        answer = call("life", "restart", bench.count(50, 5), "1+1",
                      str(host.state / "run/api.sock"), "again",
                      Kernelhost(host).kernel_of("again"))
        bench.add("restart", "restart, first reply of `1+1`", "kernelhost",
                  milliseconds(answer), "ms")
        host.cli("rm", "again")


def beginnings(bench, ipykernel):
    """From nothing to the first reply, pandas imported already."""
    launched = launches(bench, ipykernel)
    for kind, words, spares in KINDS:
        names = [f"{how}_{kind}{suffix}" for how in ("create", "connect")
                 for suffix, _ in CODES] + [f"burst_{kind}"]
        names += ["restart"] if kind == "zygote" else []
        if any(map(bench.wanted, names)):
            with Pool(kind, bench.count(spares, spares // 5)) as host:
                made(bench, host, kind, words, launched)
                burst(bench, host, kind, words)
                if kind == "zygote":
                    restarts(bench, host)


def standing_still(bench, ipykernel):
    """Sleep, wake, snapshots, forks and checkpoints."""
    words = ("frozen_cell wake_50 wake_150 wake_1000 fork4_files "
             "snapshot_create_memory checkpoint rollback_cell")
    if not any(map(bench.wanted, words.split())):
        return

    def launched(code):
        path = ipykernel.connection_file("again")
        return milliseconds(call("client", "launch", bench.count(7, 2), code, path,
                                 *ipykernel.command(path)))

    with Pool("sleeps", 0) as host:
        sleeps(bench, host, launched)
        checkpoints(bench, host)


def checkpoints(bench, host):
    """A kernel with 150 MB of its own: forth and back, and the first cell after it."""
    if not (bench.wanted("checkpoint") or bench.wanted("rollback")):
        return
    host.cli("create", "big")
    host.cli("run", "big", "-c", FILL)
    where = f"/v1/sandboxes/big/kernels/{Kernelhost(host).kernel_of('big')}/checkpoints"
    took = {"checkpoint": [], "rollback": [], "rollback_cell": []}
    for _ in range(bench.count(40, 10)):
        host.cli("run", "big", "-c", "few = [str(n) for n in range(100000)]")
        time.sleep(0.1)  # what the last one has left to the kernel is done
        begun = time.perf_counter()
        status, made = api.call(host, "POST", where)
        took["checkpoint"].append((time.perf_counter() - begun) * 1000)
        assert status == 201, made
        time.sleep(0.1)
        begun = time.perf_counter()
        status, answer = api.call(host, "POST", f"{where}/{made['id']}/rollback")
        took["rollback"].append((time.perf_counter() - begun) * 1000)
        assert status == 200, answer
        answer = call("client", "roundtrip", 1, "1+1",
                      host.cli("connect", "big").stdout.strip())
        took["rollback_cell"] += milliseconds(answer)
        api.call(host, "DELETE", f"{where}/{made['id']}")
    for name, text in (("checkpoint", "checkpoint at 150 MB"),
                       ("rollback", "rollback at 150 MB"),
                       ("rollback_cell", "the first cell after a rollback")):
        bench.add(name, text, "kernelhost", took[name], "ms")
    host.cli("rm", "big")


def machine():
    """What it ran on."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in info.splitlines()
              if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count(), "kernel": platform.release(),
        "load": os.getloadavg()[0], "time": time.strftime("%Y-%m-%d %H:%M UTC",
                                                          time.gmtime()),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument("--only", help="measures whose name contains this")
    parser.add_argument("--smoke", action="store_true", help="once each: does it run?")
    parser.add_argument("--out", help="directory for figures.json, tables and plots")
    bench = Bench(parser.parse_args())
    facts = machine()
    root = image_root("peer")
    ipykernel = Ipykernel(root)
    with Pool("cells", 0) as host:
        kernels = [Kernelhost(host), ipykernel, Null(os.environ["KH_TMP"])]
        cells(bench, kernels)
        together(bench, kernels)
    beginnings(bench, ipykernel)
    standing_still(bench, ipykernel)
    facts["load_after"] = os.getloadavg()[0]
    result = {"machine": facts, "quick": bench.options.quick, "figures": bench.results}
    if bench.options.out:
        report(result, root, pathlib.Path(bench.options.out))


def report(result, root, out):
    """Writes figures.json; tables and plots by the image's Python, which has
    matplotlib."""
    text = json.dumps(result, indent=1)
    (root / "tmp/figures.json").write_text(text)
    (root / "tmp/out").mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(out), str(root / "tmp/out")], check=True)
    (out / "figures.json").write_text(text)
    page = out / "performance.md"
    if not page.exists():
        page.write_bytes((HERE.parents[1] / "doc/performance.md").read_bytes())
    subprocess.run(["chroot", str(root), "env", "HOME=/tmp/home", "python3",
                    "/src/tests/bench/report.py", "/tmp/figures.json", "/tmp/out"],
                   check=True)


if __name__ == "__main__":
    main()
