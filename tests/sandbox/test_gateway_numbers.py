#!/usr/bin/env python3
"""kernelhost-gateway and a kernel that is started under the number of one that is gone:
what that one said last may come later, and how the new one starts twice."""

from gateway_host import FINE, INFO, Gateway, Init, shown
from init_client import DEAD, READY, STARTING, STATE
from tap import check, done, equal, eventually, ok


class Successor(Init):
    """Attached to the journal of the number already, as a real init then is."""

    starts = 0

    def start(self, frame):
        self.starts += 1
        if self.starts > 1:
            self.entry(STATE, frame.kernel, flags=DEAD, ident=1, slices=[bytes(4)])
            self.entry(STATE, frame.kernel, flags=STARTING, ident=1)
            self.send(STATE, kernel=frame.kernel, seq=self.seq, flags=STARTING, ident=1)
            self.entry(STATE, frame.kernel, flags=READY, ident=1, slices=[INFO])
        else:
            super().start(frame)


class Late(Successor):
    """Speaks of a kernel when nobody knows it any more."""

    def exec(self, frame):
        self.entry(STATE, 1, flags=DEAD, ident=1, slices=[bytes(4)])
        super().exec(frame)


def kernels(g, name):
    return g.http("GET", f"/v1/sandboxes/{name}").json["kernels"]


def gone(g, name):
    path = f"/v1/sandboxes/{name}/kernels/{kernels(g, name)[0]['id']}"
    g.http("DELETE", path)
    return eventually(lambda: not kernels(g, name))


def successor():
    with Gateway() as g:
        for name, kind in (("early", Successor), ("late", Late)):
            g.create(name, kind)
            equal(shown(g.run(name)), FINE, f"{name}: a cell runs")
            ok(gone(g, name), f"{name}: its kernel is shut down")
            g.http("POST", f"/v1/sandboxes/{name}/exec", {"argv": ["a"]})
            equal(shown(g.run(name)), FINE, f"{name}: a cell runs in the next one")
            equal(g.inits[name].starts, 2, f"{name}: which has the same number")
            ok(not g.inits[name].closed.is_set(), f"{name}: the link stays")
        ok("died" not in g.text(), "no death is told of")


with check("successor"):
    successor()
done()
