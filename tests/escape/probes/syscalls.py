"""The calls of rows N5-N7, N9, S5-S7, S9, F4. Not for root: it would succeed."""

import os
import signal
import struct
import time

from inside import address, attempt, call

NAMESPACES = dict(
    NEWNS=0x20000, NEWCGROUP=0x2000000, NEWUTS=0x4000000, NEWIPC=0x8000000,
    NEWUSER=0x10000000, NEWPID=0x20000000, NEWNET=0x40000000, NEWTIME=0x80,
)
NEWUSER = NAMESPACES["NEWUSER"]
HIGH = 0xDEADBEEF00000000

pidfd = os.pidfd_open(os.getpid())


def clone(flags):
    pid = call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def clone3(flags):
    args = struct.pack("<8Q", flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = call("clone3", args, len(args))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


for name, flag in NAMESPACES.items():
    # Alone and with a user namespace: only the latter works without capabilities.
    attempt("N6", f"unshare({name})", call, "unshare", flag)
    attempt("N6", f"unshare(NEWUSER|{name})", call, "unshare", NEWUSER | flag)
    attempt("N6", f"unshare({name}, garbage above)", call, "unshare",
            HIGH | NEWUSER | flag)
    if name != "NEWTIME":  # in clone these bits are the signal
        attempt("N6", f"clone({name})", clone, flag)
        attempt("N6", f"clone(NEWUSER|{name})", clone, NEWUSER | flag)
        attempt("N6", f"clone({name}, garbage above)", clone, HIGH | NEWUSER | flag)
attempt("N6", "clone3(0)", clone3, 0)
for name, flag in NAMESPACES.items():
    attempt("N6", f"clone3(NEWUSER|{name})", clone3, NEWUSER | flag)

# S5: a session keyring of one's own, and no way to ask for others.
for number, name in ((-3, "session"), (-4, "user"), (-5, "user session")):
    attempt("S5", f"read the {name} keyring", call, "keyctl", 11, number, bytes(64), 64)

# F4, N7, N9: mounts, namespaces of others, names.
root = os.open("/", os.O_PATH)
read_only = struct.pack("<QQQQ", 1, 0, 0, 0)
MOUNTS = [
    ("mount", b"none", b"/tmp", b"tmpfs", 0, 0),
    ("mount", 0, b"/proc/sys", 0, 0x1000 | 0x20, 0),  # bind, remount, rw
    ("mount", b"/", b"/tmp", 0, 0x1000, 0),
    ("mount", b"/", b"/tmp", 0, 0x1000 | 0x4000, 0),
    ("mount", 0, b"/", 0, 0x40000 | 0x4000, 0),
    ("mount", 0, b"/", 0, 0x20, 0),
    ("mount", b"/tmp", b"/tmp", 0, 0x2000, 0),
    ("umount2", b"/proc", 2),
    ("umount2", b"/proc/kallsyms", 2),
    ("mount_setattr", -100, b"/proc/sys", 0, read_only[8:] + bytes(8), 32),
    ("mount_setattr", -100, b"/", 0x8000, read_only, 32),
    ("fsopen", b"tmpfs", 0),
    ("fsopen", b"proc", 0),
    ("fsconfig", -1, 6, 0, 0, 0),
    ("fsmount", -1, 0, 0),
    ("fspick", -100, b"/", 0),
    ("open_tree", -100, b"/", 1),
    ("open_tree", -100, b"/", 0),
    ("move_mount", root, b"", -100, b"/tmp", 4),
    ("pivot_root", b"/tmp", b"/tmp"),
    ("chroot", b"/tmp"),
    ("statmount", bytes(32), bytes(512), 512, 0),
    ("listmount", bytes(32), bytes(512), 8, 0),
]
for index, (name, *args) in enumerate(MOUNTS):
    attempt("F4", f"{name} {index}", call, name, *args)
os.close(root)  # a kernel goes on
for name in ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"):
    for pid in ("1", "self"):
        def enter(path=f"/proc/{pid}/ns/{name}"):
            call("setns", os.open(path, os.O_RDONLY), 0)

        attempt("N7", f"setns /proc/{pid}/ns/{name}", enter)
attempt("N7", "setns pidfd of self", call, "setns", pidfd, 0x7E020000)
attempt("N7", "setns nothing", call, "setns", -1, 0)
attempt("N9", "sethostname", call, "sethostname", b"stolen", 6)
attempt("N9", "setdomainname", call, "setdomainname", b"stolen", 6)


# N5: no_new_privs stays.
def no_new_privs():
    try:
        call("prctl", 38, 0, 0, 0, 0)
    except OSError:
        pass
    return str(call("prctl", 39, 0, 0, 0, 0))


attempt("N5", "no_new_privs after clearing it", no_new_privs)

# S6: no supervisor, but stricter filters.
FILTER = struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000)  # return ALLOW
PROGRAM = struct.pack("<H6xQ", 1, address(FILTER))


def add_filter(flags):
    call("prctl", 38, 1, 0, 0, 0)
    call("seccomp", 1, flags, PROGRAM)


attempt("S6", "add a filter", add_filter, 0)
attempt("S6", "add a filter with a listener", add_filter, 8)
attempt("S6", "add a filter with a listener, garbage above", add_filter, 8 | HIGH)

# S7: other processes.
vector = struct.pack("<QQ", address(bytes(64)), 64)
remote = struct.pack("<QQ", 0x400000, 64)


def debug_child():
    pid = os.fork()
    if pid == 0:
        time.sleep(5)
        os._exit(0)
    call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE
    os.kill(pid, signal.SIGKILL)


attempt("S7", "ptrace init", call, "ptrace", 0x4206, 1, 0, 0)
attempt("S7", "ptrace(ATTACH) init", call, "ptrace", 16, 1, 0, 0)
attempt("S7", "read the memory of init", call, "process_vm_readv", 1, vector, 1,
        remote, 1, 0)
attempt("S7", "take a descriptor of init", lambda: call(
    "pidfd_getfd", os.pidfd_open(1), 0, 0))
attempt("S7", "take a descriptor of one's own", call, "pidfd_getfd", pidfd, 0, 0)
attempt("S7", "debug a child of one's own", debug_child)

# S9
for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 0x0040000, 0x0400000, 0x40008,
              0x200000, 0x8000000, 1, HIGH | 0x40000):
    attempt("S9", f"personality({value:x})", call, "personality", value)
