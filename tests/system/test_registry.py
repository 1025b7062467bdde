#!/usr/bin/env python3
"""The registry: endpoints, keys and ids outlive every process, and it is only what it
adds to kernelhostd's records."""

import json
import pathlib
import socket
import sqlite3
import time

from host import Host
from jupyter_client import BlockingKernelClient
from tap import check, done, equal, note, ok


def database(host):
    return host.state / "registry/registry.db"


def rows(host, table):
    with sqlite3.connect(f"file:{database(host)}?mode=ro", uri=True) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()


def again(host, meanwhile=None):
    host.stop()
    if meanwhile:
        meanwhile()
    host.start()


def connected(host, name, *args):
    path = pathlib.Path(host.cli("connect", name, *args).stdout.strip())
    return path, path.read_text()


def kernel_id(host, name):
    return host.json("show", name)["kernels"][0]["id"]


def works(path):
    client = BlockingKernelClient()
    client.load_connection_file(str(path))
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        return client.execute_interactive("6 * 7", output_hook=lambda m: None)[
            "content"]["status"] == "ok"
    finally:
        client.stop_channels()


def restarts(host):
    host.cli("create", "one")
    ipc, tcp = connected(host, "one"), connected(host, "one", "--tcp")
    kernel = kernel_id(host, "one")
    again(host)
    equal(ipc[0].read_text(), ipc[1], "the connection file is there after a restart")
    equal(tcp[0].read_text(), tcp[1], "that for TCP, too, with the same ports")
    ok(works(ipc[0]), "a message on it starts sandbox and kernel again")
    ok(works(tcp[0]), "on TCP as well")
    equal(kernel_id(host, "one"), kernel, "the kernel has its id")
    equal(connected(host, "one"), ipc, "connect gives the same")
    mode = database(host).stat().st_mode & 0o777
    equal(oct(mode), "0o600", "nobody else can read the keys")


def reconciles(host):
    def meanwhile():
        with sqlite3.connect(database(host)) as db:
            db.execute("PRAGMA foreign_keys=ON")
            db.execute("DELETE FROM sandboxes WHERE name='one'")
            db.execute("INSERT INTO sandboxes VALUES"
                       "(?,'ghost','local','default','{}',1)", (bytes(16),))
            db.execute("INSERT INTO kernels VALUES(?,?,1,'python',0)",
                       ("01234567-89ab-cdef-0123-456789abcdef", bytes(16)))

    again(host, meanwhile)
    equal(host.cli("ls", "-q").stdout.split(), ["one"],
          "what has no record is not shown")
    equal(host.cli("run", "one", "-c", "1").stdout, "1\n", "what has no row works")
    host.cli("connect", "one")
    equal([row[1] for row in rows(host, "sandboxes")], ["one"],
          "rows are as records are")
    equal(len(rows(host, "kernels")), 1, "with their kernels")


def damaged(host):
    def meanwhile():
        with open(database(host), "r+b") as file:
            file.write(b"this is no database" * 500)

    again(host, meanwhile)
    ok("registry cannot be used and is set aside" in host.log_text(),
       "a damaged registry is set aside, and the log says so")
    equal(len(list((host.state / "registry").glob("*.damaged-*[0-9]"))), 1,
          "it is kept")
    equal(host.cli("run", "one", "-c", "2").stdout, "2\n", "sandboxes are there")
    ok(works(connected(host, "one")[0]), "and can be connected to")
    equal(len(rows(host, "bindings")), 1, "in a new registry")


def taken(host):
    path, text = connected(host, "one", "--tcp")
    port = json.loads(text)["iopub_port"]
    other = socket.socket()

    def meanwhile():
        other.bind(("127.0.0.1", port))
        other.listen()

    again(host, meanwhile)
    ok(not path.exists(), "a port is taken by somebody else: no connection file")
    other.close()
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
    ok(path.exists() and path.read_text() == text, "free again: all is as it was")
    ok(works(path), "and works")


def removed(host):
    host.cli("rm", "one")
    host.cli("create", "two")
    host.cli("connect", "two")
    equal([row[1] for row in rows(host, "sandboxes")], ["two"], "rm removes the rows")
    equal(len(rows(host, "bindings")), 1, "and what belongs to them")


def main():
    with Host() as host:
        for test in (restarts, reconciles, damaged, taken, removed):
            with check(test.__name__):
                test(host)
        equal(host.stop(), 0, "the host ends well")
        note(host.log_text()[-3000:])


main()
done()
