#!/usr/bin/env python3
"""Makes sandboxes, runs a cell in each, removes them, 10,000 times: nothing may be left
over, and the host's memory stays as it is. Run by hand, as root, with the environment
of tests/run:

    tests/bench/churn.py [COUNT]

The exit status is 1 if anything failed, was left over or has grown.
"""

import concurrent.futures
import pathlib
import sys
import time

sys.path += [str(pathlib.Path(__file__).resolve().parent.parent / part)
             for part in ("", "escape")]

import inventory as leftovers  # noqa: E402
import scale  # noqa: E402
from host import Host  # noqa: E402

WORKERS = 4
GROWTH = 8.0  # MiB that a process of the host may grow by


def one(host, number):
    ran = scale.run(host, number, {})
    status, _ = scale.ask(host, "DELETE", f"/v1/sandboxes/scale-{number}")
    if status != 204:
        scale.failed(f"scale-{number}: removal says {status}")
    return ran


def memory(host):
    """MiB of kernelhostd and the gateway, and what the kernel holds for all."""
    slab = pathlib.Path("/proc/meminfo").read_text().split("SUnreclaim:")[1].split()[0]
    sizes = {name: kib / 1024 for name, (kib, _) in scale.Costs(host).at.items()}
    return sizes | {"kernel": int(slab) / 1024}


def main(count):
    with Host() as host:
        pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        warm = min(200, count)
        list(pool.map(lambda n: one(host, n), range(warm)))
        there = leftovers.Inventory(host)
        before = there.settled(None)
        slabs, sizes = leftovers.slabs(), memory(host)
        print(f"after {warm}: " + ", ".join(f"{k} {v:.1f}" for k, v in sizes.items()))
        begun = time.monotonic()
        step = max(1, count // 10)
        for first in range(warm, warm + count, step):
            numbers = range(first, min(first + step, warm + count))
            times = list(pool.map(lambda n: one(host, n), numbers))
            now = memory(host)
            print(f"{numbers[-1] + 1:6} {scale.line_of(times)}; MiB: "
                  + ", ".join(f"{k} {v:.1f}" for k, v in now.items()), flush=True)
        took = time.monotonic() - begun
        print(f"{count} in {took:.0f} s, {count / took:.1f} a second")
        after = there.settled(before)
        for name in before:
            if not leftovers.same(name, before[name], after[name]):
                scale.failed(f"left over: {name}")
                leftovers.show(name, before[name], after[name])
        grown = {n: c - slabs[n] for n, c in leftovers.slabs().items()
                 if c - slabs[n] >= count / 20}
        if grown:
            scale.failed(f"the kernel keeps {grown}")
        for name in ("kernelhostd", "kernelhost-gate"):
            if now[name] - sizes[name] > GROWTH:
                scale.failed(f"{name} has grown by {now[name] - sizes[name]:.1f} MiB")
    print(f"{len(scale.failures)} failures")
    return 1 if scale.failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10000))
