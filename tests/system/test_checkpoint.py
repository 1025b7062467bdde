#!/usr/bin/env python3
"""Checkpoints: a kernel becomes what it was, in place, as often as one likes."""

import json
import os
import pathlib
import queue
import subprocess
import time

from api import call, kernel_of
from host import Host
from outlive import all_is_known, value
from tap import check, done, equal, eventually, note, ok, parts


def run(host, name, code, check=True):
    got = host.cli("run", name, "-c", code, check=check)
    return got.stdout + got.stderr


def rolled_back(host):
    run(host, "box", """
import asyncio, random, sys
import numpy, pandas
frame = pandas.DataFrame({"n": range(1000)})
items = [1, [2]]
open("/workspace/lines", "w").write("".join(f"line {i}\\n" for i in range(10000)))
lines = open("/workspace/lines")
first = [next(lines) for _ in range(3)]
raw = open("/workspace/lines", "rb", buffering=0)
raw.seek(700)
import matplotlib.pyplot as plt
figure = plt.figure(); axes = figure.gca(); axes.plot([1, 2])
random.seed(3); numpy.random.seed(3)
ticks = []
async def tick():
    while True:
        ticks.append(len(items)); await asyncio.sleep(0.05)
task = asyncio.get_running_loop().create_task(tick())
""")
    made = host.cli("checkpoint", "box", "--label", "all there")
    equal((made.stdout, made.stderr), ("1\n", ""), "a checkpoint is made")
    count = host.json("show", "box")["kernels"][0]["execution_count"]
    state = ("items, len(frame.columns), frame.n.sum(), next(lines), raw.read(7), "
             "len(figure.axes[0].lines), random.random(), numpy.random.rand(), "
             "task.done(), 'new' in globals()")
    for i in range(3):
        host.cli("rollback", "box")
        if i == 0:
            want = run(host, "box", f"print({state})")
        else:
            equal(run(host, "box", f"print({state})"), want,
                  f"rollback {i}: {want.strip()}")
        run(host, "box", "items[1].append(3); frame['m'] = 1; del lines; raw.seek(0)\n"
                         "axes.plot([3, 4]); new = 1; task.cancel(); del asyncio")
    got = host.json("rollback", "box", "1")
    equal((got["id"], got["label"], got["execution_count"]), (1, "all there", count),
          "it says where it is")
    equal(host.json("show", "box")["kernels"][0]["execution_count"], count,
          "the execution count goes back")
    before = int(value(host, "box", "len(ticks)"))
    time.sleep(0.3)
    ok(int(value(host, "box", "len(ticks)")) > before, "a task of the loop goes on")
    equal(value(host, "box", "import os; os.getppid()"), "1", "its parent is PID 1")


def lost_is_told(host):
    run(host, "box", """
import os, socket, subprocess, mmap
server = socket.create_server(("127.0.0.1", 4321))
a, b = socket.socketpair()
reader, writer = os.pipe()
child = subprocess.Popen(["sleep", "300"])
pages = mmap.mmap(-1, 4096)
log = open("/workspace/log", "w"); log.write("one\\n"); log.flush()
""")
    made = host.json("checkpoint", "box")
    lost = {(one["what"], one["name"]) for one in made["lost"]}
    note(made["lost"])
    whats = sorted(one["what"] for one in made["lost"])
    equal(whats, ["file", "memory", "pipe", "pipe", "process", "socket", "socket",
                  "socket"], "what will not come back is listed")
    ok({("process", "sleep 300"), ("file", "/workspace/log"),
        ("socket", "127.0.0.1 port 4321")} <= lost, "by its name")
    equal(host.cli("checkpoint", "box").stderr.count("not kept: "), 8,
          "also on the terminal")
    free = run(host, "box",
               "later = subprocess.Popen(['sleep', '301']); log.write('two\\n')\n"
               "log.flush(); server.close()\n"
               "socket.create_server(('127.0.0.1', 4321)).close(); print('free')",
               check=False)
    equal(free.splitlines()[-1:], ["free"], "the checkpoint holds no port")
    host.cli("rollback", "box", made["id"])
    equal(value(host, "box", "a.recv(5), os.read(reader, 5)"), "(b'', b'')",
          "sockets and pipes read as closed")
    ps = host.cli("exec", "box", "--", "sh", "-c",
                  "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    equal(("sleep 300" in ps, "sleep 301" in ps), (True, False),
          "the process from before goes on, the one from after was ended")
    equal(value(host, "box", "log.write('2\\n'); log.flush(); open(log.name).read()"),
          "'one\\n2\\no\\n'", "an open file is where it was; its contents are not")
    host.cli("checkpoint", "rm", "box", made["id"], str(made["id"] + 1))


