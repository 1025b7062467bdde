#!/usr/bin/env python3
"""Other limits for a sandbox that exists: in force at once, refused where more is in
use, and still there after every restart."""

import os
import pathlib
import time

import api
from host import Host
from tap import done, equal, ok

MIB = 1 << 20
EAT = """
import os
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    keep = []
    while True:
        keep.append(bytearray(b"x" * (1 << 20)))
        os.write(w, b".")
os.close(w)
_, status = os.waitpid(pid, 0)
print(len(os.read(r, 1 << 16)), status)
"""
BURN = """
import time
wall, cpu = time.monotonic(), time.process_time()
while time.monotonic() - wall < 2:
    pass
print((time.process_time() - cpu) / (time.monotonic() - wall))
"""
THREADS = """
import threading
stop, n = threading.Event(), 0
try:
    while n < 400:
        threading.Thread(target=stop.wait).start()
        n += 1
except RuntimeError:
    pass
stop.set()
print(n)
"""
WRITE = """
n = 0
try:
    with open("/workspace/x", "wb", 0) as f:
        while n < 200 << 20:
            n += f.write(bytes(1 << 20))
except OSError as error:
    print(error.errno)
print(n >> 20)
"""


def value(host, code, name="box"):
    return host.cli("run", name, "-c", code).stdout.split()


def limit(host, *args, name="box", **options):
    return host.json("limits", name, *args, **options)


def group_files(host, name, file):
    ident = host.json("show", name)["id"]
    return list(pathlib.Path("/sys/fs/cgroup").glob(f"**/kernelhost/*/{ident}/{file}"))


def memory(host):
    limit(host, "--memory", "200M")
    low = int(value(host, EAT)[0])
    ok(60 < low < 200, f"a process that goes over the new limit is killed at {low} MiB")
    limit(host, "--memory", "400M")
    high = int(value(host, EAT)[0])
    ok(260 < high < 400, f"after more was given, at {high} MiB")
    value(host, "hold = bytearray(b'x' * (150 << 20))")
    refused = host.cli("limits", "box", "--memory", "100M", "--pids", "99", check=False)
    ok(refused.returncode == 4 and "are in use, more than a limit of 100 MiB"
       in refused.stderr, f"less than is in use: {refused.stderr.strip()}")
    now = limit(host)
    equal((now["memory"], now["pids"]), (400 * MIB, 512), "nothing was changed by that")
    equal(value(host, "print(len(hold) >> 20)"), ["150"], "and nobody was killed")
    ok(int(value(host, "print(len(bytearray(b'x' * (100 << 20))) >> 20)")[0]) == 100,
       "nor is there less in force")
    value(host, "del hold\nwith open('/workspace/big', 'wb') as f:\n"
                "    for _ in range(200): f.write(bytes(1 << 20))")
    equal(limit(host, "--memory", "160M")["memory"], 160 * MIB,
          "what files have in memory is taken away for it")
    value(host, "import os; os.unlink('/workspace/big')")


def processors(host):
    limit(host, "--cpus", "0.25")
    share = float(value(host, BURN)[0])
    ok(share < 0.4, f"with 0.25 processors a loop gets {share:.2f}")
    limit(host, "--cpus", "1.5")
    quotas = {p.read_text().split()[0] for file in ("cpu.max", "cpu.cfs_quota_us")
              for p in group_files(host, "box", file)}
    equal(quotas, {"150000"}, "with 1.5 the kernel gives it 150 of 100 ms")
    limit(host, "--cpus", "1")


def tasks(host):
    limit(host, "--pids", "40")
    few = int(value(host, THREADS)[0])
    ok(0 < few < 40, f"with 40 tasks {few} threads can be started")
    limit(host, "--pids", "200")
    many = int(value(host, THREADS)[0])
    ok(few < many < 200, f"with 200, {many}")


def disk(host):
    limit(host, "--disk", "32M")
    equal(value(host, WRITE)[0], "122", "who writes beyond the new limit gets EDQUOT")
    limit(host, "--disk", "64M")
    first, second = value(host, WRITE)
    ok(first == "122" and 50 < int(second) < 64, f"after more was given: {second} MiB")
    value(host, "import os; os.sync()")
    refused = host.cli("limits", "box", "--disk", "20M", check=False)
    ok(refused.returncode == 4 and "of disk are in use" in refused.stderr,
       f"less than it holds: {refused.stderr.strip()}")
    equal(limit(host)["disk"], 64 * MIB, "nothing was changed by that")
    value(host, "import os; os.unlink('/workspace/x'); os.sync()")


