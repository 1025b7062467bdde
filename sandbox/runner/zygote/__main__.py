"""Starts a zygote: `python3 /.kernelhost/runner/zygote FD`, by kernelhostd only.

FD is the socket to kernelhostd. As with the runner, its package and ours are
found once and taken out of sys.path again.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(os.path.dirname(_HERE), "python"))

import kernelhost_runner  # noqa: E402, F401
import kernelhost_zygote  # noqa: E402, F401

del sys.path[:2]

if __name__ == "__main__":
    from kernelhost_zygote.zygote import main

    sys.exit(main(int(sys.argv[1])))
