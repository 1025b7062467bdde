"""execute: execute_request, from execute_input to its execute_reply."""

import asyncio
import datetime
import operator
import os
import resource
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from IPython.core.interactiveshell import _asyncio_runner

from . import interrupt
from .app import shortened
from .packing import printable


@dataclass
class Cell:
    """A cell that runs."""

    code: str
    options: dict  # of run_cell and run_cell_async
    expressions: dict
    answer: Any  # answer(content, metadata), called once
    metadata: dict = field(default_factory=dict)
    began: tuple = ()  # processor and wall seconds, as _seconds has them
    awaiting: bool = False  # its task is under way and will call back


class Executor:
    """Runs cells, one at a time, in callbacks and tasks of the main loop.

    Cells without a top-level await run right in the callback, so that
    asyncio.all_tasks() holds the user's tasks only.
    """

    def __init__(self, kernel, loop, context):
        """context is the one that all cells run in: a context variable that one
        sets, the next one finds."""
        self._kernel = kernel
        self._shell = kernel.shell
        self._interrupts = kernel.interrupts
        self._origin = kernel.origin
        self._loop = loop
        self._context = context
        self._pid = os.getpid()
        self._cell = None

    @property
    def busy(self):
        """Whether a cell runs."""
        return self._cell is not None

    def adopt(self):
        """This process is the one that runs cells from now on."""
        self._pid = os.getpid()

    def execute(self, request, answer):
        """Begins the cell. answer(content, metadata) is called when it is done,
        with (None, None) for a request that has no code."""
        content = request.content
        code = content.get("code")
        if not isinstance(code, str):
            answer(None, None)
            return
        silent = bool(content.get("silent", False))
        options = {
            "store_history": bool(content.get("store_history", not silent)),
            "silent": silent,
            "cell_id": request.metadata.get("cellId"),
        }
        expressions = content.get("user_expressions") or {}
        cell = self._cell = Cell(code, options, expressions, answer)
        cell.metadata["started"] = _now()
        cell.began = _seconds()
        if not silent:
            count = {"code": code, "execution_count": self._shell.execution_count}
            self._kernel.publish("execute_input", count)
        self._kernel.stdin.begin(bool(content.get("allow_stdin", False)))
        self._shell._last_traceback = None
        self._origin.running = request.id
        self._run(cell)

    def rescue(self, error):
        """Main loop only: an exception got out of a callback, KeyboardInterrupt
        or what a signal handler of the user raised. If it struck between two
        lines of ours that end the cell, that is done again (init ignores a
        second DONE)."""
        cell = self._cell
        if cell is not None and not cell.awaiting:
            self._conclude(cell, None, error)
        elif not isinstance(error, KeyboardInterrupt):
            traceback.print_exception(error)

    def forget(self):
        """The reply is queued."""
        self._cell = None

    def _run(self, cell):
        shell, failure = self._shell, None
        self._interrupts.begin(preparing=True)
        try:
            transformed = shell.prepare(cell.code)
        except Exception:
            transformed, failure = cell.code, sys.exc_info()
        prepared = {"transformed_cell": transformed, "preprocessing_exc_tuple": failure}
        shell.concluded = (
            shell.loop_runner is not _asyncio_runner
            or not shell.should_run_async(cell.code, **prepared)
        )
        if shell.concluded:
            self._conclude(cell, *self._call(shell.run_cell, cell.code, **cell.options))
            return
        coroutine = shell.run_cell_async(cell.code, **cell.options, **prepared)
        task = interrupt.Task(self._loop, self._interrupts)
        self._interrupts.begin(task, preparing=True)
        cell.awaiting = True
        task.start(coroutine, self._context, self._after_task)

    def _after_task(self, task):
        cell, shell = self._cell, self._shell
        self._interrupts.begin()
        cell.awaiting = False
        result = error = None
        if task.cancelled():
            error = asyncio.CancelledError()
        elif (error := task.exception()) is None:
            result = task.result()
        if error is not None:  # it struck in IPython's code, not in the cell's
            shell.showtraceback((type(error), error, error.__traceback__))
        _, interrupted = self._call(shell.events.trigger, "post_execute")
        if not cell.options["silent"] and not interrupted:
            _, interrupted = self._call(shell.events.trigger, "post_run_cell", result)
        self._conclude(cell, result, error or interrupted)

    def _call(self, function, *args, **kwargs):
        """Returns (result, None), or (None, error) when it was interrupted or
        the shell itself failed."""
        try:
            return function(*args, **kwargs), None
        except (KeyboardInterrupt, Exception) as error:
            self._shell.showtraceback()
            return None, error

    def _conclude(self, cell, result, error):
        values = {}
        if error is None:
            error = result.error_before_exec or result.error_in_exec
        if error is None and cell.expressions:
            self._kernel.link.drain()  # they may take their time
            values, error = self._call(self._shell.user_expressions, cell.expressions)
        self._interrupts.end()
        self._origin.running = 0
        self._kernel.stdin.end()
        if os.getpid() != self._pid:
            # The cell forked and the child came back here: it is no kernel.
            os._exit(0 if error is None else 1)
        reply = self._reply(error, values)
        cell.metadata["status"] = reply["status"]
        cpu, wall = map(operator.sub, _seconds(), cell.began)
        cell.metadata["kernelhost"] = {
            "cpu_seconds": round(cpu, 6),
            "wall_seconds": round(wall, 6),
        }
        cell.answer(reply, cell.metadata)

    def _reply(self, error, values):
        shell = self._shell
        reply = {"status": "ok"}
        if error is not None:
            reply = {
                "status": "error",
                "traceback": shell._last_traceback or [],
                "ename": type(error).__name__,
                "evalue": printable(error),
            }
        reply["execution_count"] = shell.execution_count - 1
        reply["user_expressions"] = values or {}
        reply["payload"] = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        return reply


def fitting(reply):
    """A reply that is too large for a frame, made to fit: an ok without its
    values, an error with its texts cut."""
    if reply["status"] == "error":
        reply = shortened(reply)
    return reply | {"user_expressions": {}, "payload": []}


def _seconds(
    process=time.process_time, children=resource.getrusage, now=time.monotonic
):
    """Processor and wall time so far: of all threads of this process, and of the
    children that were waited for. A child that runs on is not in it yet, and who
    works in the background meanwhile is. The functions are those that there were
    before user code came."""
    ended = children(resource.RUSAGE_CHILDREN)
    return process() + ended.ru_utime + ended.ru_stime, now()


def _now():
    return (
        datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    )
