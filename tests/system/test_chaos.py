#!/usr/bin/env python3
"""Killed at random moments, while sandboxes work, sleep, wake and go back to
checkpoints: nothing is lost."""

import os

import chaos
from host import Host
from outlive import settled
from tap import done, equal, note, ok

KILLS = int(os.environ.get("KH_KILLS", "32"))


def main():
    with Host(wait=False) as host:
        boxes, times = chaos.storm(host, KILLS)
        for box in boxes:
            equal(
                box.wrong,
                [],
                f"{box.name_}: {box.done} things done, {box.unsure} of "
                "them cut off: nothing lost, nothing twice",
            )
            if box.wrong:
                note(
                    "\n".join(
                        [
                            line
                            for line in host.log_text().splitlines()
                            if box.name_ in line or " error " in line
                        ][-60:]
                    )
                )
        times.sort()
        note(
            f"recovery: median {times[len(times) // 2] * 1e3:.0f} ms, "
            f"most {times[-1] * 1e3:.0f} ms"
        )
        ok(sum(box.done - box.unsure for box in boxes) > 2 * KILLS,
           "much was done meanwhile")
        moves = {k: sum(box.moves[k] for box in boxes) for k in boxes[0].moves}
        ok(min(moves.values()) > 0, f"and they slept and woke: {moves}")
        equal(chaos.strangers(host), 0, "no processes but those of sandboxes")
        host.cli("rm", *(box.name_ for box in boxes))
        host.cli("snapshot", "rm", *host.cli("snapshot", "ls", "-q").stdout.split())
        ok(settled(host, {}), "nothing is left over")
        equal(os.listdir(host.state / "memory"), [], "no memory is left over")
    done()


main()
