#!/usr/bin/env python3
"""Snapshots of files hold what was there at that moment, all of it, however the sandbox
was; so do sandboxes that are made from them, whatever goes first and however long the
chain is."""

import json
import os
import pathlib
import stat
import subprocess
import threading
import time

import api
from host import Host
from snapshots import MAKE, MIB, each, look, run, same, snapshots
from tap import done, equal, note, ok


def exact(host):
    host.cli("create", "box", "--memory", "300M", "--cpus", "0.5", "--disk", "2G")
    host.cli("exec", "box", "--", "python3", "-", input=MAKE)
    before = look(host, "box")
    ok(len(before["/workspace"]) > 30, f"{len(before['/workspace'])} entries are made")
    equal(host.cli("snapshot", "box", "running").stdout, "running\n",
          "a snapshot of a running sandbox")
    equal(run(host, "box", "print(6 * 7)"), "42\n", "which goes on")
    host.cli("stop", "box")
    host.cli("snapshot", "box", "stopped")
    equal(host.json("show", "box")["state"], "stopped", "one of a stopped one")
    host.cli("exec", "box", "--", "sh", "-c", "rm -rf /workspace/* /tmp/of")
    for name in ("running", "stopped"):
        host.cli("create", f"of-{name}", "--from", name)
        got = look(host, f"of-{name}")
        for place in got:  # a name of its own
            if place == "/etc/hostname":
                before[place] = got[place]
        same(got, before, f"{name}: a sandbox from it has every byte, name, mode, "
             "time, hole, link and attribute")
        equal(host.cli("exec", f"of-{name}", "--", "sh", "-c",
                       "hostname; cat /etc/hostname; grep -c of- /etc/hosts").stdout,
              f"of-{name}\nof-{name}\n1\n", f"{name}: but its own host name")
        child = host.json("show", f"of-{name}")
        equal(child["limits"], host.json("show", "box")["limits"],
              f"{name}: and the same limits")
        ok(child["id"] != host.json("show", "box")["id"], f"{name}: another id")
    below = ("/usr/lib", "/etc/passwd", "/root")
    same(look(host, "of-running", *below), look(host, "box", *below),
         "the image below is the same")
    shown = host.json("snapshot", "show", "running")
    equal((shown["sandbox"], shown["image"], shown["memory"], shown["expires"]),
          ("box", "default", False, None), "it is shown")
    ok(3 * MIB < shown["bytes"] < 50 * MIB, f"with its size, {shown['bytes']}")
    host.cli("create", "larger", "--from", "running", "--memory", "400M", "--disk",
             "3G")
    limits = host.json("show", "larger")["limits"]
    equal((limits["memory"], limits["cpus"], limits["disk"]),
          (400 * MIB, 0.5, 3072 * MIB), "limits that are given go before its own")


def whiteouts(host):
    """What a sandbox deleted of its image, and replaced by another kind of thing. Only
    root inside can: kernelhost-init's user could be, so the host does it here."""
    host.cli("create", "box")
    host.cli("stop", "box")
    upper = host.upper("box")
    for path in ("usr/share", "etc/apt"):
        (upper / path).mkdir(parents=True)
    for path in ("usr/share/doc", "etc/motd"):
        os.mknod(upper / path, stat.S_IFCHR, os.makedev(0, 0))
    os.setxattr(upper / "etc/apt", "trusted.overlay.opaque", b"y")
    looks = {}
    host.cli("snapshot", "box", "less")
    host.cli("create", "child", "--from", "less")
    for name in ("box", "child"):
        looks[name] = look(host, name, "/usr/share", "/etc")
    for path in ("/etc/hostname", "/etc/hosts", "/etc"):  # its own name
        looks["child"]["/etc"][path] = looks["box"]["/etc"][path]
    ok("/usr/share/doc" not in looks["box"]["/usr/share"] and
       "/etc/apt/sources.list.d" not in looks["box"]["/etc"],
       "files of the image are gone")
    same(looks["child"], looks["box"], "and in the sandbox from the snapshot, too")


