"""packing: Python objects to JSON that every client can parse.

Follows jupyter_client, so that what comes out is what ipykernel would send:
dates as ISO 8601, bytes as base64, iterables as lists, numpy numbers as
numbers; where the encoder refuses (NaN, keys that are no strings), the whole
object is cleaned: NaN and infinity become their repr.
"""

import binascii
import datetime
import json
import math
import numbers
import types
from collections.abc import Iterable

from .stream import to_bytes


def pack(obj):
    """Returns obj as UTF-8 JSON. Raises ValueError or TypeError, in the words
    of jupyter_client, for what has no place in JSON."""
    try:
        return _dumps(obj)
    except (TypeError, ValueError):
        return _dumps(clean(obj))


def _dumps(obj):
    text = json.dumps(
        obj,
        default=_default,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    return to_bytes(text)


def _default(obj):
    if isinstance(obj, datetime.datetime):
        if obj.tzinfo is None:
            obj = obj.astimezone()
        return obj.isoformat().replace("+00:00", "Z")
    if isinstance(obj, datetime.date):
        return obj.isoformat()
    if isinstance(obj, bytes):
        return binascii.b2a_base64(obj, newline=False).decode("ascii")
    if isinstance(obj, Iterable):
        return list(obj)
    if isinstance(obj, numbers.Integral):
        return int(obj)
    if isinstance(obj, numbers.Real):
        return float(obj)
    raise TypeError(f"{obj!r} is not JSON serializable")


def clean(obj):
    """Returns a copy of obj that json.dumps takes. Raises ValueError for dict
    keys that would collide as strings and for what it does not know."""
    if obj is None or isinstance(obj, (bool, str)):
        return obj
    if isinstance(obj, numbers.Integral):
        return int(obj)
    if isinstance(obj, numbers.Real):
        return repr(obj) if math.isnan(obj) or math.isinf(obj) else float(obj)
    if isinstance(obj, bytes):
        return binascii.b2a_base64(obj, newline=False).decode("ascii")
    if isinstance(obj, dict):
        if len(obj) != len(set(map(str, obj))):
            raise ValueError(
                "dict cannot be safely converted to JSON: "
                "key collision would lead to dropped values"
            )
        return {str(key): clean(value) for key, value in obj.items()}
    if isinstance(obj, (datetime.datetime, datetime.date)):
        return obj.strftime("%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(obj, (list, tuple, set, types.GeneratorType)) or (
        hasattr(obj, "__iter__") and hasattr(obj, "__next__")
    ):
        return [clean(item) for item in obj]
    raise ValueError(f"Can't clean for JSON: {obj!r}")


def bundle(data):
    """A MIME bundle as the messaging specification has it: where a type does not
    say JSON, the value is text, a list of texts, or bytes (sent as base64).
    Anything else that a cell put there is sent as the text of its JSON."""
    if all(_fits(mime, value) for mime, value in data.items()):
        return data
    return {
        mime: value if _fits(mime, value) else pack(value).decode()
        for mime, value in data.items()
    }


def _fits(mime, value):
    if isinstance(value, (str, bytes)):
        return True
    if str(mime).split(";")[0].endswith(("/json", "+json")):
        return True
    return isinstance(value, (list, tuple)) and all(
        isinstance(item, str) for item in value
    )


def printable(error):
    """str(error), also when the user's __str__ fails."""
    try:
        return str(error)
    except Exception:
        return f"<unprintable {type(error).__name__} object>"
