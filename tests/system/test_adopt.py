#!/usr/bin/env python3
"""Sandboxes outlive kernelhostd: it is killed at any moment and finds them again, and
takes for its own only what is."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time
import zlib

from host import DAEMON, Failed, Host, TMP
from tap import check, done, equal, note, ok

ROUNDS = 20
CRASHES = 15
BIRTH = {"boot": (24, 37), "kit": (61, 17), "pid": (78, 8), "start": (86, 8),
         "slot": (94, 8), "first": (102, 8), "started": (110, 8)}


def states(host):
    return {s["name"]: s["state"] for s in host.json("ls")}


def ids(host):
    return {s["name"]: s["id"].replace("-", "") for s in host.json("ls")}


def value(host, name, code):
    return host.cli("run", name, "-c", code).stdout.strip()


def status_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def firsts():
    """PID 1 of every sandbox, with its first host id."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = status_of(pid)
        if (len(status.get("NSpid", "").split()) == 2 and status["State"][0] != "Z"
                and status["NSpid"].split()[1] == "1"):
            found[int(pid)] = int(status["Uid"].split()[0])
    return found


def groups(host):
    """The names of this host's cgroups, in any hierarchy."""
    info = host.state.stat()
    key = f"{info.st_dev:x}-{info.st_ino:x}"
    return {
        name for path, names, _ in os.walk("/sys/fs/cgroup")
        if path.endswith(f"/kernelhost/{key}") for name in names
    }


def settled(host, want, seconds=15):
    """True when these ids, and no others, have a directory, a cgroup, a first
    process if they run, and the trash is empty."""
    end = time.monotonic() + seconds
    while True:
        running = {i for i, state in want.items() if state == "running"}
        got = (set(os.listdir(host.state / "sandboxes")), groups(host), len(firsts()),
               os.listdir(host.state / "trash"), os.listdir(host.state / "damaged"))
        if got == (set(want), running, len(running), [], []):
            return True
        if time.monotonic() > end:
            note(f"want {want}, have {got}")
            return False
        time.sleep(0.05)


def all_is_known(host):
    names = ids(host)
    return settled(host, {names[n]: state for n, state in states(host).items()})


def birth(host, name):
    return host.state / "sandboxes" / ids(host)[name] / "birth"


def forge(path, **fields):
    """Changes fields of a birth, and its checksum."""
    data = bytearray(path.read_bytes())
    for name, new in fields.items():
        at, size = BIRTH[name]
        if isinstance(new, int):
            new = new.to_bytes(8, "little")
        data[at:at + size] = new.ljust(size, b"\0")
    data[-8:] = zlib.crc32(data[:-8]).to_bytes(8, "little")
    path.write_bytes(data)


def claimed(path):
    """The numbers in a birth."""
    data = path.read_bytes()
    return {name: int.from_bytes(data[at:at + size], "little")
            for name, (at, size) in BIRTH.items() if size == 8}


def start_time(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])


def again_and_again(host):
    host.cli("create", "one")
    host.cli("create", "two", "--memory", "256M")
    for name in ("one", "two"):
        value(host, name, "import threading, time; n = ticks = 0\n"
              "def tick():\n  global ticks\n"
              "  while True: time.sleep(0.01); ticks += 1\n"
              "threading.Thread(target=tick, daemon=True).start()")
    before, seen, times = firsts(), [], []
    for _ in range(ROUNDS):
        host.kill()
        begun = time.monotonic()
        host.start()
        times.append(time.monotonic() - begun)
        seen.append((states(host), *[value(host, name, "n += 1; n")
                                     for name in ("one", "two")]))
    both = {"one": "running", "two": "running"}
    equal(seen, [(both, str(i + 1), str(i + 1)) for i in range(ROUNDS)],
          f"kill -9 and start, {ROUNDS} times: both run, and count on")
    equal(firsts(), before, "the processes are the same")
    ok(all(int(value(host, name, "ticks")) > ROUNDS for name in both),
       "threads went on")
    ok(all_is_known(host), "nothing is left over")
    note(f"until it answers: {min(times) * 1000:.0f} to {max(times) * 1000:.0f} ms")


