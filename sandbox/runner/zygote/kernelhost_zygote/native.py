"""native: join.so, which makes the system calls. See its source."""

import ctypes
import mmap
import os
import sys

from kernelhost_runner import frame, orphan

_LIBRARY = os.path.join(os.path.dirname(os.path.dirname(__file__)), "join.so")
INIT_SOCKET = b"/.kernelhost/run/join.sock"  # KH_INIT_JOIN
RUNNER = b"/.kernelhost/runner/python"
_COLLAPSE = 25  # MADV_COLLAPSE, since Linux 6.1
_NORESERVE = 0x4000
_HUGE = 2 << 20
_ARENAS = 512 << 20  # bytes of addresses, of which what is used takes memory
_SMALL = 512  # bytes; what is larger Python leaves to the libc
_CHUNK = 64 << 10
_LARGE = 4096
_GET_TID_ADDRESS = 40  # PR_GET_TID_ADDRESS
JOINED = 32  # KH_JOINED_HELLO
KIND = b"python"
_STAT = (26, 27, 45, 46, 47, 28, 48, 49, 50, 51)  # fields of /proc/self/stat


class _Filter(ctypes.Structure):
    _fields_ = [("size", ctypes.c_ushort), ("code", ctypes.c_char_p)]


class _Map(ctypes.Structure):
    """struct prctl_mm_map."""

    _fields_ = [
        *[
            (name, ctypes.c_uint64)
            for name in (
                "start_code end_code start_data end_data start_brk brk start_stack"
                " arg_start arg_end env_start env_end auxv"
            ).split()
        ],
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    ]


class _Confine(ctypes.Structure):
    """struct kh_confine."""

    _fields_ = [
        ("pidfd", ctypes.c_int),
        ("talk", ctypes.c_int),
        ("rseq_size", ctypes.c_uint),
        ("rseq", ctypes.c_void_p),
        ("filter", ctypes.c_void_p * 2),
        ("map", ctypes.c_void_p),
        ("exe", ctypes.c_char_p),
        ("socket", ctypes.c_char_p),
        ("hello", ctypes.c_char_p),
        ("hello_size", ctypes.c_ulong),
        ("step", ctypes.c_char_p),
    ]


class _Arenas(ctypes.Structure):
    """struct kh_arenas."""

    _fields_ = [("next", ctypes.c_ulong), ("end", ctypes.c_ulong)]


class _Allocator(ctypes.Structure):
    """PyObjectArenaAllocator."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "alloc", "free")]


class _Heap(ctypes.Structure):
    """struct mallinfo2; spare is what lies behind all that is used."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks used free spare"
        ).split()
    ]


