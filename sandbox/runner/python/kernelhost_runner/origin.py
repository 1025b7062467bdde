"""origin: which request a piece of output belongs to.

A context variable says it: a cell sets it, tasks and callbacks inherit it from
asyncio, and threads from the thread that started them. So what a cell of a
minute ago still prints goes to that cell, also while another one runs. A
thread that Python did not start (a C library's) knows nothing; its output
belongs to the latest cell.
"""

import contextvars
import functools
import threading

_request = contextvars.ContextVar("kernelhost_request", default=None)
_message = contextvars.ContextVar("kernelhost_message", default=None)


class Origin:
    """The request ids of this process. One instance."""

    def __init__(self):
        self.latest = 0  # the shell request that was begun last
        self.running = 0  # the shell request whose code runs now, 0 if none
        self.get = _request.get  # None where nothing was inherited
        self._message = {}  # of the latest

    def current(self):
        """The id that output of the calling thread or task belongs to."""
        ident = _request.get()
        return self.latest if ident is None else ident

    def begin(self, ident):
        """From now on output of this context belongs to request ident."""
        self.latest = ident
        _request.set(ident)

    def tell(self, message):
        """What the request that was begun says."""
        self._message = message
        _message.set(message)

    def message(self):
        """What the request says that output of the calling thread or task belongs
        to."""
        message = _message.get()
        return self._message if message is None else message


def inherit_in_threads():
    """Makes threading.Thread pass the origin on, from start() to run()."""
    start, bootstrap = threading.Thread.start, threading.Thread._bootstrap_inner

    @functools.wraps(start)
    def start_with_origin(self):
        self._kernelhost_request = _request.get(), _message.get()
        return start(self)

    @functools.wraps(bootstrap)
    def bootstrap_with_origin(self):
        request, message = self.__dict__.pop("_kernelhost_request", (None, None))
        _request.set(request)
        _message.set(message)
        return bootstrap(self)

    threading.Thread.start = start_with_origin
    threading.Thread._bootstrap_inner = bootstrap_with_origin
