"""chaos: sandboxes that count, while they sleep and wake and the host's processes are
killed; and what must hold of them whatever happened.

Each sandbox has a variable `n`, a line of output for each value it had, and a file that
gets a line with each command. What was acknowledged must be there, once, unless the
sandbox was rolled back to before it, and nothing of that then. What was under
way when somebody was killed may have happened or not, but not twice, and not by half.
"""

import random
import subprocess
import threading
import time

from host import PREFIX
from outlive import firsts
from tap import note

CELL = "n = globals().get('n', 0) + 1; print(n)"


class Sandbox(threading.Thread):
    """Does one thing after the other to one sandbox, and keeps book."""

    def __init__(self, host, name, seed):
        super().__init__(daemon=True)
        self.host, self.name_ = host, name
        self.random = random.Random(seed)
        self.stopping, self.wrong, self.done, self.unsure = False, [], 0, 0
        self.low = self.high = 0  # what n may be
        self.lines, self.doubtful = [], set()
        self.fresh = 0
        self.point = None  # a checkpoint, and what was true when it was taken
        self.moves = {"sleep": 0, "freeze": 0, "wake": 0, "point": 0,
                      "back": 0}  # that succeeded

    def cli(self, *args, timeout=120):
        try:
            return subprocess.run(
                [PREFIX / "bin/kernelhost", *args],
                env=self.host.env,
                timeout=timeout,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except subprocess.TimeoutExpired:
            self.wrong.append(f"{args}: no answer in {timeout} s")
            return subprocess.CompletedProcess(args, 99, "", "timeout")

    def count(self):
        got = self.cli("run", self.name_, "-c", CELL)
        if got.returncode == 0:
            value = got.stdout.strip()
            if not value.isdigit() or not self.low < int(value) <= self.high + 1:
                self.wrong.append(
                    f"{self.name_}: counted {value!r} after {self.low}..{self.high}"
                )
                return
            self.low = self.high = int(value)
        else:
            self.unsure += 1
            self.high += 1
        self.done += 1

    def write(self):
        self.fresh += 1
        line = str(self.fresh)
        got = self.cli(
            "exec", self.name_, "--", "sh", "-c", f"echo {line} >> /workspace/log"
        )
        if got.returncode == 0:
            self.lines.append(line)
        else:
            self.unsure += 1
            self.doubtful.add(line)
        self.done += 1

    def move(self, name, *command):
        self.moves[name] += self.cli(*command, self.name_).returncode == 0

    def sleep(self):
        self.move("sleep", "sleep")

    def freeze(self):
        self.move("freeze", "sleep", "--frozen")

    def wake(self):
        self.move("wake", "wake")

    def book(self):
        return self.low, self.high, list(self.lines), set(self.doubtful)

    def take(self):
        """A checkpoint of all, in the place of the one there is."""
        got = self.cli("checkpoint", self.name_, "--files")
        if got.returncode == 0:
            if self.point:
                self.cli("snapshot", "rm", self.point[0])
            self.point = got.stdout.strip(), self.book()
            self.moves["point"] += 1

    def back(self):
        """To the checkpoint. Whether one that was cut off came about tells `n`, which
        is larger now than it was then."""
        self.count()
        if not self.point or self.low != self.high or self.low <= self.point[1][1]:
            return
        got = self.cli("rollback", self.name_, self.point[0])
        if got.returncode == 0 or self.is_back():
            self.moves["back"] += 1
            self.low, self.high, self.lines, self.doubtful = self.point[1]
            self.point = self.point[0], self.book()

    def is_back(self):
        for _ in range(60):
            value = self.cli("run", self.name_, "-c", "print(n)").stdout.strip()
            if value.isdigit():
                break
            time.sleep(0.5)
        else:
            self.wrong.append(f"{self.name_}: does not tell what n is")
            return False
        low, high = self.point[1][:2]
        if int(value) != self.low and not low <= int(value) <= high:
            self.wrong.append(
                f"{self.name_}: n is {value}, neither {self.low} nor {low}..{high}"
            )
        return int(value) != self.low

    def run(self):
        steps = [self.count, self.count, self.write, self.sleep, self.freeze,
                 self.wake, self.sleep, self.take, self.back]
        try:
            while not self.stopping:
                self.random.choice(steps)()
                if self.random.random() < 0.3:
                    time.sleep(self.random.uniform(0, 0.1))
        except Exception as error:
            self.wrong.append(f"{self.name_}: {error!r}")

    def check(self):
        """What must hold in the end."""
        self.count()
        got = self.cli("run", self.name_, "-c", "print(n)")
        if got.stdout.strip() != str(self.low) or self.low != self.high:
            self.wrong.append(
                f"{self.name_}: n is {got.stdout!r} {got.stderr!r}, not "
                f"{self.low}..{self.high}"
            )
        got = self.cli("exec", self.name_, "--", "cat", "/workspace/log")
        found = got.stdout.split()
        if [x for x in found if x not in self.doubtful] != self.lines:
            self.wrong.append(f"{self.name_}: lines are {found}, not {self.lines}")
        if len(set(found)) != len(found):
            self.wrong.append(f"{self.name_}: a line is there twice")


def storm(host, kills, boxes=6, pause=(0.05, 1.2), seed=None):
    """Kills the gateway or kernelhostd KILLS times. Returns (sandboxes, seconds that
    each recovery took)."""
    seed = seed or random.randrange(1 << 30)
    note(f"seed {seed}")
    dice = random.Random(seed)
    all_ = [Sandbox(host, f"c{i}", seed + i) for i in range(boxes)]
    for box in all_:
        host.cli("create", box.name_)
        box.count()
        box.take()
    for box in all_:
        box.start()
    times = []
    for _ in range(kills):
        time.sleep(dice.uniform(*pause))
        begun = time.monotonic()
        if dice.random() < 0.5:
            host.kill_gateway()
        else:
            host.kill()
            host.start()
        times.append(time.monotonic() - begun)
    for box in all_:
        box.stopping = True
    for box in all_:
        box.join(180)
        if box.is_alive():
            box.wrong.append(f"{box.name_}: does not end")
    for box in all_:
        box.check()
    return all_, times


def strangers(host):
    """First processes that belong to no sandbox that runs."""
    known = [s for s in host.json("ls") if s["state"] in ("running", "frozen")]
    return len(firsts()) - len(known)
