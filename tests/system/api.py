"""api: the local HTTP API (doc/api.md) through Python's own HTTP client."""

import http.client
import json
import socket


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(host, method, path, body=None, timeout=60):
    """One request to the host; returns (status, parsed answer or None)."""
    connection = Connection(host.state / "run/api.sock", timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def kernel_of(host, name):
    """The id of the sandbox's first kernel."""
    status, answer = call(host, "GET", f"/v1/sandboxes/{name}/kernels")
    assert status == 200, answer
    return answer["kernels"][0]["id"]
