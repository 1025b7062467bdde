"""serve: one request after the other, each answered with REPLY and DONE."""

import json
import sys
import traceback

from . import frame, packing, requests
from .execute import Executor, fitting


class Request:
    """A REQUEST frame, its JSON parsed. Raises ValueError when it is not what
    init should have sent."""

    def __init__(self, received):
        self.id = received.id
        self.flags = received.flags
        header, parent, metadata, content, *buffers = received.slices
        self.buffers = [memoryview(buffer) for buffer in buffers]
        self.header = json.loads(header)
        self.parent_header = json.loads(parent)
        self.metadata = json.loads(metadata)
        self.content = json.loads(content)
        self.type = str(self.header.get("msg_type"))

    def as_message(self):
        """As ipykernel's get_parent() shows it to libraries."""
        return {
            "header": self.header,
            "msg_id": self.header.get("msg_id"),
            "msg_type": self.type,
            "parent_header": self.parent_header,
            "metadata": self.metadata,
            "content": self.content,
            "buffers": self.buffers,
        }


class Server:
    """Answers requests: shell() in the main loop, control() in the inbox thread."""

    def __init__(self, kernel, loop, context, flush, returns):
        """flush() brings all output of this process on its way; returns() is told
        when the main thread is through with a request."""
        self._kernel = kernel
        self._link = kernel.link
        self._loop = loop
        self._flush = flush
        self._returns = returns
        self.executor = Executor(kernel, loop, context)
        self._last = None
        self.ending = False  # set when no further request is to be served

    def shell(self, received):
        """Begins a request. Returns at once for a cell that awaits."""
        if received is self._last:  # delivered twice (inbox)
            return
        self._last = received
        self._kernel.origin.begin(received.id)
        request = None
        try:
            request = Request(received)
            self._kernel.set_parent(request.as_message())
            if request.type == "execute_request":
                self.executor.execute(
                    request,
                    lambda content, metadata: self._end(request, content, metadata),
                )
                return
            if request.type == "checkpoint_request":
                self._kernel.checkpoints.want(
                    request.content, lambda content: self._end(request, content, None)
                )
                return
            content = self._ask(request)
        except Exception:
            self._complain()
            content = None
        self._end(request, content, None, received.id)

    def control(self, received):
        """Answers a request of the control channel. False if it has to wait for
        its turn in the main loop."""
        items = []
        try:
            request = Request(received)
            handler = requests.HANDLERS.get(request.type)
            if handler is not None:
                if request.type not in requests.ANYTIME:
                    return False
                content = handler(self._kernel, request.content)
                if content is not None:
                    items.append(self._reply(request, content, {}))
        except Exception:
            self._complain()
        items.append(self._link.frame(frame.DONE, received.id))
        self._link.queue.extend(items)
        self._link.drain()
        return True

    def _ask(self, request):
        handler = requests.HANDLERS.get(request.type)
        if handler is None:
            return None
        interrupts = self._kernel.interrupts
        try:
            interrupts.begin()
            return handler(self._kernel, request.content)
        except BaseException as error:
            interrupts.end()
            if not request.type.endswith("_request"):
                self._complain()  # of a callback: an interrupt, SystemExit
                return None
            if not isinstance(error, KeyboardInterrupt):
                raise
            return {"status": "error", "ename": type(error).__name__, "evalue": ""} | {
                "traceback": []
            }
        finally:
            interrupts.end()

    def _end(self, request, content, metadata, ident=None):
        self._flush()
        items = []
        if content is not None:
            items.append(self._reply(request, content, metadata or {}))
        # After exit() there is no DONE: the request ends when this process has, so
        # that a client which waits for idle does not send its next cell to us.
        if not self._kernel.shell.exit_now:
            items.append(self._link.frame(frame.DONE, request.id if request else ident))
        self._link.queue.extend(items)
        self.executor.forget()
        self._returns()
        self._link.drain()
        if self.ending or self._kernel.shell.exit_now:
            self.stop()

    def stop(self):
        """Ends the main loop, once no cell runs any more."""
        self.ending = True
        if not self.executor.busy:
            self._loop.stop()

    def _reply(self, request, content, metadata):
        """The REPLY frame, made to fit if need be."""
        flags = frame.REPLY_ERROR if content.get("status") == "error" else 0
        name = requests.reply_type(request.type).encode()

        def make(content):
            parts = [name, packing.pack(metadata), packing.pack(content)]
            return self._link.frame(frame.REPLY, request.id, flags, parts)

        try:
            return make(content)
        except (ValueError, TypeError):
            return make(fitting(content))

    @staticmethod
    def _complain():
        """A defect of ours, or a request that init should not have let pass."""
        traceback.print_exc(file=sys.__stderr__)
