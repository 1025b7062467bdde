#!/usr/bin/env python3
"""Every line and the idle arrive: many prints, much text, child processes, C's own
stdio; and a subscriber that does not read costs neither memory nor the others."""

import hashlib
import json
import os
import pathlib
import re
import threading
import time

import zmq

import api
from host import Host
from talk import Talk
from tap import check, done, equal, ok


def many_prints(talk):
    cell = talk.execute("for n in range(20000): print(n)", timeout=120)
    equal(cell.text, "".join(f"{n}\n" for n in range(20000)),
          "20,000 prints: every line, in order")
    ok(len(cell.types) < 2000, f"in {len(cell.types)} messages")
    cell = talk.execute("for n in range(20000): print(n, flush=True)", timeout=120)
    equal(cell.text, "".join(f"{n}\n" for n in range(20000)),
          "20,000 flushed prints: every line, in order")
    cell = talk.execute("from IPython.display import display\n"
                        "for n in range(1000):\n    print(n)\n    display(n)",
                        timeout=120)
    wrong = [
        (n, a["msg_type"], b["msg_type"]) for n, (a, b) in enumerate(
            zip(cell.messages[2:-1:2], cell.messages[3:-1:2], strict=True))
        if a["content"].get("text") != f"{n}\n"
        or b["content"].get("data") != {"text/plain": str(n)}
    ]
    equal((wrong[:3], len(cell.messages)), ([], 2003),
          "1,000 prints and displays in turn keep their order")


def mixed(talk):
    """Every road that output can take, in turn: each keeps its place."""
    cell = talk.execute(
        "import ctypes, os, random, sys, time\n"
        "from IPython.display import display\n"
        "libc = ctypes.CDLL(None)\n"
        "def c(text):\n"
        "    libc.write(1, text.encode(), len(text))\n"
        "def shown(text):\n"
        "    display({'text/plain': text}, raw=True)\n"
        "def printed(text):\n"
        "    print(text, end='')\n"
        "def flushed(text):\n"
        "    print(text, end='', flush=True)\n"
        "for n in range(5000):\n"
        "    way = random.choice((c, shown, printed, flushed))\n"
        "    if way is c:\n"
        "        sys.stdout.flush()\n"
        "    way(f'{n} ')\n"
        "    if random.random() < 0.1:\n"
        "        time.sleep(random.random() * 0.001)\n"
        "sys.stdout.flush(); c('5000 '); 5001", timeout=120)
    texts = [m["content"].get("text") or m["content"]["data"]["text/plain"] + " "
             for m in cell.messages
             if m["msg_type"] in ("stream", "display_data", "execute_result")]
    equal([int(n) for n in "".join(texts).split()], list(range(5002)),
          "prints, displays, and what C writes keep their order")


def much_text(talk):
    """50 MB, compared by a digest that the cell computes."""
    cell = talk.execute(
        "import hashlib\ndigest = hashlib.sha256()\n"
        "for n in range(500):\n"
        "    text = f'{n:06d} \u00e9\u6771 ' + 'x' * 99988 + '\\n'\n"
        "    digest.update(text.encode()); print(text, end='')\n"
        "digest.hexdigest()", timeout=120)
    text = cell.text.encode()
    equal((len(text), repr(hashlib.sha256(text).hexdigest())),
          (500 * (7 + 6 + 99988 + 1), cell.value), "50 MB: every byte, and idle")
    cell = talk.execute("print('y' * 20_000_000)", timeout=120)
    ok(cell.text == "y" * 20_000_000 + "\n", "20 MB in one print: every byte")
    ok(max(len(m["content"]["text"]) for m in cell.messages
           if m["msg_type"] == "stream") < 1 << 20, "in messages below 1 MiB")


def children(talk):
    cell = talk.execute(
        "import os, subprocess, sys\n"
        "print('a')\nos.system('echo b')\nprint('c')\n"
        "subprocess.run(['sh', '-c', 'echo d; echo e >&2'])\nprint('f', flush=True)\n"
        "os.write(1, b'g\\n')\nprint('h', file=sys.stderr)\nprint('i')")
    equal((cell.text, cell.stderr), ("a\nb\nc\nd\nf\ng\ni\n", "e\nh\n"),
          "Python and its child processes write in order")
    cell = talk.execute(
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "for n in range(1000):\n"
        "    libc.printf(b'c %d\\n', ctypes.c_int(n))\n"
        "libc.puts(b'the end')")
    equal(cell.text, "".join(f"c {n}\n" for n in range(1000)) + "the end\n",
          "C's printf arrives before idle, without a flush")
    cell = talk.execute("subprocess.run(['seq', '300000']); print('done')", timeout=60)
    equal(hashlib.sha256(cell.text.encode()).hexdigest(), hashlib.sha256(
        ("".join(f"{n}\n" for n in range(1, 300001)) + "done\n").encode()).hexdigest(),
        "300,000 lines of a child process arrive before its cell is idle")
    cell = talk.execute("os.write(1, bytes([0x61, 0xff, 0xe6, 0x9d, 0xb1, 0xe6]))")
    equal(cell.text, "a\ufffd\u6771\ufffd", "bytes that are no UTF-8 are replaced")
    cells = [talk.execute(f"os.system('echo {n}'); print({n})") for n in range(50)]
    talk.listen(0.5)
    equal([(c.text, c.late) for c in cells], [(f"{n}\n{n}\n", []) for n in range(50)],
          "nothing of a cell comes after its idle")


