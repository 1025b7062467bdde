"""preload: what all children find done: imports, the shell, one cell that ran.

After it the process has one thread, no descriptor of the runner's, and a shell
that looks as if nothing had ever run in it.
"""

import contextvars
import gc
import importlib
import json
import linecache
import os
import sys

from kernelhost_runner import frame

from . import immortal

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
    """Serves requests that nobody hears the answers of, then makes all of it what it
    was before."""
    names = dict(_shell(runner).user_ns)
    _serve(runner, _WARM_UP)
    _forget(_shell(runner), names)
    runner.kernel_info()
    if set(_shell(runner).user_ns) != set(names):
        changed = sorted(set(_shell(runner).user_ns) ^ set(names))
        raise RuntimeError(f"the warm-up cell left its trace: {changed}")


def rehearse(runner):
    """The same in a child that has time, with one small cell: the pages that any cell
    changes are its own then."""
    shell = _shell(runner)
    names = dict(shell.user_ns)
    _serve(runner, _WARM_UP[:1])
    for name in shell.user_ns.keys() - names.keys():
        del shell.user_ns[name]
    shell.user_ns.update({name: names[name] for name in ("_", "__", "___")})
    shell.user_ns["_oh"].clear()
    _forget_code(shell)


def _shell(runner):
    return runner.application.kernel.shell


def _serve(runner, cells):
    from kernelhost_runner.interrupt import Interrupts
    from kernelhost_runner.link import Link
    from kernelhost_runner.serve import Server

    kernel = runner.application.kernel
    kernel.link, kernel.interrupts = Link(), Interrupts(lambda: False)
    try:
        server = Server(kernel, None, None, runner.flush, lambda: None)
        for number, code in enumerate(cells, 1):
            # What it sets for its context is not to stay.
            contextvars.copy_context().run(server.shell, _request(number, code))
    finally:
        kernel.link, kernel.interrupts = runner.link, runner.interrupts
        runner.interrupts.install()
        kernel.set_parent({})
        runner.origin.latest = runner.origin.running = 0


def _request(number, code):
    header = {"msg_id": f"warm-up-{number}", "msg_type": "execute_request"}
    content = {"code": code, "store_history": False, "allow_stdin": False}
    slices = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    return frame.Frame(frame.REQUEST, frame.REQUEST_EXECUTE, number, slices)


def _forget(shell, names):
    shell.reset(new_session=False)
    shell.execution_count = 1
    shell.displayhook.flush()
    for name in names.keys() - shell.user_ns.keys():
        shell.user_ns[name] = names[name]  # reset() takes the module's own as well
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    shell._last_traceback = None
    _forget_code(shell)


def _forget_code(shell):
    for name in list(shell.compile._filename_map):
        linecache.cache.pop(name, None)
    shell.compile._filename_map.clear()


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
    immortal.make_all()
    gc.collect()
    gc.freeze()
