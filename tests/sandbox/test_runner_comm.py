#!/usr/bin/env python3
"""Comms of the Python runner, from outside: the user's end and the client's."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from interpreters import interpreters
from runner_harness import Runner
from tap import check, done, equal, ok, skip_all

TARGET = """
import comm
heard, ends = [], []
def opened(end, message):
    heard.append(("open", message["content"]["data"], message["metadata"],
                  [bytes(b) for b in message["buffers"]]))
    ends.append(end)
    end.on_msg(lambda m: heard.append(("msg", m["content"]["data"])))
    end.on_close(lambda m: heard.append(("close", m["content"]["data"])))
    end.send({"hello": end.comm_id}, {"of": "ours"}, [b"\\0\\1", bytearray(b"two")])
comm.get_comm_manager().register_target("echo", opened)
"""


def tell(r, msg_type, content, **more):
    """Sends a message of a comm, returns what it brought."""
    return r.finish(r.request(msg_type, content, **more))


def comms(got):
    """The published messages of comms, as events."""
    return [e for e in got.events if e.kind == "publish" and "comm_" in e.type]


def from_client(r):
    r.execute(TARGET)
    got = tell(
        r,
        "comm_open",
        {"comm_id": "c1", "target_name": "echo", "data": {"a": 1}},
        metadata={"version": "2"},
        buffers=[b"\xff\0", b""],
    )
    equal(
        [(e.type, e.content, e.metadata, e.buffers) for e in comms(got)],
        [
            (
                "comm_msg",
                {"data": {"hello": "c1"}, "comm_id": "c1"},
                {"of": "ours"},
                [b"\0\1", b"two"],
            )
        ],
        "a target is called and answers, with metadata and buffers",
    )
    equal([e.kind for e in got.events][-1], "done", "under the request that opened")
    equal(got.replies, [], "which has no reply")
    equal(
        r.execute("heard").result,
        "[('open', {'a': 1}, {'version': '2'}, [b'\\xff\\x00', b''])]",
        "it gets data, metadata and buffers",
    )
    equal(
        r.ask("comm_info_request"),
        {"status": "ok", "comms": {"c1": {"target_name": "echo"}}},
        "comm_info names it",
    )
    equal(
        r.ask("comm_info_request", {"target_name": "other"})["comms"],
        {},
        "but not to who asks for another target",
    )
    equal(
        len(r.ask("comm_info_request", {"target_name": "echo"})["comms"]),
        1,
        "and to who asks for its own",
    )
    tell(r, "comm_msg", {"comm_id": "c1", "data": {"n": 1}})
    tell(r, "comm_msg", {"comm_id": "c1", "data": [2]})
    equal(
        r.execute("heard[1:]").result,
        "[('msg', {'n': 1}), ('msg', [2])]",
        "messages come in order",
    )
    got = tell(r, "comm_close", {"comm_id": "c1", "data": {"why": 3}})
    equal(
        (comms(got), r.execute("heard[3:]").result),
        ([], "[('close', {'why': 3})]"),
        "a close is heard, and not answered",
    )
    equal(r.ask("comm_info_request")["comms"], {}, "it is gone")
    got = tell(r, "comm_msg", {"comm_id": "c1", "data": {}})
    equal(got.text("stderr"), "No such comm: c1\n", "what comes after it is logged")
    got = r.execute("ends[0].close(); ends[0].send({})")
    equal(got.published("comm_close"), [], "it is not closed twice")


def from_kernel(r):
    r.execute("import comm, array\ngot = []")
    got = r.execute("""
print("before")
c = comm.create_comm(target_name="view", data={"x": [1]}, metadata={"version": "2.1.0"},
                     buffers=[memoryview(array.array("d", [1.0]))])
