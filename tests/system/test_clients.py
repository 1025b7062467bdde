#!/usr/bin/env python3
"""jupyter_client on one kernel: two clients, restart in place, the three kinds of
interrupt, the order of messages, the abort rule."""

import itertools
import time

import zmq

import api
from host import Host
from talk import Talk
from tap import check, done, equal, ok


def two_clients(host, first, second):
    cell = first.execute("x = 41\nprint('from the first')\nx + 1")
    second.until(lambda: any(
        m["parent_header"].get("msg_id") == cell.id
        and m["content"].get("execution_state") == "idle" for m in second.iopub))
    seen = [m for m in second.iopub if m["parent_header"].get("msg_id") == cell.id]
    equal([m["msg_type"] for m in seen],
          ["status", "execute_input", "stream", "execute_result", "status"],
          "a second client sees every message of the first one's cell")
    equal([m["content"] for m in seen], [m["content"] for m in cell.messages],
          "with the same contents")
    equal(seen[1]["content"]["code"], "x = 41\nprint('from the first')\nx + 1",
          "execute_input shows it the code")
    equal(seen[0]["parent_header"]["session"], first.session.session,
          "the parent tells whose cell it was")
    equal(second.execute("x").value, "41", "the second client uses the same variables")
    equal(second.shell[-1]["header"]["session"], seen[0]["header"]["session"],
          "all messages of the kernel have one session")
    ok(not any(m["parent_header"].get("msg_id") == cell.id for m in second.shell),
       "replies go to the one who asked")


def order(talk):
    """Status, outputs, reply and idle of 500 pipelined requests. What a cell prints may
    come in two messages when the machine is busy."""
    cells = [talk.send(f"print({n})\n{n}") for n in range(500)]
    talk.finish(*cells, timeout=120)
    wrong = [
        (n, cell.types) for n, cell in enumerate(cells)
        if [kind for kind, _ in itertools.groupby(cell.types)]
        != ["busy", "execute_input", "stream", "execute_result", "idle"]
        or cell.text != f"{n}\n" or cell.value != str(n) or cell.late
        or cell.reply["status"] != "ok"
    ]
    equal(wrong[:3], [], "500 pipelined cells: busy, input, output, result, idle each")
    ids = {cell.id: n for n, cell in enumerate(cells)}
    mine = [ids[m["parent_header"]["msg_id"]] for m in talk.iopub
            if m["parent_header"].get("msg_id") in ids]
    equal(mine, sorted(mine), "no message of a later cell comes before an earlier's")
    replies = [ids[m["parent_header"]["msg_id"]] for m in talk.shell
               if m["parent_header"].get("msg_id") in ids]
    equal(replies, list(range(500)), "the replies come in the order of the requests")
    counts = [cell.reply["execution_count"] for cell in cells]
    equal(counts, list(range(counts[0], counts[0] + 500)), "every cell counts by one")
    every = [m["header"]["msg_id"] for m in talk.iopub + talk.shell]
    equal(len(every), len(set(every)), "no two messages have the same id")


def late_reader(talk, other):
    """The second client looks at its messages only now, some seconds later."""
    time.sleep(5)
    other.listen(1)
    seen = {m["header"]["msg_id"] for m in other.iopub}
    missed = [m for m in talk.iopub if m["parent_header"].get("msg_id") in talk.cells
              and m["header"]["msg_id"] not in seen]
    equal(missed[:2], [], f"a client that reads late misses none of {len(talk.iopub)}")


