"""runner: start, inbox thread, main loop, end.

What belongs to any kernel (the streams, the shell) is made by build(), what
belongs to one (descriptors, the loop) by attach(). An ordinary start attaches
first, so that init hears of whatever goes wrong; a zygote builds, and its children
attach.

Two threads. The main thread runs one asyncio loop for good: cells run in it,
and what they leave behind (tasks, callbacks) goes on between them. The inbox
thread reads frames while a cell keeps the main thread busy, and sends gathered
output when its time has come.
"""

import _thread
import asyncio
import atexit
import contextlib
import contextvars
import faulthandler
import gc
import importlib
import os
import select
import signal
import sys
import time
import types

from . import frame, packing
from .checkpoint import Checkpoints
from .inbox import Inbox, Selector
from .interrupt import Interrupts
from .link import Link
from .origin import Origin, inherit_in_threads
from .reseed import ALL, SECRETS, reseed
from .stream import Output, OutStream, flush_before_processes

FD = 3  # KH_RUNNER_FD
_PATIENCE = 200  # attempts to start a thread
_PAUSE = 0.005  # seconds between them


class Runner:
    """The process. One instance, made in the main thread."""

    def __init__(self):
        self.link = Link()
        self.interrupts = Interrupts(self._has_input)
        self.inbox = Inbox(self.link, self.interrupts, self._dispatch)
        self.link.wake = self.inbox.wake
        self.origin = Origin()
        self.output = Output(self.link, self.origin, self.inbox.alarm)
        self.application = self._info = None
        self._selector = self._loop = None
        self._context = contextvars.copy_context()
        self.checkpoints = Checkpoints(self)
        self._inbox_thread = None
        self._libc_flush = None

    def attach(self, fd):
        """Takes over the socket to init and fds 1 and 2, waits for HELLO. Raises
        EOFError or ValueError without it."""
        self.link.attach(fd)
        self.inbox.attach()
        self.interrupts.install()
        self._selector = Selector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        asyncio.set_event_loop(self._loop)
        faulthandler.enable()  # a crash says where it was
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=lambda: self.link.lock.release(),
            after_in_child=self._in_child,
        )
        self.link.greet()

    def build(self):
        """Takes over the streams, makes the shell."""
        self._take_streams()
        _leave_out_terminal()
        from . import app

        self.application = app.IPKernelApp.instance()
        self.application.init_pdb()
        self.application.initialize(
            link=self.link,
            origin=self.origin,
            interrupts=self.interrupts,
            checkpoints=self.checkpoints,
        )

    def kernel_info(self):
        """What READY tells."""
        from . import requests

        if self._info is None:
            self._info = packing.pack(requests.kernel_info(self.application.kernel))
        return self._info

    def ready(self):
        """Says READY."""
        from .serve import Server

        kernel = self.application.kernel
        self._server = Server(
            kernel, self._loop, self._context, self.flush, self.inbox.main_returns
        )
        self.flush()
        self.link.send(frame.READY, slices=[self.kernel_info()])

    def when_idle(self, seconds, function):
        """Calls function(self) in the main loop, if no request has come by then."""

        def call():
            if not self.origin.latest:
                function(self)

        self._loop.call_later(seconds, call)

    def run(self):
        """Serves until SHUTDOWN or exit()."""
        _thread.start_new_thread(self._read, ())
        self._selector.attach(self.link, self.inbox)
        self._loop.call_soon(self._prepare)
        while not self._server.ending or self._server.executor.busy:
            # User code may stop the loop; an interrupt, SystemExit in a task and
            # what a signal handler raises get out of it. The loop goes on.
            try:
                try:
                    self._turn()
                except SystemExit:
                    pass
                except BaseException as error:
                    self._server.executor.rescue(error)
            except BaseException:
                continue  # another one, in the middle of that
        self.flush()
        # Tasks that are left are no news to anybody.
        self._loop.set_exception_handler(lambda _loop, _context: None)

    def _turn(self):
        if not self.checkpoints.wanted:
            self._loop.run_forever()
        if self.checkpoints.wanted:
            self.checkpoints.make()

    def flush(self):
        """Brings all output of this process on its way: what our streams, those
        that a cell put in their place, and C's stdout and stderr hold back."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # a stream that the user replaced or closed
        self.output.send()
        if self._libc_flush:
            self._libc_flush()

    def _take_streams(self):
        atexit.register(self.output.send)
        # `sys.stdout = sys.__stdout__` is how scripts undo a redirection, so these
        # are ours, too. The first ones would close fds 1 and 2 if they went.
        self._first_streams = sys.__stdout__, sys.__stderr__
        sys.stdout = sys.__stdout__ = OutStream(self.output, frame.STDOUT, "stdout")
        sys.stderr = sys.__stderr__ = OutStream(self.output, frame.STDERR, "stderr")
        inherit_in_threads()
        flush_before_processes(self.output.flush_for_process)

    def _prepare(self):
        """After READY, when nobody waits: what the end of a cell needs."""
        import ctypes

        libc = ctypes.CDLL(None)
        files = [ctypes.c_void_p.in_dll(libc, name) for name in ("stdout", "stderr")]
        pending = getattr(libc, "__fpending")  # noqa: B009 (a class mangles it)

        def flush():
            if any(map(pending, files)):
                self.link.drain()  # what was shown before
                for file in files:
                    libc.fflush(file)

        self._libc_flush = flush

    # For checkpoints

    @property
    def loop(self):
        """The main loop."""
        return self._loop

    @property
    def shell(self):
        """IPython's shell."""
        return self.application.kernel.shell

    def threads(self):
        """The numbers of our own threads."""
        while self._inbox_thread is None:
            time.sleep(0)
        return {os.getpid(), self._inbox_thread}

    def descriptors(self):
        """Those of our descriptors that a copy closes as it is made."""
        link = {self.link.fileno(), *self.link.pipes.values()}
        return link | self.inbox.descriptors()

    def renewed(self):
        """Those that it replaces in thaw()."""
        loop = self._loop
        return {self._selector.fileno(), loop._ssock.fileno(), loop._csock.fileno()}

    def thaw(self, sock, out, err):
        """In a copy, which has abandoned all that was its maker's: from now on this is
        the runner that has those descriptors. Raises as greet() does."""
        loop = self._loop
        self.link.attach(sock, out, err)
        self.inbox.attach()
        self._selector.renew()
        loop._close_self_pipe()
        loop._make_self_pipe()
        asyncio.set_event_loop(loop)
        if loop._signal_handlers:
            signal.set_wakeup_fd(loop._csock.fileno())
        self.interrupts.end()
        self.output.revive()
        self._server.executor.adopt()
        self.link.greet()
        self._inbox_thread = None
        self._start_reading()
        self._selector.attach(self.link, self.inbox)
        self.link.send(frame.READY, slices=[self.kernel_info()])

    def _start_reading(self):
        """The runner before this one may not be taken apart yet, and where processes
        are limited its thread has to end for ours."""
        for _ in range(_PATIENCE):
            with contextlib.suppress(RuntimeError):
                _thread.start_new_thread(self._read, ())
                return
            time.sleep(_PAUSE)
        _thread.start_new_thread(self._read, ())

    # Inbox thread

    def _read(self):
        self._inbox_thread = _thread.get_native_id()
        try:
            self.inbox.run(self.output.expire)
        except (EOFError, ValueError, OSError):
            os._exit(1)  # init is gone or talks nonsense

    # Either thread

    def _dispatch(self, received, here):
        if received.type == frame.SHUTDOWN:
            self._shut_down()
        if received.type == frame.RESEED:
            secrets = received.flags & frame.RESEED_SECRETS
            reseed(received.slices[0], SECRETS if secrets else ALL)
        if received.type != frame.REQUEST:
            return False
        shell = not received.flags & frame.REQUEST_CONTROL
        if shell or not self._server.control(received):
            call = self._loop.call_soon if here else self._loop.call_soon_threadsafe
            call(self._server.shell, received, context=self._context)
        return shell

    def _shut_down(self):
        self._loop.call_soon_threadsafe(self._server.stop)
        os.kill(os.getpid(), signal.SIGINT)  # ends a cell that runs

    def _has_input(self):
        poll = select.poll()
        poll.register(self.link.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    # Forks

    def _before_fork(self):
        self.link.lock.acquire()
        self.output.flush_for_process()

    def _in_child(self):
        if self.link.open:
            self.inbox.abandon()
        self.link.abandon()
        self.output.abandon()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave_out_terminal():
    """`import IPython` loads the whole terminal application for one function,
    embed(): half of our start time. It is loaded when somebody calls that."""
    name = "IPython.terminal.embed"
    if name in sys.modules:
        return

    def load(attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        sys.modules.pop(name, None)
        return getattr(importlib.import_module(name), attribute)

    def embed(**kwargs):
        """Embeds IPython at the current point. See IPython.terminal.embed."""
        load("embed")(**kwargs)

    placeholder = types.ModuleType(name)
    placeholder.embed, placeholder.__getattr__ = embed, load
    sys.modules[name] = placeholder


def main():
    """Runs the runner. Returns the exit status."""
    gc.disable()  # nothing that is imported is garbage
    runner = Runner()
    runner.attach(FD)
    runner.build()
    runner.ready()
    gc.enable()
    runner.run()
    return 0
