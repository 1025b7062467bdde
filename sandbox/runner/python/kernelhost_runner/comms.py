"""comms: what widgets of a client and objects of the user say to each other.

The package comm, which widget libraries import, asks two functions for comms and for
their manager. They are made ours before anybody can ask; its own classes do the rest,
also what is logged when a callback of the user fails. Without the package there are
no comms.
"""

import contextlib
import sys

from .display import flush

try:
    import comm
    from comm.base_comm import BaseComm, CommManager
except ModuleNotFoundError:
    comm = BaseComm = CommManager = None


def install(kernel):
    """Makes the package's functions ours. Returns the manager, or None."""
    if comm is None:
        return None

    class Comm(BaseComm):
        """A comm whose other end is at the clients of this kernel."""

        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            """Publishes for the request that the caller belongs to. Raises
            frame.MessageTooLarge, or what packing.pack and raw() raise."""
            if sys.is_finalizing():
                return  # it ends with the kernel, which clients hear of anyway
            with contextlib.suppress(Exception):
                flush()  # what was printed before; the user may have closed it
            content = {"data": {} if data is None else data, "comm_id": self.comm_id}
            buffers = [raw(buffer) for buffer in buffers or ()]
            self.kernel.publish(msg_type, content | keys, metadata, buffers)

    Comm.kernel = kernel
    manager = CommManager()
    manager.kernel = kernel
    comm.create_comm = Comm
    comm.get_comm_manager = lambda *_args, **_kwargs: manager
    return manager


def raw(buffer):
    """The bytes of a buffer as they are now. Raises TypeError or ValueError for what
    has none, or has gaps, in the words of jupyter_client."""
    try:
        view = memoryview(buffer)
    except TypeError:
        raise TypeError("Buffer objects must support the buffer protocol.") from None
    if not view.contiguous:
        raise ValueError(f"Buffer {buffer!r} is not contiguous")
    return view.tobytes(order="A")


def info(manager, target_name=None):
    """Content of comm_info_reply. Any thread."""
    comms = manager.comms if manager else {}
    return {
        "status": "ok",
        "comms": {
            ident: {"target_name": one.target_name}
            for ident, one in list(comms.items())
            if target_name is None or one.target_name == target_name
        },
    }


def handler(msg_type):
    """A function for requests.HANDLERS that gives the message to the manager."""

    def handle(kernel, _content):
        if kernel.comm_manager:
            getattr(kernel.comm_manager, msg_type)(None, [], kernel.get_parent())

    return handle
