#!/usr/bin/env python3
"""Runs compare_ipykernel.py on all its cells, in the image with ipykernel."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from interpreters import image_root
from tap import skip_all

prepared = os.environ.get("KH_RUNNER_ROOT")
root = prepared or image_root("peer")
if not root:
    skip_all("needs root and the image 'peer' (hint: ./dev test)")
command = ["chroot", str(root), "python3", "/src/tests/system/compare_ipykernel.py"]
if prepared:
    command += ["--ipykernel", os.environ["KH_RUNNER_IPYKERNEL"]]
sys.exit(subprocess.run(command).returncode)