def aborts(talk):
    """stop_on_error: exactly what was queued, and only execute requests."""
    slow = talk.send("import time; time.sleep(1); print('slow')")
    fails = talk.send("1/0")
    queued = [talk.send(f"print('queued {n}')") for n in range(5)]
    info = talk.request("kernel_info_request", {})
    complete = talk.request("complete_request", {"code": "zi", "cursor_pos": 2})
    talk.finish(slow, fails, *queued, info, complete)
    equal(slow.text, "slow\n", "the cell before the error runs to its end")
    equal(fails.reply["ename"], "ZeroDivisionError", "the cell fails")
    equal([cell.reply["status"] for cell in queued], ["aborted"] * 5,
          "the cells queued behind it are aborted")
    equal([cell.types for cell in queued], [["busy", "idle"]] * 5,
          "and say busy and idle, nothing else")
    equal([info.reply["status"], complete.reply["matches"]], ["ok", ["zip"]],
          "other requests in the queue are served")
    equal(talk.execute("'after'").value, "'after'", "what is sent afterwards runs")
    cells = [talk.send("time.sleep(0.5)"), talk.send("1/0", stop_on_error=False),
             talk.send("'goes on'")]
    equal(talk.finish(*cells).value, "'goes on'", "stop_on_error=false aborts nothing")
    silent = talk.execute("y = 5; y", silent=True)
    ok("execute_input" not in silent.types and "execute_result" not in silent.types,
       "a silent cell shows neither input nor result")
    before = talk.execute("pass").reply["execution_count"]
    hidden = talk.execute("y", store_history=False)
    equal(hidden.value, "5", "a cell without history shows its result")
    equal(talk.execute("pass").reply["execution_count"], before + 1,
          "and does not count")
    cell = talk.execute("pass", user_expressions={"good": "y * 2", "bad": "nope"})
    found = cell.reply["user_expressions"]
    equal([found["good"]["data"]["text/plain"], found["bad"]["ename"]],
          ["10", "NameError"], "user_expressions are evaluated")


# A cell that waits, how it shows that it does, and what ends it. A shell (dash) loses a
# SIGINT that comes while it starts a command; not so in a subshell that it has forked.
WAITS = [
    ("a loop", "print('begun')\nwhile True: pass"),
    ("a sleep", "print('begun')\nimport time; time.sleep(600)"),
    ("a pending await", "import asyncio; print('begun')\nawait asyncio.sleep(600)"),
    ("an await of a future", "print('begun')\nawait asyncio.Future()"),
    ("subprocess.run", "import subprocess; subprocess.run(['sh', '-c', "
     "'(echo begun; exec sleep 600); echo no'])"),
    ("os.system", "import os; os.system('(echo begun; exec sleep 600); true')"),
    ("a ! command", "!(echo begun; exec sleep 600); true"),
]


def interrupts(host, talk):
    talk.execute("kept = 'kept'")
    for what, code in WAITS:
        with check(f"interrupt of {what}: KeyboardInterrupt, and variables stay"):
            cell = talk.send(code)
            talk.until(lambda cell=cell: "begun" in cell.text, 20)
            reply = talk.request("interrupt_request", {}, "control")
            talk.until(lambda reply=reply: reply.message, 10)
            assert reply.reply["status"] == "ok", reply.reply
            talk.finish(cell, timeout=20)
            # A shell that was interrupted says so by its status; os.system and !
            # hand it on, as in any Python.
            ended = cell.reply.get("ename", "ok")
            wanted = {"os.system": ("KeyboardInterrupt", "ok"),
                      "a ! command": ("KeyboardInterrupt", "ok")}
            assert ended in wanted.get(what, ("KeyboardInterrupt",)), cell.reply
            assert "no\n" not in cell.text, cell.text
            assert talk.execute("kept").value == "'kept'"
    left = talk.execute("import glob\n"
                        "[n for n in glob.glob('/proc/[0-9]*/comm')\n"
                        " if open(n).read() == 'sleep\\n']")
    equal(left.value, "[]", "the child processes that waited are gone")
    cell = talk.send("print('begun', flush=True)\nwhile True: pass")
    behind = talk.send("'behind'")
    talk.until(lambda: cell.text)
    path = f"/v1/sandboxes/box/kernels/{api.kernel_of(host, 'box')}/interrupt"
    equal(api.call(host, "POST", path)[0], 200, "the API interrupts, too")
    talk.finish(cell, behind)
    equal([cell.reply.get("ename"), behind.reply["status"]],
          ["KeyboardInterrupt", "aborted"], "an interrupt aborts what is queued")


def idle_interrupt(talk):
    for _ in range(3):
        talk.finish(talk.request("interrupt_request", {}, "control"))
    cell = talk.execute("import time; time.sleep(0.3); 'whole'")
    equal([cell.reply["status"], cell.value], ["ok", "'whole'"],
          "an interrupt of an idle kernel does nothing to the next cell")
    for n in range(20):
        interrupt = talk.request("interrupt_request", {}, "control")
        cell = talk.send(f"{n}")
        talk.finish(cell, interrupt)
        if cell.reply["status"] != "ok":
            assert cell.reply["ename"] == "KeyboardInterrupt", cell.reply
    equal(talk.execute("kept").value, "'kept'",
          "a storm of interrupts and cells leaves a kernel that works")


