#!/usr/bin/env python3
"""Warm kernels: they come from the zygote, are what a Python started just now would
be, and where that cannot be they are started anew."""

import json
import os
import re
import subprocess
import time

import api
from host import TMP, Host
from tap import check, done, equal, note, ok

PRELOAD = "numpy,pandas,matplotlib.pyplot"
OWN_MAX = 4500  # KiB; twice as much when the zygote's free memory is used
LATE = {"ctypes", "_ctypes"}  # imported by an ordinary runner after it is READY
# What a kernel looks like from inside, but for what differs from one to the next.
LOOK = """
import json, os, signal, sys, threading, resource
def look():
    shell = get_ipython()
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
    return json.dumps(dict(
        argv=sys.argv, path=sys.path, cwd=os.getcwd(), env=dict(os.environ),
        names=sorted(shell.user_ns), dh=repr(shell.user_ns["_dh"]),
        history=len(shell.history_manager.input_hist_raw), count=shell.execution_count,
        session=shell.history_manager.session_number,
        cmdline=open("/proc/self/cmdline").read(), exe=os.readlink("/proc/self/exe"),
        group=os.getpid() == os.getpgid(0) == os.getsid(0), parent=os.getppid(),
        limits=[resource.getrlimit(n) for n in range(16)],
        umask=os.umask(0o22), score=open("/proc/self/oom_score_adj").read(),
        signals=[status[n] for n in ("SigBlk", "SigIgn", "SigCgt")],
        ids=[status[n] for n in ("Uid", "Gid", "Groups")],
        hook=sys.excepthook.__qualname__,
        dumpable=os.access("/proc/self/mem", os.W_OK),
        modules=sorted({n.partition(".")[0] for n in sys.modules} - PRELOADED),
        host=os.uname().nodename, threads=len(threading.enumerate()),
        loop=__import__("asyncio").get_event_loop().is_running(),
        profile=sorted(os.listdir(shell.profile_dir.location)),
        streams=[type(s).__name__ for s in (sys.stdout, sys.__stderr__)],
    ), indent=1, default=str)
"""


def restart(host, name):
    path = f"/v1/sandboxes/{name}/kernels/{api.kernel_of(host, name)}/restart"
    status, answer = api.call(host, "POST", path)
    assert status < 300, answer


def value(host, name, code, **options):
    return host.cli("run", name, "-c", code, **options).stdout.strip()


def joined(host, name):
    """Whether the kernel came from the zygote, whose heap was frozen."""
    return value(host, name, "import gc; print(gc.get_freeze_count() > 0)") == "True"


def look(host, name, preloaded):
    # The profile's directories are made beside the first cell.
    code = "import time; time.sleep(0.3)" + LOOK + "print(look())"
    code = code.replace("PRELOADED", repr(preloaded))
    return json.loads(value(host, name, code))


def equality(host, cold):
    """The same in every respect that a program could ask for."""
    for one in (host, cold):
        one.cli("create", "look")
    ok(joined(host, "look"), "a kernel came from the zygote")
    ok(not joined(cold, "look"), "and without zygotes one is started")
    for one in (host, cold):
        one.cli("rm", "look")
        one.cli("create", "look")
    code = "import sys; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    warm_modules = set(eval(value(host, "look", code)))
    cold_modules = set(eval(value(cold, "look", code)))
    equal(sorted(cold_modules - warm_modules), [], "no module is missing")
    ok({"numpy", "pandas", "matplotlib"} <= warm_modules, "the list is imported")
    for one in (host, cold):
        one.cli("rm", "look")
        one.cli("create", "look")
    warm = look(host, "look", warm_modules - cold_modules | LATE)
    usual = look(cold, "look", LATE)
    for key in usual:
        equal(warm[key], usual[key], f"{key} is that of any kernel")


def separate(host):
    """Each is its own: random numbers, variables, processes."""
    draws = "import random, numpy, ssl, uuid\n" \
            "print(random.random(), numpy.random.rand(), uuid.uuid4(), " \
            "ssl.RAND_bytes(16).hex())"
    seen = []
    for i in range(4):
        host.cli("create", f"r{i}")
        ok(joined(host, f"r{i}"), f"kernel {i} came from the zygote")
        seen.append(value(host, f"r{i}", draws).split())
    sources = "random", "numpy.random", "uuid4", "OpenSSL"
    for what, column in zip(sources, zip(*seen, strict=True), strict=True):
        equal(len(set(column)), 4, f"{what} draws differently in each")
    value(host, "r0", "import pandas; pandas.mine = 1")
    equal(value(host, "r1", "import pandas; print(hasattr(pandas, 'mine'))"), "False",
          "a change to a module is not seen in another sandbox")
    equal(value(host, "r2", "import os; print(os.getppid())"), "1",
          "its parent is the sandbox's first process")
    zombies = value(host, "r2", "import subprocess; print(subprocess.run(['ps', '-eo', "
                                "'stat='], capture_output=True, text=True).stdout)")
    ok("Z" not in zombies, "nothing of its birth is left")
    maps = value(host, "r3", "print(open('/proc/self/maps').read())")
    images = [line for line in maps.splitlines() if "pandas" in line or "numpy" in line]
    equal(images, [], "no file of the image is mapped from the zygote")
    rollup = value(host, "r3", "print(open('/proc/self/smaps_rollup').read())")
    own = int(re.search(r"Private_Dirty: +(\d+) kB", rollup)[1])
    ok(own < OWN_MAX, f"{own} KiB of its memory are its own, of 170 MB")
    for i in range(4):
        host.cli("rm", f"r{i}")


