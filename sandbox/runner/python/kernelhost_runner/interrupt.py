"""interrupt: what SIGINT means at which moment.

init sends SIGINT to our process group while a shell request runs; it may come
late. So the handler is ours for good, and decides:

    a cell runs, synchronous code      KeyboardInterrupt is raised right there
    a cell runs, waiting in an await   its task gets KeyboardInterrupt there
    a request has arrived, its         the cell is interrupted at its first
    code has not begun                 line
    nothing of that                    ignored
    the runner is sending a frame      decided when the frame is sent

KeyboardInterrupt never gets past a request: see execute and runner.
"""

import asyncio
import signal
import threading
import time

_EARLY = 1.0  # seconds that an interrupt may be ahead of the code it is meant for


class Interrupts:
    """The SIGINT state; also the shield that Link takes as a context manager.

    Made in the main thread. has_input() tells whether frames wait to be read.
    """

    def __init__(self, has_input):
        self._has_input = has_input
        self._main = threading.get_ident()
        self._handler = self._handle
        self._held = 0
        self._pending = False
        self._running = None
        self._expected = False
        self._early = 0.0

    def install(self):
        """Makes SIGINT ours, whatever a cell has made of it since."""
        if signal.getsignal(signal.SIGINT) is not self._handler:
            signal.signal(signal.SIGINT, self._handler)

    def arrived(self, shell_request):
        """Frames were read; whether a shell request is among them (inbox)."""
        if shell_request:
            self._expected = True
        elif not self._expected:
            self._early = 0.0

    def begin(self, target):
        """From now on SIGINT interrupts target (Code or Task below)."""
        self.install()
        self._held = 0
        self._pending = False
        self._running = target

    def end(self):
        """From now on SIGINT is nobody's, until the next request arrives."""
        self._running = None
        self._expected = False
        self._early = 0.0
        self.install()

    def take_early(self):
        """True, once, if SIGINT came just before the request's code began."""
        early, self._early = self._early, 0.0
        return bool(early) and time.monotonic() - early < _EARLY

    def __enter__(self):
        if threading.get_ident() == self._main:
            self._held += 1

    def __exit__(self, *_exc):
        if threading.get_ident() == self._main:
            self._held -= 1
            if self._pending and not self._held:
                self._pending = False
                self._deliver()

    def _handle(self, _signum, _stack):
        if self._held:
            self._pending = True
        else:
            self._deliver()

    def _deliver(self):
        if self._running is not None:
            delivered = self._running.interrupt()
        else:
            delivered = not (self._expected or self._has_input())
        if not delivered:
            self._early = time.monotonic()


class Code:
    """Synchronous code in the main thread, as a target."""

    def interrupt(self):
        """Called by the handler, on top of that code."""
        raise KeyboardInterrupt


class Task:
    """A coroutine run as a task of the main loop, as a target."""

    def __init__(self, loop):
        self._loop = loop
        self._task = None
        self._wanted = False

    def start(self, coroutine, context, done):
        """Starts the coroutine in the given context; done(task) is called when
        it has ended.

        An interrupt reaches it as KeyboardInterrupt at the point where it
        waits, as it would reach synchronous code; `except KeyboardInterrupt`
        in the cell would not see a CancelledError.
        """
        driven = self._drive(coroutine)
        self._task = asyncio.Task(driven, loop=self._loop, context=context)
        self._task.add_done_callback(done, context=context)

    def interrupt(self):
        """Called by the handler, maybe on top of some task's code. False if
        there is no task yet."""
        if self._task is None:
            return False
        current = asyncio.current_task(self._loop)
        if current is self._task:
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._cancel)
        if current is not None:
            # A task that the cell waits for, or one that hogs the loop.
            raise KeyboardInterrupt
        return True

    def _cancel(self):
        if not self._task.done():
            self._wanted = True
            self._task.cancel()

    async def _drive(self, coroutine):
        return await _Driven(self, coroutine)

    def take_wanted(self):
        """True, once, if the task was cancelled by an interrupt."""
        wanted, self._wanted = self._wanted, False
        if wanted:
            self._task.uncancel()
        return wanted


class _Driven:
    """Awaits a coroutine and turns the interrupt's cancellation into what it is."""

    def __init__(self, task, coroutine):
        self._task = task
        self._coroutine = coroutine

    def __await__(self):
        value = error = None
        while True:
            try:
                if error is None:
                    waited = self._coroutine.send(value)
                else:
                    waited = self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            value = error = None
            try:
                value = yield waited
            except BaseException as raised:
                error = raised
            if self._task.take_wanted():
                error = KeyboardInterrupt()
