"""interrupt: what SIGINT means at which moment.

init sends SIGINT to our process group while a shell request runs. It may come
when that request has just ended; it must never hit the next one.

    code of a cell runs            default_int_handler, as in ipykernel: raises
                                   KeyboardInterrupt there, and libraries (trio)
                                   find the handler they look for
    a cell waits in an await       its task gets KeyboardInterrupt there
    a request has come, its code   the cell is interrupted at its first line,
    has not begun                  unless the one before ended just now: then
                                   nobody can tell whose signal it is
    IPython prepares the cell      as before, and it is the cell's: IPython would
                                   swallow an exception in callbacks that run
                                   before a cell. A second one raises there
    nothing of that                ignored

The kernel hands the signals of a process to its main thread, which runs its
handlers before anything else. So a signal that was sent before a request is
seen before that request begins.
"""

import asyncio
import math
import signal
import time
from _signal import signal as set_handler  # signal.signal is three times slower

_SETTLED = 0.05  # seconds after which init must have seen DONE
_EARLY = 1.0  # seconds that an interrupt may be ahead of the code it is meant for


class Interrupts:
    """The SIGINT state. Made in the main thread.

    has_input() tells whether frames wait to be read.
    """

    def __init__(self, has_input):
        self._has_input = has_input
        self._code = None  # the handler of the cell, while it is not in place
        self._task = None  # what waits, if a cell awaits
        self._reading = False
        self._expected = False
        self._ended = 0.0
        self._early = 0.0
        self._preparing = False  # the cell has begun, its code has not

    def install(self):
        """Makes SIGINT ours."""
        set_handler(signal.SIGINT, self._handle)

    def reading(self, whether):
        """Bytes are taken from the socket; what they are is not known (inbox).
        Returns what was so before."""
        before, self._reading = self._reading, whether
        return before

    def arrived(self, shell_request):
        """Frames were read; whether a shell request is among them (inbox)."""
        if shell_request:
            self._expected = True
        elif not self._expected:
            self._early = 0.0
        self._reading = False

    def begin(self, task=None, preparing=False):
        """From now on SIGINT interrupts the code that follows; or that task,
        which calls enter and leave itself. preparing: until run() it only makes a
        note."""
        self._task = task
        self._preparing = preparing
        self._code = self._handle if preparing else signal.default_int_handler
        if task is None:
            self.enter()
        else:
            self.install()

    def end(self):
        """From now on SIGINT is nobody's, whatever handler the cell left."""
        self.install()
        self._task = None
        self._preparing = False
        self._expected = False
        self._early = 0.0
        self._ended = time.monotonic()

    def enter(self):
        """Code of the cell begins or goes on."""
        set_handler(signal.SIGINT, self._code)

    def leave(self):
        """The cell begins to wait. Its handler is kept."""
        self._code = set_handler(signal.SIGINT, self._handle)

    def run(self):
        """The code of the cell begins, or its next statement does. True if SIGINT
        came just before it began."""
        if self._preparing:
            self._code = signal.default_int_handler
            self.enter()
            self._preparing = False
        early, self._early = self._early, 0.0
        return bool(early) and time.monotonic() - early < _EARLY

    def _handle(self, _signum, _stack):
        now = time.monotonic()
        if self._preparing:
            if self._early:
                raise KeyboardInterrupt
            self._early = math.inf
        elif self._task is not None:
            if not self._task.interrupt():
                self._early = now
        elif now - self._ended >= _SETTLED and (
            # In the order in which a request moves on meanwhile.
            self._has_input() or self._reading or self._expected
        ):
            self._early = now


class Task:
    """A coroutine run as a task of the main loop."""

    def __init__(self, loop, interrupts):
        self._loop = loop
        self._interrupts = interrupts
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
        """Called by the handler while the cell waits. False if it has not
        begun yet."""
        if self._task is None:
            return False
        self._loop.call_soon_threadsafe(self._cancel)
        if asyncio.current_task(self._loop) is not None:
            # A task that the cell waits for, or one that hogs the loop.
            raise KeyboardInterrupt
        return True

    def _cancel(self):
        if not self._task.done():
            self._wanted = True
            self._task.cancel()

    async def _drive(self, coroutine):
        return await _Driven(self, coroutine, self._interrupts)

    def take_wanted(self):
        """True, once, if the task was cancelled by an interrupt."""
        wanted, self._wanted = self._wanted, False
        if wanted:
            self._task.uncancel()
        return wanted


class _Driven:
    """Awaits a coroutine and turns the interrupt's cancellation into what it is."""

    def __init__(self, task, coroutine, interrupts):
        self._task = task
        self._coroutine = coroutine
        self._interrupts = interrupts

    def __await__(self):
        value = error = None
        while True:
            try:
                self._interrupts.enter()
                if error is None:
                    waited = self._coroutine.send(value)
                else:
                    waited = self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self._interrupts.leave()
            value = error = None
            try:
                value = yield waited
            except BaseException as raised:
                # Without our frame: the user's traceback is to show none of it.
                error = raised.with_traceback(raised.__traceback__.tb_next)
            if self._task.take_wanted():
                error = KeyboardInterrupt()