def refused(host):
    run(host, "box", "import threading; stop = threading.Event()\n"
                     "thread = threading.Thread(target=stop.wait, name='dozer')\n"
                     "thread.start()")
    got = host.cli("checkpoint", "box", check=False)
    ok(got.returncode == 4 and "'dozer'" in got.stderr and "--files" in got.stderr,
       f"threads: {got.stderr.strip()}")
    run(host, "box", "stop.set(); thread.join(); mark = 5")
    for args, status, reason in (
        (("rollback", "box", "77"), 3,
         "no checkpoint 77 (hint: kernelhost checkpoints box "),
        (("rollback", "box", "0"), 2, "1 .. "),
        (("rollback", "box", "x"), 3, "no snapshot 'x'"),
        (("rollback", "box", "X"), 2, "neither the number"),
        (("checkpoint", "rm", "box", "77"), 3, "no checkpoint 77"),
        (("checkpoint", "nobox"), 3, "no sandbox"),
        (("checkpoint", "box", "--label", "x" * 65), 2, "64 bytes"),
        (("checkpoint", "box", "--kernel", "nope"), 3, "no kernel"),
        (("checkpoint", "box", "--kernel", "../x"), 2, "no kernel id"),
    ):
        got = host.cli(*args, check=False)
        ok(got.returncode == status and reason in got.stderr,
           f"{' '.join(args[:2])} is refused: {got.stderr.strip()[:150]}")
    equal(value(host, "box", "mark"), "5", "the kernel is as it was")
    host.cli("create", "empty")
    kernels = host.json("show", "empty")["kernels"]
    got = host.cli("rollback", "empty", check=False)
    ok(got.returncode == 3 and "hint:" in got.stderr,
       f"without a checkpoint ({len(kernels)} kernels): {got.stderr.strip()}")
    host.cli("rm", "empty")


def drained(client):
    """Reads what was published until a while of silence; returns the session."""
    session = None
    while True:
        try:
            session = client.get_iopub_msg(timeout=0.5)["header"]["session"]
        except queue.Empty:
            return session


