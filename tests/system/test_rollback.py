#!/usr/bin/env python3
"""A whole sandbox goes back to a snapshot of it: files, memory, processes, in place."""

import os
import subprocess
import time

import session
from api import call
from host import Host
from outlive import settled, states, value
from snapshots import each
from talk import Talk
from tap import done, equal, note, ok

CHANGE = """
count = 77
del frame
blob = b"other"
half.write("second half"); half.flush()
child.kill(); child.wait()
task.cancel()
caller.close()
"""

FILES = ("echo other > /workspace/made; rm /workspace/half /workspace/beat;"
         "echo changed > /workspace/kept; rm /dev/shm/note")


def rolled(host, *args):
    """Rolls back; what it says beside the one line."""
    got = host.cli("rollback", *args)
    equal(got.stdout.count("\n"), 1, got.stdout.strip())
    return got.stderr


def deaths(talk):
    """What a kernel's client was told of its state last."""
    return [m["content"]["execution_state"] for m in talk.iopub
            if m["msg_type"] == "status"][-1:]


def whole(host):
    looks, seen = session.begin(host, "box")
    host.cli("exec", "box", "--", "sh", "-c", "echo kept > /workspace/kept")
    first, second = session.kernel_ids(host, "box")
    client = Talk(host.client("box", "--kernel", first))
    client.execute("mine = 'at the point'")
    path = host.cli("connect", "box", "--kernel", first).stdout
    refused = host.cli("checkpoint", "box", "--kernel", first, check=False)
    ok(refused.returncode == 4 and "checkpoint NAME --files" in refused.stderr,
       f"the kernel has threads: {refused.stderr.strip()}")
    made = host.cli("checkpoint", "box", "--files", "--label", "all there")
    equal((made.stdout, made.stderr), ("box-1\n", ""), "a checkpoint of all there is")
    rows = [line.split()[:2] for line in
            host.cli("checkpoints", "box").stdout.splitlines()[1:]]
    equal(rows, [["box-1", "sandbox"]], "it is listed")
    one = host.json("checkpoints", "box")[0]
    equal((one["label"], one["memory"], one["of"]), ("all there", True, "sandbox"),
          "with its label")
    host.cli("exec", "box", "--", "sh", "-c", FILES)
    session.run_in(host, "box", first, CHANGE)
    # The second kernel goes, and a third one takes its number.
    status, _ = call(host, "DELETE", f"/v1/sandboxes/box/kernels/{second}")
    equal(status, 204, "one goes")
    third = call(host, "POST", "/v1/sandboxes/box/kernels", {})[1]["id"]
    other = Talk(host.client("box", "--kernel", third))
    other.execute("other = 'of the third'")
    client.execute("mine = 'later'; print('said before')")
    equal(rolled(host, "box", "box-1"),
          f"not kept: kernel {third}: it is not in the snapshot\n", "who goes is told")
    other.listen(1)
    equal(deaths(other), ["dead"], "and its client, too")
    other.close()
    cell = client.execute("print(mine)")
    equal((cell.text, cell.late), ("at the point\n", []), "a connected client goes on")
    equal(session.look(host, "box"), (looks + 1, seen), "all of it is as it was")
    equal(host.cli("exec", "box", "--", "cat", "/workspace/kept").stdout, "kept\n",
          "a changed file, too")
    ok(host.cli("exec", "box", "--", "ls", "/workspace/made", check=False).returncode,
       "and a new one is gone")
    session.moves(host, "box", "box")
    equal(session.kernel_ids(host, "box"), [first, second],
          "both kernels have the ids that they had")
    equal(host.cli("connect", "box", "--kernel", first).stdout, path,
          "and the connection file of the first is the same")
    again_and_forth(host, client, looks, seen)
    client.close()


def again_and_forth(host, client, looks, seen):
    session.run(host, "box", "mark = 'forward'")
    equal(host.cli("checkpoint", "box", "--files").stdout, "box-2\n", "a later one")
    for n in range(2):
        client.execute("count = 5; mine = 0")
        rolled(host, "box", "box-1")
        equal(session.look(host, "box"), (looks + 1, seen), f"back again, time {n + 2}")
    rolled(host, "box", "box-2")
    equal(session.run(host, "box", "mark, count"), f"('forward', {looks + 1})\n",
          "and forward")
    ids = [m["header"]["msg_id"] for m in client.iopub + client.shell]
    equal(len(ids), len(set(ids)), "no message came twice")
    texts = [m["content"]["text"] for m in client.iopub if m["msg_type"] == "stream"]
    equal(texts.count("said before\n"), 1, "nor did what was said before")
    for cell in [client.execute(f"print({n})") for n in range(30)]:
        if cell.types != ["busy", "execute_input", "stream", "idle"] or cell.late:
            note(cell.types)
            ok(False, "a cell misses something")
    host.cli("checkpoint", "rm", "box", "box-2")
    equal([c["name"] for c in host.json("checkpoints", "box")], ["box-1"],
          "one is removed")
    got = host.cli("checkpoint", "rm", "box", "box-2", check=False)
    equal(got.returncode, 3, f"once: {got.stderr.strip()}")


