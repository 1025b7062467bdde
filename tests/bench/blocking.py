"""blocking FILE COUNT: round trips of `1+1` through jupyter_client's blocking client,
to reply and idle, as nbclient and papermill do it; prints the milliseconds as JSON."""

import json
import sys
import time

from jupyter_client import BlockingKernelClient


def main():
    client = BlockingKernelClient()
    client.load_connection_file(sys.argv[1])
    client.start_channels()
    client.wait_for_ready(timeout=60)
    samples, count = [], int(sys.argv[2])
    for turn in range(count + 20):
        begun = time.perf_counter()
        ident = client.execute("1+1")
        client._recv_reply(ident, timeout=60)
        idle = False
        while not idle:
            message = client.get_iopub_msg(timeout=60)
            idle = (message["parent_header"].get("msg_id") == ident
                    and message["content"].get("execution_state") == "idle")
        if turn >= 20:
            samples.append((time.perf_counter() - begun) * 1000)
    client.stop_channels()
    print(json.dumps(samples))


if __name__ == "__main__":
    main()
