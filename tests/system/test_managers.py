#!/usr/bin/env python3
"""KernelManagers and Jupyter's own programs, through our kernelspec: start, restart,
shutdown, death, and nothing left over whoever dies."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pexpect
from jupyter_client import AsyncKernelManager, KernelManager
from jupyter_client.ioloop import IOLoopKernelManager

import notebooks
from host import PREFIX, TMP, Host
from talk import Talk
from tap import check, done, equal, note, ok

JUPYTER = os.path.join(os.path.dirname(sys.executable), "jupyter")


def sandboxes(host):
    return host.cli("ls", "-q").stdout.split()


def gone(host, seconds):
    """How long it took until there was no sandbox; None if there still is one."""
    begun = time.monotonic()
    while sandboxes(host):
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(0.1)
    return time.monotonic() - begun


def launchers():
    """The processes `kernelhost kernel`, which managers start."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            exe = os.readlink(f"/proc/{pid}/exe")
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            if exe == str(PREFIX / "bin/kernelhost") and "kernel" in words:
                found.append(int(pid))
    return found


@contextlib.contextmanager
def managed(**options):
    """A KernelManager whose kernel runs, and a Talk with it."""
    manager = KernelManager(kernel_name="kernelhost", **options)
    manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield manager, Talk(client)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel()


def gateway_killed(host, **options):
    kind = options.get("transport", "tcp")
    with managed(**options) as (manager, talk):
        talk.execute("kept = 42")
        launcher = launchers()
        cell = talk.send("import time\nfor i in range(30): print(i); time.sleep(0.05)")
        talk.until(lambda: "5" in cell.text)
        host.kill_gateway()
        talk.finish(cell, timeout=30)
        equal(cell.text, "".join(f"{i}\n" for i in range(30)),
              f"{kind}: the gateway was killed: each line came once")
        ok(manager.is_alive(), "is_alive says so")
        equal(launchers(), launcher, "by the same launcher")
        equal(talk.execute("kept").value, "42", "variables stay")
        time.sleep(11)  # longer than a sandbox waits for its launcher
        equal(talk.execute("kept").value, "42", "for good")
    ok(gone(host, 15) is not None, "shut down, nothing is left")


def rolled_back(host):
    with managed() as (manager, talk):
        talk.execute("x = 1")
        name = sandboxes(host)[0]
        launcher = launchers()
        point = host.cli("checkpoint", name, "--files").stdout.strip()
        talk.execute("x = 2")
        host.cli("rollback", name, point)
        equal(talk.execute("x").value, "1", "rolled back, it goes on")
        ok(manager.is_alive(), "is_alive says so")
        equal(launchers(), launcher, "by the same launcher")
        host.cli("snapshot", "rm", point)
    ok(gone(host, 15) is not None, "shut down, nothing is left")


def plain(host):
    with managed() as (manager, talk):
        equal(talk.execute("x = 6 * 7; x").value, "42", "a KernelManager's kernel")
        ok(manager.is_alive(), "is_alive says so")
        equal(len(sandboxes(host)), 1, "it has a sandbox of its own")
        sandbox = sandboxes(host)
        file = open(manager.connection_file, "rb").read()
        talk.execute("open('kept', 'w').write('kept')")
        cell = talk.send("print('begun', flush=True); import time; time.sleep(60)")
        talk.until(lambda: cell.text)
        manager.interrupt_kernel()
        talk.finish(cell, timeout=20)
        equal(cell.reply.get("ename"), "KeyboardInterrupt", "interrupt_kernel")
        equal(talk.execute("x").value, "42", "and the variables stay")
        for now in (False, True):
            what = "restart_kernel(now=True)" if now else "restart_kernel()"
            with check(f"{what}: a new kernel, in the same sandbox with its files"):
                session = talk.shell[-1]["header"]["session"]
                manager.restart_kernel(now=now)
                talk.client.wait_for_ready(timeout=60)
                cell = talk.execute("'x' in globals(), open('kept').read()")
                assert cell.value == "(False, 'kept')", cell.reply
                assert cell.reply["execution_count"] == 1, cell.reply
                assert talk.shell[-1]["header"]["session"] != session
                assert sandboxes(host) == sandbox, sandboxes(host)
            talk.execute("x = 1")
        equal(open(manager.connection_file, "rb").read(), file,
              "the connection file is as it was")
        manager.shutdown_kernel()
        ok(not manager.is_alive(), "shutdown_kernel ends it")
        ok(gone(host, 5) is not None, "and its sandbox is gone")


