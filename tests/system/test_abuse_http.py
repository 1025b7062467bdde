#!/usr/bin/env python3
"""Raw bytes and strange requests against the API's socket."""

import contextlib
import json
import pathlib
import re
import socket
import threading
import time

import api
from host import Host
from tap import check, done, equal, note, ok


class Raw:
    """A connection, byte by byte."""

    def __init__(self, host):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(host.state / "run/api.sock"))

    def send(self, data):
        self.sock.sendall(data)
        return self

    def answer(self):
        """(status, body) of the answer, or (None, b"") if it only closed."""
        data = b""
        with contextlib.suppress(OSError):
            while chunk := self.sock.recv(65536):
                data += chunk
                head, _, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if length and len(body) >= int(length[1]):
                    break
        found = re.match(rb"HTTP/1\.1 (\d{3})", data)
        return (int(found[1]) if found else None), data.partition(b"\r\n\r\n")[2]


def requests():
    """(what, bytes, the statuses that are right; None: closed without a word)."""
    head = b"Host: localhost\r\n"
    post = b"POST /v1/sandboxes HTTP/1.1\r\n" + head
    return [
        ("random bytes", bytes(range(256)) * 8, (400, None)),
        ("no method", b" / HTTP/1.1\r\n\r\n", (400, None)),
        ("HTTP/9.9", b"GET /v1/health HTTP/9.9\r\n" + head + b"\r\n",
         (400, 505, None)),
        ("no Host", b"GET /v1/health HTTP/1.1\r\n\r\n", (400, None)),
        ("a path of 100 kB", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
         (400, 414, 431, None)),
        ("a header of 100 kB", b"GET /v1/health HTTP/1.1\r\n" + head + b"X: "
         + b"x" * 100_000 + b"\r\n\r\n", (400, 431, None)),
        ("10,000 headers", b"GET /v1/health HTTP/1.1\r\n" + head
         + b"".join(b"X-%d: 1\r\n" % n for n in range(10000)) + b"\r\n",
         (400, 431, None)),
        ("Content-Length: -1", post + b"Content-Length: -1\r\n\r\n", (400, None)),
        ("Content-Length: 99999999999999999999",
         post + b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413, None)),
        ("a chunk of 2^63", post + b"Transfer-Encoding: chunked\r\n\r\n"
         b"ffffffffffffffff\r\nxxxx", (400, 413, None)),
        ("a chunk that is none", post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
         (400, None)),
    ]


# method, path, body (bytes or JSON), status, code
STRANGE = [
    ("GET", "/", None, 404, "not_found"),
    ("GET", "/v2/health", None, 404, "not_found"),
    ("GET", "/v1", None, 404, "not_found"),
    ("GET", "/v1/sandboxes/box/nosuch", None, 404, "not_found"),
    ("GET", "/v1/sandboxes/nosuch", None, 404, "not_found"),
    ("GET", "/v1/sandboxes/..%2f..%2fetc", None, (400, 404), None),
    ("GET", "/v1/sandboxes/%00", None, (400, 404), None),
    ("GET", "/v1/sandboxes/Bad_Name", None, (400, 404), None),
    ("DELETE", "/v1/health", None, 405, "method"),
    ("PATCH", "/v1/sandboxes/box", None, 405, "method"),
    ("BREW", "/v1/sandboxes", None, 405, "method"),
    ("GET", "/v1/sandboxes/box/exec", None, 405, "method"),
    ("POST", "/v1/sandboxes", b"{", 400, "invalid"),
    ("POST", "/v1/sandboxes", b"[]", 400, "invalid"),
    ("POST", "/v1/sandboxes", b"\xff\xfe", 400, "invalid"),
    ("POST", "/v1/sandboxes", b'{"name":"new","name":"new"}', 400, "invalid"),
    ("POST", "/v1/sandboxes", b'{"a":' * 100_000, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": 7}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "a\0b"}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "x" * 10 ** 6}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "../up"}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "box"}, 409, "exists"),
    ("POST", "/v1/sandboxes", {"name": "new", "memory": "lots"}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "memory": -1}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "memory": 1e300}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "cpus": "two"}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "cpus": -1}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "pids": 1.5}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "pids": 2 ** 62}, 400, "invalid"),
    ("POST", "/v1/sandboxes", {"name": "new", "image": "nosuch"}, 404, "not_found"),
    ("POST", "/v1/sandboxes", {"name": "new", "image": ["x"]}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/run", {}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/run", {"code": 1}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/run", {"code": "1", "kernel": "x"}, (400, 404), None),
    ("POST", "/v1/sandboxes/box/exec", {}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/exec", {"argv": []}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/exec", {"argv": "ls"}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/exec", {"argv": ["a\0b"]}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/exec", {"argv": ["x"] * 10 ** 5}, (200, 400), None),
    ("POST", "/v1/sandboxes/box/exec", {"argv": ["true"], "env": {"A=B": "1"}}, 400,
     "invalid"),
    ("POST", "/v1/sandboxes/box/exec", {"argv": ["true"], "stdin": "%%%"}, 400,
     "invalid"),
    ("POST", "/v1/sandboxes/box/connect", {"transport": "udp"}, 400, "invalid"),
    ("POST", "/v1/sandboxes/box/connect", {"transport": "tcp", "ip": "0.0.0.0x"}, 400,
     "invalid"),
    ("POST", "/v1/sandboxes/box/kernels", {"language": "cobol"}, (400, 404), None),
    ("POST", "/v1/launch", {}, 400, "invalid"),
    ("POST", "/v1/launch", {"connection": {"transport": "tcp"}}, 400, "invalid"),
]


