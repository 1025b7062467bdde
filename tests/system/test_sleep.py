#!/usr/bin/env python3
"""Sandboxes sleep, frozen or on the disk, and wake with everything in place."""

import os
import pathlib
import re
import signal
import time

import session
from api import Connection, call
from host import Host
from outlive import firsts, groups, settled, states
from tap import done, equal, eventually, note, ok, parts
from talk import Talk

CYCLES = int(os.environ.get("KH_CYCLES", "8"))


def mounts(host, name):
    """What the inside sees, without the numbers that the kernel gives."""
    text = host.cli("exec", name, "--", "cat", "/proc/self/mountinfo").stdout
    # Ids are those of the slot; overlayfs says uuid=on of an upper that is new.
    text = re.sub(r",?(uid|gid)=\d+|,uuid=\w+", "", text)
    return sorted(" ".join(line.split()[3:]) for line in text.splitlines())


def posture(host, name):
    keys = (
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Threads",
    )
    text = host.cli("exec", name, "--", "cat", "/proc/1/status").stdout
    return {
        k: v
        for k, _, v in (line.partition(":\t") for line in text.splitlines())
        if k in keys
    }


SYSCTLS = (
    "user/max_user_namespaces",
    "user/max_inotify_instances",
    "user/max_inotify_watches",
)


def sysctls(host, name):
    return [
        host.cli("exec", name, "--", "cat", f"/proc/sys/{s}").stdout for s in SYSCTLS
    ]


def surroundings(host, name):
    """Everything that CRIU drops, or could."""
    return {
        "mounts": mounts(host, name),
        "init": posture(host, name),
        "sysctls": sysctls(host, name),
        "cgroup": host.cli("exec", name, "--", "cat", "/proc/self/cgroup").stdout,
        "lo": host.cli("exec", name, "--", "cat", "/proc/net/dev").stdout.count("\n"),
        "meminfo": host.cli("exec", name, "--", "cat", "/proc/meminfo").stdout,
        "dev": host.cli("exec", name, "--", "ls", "/dev", "/dev/pts").stdout,
        "unshare": host.cli(
            "exec", name, "--", "unshare", "-U", "true", check=False
        ).returncode,
    }


def frozen(host):
    host.cli("create", "ice")
    session.run(host, "ice", "x = 20")
    host.cli(
        "exec",
        "ice",
        "--",
        "sh",
        "-c",
        "(while :; do date +%N > /workspace/t; sleep 0.01; done) >/dev/null 2>&1 &",
    )
    host.cli("sleep", "--frozen", "ice")
    equal(states(host)["ice"], "frozen", "a frozen sandbox is called that")
    path = host.upper("ice") / "workspace/t"
    before = path.read_text()
    time.sleep(0.2)
    equal(path.read_text(), before, "nothing runs in it")
    equal(session.run(host, "ice", "x + 22"), "42\n", "a cell wakes it and is answered")
    equal(states(host)["ice"], "running", "then it runs")
    host.cli("sleep", "--frozen", "ice")
    equal(
        host.cli("exec", "ice", "--", "echo", "hi").stdout, "hi\n", "so does a command"
    )
    host.cli("sleep", "--frozen", "ice")
    host.kill_gateway()
    equal(session.run(host, "ice", "x + 1"), "21\n", "also when the gateway was killed")
    host.cli("sleep", "--frozen", "ice")
    host.kill()
    host.start()
    equal(
        states(host)["ice"] in ("frozen", "running"),
        True,
        "a killed kernelhostd finds it",
    )
    equal(session.run(host, "ice", "x + 2"), "22\n", "and it wakes")
    host.cli("sleep", "--frozen", "ice")
    host.cli("stop", "ice")
    equal(states(host)["ice"], "stopped", "a frozen one can be stopped")
    host.cli("start", "ice")
    host.cli("sleep", "--frozen", "ice")
    host.cli("rm", "ice")


def held(host):
    """What kernelhostd has open below memory/."""
    table = pathlib.Path(f"/proc/{host.pid}/fd")
    opened = [os.readlink(fd) for fd in table.iterdir() if fd.is_symlink()]
    return [p for p in opened if p.startswith(f"{host.state}/memory/")]


