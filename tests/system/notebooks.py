"""notebooks: executes notebooks in our kernels and in ipykernel, and compares.

Outputs are compared cell by cell, all of them, in order. Equal beforehand is only
what differs between two runs of the same kernel (SAME below), and how a stream is
cut into messages.
"""

import copy
import difflib
import json
import os
import pathlib
import re

import nbformat
from nbclient import NotebookClient

from host import SRCDIR, TMP

OURS = sorted((SRCDIR / "tests/data/notebooks").glob("*.ipynb"))
TOUR = SRCDIR / "examples/tour.ipynb"

# Memory addresses and times.
SAME = [
    (r"0x[0-9a-f]{6,}", "0xADDRESS"),
    (r"/tmp/ipykernel_\d+/\d+\.py", "/tmp/ipykernel_PID/CELL.py"),
    (r"<dc:date>[^<]*</dc:date>", "<dc:date>TIME</dc:date>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", "TIME"),
]

# Run inside the peer sandbox, which no port leads into: notebook in, notebook out.
DRIVER = """
import sys, nbformat, nbclient
notebook = nbformat.reads(sys.stdin.read(), as_version=4)
nbclient.NotebookClient(
    notebook, kernel_name="python3", allow_errors=True, timeout=int(sys.argv[1])
).execute()
sys.stdout.write(nbformat.writes(notebook))
"""


def read(path):
    return nbformat.read(path, as_version=4)


def install_kernelspec(host, *options, name="kernelhost"):
    """Makes our kernelspec known to every Jupyter program of this test."""
    prefix = TMP / "jupyter"
    host.cli(
        "--state", host.state, "kernelspec", "install", "--prefix", prefix,
        "--name", name, *options,
    )
    os.environ["JUPYTER_PATH"] = str(prefix / "share/jupyter")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(TMP / "runtime")
    os.environ["IPYTHONDIR"] = str(TMP / "ipython")
    return pathlib.Path(prefix / "share/jupyter/kernels" / name)


def by_us(path, **options):
    """The executed notebook, by nbclient through our kernelspec."""
    notebook = read(path)
    NotebookClient(
        notebook, kernel_name="kernelhost", allow_errors=True, timeout=120, **options
    ).execute()
    return notebook


def by_ipykernel(host, sandbox, path, timeout=120):
    """The executed notebook, by nbclient and ipykernel in a sandbox of image peer."""
    done = host.cli(
        "exec", sandbox, "--", "python3", "-c", DRIVER, timeout,
        input=path.read_text(), timeout=300,
    )
    return nbformat.reads(done.stdout, as_version=4)


def same(value):
    """The value with everything made equal that differs in every run."""
    if isinstance(value, str):
        for pattern, text in SAME:
            value = re.sub(pattern, text, value)
        return value
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items()}
    if isinstance(value, list):
        return [same(item) for item in value]
    return value


def outputs(cell):
    """A code cell's outputs; pieces of one stream in a row are one."""
    joined = []
    for output in copy.deepcopy(cell["outputs"]):
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output.get("name") == last.get("name"):
            last["text"] += output["text"]
        else:
            joined.append(dict(output))
    return same(joined)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def difference(ours, theirs):
    """What differs between two code cells, as lines; [] if nothing does."""
    texts = [
        json.dumps(
            {"execution_count": cell["execution_count"], "outputs": outputs(cell)},
            indent=1, sort_keys=True, ensure_ascii=False,
        ).splitlines()
        for cell in (theirs, ours)
    ]
    return [
        line[:400]
        for line in difflib.unified_diff(*texts, "ipykernel", "kernelhost", "", "", 2)
    ]
