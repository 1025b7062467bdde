#!/usr/bin/env python3
"""input() and getpass() ask the client that sent the cell, and nobody else."""

import queue

from host import Host
from talk import Talk
from tap import done, equal, ok


def question(talk, timeout=20):
    """The next input_request, or None."""
    try:
        return talk.client.get_stdin_msg(timeout=timeout)
    except queue.Empty:
        return None


def asked(talk, other):
    cell = talk.send(
        "print('hello'); name = input('Who? '); print(name)", allow_stdin=True
    )
    message = question(talk)
    equal(
        (message["content"], message["parent_header"]["msg_id"]),
        ({"prompt": "Who? ", "password": False}, cell.id),
        "the asker is asked",
    )
    equal(question(other, 0.5), None, "and nobody else")
    other.client.input("a stranger")
    talk.listen(0.5)
    ok(not cell.idle, "whose answer does not count")
    talk.client.input("Ada")
    talk.finish(cell)
    equal(
        (cell.text, cell.types),
        ("hello\nAda\n", ["busy", "execute_input", "stream", "stream", "idle"]),
        "its own does",
    )
    cell = talk.send("import getpass; getpass.getpass('Secret: ')", allow_stdin=True)
    equal(
        question(talk)["content"], {"prompt": "Secret: ", "password": True}, "getpass"
    )
    talk.client.input("x")
    equal(talk.finish(cell).value, "'x'", "is answered")
    talk.client.input("nobody asked")
    cell = talk.send("[input(i) for i in 'ab']", allow_stdin=True)
    for text in "12":
        question(talk)
        talk.client.input(text)
    equal(talk.finish(cell).value, "['1', '2']", "a stale answer is dropped")
    cell = talk.send("input()", allow_stdin=True)
    question(talk)
    talk.client.input("\x04")
    equal(talk.finish(cell).reply["ename"], "EOFError", "the end of input")


def refused(host, talk):
    for code in ("input()", "import getpass; getpass.getpass()"):
        equal(
            talk.execute(code, allow_stdin=False).reply["ename"],
            "StdinNotImplementedError",
            f"{code}: not where nobody can be asked",
        )
    got = host.cli("run", "box", "-c", "input()", check=False)
    ok("StdinNotImplementedError" in got.stderr, "nor by kernelhost run")


def interrupted(talk):
    cell = talk.send("input()", allow_stdin=True)
    question(talk)
    talk.request("interrupt_request", {}, "control")
    talk.finish(cell)
    equal(cell.reply["ename"], "KeyboardInterrupt", "the wait can be interrupted")
    talk.client.input("late")
    cell = talk.send("input()", allow_stdin=True)
    question(talk)
    talk.client.input("new")
    equal(talk.finish(cell).value, "'new'", "and the late answer is nobody's")


def main():
    with Host() as host:
        host.cli("create", "box")
        talk, other = (Talk(host.client("box")) for _ in "12")
        asked(talk, other)
        refused(host, talk)
        interrupted(talk)
        talk.close()
        other.close()
    done()


main()
