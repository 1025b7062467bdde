"""immortal: objects of the zygote made immortal, so that children share their pages.

A child that only looks at an object counts its references up and down, in the
object, and so copies the page it lies in: 7 MB in the first cell. Objects that are
immortal (PEP 683) are not counted. There is no call to make one so; the count has a
value that says it. That value is of these versions of CPython, on 64-bit machines:
elsewhere nothing is done, and children take more memory.

What is immortal is never freed: the zygote's heap, which none of its children could
free anyway. sys.getrefcount() shows it.
"""

import ctypes
import gc
import sys
import sysconfig
import types

_COUNT = 0xFFFFFFFF  # _Py_IMMORTAL_REFCNT
_VERSIONS = {(3, 12), (3, 13)}
# On the way to be freed or changed in place, or ours while we go through them all.
_NOT = (types.FrameType, types.TracebackType, types.GeneratorType)
_CODE = "co_consts co_names co_filename co_name co_qualname co_linetable".split()


def _known():
    """Whether counts are what we think they are here."""
    if (
        sys.implementation.name != "cpython"
        or sys.version_info[:2] not in _VERSIONS
        or sys.maxsize < 2**32
        or sysconfig.get_config_var("Py_GIL_DISABLED")
        or hasattr(sys, "gettotalrefcount")
    ):
        return False
    probe = object()
    return (
        sys.getrefcount(None) == _COUNT
        and ctypes.c_uint64.from_address(id(None)).value == _COUNT
        and ctypes.c_uint64.from_address(id(probe)).value == sys.getrefcount(probe) - 1
    )


def _reachable():
    """Every object that the collector knows, and what these refer to."""
    found = gc.get_objects()
    seen = set(map(id, found))
    fresh = found
    while fresh:
        following = []
        for child in gc.get_referents(*fresh):
            if id(child) not in seen:
                seen.add(id(child))
                following.append(child)
        # The collector does not look into code.
        for code in following:
            if type(code) is types.CodeType:
                for name in _CODE:
                    child = getattr(code, name)
                    if id(child) not in seen:
                        seen.add(id(child))
                        following.append(child)
        found.extend(following)
        fresh = following
    return found


def make_all():
    """Makes all objects that there are immortal, as far as this Python knows how."""
    if not _known():
        return
    gc.collect()
    found = _reachable()
    count = ctypes.c_uint64.from_address
    for value in found:
        if not isinstance(value, _NOT):
            count(id(value)).value = _COUNT
