#!/usr/bin/env python3
"""The command line called wrongly: one line that names the cure, the documented exit
status, and nothing half made."""

import os
import shutil
import subprocess

from host import PREFIX, TMP, Host
from tap import done, equal, note, ok

KERNELHOST = str(PREFIX / "bin/kernelhost")

# Exit statuses of doc/kernelhost.1.
FAILURE, USAGE, NOT_FOUND, CONFLICT, NO_HOST = 1, 2, 3, 4, 5

# arguments, status, words of which each must be in the line
WRONG = [
    ("", USAGE, "kernelhost help"),
    ("frobnicate", USAGE, "frobnicate hint"),
    ("crate mybox", USAGE, "crate hint create"),
    ("image", USAGE, "image hint"),
    ("create a b", USAGE, "'b' hint"),
    ("create --colour", USAGE, "--colour"),
    ("create new --memory", USAGE, "--memory"),
    # names
    ("create Bad", USAGE, "Bad hint lower-case"),
    ("create -- -x", USAGE, "-x hint"),
    ("create under_score", USAGE, "under_score hint"),
    ("create ends-", USAGE, "ends- hint"),
    (f"create {'x' * 57}", USAGE, "hint"),
    ("create a/../../b", USAGE, "hint"),
    ("create é", USAGE, "hint"),
    ("create taken", CONFLICT, "taken hint"),
    # limits
    ("create new --memory lots", USAGE, "--memory lots hint"),
    ("create new --memory 0", USAGE, "--memory hint"),
    ("create new --memory -1", USAGE, "--memory"),
    ("create new --memory 1K", USAGE, "memory hint"),
    ("create new --memory 99999999T", USAGE, "memory"),
    ("create new --memory 512X", USAGE, "512X hint"),
    ("create new --cpus 0", USAGE, "--cpus"),
    ("create new --cpus nan", USAGE, "--cpus"),
    ("create new --cpus 1e9", USAGE, "cpus"),
    ("create new --cpus 100000", USAGE, "cpu"),
    ("create new --pids 3", USAGE, "--pids"),
    ("create new --pids 1000000", USAGE, "--pids"),
    ("create new --pids 5.5", USAGE, "--pids"),
    # images
    ("create new --image nosuch", NOT_FOUND, "nosuch hint"),
    ("create new --image ../default", USAGE, "../default hint"),
    # sandboxes that there are not
    ("show nosuch", NOT_FOUND, "nosuch hint"),
    ("rm nosuch", NOT_FOUND, "nosuch hint"),
    ("start nosuch", NOT_FOUND, "nosuch hint"),
    ("stop nosuch", NOT_FOUND, "nosuch hint"),
    ("connect nosuch", NOT_FOUND, "nosuch hint"),
    ("exec nosuch -- true", NOT_FOUND, "nosuch hint"),
    ("run nosuch -c 1", NOT_FOUND, "nosuch hint"),
    ("show Bad", USAGE, "Bad hint"),
    # kernels
    ("connect taken --kernel 00000000-0000-4000-8000-000000000000", NOT_FOUND, "0000"),
    ("connect taken --kernel nonsense", None, "nonsense"),
    # run and its files
    ("run taken nosuch.py", NOT_FOUND, "nosuch.py"),
    ("run taken nosuch.ipynb", NOT_FOUND, "nosuch.ipynb"),
    ("run taken broken.ipynb", FAILURE, "broken.ipynb"),
    ("run taken binary.py", None, "UTF-8"),
    ("run taken -c 1 script.py", USAGE, "not both"),
    ("run taken script.py -o out.ipynb", USAGE, "--output"),
    ("run taken good.ipynb -o nosuch/out.ipynb", None, "nosuch"),
    ("run taken -k cobol -c 1", USAGE, "language python"),
    ("run taken", USAGE, "nothing to run taken -c"),
    ("run taken --memory 1G -c 1", USAGE, "hint kernelhost run taken --create"),
    # idle
    ("idle taken --keep-awake --freeze-after 10s", USAGE, "--keep-awake 10s hint"),
    ("idle taken --hibernate-after 1h --keep-awake", USAGE, "--keep-awake 1h hint"),
    ("create new --keep-awake --freeze-after 10s", USAGE, "--keep-awake 10s hint"),
    # exec
    ("exec taken", USAGE, "usage"),
    ("exec taken -e novalue -- true", USAGE, "novalue hint"),
    ("exec taken --cwd /nosuch -- true", 127, "/nosuch"),
    ("exec taken -- /etc/passwd", 127, "/etc/passwd"),
    # kernel, kernelspec
    ("kernel", USAGE, "-f hint"),
    ("kernel -f nosuch.json", NOT_FOUND, "nosuch.json"),
    ("kernel -f binary.py", None, "binary.py"),
    ("kernel -f empty.json", USAGE, "_port"),
    ("kernel -f weak.json", USAGE, "key"),
    ("kernelspec install --name a/b", USAGE, "a/b hint"),
    ("kernelspec remove nosuch", NOT_FOUND, "nosuch hint"),
]

