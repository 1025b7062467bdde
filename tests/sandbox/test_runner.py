#!/usr/bin/env python3
"""The Python runner from outside: what cells say, in which order, and limits. The
harness checks the marker before every frame and that every frame decodes."""

import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from interpreters import SOURCE, interpreters
from runner_harness import Runner
from tap import check, done, equal, ok, skip, skip_all

LIMIT = 64 * 1024 * 1024


def started(options, **more):
    """A runner that is ready."""
    command, package = options
    runner = Runner(command, package, **more)
    runner.wait(lambda event: event.kind == "ready")
    return runner


def test_ready(r):
    info = r.events[-1].info
    equal(info["status"], "ok", "READY is a kernel_info_reply")
    equal(info["implementation"], "kernelhost", "the implementation is named")
    equal(
        info["language_info"]["codemirror_mode"]["name"], "ipython", "codemirror mode"
    )
    equal(info["protocol_version"], "5.5", "protocol version")
    version = (SOURCE / "configure.ac").read_text()
    ok(
        f"[{info['implementation_version']}]" in version,
        "the version is configure.ac's",
    )
    # IPython 9 puts another tip into the banner every time.
    got = r.ask("kernel_info_request") | {"banner": info["banner"]}
    equal(got, info, "kernel_info_request brings the same")

    names = "matplotlib numpy pandas jedi prompt_toolkit ipykernel zmq tornado"
    code = f"import sys; [n for n in {names.split()} if n in sys.modules]"
    equal(r.execute(code).result, "[]", "nothing is imported that is not needed")
    equal(
        r.execute("from IPython.terminal.embed import InteractiveShellEmbed").reply[
            "status"
        ],
        "ok",
        "what was left out is there when it is wanted",
    )


def test_cells(r):
    got = r.execute("print('hi')")
    equal(got.text(), "hi\n", "print")
    equal(
        got.published("execute_input"),
        [{"code": "print('hi')", "execution_count": 1}],
        "execute_input comes with the code and its count",
    )
    equal([e.kind for e in got.events][-2:], ["reply", "done"], "reply, then DONE")
    reply = {
        "status": "ok",
        "execution_count": 1,
        "user_expressions": {},
        "payload": [],
    }
    equal(got.reply, reply, "execute_reply")
    ok(got.replies[0].metadata["started"].endswith("Z"), "the reply says when it began")
    ok(0 < got.replies[0].metadata["kernelhost"]["cpu_seconds"] < 5, "what it took")
    equal(r.execute("40 + 2").result, "42", "a result")
    equal(r.execute("_ + _2").result, "84", "history variables")
    equal(r.execute("").reply["execution_count"], 3, "empty code does not count")
    got = r.execute("print(1); 2", silent=True)
    equal(
        [got.text(), got.result, got.published("execute_input")],
        ["1\n", None, []],
        "a silent cell publishes text only",
    )
    equal(r.execute("7", store_history=False).result, "7", "no history, but a result")
    equal(r.execute("8").reply["execution_count"], 4, "and neither was counted")
    got = r.execute("1/0")
    equal(got.reply["ename"], "ZeroDivisionError", "an error is replied")
    ok(got.replies[0].failed, "and its frame says so")
    equal(
        got.published("error")[0]["traceback"],
        got.reply["traceback"],
        "with the traceback that is published",
    )
    got = r.execute("x = 5", user_expressions={"a": "x*2", "b": "nope"})
    equal(
        got.reply["user_expressions"]["a"]["data"], {"text/plain": "10"}, "expression"
    )
    equal(got.reply["user_expressions"]["b"]["ename"], "NameError", "failed expression")
    equal(
        r.execute("sorted(k for k in dir() if 'kernelhost' in k)").result,
        "[]",
        "the namespace holds nothing of the runner",
    )
    equal(r.execute("__name__").result, "'__main__'", "cells are __main__")