def words(host):
    for args, word in ((("--memory", "900T"), "range"), (("--cpus", "999"), "range"),
                       (("--memory", "1M"), "64M"), (("--pids", "3"), "16"),
                       (("--disk", "1M"), "16M"), (("--disk", "900T"), "range")):
        result = host.cli("limits", "box", *args, check=False)
        ok(result.returncode == 2 and word in result.stderr,
           f"{' '.join(args)} is refused: {result.stderr.strip()}")
    equal(host.cli("limits", "nobody", check=False).returncode, 3, "no such sandbox")
    status, answer = api.call(host, "PATCH", "/v1/sandboxes/box/limits", {"cpus": "x"})
    equal((status, answer["code"]), (400, "invalid"), "a bad field is refused")


def lasting(host):
    wanted = {"memory": 300 * MIB, "cpus": 0.5, "pids": 77, "disk": 48 * MIB}
    equal(limit(host, "--memory", "300M", "--cpus", "0.5", "--pids", "77",
                "--disk", "48M"), wanted, "all four at once")
    host.kill()
    host.start()
    equal(limit(host), wanted, "they are there when kernelhostd was killed")
    ok(int(value(host, THREADS)[0]) < 77, "and in force")
    host.cli("stop", "box")
    equal(limit(host, "--pids", "60")["pids"], 60, "a stopped one is changed as well")
    host.cli("start", "box")
    ok(int(value(host, THREADS)[0]) < 60, "which is in force when it is started")
    equal(value(host, WRITE)[0], "122", "its disk, too")
    value(host, "import os; os.unlink('/workspace/x'); os.sync()")
    host.stop()
    host.start()
    equal(limit(host), {**wanted, "pids": 60}, "and after the host was stopped")


def torn(host):
    """A kernelhostd that is killed while limits change: record and groups agree."""
    host.cli("start", "box")
    for i in range(10):
        process = host.pid
        child = os.fork()
        if child == 0:
            time.sleep(0.004 + 0.0007 * i)
            os.kill(process, 9)
            os._exit(0)
        for n in range(200):
            if host.cli("limits", "box", "--pids", str(100 + (n + i) % 50),
                        check=False).returncode:
                break
        os.waitpid(child, 0)
        host.kill()
        host.start()
        said = limit(host)["pids"]
        real = {int(p.read_text()) for p in group_files(host, "box", "pids.max")}
        equal(real, {said}, f"kill {i}: what the record says is in force")


def asleep(host):
    """Frozen and hibernated ones are changed like others."""
    value(host, "hold = bytearray(b'x' * (100 << 20))")
    host.cli("sleep", "box", "--frozen")
    equal(limit(host, "--pids", "80")["pids"], 80, "a frozen one is changed")
    equal(host.json("show", "box")["state"], "frozen", "and sleeps on")
    refused = host.cli("limits", "box", "--memory", "70M", check=False)
    ok(refused.returncode == 4, f"not below what it holds: {refused.stderr.strip()}")
    host.cli("wake", "box")
    equal(value(host, "print(len(hold) >> 20)"), ["100"], "it wakes as it was")
    ok(int(value(host, THREADS)[0]) < 80, "with the new limit")
    host.cli("sleep", "box")
    refused = host.cli("limits", "box", "--memory", "80M", check=False)
    ok(refused.returncode == 4 and "to come back" in refused.stderr,
       f"not below what it left on the disk: {refused.stderr.strip()}")
    equal(limit(host, "--memory", "290M", "--pids", "70")["memory"], 290 * MIB,
          "a hibernated one is changed")
    equal(host.json("show", "box")["state"], "hibernated", "and sleeps on")
    equal(value(host, "print(len(hold) >> 20)"), ["100"], "it wakes as it was")
    ok(int(value(host, THREADS)[0]) < 70 and int(value(host, EAT)[0]) < 200,
       "with the new limits")


with Host() as host:
    host.cli("create", "box", "--memory", "300M", "--disk", "300M")
    memory(host)
    processors(host)
    tasks(host)
    disk(host)
    words(host)
    lasting(host)
    torn(host)
    asleep(host)
done()
