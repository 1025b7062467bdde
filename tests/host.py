"""host: a private host for one test, with a state directory of its own.

    with Host() as host:
        host.cli("create", "mybox")
        assert host.cli("run", "mybox", "-c", "1+1").stdout == "2\n"

The programs of the suites sandbox, escape and system use it; tests/run gives
each of them a pid and a mount namespace, so that nothing outlives it. The
image layers are those of the state directory that ./dev made, seen through a
read-only bind mount; everything else of the state is new.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from tap import note

PREFIX = pathlib.Path(os.environ["KH_PREFIX"])
IMAGES = pathlib.Path(os.environ["KH_IMAGES"])
TMP = pathlib.Path(os.environ["KH_TMP"])
SRCDIR = pathlib.Path(os.environ["KH_SRCDIR"])
DAEMON = PREFIX / "libexec/kernelhost/kernelhostd"


class Failed(Exception):
    """A command that should have succeeded did not."""


class Host:
    def __init__(self, name="h", images=True, preload="", wait=True, spares=0,
                 options=()):
        """Makes the state directory KH_TMP/NAME; starts nothing. Zygotes import
        PRELOAD; "none": there are none. WAIT: start() waits for the first. SPARES
        sandboxes are made ahead. OPTIONS are more of kernelhostd's."""
        self.state = TMP / name
        self.log = TMP / f"{name}.log"
        self.process = None
        self.preload = preload
        self.spares = spares
        self.options = options
        self.warm = images and wait and preload != "none"
        self.state.mkdir()
        (self.state / "layers").mkdir(mode=0o700)
        if images:
            # The names may be changed by a test, the layers may not.
            run("cp", "-r", IMAGES / "images", self.state / "images")
            run("mount", "--bind", IMAGES / "layers", self.state / "layers")
            run("mount", "-o", "remount,bind,ro", self.state / "layers")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind:  # the test did not come to its end: show what the host said
            note(self.log_text()[-5000:])
        self.stop()

    @property
    def env(self):
        """The environment in which `kernelhost` reaches this host."""
        return {**os.environ, "KERNELHOST_STATE": str(self.state)}

    @property
    def pid(self):
        return self.process.pid

    @property
    def key(self):
        """What the cgroups of this host, and of no other, are called."""
        info = self.state.stat()
        return f"{info.st_dev:x}-{info.st_ino:x}"

    def start(self, timeout=60):
        """Starts kernelhostd and waits until it answers and has a zygote."""
        before = len(self.log_text())
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [DAEMON, "--preload", self.preload, "--spares", str(self.spares),
                 *self.options],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        end = time.monotonic() + timeout
        while self.cli("ls", check=False).returncode != 0 or (
            self.warm and " zygote ready " not in self.log_text()[before:]
        ):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise Failed(f"the host did not come up:\n{self.log_text()}")
            time.sleep(0.05)

    def stop(self, timeout=30):
        """Ends it as its operator would; returns its status. Idempotent."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"the host did not stop:\n{self.log_text()}") from None
        finally:
            self.process = None

    def kill(self):
        """Ends kernelhostd at once; its sandboxes go on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def upper(self, name):
        """What a sandbox (its name, or its id while it is not listed) has written, as
        kernelhostd sees it."""
        ident = self.json("show", name)["id"] if len(name) != 32 else name
        state = pathlib.Path(f"/proc/{self.pid}/root{self.state}")
        on_disk = state / "disk" / ident / "upper"
        return on_disk if on_disk.exists() else state / "sandboxes" / ident / "upper"

    def disks(self):
        """The subvolumes of its disk, by name, as kernelhostd sees them; none where
        disks have no limit."""
        if not (self.state / "disk.img").exists():
            return []
        return sorted(os.listdir(f"/proc/{self.pid}/root{self.state}/disk"))

    def health(self):
        """GET /v1/health; OSError while nobody answers."""
        connection = http.client.HTTPConnection("host")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        try:
            connection.sock.connect(str(self.state / "run/api.sock"))
            connection.request("GET", "/v1/health")
            return json.load(connection.getresponse())
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            connection.close()

    def gateway(self, timeout=30):
        """The process id of the gateway, once it answers."""
        end = time.monotonic() + timeout
        while True:
            try:
                return self.health()["pid"]
            except (OSError, ValueError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)

    def kill_gateway(self):
        """Ends it by SIGKILL; returns the seconds until the next one answers."""
        pid, begun = self.gateway(), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while self.gateway() == pid:
            time.sleep(0.005)
        return time.monotonic() - begun

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def command(self, *args):
        """The words of `kernelhost ARGS...`, for a process with self.env."""
        return [PREFIX / "bin/kernelhost", *map(str, args)]

    def cli(self, *args, check=True, timeout=120, **options):
        """Runs `kernelhost ARGS...`; returns the CompletedProcess, with text."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            self.command(*args),
            env=self.env, capture_output=True, text=True, timeout=timeout, **options,
        )
        if check and done.returncode != 0:
            raise Failed(
                f"kernelhost {' '.join(map(str, args))}: status {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def json(self, *args, **options):
        """The same with --json: returns what it printed, parsed."""
        return json.loads(self.cli(*args, "--json", **options).stdout)

    def client(self, name, *args, timeout=60):
        """A jupyter_client.BlockingKernelClient, ready, on the sandbox's kernel."""
        from jupyter_client import BlockingKernelClient

        client = BlockingKernelClient()
        client.load_connection_file(self.cli("connect", name, *args).stdout.strip())
        client.start_channels()
        client.wait_for_ready(timeout=timeout)
        return client


def status_of(pid):
    """The fields of /proc/PID/status; {} for a process that is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def run(*args):
    """Runs a command that must succeed."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{args}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
