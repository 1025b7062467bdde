"""checkpoint: copies of this process that wait until it is to be as it was.

Making one is a request of the shell channel: it comes between cells, and it is done
between two runs of the main loop, so that no code of the user is under way. The copy
lets go of everything that leads to init or to the world, says hello to init over a
connection of its own and waits. To thaw it, init sends the descriptors of a runner: it
then goes on where it was made, with another connection, process id and inbox thread.
So that one can be returned to more than once, a copy makes a copy when init says so.
The table of the frames is protocol/link/runner.h (KH_FROZEN_*).

A fork takes one thread along. Those of ours are started again; for any other thread a
checkpoint is refused. Whether there is one is looked at after the fork: libraries that
hear of forks (OpenBLAS) end their threads for them.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback

from . import frame, packing
from .descriptors import LOST_MAX, Held, identity
from .orphan import Native

HELLO, COPY, THAW = 34, 35, 36  # KH_FROZEN_*
_LABEL_MAX = 64  # characters
_ABOUT_MAX = 16 * 1024  # bytes: KH_CHECKPOINT_ABOUT
_PATIENCE = 20  # looks at threads that may be about to end
_PAUSE = 0.001  # seconds between them
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Refused(Exception):
    """No checkpoint can be made; the text says why, and the cure."""


class Checkpoints:
    """Makes them. One instance, in the main thread."""

    def __init__(self, runner):
        self._runner = runner
        self._native = None
        self._wanted = None
        self.about = None  # of the checkpoint that this process was

    def want(self, content, answer):
        """Once the main loop has stopped one is to be made; answer(content) then."""
        self._wanted = content, answer
        self._runner.loop.stop()

    def returned(self):
        """In a copy that is the runner: what it says to the one who wanted it."""
        about = self.about
        return {
            "status": "ok",
            "execution_count": about["execution_count"],
            "about": about,
        }

    @property
    def wanted(self):
        """Whether one is to be made."""
        return self._wanted is not None

    def make(self):
        """Makes the one that is wanted. Returns here once, or, for the copy, when it
        was thawed."""
        content, answer = self._wanted
        self._wanted = None
        try:
            answer(self._make(content))
        except _Thawed:
            pass
        except Exception as error:
            answer(
                {
                    "status": "error",
                    "ename": "CheckpointRefused",
                    "evalue": packing.printable(error),
                    "traceback": [],
                }
            )

    def _make(self, content):
        _refuse_threads()
        runner = self._runner
        self._native = self._native or Native()
        runner.flush()
        with runner.inbox.alone():
            answer, fd = runner.link.ask(frame.FORKS, frame.FORK)
            if fd is None:
                raise Refused("init has no connection for it (hint: try again)")
            with socket.socket(fileno=fd) as init:
                return self._fork(init, answer, content)

    def _fork(self, init, answer, content):
        runner = self._runner
        ours = {init.fileno(), *runner.descriptors()}
        outputs = {identity(fd): stream for stream, fd in runner.link.pipes.items()}
        held = Held(ours, outputs, runner.renewed())
        held.note_memory()
        held.note_processes()
        about = {
            "label": str(content.get("label") or "")[:_LABEL_MAX],
            "created": time.time(),
            "execution_count": runner.shell.execution_count - 1,
        }
        copy = _Copy(runner, self._native, held, _pack(about, held))
        try:
            copy.make(init, lambda: _other_threads(runner.threads()))
        except _Thawed:
            self.about = about
            raise
        except OSError as error:
            raise Refused(
                f"{error.strerror or error} (hint: processes and memory of the sandbox "
                "are limited)"
            ) from None
        dropped = int.from_bytes(answer.slices[0], "little")
        return {
            "status": "ok",
            "id": answer.id,
            "about": about,
            "dropped": dropped or None,
        }


def _pack(about, held):
    """about with as much of what is lost as has room, packed."""
    for count in range(LOST_MAX, -1, -5):
        about["lost"] = held.told(count)
        packed = packing.pack(about)
        if len(packed) <= _ABOUT_MAX:
            break
    return packed


class _Thawed(Exception):
    """Raised in the copy, to where the copy was made."""


class _Copy:
    """What a copy needs to be the runner, made before the fork."""

    def __init__(self, runner, native, held, about):
        self._runner = runner
        self._native = native
        self._held = held
        self._about = about
        self._timers = [signal.getitimer(which) for which in _TIMERS]
        # The module seeds itself anew in every child.
        self._random = "random" in sys.modules and sys.modules["random"].getstate()

    def make(self, init, others):
        """Makes one that waits for init's word over that socket. others() names the
        threads that it would lack. Raises OSError or Refused; and _Thawed in the copy,
        when it is the runner."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            maker = self._fork(others)
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        if maker is None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return
        try:
            self._held.close()
            name = _rename(b"checkpoint")
            self._report(init, maker)
            fds = self._wait(init)
            _rename(name)
            self._thaw(fds)
            while signal.sigtimedwait(signal.valid_signals(), 0):
                continue  # they were for nobody
        except BaseException:
            with contextlib.suppress(OSError):
                os.write(2, traceback.format_exc().encode("utf-8", "replace"))
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise _Thawed

    def _fork(self, others):
        """In the copy the socket to who made it, which waits for _report; else None,
        after that."""
        ours, theirs = socket.socketpair()
        with ours:
            try:
                copied = self._native.fork()
            except OSError:
                theirs.close()
                raise
            if copied:
                ours.close()
                if theirs.recv(1) != b"G":
                    os._exit(0)
                os.setsid()
                return theirs
            theirs.close()
            if names := others():
                raise Refused(_too_many(names))
            ours.send(b"G")
            if ours.recv(1) != b"K":
                raise OSError("the copy has ended")
        return None

    def _report(self, init, maker):
        init.sendall(b"".join(frame.encode(HELLO, 0, 0, [self._about])))
        maker.send(b"K")
        maker.close()

    def _wait(self, init):
        """Until init wants it to be the runner: returns the descriptors."""
        while True:
            kind, fds = _receive(init)
            if kind == THAW:
                init.close()
                return fds
            other = socket.socket(fileno=fds[0])
            try:
                maker = self._fork(list)
            except OSError:
                maker = None  # init sees its socket close
            if maker is None:
                other.close()
                continue
            init.close()
            init = other
            self._report(init, maker)

    def _thaw(self, fds):
        out, err, sock = fds
        self._held.restore({frame.STDOUT: out, frame.STDERR: err})
        if self._random:
            sys.modules["random"].setstate(self._random)
        for which, (left, interval) in zip(_TIMERS, self._timers, strict=True):
            if left:
                signal.setitimer(which, left, interval)
        self._runner.thaw(sock, out, err)
        os.close(out)
        os.close(err)


