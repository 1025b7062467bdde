"""magics: those that work differently in a kernel than in a terminal."""

from pathlib import Path

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magics import ConfigMagics
from IPython.core.magics.code import CodeMagics, MacroToEdit
from IPython.display import Javascript, display
from IPython.utils import openpy


@magics_class
class KernelMagics(Magics):
    """Replacements that do not need a terminal."""

    @line_magic
    def edit(self, parameter_s="", last_call=None):
        """Asks the client to open a file or an object's source in its editor."""
        opts, args = self.parse_options(parameter_s, "prn:")
        try:
            name, line, _ = CodeMagics._find_edit_target(
                self.shell, args, opts, last_call or ["", ""]
            )
        except MacroToEdit:
            print("Macro editing not yet implemented in 2-process model.")
            return
        self.shell.payload_manager.write_payload(
            {
                "source": "edit_magic",
                "filename": str(Path(name).resolve()),
                "line_number": line,
            }
        )

    @line_magic
    def clear(self, _line):
        """Clears the terminal."""
        self.shell.system("clear")

    @line_magic
    def less(self, line):
        """Shows a file through the pager, Python files highlighted."""
        if not line:
            raise UsageError("Missing filename.")
        if line.endswith(".py"):
            source = openpy.read_py_file(line, skip_encoding_cookie=False)
            text = self.shell.pycolorize(source)
        else:
            text = Path(line).read_text()
        page.page(text)

    more = line_magic("more")(less)

    @line_magic
    def man(self, line):
        """Shows a manual page through the pager."""
        page.page(self.shell.getoutput(f"man {line} | col -b", split=False))

    @line_magic
    def config(self, line):
        """The completer is configurable, but made late: see shell."""
        if not line.strip() or "Completer" in line:
            _ = self.shell.Completer
        return ConfigMagics.config(self, line)

    config.__doc__ = ConfigMagics.config.__doc__

    @line_magic
    def connect_info(self, _line):
        """Says how other clients connect to this kernel."""
        print("On the host: kernelhost connect NAME, with this sandbox's name.")

    @line_magic
    def autosave(self, line):
        """Sets the autosave interval of the classic notebook, in seconds."""
        try:
            interval = int(line)
        except ValueError:
            raise UsageError(f"%autosave requires an integer, got {line!r}") from None
        code = f"IPython.notebook.set_autosave_interval({interval * 1000})"
        display(Javascript(code), include=["application/javascript"])
        if interval:
            print(f"Autosaving every {interval} seconds")
        else:
            print("Autosave disabled")
