"""Rows S3 and F16: calls that open the kernel. Harmless also for root of the host:
each argument is one that the kernel answers without doing anything, or does to
the caller alone."""

import os
import struct

from inside import address, attempt, call

NOWHERE = b"/nonexistent-kernelhost"
pidfd = os.pidfd_open(os.getpid())
page = address(bytes(8192)) & ~4095
attributes = bytearray(128)  # a software clock of this process, in user mode
struct.pack_into("<IIQ", attributes, 0, 1, 128, 0)
struct.pack_into("<Q", attributes, 40, 1 | 1 << 5 | 1 << 6)
lookup = struct.pack("<I4xQQQ", 0xFFFFFFFF, 0, 0, 0)  # of an element, in no map
DOORS = [
    ("io_uring_setup", 1, bytes(120)),
    ("io_uring_enter", -1, 0, 0, 0, 0, 0),
    ("io_uring_register", -1, 0, 0, 0),
    ("bpf", 1, lookup, len(lookup)),
    ("perf_event_open", attributes, 0, -1, -1, 0),
    ("userfaultfd", 0),
    ("keyctl", 0, -3, 1),
    ("add_key", b"user", b"kernelhost-test", b"x", 1, -2),
    ("request_key", b"user", b"kernelhost-none", 0, 0),
    ("kexec_load", 0, 0, 0, 0x8000),
    ("kexec_file_load", -1, -1, 0, 0, 0x8000),
    ("init_module", 0, 0, 0),
    ("finit_module", -1, b"", 0x8000),
    ("delete_module", b"", 0x800),
    ("kcmp", os.getpid(), os.getpid(), 2, 0, 0),
    ("modify_ldt", 0, bytes(64), 64),
    ("memfd_secret", 0),
    ("process_madvise", pidfd, struct.pack("<QQ", page, 4096), 1, 20, 0),
    ("move_pages", 0, 0, 0, 0, 0, 0),
    ("migrate_pages", 0, 0, 0, 0),
    ("fanotify_init", 0x200, 0),
    ("quotactl", 0x80000163, 0, 0, 0),
    ("quotactl_fd", -1, 0x80000163, 0, 0),
    ("swapon", NOWHERE, 0x40000000),
    ("swapoff", NOWHERE),
    ("syslog", 99, 0, 0),
]
for name, *args in DOORS:
    attempt("S3", name, call, name, *args)
attempt("S3", "userfaultfd(USER_MODE_ONLY)", call, "userfaultfd", 1)
handle = struct.pack("<Ii", 120, 0) + bytes(120)
attempt("F16", "name_to_handle_at", call, "name_to_handle_at", -100, b"/", handle,
        bytes(8), 0)
attempt("F16", "open_by_handle_at", call, "open_by_handle_at", -1, handle, 0)
