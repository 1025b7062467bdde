"""descriptors: what a copy of this process shares with it, and what becomes of that.

A copy has the memory as it was. What the kernel keeps for a process is another matter:

    regular files, directories   the copy notes where they stand, and goes back there;
                                 what they contain is on the disk and stays as it is
    pipes, sockets, terminals,   what went through them is gone. In the copy they are
    epoll and the like           closed ones, so that nobody waits for it to hang up
    our output                   comes anew with the connection to init
    shared memory                is shared
    processes                    go on
"""

import fcntl
import os
import socket
import stat

LOST_MAX = 50  # that are told, at most
_NAME_MAX = 120  # characters
_CLOSED = "reads as closed after a rollback"
_STILL = "goes on as it is"
_SHARED = "is shared: its contents are not rolled back"
_WRITTEN = "goes back to its position; its contents are not rolled back"


class Held:
    """The descriptors of this process at this moment, but for those in ours.

    outputs maps the identity of an output pipe (identity()) to the stream's number;
    those in renewed are not told of, because the copy will renew them.
    """

    def __init__(self, ours, outputs, renewed):
        self._places = []  # (fd, identity, position, status flags)
        self._closed = [(fd, False) for fd in renewed]  # (fd, inheritable)
        self._outputs = []  # (fd, stream, inheritable)
        self._dead = None  # what those closed became
        self.lost = []
        for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
            if fd not in ours and fd not in renewed:
                try:
                    self._add(fd, os.fstat(fd), outputs)
                except OSError:
                    continue  # that of the listing itself

    def _add(self, fd, status, outputs):
        mode, name = status.st_mode, os.readlink(f"/proc/self/fd/{fd}")
        stream = outputs.get((status.st_dev, status.st_ino))
        if stream is not None:
            self._outputs.append((fd, stream, os.get_inheritable(fd)))
        elif stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            place = os.lseek(fd, 0, os.SEEK_CUR)
            self._places.append((fd, identity(fd), place, flags))
            if flags & os.O_ACCMODE != os.O_RDONLY:
                self._tell("file", name, _WRITTEN, fd=fd)
        elif not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) or os.isatty(fd):
            self._closed.append((fd, os.get_inheritable(fd)))
            what, name = _describe(fd, mode, name)
            self._tell(what, name, _CLOSED, fd=fd)

    def _tell(self, what, name, why, **more):
        self.lost.append({"what": what, "name": _plain(name), "why": why} | more)

    def note_memory(self):
        """Notes the shared mappings that can be written to."""
        seen = set()
        with open("/proc/self/maps", "rb") as file:
            for line in file:
                fields = line.split(None, 5)
                if fields[1][3:4] == b"s" and fields[1][1:2] == b"w":
                    name = fields[5].strip() if len(fields) > 5 else b""
                    seen.add(os.fsdecode(name))
        for name in sorted(seen):
            self._tell("memory", name, _SHARED)

    def note_processes(self):
        """Notes the processes that this one or its session has."""
        us, session = os.getpid(), os.getsid(0)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                state, parent, of = fields[0], int(fields[1]), int(fields[3])
                if int(pid) == us or state == b"Z" or us != parent and session != of:
                    continue
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = os.fsdecode(file.read().replace(b"\0", b" ").strip())
            except OSError:
                continue
            self._tell("process", line, _STILL, pid=int(pid))

    def told(self, count):
        """`lost`: all, or the first count of it and how many more there are."""
        left = len(self.lost) - count
        if left <= 0:
            return self.lost
        return [
            *self.lost[:count],
            {"what": "more", "name": f"{left} more", "why": ""},
        ]

    def close(self):
        """In the copy: lets go of what is not to be kept."""
        ours, theirs = socket.socketpair()
        theirs.close()
        self._dead = identity(ours.fileno())
        for fd, inheritable in self._closed:
            os.dup2(ours.fileno(), fd, inheritable)
        for fd, _stream, inheritable in self._outputs:
            os.dup2(ours.fileno(), fd, inheritable)
        ours.close()

    def restore(self, outputs):
        """In the copy, when it takes over: outputs are the descriptors of the new
        pipes, by stream. What garbage held may be closed by now."""
        for fd, stream, inheritable in self._outputs:
            if identity(fd) == self._dead:
                os.dup2(outputs[stream], fd, inheritable)
        for fd, what, place, flags in self._places:
            if identity(fd) == what:
                os.lseek(fd, place, os.SEEK_SET)
                fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def identity(fd):
    """What two descriptors of one file or pipe have in common; None if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _plain(name):
    name = name.encode("utf-8", "backslashreplace").decode()
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 3] + "..."


def _describe(fd, mode, name):
    if stat.S_ISSOCK(mode):
        return "socket", _address(fd) or name
    if stat.S_ISFIFO(mode):
        return "pipe", name
    if stat.S_ISCHR(mode):
        return "terminal", name
    return name.removeprefix("anon_inode:").strip("[]"), name


def _address(fd):
    try:
        with socket.socket(fileno=os.dup(fd)) as one:
            if one.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            host, port = one.getsockname()[:2]
            try:
                peer, peer_port = one.getpeername()[:2]
            except OSError:
                return f"{host} port {port}"
            return f"{host} port {port}, to {peer} port {peer_port}"
    except OSError:
        return None