def test_order(r):
    got = r.execute(
        "import sys\nprint('1'); print('2', file=sys.stderr); print('3')\n"
        "display(4); print('5', end=''); 6"
    )
    equal(
        [kind for kind, _ in got.order],
        ["stdout", "stderr", "stdout", "display_data", "stdout", "execute_result"],
        "stdout, stderr, displays and the result keep their order",
    )
    code = (
        "import os, subprocess, ctypes, sys; c = ctypes.CDLL(None)\n"
        "print('a'); print('b'); subprocess.run(['echo', 'c']); print('d')\n"
        "os.system('echo e'); print('f'); print('g', flush=True)\n"
        "os.write(1, b'h\\n')\n"
        "print('i'); sys.stdout.flush(); c.puts(b'j'); c.fflush(None)\n"
        "sys.stdout.buffer.write(b'k\\n'); print('l')\n"
        "print('m', file=sys.__stdout__); display(1)"
    )
    got = r.execute(code)
    equal(
        got.text(),
        "".join(f"{c}\n" for c in "abcdefghijklm"),
        "children, C and Python keep their order on one stream",
    )
    equal(
        r.execute("c.printf(b'kept back')").text(),
        "kept back",
        "what C holds back comes before DONE",
    )
    equal(r.execute("print('partial', end='')").text(), "partial", "an unfinished line")
    equal(
        r.execute("print('partial', end='', file=sys.__stdout__)").text(),
        "partial",
        "sys.__stdout__ is flushed at the end of the cell",
    )


def test_pipes(r):
    r.execute("import ctypes, os, sys; lib = ctypes.PyDLL(None)")
    got = r.execute("for i in range(100_000): lib.printf(b'0123456789' * 10)", 60)
    equal(len(got.text()), 10_000_000, "C printing with the GIL held does not stick")
    r.execute("saved = os.dup(1); os.close(1); print('closed')")
    equal(r.execute("print('still')").text(), "still\n", "a cell may close fd 1")
    r.execute("os.dup2(saved, 1); os.close(saved)")
    equal(r.execute("os.system('echo back')").text(), "back\n", "and open it again")
    r.execute("import fcntl; fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK)")
    got = r.execute("for i in range(20000): print('x' * 50, flush=True)")
    equal(len(got.text()), 51 * 20000, "or make it non-blocking")
    r.execute("fcntl.fcntl(1, fcntl.F_SETFL, 0)")
    got = r.execute("import subprocess; subprocess.run('ls /proc/self/fd', shell=True)")
    equal(
        got.text().split(), ["0", "1", "2", "3"], "a child gets fds 0 to 2 (ls has 3)"
    )
    equal(
        r.execute("sys.stdout.fileno(), sys.stderr.fileno()").result,
        "(1, 2)",
        "fileno() names the pipes",
    )
    got = r.execute("subprocess.run(['echo', 'to stderr'], stdout=sys.stderr)")
    equal(got.text("stderr"), "to stderr\n", "and may be handed to a child")


def test_amounts(r):
    got = r.execute("for i in range(20000): print(i)")
    text = "".join(f"{i}\n" for i in range(20000))
    equal(got.text(), text, "20,000 prints arrive")
    frames = [e for e in got.events if e.kind == "stream" and not e.piped]
    ok(len(frames) < 200, f"in few frames ({len(frames)})")
    equal(
        r.execute("for i in range(20000): print(i, flush=True)").text(),
        text,
        "flushed ones, too",
    )
    got = r.execute(
        "import sys\nfor i in range(300):\n    print(i); print(-i, file=sys.stderr)"
    )
    equal(len([k for k, _ in got.order]), 600, "no two streams are mixed up")
    equal(
        len(r.execute("print('é' * 30_000_000)").text()),
        30_000_001,
        "text over the limit is cut into frames",
    )
    equal(
        r.execute(r"print('x\udc80\ud800y')").text(),
        "x\ufffd\ufffdy\n",
        "lone surrogates are replaced",
    )
    equal(
        r.execute(r"x = '\ud800'; display('\udfff')").reply["status"],
        "ok",
        "in displays, too",
    )


def test_too_large(r):
    got = r.execute("display('x' * 60_000_000)", 60)
    equal(
        len(got.published("display_data")[0]["data"]["text/plain"]),
        60_000_002,
        "a display of 60 MB arrives",
    )
    for code in (
        "display('x' * 100_000_000)",
        "'x' * 100_000_000",
        "display({'image/png': b'x' * 100_000_000}, raw=True)",
    ):
        got = r.execute(code, 60)
        equal(got.reply["ename"], "MessageTooLarge", f"100 MB fail: {code}")
        ok(str(LIMIT) in got.published("error")[0]["evalue"], "and the limit is named")
    got = r.execute("raise ValueError('x' * 100_000_000)", 60)
    ok(str(LIMIT) in got.published("error")[0]["evalue"], "a large error is shortened")
    equal(got.reply["ename"], "ValueError", "but it is that error")
    got = r.execute("1", user_expressions={"a": "'x' * 100_000_000"}, timeout=60)
    equal(got.reply["status"], "ok", "a large reply is answered all the same")
    equal(r.execute("'alive'").result, "'alive'", "and the kernel goes on")


