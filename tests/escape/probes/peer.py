"""Rows F10-F12, F14: what of the holder's things is seen, from its own sandbox
(everything) or from another (nothing)."""

import fcntl
import os
import socket
import struct

import inside
from inside import attempt, call

SHARED = "/usr/bin/env"


def flock():
    with open(SHARED, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "free"


def record():
    with open(SHARED, "rb") as file:
        question = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 100, 0)
        answer = fcntl.fcntl(file, fcntl.F_GETLK, question)
    return "free" if struct.unpack("hhqqi4x", answer)[0] == fcntl.F_UNLCK else "held"


def exists(path):
    return "seen" if os.path.exists(path) else "absent"


def connect(family, address):
    with socket.socket(family) as sock:
        sock.settimeout(2)
        sock.connect(address)


attempt("F10", "flock", flock)
attempt("F10", "fcntl", record)
attempt("F11", "/dev/shm", exists, "/dev/shm/held")
attempt("F11", "/tmp", exists, "/tmp/held")
attempt("F11", "mq", call, 240, b"held", os.O_RDWR, 0, 0)
attempt("F11", "shm", call, 29, 0x4B48, 4096, 0)
attempt("F11", "sem", call, 64, 0x4B48, 1, 0)
attempt("F11", "msg", call, 68, 0x4B48, 0)
attempt("F12", "abstract", connect, socket.AF_UNIX, "\0kernelhost-held")
attempt("F12", "tcp", connect, socket.AF_INET, ("127.0.0.1", 4848))
attempt("F12", "abstract of the host", connect, socket.AF_UNIX, inside.abstract)
attempt("F12", "tcp of the host", connect, socket.AF_INET, ("127.0.0.1", inside.port))
for name in (SHARED, "/etc/passwd"):
    for _ in range(5):
        with open(name, "rb") as file:
            file.read(10)
