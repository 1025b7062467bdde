"""kernels: the three that bench.py measures, each started as its users start it.

    Kernelhost    a private host; each kernel in a sandbox of its own
    Ipykernel     ipykernel_launcher, plain processes (no sandbox) in the root of the
                  image "peer", so with the same Python, IPython and pandas
    Null          tests/bench/null-kernel: does nothing, the floor

All of them over ipc, with a key, and five channels each.
"""

import json
import os
import pathlib
import re
import subprocess
import time

import api
from host import Host

PRELOAD = "numpy,pandas,matplotlib.pyplot"
PROGRAMS = pathlib.Path(os.environ["KH_BUILDDIR"]) / "tests/bench"


class Peer:
    """Kernels that are processes with a connection file of ours."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.processes = []

    def connection_file(self, number):
        """Writes a new connection file; returns its path."""
        path = self.directory / f"{self.name}-{number}.json"
        path.write_text(json.dumps({
            "transport": "ipc", "ip": str(self.directory / f"{self.name}-{number}"),
            "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4,
            "hb_port": 5, "key": "0123456789abcdef" * 4,
            "signature_scheme": "hmac-sha256", "kernel_name": self.name,
        }))
        return str(path)

    def open(self, count):
        """Starts that many kernels; returns their connection files."""
        files = [self.connection_file(f"k{n}") for n in range(count)]
        for path in files:
            self.processes.append(subprocess.Popen(
                self.command(path), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return files

    def close(self):
        """Ends them."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    def pids(self):
        """One list of process ids a kernel."""
        return [[process.pid] for process in self.processes]


class Null(Peer):
    name = "null"

    def command(self, path):
        return [str(PROGRAMS / "null-kernel"), path]


class Ipykernel(Peer):
    name = "ipykernel"

    def __init__(self, root):
        # As the kernel sees it and as the client does: one directory.
        super().__init__(root / "tmp")
        self.root = root
        (root / "tmp/home").mkdir(exist_ok=True)

    def connection_file(self, number):
        path = pathlib.Path(super().connection_file(number))
        info = json.loads(path.read_text())
        inside = {**info, "ip": f"/tmp/{self.name}-{number}"}
        path.with_suffix(".inside").write_text(json.dumps(inside))
        return str(path)

    def command(self, path):
        inside = "/tmp/" + pathlib.Path(path).with_suffix(".inside").name
        return ["chroot", str(self.root), "env", "-i", "HOME=/tmp/home",
                "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "python3", "-m",
                "ipykernel_launcher", "-f", inside]


class Pool(Host):
    """A private host whose zygotes have imported what they do by default, with so many
    sandboxes made ahead."""

    def __init__(self, name, spares):
        super().__init__(name, preload=PRELOAD, spares=spares)

    def full(self, timeout=120):
        """Waits until all spares are there."""
        end = time.monotonic() + timeout
        while True:
            made = {p.name for p in (self.state / "sandboxes").iterdir()}
            named = {p.parent.name for p in (self.state / "sandboxes").glob("*/record")}
            if len(made - named) == self.spares:
                break
            if time.monotonic() > end:
                raise RuntimeError(f"{len(made - named)} of {self.spares} spares")
            time.sleep(0.05)
        time.sleep(0.3)  # the last one's runner


class Kernelhost:
    name = "kernelhost"

    def __init__(self, host):
        self.host = host
        self.names = []

    def open(self, count):
        """Makes that many sandboxes; returns their connection files."""
        self.names = [f"k{n}" for n in range(count)]
        files = []
        for name in self.names:
            self.host.cli("create", name)
            files.append(self.host.cli("connect", name).stdout.strip())
        return files

    def close(self):
        for name in self.names:
            self.host.cli("rm", name)
        self.names = []

    def pids(self):
        """One list of process ids a sandbox: those in its pid namespace."""
        spaces = {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                space = os.readlink(path / "ns/pid")
            except OSError:
                continue
            spaces.setdefault(space, []).append(int(path.name))
        ours = os.readlink("/proc/self/ns/pid")
        return [pids for space, pids in spaces.items() if space != ours]

    def kernel_of(self, name):
        return api.kernel_of(self.host, name)


def memory(pids, what):
    """Bytes of memory of the processes: "Pss", shared pages by their share, or
    "Private", those that nobody else has."""
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.findall(rf"^{what}(?:_Clean|_Dirty)?: +(\d+) kB", text, re.M)
        total += sum(map(int, found)) * 1024
    return total


def settle(kernel):
    """Waits until the kernels' processes use no processor time any more."""
    pids = [pid for group in kernel.pids() for pid in group]

    def used():
        total = 0
        for pid in pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
            total += sum(map(int, fields.split()[11:13]))
        return total

    before = used()
    for _ in range(40):
        time.sleep(0.25)
        now = used()
        if now == before:
            return
        before = now
