"""formatting: IPython's display formatters, without what they do over and over.

Every value that a cell shows is offered to a dozen formatters, and each call goes
through a decorator that binds its arguments by inspect.signature: 0.2 ms a value.
Here the decorated calls are the same functions, called directly; and values of
plain built-in types, which can have no _repr_html_ or the like, are offered
only to the formatter for text unless somebody registered something for them.
"""

import functools

from IPython.core import formatters as core

_STOCK = (
    core.BaseFormatter,
    core.PlainTextFormatter,
    core.IPythonDisplayFormatter,
    core.MimeBundleFormatter,
)
_PLAIN = {
    type(None): "NoneType", bool: "bool", int: "int", float: "float",
    complex: "complex", str: "str", bytes: "bytes", list: "list", tuple: "tuple",
    dict: "dict", set: "set", frozenset: "frozenset", range: "range",
}  # fmt: skip
_PRINTERS = ("singleton_printers", "type_printers", "deferred_printers")
_known = set()  # the calls of IPython's own formatters, and what replaces them


def _call_knownly(cls):
    """Takes the binding of arguments out of cls.__call__."""
    decorated = cls.__dict__.get("__call__")
    _known.add(decorated)
    guard = getattr(core.catch_format_error, "__wrapped__", None)
    method = getattr(decorated, "__wrapped__", None)
    if guard is None or method is None:
        return  # another IPython, which binds nothing

    @functools.wraps(decorated)
    def call(self, *args, **kwargs):
        return guard(method, self, *args, **kwargs)

    cls.__call__ = call
    _known.add(call)


def _is_silent(formatter, kind, obj):
    """True when the formatter has nothing to say about obj, of a plain type kind."""
    values = formatter._trait_values
    for name in _PRINTERS:
        if name not in values:
            getattr(formatter, name)  # made at the first use
    types, named = values["type_printers"], values["deferred_printers"]
    return (
        type(formatter).__call__ in _known
        and type(formatter).lookup is core.BaseFormatter.lookup
        and type(formatter).lookup_by_type is core.BaseFormatter.lookup_by_type
        and not (types and (kind in types or object in types))
        and not (
            named
            and (("builtins", _PLAIN[kind]) in named or ("builtins", "object") in named)
        )
        and id(obj) not in values["singleton_printers"]
        and not hasattr(kind, formatter.print_method)
    )


class DisplayFormatter(core.DisplayFormatter):
    """IPython's, quicker."""

    def format(self, obj, include=None, exclude=None):
        """The representations of obj, and their metadata."""
        kind = type(obj)
        if kind in _PLAIN and include is None and exclude is None:
            others = [self.ipython_display_formatter, self.mimebundle_formatter]
            text = None
            for mime, formatter in self.formatters.items():
                if mime == "text/plain":
                    text = formatter
                else:
                    others.append(formatter)
            if text is not None and all(
                _is_silent(formatter, kind, obj) for formatter in others
            ):
                return self._text_only(text(obj))
        return super().format(obj, include, exclude)

    @staticmethod
    def _text_only(data):
        metadata = None
        if isinstance(data, tuple) and len(data) == 2:
            data, metadata = data
        return (
            {} if data is None else {"text/plain": data},
            {} if metadata is None else {"text/plain": metadata},
        )


for _cls in _STOCK:
    _call_knownly(_cls)