def moment(host):
    """One moment of a sandbox that writes: two files that are written one after the
    other, each line to the first before the same to the second. The second never holds
    what the first does not. Nothing is synced: it comes from memory."""
    host.cli("create", "box")
    writer = subprocess.Popen(
        [*host.command("exec", "box", "--", "python3", "-c", """
import os
first, second = (open(f"/workspace/{n}", "wb", 0) for n in ("first", "second"))
many = [open(f"/workspace/many-{n}", "wb", 0) for n in range(50)]
n = 0
print("go", flush=True)
while True:
    line = b"%d" % n + b"x" * 2000 + b"\\n"
    first.write(line)
    many[n % 50].write(line * 10)
    second.write(line)
    if n % 2000 == 0:
        for f in (first, second, *many): f.truncate(0); f.seek(0)
    n += 1
""")], stdout=subprocess.PIPE, env=host.env)
    writer.stdout.readline()
    for n in range(8):
        host.cli("snapshot", "box", f"moment-{n}")
        time.sleep(0.2)
    writer.terminate()
    writer.wait()
    host.cli("stop", "box")
    last = -1
    for n in range(8):
        host.cli("create", f"at-{n}", "--from", f"moment-{n}")
        got = host.cli("exec", f"at-{n}", "--", "python3", "-c", """
first, second = ([int(l.split(b"x")[0]) for l in open(f"/workspace/{n}", "rb")]
                 for n in ("first", "second"))
shorter = min(len(first), len(second))
begin = first[0] if first else 0
print(first[:shorter] == second[:shorter],
      len(first) - len(second) if first else 0,  # first is emptied before second
      first == list(range(begin, begin + len(first))), (first or [-1])[-1])
""").stdout.split()
        equal((got[0], got[1] in ("0", "1"), got[2]), ("True", True, "True"),
              f"snapshot {n} of a sandbox that writes is of one moment: {got}")
        if got[3] != "-1":  # not just emptied
            ok(int(got[3]) > last, "and later than the one before")
            last = int(got[3])


def parents(host):
    """Whatever goes first, the others stay."""
    host.cli("create", "parent")
    run(host, "parent", "open('/workspace/x', 'w').write('of the parent')")
    host.cli("snapshot", "parent", "snap")
    host.cli("create", "one", "--from", "snap")
    host.cli("rm", "parent")
    read = "print(open('/workspace/x').read())"
    equal(run(host, "one", read), "of the parent\n", "the parent goes, the child stays")
    equal(host.json("snapshot", "show", "snap")["sandbox"], "parent",
          "and so does the snapshot, which names it")
    host.cli("create", "parent")
    host.cli("create", "two", "--from", "snap")
    host.cli("snapshot", "rm", "snap")
    equal(run(host, "two", read), "of the parent\n", "the snapshot goes, a child stays")
    host.cli("stop", "two")
    equal(run(host, "two", read), "of the parent\n", "also over a stop")
    equal(host.cli("image", "rm", "default", check=False).returncode, 4,
          "their image cannot go")
    host.cli("snapshot", "two", "only")
    host.cli("rm", "one", "two", "parent")
    result = host.cli("image", "rm", "default", check=False)
    ok(result.returncode == 4 and "snapshot" in result.stderr and
       "'only'" in result.stderr,
       f"nor that of a snapshot alone: {result.stderr.strip()}")
    host.cli("create", "three", "--from", "only")
    equal(run(host, "three", read), "of the parent\n", "which is good for more")


def full(host):
    """A snapshot of a sandbox whose disk is full; what is made of it can be cleared."""
    fill = ("try:\n    f = open('/workspace/x', 'wb', 0)\n"
            "    while True: f.write(bytes(1 << 20))\n"
            "except OSError as e: print(e.errno)")
    clear = ("import os; print(os.path.getsize('/workspace/x') >> 20 > 10)\n"
             "os.unlink('/workspace/x')\n"
             "open('/workspace/y', 'wb').write(bytes(8 << 20)); print('room')")
    host.cli("create", "box", "--disk", "16M")
    equal(run(host, "box", fill), "122\n", "a disk is full")
    host.cli("snapshot", "box", "full")
    host.cli("fork", "box", "child", "--files")  # else it has the file open, too
    host.cli("create", "roomy", "--from", "full", "--disk", "64M")
    equal(run(host, "child", clear), "True\nroom\n",
          "a fork of it has all, and can be cleared")
    equal(run(host, "child", fill), "122\n", "it has a limit of its own")
    equal(run(host, "roomy",
              "open('/workspace/y', 'wb').write(bytes(30 << 20)); print('room')"),
          "room\n", "with a larger one there is more room")


