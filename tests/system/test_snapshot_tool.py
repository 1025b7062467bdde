#!/usr/bin/env python3
"""kernelhost-snapshot beside a host: how it is stopped, what it leaves to kernelhostd,
and which disk it takes for the host's."""

import fcntl
import os
import pathlib
import signal
import subprocess
import time

import api
from envelopes import directory, file, info, link, seal
from host import TMP, Host, run as command
from snapshots import TOOL, each, image_of, key_of, left, run, snapshots
from tap import done, equal, ok

GIB = 1 << 30


def tool(host, *words, fault="", **options):
    return subprocess.run([TOOL, f"--state={host.state}", *map(str, words)],
                          env={**os.environ, "KH_FAULT": fault}, text=True,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          **{"stdout": subprocess.PIPE, **options})


def adopt(host, ident):
    return api.call(host, "POST", "/v1/snapshots", {"import": ident})


def make(host, name="made.khs"):
    """An archive, once the host has a key."""
    host.cli("create", "box")
    host.cli("snapshot", "box", "first")
    tool(host, "export", "first", "-", stdout=subprocess.DEVNULL)
    (TMP / name).write_bytes(seal(key_of(host), info(image_of(host)) + directory(
        "", directory("workspace", file("a", b"by hand"), link("l", "a")),
        directory("etc"))))
    return TMP / name


def unwanted(host):
    """What nobody can make a snapshot of is taken back; whoever is second gets
    nothing."""
    archive = make(host)
    with open("/dev/full", "wb") as full:
        result = tool(host, "import", archive, "lost", stdout=full)
    ok(result.returncode == 1 and "id" in result.stderr,
       f"an id that cannot be told: {result.stderr.strip()}")
    equal(left(host), [], "nothing is left of that import")
    ident = tool(host, "import", archive, "made").stdout.strip()
    for wrong in (ident + "0", ident + "/../x", ident[:-1], ident.upper(), ""):
        equal(tool(host, "discard", wrong).returncode, 2, f"'{wrong}' is no id")
    equal(adopt(host, ident)[0], 201, "and nothing was discarded")
    host.cli("snapshot", "rm", "made")
    ident = tool(host, "import", archive, "made").stdout.strip()
    tool(host, "discard", ident, fault="import-gone=kill")
    status, answer = adopt(host, ident)
    equal((status, answer.get("code")), (404, "not_found"),
          f"what is being discarded becomes no snapshot: {answer}")
    host.kill()
    host.start()
    equal((left(host), snapshots(host)), ([], ["first"]), "and goes with the next host")
    ident = tool(host, "import", archive, "made").stdout.strip()
    equal(adopt(host, ident)[0], 201, "the other way round it is one")
    equal(tool(host, "discard", ident).returncode, 0, "which a discard is too late for")
    host.cli("create", "of", "--from", "made")
    equal(run(host, "of", "print(open('/workspace/a').read())"), "by hand\n",
          "and takes nothing of")


def limits(host):
    """Without limits of its own, a snapshot is held to the host's."""
    archive = make(host)
    result = tool(host, f"--max-size={12 * GIB}", "import", archive, "large")
    ident = result.stdout.strip()
    disk = pathlib.Path(f"/proc/{host.pid}/root{host.state}/disk")
    with open(disk / ident / "upper/reserved", "wb") as reserved:
        os.posix_fallocate(reserved.fileno(), 0, 11 * GIB)
    command("sync", "--file-system", disk)
    equal(adopt(host, ident)[0], 201, "a snapshot holds 11G")
    result = host.cli("create", "small", "--from", "large", check=False)
    ok(result.returncode == 2 and "holds" in result.stderr,
       f"it is more than the default: {result.stderr.strip()}")
    host.cli("create", "wide", "--from", "large", "--disk", "12G")
    equal(run(host, "wide", "print(open('/workspace/a').read())"), "by hand\n",
          "with as much as it needs it serves")
    shown = dict(line.split(None, 1)
                 for line in host.cli("snapshot", "show", "large").stdout.splitlines())
    equal([shown[name].strip() for name in ("memory", "cpus", "pids", "disk")],
          ["default"] * 4, "and is shown without limits")


def tools():
    """Processes that run the tool, by id."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "exe") == str(TOOL):
                found.append(int(process.name))
        except OSError:
            pass
    return found


def wait_for(what, seconds=10):
    for _ in range(seconds * 100):
        if what():
            return True
        time.sleep(0.01)
    return False


def stalled(host):
    """Who sends an archive may stop in the middle, and who reads one, too."""
    archive = make(host)
    host.cli("exec", "box", "--", "sh", "-c",
             "head -c 20000000 /dev/urandom >/workspace/x")
    host.cli("snapshot", "box", "second")
    # From a terminal the signal comes to all of a process group; from elsewhere to one.
    for sign, whole in ((signal.SIGINT, True), (signal.SIGHUP, True),
                        (signal.SIGTERM, False)):
        for words in (("import", "-", "part"), ("export", "second", "-")):
            ours, theirs = os.pipe()
            importing = words[0] == "import"
            if importing:
                os.write(theirs, archive.read_bytes()[:150])
            process = subprocess.Popen(
                host.command("snapshot", *words), env=host.env, start_new_session=True,
                stdin=ours if importing else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if importing else theirs,
                stderr=subprocess.DEVNULL)
            what = f"{words[0]} ends with {sign.name}"
            ok(wait_for(tools), f"{words[0]} waits for the other end of a pipe")
            time.sleep(0.3)
            (os.killpg if whole else os.kill)(process.pid, sign)
            try:
                status = process.wait(10)
            except subprocess.TimeoutExpired:
                status = "never"
            wanted = [128 + sign] if whole or not importing else [128 + sign, -sign]
            ok(status in wanted, f"{what}: {status}")
            ok(wait_for(lambda: not tools()), "and no process is left of it")
            for pid in tools():
                os.kill(pid, signal.SIGKILL)
            process.wait()
            os.close(ours)
            os.close(theirs)
            equal((left(host), snapshots(host)), ([], ["first", "second"]),
                  "nor anything else")


def places(host):
    """However the state directory is named; and a disk is one of its own."""
    make(host)
    (TMP / "link").symlink_to(host.state)
    (TMP / "up").symlink_to(TMP)
    for number, state in enumerate((
            host.state.name, TMP / "link", TMP / "up" / host.state.name)):
        result = subprocess.run(
            [TOOL, f"--state={state}", "export", "first", f"place-{number}.khs"],
            cwd=TMP, capture_output=True, text=True)
        equal((result.returncode, (TMP / f"place-{number}.khs").exists()), (0, True),
              f"as {state}: {result.stderr.strip()}")
    other = TMP / "other"
    other.mkdir()
    with open(TMP / "other.img", "wb") as image:
        image.truncate(256 << 20)
    command("mkfs.btrfs", "-q", TMP / "other.img")
    command("mount", "-o", "loop", TMP / "other.img", other)
    for name in ("snapshots", "images", "disk"):
        (other / name).mkdir()
    with open(other / "lock", "wb") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        result = subprocess.run([TOOL, f"--state={other}", "export", "first", "-"],
                                capture_output=True, text=True)
    ok(result.returncode == 1 and "has no disk" in result.stderr,
       f"a directory of the state's own btrfs is no disk: {result.stderr.strip()}")
    command("umount", other)


with Host() as private:
    each(private, unwanted, limits, stalled, places)
done()
