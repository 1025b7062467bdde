"""zygote: the course of the process.

Messages of the socket to kernelhostd (SEQPACKET; sandbox/host/zygote.h):

    S  u32 u32, two seccomp programs of that many bytes, names to import, each
       ended by NUL                                                  once, first
    J  with two descriptors: a sandbox's PID 1 (pidfd), a socket that the child
       talks with                                                    any number
    R  ready; text: what was left out          |  to kernelhostd, once, one of
    F  failed; text: why                       |  them

The socket of a child: it sends H, is put into its cgroups, reads G, joins, sends R
when it is confined, is looked at, reads G, and closes. On failure it sends F with a
text, or only ends.
"""

import atexit
import os
import signal
import socket
import struct
import sys
import threading
import traceback

_MESSAGE_MAX = 192 * 1024


def main(fd):
    """Runs the zygote. Returns the exit status."""
    control = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    try:
        native, runner = _start(control.recv(_MESSAGE_MAX), fd)
    except BaseException as error:
        reason = "".join(traceback.format_exception_only(error)).strip()
        control.send(b"F" + reason.encode("utf-8", "replace")[-1000:])
        return 1
    control.send(b"R")
    return _serve(control, native, runner)


def _start(message, fd):
    from . import detach, preload
    from .claim import remember
    from .native import Native

    if message[:1] != b"S":
        raise ValueError("the first message must be S")
    sizes = struct.unpack_from("=II", message, 1)
    at = 9
    filters = []
    for size in sizes:
        filters.append(message[at : at + size])
        at += size
    names = message[at:].split(b"\0")[:-1]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    native = Native(filters)
    native.gather_arenas()
    runner = preload.build()
    built = set(sys.modules)
    preload.import_all([name.decode() for name in names])
    preload.warm_up(runner)
    remember(runner, built)
    detach.detach_all(native)
    native.remember_layout()
    preload.settle(fd)
    native.release_arenas()
    detach.collapse_all(native)
    native.fill()
    return native, runner


def _serve(control, native, runner):
    while True:
        data, fds, _flags, _address = socket.recv_fds(control, 1, 2)
        if not data:
            return 0  # kernelhostd is gone
        if data != b"J" or len(fds) != 2:
            return 1
        pidfd, talk = fds
        if native.join(pidfd, talk):
            control.detach()  # closed by confine
            return _become_runner(native, runner, pidfd, talk)
        os.close(pidfd)
        os.close(talk)


def _become_runner(native, runner, pidfd, talk):
    """The child. Returns the runner's exit status."""
    from . import claim

    try:
        init = native.confine(pidfd, talk, claim.prepare)
    except OSError as error:
        os.write(talk, b"F" + str(error).encode())
        os._exit(1)
    try:
        status = claim.wait(runner, init)
    except Exception:
        if not runner.link.open:  # sys.stderr is nobody's yet
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
            os._exit(1)
        raise
    _leave(runner, status)


def _leave(runner, status):
    """Ends as Python does, but for taking the modules apart, object by object: that
    is the longest part of a restart, and frees what goes with the process."""
    threading._shutdown()
    atexit._run_exitfuncs()
    runner.flush()
    os._exit(status)
