#!/usr/bin/env python3
"""Executes a notebook with nbclient and prints each cell and what it says, live.

    run_notebook.py [--kernel NAME] [--figures DIR] [-o OUT.ipynb] NOTEBOOK

NAME is a kernelspec; "kernelhost" (see `kernelhost kernelspec install`) is the
one that runs in a sandbox. Nothing here knows of that: any kernel will do, and
any other Jupyter client would. Figures in the outputs become files in DIR.
"""

import argparse
import asyncio
import base64
import pathlib
import re
import signal
import sys
import time

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

IMAGES = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class Terminal:
    """What is printed: code with a bar, outputs indented."""

    def __init__(self):
        self.color = sys.stdout.isatty()
        self.at_start = True

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.color else text

    def lines(self, text, before):
        for line in text.splitlines():
            print(f"{before}{line}")
        sys.stdout.flush()

    def stream(self, text):
        """Text as it comes: a piece may end inside a line."""
        text = text.replace("\r\n", "\n")
        for piece in re.split(r"(\n)", text if self.color else ESCAPES.sub("", text)):
            if piece == "\n":
                print()
                self.at_start = True
            elif piece:
                # A carriage return goes to where the indented line begins.
                piece = piece.replace("\r", "\r    ")
                print(piece if not self.at_start else f"    {piece}", end="")
                self.at_start = False
        sys.stdout.flush()

    def fresh_line(self):
        if not self.at_start:
            print()
            self.at_start = True


class Printer(NotebookClient):
    """A NotebookClient that shows every output when it arrives."""

    def __init__(self, notebook, figures, **options):
        super().__init__(notebook, **options)
        self.terminal = Terminal()
        self.figures = figures
        self.written = []
        self.interrupted = False
        self.on_cell_start = self.show_source

    async def async_start_new_kernel(self, **options):
        # nbclient's own handlers shut the kernel down under the running cell; this
        # one cancels the execution, and the kernel is shut down on the way out.
        # (nbclient takes the cancellation for a kernel that died; so it is noted.)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt():
            self.interrupted = True
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        await super().async_start_new_kernel(**options)

    def show_source(self, cell, cell_index):
        out = self.terminal
        out.fresh_line()
        print()
        if cell.cell_type == "markdown":
            out.lines(out.paint("1", cell.source), "")
        elif cell.source.strip():
            out.lines(cell.source, out.paint("36", "  | "))

    def process_message(self, msg, cell, cell_index):
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            self.terminal.stream(content["text"])
        elif kind in ("display_data", "execute_result", "update_display_data"):
            self.show_data(content["data"], content.get("execution_count"))
        elif kind == "error":
            text = "\n".join(content["traceback"])
            text = text if self.terminal.color else ESCAPES.sub("", text)
            self.terminal.fresh_line()
            self.terminal.lines(text, "    ")
        return super().process_message(msg, cell, cell_index)

    def show_data(self, data, count):
        out = self.terminal
        out.fresh_line()
        for mime, extension in IMAGES.items():
            if mime in data:
                path = self.save(data[mime], extension)
                out.lines(f"figure: {path}", "    ")
                return
        label = f"Out[{count}]: " if count else ""
        text = data.get("text/plain", f"({', '.join(sorted(data))})")
        if "\n" in text and label:
            text = f"{label}\n{text}"
        else:
            text = label + text
        out.lines(text, "    ")

    def save(self, data, extension):
        number = len(self.written) + 1
        path = self.figures / f"figure-{number}.{extension}"
        text = extension == "svg"
        path.write_bytes(data.encode() if text else base64.b64decode(data))
        self.written.append(path)
        return path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=pathlib.Path)
    parser.add_argument("--kernel", default="kernelhost", help="name of a kernelspec")
    parser.add_argument(
        "--figures", type=pathlib.Path, default=pathlib.Path("figures"),
        help="directory for the figures (%(default)s)",
    )
    parser.add_argument("-o", "--output", type=pathlib.Path, help="executed notebook")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell")
    return parser.parse_args()


def main():
    args = arguments()
    notebook = nbformat.read(args.notebook, as_version=4)
    args.figures.mkdir(parents=True, exist_ok=True)
    for old in args.figures.glob("figure-*"):
        old.unlink()
    client = Printer(
        notebook, args.figures.resolve(), timeout=args.timeout,
        kernel_name=args.kernel, resources={"metadata": {"path": "."}},
    )
    begun = time.monotonic()
    failure = None
    try:
        client.execute()
    except CellExecutionError:
        # Its traceback has been printed when it came.
        failure = "the last cell failed"
    except (
        asyncio.CancelledError, CellControlSignal, DeadKernelError, RuntimeError,
    ) as error:
        failure = str(error)
    if client.interrupted:
        failure = "interrupted"
    client.terminal.fresh_line()
    if args.output:
        nbformat.write(notebook, args.output)
    ran = sum(1 for c in notebook.cells if c.get("execution_count"))
    seconds = time.monotonic() - begun
    print(f"\n{args.notebook.name}: {ran} code cells in {seconds:.1f} s")
    for path in client.written:
        print(f"figure: {path}")
    sys.stdout.flush()
    if failure:
        print(f"run_notebook: {failure}", file=sys.stderr)
    return 130 if client.interrupted else 1 if failure else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, NoSuchKernel, nbformat.ValidationError) as error:
        sys.exit(f"run_notebook: {error}")