def gateway_pid(host):
    return api.call(host, "GET", "/v1/health")[1]["pid"]


def rss(pid):
    """Resident bytes of a process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024


class Watch(threading.Thread):
    """The most memory the gateway ever had."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.ended = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.05):
            self.most = max(self.most, rss(self.pid))

    def stop(self):
        self.ended.set()
        self.join()
        return self.most


def stalled(host, name, *transport):
    """A subscriber that never reads, while 150 MB pass."""
    what = transport[0][2:] if transport else "ipc"
    path = host.cli("connect", name, *transport).stdout.strip()
    info = json.loads(pathlib.Path(path).read_text())
    at = "%s://%s%s%d" % (info["transport"], info["ip"],
                          ":" if info["transport"] == "tcp" else "-",
                          info["iopub_port"])
    context = zmq.Context()
    lazy = context.socket(zmq.SUB)
    lazy.linger, lazy.rcvhwm, lazy.rcvbuf = 0, 1, 4096
    lazy.subscribe(b"")
    lazy.connect(at)
    lazy.poll(5000)  # the welcome is there: it is subscribed
    talk = Talk(host.client(name, *transport))
    size, digest = 0, hashlib.sha256()

    def keep(message):
        nonlocal size
        if message["msg_type"] != "stream":
            return True
        data = message["content"]["text"].encode()
        size += len(data)
        digest.update(data)
        return False

    talk.keep = keep
    watch = Watch(gateway_pid(host))
    with check(f"{what}: 150 MB reach the client that reads, and so does idle"):
        cell = talk.execute(
            "import hashlib\ndigest = hashlib.sha256()\n"
            "for n in range(1500):\n"
            "    text = f'{n:06d} ' + 'z' * 99992 + '\\n'\n"
            "    digest.update(text.encode()); print(text, end='')\n"
            "digest.hexdigest()", timeout=180)
        assert size == 150_000_000, size
        assert cell.value == repr(digest.hexdigest())
    with check(f"{what}: the next cells are served as well"):
        for n in range(20):
            assert talk.execute(f"{n}", timeout=20).value == str(n)
    most = watch.stop()
    ok(most < 300 << 20, f"{what}: the gateway had {most >> 20} MiB at most, below 300")
    with check(f"{what}: the subscriber that stalled goes on when it reads again"):
        end = time.monotonic() + 60
        found = False
        while not found and time.monotonic() < end:
            talk.execute("print('MARK')", timeout=20)
            while lazy.poll(200):
                if b"MARK" in b"".join(lazy.recv_multipart()):
                    found = True
        assert found
    lazy.close()
    context.term()
    talk.close()


def nobody_reads(host, name):
    """No client at all: the output goes nowhere, the kernel goes on."""
    talk = Talk(host.client(name))
    cell = talk.send("print('x' * 100_000_000)\nopen('/workspace/done', 'w')")
    talk.until(lambda: "execute_input" in cell.types)
    talk.close()
    end = time.monotonic() + 60
    there = ("exec", name, "--", "test", "-e", "/workspace/done")
    while host.cli(*there, check=False).returncode and time.monotonic() < end:
        time.sleep(0.2)
    equal(host.cli("run", name, "-c", "1 + 1").stdout, "2\n",
          "a cell that nobody listens to any more runs to its end")


def main():
    with Host() as host:
        host.cli("create", "box")
        pid = gateway_pid(host)
        talk = Talk(host.client("box"))
        many_prints(talk)
        mixed(talk)
        much_text(talk)
        children(talk)
        talk.close()
        stalled(host, "box")
        stalled(host, "box", "--tcp")
        nobody_reads(host, "box")
        equal(gateway_pid(host), pid, "it is the same gateway all the time")
        ok(os.path.exists(f"/proc/{pid}"), "which lives")
    done()


main()