def ipc(host):
    """A KernelManager that asks for transport ipc."""
    with check("a KernelManager with transport ipc"), managed(transport="ipc") as both:
        assert both[1].execute("1 + 1").value == "2"
    ok(gone(host, 5) is not None, "its sandbox is gone")


async def asynchronous(host):
    manager = AsyncKernelManager(kernel_name="kernelhost")
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    texts = []

    def hook(message):
        if message["msg_type"] == "stream":
            texts.append(message["content"]["text"])

    reply = await client.execute_interactive("print('async')", output_hook=hook,
                                             timeout=30)
    equal((reply["content"]["status"], "".join(texts)), ("ok", "async\n"),
          "an AsyncKernelManager's kernel works")
    await manager.restart_kernel()
    await client.wait_for_ready(timeout=60)
    reply = await client.execute("1", reply=True, timeout=30)
    equal(reply["content"]["execution_count"], 1, "restart_kernel restarts it")
    ok(await manager.is_alive(), "is_alive says so")
    client.stop_channels()
    await manager.shutdown_kernel()
    ok(not await manager.is_alive(), "shutdown_kernel ends it")
    ok(gone(host, 5) is not None, "and its sandbox is gone")


def launcher_ends(host):
    """Whoever ends the launcher ends the sandbox."""
    for number, seconds in ((signal.SIGTERM, 3), (signal.SIGHUP, 3),
                            (signal.SIGKILL, 15)):
        with managed() as (manager, talk):
            talk.execute("x = 1")
            (pid,) = launchers()
            os.kill(pid, number)
            took = gone(host, seconds)
            ok(took is not None,
               f"{number.name} ends the launcher: the sandbox is gone in {seconds} s")
            ok(not manager.is_alive(), "and the manager sees it")


def manager_ends(host):
    """The program with the KernelManager is killed."""
    code = ("import time; from jupyter_client import KernelManager\n"
            "m = KernelManager(kernel_name='kernelhost'); m.start_kernel()\n"
            "c = m.client(); c.start_channels(); c.wait_for_ready(60)\n"
            "print('ready', flush=True); time.sleep(600)")
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    equal(program.stdout.readline(), b"ready\n", "another program starts a kernel")
    program.kill()
    program.wait()
    ok(gone(host, 5) is not None, "it is killed: launcher and sandbox go with it")
    equal(launchers(), [], "no launcher is left")


def death(host):
    """A kernel that dies: its manager sees why, and restarts it if asked to."""
    with managed() as (manager, talk):
        cell = talk.send("import os; os._exit(3)")
        talk.finish(cell, timeout=30)
        ok("exit status 3" in cell.stderr, "the client is told why its kernel died")
        end = time.monotonic() + 10
        while manager.is_alive() and time.monotonic() < end:
            time.sleep(0.1)
        ok(not manager.is_alive(), "the manager sees that it is dead")
        manager.start_kernel()
        talk.client.wait_for_ready(timeout=60)
        equal(talk.execute("1 + 1").value, "2", "and can start it again at once")


async def autorestart(host):
    """The restarter of Jupyter servers, with its own polling."""
    manager = IOLoopKernelManager(kernel_name="kernelhost", autorestart=True)
    manager.start_kernel()
    restarts = []
    manager.add_restart_callback(lambda: restarts.append(1), "restart")
    client = manager.client()
    client.start_channels()
    talk = Talk(client)
    talk.client.wait_for_ready(timeout=60)
    talk.finish(talk.send("import ctypes; ctypes.string_at(0)"), timeout=30)
    with check("the autorestarter restarts a kernel that crashed"):
        for _ in range(200):
            if restarts:
                break
            await asyncio.sleep(0.1)
        assert restarts
        client.stop_channels()
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        assert Talk(client).execute("1 + 1").value == "2"
    client.stop_channels()
    manager.shutdown_kernel()
    ok(gone(host, 15) is not None, "its sandbox is gone")


