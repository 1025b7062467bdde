#!/usr/bin/env python3
"""control: runs a command where one of our walls is missing, so that a test can
show that the attempt which it sees fail would else succeed.

    control.py container COMMAND...     an ordinary user-namespace container: new
        namespaces, ids that are nobody's on the host, uid 1000, no capability,
        no_new_privs, a procfs of its own; but no filter, no mask, no image
    control.py open PID COMMAND...      in the sandbox of PID, as its user, without
        the filter
    control.py root COMMAND...          root of the host, without the filter; mounts,
        names and networks are copies, so that no mistake in a probe reaches the host
    control.py filtered PID COMMAND...  root of the host behind the filter of PID

Started as root of the host.
"""

import ctypes
import os
import struct
import sys

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x8000000, 0x10000000, 0x20000000
CLONE_NEWNET, CLONE_NEWTIME = 0x40000000, 0x80
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 47
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
PTRACE_SECCOMP_GET_FILTER = 0x420C
FIRST_ID = 0x70000000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def must(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


def drop():
    """Becomes user 1000 without a capability, for good."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def follow(pid):
    """Ends as the child does."""
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


def container():
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid:
        os.read(ready[0], 1)
        for kind in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{kind}", "w") as file:
                file.write(f"0 {FIRST_ID} 65536\n")
        os.write(go[1], b"g")
        follow(pid)
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
    must(libc.unshare(flags | CLONE_NEWUTS | CLONE_NEWCGROUP), "unshare")
    os.write(ready[1], b"r")
    os.read(go[0], 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    pid = os.fork()
    if pid:
        follow(pid)
    must(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private")
    must(libc.mount(b"proc", b"/proc", b"proc", 0, None), "proc")
    for fd in (*ready, *go):
        os.close(fd)
    os.chdir("/")
    pid = os.fork()  # PID 1 is another's process here, too
    if pid:
        follow(pid)
    drop()


def join(pid):
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
    flags |= CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME
    must(libc.setns(os.pidfd_open(pid), flags), "setns")
    child = os.fork()
    if child:
        follow(child)
    os.chdir("/workspace")
    drop()


def apart():
    """A mistake in a probe that runs as root must not reach the host: mounts, names
    and networks are copies, the user namespace, and so every capability, is not."""
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET
    must(libc.unshare(flags), "unshare")
    must(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private")


def filters(pid):
    """The seccomp programs of a process, the first installed first."""
    must(libc.ptrace(PTRACE_SEIZE, pid, None, None), "seize")
    must(libc.ptrace(PTRACE_INTERRUPT, pid, None, None), "interrupt")
    os.waitpid(pid, 0x40000000)  # __WALL
    programs = []
    while True:
        size = libc.ptrace(PTRACE_SECCOMP_GET_FILTER, pid, len(programs), None)
        if size < 0:
            break
        code = ctypes.create_string_buffer(8 * size)
        must(libc.ptrace(PTRACE_SECCOMP_GET_FILTER, pid, len(programs), code), "filter")
        programs.append(code.raw)
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return programs


def take_filter(pid):
    programs = filters(pid)
    if not programs:
        sys.exit(f"process {pid} has no filter")
    for code in programs:
        buffer = ctypes.create_string_buffer(code)
        program = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(buffer))
        must(libc.prctl(22, 2, program, 0, 0), "install the filter")


def main(mode, *words):
    command = list(words)
    if mode == "container":
        container()
    elif mode == "open":
        join(int(command.pop(0)))
    elif mode in ("root", "filtered"):
        apart()
        if mode == "filtered":
            take_filter(int(command.pop(0)))
    else:
        sys.exit(__doc__)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
