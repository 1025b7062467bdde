#!/usr/bin/env python3
"""The Python runner from outside: interrupts, background work, processes, ends."""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from interpreters import interpreters
from runner_harness import Runner
from tap import check, done, equal, ok, skip_all


def started(options):
    """A runner that is ready."""
    runner = Runner(*options)
    runner.wait(lambda event: event.kind == "ready")
    return runner


def interrupted(r, code, mark="go\n", wait=0.05):
    """Runs code that prints mark when it can be interrupted; interrupts it."""
    ident = r.request("execute_request", {"code": code})
    seen = []

    def ready(event):
        if event.kind == "stream" and event.id == ident:
            seen.append(event.text)
        return mark in "".join(seen)

    r.wait(ready)
    time.sleep(wait)
    r.interrupt()
    return r.finish(ident)


def test_interrupts(r):
    r.execute(
        "import asyncio, time, subprocess, threading; kept = 'kept'\n"
        "async def hog():\n    while True: pass\n"
        "class Slow:\n    def _repr_html_(self): time.sleep(60)\n"
        "class SlowText:\n    def __repr__(self): time.sleep(60)\n"
        "thread = threading.Thread(target=time.sleep, args=(1,))"
    )
    cells = {
        "a loop": "while True: pass",
        "a sleep": "time.sleep(60)",
        "a lock": "threading.Event().wait()",
        "a join": "thread.start(); thread.join()",
        "an await": "await asyncio.sleep(60)",
        "a gather": "await asyncio.gather(asyncio.sleep(60), asyncio.sleep(50))",
        "code between awaits": "await asyncio.sleep(0)\nwhile True: pass",
        "a task group": "async with asyncio.TaskGroup() as g:\n"
        "    g.create_task(asyncio.sleep(60))",
        "a task that hogs the loop": "await asyncio.gather(hog())",
        "a child process": "subprocess.run(['sleep', '60'])",
        "a display": "display(Slow())",
        "a result": "Slow()",
        "a plain result": "SlowText()",
    }
    for name, code in cells.items():
        got = interrupted(r, f"print('go')\n{code}")
        equal(got.reply.get("ename"), "KeyboardInterrupt", f"{name} is interrupted")
        ok(got.published("error"), "which is published")
    equal(r.execute("kept").result, "'kept'", "variables survive")
    code = "try:\n    print('go'); {}\nexcept KeyboardInterrupt:\n    print('caught')"
    for body in ("time.sleep(60)", "await asyncio.sleep(60)"):
        got = interrupted(r, code.format(body))
        equal(
            (got.reply["status"], got.text()),
            ("ok", "go\ncaught\n"),
            f"a cell may catch it: {body}",
        )
    code = (
        "try:\n    print('go'); await asyncio.sleep(60)\nfinally:\n    print('finally')"
    )
    equal(interrupted(r, code).text(), "go\nfinally\n", "finally runs in an await")
    got = interrupted(r, "!echo go; sleep 60", "go")
    equal(got.reply["status"], "ok", "a shell command ends as it does in ipykernel")
    equal(
        r.execute("await asyncio.sleep(0.01); 'fine'").result, "'fine'", "all is well"
    )