c.on_msg(lambda m: got.append(m["content"]["data"]))
print("between")
changing = bytearray(b"one")
c.send(buffers=[changing])
changing[:] = b"two"
print("after")
c.send({"when": __import__("datetime").date(2024, 5, 6)})
""")
    kinds = [kind for kind, _ in got.order]
    equal(
        kinds,
        ["stdout", "comm_open", "stdout", "comm_msg", "stdout", "comm_msg"],
        "what is printed and what is sent keep their order",
    )
    opened, first, second = comms(got)
    ident = opened.content["comm_id"]
    equal(
        opened.content,
        {
            "data": {"x": [1]},
            "comm_id": ident,
            "target_name": "view",
            "target_module": None,
        },
        "comm_open",
    )
    equal(
        (opened.metadata, opened.buffers),
        ({"version": "2.1.0"}, [b"\0\0\0\0\0\0\xf0?"]),
        "metadata, a buffer of doubles",
    )
    equal((first.content["data"], first.buffers), ({}, [b"one"]), "a buffer as it was")
    equal(second.content["data"], {"when": "2024-05-06"}, "what JSON has no word for")
    tell(r, "comm_msg", {"comm_id": ident, "data": 7})
    equal(r.execute("got").result, "[7]", "the answer reaches it")
    got = r.execute("c.send(buffers=[memoryview(b'abcd')[::2]])")
    equal(got.reply["ename"], "ValueError", "a buffer with gaps fails in the cell")
    equal(
        r.execute("c.send(buffers=['text'])").reply["ename"], "TypeError", "and a text"
    )
    got = r.execute("c.send({'n': float('nan')})").published("comm_msg")
    equal(got[0]["data"], {"n": "nan"}, "what is no JSON is sent as ipykernel does")
    got = r.execute("c.send(buffers=[bytes(70 << 20)])")
    equal(
        got.reply["ename"], "MessageTooLarge", "one that is too large fails in the cell"
    )
    got = r.execute("c.send(buffers=[b''] * 253)")
    equal(got.reply["ename"], "MessageTooLarge", "and one of too many buffers")
    got = r.execute("c.send(buffers=[b''] * 252)")
    equal(len(comms(got)[0].buffers), 252, "252 may come along")
    got = r.execute("c.close({'bye': 1})")
    equal(
        got.published("comm_close"), [{"data": {"bye": 1}, "comm_id": ident}], "close"
    )
    equal(r.ask("comm_info_request")["comms"], {}, "closed ones are not listed")
    equal(
        r.execute(
            "get_ipython().kernel.comm_manager is comm.get_comm_manager()"
        ).result,
        "True",
        "libraries find the manager at the kernel, too",
    )


def failing(r):
    got = tell(r, "comm_open", {"comm_id": "u", "target_name": "nobody"})
    equal(
        got.text("stderr"),
        "No such comm target registered: nobody\n",
        "an unknown target is logged",
    )
    equal(got.published("comm_close"), [{"data": {}, "comm_id": "u"}], "and closed")
    r.execute(
        "import comm\ndef bad(end, message): 1/0\n"
        "comm.get_comm_manager().register_target('bad', bad)"
    )
    got = tell(r, "comm_open", {"comm_id": "b", "target_name": "bad"})
    ok(
        "Exception opening comm with target: bad" in got.text("stderr")
        and "ZeroDivisionError" in got.text("stderr"),
        "a target that fails is logged",
    )
    equal(len(got.published("comm_close")), 1, "and its comm closed")
    r.execute(
        "c = comm.create_comm(target_name='t', comm_id='t')\n"
        "import time, sys\n"
        "def act(m): exec(m['content']['data'], globals())\nc.on_msg(act)"
    )
    got = tell(r, "comm_msg", {"comm_id": "t", "data": "1/0"})
    ok(
        "Exception in comm_msg for t" in got.text("stderr")
        and "ZeroDivisionError" in got.text("stderr"),
        "a callback that fails is logged",
    )
    equal([e.kind for e in got.events][-1], "done", "and the request ends")
    got = tell(r, "comm_msg", {"comm_id": "t", "data": "sys.exit(3)"})
    ok("SystemExit" in got.text("stderr"), "sys.exit() in one ends nothing")
    ident = r.request(
        "comm_msg", {"comm_id": "t", "data": "print('in'); time.sleep(60)"}
    )
    r.wait(lambda e: e.kind == "stream" and e.text == "in\n")
    r.interrupt()
    got = r.finish(ident)
    ok("KeyboardInterrupt" in got.text("stderr"), "one that hangs can be interrupted")
    equal(r.execute("'alive'").result, "'alive'", "the kernel goes on")
    got = tell(r, "comm_msg", {"comm_id": "t", "data": "print('of the message')"})
    equal(
        got.text(), "of the message\n", "what a callback prints belongs to its message"
    )
    for content in ({}, {"comm_id": 5}, {"comm_id": None, "data": {}}):
        for kind in ("comm_open", "comm_msg", "comm_close"):
            got = tell(r, kind, content)
            if got.replies:
                ok(False, f"{kind} {content} is replied")
    equal(r.execute("1").result, "1", "nonsense disturbs nobody")


def origins(r):
    """Output and messages of threads and tasks belong to the cell that began them."""
    first = r.request(
        "execute_request",
        {
            "code": """
import comm, threading, asyncio
c = comm.create_comm(target_name="t")
go = threading.Event()
parent = get_ipython().kernel.get_parent
def work():
    go.wait(); c.send({"parent": parent()["header"]["msg_id"]})
thread = threading.Thread(target=work); thread.start()
async def later():
    while not go.is_set(): await asyncio.sleep(0.01)
    c.send({"parent": parent()["header"]["msg_id"]})
task = asyncio.ensure_future(later())
"""
        },
    )
    r.finish(first)
    r.execute("go.set(); thread.join(); await task")
    sent = [
        (e.id, e.content["data"])
        for e in r.events
        if e.kind == "publish" and e.type == "comm_msg"
    ]
    equal(
        sent,
        [(first, {"parent": f"m{first}"})] * 2,
        "a thread and a task send for the cell that began them",
    )


def control(r):
    r.execute("import comm, time\nc = comm.create_comm(target_name='t', comm_id='i')")
    cell = r.request("execute_request", {"code": "print(1); time.sleep(60)"})
    r.wait(lambda e: e.id == cell and e.kind == "stream")
    got = r.ask("comm_info_request", control=True)
    equal(
        got["comms"],
        {"i": {"target_name": "t"}},
        "comm_info is answered on control while a cell runs",
    )
    r.interrupt()
    equal(r.finish(cell).reply["ename"], "KeyboardInterrupt", "the cell went on")


def ends(options):
    with Runner(*options) as r:
        r.wait(lambda e: e.kind == "ready")
        r.execute(
            "import comm\nall = [comm.create_comm(target_name='t') for _ in '12']"
        )
        seen = len(r.events)
        equal(r.shut_down(), 0, "it shuts down")
        equal(
            [e for e in r.events[seen:] if e.kind == "publish"],
            [],
            "comms end with it without a word",
        )


def main():
    found = list(interpreters())
    if not found:
        skip_all("no Python with IPython (hint: ./dev test)")
    for name, *options in found:
        for test in (from_client, from_kernel, failing, origins, control):
            with check(f"{name}: {test.__name__}"), Runner(*options) as r:
                r.wait(lambda e: e.kind == "ready")
                test(r)
        with check(f"{name}: ends"):
            ends(options)
    done()


main()
