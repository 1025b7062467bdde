#!/usr/bin/env python3
"""SandboxRoot / Lateral: one sandbox sees nothing of another, though both read the
same layers (rows F10-F12, F14). Each thing is also looked at from where it must be
seen."""

import os
import secrets
import socket
import subprocess
import sys
import time

import probe
from host import Host
from tap import check, done, equal, ok

SEEN = {
    ("F10", "flock"): "EAGAIN", ("F10", "fcntl"): "held", ("F11", "/dev/shm"): "seen",
    ("F11", "/tmp"): "seen", ("F11", "mq"): "OK", ("F11", "shm"): "OK",
    ("F11", "sem"): "OK", ("F11", "msg"): "OK", ("F12", "abstract"): "OK",
    ("F12", "tcp"): "OK",
}
HIDDEN = {
    ("F10", "flock"): "free", ("F10", "fcntl"): "free", ("F11", "/dev/shm"): "absent",
    ("F11", "/tmp"): "absent", ("F11", "mq"): "ENOENT", ("F11", "shm"): "ENOENT",
    ("F11", "sem"): "ENOENT", ("F11", "msg"): "ENOENT",
    ("F12", "abstract"): "ECONNREFUSED", ("F12", "tcp"): "ECONNREFUSED",
}


def events(host):
    """What inotify told the holder, once it tells no more. Read on the host's side:
    a command inside would be an event."""
    (log,) = (path for name in host.cli("ls", "-q").stdout.split()
              for path in [host.upper(name) / "workspace/events"] if path.exists())
    before = -1
    while before != (now := len(log.read_text().split())):
        before = now
        time.sleep(0.7)
    return now


def compare(rows, want, where):
    for key, value in want.items():
        equal(rows.get(key), value, f"{key[0]} {key[1]} from {where}")


def locks_control():
    """F10: two ordinary containers that share a file see each other's locks."""
    code = ("import fcntl, sys, time; f = open('/usr/bin/env', 'rb');"
            "fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free', flush=True);"
            "time.sleep(float(sys.argv[1]))")

    def container(seconds):
        return subprocess.Popen(
            [sys.executable, probe.CONTROL, "container", probe.PYTHON, "-c", code,
             seconds], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = container("30")
    equal(first.stdout.readline(), "free\n", "F10 a container locks a file of the host")
    out, err = container("0").communicate(timeout=20)
    ok(not out and "BlockingIOError" in err, "F10 and another container sees it")
    first.kill()
    first.wait()


def main():
    abstract, port = f"\0kernelhost-{secrets.token_hex(8)}", 0
    with Host() as host, socket.socket(socket.AF_UNIX) as local, \
            socket.create_server(("127.0.0.1", 0)) as tcp:
        local.bind(abstract)
        local.listen()
        port = tcp.getsockname()[1]
        facts = dict(abstract=abstract, port=port)
        host.cli("create", "a")
        host.cli("create", "b")
        host.cli("exec", "a", "--", "python3", "-", input=probe.source("holder"))
        mine = probe.inside(host, "a", "peer", **facts)
        compare(mine, SEEN, "the same sandbox")
        before = events(host)
        ok(before > 0, f"F14 inotify in the same sandbox tells of {before} events")
        theirs = probe.inside(host, "b", "peer", **facts)
        compare(theirs, HIDDEN, "another sandbox")
        equal(events(host), before, "F14 of another sandbox it tells nothing")
        for rows, where in ((mine, "a"), (theirs, "b")):
            for name in ("abstract of the host", "tcp of the host"):
                equal(rows["F12", name], "ECONNREFUSED", f"F12 {name} from {where}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(abstract)
        socket.create_connection(("127.0.0.1", port)).close()
        ok(True, "F12 on the host both can be reached")
        ok(not os.path.exists("/tmp/held") and not os.path.exists("/dev/shm/held"),
           "F11 the host has none of it")
        with check("the control for locks ran"):
            locks_control()


main()
done()
