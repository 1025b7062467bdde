"""Row P1: what there is to read at paths that tell of the host. Reads only."""

import fcntl
import os

from inside import attempt, call, run

# P1: the table of security notes, and what the kernel has added since.
PROC = """acpi allocinfo asound bootconfig buddyinfo bus cgroups cmdline config.gz
    consoles crypto devices diskstats dma driver dynamic_debug execdomains fb fs
    interrupts iomem ioports irq kallsyms kcore key-users keys kmsg kpagecgroup
    kpagecount kpageflags latency_stats locks mdstat misc modules mtd mtrr
    pagetypeinfo partitions pressure sched_debug schedstat scsi slabinfo softirqs
    swaps sysrq-trigger timer_list timer_stats tty vmallocinfo vmstat zoneinfo"""
SYS = """firmware kernel/debug kernel/tracing kernel/security kernel/notes fs/bpf
    fs/cgroup devices/virtual/powercap block class/dmi class/net kernel/uevent_helper
    power bus/pci"""


def look(path):
    """absent, the errno, empty, or content: what there is to read at a path."""
    try:
        if os.path.isdir(path):
            return "content" if os.listdir(path) else "empty"
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return "content" if os.read(fd, 64) else "empty"
        finally:
            os.close(fd)
    except FileNotFoundError:
        return "absent"


# So that there is something to read where it is not hidden.
locked = open("/proc/self/exe", "rb")
fcntl.flock(locked, fcntl.LOCK_SH)
run(lambda: call("add_key", b"user", b"kernelhost-test", b"x", 1, -4))
for name in PROC.split():
    attempt("P1", f"/proc/{name}", look, f"/proc/{name}")
for name in SYS.split():
    attempt("P1", f"/sys/{name}", look, f"/sys/{name}")
