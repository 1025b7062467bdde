"""claim: a confined child waits until init has a kernel for it, and is its runner.

The child can only be what a Python started just now would be. Where that may not
hold (other packages than the image's, another environment, a module in the
working directory with the name of one that is imported already), it executes
Python: the same process, the same descriptors, only slower.
"""

import _thread
import os
import site
import socket
import struct
import sys
import time

from kernelhost_runner import frame
from kernelhost_runner.reseed import ALL, SECRETS, reseed

from .preload import rehearse

START = 33  # KH_JOINED_START
PYTHON = "/usr/bin/python3"
RUNNER = "/.kernelhost/runner/python"

# What a process reads only once, as it starts or as a library is loaded.
_READ_ONCE = (
    "PYTHON LD_ MALLOC_ GLIBC_ OMP_ OPENBLAS_ MKL_ BLIS_ NUMEXPR_ MPL LC_ LANG HOME"
    " SOURCE_DATE_EPOCH"
).split()
# Set by kernelhostd for the imports only, so that no library starts threads.
ONE_THREAD = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS".split()

_IDLE = 0.05  # seconds

_remembered = {}


def remember(runner, built):
    """Notes, in the zygote, what a child compares with. built are the modules that
    any runner has imported; the others are preloaded."""
    application = runner.application
    directories = [path for path in sys.path if os.path.isabs(path)]
    directories += [*site.getsitepackages(), site.getusersitepackages()]
    tops = {name.partition(".")[0] for name in set(sys.modules) - built}
    _remembered.update(
        directories={path: _stamp(path) for path in directories if _may_change(path)},
        names=tops - {name.partition(".")[0] for name in built},
        environment={k: v for k, v in os.environ.items() if k not in ONE_THREAD},
        profile=application.profile_dir,
        pid=os.getpid(),
    )


def _may_change(path):
    """Whether a user inside could change what is there: we are that user here."""
    while path != "/":
        if os.access(path, os.W_OK):
            return True
        path = os.path.dirname(path)
    return False


def _stamp(path):
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def prepare():
    """What needs nothing of the sandbox's."""
    # OpenSSL sees by the number of its process that it is in a copy, and draws a seed
    # when it is asked for something.
    same = os.getpid() == _remembered["pid"]
    reseed(os.urandom(64), ALL if same else ALL - SECRETS)


def wait(runner, fd):
    """Waits for a kernel and serves it. Returns the exit status."""
    init = socket.socket(fileno=fd)
    sys.argv = [RUNNER]
    start, fds = _receive(init)
    if start is None:
        return 0
    init.close()
    out, err, sock, errors = fds
    cwd, environment = _wishes(start)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    try:
        os.chdir(cwd)
    except OSError as error:
        text = f"cannot enter directory '{cwd}': {error.strerror}".encode()
        os.write(
            errors, struct.pack(f"=i{start.id - 4}s", error.errno, text[: start.id - 5])
        )
        return 127
    if _differs(environment, cwd):
        os.dup2(sock, 3)
        os.execve(PYTHON, [PYTHON, RUNNER], environment)
    os.close(errors)
    _be(runner, environment)
    # Before there is a thread: to enlarge the table of descriptors that threads share,
    # the kernel waits for RCU, ten times as long as all of this takes.
    runner.attach(sock)
    _thread.start_new_thread(_make_profile, ())  # it takes longer than the rest
    runner.ready()
    runner.when_idle(_IDLE, rehearse)
    runner.run()
    return 0


def _receive(init):
    """The START frame and its four descriptors; (None, None) when init ended."""
    decoder, fds = frame.Decoder(), []
    while not decoder.frames:
        data, came, _flags, _address = socket.recv_fds(init, 1 << 16, 4)
        fds += came
        if not data:
            return None, None
        decoder.chunks.append(data)
        decoder.decode()
    start = decoder.frames[0]
    if start.type != START or len(fds) != 4:
        raise ValueError("expected START with four descriptors")
    for fd in fds:
        os.set_inheritable(fd, False)
    return start, fds


def _wishes(start):
    cwd, strings = start.slices
    pairs = [text.partition(b"=")[::2] for text in strings.split(b"\0")[:-1]]
    environment = {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}
    return os.fsdecode(cwd), environment


def _differs(environment, cwd):
    known = _remembered["environment"]
    if any(
        environment.get(name) != known.get(name)
        for name in environment.keys() | known.keys()
        if name.startswith(tuple(_READ_ONCE))
    ):
        return True
    if any(_stamp(path) != stamp for path, stamp in _remembered["directories"].items()):
        return True
    here = {name.partition(".")[0] for name in os.listdir(cwd)}
    return bool(here & _remembered["names"]) or _has_profile()


def _has_profile():
    """Whether somebody has configured IPython in this sandbox."""
    place = _remembered["profile"].location
    try:
        files = os.listdir(place)
        scripts = os.listdir(f"{place}/startup")
    except OSError:
        return False
    return any("config." in name for name in files) or any(
        name != "README" for name in scripts
    )


def _be(runner, environment):
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if "TZ" in environment:
        time.tzset()
    shell = runner.application.kernel.shell
    shell.init_environment()
    shell.starting_dir = os.getcwd()
    visited = shell.history_manager.dir_hist
    visited[:] = [type(visited[0])(shell.starting_dir)]
    if name := environment.get("JPY_SESSION_NAME"):
        shell.user_ns["__session__"] = name


def _make_profile():
    """The directories that IPython makes as it starts."""
    try:
        os.makedirs(_remembered["profile"].location, exist_ok=True)
        _remembered["profile"].check_dirs()
    except OSError:
        pass  # a full disk must not keep a kernel from starting
