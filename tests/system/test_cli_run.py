#!/usr/bin/env python3
"""`kernelhost run` where signals, terminals and files are concerned."""

import os
import pty
import signal
import stat
import subprocess
import time

import nbformat

from host import PREFIX, TMP, Host
from tap import check, done, equal, ok


def start(host, *args, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(
        [PREFIX / "bin/kernelhost", "run", "mybox", *args],
        env=host.env,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,
    )


def notebook(name, *cells):
    """Writes a notebook of code cells: sources, or pairs of source and tags."""
    book = nbformat.v4.new_notebook()
    for cell in cells:
        source, *tags = (cell,) if isinstance(cell, str) else cell
        book.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}))
    path = TMP / name
    nbformat.write(book, path)
    return path


def outputs(path):
    """What the cells put out, in short. The notebook must be valid."""
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    return [
        [o.get("text") or o.get("ename") or o["data"]["text/plain"] for o in c.outputs]
        for c in book.cells
    ]


def read_terminal(fd):
    text = b""
    try:
        while piece := os.read(fd, 65536):
            text += piece
    except OSError:  # how a terminal ends
        pass
    return text


def terminals(host):
    """A traceback on a terminal keeps its colours and nothing else."""
    master, slave = pty.openpty()
    code = r"raise ValueError('\x1b]0;evil\x07\x1b[2Jvalue')"
    process = start(host, "-c", code, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    text = read_terminal(master)
    os.close(master)
    equal(process.wait(), 1, "code that raises: status 1")
    ok(b"\x1b[" in text and b"ValueError" in text, "its traceback has colours there")
    ok(b"\x1b]" not in text and b"\x1b[2J" not in text, "and drives it in no other way")
    result = host.cli("run", "mybox", "-c", "len?")
    ok(
        "number of items" in result.stdout and "\x1b" not in result.stdout,
        "the help on an object is printed",
    )


def interrupts(host):
    with check("a second Ctrl-C leaves, and the code goes on"):
        process = start(
            host,
            "-c",
            (
                "import time\nprint('go', flush=True)\ntry: time.sleep(60)\n"
                "except KeyboardInterrupt: time.sleep(3)\nz = 8"
            ),
        )
        assert process.stdout.readline() == "go\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=2) == 130
        process.communicate()
        assert host.cli("run", "mybox", "-c", "z").stdout == "8\n"
    with check("SIGTERM leaves at once, and what ran is written"):
        out = TMP / "ended.ipynb"
        path = notebook("in.ipynb", "1", "print('go', flush=True)\ntime.sleep(4)", "2")
        process = start(host, path, "-o", out)
        assert "[1/3] ok" in process.stderr.readline()
        time.sleep(1)
        process.terminate()
        assert process.wait(timeout=2) == 128 + signal.SIGTERM
        process.communicate()
        assert outputs(out) == [["1"], ["go\n"], []], outputs(out)
    with check("Ctrl-C stops a notebook, and what ran is written"):
        host.cli("run", "mybox", "-c", "0")  # waits for the cell above
        process = start(host, path, "-o", out, "--allow-errors")
        assert "[1/3] ok" in process.stderr.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert "[2/3] interrupted" in process.communicate(timeout=20)[1]
        assert process.returncode == 130
        assert outputs(out) == [["1"], ["go\n", "KeyboardInterrupt"], []], outputs(out)


def files(host):
    out = TMP / "out.ipynb"
    with check("tags are heeded, and a line a cell says what happened"):
        path = notebook(
            "tags.ipynb",
            "a = 2",
            "",
            ("print('never')", "skip-execution"),
            ("1/0", "raises-exception"),
            "a",
        )
        result = host.cli("run", "mybox", path, "-o", out)
        assert outputs(out) == [[], [], [], ["ZeroDivisionError"], ["2"]], outputs(out)
        said = [line.split()[1] for line in result.stderr.splitlines()]
        assert said == ["ok", "empty", "skipped", "error", "ok"], result
        assert result.stdout == ""
    with check("displays are updated and cleared"):
        path = notebook(
            "display.ipynb",
            "from IPython.display import clear_output, display\n"
            "h = display('one', display_id=True)\nprint('x')",
            "h.update('two')\nprint('y')\nclear_output(wait=True)\nprint('z')",
        )
        host.cli("run", "mybox", path, "-o", out)
        assert outputs(out) == [["'two'", "x\n"], ["z\n"]], outputs(out)
    with check("in place, the file keeps mode and owner, and a link stays one"):
        path.chmod(0o640)
        os.chown(path, 1234, 1234)
        link = TMP / "link.ipynb"
        link.symlink_to(path)
        host.cli("run", "mybox", link, "-o", link)
        assert outputs(path)[1] == ["z\n"] and link.is_symlink()
        now = path.stat()
        assert (now.st_mode & 0o777, now.st_uid) == (0o640, 1234), now
    with check("a device is written through, not replaced"):
        host.cli("run", "mybox", path, "-o", "/dev/null")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
        out.write_text(host.cli("run", "mybox", path, "-o", "-").stdout)
        assert outputs(out) == outputs(path)
    with check("a target that cannot be written is refused before anything runs"):
        path = notebook("late.ipynb", "late = 1")
        result = host.cli("run", "mybox", path, "-o", "/nonesuch/x", check=False)
        assert result.returncode == 3 and "/nonesuch" in result.stderr, result
        result = host.cli("run", "mybox", "-c", "late", check=False)
        assert "NameError" in result.stderr
    with check("a long state directory is reached all the same"):
        deep = TMP / ("d" * 110)
        deep.symlink_to(host.state)
        assert host.cli("--state", deep, "run", "mybox", "-c", "a").stdout == "2\n"


def creates(host):
    with check("run --create makes the sandbox, once"):
        code = "import os; print(os.cpu_count()); made = 5"
        host.cli("run", "made", "--create", "--memory", "128M", "-c", code)
        assert host.cli("run", "made", "--create", "-c", "made").stdout == "5\n"
        assert host.json("show", "made")["limits"]["memory"] == 128 << 20
    with check("and for a notebook, and after a stop"):
        path = notebook("create.ipynb", "print('book')")
        result = host.cli("run", "book", "--create", path, "-o", TMP / "created.ipynb")
        assert outputs(TMP / "created.ipynb") == [["book\n"]], result
        host.cli("stop", "book")
        assert host.cli("run", "book", "-c", "print(1)").stdout == "1\n"
    with check("a kernel that stays dead is started again by the next run"):
        for _ in range(6):
            host.cli("run", "made", "-c", "import os; os._exit(3)", check=False)
        assert host.json("show", "made")["kernels"][0]["execution_state"] == "dead"
        assert host.cli("run", "made", "-c", "print(2)").stdout == "2\n"
    result = host.cli("run", "none", "-m", "64M", "-c", "1", check=False)
    ok(result.returncode == 2 and "--create" in result.stderr,
       "limits without --create are refused")
    host.cli("rm", "made", "book")


with Host() as host:
    host.cli("create", "mybox")
    creates(host)
    terminals(host)
    interrupts(host)
    files(host)
done()
