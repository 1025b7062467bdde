"""shell: IPython's InteractiveShell as a notebook kernel has it.

The class is called ZMQInteractiveShell, and says it is of ipykernel.zmqshell,
because that is how libraries recognise a notebook: tqdm, rich and alive_progress
compare the class name, pandas looks for "zmq" in str(type(shell)), pyvista for
a module that starts with "ipykernel.", newer tqdm for ipykernel.zmqshell among the
modules that are loaded. A terminal's name would give terminal output in notebooks.
The name also makes `c.ZMQInteractiveShell...` in a profile's configuration work.
"""

import ast
import os
import sys
import tempfile

from IPython.core import page, payloadpage
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.core.usage import default_banner
from traitlets import Any, CBool, Instance, Type, default

from .display import ZMQDisplayPublisher, ZMQShellDisplayHook
from .formatting import DisplayFormatter
from .packing import printable

_MURMUR_SEED = 0xC70F6907  # ipykernel's; a debugger finds cells by this hash


def murmur2(data, seed=_MURMUR_SEED):
    """MurmurHash2 of bytes, 32 bits."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = seed ^ len(data)
    whole = len(data) & ~3
    for k in memoryview(data[:whole]).cast("I"):
        k = k * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


class CellCompiler(CachingCompiler):
    """Names cells as ipykernel does: warnings show the name, numba and debuggers
    recognise cells by the `ipykernel_` in it."""

    shows_value = False  # what was compiled last is one expression to be shown

    def __call__(self, source, filename, symbol, *args, **kwargs):
        """Compiles one statement."""
        self.shows_value = symbol == "single" and isinstance(source.body[0], ast.Expr)
        return super().__call__(source, filename, symbol, *args, **kwargs)

    def get_code_name(self, raw_code, code, number):
        """The file name that the code of a cell is compiled with."""
        if name := os.environ.get("IPYKERNEL_CELL_NAME"):
            return name
        number = murmur2(raw_code.encode("utf-8", "surrogatepass"))
        return f"{tempfile.gettempdir()}/ipykernel_{os.getpid()}/{number}.py"


class ZMQInteractiveShell(InteractiveShell):
    """The shell that runs cells."""

    displayhook_class = Type(ZMQShellDisplayHook)
    display_pub_class = Type(ZMQDisplayPublisher)
    compiler_class = Type(CellCompiler)
    exiter = Instance(ZMQExitAutocall)
    autoindent = CBool(False)
    kernel = Any()
    parent_header = Any()

    keepkernel_on_exit = None
    _last_traceback = None
    _completer = None
    _prepared = (None, None)  # a cell and what it was transformed into
    concluded = False  # the end of the cell is answered before anything else runs
    _running = ()  # the code of run_code() and what runs inside it
    _judged = (None, None, False)  # that, autoawait, and whether it awaits

    @default("banner1")
    def _default_banner1(self):
        return default_banner

    @default("exiter")
    def _default_exiter(self):
        return ZMQExitAutocall(self)

    def init_environment(self):
        """What a notebook's children see of their terminal."""
        os.environ.update(
            TERM="xterm-color",
            CLICOLOR="1",
            FORCE_COLOR="1",
            CLICOLOR_FORCE="1",
            PAGER="cat",
            GIT_PAGER="cat",
        )

    def init_hooks(self):
        """Sends what would be paged to the client."""
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(payloadpage.page), 99)

    def init_virtualenv(self):
        """The interpreter is chosen by the image, not by VIRTUAL_ENV."""

    def init_display_formatter(self):
        """The formatters, quicker ones."""
        self.display_formatter = DisplayFormatter(parent=self)
        self.configurables.append(self.display_formatter)

    def init_display_pub(self):
        """Connects the publisher."""
        super().init_display_pub()
        self.display_pub.kernel = self.kernel

    def init_displayhook(self):
        """Connects the hook."""
        super().init_displayhook()
        self.displayhook.kernel = self.kernel

    def init_completer(self):
        """Left until somebody asks for it: it loads jedi, a third of our start."""

    @property
    def Completer(self):
        """The completer."""
        if self._completer is None:
            super().init_completer()
        return self._completer

    @Completer.setter
    def Completer(self, completer):
        self._completer = completer

    def init_magics(self):
        """Adds the magics that a kernel has of its own."""
        super().init_magics()
        from .magics import KernelMagics

        self.register_magics(KernelMagics)
        self.magics_manager.register_alias("ed", "edit")

    def enable_gui(self, gui=None):
        """There is no display in a sandbox; figures are inline. Raises
        UsageError for any GUI event loop but asyncio's, which runs anyway."""
        if gui not in (None, "asyncio", "inline", "none"):
            raise UsageError(f"GUI event loop {gui!r} is not available in a sandbox")
        self.active_eventloop = gui

    def ask_exit(self):
        """exit() and quit(): the kernel ends after the reply."""
        self.exit_now = not self.keepkernel_on_exit
        self.payload_manager.write_payload(
            {"source": "ask_exit", "keepkernel": self.keepkernel_on_exit}
        )

    def set_next_input(self, text, replace=False):
        """Asks the client to offer text as the next cell."""
        self.payload_manager.write_payload(
            {"source": "set_next_input", "text": text, "replace": replace}
        )

    def set_parent(self, parent):
        """Records the request that is being answered."""
        self.parent_header = parent
        self.displayhook.set_parent(parent)
        self.display_pub.set_parent(parent)

    def get_parent(self):
        """The request that is being answered."""
        return self.parent_header

    def run_cell(self, *args, **kwargs):
        """Forgets the traceback of the cell before."""
        self._last_traceback = None
        return super().run_cell(*args, **kwargs)

    def prepare(self, raw_cell):
        """transform_cell() whose result the next transform_cell() of the same text
        finds: run_cell() transforms what we had to look at before."""
        self._running = ()
        transformed = self.transform_cell(raw_cell)
        self._prepared = raw_cell, transformed
        return transformed

    def transform_cell(self, raw_cell):
        """As IPython's, once a cell."""
        (raw, transformed), self._prepared = self._prepared, (None, None)
        if raw is raw_cell and raw is not None:
            return transformed
        return super().transform_cell(raw_cell)

    def should_run_async(self, raw_cell, *, transformed_cell=None, **prepared):
        """Whether the cell awaits; False for one that cannot even be compiled
        (a docstring of surrogates, nesting too deep): running it says why."""
        clean = transformed_cell is not None and not any(prepared.values())
        judged, autoawait, verdict = self._judged
        if clean and transformed_cell is judged and autoawait == self.autoawait:
            return verdict
        try:
            verdict = super().should_run_async(
                raw_cell, transformed_cell=transformed_cell, **prepared
            )
        except Exception:
            verdict = False
        if clean:
            self._judged = transformed_cell, self.autoawait, verdict
        return verdict

    async def run_code(self, code_obj, result=None, *, async_=False):
        """Runs compiled code; an interrupt that came before it ends it here."""
        if self.kernel.interrupts.run():
            name = code_obj.co_filename
            code_obj, async_ = compile("raise KeyboardInterrupt", name, "exec"), False
        if self.kernel.link.queue:  # the value of a statement before this one
            self.kernel.link.drain()
        outer = self._running
        self._running = (*outer, code_obj)
        try:
            return await super().run_code(code_obj, result, async_=async_)
        finally:
            self._running = outer

    runcode = run_code

    def ends_by_showing(self, frame):
        """Whether nothing of the user runs behind a value that the code in frame
        shows: it is the value of a cell's last expression."""
        callbacks = self.events.callbacks
        return (
            self.concluded
            and self._running == (frame.f_code,)
            and self.compile.shows_value
            and not callbacks["post_execute"]
            and not callbacks["post_run_cell"]
        )

    def _showtraceback(self, etype, evalue, stb):
        sys.stdout.flush()
        sys.stderr.flush()
        # _render_traceback_() of a user's exception may return anything.
        lines = [stb] if isinstance(stb, str) else stb or []
        self._last_traceback = stb = [str(line) for line in lines]
        content = {
            "ename": etype.__name__,
            "evalue": printable(evalue),
            "traceback": stb,
        }
        self.kernel.publish_error(content)

    def system_piped(self, cmd):
        """`!cmd`: through a pseudo terminal, output shown as it comes. The exit
        status is left in `_exit_code`. Raises OSError for `cmd &`."""
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        from IPython.utils.process import system

        self.user_ns["_exit_code"] = system(self.var_expand(cmd, depth=1))

    system = system_piped


ZMQInteractiveShell.__module__ = "ipykernel.zmqshell"
sys.modules.setdefault("ipykernel.zmqshell", sys.modules[__name__])
InteractiveShellABC.register(ZMQInteractiveShell)
