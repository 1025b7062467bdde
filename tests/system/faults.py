"""faults: a host that dies or fails at a named point (base/fault.h)."""

import re

from host import SRCDIR, Host


def points(pattern):
    """The names in kernelhostd's sources that match."""
    names = {
        name
        for path in (SRCDIR / "sandbox").glob("host/*.c")
        for name in re.findall(r'kh_fault\("([a-z-]+)"', path.read_text())
    }
    return sorted(name for name in names if re.match(pattern, name))


class Faulty(Host):
    """`fault` is in force from the next start on: NAME=kill, NAME=ENOSPC, ..."""

    fault = ""

    @property
    def env(self):
        return {**super().env, "KH_FAULT": self.fault}

    def begin(self, fault):
        """Another kernelhostd and gateway, with that fault; sandboxes run on."""
        self.kill()
        self.fault = fault
        self.start()
