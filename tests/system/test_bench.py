#!/usr/bin/env python3
"""The measuring tools of ./dev bench run to their ends; no figure is looked at."""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tap import done, note, ok

HERE = pathlib.Path(__file__).resolve().parents[1]
BUILD = os.environ["KH_BUILDDIR"]


def main():
    made = subprocess.run(["make", "-C", BUILD, "-j2", "bench-tools"],
                          capture_output=True, text=True)
    ok(made.returncode == 0, "the tools build")
    out = pathlib.Path(os.environ["KH_TMP"]) / "bench"
    out.mkdir()
    ran = subprocess.run(
        [str(HERE / "bench/bench.py"), "--smoke", "--out", str(out)],
        capture_output=True, text=True, timeout=600)
    if not ok(ran.returncode == 0, "every measure runs, on all three kernels"):
        note(ran.stdout + ran.stderr)
        done()
    figures = json.loads((out / "figures.json").read_text())["figures"]
    ok({"kernelhost", "ipykernel", "null"} == {f["kernel"] for f in figures},
       "each of them has figures")
    ok("| execute `1+1`" in (out / "performance.md").read_text(), "there is a table")
    ok((out / "figures/execute.png").stat().st_size > 1000
       and (out / "figures/execute.svg").stat().st_size > 1000, "and a plot")
    done()


main()
