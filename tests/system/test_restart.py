#!/usr/bin/env python3
"""kernelhost restart and upgrade: the host's processes change beneath the sandboxes."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

from host import DAEMON, TMP, Host
from outlive import all_is_known, firsts, groups, settled, states, value
from talk import Talk
from tap import done, equal, note, ok


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


def restarted_kernel(host):
    """A client asks for a restart while the new gateway still waits for another one,
    which went unnoticed together with the old gateway."""
    one, other = (Talk(host.client("one")) for _ in range(2))
    one.execute("n = 1")
    pid = host.gateway()
    os.kill(pid, signal.SIGSTOP)
    other.close()
    os.kill(pid, signal.SIGKILL)
    while host.gateway() == pid:
        time.sleep(0.005)
    asked = one.request("shutdown_request", {"restart": True}, "control")
    one.until(lambda: asked.message, 20)
    cell = one.execute("n", timeout=20)
    equal(cell.reply.get("ename"), "NameError",
          "a restart asked of a gateway that is just there is made")
    equal(one.execute("1 + 1", timeout=20).value, "2", "and the kernel goes on")
    one.close()


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


def main():
    with Host() as host:
        host.cli("create", "one")
        host.cli("create", "two")
        restarted(host)
        restarted_kernel(host)
        killed_in_restart(host)
        upgraded(host)
        hung_up(host)
        host.cli("rm", "one", "two")
        ok(settled(host, {}), "in the end nothing is left over")
    done()


main()
