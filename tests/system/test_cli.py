#!/usr/bin/env python3
"""The command line, every command, as its user calls it."""

import json
import os
import pathlib
import signal
import subprocess
import time

import nbformat
from jupyter_client import BlockingKernelClient

import notebooks
from host import PREFIX, TMP, Host
from talk import Talk
from tap import check, done, equal, note, ok

UUID = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


def cli(host, *words, **options):
    return host.cli(*words, check=False, **options)


def objects(host):
    """create, ls, show, image ls, rm."""
    equal(host.cli("create", "mybox").stdout, "mybox\n", "create prints the name")
    made = host.cli("create").stdout.strip()
    ok(made and made != "mybox", f"create without a name makes one: {made}")
    limited = host.json("create", "small", "--memory", "300M", "--cpus", "0.5",
                        "--pids", "64")
    equal((limited["name"], limited["state"], limited["image"]),
          ("small", "running", "default"), "create --json describes the sandbox")
    equal(limited["limits"], {"memory": 300 << 20, "cpus": 0.5, "pids": 64,
                               "disk": 10 << 30},
          "with the limits that were asked for")
    equal(sorted(host.cli("ls", "-q").stdout.split()), sorted(["mybox", made, "small"]),
          "ls -q prints the names")
    lines = host.cli("ls").stdout.splitlines()
    equal((lines[0].split()[:3], len(lines)), (["NAME", "STATE", "IMAGE"], 4),
          "ls prints a table")
    equal(sorted(s["name"] for s in host.json("ls")), sorted(["mybox", made, "small"]),
          "ls --json lists them")
    shown = host.json("show", "mybox")
    equal(sorted(shown), sorted(["name", "id", "state", "image", "created", "started",
                                 "limits", "usage", "kernels", "ladder",
                                 "saved"]),
          "show --json has all the fields")
    text = host.cli("show", "mybox").stdout
    ok("mybox" in text and "running" in text and shown["id"] in text,
       "show prints them")
    ok(shown["usage"]["memory"] > 0 and shown["usage"]["pids"] > 0,
       f"and what it uses: {shown['usage']}")
    names = [i["name"] for i in host.json("image", "ls")]
    equal(sorted(names), ["default", "peer"], "image ls --json lists the images")
    lines = host.cli("image", "ls").stdout.splitlines()
    equal([line.split()[0] for line in lines], ["NAME", *names], "image ls")
    equal(host.cli("rm", made, "small").returncode, 0, "rm removes several")
    equal(host.cli("ls", "-q").stdout, "mybox\n", "and they are gone")


def run(host):
    equal(host.cli("run", "mybox", "-c", "x = 1").stdout, "", "run -c 'x = 1'")
    equal(host.cli("run", "mybox", "-c", "x + 1").stdout, "2\n",
          "run -c 'x + 1' prints 2: state persists")
    got = cli(host, "run", "mybox", "-c",
              "import sys; print('out'); print('err', file=sys.stderr); 'value'")
    equal((got.stdout, got.stderr, got.returncode), ("out\n'value'\n", "err\n", 0),
          "stdout and stderr go where they belong")
    got = cli(host, "run", "mybox", "-c", "1/0")
    equal((got.stdout, got.returncode), ("", 1), "an exception: status 1")
    ok("ZeroDivisionError" in got.stderr and "\x1b" not in got.stderr,
       "with its traceback on stderr, without colours")
    equal(host.cli("run", "mybox", input="print(x + 2)\n").stdout, "3\n",
          "code from standard input")
    equal(host.cli("run", "mybox", "-", input="x + 3").stdout, "4\n", "run -")
    script = TMP / "script.py"
    script.write_text("import os\ny = x + 4\nprint(y, os.getcwd())\n")
    equal(host.cli("run", "mybox", script).stdout, "5 /workspace\n", "run FILE.py")
    lines = [json.loads(line) for line in
             host.cli("run", "mybox", "-c", "print(y)", "--json").stdout.splitlines()]
    equal([m["header"]["msg_type"] for m in lines if m["channel"] == "iopub"],
          ["status", "execute_input", "stream", "status"],
          "run --json prints the Jupyter messages")
    equal([m["content"]["status"] for m in lines if m["channel"] == "shell"], ["ok"],
          "the reply among them")
    text = host.cli("run", "mybox", "-c", "for n in range(50000): print(n)").stdout
    equal(text, "".join(f"{n}\n" for n in range(50000)), "50,000 lines arrive")
    got = host.cli("run", "mybox", "--save-dir", TMP, "-c", "import matplotlib.pyplot "
                   "as plt; plt.plot([1, 2]); plt.show()")
    saved = TMP / "output-1.png"
    ok(saved.is_file() and saved.read_bytes()[:4] == b"\x89PNG", "--save-dir saves it")
    run_interrupted(host)


