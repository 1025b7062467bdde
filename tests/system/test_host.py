#!/usr/bin/env python3
"""The host's processes die, the machine stops, a record is damaged: what was
acknowledged is there again, and nothing is left over."""

import os
import pathlib
import signal
import subprocess
import time

import api
from host import DAEMON, Host, status_of
from talk import Talk
from tap import check, done, equal, note, ok


def inside():
    """The processes in sandboxes: those with a further pid namespace; without the
    sleeps of the loop that make_two starts, which change every second."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = status_of(pid)
        if (len(status.get("NSpid", "").split()) > 1 and status["State"][0] != "Z"
                and status["Name"] != "sleep"):
            found[int(pid)] = status["Name"]
    return found


def cgroups(host):
    """The cgroups of this host's sandboxes, in every hierarchy; a zygote's has the
    name of its image."""
    parents = [
        os.path.join(path, host.key) for path, names, _ in os.walk("/sys/fs/cgroup")
        if os.path.basename(path) == "kernelhost" and host.key in names
    ]
    return [os.path.join(parent, entry.name) for parent in parents
            for entry in os.scandir(parent) if entry.is_dir()
            and not (host.state / "images/id" / entry.name).exists()]


def mounts(host):
    """Mounts below the state directory, but for the layers of the test itself."""
    return [
        line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").open()
        if line.split()[4].startswith(f"{host.state}/")
        and line.split()[4] != f"{host.state}/layers"
    ]


def leftovers(host):
    return {"processes": inside(), "cgroups": cgroups(host), "mounts": mounts(host)}


NOTHING = {"processes": {}, "cgroups": [], "mounts": []}


def settles(host, want, seconds=15):
    """The leftovers, as soon as they are what is wanted."""
    end = time.monotonic() + seconds
    while (got := leftovers(host)) != want and time.monotonic() < end:
        time.sleep(0.1)
    return got


def states(host):
    return {s["name"]: s["state"] for s in host.json("ls")}


def make_two(host):
    """Two sandboxes with a file and a kernel each."""
    for name in ("one", "two"):
        host.cli("create", name, "--memory", "512M", "--pids", "100")
        host.cli("exec", name, "--", "sh", "-c",
                 f"echo {name} > file; mkdir d; ln -s file d/link; chmod 640 file")
        host.cli("run", name, "-c", "x = 1")
        # A process that was told nothing of any of this.
        host.cli("run", name, "-c", "import subprocess; subprocess.Popen(['setsid', "
                 "'sh', '-c', 'trap \"\" TERM HUP; while :; do sleep 1; done'])")


def disk_is_there(host, name):
    got = host.cli("exec", name, "--", "sh", "-c",
                   "cat file d/../file; stat -c '%a %u' file; readlink d/link")
    equal(got.stdout, f"{name}\n{name}\n640 1000\nfile\n",
          f"the disk of {name} is whole")


def host_killed(host):
    make_two(host)
    before = {s["name"]: s for s in host.json("ls")}
    there = leftovers(host)
    ok(len(there["processes"]) >= 6 and len(there["cgroups"]) >= 2,
       f"two sandboxes run: {len(there['processes'])} processes, "
       f"{len(there['cgroups'])} cgroups")
    host.kill()
    equal(set(inside()), set(there["processes"]),
          "kill -9 of kernelhostd: every process in them goes on")
    host.start()
    equal(states(host), {"one": "running", "two": "running"},
          "a new one finds them running")
    equal(settles(host, there), there,
          "with the processes, cgroups and mounts of before, and no others")
    after = {s["name"]: s for s in host.json("ls")}
    for name in ("one", "two"):
        fields = ("id", "image", "created", "started", "limits")
        equal([after[name][f] for f in fields], [before[name][f] for f in fields],
              f"{name} is what it was")
        disk_is_there(host, name)
    equal(host.cli("run", "one", "-c", "x").stdout, "1\n", "its memory is there")


def gateway_killed(host):
    pid = api.call(host, "GET", "/v1/health")[1]["pid"]
    host.cli("run", "one", "-c", "kept = 'in memory'")
    talk = Talk(host.client("two"))
    talk.execute("y = 2")
    processes = set(inside())
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while host.cli("ls", check=False).returncode and time.monotonic() < end:
        time.sleep(0.1)
    health = api.call(host, "GET", "/v1/health")
    ok(health[0] == 200 and health[1]["pid"] != pid,
       "kill -9 of the gateway: it is started again")
    equal(states(host), {"one": "running", "two": "running"}, "the sandboxes run on")
    ok(processes <= set(inside()), "no process in them has ended")
    with check("commands and kernels work again"):
        assert host.cli("exec", "one", "--", "cat", "file").stdout == "one\n"
        assert host.cli("run", "one", "-c", "1 + 1").stdout == "2\n"
        fresh = Talk(host.client("two"))
        assert fresh.execute("1 + 1").value == "2"
        fresh.close()
    talk.close()


def record_of(host, name):
    """The directory of a sandbox."""
    return host.state / "sandboxes" / host.json("show", name)["id"].replace("-", "")


def damaged(host):
    where = record_of(host, "two")
    ident = where.name
    upper = sorted(os.listdir(host.upper(ident)))
    host.stop()
    whole = (where / "record").read_bytes()
    spoilt = bytearray(whole)
    spoilt[40] ^= 0x20
    (where / "record").write_bytes(spoilt)
    host.start()
    equal(states(host), {"one": "stopped"}, "a damaged record: the others are there")
    aside = [p for p in (host.state / "damaged").iterdir() if ident in p.name]
    equal([p.read_bytes() for p in aside], [bytes(spoilt)],
          "it is set aside in damaged/, as it was")
    lines = [line for line in host.log_text().splitlines() if ident in line]
    ok(any("damaged/" in line and "error" in line for line in lines),
       "the log says so and where it is")
    if not lines:
        note(host.log_text()[-2000:])
    equal(sorted(os.listdir(host.upper(ident))), upper, "its disk is where it was")
    host.cli("start", "one")
    disk_is_there(host, "one")
    host.stop()
    host.start()
    ok(where.is_dir() and aside[0].exists(), "at the next start it is still kept")
    host.stop()
    aside[0].unlink()
    (where / "record").write_bytes(whole)
    host.start()
    equal(states(host), {"one": "stopped", "two": "stopped"},
          "put back, the sandbox is there again")
    host.cli("start", "two")
    disk_is_there(host, "two")


def bad_records(host):
    """Empty, short, long, of another version: none may stop the host."""
    where = record_of(host, "two")
    host.stop()
    whole = (where / "record").read_bytes()
    for what, data in (("empty", b""), ("cut", whole[:100]), ("longer", whole + b"x"),
                       ("zero", bytes(len(whole))), ("large", b"x" * 10 ** 6)):
        (where / "record").write_bytes(data)
        for old in (host.state / "damaged").iterdir():
            old.unlink()
        host.start()
        equal((states(host), len(os.listdir(host.state / "damaged")),
               (host.upper(where.name) / "workspace").is_dir()),
              ({"one": "stopped"}, 1, True),
              f"a record that is {what} is set aside")
        host.stop()
    (where / "record").write_bytes(whole)
    for old in (host.state / "damaged").iterdir():
        old.unlink()
    host.start()
    equal(states(host), {"one": "stopped", "two": "stopped"}, "and put back works")


def second_host(host):
    got = subprocess.run([DAEMON], env=host.env, capture_output=True, text=True,
                         timeout=30, stdin=subprocess.DEVNULL)
    ok(got.returncode != 0 and str(host.state) in got.stderr,
       f"a second host on the same state refuses: {got.stderr.strip()[-120:]}")
    equal(host.cli("run", "one", "-c", "1 + 1").stdout, "2\n", "the first serves on")
    other = Host("second")
    other.start()
    equal((states(other), sorted(states(host))), ({}, ["one", "two"]),
          "a host on another state directory runs beside it")
    other.cli("create", "one")
    equal(other.cli("run", "one", "-c", "1 + 1").stdout, "2\n", "with its sandboxes")
    other.stop()
    equal(host.cli("run", "one", "-c", "2 + 2").stdout, "4\n",
          "its end does not touch the first")


def stopped(host):
    host.cli("start", "two", check=False)
    host.cli("exec", "two", "--", "sh", "-c", "echo late > late")
    waiting = subprocess.Popen(["kernelhost", "exec", "one", "--", "sleep", "1000"],
                               env=host.env, stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    begun = time.monotonic()
    equal(host.stop(), 0, "SIGTERM ends the host with status 0")
    ok(time.monotonic() - begun < 20, "soon")
    _, text = waiting.communicate(timeout=20)
    ok(waiting.returncode not in (0, None) and text.count("\n") == 1,
       f"a command that waits ends with a line: {text.strip()}")
    equal(settles(host, NOTHING), NOTHING, "no process, cgroup or mount is left")
    left = [os.path.join(path, name) for path, _, names in os.walk(host.state / "run")
            for name in names]
    equal(left, [], "and no file or socket in run/")
    ok(host.cli("ls", check=False).returncode == 5, "the command line says it is gone")
    host.start()
    equal(states(host), {"one": "stopped", "two": "stopped"},
          "at the next start the sandboxes are there")
    host.cli("start", "two")
    equal(host.cli("exec", "two", "--", "cat", "late").stdout, "late\n",
          "with what was written last")


def removed_while_running(host):
    """Removal is whole: also with processes that ignore signals."""
    host.cli("rm", "one", "two")
    equal(settles(host, NOTHING), NOTHING, "rm leaves no process, cgroup or mount")
    equal(os.listdir(host.state / "sandboxes"), [], "and no directory")
    end = time.monotonic() + 10
    while os.listdir(host.state / "trash") and time.monotonic() < end:
        time.sleep(0.1)
    equal(os.listdir(host.state / "trash"), [], "the trash is emptied")


def main():
    with Host() as host:
        host_killed(host)
        gateway_killed(host)
        damaged(host)
        bad_records(host)
        second_host(host)
        stopped(host)
        removed_while_running(host)
    done()


main()
