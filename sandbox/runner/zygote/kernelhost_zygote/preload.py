"""preload: what all children find done: imports, the shell, one cell that ran.

After it the process has one thread, no descriptor of the runner's, and a shell
that looks as if nothing had ever run in it.
"""

import gc
import importlib
import linecache
import os
import sys

# Runs once, so that the first cell of a child finds code, caches and memory warm:
# a value, a table if pandas is there, an error with its traceback.
_WARM_UP = (
    "1 + 1",
    "print(end='')",
    "import sys\n"
    "if 'pandas' in sys.modules:\n"
    "    sys.modules['pandas'].DataFrame({'a': [1, 2]})._repr_html_()",
    "raise ValueError",
)


def import_all(names):
    """Imports the modules. One that the image does not have at all is left out;
    returns those. Raises whatever an import that was begun raises."""
    missing = []
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:
                raise
            missing.append(name)
    return missing


def build():
    """Makes the runner, its shell and all that does not belong to one kernel."""
    from kernelhost_runner.runner import Runner

    runner = Runner()
    runner.build()
    return runner


def warm_up(runner):
    """Runs cells, then makes the shell what it was before."""
    shell = runner.application.kernel.shell
    names = dict(shell.user_ns)
    for code in _WARM_UP:
        shell.run_cell(code, store_history=False)
    _forget(shell)
    for name in names.keys() - shell.user_ns.keys():
        shell.user_ns[name] = names[name]  # reset() takes the module's own as well
    runner.link.queue.clear()
    runner.kernel_info()
    if set(shell.user_ns) != set(names):
        changed = sorted(set(shell.user_ns) ^ set(names))
        raise RuntimeError(f"the warm-up cell left its trace: {changed}")


def _forget(shell):
    shell.reset(new_session=False)
    shell.execution_count = 1
    shell.displayhook.flush()
    for name in list(linecache.cache):
        if "ipykernel_" in name:
            del linecache.cache[name]
    shell.compile._filename_map.clear()
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    shell._last_traceback = None


def settle(control):
    """The heap that is there now is never looked at again by the collector, whose
    marks would copy its pages. Raises RuntimeError for threads, which would not
    be there in a child, and for descriptors, which would be closed there."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(
            f"the imports have started {threads - 1} threads (hint: leave the library "
            "that does it out of the preload list)"
        )
    fds = {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, control}
    left = [fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")]
    if left:
        raise RuntimeError("the imports have left descriptors open")
    gc.collect()
    gc.freeze()
