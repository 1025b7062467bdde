"""inside: what probes import. It is sent with the text of the probe to a python3 in
the sandbox (probe.py), so it needs nothing but the standard library.

A probe makes attempts. Each runs in a child of its own, for it may be killed or
hang, and is printed as one JSON line:

    {"row": "S3", "name": "keyctl", "attempted": true, "result": "EPERM"}

`result` is OK, the name of an errno, of a signal, TIMEOUT, or what the attempt
returned as text. `attempted` is false when it never came to the call.
"""

import ctypes
import errno
import json
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_keep = []

SYS = dict(
    ptrace=101, syslog=103, personality=135, modify_ldt=154, pivot_root=155,
    prctl=157, chroot=161, mount=165, umount2=166, swapon=167, swapoff=168,
    sethostname=170, setdomainname=171, init_module=175, delete_module=176,
    quotactl=179, kexec_load=246, add_key=248, request_key=249, keyctl=250,
    migrate_pages=256, mknodat=259, unshare=272, move_pages=279,
    perf_event_open=298, fanotify_init=300, name_to_handle_at=303,
    open_by_handle_at=304, setns=308, process_vm_readv=310, kcmp=312,
    finit_module=313, seccomp=317, kexec_file_load=320, bpf=321, userfaultfd=323,
    clone=56, io_uring_setup=425, io_uring_enter=426, io_uring_register=427,
    open_tree=428, move_mount=429, fsopen=430, fsconfig=431, fsmount=432,
    fspick=433, pidfd_open=434, clone3=435, pidfd_getfd=438, process_madvise=440,
    mount_setattr=442, quotactl_fd=443, memfd_secret=447, statmount=457,
    listmount=458,
)


def address(data):
    """The address of bytes (and a NUL) that live as long as the probe."""
    buffer = ctypes.create_string_buffer(bytes(data))
    _keep.append(buffer)
    return ctypes.addressof(buffer)


def call(number, *args):
    """A raw system call with all 64 bits of each argument; raises OSError."""
    if isinstance(number, str):
        number = SYS[number]
    words = [address(a) if isinstance(a, (bytes, bytearray)) else a for a in args]
    result = _libc.syscall(
        ctypes.c_long(number), *[ctypes.c_ulong(w & (1 << 64) - 1) for w in words]
    )
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result


def _child(function, pipe, seconds):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    os.write(pipe, b"@")
    try:
        value = function()
        result = value if isinstance(value, str) else "OK"
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error.errno))
    except BaseException as error:
        result = f"{type(error).__name__}: {error}"
    os.write(pipe, result.encode()[:4000] + b"\0")
    os._exit(0)


def run(function, seconds=5):
    """Runs it in a child; returns whether it began, and its result."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(function, writer, seconds)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    os.set_blocking(reader, False)
    try:
        text = os.read(reader, 5000)
    except BlockingIOError:
        text = b""
    os.close(reader)
    if b"\0" in text:
        return True, text[1:].split(b"\0")[0].decode()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = "TIMEOUT" if number == signal.SIGALRM else signal.Signals(number).name
        return text.startswith(b"@"), name
    return text.startswith(b"@"), f"exit {os.waitstatus_to_exitcode(status)}"


def say(row, name, result, attempted=True):
    line = dict(row=row, name=name, attempted=attempted, result=result)
    print(json.dumps(line), flush=True)


def attempt(row, name, function, *args, **options):
    attempted, result = run(lambda: function(*args), **options)
    say(row, name, result, attempted)


def open_and_close(path, flags):
    os.close(os.open(path, flags))


def status_field(name, path="/proc/self/status"):
    with open(path) as status:
        for line in status:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    return "absent"