def hibernated(host):
    _, first = session.begin(host, "den")
    outside = surroundings(host, "den")
    before = firsts()
    host.cli("sleep", "den")
    equal(states(host)["den"], "hibernated", "a hibernated sandbox is called that")
    ok(not firsts() and not groups(host), "it has no process and no cgroup")
    shown = host.json("show", "den")
    ok(
        shown["saved"] > 10 << 20,
        f"its memory is {shown['saved'] >> 20} MiB on the disk",
    )
    looks, seen = session.look(host, "den")
    equal((looks, seen), (2, first), "woken by a cell, everything is as it was")
    ok(set(firsts()) != set(before), "in other processes")
    session.moves(host, "den", "woken")
    inside = surroundings(host, "den")
    for key, value in outside.items():
        equal(inside[key], value, f"woken, {key} is what a new sandbox has")
    times = []
    same = True
    for i in range(CYCLES):
        host.cli("sleep", "den")
        begun = time.monotonic()
        got = session.look(host, "den")
        times.append(time.monotonic() - begun)
        same = same and got == (3 + i, first)
    equal(same, True, f"{CYCLES} times to sleep and back: every byte is the same")
    host.cli("sleep", "den")
    equal(held(host), [], "kernelhostd has nothing open of what is on the disk")
    session.run(host, "den", "0")
    median = sorted(times)[len(times) // 2] * 1e3
    note(f"first answer after waking, median {median:.0f} ms")
    session.moves(host, "den", "after that")
    session.run(host, "den", "half.write('second half'); half.flush()")
    equal(
        session.run(host, "den", "open('/workspace/half').read()"),
        "'first half, second half'\n",
        "the open file is written on",
    )
    equal(sysctls(host, "den"), outside["sysctls"], "the limits inside are still there")


def connected(host):
    """A client that stays connected does nothing special."""
    talk = Talk(host.client("den"))
    for _ in range(2):
        host.cli("sleep", "den")
        cell = talk.send("print('awake', count)")
        until = time.monotonic() + 30
        while not (cell.idle and cell.message) and time.monotonic() < until:
            talk.take(0.2)
        ok(
            cell.idle and cell.message and cell.message["content"]["status"] == "ok",
            "a connected client's cell is answered",
        )
        ok("awake" in cell.text, cell.text.strip())
    talk.client.stop_channels()


def restarts(host):
    """The host ends between sleep and waking; so does everything (a reboot)."""
    looks, first = session.look(host, "den")
    for how in (
        "kill the gateway",
        "kill kernelhostd",
        "stop the host",
        "kill everything",
    ):
        host.cli("sleep", "den")
        if how == "kill the gateway":
            host.kill_gateway()
        elif how == "kill kernelhostd":
            host.kill()
            host.start()
        else:
            if how == "kill everything":
                os.kill(host.gateway(), signal.SIGKILL)
                host.kill()
                for path in pathlib.Path("/dev/shm").glob("kernelhost-*"):
                    if path.is_file():
                        path.unlink()
            else:
                host.stop()
            host.start()
        equal(states(host)["den"], "hibernated", f"{how}: it is still hibernated")
        looks += 1
        equal(session.look(host, "den"), (looks, first), f"{how}: everything is there")
    session.moves(host, "den", "in the end")


def refused(host):
    host.cli("create", "busy")
    talk = Talk(host.client("busy"))
    cell = talk.send("import os, time; print('on')\n"
                     "while not os.path.exists('/workspace/off'): time.sleep(0.05)\n"
                     "print('off')")
    until = time.monotonic() + 20
    while "on" not in cell.text and time.monotonic() < until:
        talk.take(0.1)
    for flag in ((), ("--frozen",)):
        got = host.cli("sleep", *flag, "busy", check=False)
        ok(
            got.returncode == 4
            and "a cell runs" in got.stderr
            and "hint" in got.stderr,
            got.stderr.strip(),
        )
    # A command in it would be refused sleep as well: the file comes through a kernel.
    other = call(host, "POST", "/v1/sandboxes/busy/kernels", {})[1]["id"]
    session.run_in(host, "busy", other, "open('/workspace/off', 'w').close()")
    while not cell.idle and time.monotonic() < until:
        talk.take(0.2)
    ok("off" in cell.text, "the cell goes on to its end")
    talk.client.stop_channels()
    got = host.cli("sleep", "nosuch", check=False)
    equal(got.returncode, 3, got.stderr.strip())
    host.cli("stop", "busy")
    got = host.cli("sleep", "busy", check=False)
    ok(got.returncode == 4 and "kernelhost start" in got.stderr, got.stderr.strip())
    got = host.cli("wake", "busy", check=False)
    ok(got.returncode == 4 and "kernelhost start" in got.stderr, got.stderr.strip())
    host.cli("start", "busy")
    host.cli("sleep", "busy")
    host.cli("sleep", "busy")
    equal(states(host)["busy"], "hibernated", "sleeping twice is no error")
    host.cli("wake", "busy")
    equal(states(host)["busy"], "running", "wake wakes")
    host.cli("sleep", "busy")
    host.cli("stop", "busy")
    equal(states(host)["busy"], "stopped", "a hibernated one can be stopped")
    equal(os.listdir(host.state / "memory"), [], "and its memory is void")
    host.cli("start", "busy")
    host.cli("sleep", "busy")
    host.cli("rm", "busy")


def meanwhile(host):
    """What wants it to stand still waits for a wake that is under way."""
    host.cli("create", "rising")
    session.run(host, "rising", "x = 3")
    place = "/v1/sandboxes/rising"
    for path, body, want in (
            ("snapshots", {"name": "risen", "memory": True}, (201, "running")),
            ("fork", {"names": ["risen"]}, (200, "running")),
            ("sleep", {"hibernate": True}, (200, "hibernated"))):
        host.cli("sleep", "rising")
        waking = Connection(host.state / "run/api.sock")
        waking.request("POST", f"{place}/wake")
        status, answer = call(host, "POST", f"{place}/{path}", body)
        waking.getresponse().read()
        equal((status, eventually(lambda w=want: states(host)["rising"] == w[1])),
              (want[0], True), f"{path} during a wake: {str(answer)[:150]}")
    equal(session.run(host, "risen", "x"), "3\n", "what was forked has everything")
    host.cli("rm", "rising", "risen")
    host.cli("snapshot", "rm", "risen")


def too_large(host):
    """What would not come back is not put to sleep; it goes on, with all it has."""
    host.cli("create", "small", "--memory", "128M")
    session.run(host, "small", "x = 'precious'\n" + SHARED.format(30, 1))
    for command in (("sleep", "small"), ("fork", "small", "smaller"),
                    ("snapshot", "small", "point", "--memory")):
        got = host.cli(*command, check=False)
        ok(got.returncode == 4 and "limits small --memory" in got.stderr,
           f"{command[0]}: {got.stderr.strip()}")
        equal(session.run(host, "small", "x"), "'precious'\n", "all is there")
    more = got.stderr.split("--memory ")[-1].strip(")\n")
    host.cli("limits", "small", "--memory", more)
    host.cli("sleep", "small")
    equal(session.run(host, "small", "x"), "'precious'\n",
          "with what the hint says it sleeps and wakes")
    host.cli("rm", "small")
    host.cli("create", "many")
    session.run(host, "many", SHARED.format(100, 11))
    got = host.cli("sleep", "many", check=False)
    ok(got.returncode == 4 and "MiB to come back" in got.stderr,
       f"memory that many share: {got.stderr.strip()}")
    host.cli("rm", "many")
    host.cli("create", "full", "--pids", "16")
    session.run(host, "full", "import subprocess\np = [subprocess.Popen(['sleep', "
                "'99']) for _ in range(11)]")
    host.cli("sleep", "full")
    equal(session.run(host, "full", "[q.poll() for q in p] == [None] * 11"), "True\n",
          "who has all the processes that are allowed wakes")
    ok(host.json("show", "full")["limits"]["pids"] == 16, "with the same limit")
    host.cli("rm", "full")


def misnamed(host):
    """The name of a process may look like a line of its status."""
    host.cli("create", "alias")
    session.run(host, "alias", "import subprocess, sys\np = subprocess.Popen("
                "[sys.executable, '-c', \"import time; open('/proc/self/comm', 'w')"
                ".write('NoNewPrivs:\\\\t1'); print(1, flush=True); time.sleep(99)\"], "
                "stdout=subprocess.PIPE)\nx = p.stdout.readline()")
    names = host.cli("exec", "alias", "--", "sh", "-c", "cat /proc/[0-9]*/comm").stdout
    ok("NoNewPrivs:\t1" in names, "a process has such a name")
    host.cli("sleep", "alias")
    equal(session.run(host, "alias", "p.poll()"), "", "it sleeps, and wakes")
    host.cli("rm", "alias")


# Every page would be written, and come back, once for each process.
SHARED = """
import os, time
block = bytearray(os.urandom(1 << 20)) * {}
for _ in range({}):
    if not os.fork():
        os.closerange(0, 64)
        time.sleep(99)
"""

READS = """
import time
open("/workspace/read", "wb").write(bytes(1 << 16))
go = True
def read():
    while go:
        open("/workspace/read", "rb").read()
        time.sleep(0.05)
threading.Thread(target=read).start()
"""


def stays_awake(host, text):
    """At every look, for longer than it may be idle."""
    ok(not eventually(lambda: states(host)["lazy"] != "running", 4), text)


def ladder(host):
    host.cli("create", "lazy")
    session.run(host, "lazy", "x = 1")
    text = host.cli("idle", "lazy").stdout
    equal(text, "freezes after 30s, hibernates after 600s\n", text.strip())
    equal(
        host.json("idle", "lazy", "--freeze-after", "1s", "--hibernate-after", "4s"),
        {"freeze_after": 1, "hibernate_after": 4},
        "the ladder can be set",
    )
    client = host.client("lazy")
    equal(states(host)["lazy"], "running", "it runs")
    for state in ("frozen", "hibernated"):
        ok(
            eventually(lambda s=state: states(host)["lazy"] == s),
            f"idle it is {state}, though a client is connected",
        )
    client.stop_channels()
    equal(session.run(host, "lazy", "x"), "1\n", "and comes back")
    session.run(
        host,
        "lazy",
        "import threading\ndef spin():\n  while go: pass\ngo = True\n"
        "threading.Thread(target=spin).start()",
    )
    stays_awake(host, "who works is not idle")
    session.run(host, "lazy", "go = False")
    session.run(host, "lazy", READS)
    stays_awake(host, "who reads and writes is not idle")
    session.run(host, "lazy", "go = False")
    host.cli("idle", "lazy", "--keep-awake")
    stays_awake(host, "who is kept awake does not sleep")
    got = host.cli("idle", "lazy", "--freeze-after", "soon", check=False)
    ok(got.returncode == 2 and "30s" in got.stderr, got.stderr.strip())
    host.stop()
    host.start()
    equal(
        host.json("idle", "lazy"),
        {"freeze_after": None, "hibernate_after": None},
        "the ladder outlives the host",
    )
    host.cli("rm", "lazy")
    host.cli("create", "bare", "--freeze-after", "1s", "--hibernate-after", "never")
    equal(
        host.json("idle", "bare"),
        {"freeze_after": 1, "hibernate_after": None},
        "create takes the ladder along",
    )
    host.kill_gateway()
    ok(
        eventually(lambda: states(host)["bare"] == "frozen"),
        "without a kernel, after a new gateway, it freezes",
    )
    host.cli("rm", "bare")


def main():
    with Host() as host:
        parts(host, frozen, hibernated, connected, restarts, refused, meanwhile,
              too_large, misnamed, ladder)
        host.cli("rm", "den")
        ok(settled(host, {}), "nothing is left over")
        equal(os.listdir(host.state / "memory"), [], "no memory is left over")
    done()


main()