def restarts(host):
    """Later kernels and restarts join, too."""
    host.cli("create", "again")
    for i in range(3):
        with check(f"restart {i} joins"):
            host.cli("run", "again", "-c", "x = 1")
            restart(host, "again")
            assert value(host, "again", "print('x' in globals())") == "False"
            assert joined(host, "again")
    with check("what a kernel registered for its end is done before the next one"):
        host.cli("run", "again", "-c", "import atexit, threading, time\n"
                 "atexit.register(lambda: open('bye', 'w').write('atexit'))\n"
                 "threading.Thread(target=lambda: (time.sleep(0.2), "
                 "open('thread', 'w').write('thread'))).start()")
        restart(host, "again")
        assert value(host, "again", "print(open('bye').read() + open('thread').read())"
                     ) == "atexitthread"
    with check("a kernel that was killed is followed by one that joined"):
        death = "import os; os.kill(os.getpid(), 9)"
        host.cli("run", "again", "-c", death, check=False)
        assert joined(host, "again")
    with check("and so is a sandbox that was stopped"):
        host.cli("stop", "again")
        assert joined(host, "again")
    host.cli("rm", "again")
    equal(host.log_text().count("no warm kernels"), 0, "nobody complained")


FAKE = """
import os, site
where = site.getusersitepackages()
os.makedirs(where + "/pandas", exist_ok=True)
open(where + "/pandas/__init__.py", "w").write("__version__ = '99.9'\\n")
"""


def packages(host):
    """What is installed, or lies in the way, is found after a restart."""
    host.cli("create", "own")
    host.cli("run", "own", "-c", FAKE)
    ok(joined(host, "own"), "so far it is a warm one")
    restart(host, "own")
    equal(value(host, "own", "import pandas; print(pandas.__version__)"), "99.9",
          "a preloaded package that was upgraded is the new one after a restart")
    ok(not joined(host, "own"), "that kernel was started anew")
    host.cli("rm", "own")
    host.cli("create", "own")
    ok(joined(host, "own"), "a warm one again")
    host.cli("run", "own", "-c", "open('matplotlib.py', 'w').write('mine = 1')")
    restart(host, "own")
    equal(value(host, "own", "import matplotlib; print(matplotlib.mine)"), "1",
          "a module in the working directory wins, as it does in any kernel")
    host.cli("run", "own", "-c", "!rm matplotlib.py")
    restart(host, "own")
    ok(joined(host, "own"), "without it kernels join again")
    host.cli("run", "own", "-c", "!mkdir -p ~/.ipython/profile_default/startup\n"
             "open('/home/user/.ipython/profile_default/startup/a.py', 'w')"
             ".write('from_startup = 1')")
    restart(host, "own")
    equal(value(host, "own", "print(from_startup)"), "1", "startup files are run")
    host.cli("rm", "own")


def zygote_of(host):
    found = re.findall(r"zygote ready image=\S+ pid=(\d+)", host.log_text())
    return int(found[-1])


def survives(host):
    """A zygote that dies takes nothing with it, and another one comes."""
    host.cli("create", "left")
    host.cli("run", "left", "-c", "x = 5")
    os.kill(zygote_of(host), 9)
    equal(value(host, "left", "print(x)"), "5", "its children do not mind")
    host.cli("create", "cold")
    equal(value(host, "cold", "print(1)"), "1", "meanwhile kernels are started anew")
    end = time.monotonic() + 60
    while host.log_text().count("zygote ready") < 2 and time.monotonic() < end:
        time.sleep(0.1)
    host.cli("create", "warm")
    if not ok(joined(host, "warm"), "then there is another one"):
        note(host.log_text()[-3000:])
    restart(host, "left")
    ok(joined(host, "left"), "which also serves the sandboxes of the first")
    for name in ("left", "cold", "warm"):
        host.cli("rm", name)


def failing():
    with Host("fail", images=True, preload="numpy,this_is_nowhere") as host:
        host.cli("create", "a")
        ok(joined(host, "a"), "a module that the image does not have is left out")
    with Host("fail2", images=True, preload="antigravity.nothing", wait=False) as host:
        end = time.monotonic() + 30
        while "no warm kernels" not in host.log_text() and time.monotonic() < end:
            time.sleep(0.1)
        host.cli("create", "a")
        equal(value(host, "a", "print(1)"), "1", "a list that fails costs no kernel")
        lines = [line for line in host.log_text().splitlines()
                 if "no warm kernels" in line]
        equal(len(lines), 1, "it is told in one line of the log")
        ok("antigravity" in lines[0] and "--preload" in lines[0],
           "which says what failed, and the cure")
        note(lines[0])
    done = subprocess.run([os.environ["KH_PREFIX"] + "/libexec/kernelhost/kernelhostd",
                           "--preload", "a b"], capture_output=True, text=True,
                          env={**os.environ, "KERNELHOST_STATE": str(TMP / "none")})
    ok(done.returncode != 0 and "separated by commas" in done.stderr,
       "a list that is none is refused")


def main():
    with Host("warm", preload=PRELOAD) as host, Host("cold", preload="none") as cold:
        equality(host, cold)
        separate(host)
        restarts(host)
        packages(host)
        survives(host)
    failing()
    done()


main()