def test_json(r):
    got = r.execute(
        "display({'text/plain': 'x', 'application/json': {1: float('nan'),"
        " 'b': b'\\xff', 't': (1, {2})}}, raw=True)"
    )
    equal(
        got.published("display_data")[0]["data"]["application/json"],
        {"1": "nan", "b": "/w==", "t": [1, [2]]},
        "JSON is always valid",
    )
    got = r.execute("display({'application/json': object()}, raw=True)")
    equal(got.reply["ename"], "ValueError", "what is no JSON fails in the cell")
    got = r.execute(
        "display({'text/plain': 5, 'x/y': {'a': 1}, 'a/b': ['x']}, raw=True,"
        " display_id=7)"
    )
    got = got.published("display_data")[0]
    want = {"text/plain": "5", "x/y": '{"a":1}', "a/b": ["x"]}
    equal(got["data"], want, "text is text")
    equal(got["transient"], {"display_id": "7"}, "and so are display ids")
    got = r.execute(
        "class E(Exception):\n    def _render_traceback_(self): return 'one'\nraise E"
    )
    equal(got.reply["traceback"], ["one"], "a traceback is a list of texts")


def test_requests(r):
    r.execute("class Thing:\n    'docs'\n    attribute = 1\nthing = Thing()")
    code = "thing.attr"
    got = r.ask("complete_request", {"code": code, "cursor_pos": len(code)})
    ok("attribute" in str(got["matches"]), "complete")
    equal(
        (got["cursor_start"], got["cursor_end"]),
        (6, 10),
        "complete says what to replace",
    )
    got = r.ask("complete_request", {"code": "%ls", "cursor_pos": 3})
    ok("%lsmagic" in got["matches"], "complete magics")
    got = r.ask("inspect_request", {"code": "thing", "cursor_pos": 3})
    ok(got["found"] and "docs" in got["data"]["text/plain"], "inspect")
    ok("text/html" not in got["data"], "inspect sends no HTML")
    got = r.ask("inspect_request", {"code": "nothing_here", "cursor_pos": 3})
    equal((got["status"], got["found"]), ("ok", False), "inspect of an unknown name")
    for code, want in (
        ("1", "complete"),
        ("for i in x:", "incomplete"),
        ("1 +* 2", "invalid"),
    ):
        got = r.ask("is_complete_request", {"code": code})
        equal(got["status"], want, f"is_complete: {code}")
    equal(r.ask("is_complete_request", {"code": "if 1:"})["indent"], "    ", "indent")
    r.execute("'remembered'")
    got = r.ask("history_request", {"hist_access_type": "tail", "n": 1})
    equal(got["history"][0][2], "'remembered'", "history: tail")
    ask = {"hist_access_type": "range", "output": True, "raw": True, "session": 0}
    got = r.ask("history_request", ask | {"start": 2, "stop": 3})
    equal(
        got["history"][0][1:], [2, ["'remembered'", "'remembered'"]], "history: range"
    )
    got = r.ask(
        "history_request", {"hist_access_type": "search", "pattern": "*member*"}
    )
    equal(len(got["history"]), 1, "history: search")
    equal(r.ask("comm_info_request")["comms"], {}, "no comms")
    for kind in ("unknown_request", "comm_msg", "comm_close", "input_reply"):
        equal(r.ask(kind, {"comm_id": "x"}), None, f"{kind}: DONE without a reply")
    equal(
        r.ask("execute_request", {"nocode": 1}), None, "no code: DONE without a reply"
    )
    equal(r.ask("complete_request", {}), None, "a request without its fields, too")
    ident, r.next_id = r.next_id, r.next_id + 1
    for flags in (0, 1):
        r.send(2, ident, flags, [b"{", b"{}", b"{}", b"{}"])
        equal(r.finish(ident).reply, None, "what is no JSON, too")
        ident, r.next_id = r.next_id, r.next_id + 1
    equal(r.execute("'alive'").result, "'alive'", "and the kernel goes on")


