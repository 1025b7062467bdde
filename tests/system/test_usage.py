#!/usr/bin/env python3
"""The ledger of what is used: the same as the kernel counts and as cells measure
themselves, whatever is killed, whatever sleeps, whoever was away."""

import json
import os
import pathlib
import random
import threading
import time

import api
from host import Host
from prometheus_client.parser import text_string_to_metric_families
from tap import done, equal, note, ok, parts

ROUNDS = 20

# Burns what it is told to, and keeps on the disk how much that was so far.
BURN = """
import os, time
def burn(seconds, name):
    begun = time.process_time()
    while True:
        spent = time.process_time() - begun
        with open("/workspace/spent-new", "w") as f:
            f.write(str(spent))
        os.rename("/workspace/spent-new", "/workspace/spent-" + name)
        if spent >= seconds:
            return spent
        until = spent + 0.02
        while time.process_time() - begun < until:
            pass
"""
CHILD = """
import subprocess, threading, time
def loop(seconds):
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass
thread = threading.Thread(target=loop, args=(0.3,))
thread.start()
subprocess.run(["python3", "-c", "import time\\nwhile time.process_time() < .5: pass"])
thread.join()
"""


def usage(host, name=None, *args):
    answer = host.json("usage", *([name] if name else []), *args)
    return answer["sandboxes"][0] if name else answer


def group_seconds(host):
    """What the kernel has counted for all groups of this host, those that are gone
    included: the group above them keeps their sums. (The zygote is among them.)"""
    places = [p for p in
              pathlib.Path("/sys/fs/cgroup").glob(f"**/kernelhost/{host.key}")
              if (p / "cgroup.kill").exists() or (p / "cgroup.freeze").exists()]
    fields = dict(line.split() for line in (places[0] / "cpu.stat").open())
    return int(fields["usage_usec"]) / 1e6


def run(host, code, name="box", check=True):
    return host.cli("run", name, "-c", code, check=check)


def burner(host, seconds, name):
    """A cell under way."""
    thread = threading.Thread(target=run, args=(
        host, BURN + f"_ = burn({seconds}, '{name}')", "box", False))
    thread.start()
    return thread


def measured(host):
    """What the cells have measured themselves."""
    text = host.cli("exec", "box", "--", "sh", "-c",
                     "for f in /workspace/spent-[0-9]*; do cat $f; echo; done").stdout
    return [float(line) for line in text.split()]


def init_pid(host, name):
    ident = host.json("show", name)["id"]
    for place in pathlib.Path("/sys/fs/cgroup").glob(
            f"**/kernelhost/*/{ident}/cgroup.procs"):
        for pid in place.read_text().split():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            if next(line for line in status.splitlines()
                    if line.startswith("NSpid:")).split()[-1] == "1":
                return int(pid)
    return None


def killed(host):
    """Kills one of the three in the middle of a cell, again and again."""
    rng = random.Random(7)
    host.cli("create", "box")
    before = group_seconds(host)
    for i in range(ROUNDS):
        cell = burner(host, 1.6, str(i))
        time.sleep(rng.uniform(0.6, 1.4))
        what = i % 4
        if what == 0:
            host.kill_gateway()
        elif what == 1:
            host.kill()
            time.sleep(rng.uniform(0, 0.3))
            host.start()
        elif what == 2:
            os.kill(init_pid(host, "box"), 9)
        else:  # it ends while nobody of the host is there
            pid = init_pid(host, "box")
            host.kill()
            os.kill(pid, 9)
            time.sleep(0.1)
            host.start()
        cell.join()
    time.sleep(0.5)
    cells = measured(host)
    spent = usage(host, "box")["cpu_seconds"]
    most = group_seconds(host) - before
    note(f"cells measured {sum(cells):.3f} s in {len(cells)}, the ledger has "
         f"{spent:.3f} s, the kernel counted {most:.3f} s")
    equal(len(cells), ROUNDS, "every cell has left its measure")
    ok(sum(cells) * 0.95 <= spent <= sum(cells) * 1.05,
       f"the ledger has what {ROUNDS} cells measured, within 5 %")
    ok(spent <= most, "and never more than the kernel counted")
    return spent


