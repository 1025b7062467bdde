"""inbox: who reads what init sends, and who hears the alarm.

The main thread reads while it waits in its event loop: so a request is executed by
the thread that it woke. While the main thread runs code, a second thread reads, so
that control requests are answered and a shutdown is heard; that thread is also
woken by the alarm, for output whose time has come. Which of the two the kernel
wakes is a matter of one cheap system call before and after the main thread's wait.

A signal handler of the user may raise in the main thread anywhere. What was read is
kept in steps between which no handler runs, and the next turn goes on there.
"""

import contextlib
import os
import select
import selectors
import threading
import time

from .link import Ended


class Inbox:
    """Takes frames from the link to dispatch, in either thread."""

    def __init__(self, link, interrupts, dispatch):
        """dispatch(frame, here) takes a frame and says whether it is a request of
        the shell channel; here: the caller is the main thread."""
        self._link = link
        self._interrupts = interrupts
        self._dispatch = dispatch
        self._lock = threading.Lock()
        self._event = self._alarm = self._epoll = None
        self._deadline = 0.0
        self._listening = False
        self._torn = False  # the main thread was thrown out of take()

    def attach(self):
        """Once the link is attached: makes its own descriptors."""
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._alarm = _timer()
        self._epoll = select.epoll()
        self._epoll.register(self._link.fileno(), 0)
        for fd in (self._event, self._alarm):
            if fd is not None:
                self._epoll.register(fd, select.EPOLLIN)

    def wake(self):
        """Wakes the second thread."""
        os.eventfd_write(self._event, 1)

    def alarm(self, deadline):
        """Wakes the second thread at that time.monotonic(), or soon after an
        earlier one. Under the link's lock."""
        now = time.monotonic()
        if now < self._deadline <= deadline:
            return
        self._deadline = deadline
        if self._event is None:
            return
        if self._alarm is None:
            self.wake()
        else:
            left = max(1000, int((deadline - now) * 1e9))
            os.timerfd_settime_ns(self._alarm, initial=left)

    def hush(self):
        """There is nothing left to be woken for. Under the link's lock."""
        if self._deadline:
            self._deadline = 0.0
            if self._alarm is not None:
                os.timerfd_settime_ns(self._alarm, initial=0)

    def run(self, expire):
        """The second thread. expire() does what is due, and sets the next alarm.
        Raises link.Ended."""
        self.take(False)  # what came early
        self._listen(True)
        while True:
            for fd, _events in self._epoll.poll(self._timeout()):
                if fd == self._link.fileno():
                    self.take(False)
                else:
                    self._quench(fd)
            expire()
            self._link.drain()

    def main_waits(self, wait, timeout):
        """Waits in the main thread: returns wait(timeout), having read what came."""
        if self._torn:
            timeout = 0
        try:
            self._listen(timeout is not None and timeout <= 0)
            events = wait(timeout)
            self._take_here(events)
        finally:
            self._listen(True)
        return [event for event in events if event[0].fd != self._link.fileno()]

    def main_returns(self):
        """The main thread is about to wait: what comes next, it will read."""
        self._listen(False)

    def _take_here(self, events):
        if self._torn or any(key.fd == self._link.fileno() for key, _ in events):
            self._torn = True
            try:
                self.take(True)
            except Ended:
                os._exit(1)
            self._torn = False

    def take(self, here):
        """Reads, and dispatches all that is complete."""
        with self._lock:
            before = self._interrupts.reading(True)
            if not self._link.read() and not self._link.frames:
                self._interrupts.reading(before)
            elif self._link.frames:
                self._interrupts.arrived(self._deliver(here))

    def _deliver(self, here):
        # One that is delivered and not taken off yet is delivered again; whoever
        # gets it knows it by its identity.
        shell = False
        while self._link.frames:
            shell = self._dispatch(self._link.frames[0], here) or shell
            self._link.frames = self._link.frames[1:]
        return shell

    def _listen(self, wanted):
        """Whether the second thread is woken by frames."""
        if wanted == self._listening:
            return
        # If a handler raises in between: better to listen than to believe it.
        if not wanted:
            self._listening = False
        self._epoll.modify(self._link.fileno(), select.EPOLLIN if wanted else 0)
        if wanted:
            self._listening = True

    def _timeout(self):
        if self._alarm is not None or not self._deadline:
            return None
        return max(0.0, self._deadline - time.monotonic())

    @staticmethod
    def _quench(fd):
        try:
            os.read(fd, 8)
        except BlockingIOError:
            pass

    @contextlib.contextmanager
    def alone(self):
        """In the main thread: the link is the caller's. What it leaves in the link is
        taken in the next turn of the main loop."""
        with self._lock:
            try:
                yield
            finally:
                self._torn = True

    def descriptors(self):
        """Those of our own."""
        return {self._event, self._alarm, self._epoll.fileno()} - {None}

    def abandon(self):
        """In a forked child: what is open here is the parent's."""
        self._lock = threading.Lock()
        self._deadline = 0.0
        self._listening = self._torn = False
        for fd in (self._event, self._alarm):
            if fd is not None:
                os.close(fd)
        self._epoll.close()


def _timer():
    """A timer as a descriptor, or None before Python 3.13."""
    if not hasattr(os, "timerfd_create"):
        return None
    flags = os.TFD_CLOEXEC | os.TFD_NONBLOCK
    return os.timerfd_create(time.CLOCK_MONOTONIC, flags=flags)


class Selector(selectors.EpollSelector):
    """The main loop's, which reads for the inbox while it waits."""

    _inbox = None
    _fd = -1  # the link's, registered

    def attach(self, link, inbox):
        """From now on."""
        self._link = link
        self._inbox = inbox
        self._fd = link.fileno()
        self.register(self._fd, selectors.EVENT_READ)

    def renew(self):
        """In a forked child: watches the same with an epoll object of its own, but for
        the link."""
        self._inbox = None
        keys = [key for fd, key in self._fd_to_key.items() if fd != self._fd]
        self._fd_to_key.clear()
        self._selector.close()
        self._selector = select.epoll()
        for key in keys:
            try:
                self.register(key.fileobj, key.events, key.data)
            except (OSError, ValueError):
                continue  # what was there cannot be watched any more

    def select(self, timeout=None):
        """As any selector's."""
        if self._inbox is None or not self._link.open:
            return super().select(timeout)
        return self._inbox.main_waits(super().select, timeout)
