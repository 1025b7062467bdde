#!/usr/bin/env python3
"""Kernels that die: the client is told why, everything pending is answered, and the
kernel works again on the same connection file."""

import api
from host import Host
from talk import Talk
from tap import check, done, equal, ok

# What ends it, and what stderr must say of it (all of these, any case).
DEATHS = [
    ("os._exit(3)", "import os; os._exit(3)", ["exit status 3"]),
    ("os._exit(0)", "import os; os._exit(0)", ["exit status 0"]),
    ("a segmentation fault", "import ctypes; ctypes.string_at(0)", ["sigsegv"]),
    ("abort()", "import os; os.abort()", ["sigabrt"]),
    ("kill -9 by itself", "import os; os.kill(os.getpid(), 9)", ["sigkill"]),
    ("the memory limit", "hog = b'x' * (1 << 30)", ["memory limit", "256 mib"]),
]


def dies(talk, what, code, words):
    talk.execute("x = 1\nimport time")
    session = talk.execute("x").message["header"]["session"]
    cell = talk.send(f"print('last words', flush=True)\ntime.sleep(0.3)\n{code}")
    queued = [talk.send("x"), talk.request("kernel_info_request", {}), talk.send("2")]
    with check(f"{what}: the running and the queued requests are answered"):
        talk.finish(cell, *queued, timeout=60)
        assert cell.reply["status"] == "error", cell.reply
        assert cell.types[0] == "busy" and cell.types[-1] == "idle", cell.types
        for other in queued:
            assert other.types[0] == "busy" and other.types[-1] == "idle", other.types
        for other in (queued[0], queued[2]):
            assert other.reply["status"] in ("error", "aborted"), other.reply
    ok(cell.text == "last words\n", f"{what}: what it printed before is there")
    told = (cell.stderr + " " + cell.reply.get("evalue", "")).lower()
    missing = [word for word in words if word not in cell.stderr.lower()]
    if not ok(not missing, f"{what}: stderr says {' and '.join(words)}"):
        print("#", told)
    ok(not cell.late, f"{what}: nothing comes after idle")
    with check(f"{what}: the kernel runs again, new and empty"):
        again = talk.execute("'x' in globals()", timeout=60)
        assert again.value == "False", again.reply
        assert again.reply["execution_count"] == 1, again.reply
        assert again.message["header"]["session"] != session
    return cell


def while_idle(host, talk):
    """Death between cells."""
    talk.execute("import os, threading\n"
                 "threading.Timer(0.3, lambda: os._exit(7)).start()")
    talk.until(lambda: any(
        m["msg_type"] == "stream" and "exit status 7" in m["content"]["text"]
        for m in talk.iopub), 20)
    ok(True, "a death between cells is told to everybody")
    equal(talk.execute("1 + 1").value, "2", "and the kernel runs again")


def child_over_limit(host, talk):
    """The limit hits a child process: the kernel stays."""
    cell = talk.execute(
        "import subprocess, sys\n"
        "kept = 1\n"
        "done = subprocess.run([sys.executable, '-c', "
        "\"open('/proc/self/oom_score_adj', 'w').write('1000'); b'x' * (1 << 30)\"])\n"
        "done.returncode", timeout=60)
    equal(cell.value, "-9", "a child process over the memory limit is killed")
    equal(talk.execute("kept").value, "1", "and its kernel is not")


def dies_at_once(host, talk):
    """A kernel that cannot live is not started again for ever."""
    replies = []
    for _ in range(8):
        cell = talk.execute("import os; os._exit(1)", timeout=60)
        replies.append(cell.reply["status"])
    equal(replies, ["error"] * 8, "each death in a row is answered")
    equal(host.json("show", "small")["kernels"][0]["execution_state"], "dead",
          "after some the kernel is left dead, and `show` says so")
    cell = talk.execute("1")
    ok("restart" in cell.reply["evalue"], f"a request hears it: {cell.reply['evalue']}")
    with check("and a client that comes new"):
        try:
            host.client("small", timeout=10)
        except RuntimeError as error:
            assert "died" in str(error), error
        else:
            raise AssertionError("it was not told")
    url = f"/v1/sandboxes/small/kernels/{api.kernel_of(host, 'small')}"
    equal(api.call(host, "POST", f"{url}/restart")[0], 200, "restart is possible")
    equal(talk.execute("1 + 1", timeout=60).value, "2", "and it works again")


def main():
    with Host() as host:
        for number, (what, code, words) in enumerate(DEATHS):
            # Five deaths a minute, and a kernel is left dead: a sandbox each.
            host.cli("create", f"box-{number}", "--memory", "256M")
            talk = Talk(host.client(f"box-{number}"))
            dies(talk, what, code, words)
            talk.close()
        usage = host.json("show", f"box-{number}")["usage"]
        ok(usage["oom_kills"] >= 1, f"`show` counts the kills: {usage['oom_kills']}")
        host.cli("create", "small", "--memory", "256M")
        talk = Talk(host.client("small"))
        while_idle(host, talk)
        child_over_limit(host, talk)
        status, answer = api.call(host, "GET", "/v1/health")
        equal((status, answer["status"]), (200, "ok"), "the host is well")
        dies_at_once(host, talk)
        talk.close()
    done()


main()
