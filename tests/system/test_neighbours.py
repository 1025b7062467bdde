#!/usr/bin/env python3
"""While one sandbox attacks, its neighbour's cells are answered, all of them rightly;
the guilty client is told what happened; and afterwards the host is as before."""

import os
import time

from attacks import ATTACKS, Attack, prepare
from host import Host
from tap import check, done, equal, ok

DURING_S = 2


def one(host, neighbour, name):
    attack = Attack(host, name)
    attack.start()
    times = neighbour.ask_for(DURING_S, 20)
    ok(len(times) >= 20, f"{name}: the neighbour gets {len(times)} answers")
    if attack.words:
        attack.join(120)
        ok(attack.was_told, f"{name}: the guilty is told: {attack.was_told!r}")
        if not attack.was_told:
            print("\n".join("# " + line for line in attack.told[-900:].splitlines()))
    else:
        ok(attack.bytes > 1 << 20, f"{name}: its client gets it")
    status = host.cli("stop", "bad", timeout=20).returncode
    equal(status, 0, f"{name}: the guilty sandbox is stopped")
    attack.join(20)
    ok(not attack.is_alive(), f"{name}: its client is let go")
    host.cli("start", "bad")
    host.cli("exec", "bad", "--", "sh", "-c", "rm -rf /workspace/*")
    equal(host.cli("run", "bad", "-c", "6 * 7").stdout, "42\n",
          f"{name}: and afterwards it works")


with Host() as host:
    neighbour = prepare(host, "32M")
    for attack_name in ATTACKS:
        with check(attack_name):
            one(host, neighbour, attack_name)
    host.cli("rm", "bad", "good")
    time.sleep(0.5)
    equal(os.listdir(host.state / "sandboxes"), [], "nothing is left")
done()
