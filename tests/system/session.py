"""session: a session with everything in it that can be lost, and a look at it.

A pandas frame, an open file half written, a running thread, an asyncio task, a child
process, a web server in the background, a connection, and a second kernel: what users
mean by "everything is still there".
"""

import json

from api import Connection, call
from tap import equal, ok

BEGIN = """
import asyncio, json, os, random, socket, subprocess, sys, threading, time, uuid
import urllib.request
import numpy as np, pandas as pd
frame = pd.DataFrame({"a": np.arange(5000), "b": np.random.default_rng(7).random(5000)})
blob = bytes(range(256)) * 4096
half = open("/workspace/half", "w"); half.write("first half, "); half.flush()
gone = open("/workspace/gone", "w+"); gone.write("deleted and open"); gone.flush()
os.unlink("/workspace/gone")
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)
thread = threading.Thread(target=tick, daemon=True); thread.start()
steps = 0
async def walk():
    global steps
    while True:
        steps += 1
        await asyncio.sleep(0.01)
task = asyncio.ensure_future(walk())
child = subprocess.Popen([sys.executable, "-c", '''
import time
n = 0
while True:
    n += 1
    open("/workspace/beat", "w").write(str(n))
    time.sleep(0.02)
'''])
web = subprocess.Popen([sys.executable, "-m", "http.server", "8000"], cwd="/workspace",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
left, right = socket.socketpair()
left.send(b"in the socket")
server = socket.create_server(("127.0.0.1", 0))
caller = socket.create_connection(server.getsockname())
callee, _ = server.accept()
caller.send(b"on the wire")
count = 0
def fetch(name):
    for _ in range(100):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:8000/{name}").read()
        except OSError:
            time.sleep(0.05)
deadline = time.monotonic()
fetch("half").decode()
"""

LOOK = """
import hashlib as _h
count += 1
gone.seek(0)
_seen = dict(
    count=count, frame=_h.sha256(frame.to_csv().encode()).hexdigest(),
    blob=_h.sha256(blob).hexdigest(), half=open("/workspace/half").read(),
    gone=gone.read(), thread=thread.is_alive(), task=not task.done(),
    child=child.poll(), web=web.poll(), page=fetch("half").decode(),
    peek=right.recv(64, socket.MSG_PEEK).decode(), wire=callee.recv(11).decode(),
    host=socket.gethostname(),
    cwd=os.getcwd(), tmp=sorted(os.listdir("/dev/shm")))
caller.send(b"on the wire")
print(json.dumps(_seen))
"""

MOVES = """
def _beat():
    while not (text := open("/workspace/beat").read()):  # it is being written
        time.sleep(0.001)
    return int(text)
_a = ticks, steps, _beat()
for _ in range(100):
    await asyncio.sleep(0.05)
    _b = ticks, steps, _beat()
    if all(y > x for x, y in zip(_a, _b)):
        break
print(all(y > x for x, y in zip(_a, _b)))
"""


def run(host, name, code, *args, **options):
    """What a cell in the sandbox's kernel prints."""
    return host.cli("run", name, *args, "-c", code, **options).stdout


def kernel_ids(host, name):
    return [
        k["id"]
        for k in call(host, "GET", f"/v1/sandboxes/{name}/kernels")[1]["kernels"]
    ]


def run_in(host, name, kernel, code):
    """In the kernel of that id; returns what it printed."""
    connection = Connection(host.state / "run/api.sock")
    try:
        connection.request(
            "POST",
            f"/v1/sandboxes/{name}/run",
            json.dumps({"code": code, "kernel": kernel}),
        )
        lines = [json.loads(line) for line in connection.getresponse()]
        return "".join(
            line["content"]["text"]
            for line in lines
            if line["header"]["msg_type"] == "stream"
        )
    finally:
        connection.close()


def others(host, name):
    """What the second kernel's variable is, in each kernel."""
    return sorted(
        run_in(host, name, kernel, "print(globals().get('other'))").strip()
        for kernel in kernel_ids(host, name)
    )


def begin(host, name):
    """Makes the session; returns what it looks like."""
    host.cli("create", name)
    equal(run(host, name, BEGIN).strip(), "'first half, '", f"{name}: a session begins")
    second = call(host, "POST", f"/v1/sandboxes/{name}/kernels", {})[1]["id"]
    run_in(host, name, second, "other = 'of the second kernel'")
    host.cli("exec", name, "--", "sh", "-c", "echo memory > /dev/shm/note")
    return look(host, name)


def look(host, name):
    """What it looks like now, without the count of looks."""
    seen = json.loads(run(host, name, LOOK))
    seen["others"] = others(host, name)
    return seen.pop("count"), seen


def moves(host, name, text):
    ok(
        run(host, name, MOVES).strip() == "True",
        f"{text}: thread, task and child go on",
    )
