#!/usr/bin/env python3
"""Comms through the whole host, with jupyter_client at the other end."""

import os

from jupyter_client import BlockingKernelClient

from host import Host
from talk import Talk
from tap import check, done, equal, ok

SERVE = """
import comm, time
ends, heard = {}, []
def opened(end, message):
    ends[end.comm_id] = end
    @end.on_msg
    def answer(message):
        heard.append(message["content"]["data"])
        print("got", message["content"]["data"])
        end.send({"echo": message["content"]["data"]}, {"seen": message["metadata"]},
                 message["buffers"])
comm.get_comm_manager().register_target("echo", opened)
"""


def tell(talk, msg_type, content, metadata=None, buffers=None, channel="shell"):
    """Sends a message of a comm and takes messages until its idle."""
    cell = talk.request(msg_type, content, channel, metadata, buffers)
    talk.until(lambda: cell.idle)
    return cell


def comms(cell):
    """The messages of comms that it brought: (type, content, metadata, buffers)."""
    return [
        (m["msg_type"], m["content"], m["metadata"], [bytes(b) for b in m["buffers"]])
        for m in cell.messages
        if m["msg_type"].startswith("comm_")
    ]


def listed(talk, content=None, channel="shell"):
    cell = talk.request("comm_info_request", content or {}, channel)
    talk.finish(cell)
    assert cell.reply["status"] == "ok", cell.reply
    return cell.reply["comms"]


def both_ways(talk, other):
    talk.execute(SERVE)
    cell = tell(talk, "comm_open", {"comm_id": "a", "target_name": "echo", "data": {}})
    equal((cell.types, cell.reply), (["busy", "idle"], None), "open: busy and idle")
    big = os.urandom(5 << 20)
    cell = tell(
        talk,
        "comm_msg",
        {"comm_id": "a", "data": {"n": 1}},
        {"m": 2},
        [big, b"", b"\0"],
    )
    equal(
        cell.types,
        ["busy", "stream", "comm_msg", "idle"],
        "a message: what it brings lies between its busy and its idle",
    )
    ok(
        comms(cell)
        == [
            (
                "comm_msg",
                {"data": {"echo": {"n": 1}}, "comm_id": "a"},
                {"seen": {"m": 2}},
                [big, b"", b"\0"],
            )
        ],
        "it comes back whole, with metadata and 5 MiB of buffers",
    )
    other.until(lambda: [m for m in other.iopub if m["msg_type"] == "comm_msg"])
    message = [m for m in other.iopub if m["msg_type"] == "comm_msg"][0]
    equal(message["parent_header"]["msg_id"], cell.id, "other clients see it, too")
    cell = talk.execute(
        "c = comm.create_comm(target_name='view', comm_id='v',\n"
        "    data={'x': 1}, metadata={'version': '2.1.0'},\n"
        "    buffers=[b'12'])\nc.send({'y': 2}); c.close()"
    )
    equal(
        comms(cell),
        [
            (
                "comm_open",
                {
                    "comm_id": "v",
                    "target_name": "view",
                    "target_module": None,
                    "data": {"x": 1},
                },
                {"version": "2.1.0"},
                [b"12"],
            ),
            ("comm_msg", {"comm_id": "v", "data": {"y": 2}}, {}, []),
            ("comm_close", {"comm_id": "v", "data": {}}, {}, []),
        ],
        "open, send, close by a cell",
    )


def in_order(talk):
    """What is sent while a cell runs is heard after it, whatever becomes of it."""
    talk.execute("heard.clear()")
    slow = talk.send("print('runs', flush=True); time.sleep(1); heard.append('cell')")
    talk.until(lambda: slow.text)
    sent = [talk.request("comm_msg", {"comm_id": "a", "data": i}) for i in range(20)]
    equal(
        listed(talk, channel="control"),
        {"a": {"target_name": "echo"}},
        "comm_info on control is answered meanwhile",
    )
    ok(not slow.idle and not sent[0].messages, "and the messages wait")
    after = talk.send("heard")
    talk.finish(slow, after)
    equal(after.value, str(["cell", *range(20)]), "then they come, in their order")
    equal(
        [c.types for c in sent if c.types != ["busy", "stream", "comm_msg", "idle"]],
        [],
        "each between a busy and an idle of its own",
    )
    fails = talk.send("time.sleep(0.3); 1/0")
    message = talk.request("comm_msg", {"comm_id": "a", "data": 99})
    dropped = talk.send("2")
    talk.finish(fails, dropped)
    talk.until(lambda: message.idle)
    equal(
        (dropped.reply["status"], len(comms(message))),
        ("aborted", 1),
        "a cell that fails aborts cells behind it, and no message of a comm",
    )


