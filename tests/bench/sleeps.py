"""sleeps: what standing still, hibernation, snapshots and forks take. For bench.py.

All through the local API, on a host of its own, one sandbox at a time. A peer that
keeps memory does not exist among kernels: what ipykernel has to do instead is to start
again and compute the same, and that is what it is measured with.
"""

import json
import time

from api import Connection, call

# Words for the bench, MiB that the kernel has of its own.
SIZES = ((50, 0), (150, 100), (1000, 950))
FILL = (
    "import numpy as np; held = np.random.default_rng(1).bytes({mib} << 20); len(held)"
)


def timed(function):
    begun = time.perf_counter()
    function()
    return (time.perf_counter() - begun) * 1000


def cell(host, name, code="1+1"):
    """Runs a cell to its end."""
    connection = Connection(host.state / "run/api.sock")
    try:
        connection.request(
            "POST", f"/v1/sandboxes/{name}/run", json.dumps({"code": code})
        )
        lines = [json.loads(line) for line in connection.getresponse()]
    finally:
        connection.close()
    status = [
        line["content"]["status"]
        for line in lines
        if line["header"]["msg_type"] == "execute_reply"
    ]
    assert status == ["ok"], lines[-3:]


def ask(host, method, path, body=None):
    status, answer = call(host, method, f"/v1/{path}", body)
    assert status < 300, answer
    return answer


def frozen(bench, host):
    """A cell of one that runs, and of one that is frozen, in turn."""
    if not bench.wanted("frozen_cell"):
        return
    runs, wakes = [], []
    for _ in range(bench.count(200, 40)):
        runs.append(timed(lambda: cell(host, "ice")))
        ask(host, "POST", "sandboxes/ice/sleep", {"hibernate": False})
        wakes.append(timed(lambda: cell(host, "ice")))
    bench.add(
        "running_cell", "`1+1` through the API, running", "kernelhost", runs, "ms"
    )
    bench.add(
        "frozen_cell", "`1+1` through the API, frozen before", "kernelhost", wakes, "ms"
    )


def hibernated(bench, host, size, name, peer):
    if not bench.wanted(f"wake_{size}"):
        return
    sleeps, wakes = [], []
    for _ in range(bench.count(15, 5) if size < 1000 else bench.count(7, 3)):
        sleeps.append(timed(lambda: ask(host, "POST", f"sandboxes/{name}/sleep", {})))
        wakes.append(timed(lambda: cell(host, name)))
    text = f"at {size} MB"
    bench.add(f"hibernate_{size}", f"hibernate {text}", "kernelhost", sleeps, "ms")
    bench.add(
        f"wake_{size}", f"wake {text}, to the first reply", "kernelhost", wakes, "ms"
    )
    if peer:
        bench.add(
            f"wake_{size}", f"wake {text}, to the first reply", "ipykernel", peer, "ms"
        )


def forked(bench, host, name, peer):
    if not bench.wanted("fork4_files"):
        return
    names = [f"child-{n}" for n in range(4)]
    answered, replied, files = [], [], []

    def to_replies():
        answered.append(
            timed(lambda: ask(host, "POST", f"sandboxes/{name}/fork", {"names": names}))
        )
        for child in names:
            cell(host, child)

    def remove():
        for child in names:
            ask(host, "DELETE", f"sandboxes/{child}")

    for _ in range(bench.count(10, 3)):
        replied.append(timed(to_replies))
        remove()
        files.append(
            timed(
                lambda: ask(
                    host,
                    "POST",
                    f"sandboxes/{name}/fork",
                    {"names": names, "memory": False},
                )
            )
        )
        remove()
    bench.add(
        "fork4", "fork x4 with 150 MB of memory, all made", "kernelhost", answered, "ms"
    )
    bench.add(
        "fork4_cell",
        "the same, to the first reply of each",
        "kernelhost",
        replied,
        "ms",
    )
    if peer:
        bench.add(
            "fork4_cell",
            "the same, to the first reply of each",
            "ipykernel",
            [4 * ms for ms in peer],
            "ms",
        )
    bench.add("fork4_files", "fork x4, files only", "kernelhost", files, "ms")


def kept(bench, host, name):
    """Snapshots of it, and what is made from them."""
    if not bench.wanted("snapshot_create_memory"):
        return
    for words, memory in (("files", False), ("with memory", True)):
        takes, makes = [], []
        for _ in range(bench.count(15, 5)):
            takes.append(
                timed(
                    lambda m=memory: ask(
                        host,
                        "POST",
                        f"sandboxes/{name}/snapshots",
                        {"name": "s", "memory": m},
                    )
                )
            )
            cell(host, name)
            makes.append(
                timed(
                    lambda: ask(
                        host, "POST", "sandboxes", {"name": "made", "from": "s"}
                    )
                )
            )
            ask(host, "DELETE", "sandboxes/made")
            ask(host, "DELETE", "snapshots/s")
        key = words.split()[-1]
        bench.add(
            f"snapshot_{key}", f"snapshot at 150 MB, {words}", "kernelhost", takes, "ms"
        )
        bench.add(
            f"snapshot_create_{key}",
            f"create from it, {words}",
            "kernelhost",
            makes,
            "ms",
        )


def sleeps(bench, host, peer):
    """PEER(code): the milliseconds that ipykernel takes from nothing to the reply."""
    host.cli("create", "ice")
    cell(host, "ice")
    frozen(bench, host)
    for size, mib in SIZES:
        if bench.options.smoke and size == 1000:
            continue
        names = (f"wake_{size}", "fork4_files", "snapshot_create_memory")
        if not any(map(bench.wanted, names)):
            continue
        name = f"bed-{size}"
        host.cli("create", name, "--memory", "3G", "--keep-awake")
        code = FILL.format(mib=mib) if mib else "1+1"
        cell(host, name, code)
        launched = peer(code)
        hibernated(bench, host, size, name, launched)
        if size == 150:
            forked(bench, host, name, launched)
            kept(bench, host, name)
        host.cli("rm", name)
    host.cli("rm", "ice")