def _rename(name):
    """What ps and top call this process. Returns what it was."""
    with (
        contextlib.suppress(OSError),
        open("/proc/self/comm", "r+b", buffering=0) as file,
    ):
        was = file.read().strip()
        file.write(name)
        return was
    return b"python3"


def _receive(init):
    """The type of a frame and the descriptors that came with it."""
    data, fds, _flags, _address = socket.recv_fds(init, 1024, 3)
    if not data:
        os._exit(0)
    for fd in fds:
        os.set_inheritable(fd, False)
    decoder = frame.Decoder()
    decoder.chunks.append(data)
    decoder.decode()
    return decoder.frames[0].type, fds


def _refuse_threads():
    """Those that Python knows of; they have names."""
    names = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
    ]
    if names:
        raise Refused(_too_many(names))


def _other_threads(ours):
    """The names of the threads that are left but for those in ours."""
    for _ in range(_PATIENCE):
        names = []
        for tid in os.listdir("/proc/self/task"):
            if int(tid) not in ours:
                try:
                    with open(f"/proc/self/task/{tid}/comm", encoding="utf-8") as file:
                        names.append(file.read().strip())
                except (OSError, ValueError):
                    continue  # it has ended
        if not names:
            break
        time.sleep(_PAUSE)
    return names


def _too_many(names):
    what = ", ".join(repr(name) for name in names[:8])
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (
        f"the kernel has {len(names)} other thread{'s' * (len(names) > 1)}: "
        f"{what[:400]}{more} (hint: kernelhost checkpoint NAME --files takes the whole "
        "sandbox, threads and all; or end what started them - executor.shutdown(), "
        "thread.join())"
    )
