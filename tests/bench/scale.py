#!/usr/bin/env python3
"""Thousands of live sandboxes on one host: what each costs, what refuses the one too
many, and what is left afterwards. Run by hand, as root, on a machine that is quiet:

    KH_PREFIX=... KH_IMAGES=... KH_TMP=... tests/bench/scale.py [COUNT] [BOUND]

COUNT sandboxes (2,000) are made, each with a kernel that answers through the local
API; BOUND of them (half) are also bound on ZeroMQ and answer there. The host takes
COUNT, and is asked for one more. What is printed is memory and descriptors a sandbox,
by process. The exit status is 1 if anything failed or was left over.
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import zmq
from jupyter_client.session import Session

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import host as host_module  # noqa: E402
from host import TMP, Host  # noqa: E402

WORKERS = 8
WAIT_S = 120
failures = []


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=WAIT_S)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(host, method, path, body=None):
    """Returns the status and the parsed lines of the answer."""
    connection = Connection(host.state / "run/api.sock")
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        text = response.read()
        return response.status, [json.loads(line) for line in text.splitlines()]
    finally:
        connection.close()


def failed(text):
    failures.append(text)
    print(f"FAILED {text}", flush=True)


def value_of(lines):
    """text/plain of the execute_result among an execution's messages."""
    return next((m["content"]["data"]["text/plain"] for m in lines
                 if m.get("header", {}).get("msg_type") == "execute_result"), None)


def run(host, number, create=None):
    """Runs a cell in sandbox NUMBER; returns the seconds it took, or None."""
    begun = time.perf_counter()
    body = {"code": f"{number} + 1"}
    if create is not None:
        body["create"] = create
    status, lines = ask(host, "POST", f"/v1/sandboxes/scale-{number}/run", body)
    if value_of(lines) == str(number + 1):
        return time.perf_counter() - begun
    failed(f"scale-{number}: status {status}, {lines[-1:]}")
    return None


class Kernel:
    """A client of a kernel's shell and iopub, over ZeroMQ."""

    def __init__(self, context, path):
        info = json.loads(pathlib.Path(path).read_text())
        self.session = Session(key=info["key"].encode(),
                               signature_scheme=info["signature_scheme"])
        self.shell = self._open(context, zmq.DEALER, info, "shell")
        self.iopub = self._open(context, zmq.SUB, info, "iopub")
        self.iopub.subscribe(b"")

    @staticmethod
    def _open(context, kind, info, channel):
        made = context.socket(kind)
        made.linger = 0
        made.connect(f"{info['transport']}://{info['ip']}-{info[channel + '_port']}")
        return made

    def answers(self, number):
        self.session.send(self.shell, "execute_request", {
            "code": f"{number} * 2", "silent": False, "store_history": False,
            "user_expressions": {"v": f"{number} * 2"}, "allow_stdin": False})
        if not self.shell.poll(WAIT_S * 1000):
            return False
        _, reply = self.session.recv(self.shell)
        value = reply["content"].get("user_expressions", {}).get("v", {})
        return value.get("data", {}).get("text/plain") == str(number * 2)

    def close(self):
        self.shell.close()
        self.iopub.close()


def bind(host, context, number):
    """Binds scale-NUMBER on ZeroMQ and asks it something there."""
    status, (answer,) = ask(host, "POST", f"/v1/sandboxes/scale-{number}/connect", {})
    if status != 200:
        failed(f"scale-{number}: connect: {answer}")
        return None
    kernel = Kernel(context, answer["connection_file"])
    if not kernel.answers(number):
        failed(f"scale-{number}: no answer over ZeroMQ")
    return kernel


# ---- what it costs ----