def send(host, method, path, body):
    """(status, body as bytes)."""
    connection = api.Connection(host.state / "run/api.sock", timeout=30)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, data)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def strange(host):
    for method, path, body, status, code in STRANGE:
        statuses = status if isinstance(status, tuple) else (status,)
        what = f"{method} {path} {str(body)[:60] if body is not None else ''}"
        try:
            got, text = send(host, method, path, body)
            answer = json.loads(text.splitlines()[0]) if text else {}
        except (OSError, ValueError) as error:
            ok(False, f"{what}: {error}")
            continue
        right = got in statuses and (got == 200 or bool(answer.get("message")))
        if not ok(right and (code is None or answer.get("code") == code),
                  f"{what}: {status} {code or ''}"):
            note(f"{got} {answer}")


def large_bodies(host):
    got, text = send(host, "POST", "/v1/sandboxes", b" " * (65 << 20))
    equal((got, json.loads(text)["code"]), (413, "too_large"), "a body of 65 MiB: 413")
    got, _ = send(host, "POST", "/v1/sandboxes", b" " * (63 << 20))
    equal(got, 400, "one of 63 MiB is read")
    got, text = send(host, "POST", "/v1/sandboxes/box/run",
                     {"code": "len('" + "x" * (20 << 20) + "')"})
    ok(got == 200 and b'"20971520"' in text, "20 MiB of code run")
    many = [Raw(host) for _ in range(8)]
    for raw in many:
        raw.send(b"POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000"
                 b"\r\n\r\n")
    threads = [threading.Thread(target=lambda r=raw: contextlib.suppress(OSError)
                                and quietly(r.send, b"x" * 50_000_000)) for raw in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with check("eight bodies of 50 MB that never end: others are served"):
        assert api.call(host, "GET", "/v1/health")[0] == 200
    for raw in many:
        raw.sock.close()


def quietly(function, *arguments):
    with contextlib.suppress(OSError):
        function(*arguments)


def slow_clients(host):
    """Heads that never end, answers that nobody reads."""
    held = [Raw(host) for _ in range(200)]
    for n, raw in enumerate(held):
        raw.send(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * n)
    lazy = Raw(host).send(
        b"POST /v1/sandboxes/box/run HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n"
        + json.dumps({"code": "print('x' * 200_000_000)"}).encode().ljust(40))
    time.sleep(2)
    status, answer = api.call(host, "GET", "/v1/health", timeout=10)
    equal((status, answer["status"]), (200, "ok"),
          "200 slow clients and one that does not read: others are served")
    equal(host.cli("exec", "other", "--", "echo", "fine").stdout, "fine\n",
          "and so are other sandboxes")
    for raw in [*held, lazy]:
        raw.sock.close()
    equal(host.cli("run", "box", "-c", "1 + 1", timeout=60).stdout, "2\n",
          "the kernel goes on when it has gone")


def rss(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) // 1024


def main():
    with Host() as host:
        host.cli("create", "box")
        host.cli("create", "other")
        pid = api.call(host, "GET", "/v1/health")[1]["pid"]
        for what, data, statuses in requests():
            raw = Raw(host)
            with contextlib.suppress(OSError):
                raw.send(data)
            raw.sock.shutdown(socket.SHUT_WR)
            got, _ = raw.answer()
            if not ok(got in statuses, f"{what}: refused"):
                note(f"status {got}")
            raw.sock.close()
        strange(host)
        equal(sorted(host.cli("ls", "-q").stdout.split()), ["box", "other"],
              "nothing was made or removed")
        large_bodies(host)
        slow_clients(host)
        equal(api.call(host, "GET", "/v1/health")[1]["pid"], pid,
              "it is the same gateway all the time")
        time.sleep(1)
        ok(rss(pid) < 300, f"it has {rss(pid)} MiB now, below 300")
        host.cli("rm", "box", "other")
        equal(host.stop(), 0, "the host ends well")
    done()


main()
