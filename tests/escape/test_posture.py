#!/usr/bin/env python3
"""SandboxRoot / Escape: the processes of a sandbox, looked at from the host (rows
N1-N3, N9, N10, N12, S8, D1-D3)."""

import os
import re
import subprocess
import sys

import host as host_module
from host import TMP, Host
from posture import Box, compare, descriptors, fds, filters, id_ranges, namespaces
from tap import check, done, equal, note, ok


def environment(box):
    """N12: init has nothing that a client could set; forged variables reach only the
    process they are given to."""
    with open(f"/proc/{box.init}/environ", "rb") as file:
        equal(file.read(), b"", "N12 the environment of init is empty")
    forged = {"LD_PRELOAD": "/workspace/evil.so", "LD_AUDIT": "/workspace/evil.so",
              "GCONV_PATH": "/workspace", "PYTHONPATH": "/workspace/evil",
              "NODE_OPTIONS": "--require /workspace/evil.js", "PATH": "/workspace/bin",
              "GLIBC_TUNABLES": "glibc.malloc.check=3", "LD_LIBRARY_PATH": "/workspace",
              "MALLOC_TRACE": "/workspace/trace", "HOME": "/proc/1/root"}
    options = [w for k, v in forged.items() for w in ("--env", f"{k}={v}")]
    got = box.host.cli("exec", box.name, *options, "--", "/usr/bin/env", check=False)
    ok("LD_AUDIT=/workspace/evil.so" in got.stdout, "N12 the command gets them")
    with open(f"/proc/{box.init}/environ", "rb") as file:
        equal(file.read(), b"", "N12 init does not")
    maps = open(f"/proc/{box.init}/maps").read()
    ok(".so" not in maps, "N12 init is static: it maps no library")
    # Not through files, either: the next start finds them.
    box.host.cli("stop", box.name)
    upper = box.host.upper(box.name)
    (upper / "etc/ld.so.preload").write_text("/workspace/evil.so\n")
    box.host.cli("start", box.name)
    got = box.host.cli("exec", box.name, "--", "echo", "alive")
    equal(got.stdout, "alive\n", "N12 nor through /etc/ld.so.preload at a restart")


def directories(box):
    """D3: no working directory is outside."""
    code = "import os; print(os.getcwd(), os.readlink('/proc/self/cwd'))"
    for cwd in ("..", "../../../..", "/proc/self/fd/3", "/proc/self/fd/0", "/dev/fd/3",
                "/proc/1/root", "/proc/self/root", "/proc/self/cwd", "/proc/1/cwd",
                "/proc/self/fd/10", "/proc/thread-self/root/..", "/dev/shm"):
        got = box.host.cli("exec", box.name, "--cwd", cwd, "--", "python3", "-c", code,
                           check=False)
        words = got.stdout.split()
        fine = got.returncode != 0 if not words else (
            words[0] == words[1] and words[0].startswith("/") and "(" not in got.stdout)
        ok(fine, f"D3 in {cwd}: {got.stdout.strip() or got.stderr.strip()[:60]}")


def dirty():
    """D2: the host is started with 200 descriptors and without 0, 1 and 2."""
    start = TMP / "start"
    start.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "for _ in range(100):\n"
        "    os.set_inheritable(os.open('/etc', os.O_RDONLY), True)\n"
        "    os.set_inheritable(os.open('/etc/passwd', os.O_RDWR), True)\n"
        "os.closerange(0, 3)\n"
        f"os.execv({str(host_module.DAEMON)!r}, sys.argv)\n")
    start.chmod(0o755)
    clean, host_module.DAEMON = host_module.DAEMON, start
    try:
        with Host("dirty", preload="none") as host:
            host.cli("create", "d")
            box = Box.begin(host, "d")
            descriptors(box, "(dirty start)")
            junk = re.compile(r"/etc(/passwd)?")
            children = subprocess.run(["pgrep", "-P", str(host.pid)],
                                      capture_output=True, text=True).stdout.split()
            for pid in children:
                held = {n: t for n, t in fds(pid).items() if junk.fullmatch(t)}
                equal(held, {}, f"D2 process {pid} got none of them")
            ok(len(children) >= 2, "D2 the gateway and init were looked at")
            low = {n: t for n, t in fds(host.pid).items() if n < 3}
            equal(low, dict.fromkeys(range(3), "/dev/null"),
                  "D2 kernelhostd has 0, 1 and 2 on /dev/null")
    finally:
        host_module.DAEMON = clean
        note(f"log of the host: {TMP}/dirty.log")


def main():
    names = os.uname()
    with Host() as host:
        host.cli("create", "a")
        host.cli("create", "b")
        a, b = Box.begin(host, "a"), Box.begin(host, "b")
        for part, args in (
            (namespaces, (a, b, host)), (namespaces, (b, a, host)), (compare, (a,)),
            (compare, (b,)), (id_ranges, (a, b)), (filters, (a,)), (descriptors, (a,)),
            (directories, (a,)),
        ):
            with check(f"{part.__name__} could be looked at"):
                part(*args)
        equal(os.uname(), names, "N9 the host has its names")
        host.cli("rm", "b")
        with check("environment could be looked at"):
            environment(a)
    with check("a dirty start could be looked at"):
        dirty()


main()
done()