def children(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return [int(c) for task in tasks for c in (task / "children").read_text().split()]


def name_of(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def private(pid):
    """KiB that only this process has, and its share of the rest."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split(":")
        fields[key] = int(value.split()[0])
    return fields["Private_Clean"] + fields["Private_Dirty"], fields["Pss"]


def available():
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(text.split("MemAvailable:")[1].split()[0])


class Costs:
    """Memory and descriptors of the host's processes now."""

    def __init__(self, host):
        self.at = {}
        self.available = available()
        for pid in (host.pid, *children(host.pid)):
            name = name_of(pid)
            if name.startswith("kernelhost-gat") or pid == host.pid:
                self.at[name] = (private(pid)[0], len(os.listdir(f"/proc/{pid}/fd")))

    def show(self, since, count, what):
        for name, (memory, files) in self.at.items():
            memory0, files0 = since.at[name]
            print(f"{name:16} {what}: {memory / 1024:7.1f} MiB, "
                  f"{(memory - memory0) / count:6.2f} KiB each; {files} descriptors, "
                  f"{(files - files0) / count:5.2f} each")
        print(f"{'the machine':16} {what}: "
              f"{(since.available - self.available) / count / 1024:.2f} MiB each",
              flush=True)


def inside_share(host, count):
    """PSS of PID 1 and the runners of a few sandboxes, MiB each."""
    inits = [p for p in children(host.pid) if name_of(p) == "init"]
    some = inits[:: max(1, len(inits) // 20)]
    total = sum(private(p)[1] for i in some for p in (i, *children(i)))
    if some:
        print(f"{'inside':16} of {len(inits)}: PSS {total / len(some) / 1024:.2f} MiB "
              "a sandbox")


def each(pool, work, numbers):
    """WORK on every number, WORKERS at a time; returns what it returned."""
    begun = time.monotonic()
    results = list(pool.map(work, numbers))
    return results, time.monotonic() - begun


def line_of(times):
    times = sorted(t for t in times if t is not None)
    if not times:
        return "none"
    return (f"p50 {times[len(times) // 2] * 1000:.1f} ms, "
            f"p99 {times[len(times) * 99 // 100] * 1000:.1f} ms")


def beyond(host):
    """Until one is refused, 50 at most: the refusal says what ran out, and everybody
    else goes on."""
    for number in range(50):
        status, lines = ask(host, "PUT", f"/v1/sandboxes/more-{number}", {})
        if status not in (200, 201):
            print(f"the next one: {status} {lines[0]['message']}")
            if status != 507 or "hint" not in lines[0]["message"]:
                failed("the refusal is not clear")
            return number
    print("no limit was met")
    return 50


def main(count, bound):
    start = TMP / "start"
    start.write_text(f'#!/bin/sh\nexec "{host_module.DAEMON}" --spares 0 '
                     f"--max-sandboxes {count}\n")
    start.chmod(0o755)
    host_module.DAEMON = start
    host = Host()
    host.start()
    outside = set(filter(str.isdigit, os.listdir("/proc")))
    pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
    context = zmq.Context()
    context.max_sockets = 65000
    start = Costs(host)
    times, took = each(pool, lambda n: run(host, n, {}), range(count))
    print(f"{count} made and answered in {took:.1f} s: {line_of(times)}")
    live = Costs(host)
    live.show(start, count, "unbound")
    inside_share(host, count)
    begun = time.monotonic()
    for number in range(bound):
        if kernel := bind(host, context, number):
            kernel.close()
    print(f"{bound} bound and answered on ZeroMQ in {time.monotonic() - begun:.1f} s")
    time.sleep(1)
    with_zmq = Costs(host)
    with_zmq.show(live, bound, "bound  ")
    begun = time.monotonic()
    host.cli("ls", "-q")
    print(f"kernelhost ls: {time.monotonic() - begun:.2f} s")
    more = beyond(host)
    times, took = each(pool, lambda n: run(host, n), range(count))
    print(f"all {count} answer again in {took:.1f} s: {line_of(times)}")
    names = [f"scale-{n}" for n in range(count)] + [f"more-{n}" for n in range(more)]
    results, took = each(
        pool, lambda n: ask(host, "DELETE", f"/v1/sandboxes/{n}")[0], names)
    if set(results) != {204}:
        failed(f"removal: {set(results)}")
    print(f"{len(names)} removed in {took:.1f} s")
    time.sleep(2)
    end = Costs(host)
    end.show(start, count, "left   ")
    after = set(filter(str.isdigit, os.listdir("/proc"))) - outside
    left = [name for name in map(name_of, after) if name == "init"]
    disks = os.listdir(host.state / "sandboxes") + os.listdir(host.state / "trash")
    groups = subprocess.run(["find", "/sys/fs/cgroup", "-path", "*/kernelhost/*/*",
                             "-type", "d"], capture_output=True, text=True).stdout
    print(f"left over: {len(left)} processes, {len(disks)} disks")
    if left or disks:
        failed(f"left over: {left[:5]} {disks[:5]} {len(groups)}")
    host.stop()
    lines = host.log_text().splitlines()
    said = [line for line in lines if " warn " in line or " error " in line]
    print("\n".join(["the host's warnings:", *said[:20], f"({len(said)})"]))
    return 1 if failures else 0


if __name__ == "__main__":
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sys.exit(main(COUNT, int(sys.argv[2]) if len(sys.argv) > 2 else COUNT // 2))
