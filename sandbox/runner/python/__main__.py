"""Starts the Python runner: `python3 /.kernelhost/runner/python`.

Python puts this directory in front of sys.path. It is taken out as soon as the
package is found, so that nothing of the runner can be imported by accident and
no name of ours shadows a module of the user. The working directory is not on
the path yet: a /workspace/random.py cannot hurt what is imported here.
"""

import os
import sys

import kernelhost_runner  # noqa: F401  (found once, then known by its __path__)

sys.path.remove(os.path.dirname(__file__))

if __name__ == "__main__":
    from kernelhost_runner.runner import main

    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        # Not of user code, which raises inside IPython: of the runner itself.
        version = sys.version.split()[0]
        text = f"kernelhost: Python {version} here has no package {error.name!r}\n"
        os.write(2, text.encode())
        sys.exit(78)  # KH_RUNNER_UNFIT