def test_display(r):
    got = r.execute("h = display(1, display_id='i'); h.update(2)")
    equal(
        got.published("update_display_data")[0]["transient"],
        {"display_id": "i"},
        "update",
    )
    got = r.execute("from IPython.display import clear_output; clear_output(wait=True)")
    equal(got.published("clear_output"), [{"wait": True}], "clear_output")
    got = r.execute("len?")
    equal(got.reply["payload"][0]["source"], "page", "the pager is a payload")
    got = r.execute("input()")
    equal(got.reply["ename"], "StdinNotImplementedError", "input() fails at once")
    got = r.execute("import warnings; warnings.warn('careful')")
    ok("/ipykernel_" in got.text("stderr"), "warnings name the cell as ipykernel does")
    got = r.execute("class E(Exception):\n    def __str__(self): 1/0\nraise E")
    equal(got.reply["status"], "error", "an exception that cannot be printed")
    equal(len(got.replies), 1, "is replied")


def test_figures(r):
    if r.execute("import matplotlib, pandas").reply["status"] == "error":
        skip("figures", "this Python has no matplotlib and pandas")
        return
    got = r.execute("import matplotlib.pyplot as plt; plt.plot([1, 2]); print('text')")
    equal(
        [kind for kind, _ in got.order], ["stdout", "display_data"], "figure after text"
    )
    ok(
        got.published("display_data")[0]["data"]["image/png"].startswith("iVBOR"),
        "as PNG",
    )
    got = r.execute("%config InlineBackend.figure_formats = ['svg']\nplt.plot([1]);")
    ok("<svg" in got.published("display_data")[0]["data"]["image/svg+xml"], "or SVG")
    got = r.execute("plt.plot([1]); 1/0")
    equal(
        [kind for kind, _ in got.order],
        ["error", "display_data"],
        "also after an error",
    )
    got = r.execute("pandas.DataFrame({'a': [1]})")
    ok(
        "<table" in got.published("execute_result")[0]["data"]["text/html"],
        "HTML tables",
    )


def test_start(options):
    profile = "home/.ipython/profile_default"
    config = "get_config().InteractiveShellApp.exec_lines = ['from_config = 2']"
    files = {
        f"{profile}/startup/00.py": "from_startup = 1; print('starting')",
        f"{profile}/ipython_config.py": config,
    }
    names = (
        "random json numpy IPython asyncio traitlets frame stream link runner select"
    )
    files |= {f"{name}.py": "raise SystemExit('imported')" for name in names.split()}
    root = options[0][1] if options[0][0] == "chroot" else "/"
    base = os.path.join(root, "tmp")
    with tempfile.TemporaryDirectory(dir=base) as temp:
        for name, text in files.items():
            path = pathlib.Path(temp, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        inside = "/" + os.path.relpath(temp, root)
        env = dict(os.environ, HOME=f"{inside}/home")
        command = ["sh", "-c", f'cd {inside} && exec "$@"', "sh"]
        if root != "/":
            command = [*options[0][:2], *command, *options[0][2:]]
        else:
            command = [*command, *options[0]]
        with started((command, options[1]), env=env) as r:
            ok(True, "files in the working directory do not keep it from starting")
            equal(
                early_text(r),
                "starting\n",
                "startup files run, their output has no cell",
            )
            equal(r.execute("from_startup, from_config").result, "(1, 2)", "profile")
            got = r.execute(
                "import random, json, select; json.dumps(random.random() < 1)"
            )
            equal(
                got.result, "'true'", "the standard library comes before the directory"
            )
            equal(
                r.execute("'' in __import__('sys').path").result,
                "True",
                "which is there",
            )
            r.execute("%%writefile mine.py\nx = 3")
            equal(
                r.execute("import mine; mine.x").result, "3", "for modules of the user"
            )
    for home in ("/nonexistent", "/proc"):
        with started(options, env=dict(os.environ, HOME=home)) as r:
            equal(
                r.execute("1").result,
                "1",
                f"HOME={home} does not keep it from starting",
            )


def early_text(r):
    """Text that belongs to no request."""
    return "".join(e.text for e in r.events if e.kind == "stream" and e.id == 0)


SHARED = [
    test_cells,
    test_order,
    test_pipes,
    test_amounts,
    test_too_large,
    test_json,
    test_requests,
    test_display,
    test_figures,
]


def main():
    """Runs every test with every Python there is."""
    found = list(interpreters())
    if not found:
        skip_all("no Python with IPython (hint: ./dev test)")
    for name, *options in found:
        print(f"# {name}: {' '.join(options[0])}", flush=True)
        with started(options) as r:
            test_ready(r)
        for test in SHARED:
            # The venv has no matplotlib; where there is the image, it is enough.
            if test is test_figures and name == "venv" and len(found) > 1:
                continue
            with check(f"{name}: {test.__name__}"), started(options) as r:
                test(r)
        with check(f"{name}: test_start"):
            test_start(options)
    done()


if __name__ == "__main__":
    main()