def sleeps(host):
    """No processor time while it sleeps; the time is told apart."""
    host.cli("idle", "box", "--keep-awake")
    run(host, "import threading\ndef spin():\n    while True: pass\n"
              "threading.Thread(target=spin, daemon=True).start()\n"
              "import time; time.sleep(0.3)")
    host.cli("sleep", "box", "--frozen")
    before = usage(host, "box")
    time.sleep(1.5)
    after = usage(host, "box")
    equal(after["cpu_seconds"], before["cpu_seconds"], "none while it is frozen")
    ok(1.2 < after["frozen_seconds"] - before["frozen_seconds"] < 10,
       "which is time of its own")
    host.kill()
    time.sleep(0.5)
    host.start()
    later = usage(host, "box")
    used, awake = (later[k] - after[k] for k in ("cpu_seconds", "running_seconds"))
    ok(used <= awake + 0.05,
       f"with a new kernelhostd no more than while it was awake: {used:.2f}, {awake} s")
    host.cli("wake", "box")
    later = usage(host, "box")
    time.sleep(0.5)
    more = usage(host, "box")["cpu_seconds"] - later["cpu_seconds"]
    ok(0.01 < more < 30, f"it goes on when it is awake: {more:.2f} s")


def hibernates(host):
    host.cli("sleep", "box")
    before = usage(host, "box")
    equal(before["state"], "hibernated", "it is hibernated")
    for _ in range(2):
        host.kill()
        host.start()
    time.sleep(1)
    after = usage(host, "box")
    equal(after["cpu_seconds"], before["cpu_seconds"], "none while it is hibernated")
    ok(after["hibernated_seconds"] > before["hibernated_seconds"] + 0.5,
       "which is time of its own")
    ok(after["disk_bytes"] > 1 << 20, "its memory is on the disk, and counts as such")
    host.cli("wake", "box")
    now = usage(host, "box")["cpu_seconds"]
    ok(now - after["cpu_seconds"] < 1.5, "what brings it back is not its own")
    time.sleep(0.5)
    more = usage(host, "box")["cpu_seconds"] - now
    ok(0.01 < more < 30, f"it goes on when it is awake: {more:.2f} s")
    host.cli("stop", "box")


def executions(host):
    """Each is counted once, and says itself what it took."""
    host.cli("create", "count")
    client = host.client("count")
    first = usage(host, "count")["executions"]
    for i in range(30):
        if i % 10 == 5:
            host.kill_gateway()
        reply = client.execute("1", reply=True, timeout=60)
        equal_status = reply["content"]["status"] == "ok"
        if not equal_status:
            break
    equal(usage(host, "count")["executions"] - first, 30,
          "30 executions over three gateways are 30")
    reply = client.execute(CHILD, reply=True, timeout=60)
    told = reply["metadata"]["kernelhost"]
    ok(0.75 < told["cpu_seconds"] < 1.6,
       f"a thread's 0.3 s and a child's 0.5 s are in its reply: {told}")
    ok(told["wall_seconds"] > 0.5, "and how long it took")
    reply = client.execute("import time; time.sleep(0.5)", reply=True, timeout=60)
    told = reply["metadata"]["kernelhost"]
    ok(told["cpu_seconds"] < 0.2 and told["wall_seconds"] >= 0.5, f"asleep: {told}")
    kernel = usage(host, "count")["kernels"][0]
    ok(kernel["executions"] >= 32 and kernel["cpu_seconds"] > 0.75,
       f"the kernel has its own sums: {kernel}")
    client.stop_channels()


def removed(host):
    """What is removed stays, also when nobody was there to take it down."""
    for i, kill in enumerate((None, "gateway", "kernelhostd", "gateway", "both")):
        name = f"gone-{i}"
        host.cli("create", name)
        run(host, BURN + "_ = burn(0.3, '0')", name)
        if kill in (None,):
            host.cli("rm", name)
        else:
            remover = threading.Thread(
                target=host.cli, args=("rm", name), kwargs={"check": False})
            remover.start()
            time.sleep(0.01)
            if kill != "kernelhostd":
                os.kill(host.gateway(), 9)
            if kill != "gateway":
                host.kill()
                host.start()
            host.gateway()
            remover.join()
            host.cli("rm", name, check=False)
        row = usage(host, name)
        equal(row["state"], "removed", f"{name} ({kill}) is removed, and in the ledger")
        ok(0.28 < row["cpu_seconds"] < 0.6, f"with what it used: {row['cpu_seconds']}")
    equal([p for p in (host.state / "accounts").iterdir()
           if p.name not in {s["id"] for s in host.json("ls")}], [],
          "kernelhostd keeps no account of it")
    host.cli("create", "gone-0")
    rows = host.json("usage", "gone-0")["sandboxes"]
    equal([r["state"] for r in rows], ["running", "removed"],
          "a name that comes again is another sandbox")
    ok(rows[0]["cpu_seconds"] < rows[1]["cpu_seconds"], "which begins with nothing")
    host.cli("rm", "gone-0")


