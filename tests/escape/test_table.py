#!/usr/bin/env python3
"""SandboxRoot / Escape: all of the system call table, made from inside (row S1).
tests/unit/test_filter asks the filter itself about the same table."""

import csv
import os

import probe
from host import SRCDIR, Host
from tap import check, done, equal, ok

TABLE = SRCDIR / "tests/data/seccomp/x86_64.csv"


def kernel():
    """The running kernel's version, (6, 18)."""
    return tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])


def since(text):
    return tuple(int(word) for word in text.split(".")) if text else (0, 0)


def matches(row, got):
    if row["kernel"] == "unfiltered":  # uretprobe and uprobe, from 6.13 and 6.18 on
        return True
    if row["filter"] != "allow":
        return got == row["filter"]
    if got in ("ENOSYS", "EPERM"):
        # The kernel's own answer: what it has not, and what needs a privilege.
        return row["kernel"] == got or since(row["since"]) > kernel()
    return True


def table(host, box="a", **where):
    rows = probe.inside(host, box, "table", **where)
    with open(TABLE, newline="") as file:
        golden = list(csv.DictReader(file))
    wrong = {}
    for row in golden:
        got = rows.get(("S1", f"native {row['nr']}"), "MISSING")
        if got in ("MISSING", "NOT RUN") or not matches(row, got):
            wrong[f"{row['nr']} {row['name']}"] = f"{got}, want {row['filter']}"
    equal(len(golden), 512, "S1 the table has 512 numbers")
    equal(wrong, {}, "S1 each number is answered as the table says")
    count = sum(r["filter"] == "allow" for r in golden)
    ok(200 < count < 307, f"S1 {count} are allowed; Docker allows 307")
    for kind in ("x32", "i386"):
        alive = {n: r for (_, n), r in rows.items() if n.startswith(kind)}
        equal(len(alive), 512, f"S1 {kind}: every number was tried")
        equal({n: r for n, r in alive.items() if r != "SIGSYS"}, {},
              f"S1 {kind}: the process is killed")
    got = rows.get(("S1", "number -1"))
    ok(got in ("ENOSYS", "SIGSYS"), f"S1 number -1: {got}")


def without_us():
    """A container reaches what the table says is closed."""
    rows = probe.without("table", "container")
    with open(TABLE, newline="") as file:
        closed = [r for r in csv.DictReader(file) if r["filter"] != "allow"]
    reached = [
        r["name"] for r in closed
        if rows.get(("S1", f"native {r['nr']}"), "ENOSYS") not in ("ENOSYS", "EPERM")
    ]
    ok(len(reached) > 30, f"S1 a container reaches {len(reached)} of the closed ones")
    pid = rows.get(("S1", "i386 20"), "MISSING")
    how = "reaches i386" if pid.isdigit() else f"would, this kernel has no i386: {pid}"
    ok(pid.isdigit() or pid == "SIGSEGV", f"S1 a container {how}")


def main():
    with Host() as host:
        with check("a sandbox is made"):
            host.cli("create", "a")
        with check("the probe ran inside"):
            table(host)
        with check("and in a container"):
            without_us()


if __name__ == "__main__":
    main()
    done()
