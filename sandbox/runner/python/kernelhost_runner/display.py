"""display: what a cell shows, as messages.

The class names and the methods beyond IPython's own (register_hook, set_parent)
are ipykernel's, because libraries use them.
"""

import sys
import threading

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from traitlets import Any

from .packing import bundle


def flush():
    """Brings what was printed on its way, before what is shown next."""
    sys.stdout.flush()
    sys.stderr.flush()


class ZMQShellDisplayHook(DisplayHook):
    """Publishes the value of a cell as execute_result."""

    kernel = Any()

    _content = None

    def set_parent(self, parent):
        """ipykernel's; the origin of output is known by other means here."""

    def start_displayhook(self):
        """Begins the message."""
        self._content = {"data": {}, "metadata": {}}

    def write_output_prompt(self):
        """The count takes the place of the prompt."""
        self._content["execution_count"] = self.prompt_count

    def write_format_data(self, format_dict, md_dict=None):
        """The representations."""
        self._content["data"] = bundle(format_dict)
        self._content["metadata"] = md_dict or {}

    def finish_displayhook(self):
        """Sends the message, unless there is nothing to show."""
        flush()
        content, self._content = self._content, None
        if content and content["data"]:
            # Frame 1 is IPython's __call__, 2 the code that showed something.
            last = self.shell.ends_by_showing(sys._getframe(2))
            self.kernel.publish("execute_result", content, with_reply=last)


class ZMQDisplayPublisher(DisplayPublisher):
    """Publishes display_data, update_display_data and clear_output."""

    kernel = Any()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._local = threading.local()

    @property
    def parent_header(self):
        """The header of the request that is being answered."""
        return self.kernel.get_parent().get("header", {})

    def set_parent(self, parent):
        """ipykernel's; the origin of output is known by other means here."""

    def publish(self, data, metadata=None, transient=None, update=False, **_kwargs):
        """Publishes a MIME bundle. Raises frame.MessageTooLarge, or what
        packing.pack raises, in the code that displays."""
        flush()
        metadata = {} if metadata is None else metadata
        transient = {} if transient is None else transient
        self._validate_data(data, metadata)
        if "display_id" in transient:
            transient = transient | {"display_id": str(transient["display_id"])}
        content = {"data": bundle(data), "metadata": metadata, "transient": transient}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait=False):
        """Clears the output of the cell, at once or when the next one comes."""
        flush()
        self._send("clear_output", {"wait": bool(wait)})

    def _send(self, msg_type, content):
        msg = None
        for hook in self._hooks:
            msg = hook(msg or self.kernel.message(msg_type, content))
            if msg is None:
                return
        if msg is not None:
            msg_type, content = msg["header"]["msg_type"], msg["content"]
        self.kernel.publish(msg_type, content)

    @property
    def _hooks(self):
        if not hasattr(self._local, "hooks"):
            self._local.hooks = []
        return self._local.hooks

    def register_hook(self, hook):
        """Lets hook(msg) change this thread's messages, or return None to
        keep one from being sent."""
        self._hooks.append(hook)

    def unregister_hook(self, hook):
        """Undoes register_hook; False if it was not registered."""
        if hook not in self._hooks:
            return False
        self._hooks.remove(hook)
        return True
