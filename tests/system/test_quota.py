#!/usr/bin/env python3
"""Quotas of the operator's configuration: what is refused, in which words, and that a
burst gets no more than one after the other would."""

import concurrent.futures
import json

import api
from host import Host
from tap import done, equal, ok, parts


def configure(host, text):
    (host.state / "config.json").write_text(
        text if isinstance(text, str) else json.dumps(text))
    return host.cli("restart").stderr


def judged(host):
    """What doctor says of it."""
    return next((fact["level"], fact["detail"])
                for fact in host.json("doctor", check=False)
                if fact["fact"] == "configuration")


def refused(host, word, *args):
    result = host.cli(*args, check=False)
    ok(result.returncode == 1 and word in result.stderr,
       f"{' '.join(args)}: {result.stderr.strip()}")


def quotas(host):
    configure(host, {"quotas": {"local": {
        "sandboxes": 3, "running": 2, "memory": "1536M", "disk": "25G"}}})
    host.cli("create", "one", "--memory", "512M")
    host.cli("create", "two", "--memory", "512M")
    refused(host, "2 of 2 running", "create", "three")
    host.cli("stop", "two")
    refused(host, "of memory", "create", "three", "--memory", "2G")
    refused(host, "of disk", "create", "three", "--memory", "512M", "--disk", "20G")
    host.cli("create", "three", "--memory", "512M", "--disk", "1G")
    refused(host, "2 of 2 running", "start", "two")
    refused(host, "2 of 2 running", "run", "two", "-c", "1")
    refused(host, "3 of 3 sandboxes", "create", "four")
    refused(host, "of memory", "limits", "one", "--memory", "1200M")
    host.cli("limits", "one", "--memory", "256M")
    refused(host, "of disk", "limits", "three", "--disk", "6G")
    status, answer = api.call(host, "POST", "/v1/sandboxes", {"name": "four"})
    equal((status, answer["code"]), (403, "quota"), "the API has a code for it")
    host.cli("rm", "three")
    host.cli("start", "two")
    host.cli("rm", "one", "two")


def burst(host):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda i: host.cli(
            "create", f"b-{i}", "--memory", "64M", "--disk", "16M",
            check=False).returncode, range(20)))
    equal(made.count(0), 2, "of twenty at once two are made")
    equal(len(host.json("ls")), 2, "and are there")
    for box in host.json("ls"):
        host.cli("rm", box["name"])


def copies(host):
    """Snapshots, forks, and what is made of a snapshot with its limits."""
    configure(host, {"quotas": {"local": {
        "snapshots": 2, "forks": 2, "memory": "700M", "sandboxes": 5}}})
    host.cli("create", "mother", "--memory", "256M", "--disk", "64M")
    for name in ("s-1", "s-2"):
        host.cli("snapshot", "mother", name)
    refused(host, "2 of 2 snapshots", "snapshot", "mother", "s-3")
    host.cli("snapshot", "rm", "s-2")
    host.cli("snapshot", "mother", "s-3")
    refused(host, "2 forks at once", "fork", "mother", "a", "b", "c")
    host.cli("create", "daughter", "--from", "s-1")
    refused(host, "of memory", "create", "third", "--from", "s-1")
    host.cli("run", "mother", "-c", "1")  # its kernel is not starting any more
    result = host.cli("fork", "mother", "a", "b", check=False)
    ok(result.returncode != 0 and "of memory" in result.stdout + result.stderr,
       f"a fork needs memory, too: {result.stdout}{result.stderr}")
    for box in host.json("ls"):
        host.cli("rm", box["name"])
    for name in ("s-1", "s-3"):
        host.cli("snapshot", "rm", name)
    configure(host, {"quotas": {"local": {"sandboxes": 3, "running": 2,
                                          "memory": "1536M", "disk": "25G"}}})


def mistakes(host):
    host.cli("create", "kept", "--memory", "64M")
    warned = configure(host, '{"quotas": {"local": {"sandboxs": 1}}}')
    ok("no 'sandboxs'" in warned and "hint: correct it" in warned,
       f"restart warns: {warned.strip()}")
    level, detail = judged(host)
    ok(level == "fail" and "no 'sandboxs'" in detail, f"doctor: {level} {detail}")
    equal(host.cli("run", "kept", "-c", "1").stdout, "1\n",
          "what runs is served while the configuration is wrong")
    refused(host, "no 'sandboxs'", "create", "new")
    host.cli("stop", "kept")
    refused(host, "hint: correct it", "start", "kept")
    (host.state / "config.json").chmod(0o600)
    configure(host, "{}")
    refused(host, "let everybody read it", "create", "new")
    (host.state / "config.json").chmod(0o644)
    equal(configure(host, "{}"), "", "when it is right nobody warns")
    equal(judged(host)[0], "ok", "nor does doctor")
    host.cli("create", "new")
    host.cli("start", "kept")
    host.stop()
    (host.state / "config.json").write_text("{")
    level, detail = judged(host)
    ok(level == "fail" and "config.json" in detail,
       f"doctor, while no host runs: {level} {detail}")


with Host() as host:
    parts(host, quotas, burst, copies, mistakes)
done()
