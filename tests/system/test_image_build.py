#!/usr/bin/env python3
"""kernelhost image build: packages on top of an image that was built here. Debian's
and Python's come from the network, as for the default image."""

import os

import archives
from host import IMAGES, TMP, Host, run
from tap import check, done, equal, note, ok


def borrow(host):
    """The default image, its layers mounted one by one: the store stays writable."""
    ident = (IMAGES / "images/names/default").read_text().strip()
    lines = (IMAGES / "images/id" / ident).read_text().splitlines()
    layers = [line.split()[1] for line in lines[1:]]
    for part in ("names", "id"):
        (host.state / "images" / part).mkdir(parents=True)
    for path in ("names/default", f"id/{ident}"):
        data = (IMAGES / "images" / path).read_bytes()
        (host.state / "images" / path).write_bytes(data)
    for layer in layers:
        target = host.state / "layers" / layer
        target.mkdir()
        run("mount", "--bind", IMAGES / "layers" / layer, target)
        run("mount", "-o", "remount,bind,ro", target)
    return layers


def write(name, text):
    path = TMP / name
    path.write_text(text)
    return path


def builds(host, base):
    packages = write("packages", "# what is wanted\ntree   # shows trees\n\n")
    wheels = write("requirements", "tabulate==0.9.0\n")
    got = host.cli("image", "build", "more", "--packages", packages,
                   "--requirements", wheels, timeout=600)
    note(got.stdout[-2000:])
    made = {i["name"]: i for i in host.json("image", "ls")}
    equal([layer["id"] for layer in made["more"]["layers"]][1:], base,
          "one layer on top of the default image")
    size = made["more"]["layers"][0]["size"]
    ok(1000 < size < 30 << 20, f"with the packages in it, no more: {size} bytes")
    equal(made["more"]["kernels"], ["python"], "it runs Python kernels")
    host.cli("create", "box", "--image", "more")
    ok("tree v" in host.cli("exec", "box", "--", "tree", "--version").stdout,
       "Debian's package works")
    code = "import pandas, tabulate; tabulate.__version__"
    got = host.cli("run", "box", "-c", code)
    equal(got.stdout, "'0.9.0'\n", "so does Python's, beside those of the image")
    got = host.cli("exec", "box", "--", "cat", "/etc/resolv.conf")
    equal(got.stdout, "", "the host's names did not stay")
    layer = host.state / "layers" / made["more"]["layers"][0]["id"]
    files = {os.path.relpath(os.path.join(top, name), layer)
             for top, dirs, names in os.walk(layer) for name in dirs + names}
    gone = ("proc", "dev", "tmp", "run", "root")
    equal([f for f in files if f.split("/")[0] in gone], [],
          "nothing of the build is in the layer")
    host.cli("rm", "box")


def refusals(host):
    tar = TMP / "foreign.tar"
    apt = ("usr/bin/apt-get", b"#!/bin/sh\n", {"mode": 0o755})
    tar.write_bytes(archives.tar([apt]))
    host.cli("image", "import", tar, "foreign")
    good = write("good", "tree\n")
    for words, want in (
            (["x", "--from", "foreign", "--packages", good], "was imported"),
            (["x", "--from", "nosuch", "--packages", good], "no image 'nosuch'"),
            (["x", "--from", "default"], "nothing to add"),
            (["Bad", "--packages", good], "image name"),
            (["x", "--packages", write("bad", "tree; id\n")], "no image was built"),
            (["x", "--packages", write("option", "-o=Dir::Bin=/x\n")], "no image was"),
            (["x", "--packages", TMP / "nosuch"], "no image was built")):
        got = host.cli("image", "build", *words, check=False)
        ok(got.returncode and want in got.stderr.splitlines()[-1],
           f"{' '.join(map(str, words))}: {got.stderr.splitlines()[-1:]}")
    equal([p for p in os.listdir(host.state / "layers") if p[0] == "."], [],
          "nothing is left half-made")
    equal(sorted(os.listdir(host.state / "images/names")),
          ["default", "foreign", "more"], "no image came of it")
    with open("/proc/self/mountinfo") as file:
        equal([line for line in file if "overlay" in line], [], "nothing is mounted")
    host.cli("image", "rm", "foreign", "more")


def main():
    host = Host(images=False)
    base = borrow(host)  # before kernelhostd has mounts of its own
    with host:
        for part, args in ((builds, (host, base)), (refusals, (host,))):
            with check(f"{part.__name__}: all was tried"):
                part(*args)
        equal(sorted(os.listdir(host.state / "layers")), sorted(base),
              "afterwards the default image is as it was")


main()
done()