def at_once(host):
    host.cli("create", "box")
    run(host, "box", "open('/workspace/x', 'w').write('kept')")
    errors = []

    def snap(n):
        errors.append(host.cli("snapshot", "box", f"same-{n}", check=False).stderr)

    threads = [threading.Thread(target=snap, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(errors, [""] * 8, "several snapshots at once are taken")
    equal(host.json("show", "box")["state"], "running", "then it goes on")
    equal(run(host, "box", "print(open('/workspace/x').read())"), "kept\n", "as before")
    for n in (0, 7):
        host.cli("create", f"of-{n}", "--from", f"same-{n}")
        equal(run(host, f"of-{n}", "print(open('/workspace/x').read())"), "kept\n",
              "each of them is whole")


def asleep(host):
    """Frozen or hibernated, it is not woken, and later wakes as if nothing had been."""
    read = "print(open('/workspace/x').read())"
    host.cli("create", "box")
    run(host, "box", "open('/workspace/x', 'w').write('kept'); x = 42")
    for state, how in (("frozen", ["--frozen"]), ("hibernated", [])):
        host.cli("sleep", "box", *how)
        host.cli("snapshot", "box", state)
        host.cli("fork", "box", f"fork-{state}")
        equal(host.json("show", "box")["state"], state, f"{state}: it sleeps on")
        host.cli("create", f"of-{state}", "--from", state)
        for name in ("of", "fork"):
            equal(run(host, f"{name}-{state}", read), "kept\n",
                  f"{state}: what its files are is in the {name}")
        equal(run(host, "box", "print(x)"), "42\n", f"{state}: then it wakes, whole")
    host.cli("sleep", "box", "--frozen")
    for n in range(20):  # a wake between the freeze and the thaw of a snapshot
        snap = subprocess.Popen(host.command("snapshot", "box", f"race-{n}"),
                                env=host.env, stdout=subprocess.DEVNULL)
        time.sleep(0.001 * n)
        host.cli("sleep" if n % 2 else "wake", "box", *(["--frozen"] if n % 2 else []))
        snap.wait()
    equal(run(host, "box", "print(x)"), "42\n", "snapshots, sleep and wake do not meet")
    equal(len([name for name in snapshots(host) if name.startswith("race")]), 20,
          "all were taken")


def chain(host, length=1000):
    """Each sandbox is made from a snapshot of the one before, and adds to it; none of
    them, nor any snapshot, needs another."""
    host.cli("create", "link-0")
    host.cli("exec", "link-0", "--", "sh", "-c",
             "head -c 1000000 /dev/urandom >/workspace/base; echo 0 >/workspace/log")
    host.cli("stop", "link-0")
    begun = time.monotonic()
    connection = api.Connection(host.state / "run/api.sock")

    def ask(method, path, body=None):
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise AssertionError(f"{method} {path}: {text}")
        return text

    log = "0\n"
    where = pathlib.Path(f"/proc/{host.pid}/root{host.state}/disk")
    for n in range(1, length + 1):
        ask("POST", "/v1/sandboxes/link-0/snapshots", {"name": f"link-{n}"})
        ident = json.loads(ask("GET", "/v1/sandboxes/link-0"))["id"]
        ask("DELETE", "/v1/sandboxes/link-0")
        made = json.loads(ask("POST", "/v1/sandboxes",
                              {"name": "link-0", "from": f"link-{n}"}))
        ask("POST", "/v1/sandboxes/link-0/stop")
        if (where / ident).exists():
            raise AssertionError(f"the disk of link {n - 1} is still there")
        with open(where / made["id"] / "upper/workspace/log", "ab") as file:
            file.write(b"%d\n" % n)
        log += f"{n}\n"
    connection.close()
    note(f"{length} snapshots in {time.monotonic() - begun:.0f} s")
    equal(len(snapshots(host)), length, f"a chain of {length} snapshots")
    equal(run(host, "link-0", "print(open('/workspace/log').read(), end='')"), log,
          "the last sandbox has every change of the chain")
    digest = ("--", "sha256sum", "/workspace/base")
    want = host.cli("exec", "link-0", *digest).stdout
    host.kill()
    host.start()
    equal(len(snapshots(host)), length, "they outlive kernelhostd")
    for n in (1, 2, 499, 500, length):
        host.cli("create", "probe", "--from", f"link-{n}")
        equal(host.cli("exec", "probe", *digest).stdout, want,
              f"number {n} is byte-exact")
        equal(run(host, "probe", "print(open('/workspace/log').read(), end='')"),
              "".join(f"{i}\n" for i in range(n)), "and of its moment")
        host.cli("rm", "probe")
    host.cli("snapshot", "rm", *(f"link-{n}" for n in range(1, length)))
    equal(host.cli("exec", "link-0", *digest).stdout, want,
          "it needs none of those before")


with Host() as private:
    each(private, exact, whiteouts, moment, parents, full, at_once, asleep, chain)
done()
