"""probe: runs probes, in a sandbox and where a wall is missing, and compares.

    rows = probe.inside(host, "mybox", "syscalls")
    rows["S3", "keyctl"]                          "EPERM"

A result in CLOSED is what a closed door looks like from inside; anything else
means that the kernel did, or looked at, what was asked.
"""

import json
import os
import pathlib
import subprocess
import sys

from tap import note, ok

HERE = pathlib.Path(__file__).parent
CONTROL = HERE / "control.py"
PYTHON = os.path.realpath(sys.executable)  # a virtual environment may be private
CLOSED = {"EPERM", "EACCES", "ENOSYS", "SIGSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT",
          "ESOCKTNOSUPPORT"}
# What the kernel answers when it was built without something.
LACKING = {"ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP",
           "ENOTTY"}


# Probes that do nothing even where they are allowed to: for root of the host.
HARMLESS = {"doors", "masks", "sockets", "terminal"}


def source(name, **facts):
    """The text of a probe, which finds FACTS in `inside`."""
    library = (HERE / "inside.py").read_text()
    return (
        "import sys, types\n"
        "sys.modules['inside'] = module = types.ModuleType('inside')\n"
        f"exec({library!r}, module.__dict__)\n"
        f"module.__dict__.update({facts!r})\n"
        f"exec({(HERE / 'probes' / f'{name}.py').read_text()!r}, {{}})\n"
    )


def parse(done):
    """The rows of a finished probe, {(row, name): result}."""
    rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows[row["row"], row["name"]] = row["result"] if row["attempted"] else "NOT RUN"
    if done.returncode != 0 or not rows:
        note(f"the probe ended with {done.returncode}: {done.stderr}")
        rows["", "ended"] = f"status {done.returncode}"
    return rows


def inside(host, box, name, kernel=False, **facts):
    """In the sandbox BOX, as its user would: in a new process, or in its KERNEL, which
    may have slept."""
    if kernel:
        code = source(name, **facts) + "None\n"
        return parse(host.cli("run", box, "-c", code, check=False))
    return parse(
        host.cli("exec", box, "--", "python3", "-", input=source(name, **facts),
                 check=False)
    )


def without(name, *mode, **facts):
    """Where control.py's MODE says."""
    assert mode[0] in ("container", "open") or name in HARMLESS
    python = "/usr/bin/python3" if mode[0] == "open" else PYTHON
    return parse(
        subprocess.run(
            [sys.executable, CONTROL, *map(str, mode), python, "-"],
            input=source(name, **facts), capture_output=True, text=True, timeout=120,
        )
    )


def tasks(host, box):
    """Host pids of the sandbox's processes, PID 1 first."""
    own = host.cli("exec", box, "--", "readlink", "/proc/self/ns/pid").stdout.strip()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == own:
                found.append(int(pid))
        except OSError:
            continue
    return sorted(found, key=lambda pid: inner_pid(pid))


def inner_pid(pid):
    """The number that a process has in its own pid namespace."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass
    return 1 << 30


class Compare:
    """A probe run in the sandbox and at the controls."""

    def __init__(self, host, box, name, kernel=False, **facts):
        pid = tasks(host, box)[0]
        as_root = name in HARMLESS
        self.box = inside(host, box, name, kernel, **facts)
        self.container = without(name, "container", **facts)
        self.root = without(name, "root", **facts) if as_root else {}
        self.filtered = without(name, "filtered", pid, **facts) if as_root else {}

    def blocked(self, key, want):
        """The sandbox answers WANT (one, or a set); no claim that it must be us."""
        want = want if isinstance(want, set) else {want}
        got = self.box.get(key, "MISSING")
        ok(got in want, f"{key[0]} {key[1]}: {got}")
        if got not in want:
            note(f"want {sorted(want)}")

    def blocked_by_us(self, key, want):
        """The same, and the attempt succeeds where our filter is missing."""
        want = want if isinstance(want, set) else {want}
        got = self.box.get(key, "MISSING")
        plain = self.container.get(key, "MISSING")
        root, filtered = self.root.get(key), self.filtered.get(key)
        shown, how = False, f"a container gets {plain}, root {root}: nothing shows it"
        if plain not in CLOSED | {"MISSING", "NOT RUN"}:
            shown, how = True, f"a container gets {plain}"
        elif root and root not in CLOSED | {"MISSING", "NOT RUN"}:
            shown = filtered in want
            how = f"root gets {root}, behind our filter {filtered}"
        elif root in LACKING:
            shown, how = True, f"this kernel lacks it, even root gets {root}"
        ok(got in want and shown, f"{key[0]} {key[1]}: {got} ({how})")
        if got not in want:
            note(f"want {sorted(want)}")
