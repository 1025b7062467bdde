"""requests: what a client can ask besides executing, in one table."""

import sys

from IPython.utils.tokenutil import token_at_cursor

from . import __version__, comms

_LINKS = {
    "Python Reference": "https://docs.python.org/{}.{}".format(*sys.version_info),
    "IPython Reference": "https://ipython.org/documentation.html",
    "NumPy Reference": "https://docs.scipy.org/doc/numpy/reference/",
    "SciPy Reference": "https://docs.scipy.org/doc/scipy/reference/",
    "Matplotlib Reference": "https://matplotlib.org/contents.html",
    "SymPy Reference": "http://docs.sympy.org/latest/index.html",
    "pandas Reference": "https://pandas.pydata.org/pandas-docs/stable/",
}


def kernel_info(kernel, _content=None):
    """Content of kernel_info_reply; also of READY."""
    return {
        "status": "ok",
        "protocol_version": "5.5",
        "implementation": "kernelhost",
        "implementation_version": __version__,
        "language_info": {
            "name": "python",
            "version": sys.version.split()[0],
            "mimetype": "text/x-python",
            "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
            "file_extension": ".py",
        },
        "banner": kernel.shell.banner,
        "help_links": [{"text": text, "url": url} for text, url in _LINKS.items()],
        "supported_features": [],
    }


def _comm_info(kernel, content):
    return comms.info(kernel.comm_manager, content.get("target_name"))


def _is_complete(kernel, content):
    manager = kernel.shell.input_transformer_manager
    status, indent = manager.check_complete(content["code"])
    reply = {"status": status}
    if status == "incomplete":
        reply["indent"] = " " * (indent or 0)
    return reply


def _complete(kernel, content):
    from IPython.core.completer import provisionalcompleter, rectify_completions

    code, cursor = content["code"], content.get("cursor_pos")
    if cursor is None:
        cursor = len(code)
    with provisionalcompleter():
        found = kernel.shell.Completer.completions(code, cursor)
        found = list(rectify_completions(code, found))
    fields = ("start", "end", "text", "type", "signature")
    types = [{field: getattr(item, field) for field in fields} for item in found]
    return {
        "status": "ok",
        "matches": [item.text for item in found],
        "cursor_start": found[0].start if found else cursor,
        "cursor_end": found[0].end if found else cursor,
        "metadata": {"_jupyter_types_experimental": types},
    }


def _inspect(kernel, content):
    shell = kernel.shell
    name = token_at_cursor(content["code"], content.get("cursor_pos", 0))
    reply = {"status": "ok", "data": {}, "metadata": {}, "found": False}
    try:
        bundle = shell.object_inspect_mime(
            name,
            detail_level=content.get("detail_level", 0),
            omit_sections=set(content.get("omit_sections", [])),
        )
    except KeyError:
        return reply
    if not shell.enable_html_pager:
        bundle.pop("text/html", None)
    return reply | {"data": bundle, "found": True}


def _history(kernel, content):
    history, kind = kernel.shell.history_manager, content.get("hist_access_type")
    form = {"raw": content.get("raw", True), "output": content.get("output", False)}
    if kind == "tail":
        found = history.get_tail(content.get("n") or 10, include_latest=True, **form)
    elif kind == "range":
        session, start = content.get("session") or 0, content.get("start") or 0
        found = history.get_range(session, start, content.get("stop"), **form)
    elif kind == "search":
        found = history.search(
            content.get("pattern") or "*",
            n=content.get("n"),
            unique=content.get("unique", False),
            **form,
        )
    else:
        found = []
    return {"status": "ok", "history": list(found)}


def _connect(_kernel, _content):
    return {"status": "ok"}


def _input_reply(kernel, content):
    kernel.stdin.answer(content["value"])


def _rollback(kernel, _content):
    return kernel.checkpoints.returned()


# msg_type -> function(kernel, content) that returns the content of the reply, or None.
# execute_request is not among them (execute.Executor). Types that have no row are
# answered with DONE alone.
HANDLERS = {
    "kernel_info_request": kernel_info,
    "comm_info_request": _comm_info,
    "is_complete_request": _is_complete,
    "complete_request": _complete,
    "inspect_request": _inspect,
    "history_request": _history,
    "connect_request": _connect,
    "rollback_request": _rollback,
    "input_reply": _input_reply,
    "comm_open": comms.handler("comm_open"),
    "comm_msg": comms.handler("comm_msg"),
    "comm_close": comms.handler("comm_close"),
}

# Those that may be answered while a cell runs, on the control channel.
ANYTIME = {
    "kernel_info_request",
    "comm_info_request",
    "connect_request",
    "input_reply",
}


def reply_type(msg_type):
    """execute_request -> execute_reply."""
    return msg_type.removesuffix("_request") + "_reply"
