#!/usr/bin/env python3
"""Hibernation on a disk that is full, has no inodes, or is read-only, and with memory
that is damaged: a clear answer, the sandbox as it was, and recovery afterwards."""

import os
import subprocess

import session
from host import Host
from outlive import states
from tap import done, equal, ok

COUNT = "n = globals().get('n', 0) + 1; n"


def mount(*args):
    subprocess.run(["mount", *map(str, args)], check=True)


def refused(host, seen, what, words):
    """Neither sleeps nor forks; it goes on with all it had."""
    for command in (("sleep", "box"), ("snapshot", "box", "whole", "--memory"),
                    ("fork", "box", "other")):
        got = host.cli(*command, check=False)
        ok(got.returncode not in (0, 99) and any(w in got.stderr for w in words),
           f"{what}: {command[0]}: {got.stderr.strip()}")
        ok(states(host).get("box") in ("running", "frozen"), "it is not asleep")
        seen += 1
        equal(int(session.run(host, "box", COUNT)), seen, "and all is there")
    equal(sorted(states(host)), ["box"], "no other was made")
    left = [p.name for p in (host.state / "memory").iterdir() if p.name != "lost+found"]
    equal(left, [], "nothing half-made is left")
    return seen


def damaged(host, seen):
    """What is on the disk cannot be read: said, and tried again when asked again."""
    host.cli("sleep", "box")
    [memory] = (host.state / "memory").iterdir()
    pages = max(memory.glob("pages-*.img"), key=lambda p: p.stat().st_size)
    for path in (pages, memory / "inventory.img", memory / "pstree.img"):
        aside = path.with_suffix(".aside")
        os.rename(path, aside)
        path.write_bytes(b"nothing")
        got = host.cli("run", "box", "-c", COUNT, check=False)
        ok(got.returncode not in (0, 99) and "box" in got.stderr,
           f"damaged {path.name}: {got.stderr.strip()[:200]}")
        equal(states(host)["box"], "hibernated", "it is as it was")
        os.rename(aside, path)
        seen += 1
        equal(int(session.run(host, "box", COUNT)), seen, "repaired, it wakes")
        host.cli("sleep", "box")
    return seen


def main():
    host = Host("full")
    memory = host.state / "memory"
    memory.mkdir(mode=0o700)
    with host:
        host.cli("create", "box", "--keep-awake")
        seen = int(session.run(host, "box", COUNT))
        host.kill()
        full = ("No space left", "no room is left", "no inode is left")
        for what, options, words in (
            ("a full disk", "size=4m", full),
            ("no inodes", "size=1g,nr_inodes=12", full),
            ("a read-only disk", "ro,size=1g", ("Read-only",)),
        ):
            mount("-t", "tmpfs", "-o", f"mode=0700,{options}", "none", memory)
            host.start()
            seen = refused(host, seen, what, words)
            host.kill()
            subprocess.run(["umount", str(memory)], check=True)
        host.start()
        host.cli("sleep", "box")
        seen += 1
        equal(int(session.run(host, "box", COUNT)), seen,
              "with room, it sleeps and wakes")
        damaged(host, seen)
    done()


main()
