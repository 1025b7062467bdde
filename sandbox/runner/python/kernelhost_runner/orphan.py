"""orphan: a copy of this process that is no child of it.

os.fork() would make one that os.wait() of the user's code waits for. kh_orphan of the
zygote's library (join.c) has the copy made by a process in between, which shares our
memory, so that nothing is copied twice, and ends at once.
"""

import ctypes
import errno
import os

_LIBRARY = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    "zygote",
    "join.so",
)


def find_rseq(libc):
    """Address and size of what glibc 2.35 and later register with the kernel for this
    thread; (None, 0) where there is none."""
    try:
        offset = ctypes.c_ssize_t.in_dll(libc, "__rseq_offset").value
        size = ctypes.c_uint.in_dll(libc, "__rseq_size").value
    except ValueError:
        return None, 0
    if not size:
        return None, 0
    libc.pthread_self.restype = ctypes.c_void_p
    # On x86-64 the thread pointer is what pthread_self returns.
    return libc.pthread_self() + offset, max(size, 32)


class _Orphan(ctypes.Structure):
    """struct kh_orphan."""

    _fields_ = [
        ("fork", ctypes.c_void_p),
        ("before", ctypes.c_void_p),
        ("in_parent", ctypes.c_void_p),
        ("in_child", ctypes.c_void_p),
        ("rseq", ctypes.c_void_p),
        ("rseq_size", ctypes.c_uint),
    ]


class Native:
    """The library and what its call needs, for the thread that makes this."""

    def __init__(self):
        """Raises OSError when the library cannot be loaded."""
        libc = ctypes.PyDLL(None)
        hooks = [
            getattr(ctypes.pythonapi, f"PyOS_{name}")
            for name in ("BeforeFork", "AfterFork_Parent", "AfterFork_Child")
        ]
        functions = [ctypes.cast(one, ctypes.c_void_p) for one in (libc.fork, *hooks)]
        self._plan = _Orphan(*functions, *find_rseq(libc))
        self._orphan = ctypes.PyDLL(_LIBRARY).kh_orphan
        self._orphan.argtypes = [ctypes.c_void_p]
        self._orphan.restype = ctypes.c_long

    def fork(self):
        """True in the copy, False here. Raises OSError."""
        pid = self._orphan(ctypes.addressof(self._plan))
        if pid == 0:
            return True
        if pid < 0 or os.waitpid(pid, 0)[1] != 0:
            raise OSError(-pid if pid < 0 else errno.EAGAIN, "no process could be made")
        return False