def heartbeat(talk):
    """Ten pings while a cell keeps the interpreter lock for three seconds."""
    context = zmq.Context.instance()
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    socket.connect(talk.client._make_url("hb"))
    cell = talk.send("import ctypes\nprint('holds it')\nprint('now', flush=True)\n"
                     "ctypes.PyDLL(None).sleep(3)")
    talk.until(lambda: "execute_input" in cell.types)
    answered = 0
    for n in range(10):
        socket.send(b"ping %d" % n)
        if not socket.poll(1000):
            break
        answered += socket.recv() == b"ping %d" % n
        time.sleep(0.2)
    control = talk.request("kernel_info_request", {}, "control")
    begun = "idle" in cell.types
    talk.finish(cell, control)
    ok(not begun, "the cell still ran meanwhile")
    equal(answered, 10, "heartbeats are answered while a cell holds the GIL")
    socket.close()


def late_output(talk):
    first = talk.execute(
        "import threading, time\n"
        "def later():\n"
        "    time.sleep(1); print('late 1'); time.sleep(1); print('late 2')\n"
        "thread = threading.Thread(target=later); thread.start()")
    second = talk.send("print('second'); thread.join(); print('second ends')")
    talk.finish(second)
    talk.until(lambda: "late 2" in talk.cells[first.id].stream("stdout", first.late))
    equal(first.stream("stdout", first.late), "late 1\nlate 2\n",
          "what a thread prints later belongs to the cell that started it")
    equal(second.text, "second\nsecond ends\n", "and not to the cell that runs then")


def restarts(host, talk, other, path):
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    talk.iopub.clear()
    first = talk.execute("x = 1").message["header"]["session"]
    running = talk.send("import time; time.sleep(60)")
    queued = talk.send("'queued'")
    talk.until(lambda: "execute_input" in running.types)
    asked = talk.request("shutdown_request", {"restart": True}, "control")
    talk.finish(running, queued, timeout=30)
    talk.until(lambda: asked.message, 20)
    equal(asked.message["content"], {"status": "ok", "restart": True},
          "shutdown_request with restart is answered")
    other.until(lambda: any(m["msg_type"] == "shutdown_reply" for m in other.iopub))
    ok(True, "the other client hears of it on iopub")
    ok(running.reply["status"] in ("error", "aborted")
       and queued.reply["status"] in ("error", "aborted"),
       "the cell that ran and the one that waited are answered")
    cell = talk.execute("'x' in globals()")
    equal([cell.value, cell.reply["execution_count"]], ["False", 1],
          "the kernel is new: no variables, the counter is 1")
    second = cell.message["header"]["session"]
    ok(second != first, "its session is new")
    sessions = {m["header"]["session"] for m in cell.messages}
    equal(sessions, {second}, "all its messages have it")
    equal((path.read_bytes(), path.stat().st_mtime_ns), before,
          "the connection file is as it was")
    equal(other.execute("1 + 1").value, "2", "the other client goes on as well")
    url = f"/v1/sandboxes/box/kernels/{api.kernel_of(host, 'box')}"
    status, kernel = api.call(host, "POST", f"{url}/restart")
    equal(status, 200, "the API restarts")
    cell = talk.execute("1")
    equal(cell.reply["execution_count"], 1, "and the client goes on at counter 1")
    ok(cell.message["header"]["session"] not in (first, second), "in a new session")
    starting = [m for m in talk.iopub if m["content"].get("execution_state")
                == "starting"]
    equal(len(starting), 2, "each incarnation says `starting` once")


def main():
    with Host() as host:
        host.cli("create", "box")
        import pathlib

        path = pathlib.Path(host.cli("connect", "box").stdout.strip())
        talk, other = Talk(host.client("box")), Talk(host.client("box"))
        two_clients(host, talk, other)
        order(talk)
        late_reader(talk, other)
        aborts(talk)
        interrupts(host, talk)
        idle_interrupt(talk)
        heartbeat(talk)
        late_output(talk)
        other.listen(0.5)
        restarts(host, talk, other, path)
        talk.close()
        other.close()
    done()


main()
