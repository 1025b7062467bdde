"""Row N13: what types into, or changes, a terminal. On a terminal of one's own, and
on no descriptor at all: the filter answers before the kernel looks."""

import fcntl
import os

from inside import attempt, call

HIGH = 0xDEADBEEF00000000
IOCTL = 16
CALLS = dict(TIOCSTI=0x5412, TIOCLINUX=0x541C, TIOCCONS=0x541D, TIOCSETD=0x5423,
             TIOCVHANGUP=0x5437, KDSKBSENT=0x4B49)


as_root = os.getuid() == 0


def own_terminal():
    """The slave of a new terminal that controls this process, and its master."""
    os.setsid()
    master, slave = os.openpty()
    fcntl.ioctl(slave, 0x540E, 0)  # TIOCSCTTY
    return master, slave


def ioctl(request):
    _, slave = own_terminal()
    call(IOCTL, slave, request, b"x\0\0\0")


def injected(request):
    """What a reader of the terminal gets after typing into it was tried."""
    _, slave = own_terminal()
    for byte in b"id\n":
        try:
            call(IOCTL, slave, request, bytes([byte]))
        except OSError:
            pass
    os.set_blocking(slave, False)
    try:
        return f"{len(os.read(slave, 100))} bytes"
    except BlockingIOError:
        return "0 bytes"


for name, number in CALLS.items():
    for label, request in ((name, number), (f"{name}, garbage above", HIGH | number),
                           (f"{name}, bit 32", 1 << 32 | number)):
        if not as_root:  # who could take the host's console
            attempt("N13", label, ioctl, request)
        attempt("N13", f"{label}, no descriptor", call, IOCTL, -1, request, b"x\0\0\0")
attempt("N13", "bytes injected", injected, CALLS["TIOCSTI"])
attempt("N13", "bytes injected, garbage above", injected, HIGH | CALLS["TIOCSTI"])


def device(path):
    with open(path) as tty:
        return os.ttyname(tty.fileno())


def alone():
    os.setsid()
    return device("/dev/tty")


attempt("N14", "/dev/tty without a terminal", alone)
attempt("N14", "descriptors that are terminals", lambda: str(
    [fd for fd in range(64) if os.isatty(fd)]))


def control():
    _, slave = own_terminal()
    return "own" if device("/dev/tty") in ("/dev/tty", os.ttyname(slave)) else "other"


attempt("N14", "/dev/tty with one", control)
