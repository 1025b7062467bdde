"""interpreters: the Pythons that the runner is tested with.

    the image's python3    in a throw-away root over the image "default"; needs root
                           and KH_IMAGES, or KH_RUNNER_ROOT that names a prepared root
    the venv's python3     KH_VENV, another version of IPython

Each is a list of words to put in front of the runner's directory, and that
directory as it is called there.
"""

import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = SOURCE / "sandbox/runner/python"
NEEDS = "import IPython, comm"


def _mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def image_root(image="default"):
    """Mounts the image with a writable layer on top and the source tree at /src.
    Returns the root, or None where that cannot be done."""
    images, temp = os.environ.get("KH_IMAGES"), os.environ.get("KH_TMP")
    if os.geteuid() or not images or not temp:
        return None
    images = pathlib.Path(images)
    ident = (images / "images/names" / image).read_text().strip()
    text = (images / "images/id" / ident).read_text()
    layers = [
        line.split()[1] for line in text.splitlines() if line.startswith("layer ")
    ]
    base = pathlib.Path(temp) / f"root-{image}"
    for name in ("upper", "work", "root"):
        (base / name).mkdir(parents=True)
    # The temporary directory may itself be an overlay, which cannot be an upper.
    _mount("-t", "tmpfs", "tmpfs", base / "upper")
    (base / "upper/u").mkdir()
    (base / "upper/w").mkdir()
    lower = ":".join(str(images / "layers" / layer) for layer in layers)
    options = f"lowerdir={lower},upperdir={base}/upper/u,workdir={base}/upper/w"
    root = base / "root"
    _mount("-t", "overlay", "overlay", "-o", options, root)
    for name in ("proc", "dev"):
        _mount("--rbind", f"/{name}", root / name)
    (root / "src").mkdir()
    _mount("--bind", SOURCE, root / "src")
    return root


def interpreters():
    """Yields (name, command, package) for every Python that can be tested."""
    root = os.environ.get("KH_RUNNER_ROOT") or image_root()
    if root:
        yield "image", ["chroot", str(root), "python3"], "/src/sandbox/runner/python"
    venv = os.environ.get("KH_VENV")
    for python in [f"{venv}/bin/python3"] if venv else [sys.executable]:
        if subprocess.run([python, "-c", NEEDS], capture_output=True).returncode == 0:
            yield "venv", [python], str(PACKAGE)
