#!/usr/bin/env python3
"""SandboxRoot / Escape: what the seccomp filter closes, seen from inside, and that
an ordinary container leaves it open (rows N5-N7, N9, N13, N14, S3-S7, S9, F4, F16)."""

import probe
from host import Host
from tap import check, done, equal, ok

# Answers that are not EPERM: programs probe for these and have something else.
ABSENT = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register",
          "userfaultfd", "userfaultfd(USER_MODE_ONLY)", "memfd_secret"}


def doors(host, box="a", **where):
    c = probe.Compare(host, box, "doors", **where)
    for key in sorted(c.box):
        c.blocked_by_us(key, "ENOSYS" if key[1] in ABSENT else "EPERM")
    ok(len(c.box) == 29, "S3 F16 every attempt was made")


def syscalls(host, box="a", **where):
    c = probe.Compare(host, box, "syscalls", **where)
    for key in sorted(c.box):
        row, name = key
        if row == "N6" and name.startswith("clone3"):
            c.blocked_by_us(key, "ENOSYS")
        elif row == "N6" and "NEWUSER" in name:
            c.blocked_by_us(key, "EPERM")
        elif row == "N7":
            c.blocked(key, {"EPERM", "EACCES"})
        elif row in ("N6", "N9", "S5"):
            c.blocked(key, "EPERM")
        elif row == "F4":
            c.blocked(key, "ENOSYS" if name.split()[0].endswith("listmount")
                      or name.split()[0] == "statmount" else "EPERM")
    for name, want in {
        "add a filter": "OK",
        "add a filter with a listener": "EPERM",
        "add a filter with a listener, garbage above": "EPERM",
    }.items():
        c.blocked(("S6", name), want)
    for name in ("ptrace init", "ptrace(ATTACH) init", "read the memory of init",
                 "take a descriptor of init", "take a descriptor of one's own"):
        c.blocked(("S7", name), "EPERM")
    c.blocked(("S7", "debug a child of one's own"), "OK")
    c.blocked(("N5", "no_new_privs after clearing it"), "1")
    for key in (k for k in sorted(c.box) if k[0] == "S9"):
        fine = key[1][12:-1] in ("0", "8", "20000", "20008", "ffffffff")
        c.blocked(key, "OK" if fine else {"EPERM", "ENOSYS"})
    equal([k for k, v in c.box.items() if v == "NOT RUN"], [], "every attempt was made")


def second_layer(host, box="a"):
    """N6 again: without the filter, the namespaces are still used up."""
    pid = probe.tasks(host, box)[0]
    rows = probe.without("syscalls", "open", pid)
    rows |= probe.without("doors", "open", pid)
    ok(rows.get(("S3", "keyctl")) == "OK", "N6 the filter is off in this run")
    for name in ("NEWUSER", "NEWNS", "NEWNET", "NEWPID"):
        equal(rows.get(("N6", f"unshare(NEWUSER|{name})")), "ENOSPC",
              f"N6 unshare(NEWUSER|{name}) without the filter: no namespace is left")
        equal(rows.get(("N6", f"clone3(NEWUSER|{name})")), "ENOSPC",
              f"N6 clone3(NEWUSER|{name}) without the filter: no namespace is left")


def sockets(host, box="a", **where):
    c = probe.Compare(host, box, "sockets", **where)
    allowed = {1, 2, 10, 16}
    closed = {}
    for row, name in c.box:
        family = name.split()[1] if name.startswith(("family", "pair")) else None
        if family and int(family.rstrip(",")) not in allowed:
            closed[row, name] = "EAFNOSUPPORT"
        elif name.startswith("netlink") and not name.startswith("netlink 0"):
            closed[row, name] = "EPROTONOSUPPORT"
        elif name.startswith("inet"):
            kind, protocol = name.split()[1], name.split()[2]
            if (kind, protocol) not in (("STREAM", "TCP"), ("DGRAM", "UDP")):
                closed[row, name] = "EPROTONOSUPPORT"
    ok(len(closed) > 600, f"S4 {len(closed)} ways into the kernel were tried")
    wrong = {k[1]: c.box[k] for k, want in closed.items() if c.box[k] != want}
    equal(wrong, {}, "S4 each is closed, with the errno that programs expect")
    stars = [f"family {n} {k}" for n, k in ((40, "STREAM"), (40, "SEQPACKET"),
             (40, "DGRAM"), (38, "SEQPACKET"), (17, "RAW"), (17, "DGRAM"), (44, "RAW"),
             (15, "RAW"), (33, "DGRAM"), (30, "RDM"), (29, "RAW"), (43, "STREAM"),
             (42, "DGRAM"), (45, "DGRAM"), (40, "STREAM, garbage above"))]
    stars += [f"netlink {n}" for n in range(1, 32)]
    stars += ["inet2 STREAM MPTCP", "inet10 STREAM MPTCP", "inet2 DGRAM UDPLITE",
              "inet10 DGRAM UDPLITE", "inet2 RAW ICMP", "inet10 RAW ICMP",
              "inet2 STREAM SCTP", "inet2 STREAM DCCP", "netlink 6, garbage above",
              "inet2 STREAM MPTCP, garbage above"]
    for name in stars:
        c.blocked_by_us(("S4", name), closed["S4", name])
    for name in ("family 1 STREAM", "family 1 DGRAM", "family 1 SEQPACKET", "pair 1",
                 "family 2 STREAM", "family 2 DGRAM", "family 10 STREAM", "netlink 0",
                 "family 10 DGRAM", "inet2 STREAM TCP", "inet10 DGRAM UDP"):
        c.blocked(("S4", name), "OK")


def terminal(host, box="a", **where):
    c = probe.Compare(host, box, "terminal", **where)
    for key in sorted(k for k in c.box if k[0] == "N13"):
        if key[1].startswith("bytes"):
            c.blocked(key, "0 bytes")
        elif key[1].startswith(("TIOCCONS", "TIOCVHANGUP")) and "no desc" not in key[1]:
            c.blocked(key, "EPERM")  # without a capability the kernel says so, too
        else:
            c.blocked_by_us(key, "EPERM")
    c.blocked(("N14", "/dev/tty without a terminal"), "ENXIO")
    c.blocked(("N14", "/dev/tty with one"), "own")
    c.blocked(("N14", "descriptors that are terminals"), "[]")


def main():
    with Host() as host:
        with check("a sandbox is made"):
            host.cli("create", "a")
        for part in (doors, syscalls, second_layer, sockets, terminal):
            with check(f"{part.__name__}: the probes ran"):
                part(host)


if __name__ == "__main__":
    main()
    done()