def refused(talk):
    cell = tell(talk, "comm_open", {"comm_id": "u", "target_name": "nobody"})
    equal(
        (cell.types, cell.contents("comm_close")),
        (["busy", "stream", "comm_close", "idle"], [{"comm_id": "u", "data": {}}]),
        "an unknown target is told in words, and closed",
    )
    equal(listed(talk), {"a": {"target_name": "echo"}}, "and not listed")
    equal(
        (
            listed(talk, {"target_name": "x"}),
            len(listed(talk, {"target_name": "echo"})),
        ),
        ({}, 1),
        "comm_info by target",
    )
    cell = tell(talk, "comm_msg", {"comm_id": "u", "data": {}})
    equal(cell.stderr, "No such comm: u\n", "a message to nobody")
    for content in ({"data": {}}, {"comm_id": 7}, {"comm_id": None}):
        for kind in ("comm_open", "comm_msg", "comm_close"):
            cell = tell(talk, kind, content)
            equal(
                (cell.types, cell.reply),
                (["busy", "idle"], None),
                f"{kind} {content} does not reach the kernel",
            )
    cell = talk.request("comm_info_request", {"target_name": 5})
    talk.finish(cell)
    equal(
        (
            cell.reply["status"],
            "'target_name' must be a string" in cell.reply["evalue"],
        ),
        ("error", True),
        "comm_info of a wrong field names it",
    )
    cell = tell(talk, "comm_msg", {"comm_id": "a", "data": 1}, channel="control")
    equal(cell.types, ["busy", "idle"], "a comm's message on control is nobody's")
    cell = tell(talk, "comm_msg", {"comm_id": "a", "data": 1}, buffers=[b"x"] * 252)
    equal([len(found[3]) for found in comms(cell)], [252], "252 buffers are carried")
    many = talk.request("comm_msg", {"comm_id": "a", "data": 2}, buffers=[b"x"] * 253)
    bad = talk.execute("ends['a'].send(buffers=[b'x'] * 253)")
    equal(
        (bad.reply["ename"], many.types),
        ("MessageTooLarge", []),
        "253 are dropped, and fail in a cell that would send them",
    )
    equal(talk.execute("heard[-1]").value, "1", "and the kernel goes on")


def kept(host, talk):
    """Comms are memory: what keeps that keeps them."""

    def answers(what, ident=None, talk=talk):
        with check(f"{what}: comms are there and answer"):
            assert listed(talk) == {"a": {"target_name": "echo"}}, listed(talk)
            cell = tell(talk, "comm_msg", {"comm_id": "a", "data": what})
            assert cell.contents("comm_msg")[0]["data"] == {"echo": what}, cell.types

    host.cli("checkpoint", "box")
    tell(talk, "comm_close", {"comm_id": "a", "data": {}})
    equal(listed(talk), {}, "closed")
    host.cli("rollback", "box")
    answers("after a rollback")
    host.cli("sleep", "box")
    answers("after hibernation")
    host.cli("fork", "box", "twin")
    client = Talk(host.client("twin"))
    answers("in a fork", talk=client)
    client.close()
    host.kill_gateway()
    answers("after another gateway took over")


def restarted(talk, host):
    cell = talk.request("shutdown_request", {"restart": True}, "control")
    talk.finish(cell)
    talk.close()
    client = BlockingKernelClient()
    client.load_connection_file(host.cli("connect", "box").stdout.strip())
    client.start_channels()
    client.wait_for_ready(timeout=60)
    talk = Talk(client)
    equal(listed(talk), {}, "a restart ends all comms")
    equal(
        tell(talk, "comm_msg", {"comm_id": "a", "data": {}}).stderr,
        "No such comm: a\n",
        "and their messages are nobody's",
    )
    talk.close()


def main():
    with Host() as host:
        host.cli("create", "box")
        talk, other = (Talk(host.client("box")) for _ in "12")
        both_ways(talk, other)
        other.close()
        in_order(talk)
        refused(talk)
        kept(host, talk)
        restarted(talk, host)
    done()


main()
