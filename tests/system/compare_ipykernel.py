#!/usr/bin/env python3
"""compare_ipykernel: runs cells in ipykernel and in our Python runner and shows
every message that differs.

    compare_ipykernel.py [--ipykernel DIR] [--runner DIR] [FILE.cells]...

Run by the image's python3, inside the image's root. DIR is what
`pip install --target DIR ipykernel==6.29.5` made; only ipykernel's side sees it.
Without it ipykernel is where that python3 finds it.
A file is one session; its cells begin with a line

    # %% NAME [JSON: fields of execute_request]

Compared are, for each cell, what it published, in order, and its execute_reply.
NORMAL below is all that is made equal beforehand, LEFT_OUT all that is not
looked at, each with its reason. The metadata of replies is not compared: it has times,
and ours has "kernelhost" besides, what the execution took. TAP on standard output.
"""

import argparse
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "sandbox")]

from runner_harness import PACKAGE, Runner  # noqa: E402
from tap import done, note, ok  # noqa: E402

CELLS = HERE.parent / "data" / "cells"
CELL = re.compile(r"^# %% (?P<name>[^{\n]+?)[ ]*(?P<fields>\{.*\})?$", re.M)
TIMEOUT = 120

# What is different in every run of the same kernel.
NORMAL = [
    (r"0x[0-9a-f]{6,}", "0xADDRESS"),
    (r"/tmp/ipykernel_\d+/\d+\.py", "/tmp/ipykernel_PID/CELL.py"),
    (r"/tmp/compare-[a-z0-9_]+", "/tmp/DIRECTORY"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", "TIME"),
    # %time, %timeit, tqdm
    (
        r"(?<![;\d])\d+(\.\d+)?(e[+-]\d+)? ?(ns|μs|us|ms|s|min)\b( ± [^\n]*)?",
        "DURATION",
    ),
    (r"\d+(,\d+)* loops? each", "N loops each"),
    (r"^[0-9a-f]{16}$|^[0-9a-f]{32}$", "ID"),
    # How much of a recursion fits depends on the frames below the cell.
    (r"\(\d+ times\)", "(N times)"),
]

# A frame of a traceback that is inside the kernel: other files, other lines.
KERNEL_FRAME = re.compile(r"File \S*(/ipykernel|/kernelhost_runner)/")

# Cells that are to differ, and why.
EXPECTED = {
    "error in str of an exception": "ipykernel reports the __str__'s own error",
    "breakpoint without stdin": "with debugpy ipykernel ignores breakpoint()",
    "debug magic without stdin": "shows a line of the kernel's own source",
    "raw": "data that is not text has to be of a type that says JSON",
    "task group error": "ipykernel's reply has the traceback of an earlier cell",
    "magic": "the text describes %connect_info and %qtconsole",
    "gui of a wrong name": "the message names the GUIs that there are",
    "syntax warning": "ipykernel compiles a cell once more to see whether it awaits",
    "autocall used": "ipykernel transforms a cell twice, and shows it twice",
    "NaN in metadata": "jupyter_client adds a warning about its own future",
}

# What only ipyparallel looked at, in every execute_reply that failed.
LEFT_OUT = {"engine_info"}


def parse(path):
    """The cells of a file: [(name, code, fields of the request)]."""
    text = pathlib.Path(path).read_text()
    heads = list(CELL.finditer(text))
    if not heads:
        raise ValueError(f"no cells in {path}")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [
        (
            head["name"],
            text[head.end() : end].strip("\n"),
            json.loads(head["fields"] or "{}"),
        )
        for head, end in zip(heads, ends, strict=True)
    ]


class Ours:
    """Cells in our runner."""

    def __init__(self, options, directory):
        self.runner = Runner(
            package=options.runner, cwd=directory, env=environment(directory)
        )
        self.runner.wait(lambda event: event.kind == "ready")

    def run(self, code, fields):
        """Returns (messages, reply)."""
        result = self.runner.execute(code, TIMEOUT, **fields)
        messages = []
        for event in result.events:
            if event.kind == "stream":
                messages.append(("stream", {"name": event.name, "text": event.text}))
            elif event.kind == "publish":
                messages.append((event.type, event.content))
        return messages, result.reply

    def close(self):
        """Ends the runner."""
        self.runner.close()


class Theirs:
    """Cells in ipykernel."""

    def __init__(self, options, directory):
        if options.ipykernel:
            sys.path.append(options.ipykernel)
        from jupyter_client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        self.home = tempfile.TemporaryDirectory(prefix="compare-")
        # Ports of TCP may be taken before the kernel binds them.
        name, _ = write_connection_file(
            os.path.join(self.home.name, "kernel.json"),
            transport="ipc",
            ip=os.path.join(self.home.name, "kernel"),
        )
        env = environment(directory)
        if options.ipykernel:
            env["PYTHONPATH"] = options.ipykernel
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", name],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client = BlockingKernelClient(connection_file=name)
        self.client.load_connection_file()
        self.client.start_channels()
        self.wait(time.monotonic() + 60)

    def wait(self, end):
        """Waits until it answers. jupyter_client takes a kernel whose heart does not
        beat yet, after a second, for dead."""
        while True:
            try:
                self.client.wait_for_ready(timeout=60)
                return
            except RuntimeError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise

    def run(self, code, fields):
        """Returns (messages, reply)."""
        options = {"allow_stdin": False} | fields
        content = {"code": code, "user_expressions": {}} | options
        request = self.client.session.msg("execute_request", content)
        self.client.shell_channel.send(request)
        wanted, messages = request["header"]["msg_id"], []
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != wanted:
                continue
            kind = message["header"]["msg_type"]
            if kind != "status":
                messages.append((kind, message["content"]))
            elif message["content"]["execution_state"] == "idle":
                break
        reply = self.client._recv_reply(wanted, timeout=TIMEOUT)
        return messages, reply["content"]

    def close(self):
        """Ends the kernel."""
        self.client.stop_channels()
        self.process.kill()
        self.process.wait()
        self.home.cleanup()


def environment(directory):
    """What both kernels get: a home of their own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return env | {"HOME": directory, "PWD": directory}


def normal(value):
    """The value with everything made equal that differs in every run."""
    if isinstance(value, str):
        if KERNEL_FRAME.match(value):
            return "FRAME OF THE KERNEL"
        for pattern, text in NORMAL:
            value = re.sub(pattern, text, value)
        return value
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


def comparable(messages, reply):
    """Lines to compare. How text is cut into messages is a matter of time, and
    ipykernel gathers stdout and stderr apart, so that their order is not known;
    so all text between two other messages is one text a stream."""
    lines, streams = [], {}

    def put(kind, content):
        text = json.dumps(normal(content), indent=1, sort_keys=True, ensure_ascii=False)
        lines.extend([f"{kind}:", *text.splitlines()])

    for kind, content in [*messages, ("execute_reply", reply)]:
        if kind == "stream":
            name = content["name"]
            streams[name] = streams.get(name, "") + content["text"]
            continue
        for name in sorted(streams):
            put(name, {"text": streams[name]})
        streams.clear()
        put(kind, content)
    return lines


def compare(path, options):
    """Runs a file's cells in both and reports each."""
    kernels = []
    with (
        tempfile.TemporaryDirectory(prefix="compare-") as ours,
        tempfile.TemporaryDirectory(prefix="compare-") as theirs,
    ):
        try:
            kernels += [Ours(options, ours), Theirs(options, theirs)]
            for name, code, fields in parse(path):
                if options.only and options.only not in name:
                    continue
                got, want = (
                    comparable(*kernel.run(code, dict(fields))) for kernel in kernels
                )
                text, why = f"{pathlib.Path(path).stem}: {name}", EXPECTED.get(name)
                if why:
                    ok(got != want, f"{text} (differs: {why})")
                elif not ok(got == want, text):
                    show(got, want)
                elif options.verbose:
                    note("\n".join(want))
        finally:
            for kernel in kernels:
                kernel.close()


def show(got, want):
    """Prints the difference of two lists of lines, long ones cut."""
    for line in difflib.unified_diff(want, got, "ipykernel", "kernelhost", n=2):
        note(line.rstrip("\n")[:600])


def main():
    """Compares the files that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ipykernel", help="where it is, if not on the path")
    parser.add_argument("--runner", default=PACKAGE)
    parser.add_argument("--only", help="cells whose name contains this")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("files", nargs="*", default=sorted(map(str, CELLS.iterdir())))
    options = parser.parse_args()
    for path in options.files:
        compare(path, options)
    done()


if __name__ == "__main__":
    main()
