#!/usr/bin/env python3
"""What the neighbours feel of a sandbox that attacks: run by hand, as root, on a quiet
machine, with the environment of tests/run.

For each attack: the neighbour's round trip before and during it, how long the host
takes to be as before once it ended, and what the guilty client was told. The exit
status is 1 when p99 more than doubles, recovery takes over 5 s, or nobody was told.
"""

import sys
import time

from attacks import ATTACKS, Attack, prepare, quantile
from host import Host

QUIET_S, DURING_S, RECOVERY_S = 8, 10, 5.0


def recovery(neighbour, want):
    """Seconds until 50 round trips in a row are as before."""
    begun = time.monotonic()
    while time.monotonic() - begun < 30:
        times = sorted(neighbour.ask() for _ in range(50))
        if quantile(times, 0.98) <= want:
            return time.monotonic() - begun
    return float("inf")


def measure(host, neighbour, name):
    before = neighbour.ask_for(QUIET_S, 200)
    attack = Attack(host, name)
    attack.start()
    time.sleep(0.3)
    during = neighbour.ask_for(DURING_S, 200)
    host.cli("stop", "bad")
    back = recovery(neighbour, 2 * quantile(before, 0.99))
    attack.join(20)
    host.cli("start", "bad")
    host.cli("exec", "bad", "--", "sh", "-c", "rm -rf /workspace/*")
    host.cli("run", "bad", "-c", "1", check=False)
    p50, p99 = (quantile(before, q) for q in (0.5, 0.99))
    q50, q99 = (quantile(during, q) for q in (0.5, 0.99))
    told = attack.was_told or (f"{attack.bytes >> 20} MiB of output"
                               if not attack.words else "NOTHING")
    good = q99 <= 2 * p99 and back <= RECOVERY_S and told != "NOTHING"
    print(f"{name:13} p50 {p50:5.2f} -> {q50:5.2f} ms, p99 {p99:5.2f} -> {q99:6.2f} ms "
          f"({q99 / p99:.1f}x), {len(during)} round trips; "
          f"as before after {back:.2f} s; told: {told}"
          f"{'' if good else '   TOO MUCH'}", flush=True)
    return good


def main(names):
    with Host() as host:
        neighbour = prepare(host, "48M")
        return all([measure(host, neighbour, name) for name in names])


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:] or ATTACKS) else 1)
