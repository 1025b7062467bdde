"""talk: a jupyter_client client that keeps everything that comes back.

    talk = Talk(host.client("mybox"))
    cell = talk.execute("print(6 * 7)")
    assert cell.text == "42\\n" and cell.reply["status"] == "ok"
    first, second = talk.send("1/0"), talk.send("2")
    talk.finish(first, second)

Messages are sorted by their parent; the order in which they came on a channel is
kept in Talk.iopub and Talk.shell.
"""

import time

import zmq


class Cell:
    """One request and all that belongs to it."""

    def __init__(self, message):
        self.id = message["header"]["msg_id"]
        self.message = None  # the whole reply
        self.messages = []  # whole iopub messages, from busy to idle
        self.late = []  # what came after idle
        self.idle = False

    @property
    def reply(self):
        return self.message["content"] if self.message else None

    @property
    def types(self):
        """The types of the messages, with a status as its state."""
        return [
            m["content"]["execution_state"] if m["msg_type"] == "status"
            else m["msg_type"] for m in self.messages
        ]

    def contents(self, msg_type):
        return [m["content"] for m in self.messages if m["msg_type"] == msg_type]

    def stream(self, name, messages=None):
        return "".join(
            m["content"]["text"]
            for m in (self.messages if messages is None else messages)
            if m["msg_type"] == "stream" and m["content"]["name"] == name
        )

    @property
    def text(self):
        return self.stream("stdout")

    @property
    def stderr(self):
        return self.stream("stderr")

    @property
    def value(self):
        """text/plain of the execute_result, or None."""
        results = self.contents("execute_result")
        return results[0]["data"]["text/plain"] if results else None


class Talk:
    def __init__(self, client):
        self.client = client
        self.session = client.session
        self.cells = {}
        self.iopub = []  # every message, of others' requests too
        self.shell = []
        self.control = []
        self.keep = None  # function(message) -> False: an iopub message is not kept
        self.sockets = {
            client.shell_channel.socket: self.shell,
            client.control_channel.socket: self.control,
            client.iopub_channel.socket: self.iopub,
        }

    def close(self):
        self.client.stop_channels()

    def request(self, msg_type, content, channel="shell", metadata=None, buffers=None):
        """Sends any request."""
        message = self.session.msg(msg_type, content, metadata=metadata)
        cell = self.cells[message["header"]["msg_id"]] = Cell(message)
        socket = getattr(self.client, f"{channel}_channel").socket
        self.session.send(socket, message, buffers=buffers)
        return cell

    def send(self, code, **content):
        """Sends an execute_request."""
        default = {"silent": False, "store_history": True, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": True}
        return self.request("execute_request", {"code": code} | default | content)

    def execute(self, code, timeout=60, **content):
        """Sends it and waits for its reply and its idle."""
        return self.finish(self.send(code, **content), timeout=timeout)

    def finish(self, *cells, timeout=60):
        """Waits until all of them are replied and idle; returns the last."""
        self.until(
            lambda: all(cell.idle and cell.message for cell in cells), timeout,
            lambda: [(c.id, c.types[-5:], c.reply) for c in cells
                     if not (c.idle and c.message)],
        )
        return cells[-1]

    def until(self, condition, timeout=60, explain=lambda: ""):
        """Takes messages until the condition holds."""
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing for {timeout} s: {explain()}")
            self.take(min(left, 0.5))

    def listen(self, seconds):
        """Takes what comes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.take(left)

    def take(self, seconds):
        """Waits for messages and takes all there are."""
        poller = zmq.Poller()
        for socket in self.sockets:
            poller.register(socket, zmq.POLLIN)
        for socket, _ in poller.poll(max(1, int(seconds * 1000))):
            while socket.poll(0):
                _, message = self.session.recv(socket, mode=0)
                self._sort(message, self.sockets[socket])

    def _sort(self, message, channel):
        cell = self.cells.get(message["parent_header"].get("msg_id"))
        if channel is not self.iopub:
            channel.append(message)
            if cell:
                assert cell.message is None, f"a second reply: {message}"
                cell.message = message
            return
        if self.keep is None or self.keep(message):
            channel.append(message)
            if cell:
                (cell.late if cell.idle else cell.messages).append(message)
        if cell and message["content"].get("execution_state") == "idle":
            cell.idle = True