def cell_goes_on(host):
    cell = subprocess.Popen(
        ["kernelhost", "run", "one", "-c",
         "import time; time.sleep(2); open('done', 'w').write('yes'); late = 1"],
        env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    time.sleep(0.5)
    host.kill()
    host.start()
    cell.communicate(timeout=60)
    equal(value(host, "one", "late, open('done').read()"), "(1, 'yes')",
          "a cell that ran meanwhile comes to its end")


def ends(host):
    """An adopted sandbox is stopped, started, removed, dies, like any other."""
    host.cli("stop", "one")
    equal(states(host)["one"], "stopped", "an adopted sandbox is stopped")
    host.cli("start", "one")
    equal(value(host, "one", "open('done').read()"), "'yes'", "and started")
    host.kill()
    host.start()
    first = {uid: pid for pid, uid in firsts().items()}
    host.cli("create", "three")
    uids = sorted(firsts().values())
    ok(len(uids) == 3 and len(set(uids)) == 3 and set(first) < set(uids),
       f"a new one gets ids of its own: {uids}")
    host.cli("rm", "three")
    path = birth(host, "two")
    pid = claimed(path)["pid"]
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while states(host)["two"] == "running" and time.monotonic() < end:
        time.sleep(0.05)
    equal(states(host), {"one": "running", "two": "stopped"},
          "one whose first process is killed is stopped")
    line = [text for text in host.log_text().splitlines()
            if "sandbox ended name=two" in text][-1]
    ok("status=0xffffffff" in line, f"with a status that is not known: {line}")
    ok(not path.exists() and all_is_known(host), "nothing is left over")
    host.cli("start", "two")
    pid = claimed(path)["pid"]
    host.kill()
    os.kill(pid, signal.SIGKILL)
    host.start()
    equal(states(host), {"one": "running", "two": "stopped"},
          "and so is one that ended while there was no kernelhostd")
    ok(not path.exists() and all_is_known(host), "of which nothing is left over")


def refused(host, what, reason, spared=None, **fields):
    """A birth that is not true: the sandbox is stopped, and its processes end."""
    host.cli("start", "two", check=False)
    path = birth(host, "two")
    pid = claimed(path)["pid"]
    host.kill()
    if fields:
        forge(path, **fields)
    else:
        path.write_bytes(path.read_bytes()[:100])
    host.start()
    gone = status_of(pid).get("State", "Z")[0] == "Z"
    why = [text.partition("name=two: ")[2] for text in host.log_text().splitlines()
           if "sandbox is stopped name=two" in text][-1]
    equal((states(host), gone), ({"one": "running", "two": "stopped"}, True),
          f"{what}: it is stopped, the other runs ({why})")
    ok(reason in why, f"{what}: '{reason}' is the reason")
    if spared:
        ok(status_of(spared).get("State", "Z")[0] != "Z",
           f"{what}: that process is left alone")
    ok(not path.exists() and all_is_known(host), f"{what}: nothing is left over")


def not_true(host):
    stranger = subprocess.Popen(["sleep", "1000"])
    other, slot, first = (claimed(birth(host, "one"))[n] for n in ("pid", "slot",
                                                                  "first"))
    refused(host, "the boot id of another boot", "machine was started again",
            boot=b"00000000-1111-2222-3333-444444444444")
    refused(host, "another start time", "another has the number", start=1)
    refused(host, "the number of another process", "another has the number",
            stranger.pid, pid=stranger.pid)
    refused(host, "another process, with its start time", "not first in a pid",
            stranger.pid, pid=stranger.pid, start=start_time(stranger.pid))
    refused(host, "kernelhostd's parent", "not first in a pid", os.getpid(),
            pid=os.getpid(), start=start_time(os.getpid()))
    refused(host, "the first process of another sandbox", "sandbox's cgroups", other,
            pid=other, start=start_time(other), slot=slot, first=first)
    refused(host, "other ids", "uid_map", first=first + 65536 * 100)
    refused(host, "ids of another's slot", "uid_map", slot=slot, first=first)
    refused(host, "the slot of another", "none of this host's", slot=slot)
    refused(host, "a slot out of range", "none of this host's", slot=1 << 20)
    refused(host, "process 1", "impossible process", pid=1)
    refused(host, "no process", "impossible process", pid=2 ** 31 + 5)
    refused(host, "half a file", "100 bytes")
    equal(value(host, "one", "1 + 1"), "2", "the other answers")
    stranger.kill()
    stranger.wait()


def unfinished(host):
    """What a stop, a removal and a create leave when kernelhostd dies in them."""
    host.cli("start", "two", check=False)
    host.cli("create", "three")
    three = ids(host)["three"]
    gone = birth(host, "two")
    host.kill()
    gone.unlink()
    (host.state / "sandboxes" / three / "record").unlink()
    host.start()
    equal(states(host), {"one": "running", "two": "stopped"},
          "a stop and a removal that had begun are finished")
    ok(all_is_known(host), "nothing is left over")


def inventory(pid):
    """What a process that goes on for ever must not gather."""
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().count("\n")
    children = subprocess.run(["pgrep", "-c", "-P", str(pid)], capture_output=True,
                              text=True).stdout.strip()
    return len(os.listdir(f"/proc/{pid}/fd")), mounts, children


def program_of(host):
    return os.readlink(f"/proc/{host.pid}/exe")


def restarted(host):
    host.cli("start", "two", check=False)
    for name in ("one", "two"):
        value(host, name, "n = 0")
    before, pid = firsts(), host.pid
    got = host.json("restart")
    equal((got["running"], got["ended"]), (2, []), "restart: two sandboxes went on")
    note(f"nobody answered for {got['seconds'] * 1000:.0f} ms")
    had = inventory(pid)
    for i in range(5):
        host.cli("restart")
        equal(value(host, "one", "n += 1; n"), str(i + 1), f"restart {i}: it counts on")
    equal((host.process.poll(), host.pid, firsts()), (None, pid, before),
          "all processes but the gateway are the same")
    equal(inventory(pid), had, "it has no more descriptors, mounts or children")
    text = host.cli("restart").stdout
    ok(text.startswith("restarted ") and text.endswith(" s: 2 sandboxes went on\n"),
       text.strip())
    ok(all_is_known(host), "nothing is left over")
    begun = time.monotonic()
    line = subprocess.Popen(["kernelhost", "run", "two", "-c",
                             "import time; time.sleep(1.5); print('end'); late = 2"],
                            env=host.env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.5)
    os.kill(pid, signal.SIGUSR2)
    time.sleep(0.2)
    equal(states(host), {"one": "running", "two": "running"},
          "a request meanwhile waits and is answered")
    line.communicate(timeout=30)
    equal(value(host, "two", "late"), "2", "a cell that ran meanwhile goes on")
    ok(time.monotonic() - begun > 1.4, "to its end")


def killed_in_restart(host):
    """It dies anywhere between the check and the new program's first answer."""
    before, seen = firsts(), []
    value(host, "one", "n = 0")
    random.seed(2)
    for _ in range(10):
        os.kill(host.pid, signal.SIGUSR2)
        time.sleep(random.uniform(0, 0.1))
        host.kill()
        host.start()
        seen.append((states(host), value(host, "one", "n += 1; n")))
    equal(seen, [({"one": "running", "two": "running"}, str(i + 1)) for i in range(10)],
          "killed in the middle of a restart, 10 times: they go on")
    equal(firsts(), before, "the processes are the same")
    ok(all_is_known(host), "nothing is left over")


def hung_up(host):
    host.cli("create", "four")
    pid = host.pid
    host.process.send_signal(signal.SIGHUP)
    equal((host.process.wait(30), firsts(), groups(host)), (0, {}, set()),
          "SIGHUP ends the host with its sandboxes, like Ctrl-C")
    host.start()
    ok(host.pid != pid and set(states(host).values()) == {"stopped"},
       "which are stopped then")
    host.cli("rm", "four")


def upgraded(host):
    new = TMP / "new"
    new.mkdir()
    shutil.copy(DAEMON, new / "kernelhostd")
    value(host, "one", "n = 7")
    old, pid = program_of(host), host.pid
    text = host.cli("upgrade", "--to", new / "kernelhostd").stdout
    ok(text.startswith("upgraded to ") and "2 sandboxes went on" in text,
       text.strip())
    equal((program_of(host), host.pid), (str(new / "kernelhostd"), pid),
          "it is the other program, as the same process")
    equal(value(host, "one", "n + 1"), "8", "a sandbox counts on")
    host.cli("restart")
    equal(program_of(host), str(new / "kernelhostd"), "a restart is of that one")
    wrong = new / "wrong"
    wrong.write_text(f"#!/bin/sh\nexec {DAEMON} --gateway /bin/true \"$@\"\n")
    wrong.chmod(0o755)
    text = new / "text"
    text.write_text("nothing\n")
    for to, reason in ((wrong, "not the gateway of this build"),
                       ("/bin/false", "cannot take over"), (text, "cannot execute"),
                       (new / "missing", "cannot execute")):
        got = host.cli("upgrade", "--to", to, check=False)
        ok(got.returncode == 1 + 2 * (to == new / "missing") and reason in got.stderr,
           f"upgrade to {pathlib.Path(to).name} is refused: {got.stderr.strip()}")
    renewal = host.state / "run/renewal"
    for to, reason in (("/bin/false", "--check"), (str(text), "is no program"),
                       (str(new), "is no program"), ("relative", "is no program")):
        renewal.unlink(missing_ok=True)
        (host.state / "run/upgrade").write_text(to)
        os.kill(pid, signal.SIGUSR2)
        end = time.monotonic() + 10
        while not renewal.exists() and time.monotonic() < end:
            time.sleep(0.01)
        said = renewal.read_text()
        ok(said.startswith("failed ") and reason in said, f"so is {to}: {said.strip()}")
    equal(states(host), {"one": "running", "two": "running"}, "the host serves on")
    host.cli("upgrade")
    equal(program_of(host), old, "an upgrade is to the installed one")
    equal(value(host, "one", "n + 1"), "8", "a sandbox counts on")
    idle = Host("idle")
    got = idle.cli("restart", check=False)
    ok(got.returncode == 5, f"restart needs a host: {got.stderr.strip()}")


class Load(threading.Thread):
    """Creates, stops and removes; knows what was acknowledged."""

    def __init__(self, host, number):
        super().__init__()
        self.host, self.number, self.end = host, number, False
        self.sure, self.unsure = {}, set()

    def tell(self, name, after, *command):
        """One command: until it has succeeded, nothing is sure."""
        old = self.sure.pop(name, None)
        self.unsure.add(name)
        if self.host.cli(*command, check=False).returncode == 0:
            self.unsure.discard(name)
            if after:
                self.sure[name] = after
        elif self.end and old and command[0] == "run":
            self.unsure.discard(name)
            self.sure[name] = old

    def run(self):
        for i in range(1000):
            if self.end:
                return
            name = f"load-{self.number}-{i}"
            self.tell(name, "running", "create", name)
            if self.end:
                return
            if i % 3 == 0:
                self.tell(name, "stopped", "stop", name)
            elif i % 3 == 1:
                self.tell(name, None, "rm", name)


def crashes(host):
    lost, leftover, appeared, made = {}, 0, set(), 0
    random.seed(1)
    for number in range(CRASHES):
        load = [Load(host, 2 * number), Load(host, 2 * number + 1)]
        for one in load:
            one.start()
        time.sleep(random.uniform(0.05, 0.7))
        for one in load:
            one.end = True
        host.kill()
        for one in load:
            one.join()
        try:
            host.start()
        except Failed as error:
            note(error)
            ok(False, f"round {number}: the host starts")
            return
        have = states(host)
        sure = {n: s for one in load for n, s in one.sure.items()}
        unsure = {n for one in load for n in one.unsure}
        made += len(sure)
        lost.update({n: (s, have.get(n)) for n, s in sure.items() if have.get(n) != s})
        appeared |= {n for n in have if n.startswith("load-")} - set(sure) - unsure
        leftover += not all_is_known(host)
        names = [n for n in have if n.startswith("load-")]
        if names:
            host.cli("rm", *names)
    equal((lost, appeared, leftover), ({}, set(), 0),
          f"{CRASHES} crashes at random moments: of {made} sandboxes that were "
          "acknowledged none is lost, none comes back, nothing is left over")
    equal(states(host), {"one": "running", "two": "stopped"}, "the others are there")


def main():
    with Host() as host:
        again_and_again(host)
        cell_goes_on(host)
        ends(host)
        with check("births are forged"):
            not_true(host)
        restarted(host)
        killed_in_restart(host)
        upgraded(host)
        host.cli("stop", "two")
        unfinished(host)
        crashes(host)
        hung_up(host)
        host.cli("rm", "one", "two")
        ok(settled(host, {}), "in the end nothing is left over")
    done()


main()