class Native:
    """The library and all that its calls need, made before the first fork."""

    def __init__(self, filters):
        """filters are the two seccomp programs, as bytes. Raises OSError when the
        library cannot be loaded."""
        self._library = ctypes.PyDLL(_LIBRARY)
        self._libc = ctypes.PyDLL(None)
        self._fork = ctypes.cast(self._libc.fork, ctypes.c_void_p)
        self._join = self._library.kh_join
        self._join.argtypes = [
            ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
        ]
        self._tid = self._find_tid()
        self._join.restype = ctypes.c_long
        self._confine = self._library.kh_confine
        self._confine.restype = ctypes.c_long
        self._part = self._library.kh_part
        self._part.restype = ctypes.c_long
        self._detach = self._library.kh_detach
        self._detach.argtypes = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_int]
        self._detach.restype = ctypes.c_long
        self._libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._arenas = None
        self._filters = [
            _Filter(len(program) // 8, bytes(program)) for program in filters
        ]
        self._plan = _Confine(exe=os.path.realpath("/proc/self/exe").encode())
        self._plan.socket = INIT_SOCKET
        hello = b"".join(frame.encode(JOINED, 0, 0, [KIND]))
        self._plan.hello, self._plan.hello_size = hello, len(hello)
        for i, program in enumerate(self._filters):
            self._plan.filter[i] = ctypes.addressof(program)
        self._find_rseq()
        self._hooks = [
            getattr(ctypes.pythonapi, f"PyOS_{name}")
            for name in ("BeforeFork", "AfterFork_Parent", "AfterFork_Child")
        ]
        for hook in self._hooks:
            hook.restype = None

    def _find_tid(self):
        """Where glibc keeps the number of this thread: the kernel clears it at the
        thread's end. None where it is another libc, or the kernel does not tell."""
        address = ctypes.c_void_p()
        if not hasattr(self._libc, "gnu_get_libc_version"):
            return None
        if self._libc.prctl(_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) < 0:
            return None
        value = ctypes.c_int.from_address(address.value).value if address.value else 0
        return address.value if value == os.getpid() else None

    def _find_rseq(self):
        """Where the kernel notes which processor this thread is on."""
        address, size = orphan.find_rseq(self._libc)
        if size:
            self._plan.rseq, self._plan.rseq_size = address, size

    def remember_layout(self):
        """Notes where the program's parts lie, for /proc/self/exe of children.
        After the mappings were detached: before, the kernel refuses the change."""
        with open("/proc/self/stat", "rb") as file:
            rest = file.read().rpartition(b") ")[2].split()
        values = [int(rest[field - 3]) for field in _STAT]
        brk = self._libc.sbrk
        brk.restype = ctypes.c_void_p
        layout = _Map(*values[:5], brk(ctypes.c_ssize_t(0)), *values[5:], 0, 0, 0)
        self._layout = layout
        self._rename(layout)
        self._plan.map = ctypes.addressof(layout)

    @staticmethod
    def _rename(layout):
        """What ps shows of the children: the runner's command line."""
        line = ctypes.string_at(layout.arg_start, layout.arg_end - layout.arg_start)
        name = os.fsencode(sys.orig_argv[0]) + b"\0" + RUNNER
        name = name.ljust(len(line), b"\0")
        if len(name) == len(line):
            ctypes.memmove(layout.arg_start, name, len(name))
            layout.arg_end = layout.arg_start + len(name.rstrip(b"\0")) + 1

    def gather_arenas(self):
        """Python's arenas lie together from now on, until release_arenas."""
        self._libc.mmap.restype = ctypes.c_void_p
        start = self._libc.mmap(
            None, ctypes.c_size_t(_ARENAS + _HUGE), mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE, -1, ctypes.c_long(0),
        )
        if start == ctypes.c_void_p(-1).value or start is None:
            return
        self._begin = begin = -(-start // _HUGE) * _HUGE
        self._arenas = _Arenas(begin, begin + _ARENAS)
        self._allocator = _Allocator()
        ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(self._allocator))
        ours = [
            ctypes.cast(getattr(self._library, f"kh_arena_{name}"), ctypes.c_void_p)
            for name in ("alloc", "free")
        ]
        allocator = _Allocator(ctypes.addressof(self._arenas), *ours)
        ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(allocator))

    def release_arenas(self):
        """Python's own allocator again. It frees an arena by munmap, as ours does, and
        so those that ours gave as well. Given back is what lies behind the last huge
        page that was begun."""
        if self._arenas is None:
            return
        ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(self._allocator))
        used = -(-self._arenas.next // _HUGE) * _HUGE
        if used < self._arenas.end:
            self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
            self._libc.munmap(used, self._arenas.end - used)

    def fill(self):
        """Takes what the allocators have free in memory that children share."""
        if self._arenas is not None:
            python = ctypes.pythonapi
            self._fill(python.PyObject_Malloc, python.PyObject_Free,
                       self._begin, self._arenas.next, _SMALL)
        # glibc merges what is free with the first large piece that is wanted: a child
        # would copy every page that has a small one.
        libc = self._libc
        if hasattr(libc, "mallinfo2"):
            libc.malloc.restype = ctypes.c_void_p
            libc.free.argtypes = [ctypes.c_void_p]
            libc.free(libc.malloc(ctypes.c_size_t(_LARGE)))
            libc.mallinfo2.restype = _Heap
            libc.sbrk.restype = ctypes.c_void_p
            end = libc.sbrk(ctypes.c_ssize_t(0)) - libc.mallinfo2().spare
            self._fill(libc.malloc, libc.free, 0, end, _CHUNK)

    def _fill(self, malloc, free, start, end, most):
        """kh_fill."""
        functions = (ctypes.cast(each, ctypes.c_void_p) for each in (malloc, free))
        self._library.kh_fill(*functions, *map(ctypes.c_ulong, (start, end, most)))

    def detach(self, start, size, protection):
        """kh_detach. Raises OSError."""
        code = self._detach(start, size, protection)
        if code < 0:
            raise OSError(-code, f"cannot detach a mapping: {os.strerror(-code)}")

    def collapse(self, start, size):
        """madvise(MADV_COLLAPSE); whether it went well."""
        return self._libc.madvise(start, ctypes.c_size_t(size), _COLLAPSE) == 0

    def join(self, pidfd, talk):
        """True in the new process; in the zygote False, once it is under way."""
        before, in_parent, in_child = self._hooks
        before()
        pid = self._join(pidfd, talk, self._tid, self._fork)
        if pid == 0:
            in_child()
            return True
        in_parent()
        if pid > 0:
            os.waitpid(pid, 0)
        return False

    def confine(self, pidfd, talk, meanwhile):
        """Gives up everything; calls meanwhile() while kernelhostd looks. Returns a
        descriptor to kernelhost-init. Raises OSError, after which the process must
        end."""
        plan = self._plan
        plan.pidfd, plan.talk = pidfd, talk
        init = self._stepped(self._confine(ctypes.byref(plan)))
        meanwhile()
        self._stepped(self._part(ctypes.byref(plan), init))
        return init

    def _stepped(self, code):
        if code < 0:
            step = self._plan.step.decode()
            raise OSError(-code, f"cannot {step}: {os.strerror(-code)}")
        return code