def program(*words, **options):
    done = subprocess.run([JUPYTER, *map(str, words)], capture_output=True, text=True,
                          timeout=120, **options)
    if done.returncode != 0:
        note(f"jupyter {words}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def programs(host):
    listed = json.loads(program("kernelspec", "list", "--json").stdout)["kernelspecs"]
    equal(listed.get("kernelhost", {}).get("spec", {}).get("interrupt_mode"), "message",
          "jupyter kernelspec list shows our kernelspec")
    script = TMP / "script.py"
    script.write_text("import os\nprint('uid', os.getuid(), os.getcwd())\n")
    equal(program("run", "--kernel", "kernelhost", script).stdout,
          "uid 1000 /workspace\n", "jupyter run")
    notebook = TMP / "tables.ipynb"
    notebook.write_bytes((notebooks.OURS[0].parent / "tables.ipynb").read_bytes())
    done = program("nbconvert", "--to", "notebook", "--execute", "--allow-errors",
                   "--ExecutePreprocessor.kernel_name=kernelhost", "--output",
                   "converted.ipynb", notebook)
    equal(done.returncode, 0, "jupyter nbconvert --execute")
    ours = notebooks.by_us(notebook)
    for name, command in (
        ("converted.ipynb", None),
        ("executed.ipynb", ("execute", "--kernel_name=kernelhost", "--allow-errors",
                            "--output", "executed.ipynb", notebook)),
    ):
        if command:
            equal(program(*command, cwd=TMP).returncode, 0, "jupyter execute")
        with check(f"{name} has the outputs that nbclient gets"):
            theirs = notebooks.read(TMP / name)
            for pair in zip(*map(notebooks.code_cells, (ours, theirs)), strict=True):
                assert not notebooks.difference(*pair), notebooks.difference(*pair)
    done = program("nbconvert", "--to", "html", "--execute", "--allow-errors",
                   "--ExecutePreprocessor.kernel_name=kernelhost", "--stdout", notebook)
    ok('class="dataframe totals"' in done.stdout and "UserWarning" in done.stdout,
       "jupyter nbconvert --to html shows tables and a warning")
    ok(gone(host, 5) is not None, "their sandboxes are gone")


def console(host):
    host.cli("create", "box")
    path = host.cli("connect", "box").stdout.strip()
    done = program("console", "--existing", path, "--simple-prompt",
                   input="x = 20\nx + 1\nprint('from the console')\n"
                         "exit(keep_kernel=True)\n")
    ok("21" in done.stdout and "from the console" in done.stdout,
       "jupyter console --existing, piped")
    equal(host.cli("run", "box", "-c", "x").stdout, "20\n",
          "what the console set is there for others")
    with check("jupyter console --existing, in a terminal"), terminal(
            "--existing", path) as screen:
        screen.send("x * 1000 + 9\r")
        screen.expect("20009")
    with check("jupyter console --kernel, in a terminal: Ctrl-C interrupts"), terminal(
            "--kernel", "kernelhost") as screen:
        screen.send("x = 4; import time; time.sleep(600)\r")
        time.sleep(1)
        screen.sendintr()
        screen.expect("KeyboardInterrupt")
        screen.expect(r"In \[")
        screen.send("x * 1000 + 9\r")
        screen.expect("4009")
    equal(host.cli("run", "box", "-c", "x").stdout, "20\n", "the kernel stays")
    host.cli("rm", "box")
    ok(gone(host, 15) is not None, "the console's own kernel goes with it")


@contextlib.contextmanager
def terminal(*words):
    """jupyter console at its prompt, in a pseudo-terminal."""
    screen = pexpect.spawn(
        JUPYTER, ["console", *words], encoding="utf-8", timeout=30,
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        dimensions=(30, 100))
    try:
        screen.expect(r"In \[")
        yield screen
    finally:
        screen.close(force=True)


def main():
    with Host() as host:
        where = notebooks.install_kernelspec(host)
        ok((where / "kernel.json").is_file(), "kernelspec install writes kernel.json")
        os.environ["KERNELHOST_STATE"] = "/nowhere"  # the kernelspec says where
        plain(host)
        rolled_back(host)
        ipc(host)
        gateway_killed(host)
        gateway_killed(host, transport="ipc")
        asyncio.run(asynchronous(host))
        launcher_ends(host)
        manager_ends(host)
        death(host)
        ok(gone(host, 15) is not None, "their sandboxes are gone")
        asyncio.run(autorestart(host))
        programs(host)
        console(host)
        equal((launchers(), sandboxes(host)), ([], []),
              "after all there is no launcher and no sandbox")
        equal(os.listdir(host.state / "sandboxes"), [], "and no directory of one")
        equal(host.stop(), 0, "the host ends well")
    done()


main()
