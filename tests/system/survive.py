"""survive: sandboxes that print numbers, and clients that count them, while the
host's processes are killed."""

import json
import pathlib
import random
import subprocess
import threading
import time

import zmq
from jupyter_client.session import Session

from host import PREFIX
from talk import Talk
from tap import equal, note, ok

CELL = """
import time
n = globals().get("n", 0)
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    print(n, flush=True)
    n += 1
    time.sleep({pause})
n
"""


class Listener(threading.Thread):
    """A plain SUB socket: counts every line of stdout, in order, and every msg_id."""

    def __init__(self, path):
        super().__init__(daemon=True)
        info = json.loads(pathlib.Path(path).read_text())
        self.session = Session(key=info["key"].encode())
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.rcvhwm = 0
        self.socket.subscribe(b"")
        end = "{ip}-{iopub_port}" if info["transport"] == "ipc" else "{ip}:{iopub_port}"
        self.socket.connect(f"{info['transport']}://{end.format(**info)}")
        self.text, self.ids, self.twice = "", set(), []
        self.stopping = False

    def run(self):
        while not self.stopping:
            if not self.socket.poll(100):
                continue
            _, frames = self.session.feed_identities(self.socket.recv_multipart())
            message = self.session.deserialize(frames)
            if message["header"]["msg_id"] in self.ids:
                self.twice.append(message["header"])
            self.ids.add(message["header"]["msg_id"])
            if message["msg_type"] == "stream":
                self.text += message["content"]["text"]


class Worker(threading.Thread):
    """A sandbox whose cells print the next numbers, through jupyter_client."""

    def __init__(self, host, name, *args, listen=False, pause=0.001):
        super().__init__(daemon=True)
        self.args, self.pause = args, pause
        host.cli("create", name)
        self.path = host.cli("connect", name, *args).stdout.strip()
        self.file = pathlib.Path(self.path).read_text()
        self.talk = Talk(host.client(name, *args))
        self.listener = Listener(self.path) if listen else None
        if listen:
            self.listener.start()
        self.name_, self.stopping, self.cells, self.error = name, False, [], None
        self.given_up = []

    def cell(self):
        """One cell. A request that nobody has accepted is sent again."""
        seconds = random.uniform(0.1, 1.5)
        cell = self.talk.send(CELL.format(seconds=seconds, pause=self.pause))
        until = time.monotonic() + 60
        while not (cell.idle and cell.message):
            self.talk.take(0.2)
            if not cell.messages and time.monotonic() > until - 52:
                self.given_up.append(cell)
                return None
            if time.monotonic() > until:
                raise TimeoutError(f"{cell.types} {cell.reply}")
        return cell

    def run(self):
        try:
            while not self.stopping:
                cell = self.cell()
                if cell:
                    self.cells.append(cell)
        except Exception as error:
            self.error = error


class Runner(threading.Thread):
    """The same by `kernelhost run`, and a plain subscriber."""

    def __init__(self, host, name, pause=0.001):
        super().__init__(daemon=True)
        self.pause = pause
        host.cli("create", name)
        self.host, self.name_, self.stopping = host, name, False
        self.listener = Listener(host.cli("connect", name).stdout.strip())
        self.listener.start()
        self.text, self.errors, self.runs = "", [], 0

    def run(self):
        while not self.stopping:
            code = CELL.format(seconds=random.uniform(0.1, 1.5), pause=self.pause)
            done_ = subprocess.run(
                [PREFIX / "bin/kernelhost", "run", self.name_, "-c", code],
                env=self.host.env, capture_output=True, text=True, timeout=120)
            if "no host runs" in done_.stderr:
                continue  # it was begun between two kernelhostds: nothing was asked
            lines = done_.stdout.split("\n")
            self.text += "\n".join(lines[:-2]) + "\n"  # the last one is the value
            self.runs += 1
            if done_.returncode:
                self.errors.append((done_.returncode, done_.stderr))


def numbers(text, what):
    """The lines must be 0, 1, 2..., each once."""
    got = [int(line) for line in text.splitlines() if line]
    want = list(range(len(got)))
    if got != want:
        wrong = next(i for i in want if got[i] != i)
        note(f"{what}: at line {wrong}: {got[max(0, wrong - 5):wrong + 5]}")
        note(f"missing {sorted(set(range(max(got) + 1)) - set(got))[:20]}; "
             f"twice {sorted({n for n in got if got.count(n) > 1})[:20]}")
    ok(got == want and got, f"{what}: {len(got)} lines, each once and in order")


def judge_worker(host, worker):
    name, cells = worker.name_, worker.cells
    equal(worker.error, None, f"{name}: no error")
    note(f"{name}: {len(cells)} cells, {len(worker.given_up)} requests not accepted")
    numbers("".join(cell.text for cell in worker.talk.cells.values()),
            f"{name}: jupyter_client")
    if worker.listener:
        judge_listener(worker.listener, name)
    replies = [m for m in worker.talk.shell if m["msg_type"] == "execute_reply"]
    equal(len(replies), len(cells), f"{name}: one reply each")
    equal({tuple(c.types[:2] + c.types[-1:]) for c in cells},
          {("busy", "execute_input", "idle")}, f"{name}: from busy to idle")
    equal({c.types.count("idle") + c.types.count("busy") for c in cells}, {2},
          f"{name}: one busy and one idle each")
    again = host.cli("connect", name, *worker.args).stdout.strip()
    equal(again, worker.path, f"{name}: the same connection file")
    equal(pathlib.Path(again).read_text(), worker.file, f"{name}: as it was")
    worker.talk.close()


def judge_listener(listener, name):
    listener.stopping = True
    listener.join()
    numbers(listener.text, f"{name}: a plain subscriber")
    equal(listener.twice, [], f"{name}: no msg_id twice")


def judge_runner(runner):
    numbers(runner.text, f"{runner.name_}: kernelhost run")
    equal(runner.errors, [], f"{runner.name_}: {runner.runs} runs without an error")
    judge_listener(runner.listener, runner.name_)


def judge(host, workers, runners):
    """Lets all come to their end, and looks at what everybody got."""
    parts = [*workers, *runners]
    for part in parts:
        part.stopping = True
    for part in parts:
        part.join(180)
        ok(not part.is_alive(), f"{part.name_}: it comes to its end")
    time.sleep(1)
    for worker in workers:
        judge_worker(host, worker)
    for runner in runners:
        judge_runner(runner)


def tell(times, what):
    """The times of recovery, as a diagnostic."""
    times = sorted(times)
    if times:
        note(f"{len(times)} times {what} was killed; answered again after "
             f"{times[len(times) // 2]:.3f} s (median), {times[-1]:.3f} s at most")
