"""app: IPython's application and the object behind get_ipython().kernel.

The application reads the profile in HOME (ipython_config.py and
ipython_kernel_config.py) and runs its startup files. It is called IPKernelApp
because its name is the section of those files, and because tqdm and others ask
whether "IPKernelApp" is in get_ipython().config to learn that they are in a
notebook.

Input history is kept in memory: no thread, no file that two kernels of a
sandbox would fight over. `c.HistoryManager.hist_file` in a profile changes it.
"""

import os
import tempfile

from IPython.core.application import BaseIPythonApplication
from IPython.core.shellapp import InteractiveShellApp
from traitlets import Any, Instance
from traitlets.config import Config
from traitlets.config.configurable import SingletonConfigurable

from . import comms, frame
from .packing import pack
from .shell import ZMQInteractiveShell
from .stdin import Stdin

_TEXT_MAX = 100_000  # characters kept of each text of an error that was too large


class IPythonKernel(SingletonConfigurable):
    """What the shell, its display classes and libraries need of a kernel."""

    shell = Instance(ZMQInteractiveShell, allow_none=True)
    link = Any()
    origin = Any()
    interrupts = Any()
    checkpoints = Any()
    comm_manager = Any()
    stdin = Any()
    eventloop = None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.comm_manager = comms.install(self)
        self.stdin = Stdin(self)

    @property
    def execution_count(self):
        """The count that the next cell gets."""
        return self.shell.execution_count

    def get_parent(self, channel=None):
        """The request that output of the caller belongs to, as a message dict."""
        return self.origin.message()

    def set_parent(self, parent):
        """Begins to answer a shell request."""
        self.origin.tell(parent)
        self.shell.set_parent(parent)

    def message(self, msg_type, content):
        """A message as the hooks of display_pub know it."""
        return {
            "header": {"msg_type": msg_type},
            "msg_type": msg_type,
            "parent_header": self.get_parent().get("header", {}),
            "metadata": {},
            "content": content,
        }

    def publish(self, msg_type, content, metadata=None, buffers=(), with_reply=False):
        """Publishes for the request that the caller belongs to; with_reply: it may
        wait for the reply, which follows at once. Raises frame.MessageTooLarge, or
        what packing.pack raises."""
        if len(buffers) > frame.BUFFERS_MAX:
            raise frame.MessageTooLarge(
                f"{msg_type}: {len(buffers)} buffers are over the limit of "
                f"{frame.BUFFERS_MAX} buffers"
            )
        parts = [msg_type.encode(), pack(metadata or {}), pack(content), *buffers]
        try:
            item = self.link.frame(frame.PUBLISH, self.origin.current(), 0, parts)
        except frame.MessageTooLarge as error:
            raise frame.MessageTooLarge(f"{msg_type}: {error}") from None
        self.link.queue.append(item)
        if not with_reply:
            self.link.drain()

    def publish_error(self, content):
        """Publishes an error, shortened if it would not fit."""
        try:
            self.publish("error", content)
        except frame.MessageTooLarge:
            self.publish("error", shortened(content))

    def do_shutdown(self, restart=False):
        """Ends the kernel after the cell. For cells that call
        `IPython.Application.instance().kernel.do_shutdown(True)`."""
        self.shell.exit_now = True
        return {"status": "ok", "restart": restart}


def shortened(content):
    """An error's content with every text cut to a length that fits."""

    def cut(text):
        if len(text) <= _TEXT_MAX:
            return text
        return (
            f"{text[:_TEXT_MAX]}\n[{len(text) - _TEXT_MAX} characters left out: "
            f"a message is limited to {frame.FRAME_MAX} bytes]"
        )

    traceback = [cut(text) for text in content["traceback"][-50:]]
    return content | {"evalue": cut(content["evalue"]), "traceback": traceback}


class IPKernelApp(BaseIPythonApplication, InteractiveShellApp):
    """The profile, the shell and its startup code."""

    name = "ipython-kernel"
    kernel = Instance(IPythonKernel, allow_none=True)

    def initialize(self, argv=None, **parts):
        """Builds kernel and shell. parts are the kernel's link, origin,
        interrupts and checkpoints. argv is not looked at."""
        self.config = Config(
            IPKernelApp=Config(auto_create=True),
            HistoryManager=Config(hist_file=":memory:"),
        )
        self.init_profile()
        self.init_config_files()
        self.load_config_file()
        self.init_kernel(parts)
        self.init_path()
        self.init_shell()
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()

    def init_profile(self):
        """Finds or makes the profile. A home that is full or not writable must
        not keep a kernel from starting: then the profile is a temporary one."""
        for place in (None, tempfile.gettempdir(), "/dev/shm"):
            if place:
                try:
                    self.ipython_dir = tempfile.mkdtemp(prefix="ipython-", dir=place)
                except OSError:
                    continue
            self._in_init_profile_dir = False
            try:
                self.init_profile_dir()
            except (Exception, SystemExit):
                continue
            return
        raise OSError("no directory for IPython's profile (hint: the disk is full)")

    def init_kernel(self, parts):
        """Makes the kernel object and its shell."""
        self.kernel = IPythonKernel.instance(parent=self, **parts)
        self.kernel.shell = ZMQInteractiveShell.instance(
            parent=self.kernel,
            kernel=self.kernel,
            ipython_dir=self.ipython_dir,
            profile_dir=self.profile_dir,
        )
        if name := os.environ.get("JPY_SESSION_NAME"):
            self.kernel.shell.user_ns["__session__"] = name

    def init_shell(self):
        """Takes over the kernel's shell."""
        self.shell = self.kernel.shell
        self.shell.configurables.append(self)

    def init_pdb(self):
        """Makes `import pdb; pdb.set_trace()` IPython's, as breakpoint() is."""
        import pdb

        from IPython.core import debugger

        if hasattr(debugger, "InterruptiblePdb"):
            debugger.Pdb = debugger.InterruptiblePdb
            pdb.Pdb = debugger.Pdb
            pdb.set_trace = debugger.set_trace
