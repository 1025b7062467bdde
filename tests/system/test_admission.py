#!/usr/bin/env python3
"""A host without room refuses one more sandbox in words, with nothing half made, and
those that are there do not notice."""

import os
import pathlib

import api
import host as host_module
from host import TMP, Host
from tap import check, done, equal, ok

DAEMON = host_module.DAEMON


def with_options(*options):
    """The next hosts are started with these options of kernelhostd."""
    start = TMP / "start"
    start.write_text(f'#!/bin/sh\nexec "{DAEMON}" {" ".join(options)}\n')
    start.chmod(0o755)
    host_module.DAEMON = start


def directories(host):
    return len(os.listdir(host.state / "sandboxes"))


def groups(host):
    """The parents of this host's sandboxes that limit memory: their limits."""
    return [int((path / name).read_text())
            for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/kernelhost/{host.key}")
            for name in ("memory.max", "memory.limit_in_bytes")
            if (path / name).exists()]


def count():
    with_options("--max-sandboxes", "2")
    with Host("count") as host:
        host.cli("create", "one")
        host.cli("create", "two")
        status, answer = api.call(host, "PUT", "/v1/sandboxes/three", {})
        equal((status, answer["code"]), (507, "full"), "a third sandbox is refused")
        ok("2 sandboxes run" in answer["message"] and "(hint: " in answer["message"],
           f"with the figure and the cure: {answer['message']}")
        result = host.cli("run", "three", "--create", "-c", "1", check=False)
        ok(result.returncode == 1 and "2 sandboxes" in result.stderr,
           "run --create says so, too")
        equal((directories(host), host.cli("ls", "-q").stdout.split()),
              (2, ["one", "two"]), "nothing of it is there")
        host.cli("stop", "one")
        host.cli("create", "three")
        result = host.cli("start", "one", check=False)
        ok(result.returncode == 1 and "2 sandboxes" in result.stderr,
           "a stopped one does not count, and is not started")
        equal(host.cli("run", "two", "-c", "print(1)").stdout, "1\n",
              "those that run do not notice")
        total = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) * 1024
        limits = groups(host)
        ok(limits and all(total // 2 < limit < total for limit in limits),
           f"all sandboxes together leave the reserve alone: {limits} of {total}")


def memory():
    with_options("--memory-reserve", str(1 << 50))
    with Host("memory") as host:
        status, answer = api.call(host, "POST", "/v1/sandboxes", {"name": "x"})
        equal((status, answer["code"]), (507, "full"), "without memory none is made")
        ok("MiB of memory left" in answer["message"], answer["message"])
        equal(directories(host), 0, "nothing of it is there")


for test in (count, memory):
    with check(test.__name__):
        test()
done()