def asleep(host):
    """From every state, with and without processes."""
    host.cli("create", "box")
    session.run(host, "box", "x = 1; open('/workspace/x', 'w').write('1')")
    host.cli("snapshot", "box", "files")
    host.cli("checkpoint", "box", "--files")
    show = "(globals().get('x'), open('/workspace/x').read())"
    for move, state in ((("wake",), "running"), (("sleep", "--frozen"), "hibernated"),
                        (("sleep",), "hibernated"), (("stop",), "hibernated")):
        session.run(host, "box", "x = 2; open('/workspace/x', 'w').write('2')")
        host.cli(*move, "box")
        rolled(host, "box", "box-1")
        equal(states(host)["box"], state, f"after {move}, it is {state}")
        equal(session.run(host, "box", show), "(1, '1')\n", "and what it was")
    for move, state in ((("wake",), "running"), (("sleep", "--frozen"), "stopped"),
                        (("sleep",), "stopped"), (("stop",), "stopped")):
        session.run(host, "box", "x = 2; open('/workspace/x', 'w').write('2')")
        host.cli(*move, "box")
        equal(rolled(host, "box", "files"),
              "not kept: processes : the snapshot has files only\n", "and that is told")
        equal(states(host)["box"], state, f"files only, after {move}: {state}")
        equal(session.run(host, "box", show), "(None, '1')\n", "the kernel begins anew")
    host.cli("stop", "box")
    equal(host.cli("checkpoint", "box", "--files").stdout, "box-2\n",
          "a stopped one has a checkpoint")
    equal(host.json("snapshot", "show", "box-2")["memory"], False, "of its files")
    disk_and_memory(host, 1)
    host.cli("sleep", "--frozen", "box", check=False)
    host.cli("fork", "box", "child")
    equal(value(host, "child", "open('/workspace/x').read()"), "'1'",
          "one that was rolled back can be forked")
    host.cli("stop", "box")
    host.cli("rollback", "box", "box-1")
    disk_and_memory(host, 2, 1)
    host.cli("limits", "box", "--disk", "2G")
    host.kill()
    host.start()
    equal(session.run(host, "box", show), "(1, '1')\n", "it outlives the host")


def disk_and_memory(host, boxes, memories=0):
    """Nothing lies about but what is somebody's."""
    ids = {s["id"] for s in host.json("snapshot", "ls")}
    equal(len(set(host.disks()) - ids), boxes, "each sandbox has one disk")
    equal(len(os.listdir(host.state / "memory")), memories, f"{memories} memories")


def refused(host):
    host.cli("create", "box")
    host.cli("create", "other")
    for name in ("box", "other"):
        session.run(host, name, f"x = '{name}'")
    host.cli("checkpoint", "other", "--files")
    host.cli("snapshot", "box", "brief", "--expires", "1s")
    host.cli("create", "twin", "--from", "other-1")
    host.cli("fork", "box", "old")
    host.cli("checkpoint", "old", "--files")
    host.cli("rm", "old")
    host.cli("create", "old")
    # An archive says of which sandbox it is, but nobody here has seen that.
    archive = host.state / "archive"
    host.cli("snapshot", "box", "foreign")
    host.cli("snapshot", "export", "foreign", archive)
    host.cli("snapshot", "rm", "foreign")
    host.cli("snapshot", "import", archive)
    time.sleep(1.5)
    for args, status, reason in (
        (("box", "other-1"), 2, "not of this sandbox 'box' (hint: kernelhost create"),
        (("twin", "other-1"), 2, "not of this sandbox"),
        (("old", "old-1"), 2, "not of this sandbox"),
        (("box", "foreign"), 2, "not of this sandbox"),
        (("box", "brief"), 3, "no snapshot 'brief'"),
        (("box", "nothing"), 3, "no snapshot 'nothing'"),
        (("box", "~x"), 2, "neither the number"),
        (("box", "x" * 57), 2, "neither the number"),
        (("nobox", "other-1"), 3, "no sandbox"),
        (("other", "other-1", "--kernel", "x"), 2, "no --kernel"),
    ):
        got = host.cli("rollback", *args, check=False)
        ok(got.returncode == status and reason in got.stderr,
           f"{args}: {got.stderr.strip()[:200]}")
    for body in ({}, {"snapshot": 5}, {"snapshot": ""}, {"snapshot": "~a"}):
        got = call(host, "POST", "/v1/sandboxes/box/rollback", body)
        equal(got[0], 400, f"{body}: {str(got[1])[:80]}")
    equal(host.json("checkpoints", "old"), [], "what another one left is not listed")
    equal(session.run(host, "box", "x"), "'box'\n", "the sandbox is as it was")
    busy(host)


