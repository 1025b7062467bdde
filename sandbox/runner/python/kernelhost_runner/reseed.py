"""reseed: a copy of a runner must not draw what the original draws.

Sandboxes are forked with their memory: all that drew its seed earlier would go on with
the same numbers in each of them. What is known to hold such a state gets a new one;
what cannot be found (a Generator in a variable) goes on, as a program's own seed does.
What asks the kernel (os.urandom, secrets, uuid4) needs nothing.
"""

import sys


def _random(module, entropy):
    module.seed(entropy)


def _numpy(module, entropy):
    module.seed([int.from_bytes(entropy[i:i + 4], "little") for i in range(0, 64, 4)])


def _openssl(module, entropy):
    module.RAND_add(entropy, float(len(entropy)))


def _tempfile(module, _entropy):
    module._name_sequence = None


def _torch(module, entropy):
    module.manual_seed(int.from_bytes(entropy[:8], "little") >> 1)


_HOLDERS = {"random": _random, "numpy.random": _numpy, "_ssl": _openssl,
            "tempfile": _tempfile, "torch": _torch}


# What nobody wants to draw twice; the others are as they were after a rollback.
SECRETS = frozenset({"_ssl"})
ALL = frozenset(_HOLDERS)


def reseed(entropy, modules=ALL):
    """Mixes 64 bytes into every generator of these modules that is loaded."""
    for name, mix in _HOLDERS.items():
        module = sys.modules.get(name)
        if module is None or name not in modules:
            continue
        try:
            mix(module, entropy)
        except Exception:  # noqa: BLE001 - a user's module of that name
            pass
