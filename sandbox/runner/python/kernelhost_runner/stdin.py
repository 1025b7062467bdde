"""stdin: input() and getpass() of a cell ask the client that sent the cell.

The question is an input_request, published for the cell's request; the answer comes as
a control request, so that it is taken while the cell runs. What comes when nobody waits
is dropped. An interrupt ends the wait, and so does the end of the cell, for threads of
it that still ask.
"""

import builtins
import getpass
import threading
import warnings

from IPython.core.error import StdinNotImplementedError

from .display import flush

_REFUSAL = "{} was called, but this frontend does not support input requests."


class Stdin:
    """The questions of this process. One instance."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._turn = threading.Lock()
        self._question = None
        self._allowed = False
        self._saved = None

    def begin(self, allowed):
        """A cell begins. Puts our input() and getpass() in place."""
        self._allowed = allowed
        self._saved = builtins.input, getpass.getpass
        builtins.input, getpass.getpass = self._input, self._getpass

    def end(self):
        """It has ended. Puts back what was there before."""
        if self._saved:
            (builtins.input, getpass.getpass), self._saved = self._saved, None
        self._allowed = False
        self.answer(None)

    def answer(self, value):
        """The client has said so; None: it will not. Any thread."""
        question = self._question
        if question is not None:
            question.value = value
            question.event.set()

    def _input(self, prompt=""):
        """Forward raw_input to frontends"""
        if not self._may_ask():
            raise StdinNotImplementedError(_REFUSAL.format("raw_input"))
        return self._ask(prompt, False)

    def _getpass(self, prompt="", stream=None):
        """Forward getpass to frontends"""
        if stream is not None:
            warnings.warn(
                "The `stream` parameter of `getpass.getpass` will have no effect "
                "when using ipykernel",
                UserWarning,
                stacklevel=2,
            )
        if not self._may_ask():
            raise StdinNotImplementedError(_REFUSAL.format("getpass"))
        return self._ask(prompt, True)

    def _may_ask(self):
        origin = self._kernel.origin
        return self._allowed and origin.current() == origin.running

    def _ask(self, prompt, password):
        content = {"prompt": str(prompt), "password": password}
        with self._turn:
            question = _Question()
            try:
                self._question = question
                flush()
                self._kernel.publish("input_request", content)
                question.event.wait()
            except KeyboardInterrupt:
                raise KeyboardInterrupt("Interrupted by user") from None
            finally:
                self._question = None
        if question.value is None or question.value == "\x04":
            raise EOFError
        return question.value


class _Question:
    """One that waits for its answer."""

    def __init__(self):
        self.event = threading.Event()
        self.value = None