def busy(host):
    client = Talk(host.client("other"))
    cell = client.send("import time; time.sleep(3); print(x)")
    client.until(lambda: cell.messages)
    for command in (("rollback", "other", "other-1"),
                    ("checkpoint", "other", "--files")):
        got = host.cli(*command, check=False)
        ok(got.returncode == 4 and "cell runs" in got.stderr,
           f"while a cell runs: {got.stderr.strip()}")
    equal(client.finish(cell).text, "other\n", "which goes on")
    host.cli("rollback", "other", "other-1")
    equal(client.execute("print(x)").text, "other\n", "afterwards it can be")
    client.close()


def of_one_kernel(host):
    """The API of a kernel leads to the same."""
    host.cli("create", "box")
    session.run(host, "box", "x = 1")
    kernel = session.kernel_ids(host, "box")[0]
    base = f"/v1/sandboxes/box/kernels/{kernel}/checkpoints"
    status, made = call(host, "POST", base, {"files": True, "label": "é"})
    equal((status, made["name"], made["label"], made["memory"]),
          (201, "box-1", "é", True), "files: true makes a checkpoint of all")
    host.cli("checkpoint", "box")
    rows = [line.split()[:2] for line in
            host.cli("checkpoints", "box").stdout.splitlines()[1:]]
    equal(rows, [["1", "kernel"], ["box-1", "sandbox"]], "both kinds are listed")
    session.run(host, "box", "x = 2")
    host.cli("rollback", "box")
    equal(session.run(host, "box", "x"), "1\n", "without a word it is the kernel's")
    host.cli("rollback", "box", "box-1")
    equal([c["of"] for c in host.json("checkpoints", "box")], ["sandbox"],
          "those of the kernel are as they were then")
    listed = call(host, "GET", "/v1/sandboxes/box/checkpoints")[1]["checkpoints"]
    equal([c["name"] for c in listed], ["box-1"], "the API lists them")


DRAW = """
print([random.random(), np.random.random()])
print([ssl.RAND_bytes(8).hex(), secrets.token_hex(8)])
"""


def random_numbers(host):
    """What a program drew it draws again; secrets it does not."""
    host.cli("create", "box")
    session.run(host, "box", "import random, ssl, secrets; import numpy as np\n" + DRAW)
    host.cli("checkpoint", "box", "--files")
    drawn = [session.run(host, "box", DRAW).splitlines()]
    for _ in range(3):
        host.cli("rollback", "box", "box-1")
        drawn.append(session.run(host, "box", DRAW).splitlines())
    equal(len({numbers for numbers, _ in drawn}), 1, "random numbers are the same")
    equal(len({secret for _, secret in drawn}), 4, "secrets are not")


def killed(host, rounds=12):
    """The gateway dies on the way: before or after, and nothing in between."""
    host.cli("create", "box")
    session.run(host, "box", "x = 1; open('/workspace/x', 'w').write('1')")
    first = session.kernel_ids(host, "box")[0]
    begun = time.monotonic()
    host.cli("checkpoint", "box", "--files")
    host.cli("rollback", "box", "box-1")
    pause = 1.5 * (time.monotonic() - begun) / rounds
    client = Talk(host.client("box", "--kernel", first))
    seen, ids = set(), []
    for n in range(rounds):
        client.execute("x = 2; open('/workspace/x', 'w').write('2')")
        other = call(host, "POST", "/v1/sandboxes/box/kernels", {})[1]["id"]
        session.run_in(host, "box", other, "y = 5")
        pending = subprocess.Popen(host.command("rollback", "box", "box-1"),
                                   env=host.env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        time.sleep(pause * n)
        host.kill_gateway()
        pending.communicate()
        host.gateway()
        got = client.execute("print(x, open('/workspace/x').read())").text
        there = other in session.kernel_ids(host, "box")
        seen.add((got, there))
        if (got, there) not in {("1 1\n", False), ("2 2\n", True)}:
            note(n, got, there)
        if there:
            alive = session.run_in(host, "box", other, "print(y)")
            seen.add(("alive", alive == "5\n"))
            call(host, "DELETE", f"/v1/sandboxes/box/kernels/{other}")
        for m in client.execute("print('more')").messages:
            ids.append(m["header"]["msg_id"])
    ok(seen <= {("1 1\n", False), ("2 2\n", True), ("alive", True)},
       f"{rounds} times it is one or the other: {seen}")
    ok(("1 1\n", False) in seen and ("2 2\n", True) in seen, "and both came about")
    equal(len(ids), len(set(ids)), "no message came twice")
    equal(session.kernel_ids(host, "box")[:1], [first], "the kernel is the same")
    client.close()


with Host() as private:
    each(private, whole, asleep, refused, of_one_kernel, random_numbers, killed)
    ok(settled(private, {}), "nothing is left over")
    equal(os.listdir(private.state / "memory"), [], "no memory is left over")
done()
