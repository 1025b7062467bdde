#!/usr/bin/env python3
"""The gateway and kernelhostd killed in turn while many sandboxes print. Run it by
hand, as root, with the environment of tests/run:

    tests/run --program system tests/system/survive_load.py TEMPORARY-DIRECTORY

--kills N (100), --sandboxes N (50), --pause SECONDS between two lines of a cell (0.02).
Prints TAP; every line, reply and variable must be there once, and nothing left over.
"""

import argparse
import pathlib
import random
import time

from host import Host
from survive import Runner, Worker, judge, tell
from tap import check, done, equal, note


def kill_host(host):
    """kernelhostd, and with it the gateway. Returns the seconds until both answer."""
    begun = time.monotonic()
    host.kill()
    host.start()
    return time.monotonic() - begun


def kills(host, count):
    times = {"the gateway": [], "kernelhostd": []}
    for turn in range(count):
        time.sleep(random.uniform(0.3, 2))
        if turn % 2:
            times["kernelhostd"].append(kill_host(host))
        else:
            times["the gateway"].append(host.kill_gateway())
        if turn % 10 == 9:
            note(f"{turn + 1} kills")
    for what, each in times.items():
        tell(each, what)


def load(host, count, pause):
    workers, runners = [], []
    for i in range(count):
        if i % 5 == 4:
            runners.append(Runner(host, f"run{i}", pause=pause))
        else:
            args = ["--tcp"] if i % 5 == 3 else []
            workers.append(Worker(host, f"box{i}", *args, pause=pause))
    return workers, runners


def variables(host, workers):
    wrong = []
    for worker in workers:
        got = host.cli("run", worker.name_, "-c", "print(birth, n)").stdout.split()
        lines = "".join(c.text for c in worker.talk.cells.values()).split()
        if got != [worker.name_, str(len(lines))]:
            wrong.append((worker.name_, got, len(lines)))
    equal(wrong, [], f"{len(workers)} kernels have the variables they had")


def main(options):
    with Host() as host:
        workers, runners = load(host, options.sandboxes, options.pause)
        for worker in workers:
            host.cli("run", worker.name_, "-c", f"birth = {worker.name_!r}")
        for part in [*workers, *runners]:
            part.start()
        time.sleep(2)
        kills(host, options.kills)
        judge(host, workers, runners)
        late = [line for line in host.log_text().splitlines() if "back in time" in line]
        note(f"{len(late)} times a kernel did not wait any longer for its clients")
        note("\n".join(late[:100]))
        variables(host, workers)
        host.cli("rm", *(part.name_ for part in [*workers, *runners]))
        left = [p.name for p in (host.state / "sandboxes").iterdir()]
        equal(left, [], "removed, no directory is left")
        equal(host.stop(), 0, "the host ends well")
        equal([p.name for p in pathlib.Path("/dev/shm").iterdir()], [],
              "and leaves nothing in memory")


parser = argparse.ArgumentParser()
parser.add_argument("--kills", type=int, default=100)
parser.add_argument("--sandboxes", type=int, default=50)
parser.add_argument("--pause", type=float, default=0.02)
with check("a host that is killed under load"):
    main(parser.parse_args())
done()