def test_interrupt_timing(r):
    for _ in range(20):
        r.interrupt()
    time.sleep(0.1)
    equal(r.execute("'idle'").result, "'idle'", "an interrupt when idle is ignored")
    late = 0
    for i in range(200):
        r.execute(f"{i}")
        r.interrupt()
        late += r.execute("sum(range(1000))").reply["status"] != "ok"
    equal(late, 0, "one that comes after the end of a cell does not hit the next")
    for _ in range(5):
        time.sleep(0.1)
        ident = r.request("execute_request", {"code": "while True: pass"})
        r.interrupt()
        got = r.finish(ident, 10)
        equal(
            got.reply["ename"],
            "KeyboardInterrupt",
            "one right after the request hits it",
        )
        equal(len(got.published("execute_input")), 1, "after its execute_input")
    r.execute(
        "import time\ndef slow(*_): print('go'); time.sleep(0.2)\n"
        "get_ipython().events.register('pre_run_cell', slow)"
    )
    for code in ("while True: pass", "import asyncio; await asyncio.sleep(60)"):
        got = interrupted(r, code)
        equal(
            got.reply["ename"],
            "KeyboardInterrupt",
            "one that comes while a callback of IPython's runs hits the cell behind it",
        )
    r.execute("get_ipython().events.unregister('pre_run_cell', slow)")
    equal(r.execute("'quiet'").text(), "", "and that callback is not in the way")
    code = (
        "import sys\nwhile True:\n"
        "    print('x' * 100); print('y', file=sys.stderr)\n"
        # display() would do, but one KeyboardInterrupt in a thousand that strikes
        # in IPython's pretty printer comes out of it as an IndexError.
        "    get_ipython().kernel.publish('clear_output', {'wait': True})\n"
    )
    names = set()
    for i in range(40):
        names.add(interrupted(r, code, "x", i / 4000).reply["ename"])
    equal(names, {"KeyboardInterrupt"}, "interrupts while frames are sent break none")
    code = (
        "import signal\nclass Late(TimeoutError): pass\n"
        "def ring(_signum, stack):\n    global n\n    n += 1\n"
        "    while stack and stack.f_code.co_name != 'work': stack = stack.f_back\n"
        "    if n >= 1000: signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "    elif stack: raise Late\n"
        "def work():\n    while n < 1000: print(n, flush=True); print('y' * 999)\n"
        "signal.signal(signal.SIGALRM, ring)\nn = 0\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "while n < 1000:\n    try: work()\n    except Late: pass\n"
    )
    r.execute(code)
    equal(r.execute("n").result, "1000", "exceptions while frames are sent break none")
    r.execute("def ring(*_): raise Late\nsignal.signal(signal.SIGALRM, ring)")
    r.execute("signal.setitimer(signal.ITIMER_REAL, 0.1)")
    time.sleep(0.3)
    equal(r.execute("'on'").result, "'on'", "nor one that rings between cells")
    r.execute("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    got = interrupted(r, "print('go')\nwhile True: pass")
    equal(got.reply["ename"], "KeyboardInterrupt", "a handler of a cell ends with it")
    got = r.execute(
        "import subprocess, sys; subprocess.run([sys.executable, '-c',"
        " 'import signal; print(signal.getsignal(2).__name__)'])"
    )
    equal(got.text(), "default_int_handler\n", "children get the default")
    got = r.execute(
        "import multiprocessing as m, signal, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "def child(): print(signal.getsignal(2).__name__)\n"
        "p = m.get_context('fork').Process(target=child); p.start(); p.join()"
    )
    equal(got.text(), "default_int_handler\n", "and so do forks")


def test_control(r):
    for code in (
        "import time; time.sleep(1)",
        "import asyncio; await asyncio.sleep(1)",
    ):
        ident = r.request("execute_request", {"code": code})
        info = r.ask("kernel_info_request", control=True, timeout=5)
        equal(info["status"], "ok", "control is served while a cell runs")
        ok(not any(e.kind == "done" and e.id == ident for e in r.events), "at once")
        r.finish(ident)
    equal(r.ask("unknown_request", control=True), None, "an unknown one: DONE")
    equal(
        r.ask("is_complete_request", {"code": "1"}, control=True)["status"],
        "complete",
        "others wait for the shell",
    )


def owner(r, text):
    """The request that the stream event with this text belongs to."""
    return r.wait(lambda e: e.kind == "stream" and text in e.text, 10).id


def test_background(r):
    code = (
        "import threading, time, sys, asyncio\n"
        "def late():\n    time.sleep(0.3); print('from thread')\n"
        "    threading.Thread(target=later_still).start()\n"
        "def later_still():\n    time.sleep(0.1); print('grandchild')\n"
        "class Sub(threading.Thread):\n"
        "    def run(self):\n        time.sleep(0.3); display('from subclass')\n"
        "async def later():\n    await asyncio.sleep(0.3); print('from task')\n"
        "threading.Thread(target=late).start(); Sub().start()\n"
        "task = asyncio.create_task(later())\n"
        "h = asyncio.get_event_loop().call_later(0.3, print, 'from callback')"
    )
    first = r.execute(code).events[0].id
    second = r.request(
        "execute_request", {"code": "print('second'); await asyncio.sleep(1)"}
    )
    for text in ("from thread", "from task", "from callback", "grandchild"):
        equal(owner(r, text), first, f"'{text}' goes to the cell that began it")
    equal(owner(r, "second"), second, "the running cell keeps its own")
    shown = r.wait(lambda e: e.kind == "publish" and "subclass" in str(e.content))
    equal(shown.id, first, "so do displays")
    r.finish(second)
    code = "def step():\n    for i in range(3): time.sleep(0.1); print('step', i)\n"
    ident = r.execute(code + "threading.Thread(target=step).start()").events[0].id
    equal(owner(r, "step 2"), ident, "output comes while no cell runs")
    r.execute(
        "n = 0\nasync def tick():\n    global n\n"
        "    while True: n += 1; await asyncio.sleep(0.01)\n"
        "t = asyncio.create_task(tick())"
    )
    time.sleep(0.3)
    ok(int(r.execute("n").result) > 5, "tasks go on between cells")
    equal(
        r.execute("t.cancel(); asyncio.all_tasks() <= {t}").result,
        "True",
        "no task is ours",
    )
    for code in (
        "asyncio.get_event_loop().stop()",
        "for x in asyncio.all_tasks(): x.cancel()\nawait asyncio.sleep(0)",
        "async def leave(): sys.exit()\nx = asyncio.create_task(leave())",
        "sys.exit()",
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout = sys.__stdout__",
        "raise SystemExit",
        "asyncio.set_event_loop(None)",
        "def f(): raise ValueError\nth = threading.Thread(target=f); th.start()",
    ):
        r.execute(code)
        equal(
            r.execute("await asyncio.sleep(0.01); print('on')").text(),
            "on\n",
            f"the kernel goes on after: {code.splitlines()[0]}",
        )
    r.execute("import contextvars; v = contextvars.ContextVar('v'); v.set(1)")
    r.execute("await asyncio.sleep(0); v.set(v.get() + 1)")
    equal(r.execute("v.get()").result, "2", "context variables stay from cell to cell")


def test_processes(r):
    r.execute("import os, sys, warnings; warnings.simplefilter('ignore')")
    code = (
        "print('before')\npid = os.fork()\nif not pid:\n    print('child')\n"
        "    display('not shown')\nelse:\n    os.waitpid(pid, 0); print('after')"
    )
    got = r.execute(code)
    equal(
        [got.text(), got.published("display_data")],
        ["before\nchild\nafter\n", []],
        "a fork writes to the pipe, and is no second kernel",
    )
    code = (
        "import multiprocessing as m\ndef work(i):\n    print('worker', i)\n"
        "    return i * i\nwith m.get_context('fork').Pool(2) as pool:\n"
        "    print(pool.map(work, range(4)))"
    )
    got = r.execute(code)
    equal(
        sorted(got.text().splitlines()),
        ["[0, 1, 4, 9]", *(f"worker {i}" for i in range(4))],
        "process pools",
    )
    got = r.execute(
        "pid = os.fork()\nif not pid: print('no newline', end=''); os._exit(0)\n"
        "x = os.waitpid(pid, 0)"
    )
    equal(got.text(), "no newline", "a fork that ends by os._exit loses nothing")
    code = (
        "def fork(depth):\n    print('depth', depth, end='.')\n"
        "    if depth and not os.fork(): fork(depth - 1); os._exit(0)\n"
        "    if depth: os.wait()\nfork(3)"
    )
    got = r.execute(code).text()
    equal(got, "depth 3.depth 2.depth 1.depth 0.", "forks of forks write once each")
    r.execute(
        "import subprocess; p = subprocess.Popen('sleep 0.3; echo late', shell=True)"
    )
    r.wait(lambda e: e.kind == "stream" and "late" in e.text)
    ok(True, "a background process is heard")


def text_of(r):
    """All text that came, of any stream and request."""
    return "".join(e.text for e in r.events if e.kind == "stream")


def ending(options, code, expected, text, then=""):
    """Runs code that ends the runner."""
    with started(options) as r:
        if then:
            r.execute(then)
        ident = r.request("execute_request", {"code": code})
        try:
            r.finish(ident)
            r.wait(lambda e: False, 10)
        except EOFError:
            pass
        equal(r.process.wait(10), expected, f"{text}: status {expected}")
        return r


def test_ends(options):
    exits = "import atexit; atexit.register(print, 'at exit')"
    r = ending(options, "exit()", 0, "exit()", exits)
    replies = [e for e in r.events if e.kind == "reply"]
    equal(
        replies[-1].content["payload"],
        [{"source": "ask_exit", "keepkernel": False}],
        "exit() is a payload",
    )
    ok(text_of(r).endswith("at exit\n"), "atexit handlers run and are heard")
    done = {e.id for e in r.events if e.kind == "done"}
    ok(done and replies[-1].id not in done, "the cell ends as the process does")
    ending(
        options,
        "import IPython\nIPython.Application.instance().kernel.do_shutdown(True)",
        0,
        "kernel.do_shutdown",
    )
    r = ending(options, "print(1); print(2); import os; os._exit(3)", 3, "os._exit")
    # A HOME that is not writable makes IPython say so first, on stderr.
    equal(
        text_of(r)[-4:],
        "1\n2\n",
        "what was printed before os._exit is heard",
    )
    r = ending(
        options, "import ctypes; print('x'); ctypes.string_at(0)", -11, "a crash"
    )
    text = text_of(r)
    ok(
        "Segmentation fault" in text and "/ipykernel_" in text,
        "a crash says where it was",
    )
    for code in (
        "1",
        "import time; time.sleep(60)",
        "import asyncio; await asyncio.sleep(60)",
    ):
        with started(options) as r:
            r.execute(exits)
            ident = r.request("execute_request", {"code": code})
            time.sleep(0.3)
            equal(r.shut_down(), 0, f"SHUTDOWN during: {code}")
            ok(text_of(r).endswith("at exit\n"), "atexit handlers run")
            ok(
                any(e.kind == "done" and e.id == ident for e in r.events),
                "the cell ends",
            )
    with started(options) as r:
        r.socket.shutdown(2)
        ok(r.process.wait(10) is not None, "without init there is no runner")


SHARED = [
    test_interrupts,
    test_interrupt_timing,
    test_control,
    test_background,
    test_processes,
]


def main():
    """Runs every test with every Python there is."""
    os.environ.pop("PYTHONUNBUFFERED", None)
    found = list(interpreters())
    if not found:
        skip_all("no Python with IPython (hint: ./dev test)")
    for name, *options in found:
        print(f"# {name}: {' '.join(options[0])}", flush=True)
        for test in SHARED:
            with check(f"{name}: {test.__name__}"), started(options) as r:
                test(r)
        with check(f"{name}: test_ends"):
            test_ends(options)
    done()


if __name__ == "__main__":
    main()