NOTEBOOK = ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
WEAK = ('{"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, '
        '"hb_port": 5, "ip": "127.0.0.1", "key": "", "transport": "tcp", '
        '"signature_scheme": "hmac-sha256"}')


def files():
    (TMP / "binary.py").write_bytes(b"\xff\xfe\x00\x01")
    (TMP / "broken.ipynb").write_text('{"cells": [')
    (TMP / "script.py").write_text("1\n")
    (TMP / "good.ipynb").write_text(NOTEBOOK)
    (TMP / "empty.json").write_text("{}")
    (TMP / "weak.json").write_text(WEAK)


def call(host, text, terminal=False, **options):
    """The command, as a list of words."""
    words = [KERNELHOST, *text.split()]
    if terminal:  # standard input is one
        words = ["script", "-qefc", " ".join(words), "/dev/null"]
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(words, env=host.env, cwd=TMP, capture_output=True, text=True,
                          timeout=60, **options)


def one_clear_line(got, text, status, words):
    """It failed as it should: status, one line on stderr, nothing on stdout."""
    line = got.stderr
    right = (
        got.returncode in ((1, 2, 3) if status is None else (status,))
        and line.startswith("kernelhost: ") and line.count("\n") == 1
        and not got.stdout and len(line) < 500
        and all(word in line for word in words.split())
    )
    if not ok(right, f"kernelhost {text[:60]}: status "
              f"{status or '1 to 3'} and a line with {words}"):
        note(f"status {got.returncode}\nstdout: {got.stdout}stderr: {line}")


def state_of(host):
    """What there is: the sandboxes, and every directory and record of one."""
    names = [s["name"] for s in host.json("ls")]
    return sorted(names), {
        top: sorted(os.listdir(host.state / top))
        for top in ("sandboxes", "damaged", "trash")
    }


def wrong_calls(host):
    before = state_of(host)
    for text, status, words in WRONG:
        if text == "run taken":
            got = call(host, text, terminal=True)
            got.stderr, got.stdout = got.stdout.replace("\r", ""), ""
        else:
            got = call(host, text)
        one_clear_line(got, text, status, words)
    equal(state_of(host), before, "all of that has made and removed nothing")


def several(host):
    host.cli("create", "one")
    host.cli("create", "two")
    got = call(host, "rm one nosuch two")
    equal((got.returncode, got.stderr.count("\n")), (NOT_FOUND, 1),
          "rm of several, one unknown: its status and one line")
    equal(sorted(host.cli("ls", "-q").stdout.split()), ["stopped", "taken"],
          "the others are removed")
    equal(call(host, "start taken").returncode in (0, CONFLICT), True,
          "start of a running sandbox does no harm")
    equal(call(host, "stop stopped").returncode in (0, CONFLICT), True,
          "nor stop of a stopped one")


def not_root(host):
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # Where it is installed may be a directory that only root can enter.
    program = shutil.copy(KERNELHOST, TMP / "kernelhost")
    TMP.chmod(0o755)
    for words in ("ls", "create x", "run taken -c 1", "exec taken -- id",
                  "connect taken", "serve"):
        got = subprocess.run([*nobody, program, *words.split()], env=host.env,
                             capture_output=True, text=True, stdin=subprocess.DEVNULL)
        one_clear_line(got, f"{words} as nobody", FAILURE, "root hint sudo")
    got = subprocess.run([*nobody, program, "help"], capture_output=True, text=True)
    equal(got.returncode, 0, "help is for everybody")
    code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); "
            f"s.connect('{host.state}/run/api.sock')")
    got = subprocess.run([*nobody, "/usr/bin/python3", "-c", code], capture_output=True,
                         text=True)
    ok(got.returncode != 0 and "Permission" in got.stderr,
       "nobody cannot connect to the API's socket")


def no_host():
    host = Host("empty", images=False)
    for words in ("ls", "show x", "create x", "rm x", "run x -c 1", "exec x -- true",
                  "connect x", "kernel -f weak.json", "start x", "stop x"):
        one_clear_line(call(host, words), f"{words} without a host", NO_HOST,
                       f"{host.state} hint serve")
    got = call(host, "image ls --json")
    equal((got.returncode, got.stdout), (0, "[]\n"), "image ls needs no host")
    equal(sorted(os.listdir(host.state)), ["layers"], "and nothing was made")
    host.start()
    one_clear_line(call(host, "create x"), "create without an image", NOT_FOUND,
                   "default hint")
    equal(os.listdir(host.state / "sandboxes"), [], "and nothing was made")
    host.stop()


def main():
    files()
    with Host() as host:
        host.cli("create", "taken")
        host.cli("create", "stopped")
        host.cli("stop", "stopped")
        wrong_calls(host)
        several(host)
        not_root(host)
        equal(host.cli("run", "taken", "-c", "1 + 1").stdout, "2\n",
              "the host still serves")
    no_host()
    done()


main()