def memory_and_disk(host):
    host.cli("create", "holder", "--memory", "600M")
    host.cli("idle", "holder", "--keep-awake")
    run(host, "import os\nhold = bytearray(b'x' * (256 << 20))\n"
              "open('/workspace/f', 'wb').write(os.urandom(64 << 20)); os.sync()",
        "holder")
    time.sleep(6)
    first = usage(host, "holder")
    begun = time.monotonic()
    time.sleep(12)
    last = usage(host, "holder")
    span = time.monotonic() - begun
    held = last["memory_gib_seconds"] - first["memory_gib_seconds"]
    # The kernel has some of its own, and what it wrote may be in its cache.
    ok(0.25 * span < held < 0.36 * span, f"256 MiB for {span:.1f} s: {held:.2f} GiB s")
    ok(64 << 20 <= last["disk_bytes"] < 65 << 20, f"disk: {last['disk_bytes']} bytes")
    held = last["disk_gib_seconds"] - first["disk_gib_seconds"]
    ok(0.06 * span < held < 0.066 * span, f"for as long: {held:.2f} GiB s")
    host.cli("rm", "holder")


def costs(host):
    """The price table, what the command prints, and what it refuses."""
    answer = usage(host)
    total = answer["total"]
    ok(abs(total["cost"] - 0.00002 * total["cpu_seconds"]) < 1e-9,
       f"${total['cost']:.6f} for {total['cpu_seconds']:.1f} s")
    ok(abs(sum(s["cpu_seconds"] for s in answer["sandboxes"]) - total["cpu_seconds"])
       < 1e-6, "the total is the sum")
    table = host.cli("usage").stdout
    ok("COST-USD" in table and "(all)" in table and "removed" in table, "a table")
    recent = host.json("usage", "--since", "1h")
    ok(recent["since"] and recent["total"]["cpu_seconds"] > 0, "since an hour")
    for bad in ("yesterday", "-1h", "2026-13-40"):
        result = host.cli("usage", "--since", bad, check=False)
        equal(result.returncode, 2, f"--since {bad} is refused")
    equal(host.cli("usage", "nobody", check=False).returncode, 3, "there was none")
    status, _ = api.call(host, "GET", "/v1/usage?since=x")
    equal(status, 400, "a wrong time")
    future = host.json("usage", "--since", "2099-01-01")
    equal(future["total"]["cpu_seconds"], 0, "nothing was used in the future")


def families(host):
    text = host.cli("usage", "--prometheus").stdout
    found = {}
    for family in text_string_to_metric_families(text):
        ok(family.documentation and family.type in ("counter", "gauge"),
           f"{family.name} has words and a type")
        for sample in family.samples:
            found[(sample.name, *sorted(sample.labels.items()))] = sample.value
    return found


def prometheus(host):
    rows = families(host)
    ledger = usage(host, "count")
    key = ("kernelhost_sandbox_cpu_seconds_total", ("owner", "local"),
           ("sandbox", "count"))
    ok(abs(rows[key] - ledger["cpu_seconds"]) < 1, "a sandbox's processor time")
    total = ("kernelhost_owner_cpu_seconds_total", ("owner", "local"))
    ok(abs(rows[total] - usage(host)["total"]["cpu_seconds"]) < 1,
       "its owner's has that of removed ones as well")
    ok(not any(("sandbox", "gone-1") in k for k in rows), "which have no rows")
    ok(any(k[0] == "kernelhost_kernel_executions_total" and v >= 30
           for k, v in rows.items()), "kernels have theirs")
    connection = api.Connection(host.state / "run/api.sock")
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    ok(response.getheader("Content-Type").startswith("text/plain; version=0.0.4")
       and b"kernelhost_info" in response.read(), "and GET /metrics has it")


def lasts(host):
    before = usage(host)["total"]
    host.stop()
    host.start()
    after = usage(host)["total"]
    ok(before["cpu_seconds"] <= after["cpu_seconds"] < before["cpu_seconds"] + 1
       and after["executions"] == before["executions"],
       "all of it is there when the host was stopped and started")
    host.stop()
    (host.state / "config.json").write_text(json.dumps(
        {"prices": {"cpu_second": 1, "memory_gib_second": 0.5}}))
    host.start()
    total = usage(host)["total"]
    ok(abs(total["cost"] - total["cpu_seconds"] - 0.5 * total["memory_gib_seconds"])
       < 1e-6, "with other prices it costs something else")


with Host() as host:
    parts(host, killed, sleeps, hibernates, executions, removed, memory_and_disk, costs,
          prometheus, lasts)
done()
