"""tap: TAP for tests in Python.

    from tap import check, done, equal, ok

    ok(2 + 2 == 4, "arithmetic holds")
    equal(run("1+1"), "2", "it computes")
    with check("a wrong name is refused"):
        assert "lower-case" in fails("create", "Bad")
    done()
"""

import contextlib
import sys
import time
import traceback

_count = 0
_failed = 0


def note(text):
    """Prints the text as comments."""
    for line in str(text)[:20000].splitlines():
        print("#", line)
    sys.stdout.flush()


def ok(condition, text):
    """One check; returns whether it passed."""
    global _count, _failed
    _count += 1
    if not condition:
        _failed += 1
    # The text is one line, and '#' would begin a directive.
    text = " ".join(str(text).split()).replace("#", "\\#")
    print(f"{'ok' if condition else 'not ok'} {_count} - {text}", flush=True)
    return bool(condition)


def equal(got, want, text):
    """Passes if both are equal; else shows them."""
    if not ok(got == want, text):
        note(f"got:  {got!r}\nwant: {want!r}")


@contextlib.contextmanager
def check(text):
    """Passes if the body ends without an exception; else shows the traceback."""
    try:
        yield
    except Exception:
        ok(False, text)
        note(traceback.format_exc())
    else:
        ok(True, text)


def parts(subject, *functions):
    """Calls each with SUBJECT (a host); one that raises keeps no other from running."""
    for function in functions:
        with check(f"{function.__name__}: all was tried"):
            function(subject)


def eventually(condition, seconds=30):
    """What CONDITION returns as soon as that is true, or in the end."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


def skip(text, why):
    """For what this machine cannot show; KH_MUST_WORK=1 makes it a failure."""
    global _count
    _count += 1
    print(f"ok {_count} - {text} # SKIP {why}", flush=True)


def skip_all(why):
    """Ends a program that cannot run here at all."""
    print(f"1..0 # SKIP {why}", flush=True)
    sys.exit(0)


def done():
    """Prints the plan and ends the program."""
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)
