"""Row S4: what socket(2) and socketpair(2) give."""

import os

from inside import attempt, call

SOCKET, SOCKETPAIR = 41, 53
HIGH = 0xDEADBEEF00000000
TYPES = dict(STREAM=1, DGRAM=2, RAW=3, RDM=4, SEQPACKET=5, DCCP=6, PACKET=10)
INET = dict(TCP=6, UDP=17, ICMP=1, IGMP=2, DCCP=33, ESP=50, SCTP=132, UDPLITE=136,
            RAW=255, MPTCP=262)


def make(family, kind, protocol):
    os.close(call(SOCKET, family, kind, protocol))


def pair(family, kind):
    call(SOCKETPAIR, family, kind, 0, bytes(8))


for family in range(64):
    for name, kind in TYPES.items():
        attempt("S4", f"family {family} {name}", make, family, kind, 0)
    attempt("S4", f"pair {family}", pair, family, 1)
for family in (64, 127, 255, 0x7FFFFFFF, 0xFFFFFFFF):
    attempt("S4", f"family {family} STREAM", make, family, 1, 0)
# What the kernel does not look at must not hide what it does.
for family in (17, 38, 40, 44):
    for name, kind in TYPES.items():
        attempt("S4", f"family {family} {name}, garbage above", make, HIGH | family,
                kind, 0)
for protocol in range(32):
    attempt("S4", f"netlink {protocol}", make, 16, 3, protocol)
    attempt("S4", f"netlink {protocol}, flags", make, 16, 3 | 0x80800, protocol)
    if protocol:
        attempt("S4", f"netlink {protocol}, garbage above", make, 16, HIGH | 3,
                HIGH | protocol)
for family in (2, 10):
    for name, kind in TYPES.items():
        for label, protocol in INET.items():
            attempt("S4", f"inet{family} {name} {label}", make, family, kind, protocol)
    for name, kind, label in (("STREAM", 1, "MPTCP"), ("DGRAM", 2, "UDPLITE"),
                              ("RAW", 3, "ICMP")):
        attempt("S4", f"inet{family} {name} {label}, garbage above", make, family,
                HIGH | kind, HIGH | INET[label])
