#!/usr/bin/env python3
"""A gateway that is killed while sandboxes print: everybody gets everything once."""

import random
import time

from host import Host
from survive import Runner, Worker, judge, tell
from tap import check, done

ROUNDS = 20


def main():
    with Host() as host:
        workers = [Worker(host, "ipc1", listen=True), Worker(host, "ipc2"),
                   Worker(host, "tcp1", "--tcp", listen=True)]
        runners = [Runner(host, "run1")]
        for part in [*workers, *runners]:
            part.start()
        time.sleep(1)
        times = []
        for _ in range(ROUNDS):
            time.sleep(random.uniform(0.2, 1.2))
            times.append(host.kill_gateway())
        tell(times, "the gateway")
        judge(host, workers, runners)


with check("a gateway that is killed"):
    main()
done()