def run_interrupted(host):
    process = subprocess.Popen(
        ["kernelhost", "run", "mybox", "-c",
         "print('begun', flush=True)\nwhile True: pass"],
        env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    equal(process.returncode, 128 + signal.SIGINT, "Ctrl-C: status 130")
    ok("KeyboardInterrupt" in err, "the code was interrupted")
    equal(host.cli("run", "mybox", "-c", "x").stdout, "1\n", "and the variables stay")


def run_notebook(host):
    by_client = notebooks.by_us(notebooks.OURS[0].parent / "tables.ipynb")
    source, out = notebooks.OURS[0].parent / "tables.ipynb", TMP / "out.ipynb"
    host.cli("create", "book")
    got = cli(host, "run", "book", source, "-o", out)
    equal(got.returncode, 0, "run NOTEBOOK -o OUT")
    ok("[1/" in got.stderr and " ok " in got.stderr, "with a line a cell on stderr")
    with check("OUT is a valid notebook"):
        nbformat.validate(nbformat.read(out, as_version=4))
    for number, pair in enumerate(zip(
            *map(notebooks.code_cells, (notebooks.read(out), by_client)), strict=True)):
        lines = notebooks.difference(*pair)
        if not ok(not lines, f"cell {number + 1} has nbclient's outputs"):
            note("\n".join(lines))
    source = source.parent / "progress.ipynb"
    before = source.read_bytes()
    got = cli(host, "run", "book", source, "-o", out)
    equal(got.returncode, 1, "a notebook with an error: status 1")
    cells = notebooks.code_cells(notebooks.read(out))
    failed = [n for n, c in enumerate(cells)
              if any(o["output_type"] == "error" for o in c["outputs"])]
    equal((failed, [c["outputs"] for c in cells[5:]]), ([4], [[]] * (len(cells) - 5)),
          "it stops there, and is written with what ran")
    equal(source.read_bytes(), before, "the notebook itself is left alone")
    got = cli(host, "run", "book", source, "-o", out, "--allow-errors")
    last = notebooks.code_cells(notebooks.read(out))[-1]
    ok(got.returncode == 0 and last["outputs"], "--allow-errors goes on to the end")


def execute(host):
    got = cli(host, "exec", "mybox", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    equal((got.stdout, got.stderr, got.returncode), ("out\n", "err\n", 7),
          "exec passes output and status on")
    got = cli(host, "exec", "mybox", "--", "sh", "-c", "kill -TERM $$")
    equal(got.returncode, 128 + 15, "a signal is 128 and its number")
    equal(cli(host, "exec", "mybox", "--", "no-such-program").returncode, 127,
          "a command that there is not: 127")
    data = "some input\n" * 10000
    equal(host.cli("exec", "mybox", "--", "cat", input=data).stdout, data,
          "standard input goes in")
    equal(host.cli("exec", "mybox", "-n", "--", "cat", input=data).stdout, "",
          "not with --no-stdin")
    equal(host.cli("exec", "mybox", "--cwd", "/tmp", "-e", "A=1 2", "-e", "B=", "--",
                   "sh", "-c", "pwd; echo \"$A,$B,$(id -u)\"").stdout,
          "/tmp\n1 2,,1000\n", "--cwd and --env, as uid 1000")
    equal(host.cli("exec", "mybox", "--", "printf", "%s|", "-x", "--", "a b").stdout,
          "-x|--|a b|", "what follows -- is passed as it is")
    equal(host.cli("exec", "mybox", "--", "uname", "-s").stdout, "Linux\n",
          "exec mybox -- uname -s")
    got = host.cli("exec", "mybox", "--", "sh", "-c", "head -c 30000000 /dev/zero | "
                   "tr '\\0' x; echo; echo end")
    equal((len(got.stdout), got.stdout[-5:]), (30000005, "\nend\n"), "30 MB of output")
    got = host.cli("exec", "mybox", "--json", "--", "echo", "hi")
    equal([json.loads(line) for line in got.stdout.splitlines()],
           [{"type": "stdout", "data": "aGkK"}, {"type": "exit", "status": 0}],
          "exec --json prints the events")
    process = subprocess.Popen(["kernelhost", "exec", "mybox", "--", "sh", "-c",
                                "echo begun; exec sleep 1000"],
                               env=host.env, stdout=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL)
    process.stdout.readline()
    process.kill()
    process.wait()
    script = ("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | "
              "grep -c 'sleep 10[0]0'")
    for _ in range(50):
        left = cli(host, "exec", "mybox", "--", "sh", "-c", script).stdout.strip()
        if left == "0":
            break
        time.sleep(0.1)
    equal(left, "0", "the command ends when exec is killed")


def connect(host):
    text = host.cli("connect", "mybox").stdout
    path = pathlib.Path(text.strip())
    equal(text, f"{path}\n", "connect prints a path and nothing else")
    equal((path.stat().st_mode & 0o777, path.stat().st_uid), (0o600, path.parent.stat()
          .st_uid), "of a file that only its owner reads")
    equal(path.parent.stat().st_mode & 0o077, 0, "in a directory of nobody else")
    info = json.loads(path.read_text())
    equal((info["transport"], info["signature_scheme"]), ("ipc", "hmac-sha256"),
          "ipc by default")
    ok(len(info["key"]) >= 32, "with a key")
    equal(host.cli("connect", "mybox").stdout, text, "connect again: the same file")
    tcp = json.loads(pathlib.Path(host.cli("connect", "mybox", "--tcp").stdout.strip())
                     .read_text())
    equal((tcp["transport"], tcp["ip"]), ("tcp", "127.0.0.1"), "--tcp: on 127.0.0.1")
    kernel = host.json("show", "mybox")["kernels"][0]["id"]
    answer = host.json("connect", "mybox", "--kernel", kernel)
    equal(answer, {"connection_file": str(path), "kernel_id": kernel},
          "connect --kernel ID --json")
    for what, options in (("ipc", ()), ("tcp", ("--tcp",))):
        talk = Talk(host.client("mybox", *options))
        equal(talk.execute("x").value, "1", f"a jupyter_client works over {what}")
        talk.close()
    client = BlockingKernelClient(connection_file=str(path))
    client.load_connection_file()
    client.session.key = b"wrong"
    client.start_channels()
    client.execute("x = 666")
    time.sleep(0.5)
    equal(host.cli("run", "mybox", "-c", "x").stdout, "1\n", "not with another key")
    client.stop_channels()


def stop_and_start(host):
    host.cli("exec", "mybox", "--", "sh", "-c", "echo kept > file; mkdir -p d/e")
    equal(host.cli("stop", "mybox").returncode, 0, "stop")
    shown = host.json("show", "mybox")
    equal((shown["state"], shown["usage"]["pids"]), ("stopped", 0), "it is stopped")
    equal(host.cli("start", "mybox").returncode, 0, "start")
    equal(host.json("show", "mybox")["state"], "running", "it runs again")
    equal(host.cli("exec", "mybox", "--", "cat", "file").stdout, "kept\n",
          "its disk is as it was")
    got = cli(host, "run", "mybox", "-c", "x")
    ok(got.returncode == 1 and "NameError" in got.stderr, "its memory is not")
    host.cli("stop", "mybox")
    equal(host.cli("run", "mybox", "-c", "open('file').read()").stdout, "'kept\\n'\n",
          "run starts a sandbox that is stopped")


def others(host):
    facts = json.loads(cli(host, "doctor", "--json").stdout)
    ok(all(f["level"] in ("ok", "warn", "fail") and f["detail"] for f in facts)
       and len(facts) > 10, "doctor --json lists facts")
    got = cli(host, "doctor")
    equal((got.returncode, len(got.stdout.splitlines())), (0, len(facts)),
          "doctor prints a line a fact, and none fails where tests can run")
    ok(host.cli("version").stdout.startswith("kernelhost "), "version")
    helps = host.cli("help").stdout
    ok(all(word in helps for word in ("create", "run", "exec", "connect")), "help")
    where = notebooks.install_kernelspec(host, "--memory", "1G", name="mine")
    spec = json.loads((where / "kernel.json").read_text())
    ok(spec["argv"][0] == str(PREFIX / "bin/kernelhost") and "1G" in spec["argv"],
       "kernelspec install")
    listed = host.json("kernelspec", "list")
    equal(listed.get("mine", {}).get("directory"), str(where), "kernelspec list")
    host.cli("kernelspec", "remove", "mine", "--prefix", TMP / "jupyter")
    ok(not where.exists(), "kernelspec remove")
    equal(host.json("create", "with-json")["name"], "with-json", "create --json")
    host.cli("create", "too")
    for words, state in ((["stop"], "stopped"), (["start"], "running"),
                         (["sleep", "--frozen"], "frozen"), (["wake"], "running")):
        for names in (["with-json", "too"], ["too"]):
            equal([(s["name"], s["state"]) for s in host.json(*words, *names)],
                  [(name, state) for name in names],
                  f"{words[0]} --json of {len(names)} prints one array")
    got = cli(host, "start", "nosuch", "too", "--json")
    equal((got.returncode, [s["name"] for s in json.loads(got.stdout)]), (3, ["too"]),
          "of those for which it was done")
    got = cli(host, "rm", "with-json", "too", "--json")
    equal((got.returncode, got.stdout), (0, ""), "rm --json prints nothing")


def serve():
    """`kernelhost serve` itself, until SIGTERM."""
    host = Host("served")
    process = subprocess.Popen(["kernelhost", "serve"], env=host.env,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    ok("ready" in line and str(host.state) in line, f"serve says it is ready: {line}")
    host.cli("create", "served")
    equal(host.cli("run", "served", "-c", "1 + 1").stdout, "2\n", "serve serves")
    process.terminate()
    equal(process.wait(30), 0, "SIGTERM ends it with status 0")


def main():
    with Host() as host:
        notebooks.install_kernelspec(host)
        objects(host)
        run(host)
        run_notebook(host)
        execute(host)
        connect(host)
        stop_and_start(host)
        others(host)
        host.cli("rm", "mybox", "book")
        equal(host.cli("ls", "-q").stdout, "", "after rm there is nothing")
        equal(os.listdir(host.state / "sandboxes"), [], "on disk neither")
    serve()
    done()


main()
