"""Rows F10-F12, F14: holds what another sandbox must not see, in a process that
stays when this one ends, and writes there what inotify tells it."""

import ctypes
import fcntl
import os
import select
import socket
import struct
import time

from inside import call

libc = ctypes.CDLL(None, use_errno=True)
SHARED = "/usr/bin/env"  # of the lower layer, never written

ready, done = os.pipe()
if os.fork():
    os.close(done)
    os._exit(0 if os.read(ready, 1) else 1)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for fd in range(3):
    os.dup2(null, fd)

whole = open(SHARED, "rb")
fcntl.flock(whole, fcntl.LOCK_EX)
part = open(SHARED, "rb")
# F_SETLK, a read lock on bytes 10 to 19
fcntl.fcntl(part, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 10, 10, 0))
for path in ("/dev/shm/held", "/tmp/held"):
    with open(path, "w") as file:
        file.write("held")
os.close(call(240, b"held", os.O_CREAT | os.O_RDWR, 0o666, 0))  # mq_open
call(29, 0x4B48, 4096, 0o1666)  # shmget(IPC_CREAT)
call(64, 0x4B48, 1, 0o1666)  # semget
call(68, 0x4B48, 0o1666)  # msgget
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0kernelhost-held")
listener.listen()
tcp = socket.create_server(("127.0.0.1", 4848))

watch = libc.inotify_init()
for path in (SHARED, "/usr/bin", "/etc", "/tmp"):
    libc.inotify_add_watch(watch, path.encode(), 0xFFF)
os.write(done, b"r")
os.close(done)
end = time.monotonic() + 60
with open("/workspace/events", "w") as log:
    while time.monotonic() < end:
        if select.select([watch], [], [], 0.2)[0]:
            log.write(f"{len(os.read(watch, 65536))}\n")
            log.flush()