def busy(host):
    client = host.client("box")
    number = host.json("checkpoint", "box")["id"]
    client.execute("import os, time\n"
                   "while not os.path.exists('/workspace/on'): time.sleep(0.05)\n"
                   "slept = 1")
    end = time.monotonic() + 10
    while host.json("show", "box")["kernels"][0]["execution_state"] != "busy":
        assert time.monotonic() < end
    got = host.cli("rollback", "box", number, check=False)
    ok(got.returncode == 4 and "busy" in got.stderr and "hint:" in got.stderr,
       f"while a cell runs: {got.stderr.strip()}")
    pending = subprocess.Popen(host.command("checkpoint", "box"), env=host.env,
                               stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    equal(pending.poll(), None, "a checkpoint waits meanwhile")
    host.cli("exec", "box", "--", "touch", "/workspace/on")
    during = pending.communicate(timeout=60)[0].strip()
    ok("slept" in run(host, "box", "print(list(globals()))"),
       "a checkpoint waits for the cell")
    host.cli("rollback", "box", during)
    equal(value(host, "box", "slept"), "1", "and has what it did")
    # A client that stays connected.
    session = drained(client)
    host.cli("rollback", "box", number)
    seen = [client.get_iopub_msg(timeout=5) for _ in range(2)]
    equal([(m["content"]["execution_state"], m["header"]["session"]) for m in seen],
          [("busy", session), ("idle", session)],
          "connected clients see busy and idle, no restart")
    shown = []
    reply = client.execute_interactive("'slept' in globals()", timeout=20,
                                       output_hook=shown.append)
    text = [m["content"]["data"]["text/plain"] for m in shown
            if m["msg_type"] == "execute_result"]
    equal((reply["content"]["status"], text), ("ok", ["False"]),
          "they go on with the same kernel")
    client.execute("import time\nwhile True: time.sleep(0.01)")
    time.sleep(0.3)
    call(host, "POST", f"/v1/sandboxes/box/kernels/{kernel_of(host, 'box')}/interrupt")
    with check("a cell after a rollback can be interrupted"):
        reply = client.get_shell_msg(timeout=30)
        while reply["content"].get("ename") != "KeyboardInterrupt":
            reply = client.get_shell_msg(timeout=30)
    client.stop_channels()
    host.cli("checkpoint", "rm", "box", number, during)


def branches(host):
    for one in host.json("checkpoints", "box"):
        host.cli("checkpoint", "rm", "box", one["id"])
    run(host, "box", "path = ['root']")
    left = host.json("checkpoint", "box", "--label", "root")["id"]
    run(host, "box", "path.append('left')")
    right = host.json("checkpoint", "box", "--label", "left")["id"]
    seen = set()
    for i in range(50):
        number, want = ((left, "['root', 'x']"),
                        (right, "['root', 'left', 'x']"))[i % 2]
        host.cli("rollback", "box", number)
        seen.add((i % 2, value(host, "box", "path.append('x'); path") == want))
        if i == 20:
            host.kill_gateway()
        if i % 10 == 9:
            extra = host.json("checkpoint", "box")["id"]
            run(host, "box", "path.append('y')")
            host.cli("rollback", "box")
            seen.add((2, value(host, "box", "path") == want))
            host.cli("checkpoint", "rm", "box", extra)
    equal(seen, {(0, True), (1, True), (2, True)}, "50 rollbacks on two branches")
    equal([(c["id"], c["label"]) for c in host.json("checkpoints", "box")],
          [(left, "root"), (right, "left")], "both are still there")
    text = host.cli("checkpoints", "box").stdout.splitlines()
    ok(text[0].startswith("CHECKPOINT") and len(text) == 3, "and are listed")


def processes(host):
    """Host ids of the processes in the sandbox, but its PID 1."""
    first = next(pid for pid in os.listdir("/proc")
                 if pid.isdigit() and nspid(pid)[1:] == ["1"])
    space = os.readlink(f"/proc/{first}/ns/pid")
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == space and pid != first:
                found.add(pid)
        except OSError:
            continue
    return found


def nspid(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return next((line.split()[1:] for line in text.splitlines()
                 if line.startswith("NSpid:")), [])


def gone(host):
    """Nothing of them outlives the kernel that they are of."""
    for i in range(20):
        made = host.json("checkpoint", "box", "--label", i)
    equal(len(host.json("checkpoints", "box")), 16, "16 are kept")
    ok(made["dropped"] == made["id"] - 16, "the oldest goes, and that is said")
    ok(len(processes(host)) > 16, "each is a process")
    call(host, "POST", f"/v1/sandboxes/box/kernels/{kernel_of(host, 'box')}/restart")
    equal((host.json("checkpoints", "box"), value(host, "box", "'path' in globals()")),
          ([], "False"), "a restart ends them")
    ok(eventually(lambda: len(processes(host)) == 1),
       f"all of them, and what began before ({len(processes(host))} left)")
    host.cli("checkpoint", "box")
    run(host, "box", "import os; os._exit(7)", check=False)
    equal(host.json("checkpoints", "box"), [], "so does a death")
    run(host, "box", "1")
    host.cli("checkpoint", "box")
    run(host, "box", "import os, signal; x = 41; os.kill(-1, signal.SIGKILL)")
    eventually(lambda: not host.json("checkpoints", "box"))
    equal((host.json("checkpoints", "box"), value(host, "box", "x + 1")), ([], "42"),
          "one that is killed is forgotten, the kernel goes on")


def api(host):
    base = f"/v1/sandboxes/box/kernels/{kernel_of(host, 'box')}/checkpoints"
    status, made = call(host, "POST", base, {"label": "é\n\x1b[31m"})
    equal((status, made["label"]), (201, "é\n\x1b[31m"), "POST makes one: 201")
    ok("\\x1b" in host.cli("checkpoints", "box").stdout,
       "its label is harmless on a terminal")
    listed = call(host, "GET", base)[1]["checkpoints"]
    equal(listed[-1]["id"], made["id"], "GET lists it")
    for path, body, want in ((f"{base}/{made['id']}/rollback", {"files": True}, 400),
                             (f"{base}/{made['id']}/rollback", {"files": 1}, 400),
                             (base, {"files": 1}, 400),
                             (f"{base}/9999999999/rollback", {}, 404),
                             (f"{base}/99999999999/rollback", {}, 400),
                             (f"{base}/-1/rollback", {}, 400),
                             (base, {"label": 5}, 400),
                             (f"{base}/{made['id']}/rollback", {}, 200)):
        status, body = call(host, "POST", path, body)
        shown = json.dumps(body)[:120]
        equal(status, want, f"POST {path[len(base):]}: {status} {shown}")
    equal(call(host, "DELETE", f"{base}/{made['id']}")[0], 204, "DELETE: 204")
    equal(call(host, "DELETE", f"{base}/{made['id']}")[0], 404, "again: 404")
    host.cli("stop", "box")
    equal((call(host, "GET", base)[1], host.json("show", "box")["state"]),
          ({"checkpoints": []}, "stopped"), "a stopped sandbox has none, and stays so")
    equal(call(host, "POST", base)[0], 409, "nor can one be made")


def crowded(host):
    """Where no more processes are allowed, a rollback frees what it ends first."""
    host.cli("create", "crowd", "--pids", "20")
    run(host, "crowd", "x = 'precious'")
    host.cli("checkpoint", "crowd")
    run(host, "crowd", "import subprocess\nwhile True:\n"
        "    try: subprocess.Popen(['sleep', '99'])\n    except OSError: break")
    host.cli("rollback", "crowd")
    equal(run(host, "crowd", "x"), "'precious'\n",
          "a rollback when all allowed processes are there")
    host.cli("rm", "crowd")


def main():
    with Host(preload="numpy,pandas,matplotlib.pyplot") as host:
        host.cli("create", "box")
        parts(host, rolled_back, lost_is_told, refused, busy, branches, gone, api,
              crowded)
        host.cli("rm", "box")
        ok(all_is_known(host), "in the end nothing is left over")
    done()


main()
