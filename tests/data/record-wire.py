#!/usr/bin/env python3
"""Writes tests/data/wire from what jupyter_client sends (pip install jupyter_client).

Each directory is one multipart message: frame-00, frame-01... as bytes, the key
(and scheme) that signs it, and what must come of it: `expect` or `fault`.
Run again only to add cases: the recorded ones are meant to stay as they are.
"""
import hashlib
import hmac
import json
import pathlib
import sys

from jupyter_client.session import Session

KEY = b"8c1b5a2e-recorded-key"
TOP = pathlib.Path(__file__).parent / "wire"
D = b"<IDS|MSG>"
IDENT = b"\x00k\x8bEg"


def write(kind, name, frames, key=KEY, scheme=None, **files):
    path = TOP / kind / name
    if path.exists():
        return
    path.mkdir(parents=True)
    for n, frame in enumerate(frames):
        (path / f"frame-{n:02}").write_bytes(bytes(frame))
    (path / "key").write_bytes(key)
    if scheme:
        (path / "scheme").write_text(scheme)
    for file, text in files.items():
        (path / file).write_text(text)


def recorded(name, msg_type, content, scheme="hmac-sha256", idents=(IDENT,), buffers=(), **kw):
    session = Session(key=KEY, signature_scheme=scheme, username="somebody")
    msg = session.msg(msg_type, content, **kw)
    frames = list(idents) + session.serialize(msg) + list(buffers)
    write("valid", "client_" + name, frames, scheme=scheme,
          expect=f"{msg_type} {msg['header']['msg_id']} {len(idents)} {len(buffers)}")


def sign(parts, key=KEY, name="sha256"):
    mac = hmac.new(key, digestmod=getattr(hashlib, name))
    for part in parts:
        mac.update(part)
    return mac.hexdigest().encode()


def frames(header=None, parent=b"{}", metadata=b"{}", content=b"{}", signature=None, ident=(IDENT,), delimiter=D, rest=()):
    if header is None:
        header = {}
    if isinstance(header, dict):
        whole = {"msg_id": "m1", "session": "s1", "username": "u", "date": "2026-01-02T03:04:05.000006Z",
                 "msg_type": "kernel_info_request", "version": "5.4"}
        whole.update(header)
        header = json.dumps({k: v for k, v in whole.items() if v is not ...}).encode()
    parts = [header, parent, metadata, content]
    return [*ident, delimiter, sign(parts) if signature is None else signature, *parts, *rest]


def valid():
    recorded("execute_request", "execute_request",
             {"code": "x = 1\nprint('h\u00e9llo \U0001f600')", "silent": False, "store_history": True,
              "user_expressions": {}, "allow_stdin": True, "stop_on_error": True})
    recorded("kernel_info_request", "kernel_info_request", {})
    recorded("shutdown_request", "shutdown_request", {"restart": True})
    recorded("interrupt_request", "interrupt_request", {})
    recorded("comm_msg_buffers", "comm_msg", {"comm_id": "c1", "data": {"method": "update", "buffer_paths": [["value"]]}},
             buffers=(b"\x00\x01\x02<IDS|MSG>", b"", b"{}"))
    recorded("sha512", "kernel_info_request", {}, scheme="hmac-sha512")
    recorded("md5", "kernel_info_request", {}, scheme="hmac-md5")
    recorded("no_identity", "kernel_info_request", {}, idents=())
    recorded("iopub_topic", "stream", {"name": "stdout", "text": "hi\n"}, idents=(b"stream.stdout",),
             parent={"msg_id": "p_1", "session": "p", "msg_type": "execute_request", "version": "5.4"})
    recorded("input_reply", "input_reply", {"value": "42"},
             parent={"msg_id": "p_2", "session": "p", "msg_type": "input_request", "version": "5.4"})
    write("valid", "eight_identities", frames(ident=[b"i%d" % n for n in range(8)]), expect="kernel_info_request m1 8 0")
    write("valid", "longest_identity", frames(ident=[b"\xff" * 255]), expect="kernel_info_request m1 1 0")
    write("valid", "least_header", frames(b'{"msg_id":"m1","session":"s1","msg_type":"x"}'), expect="x m1 1 0")
    write("valid", "null_subshell", frames({"subshell_id": None}), expect="kernel_info_request m1 1 0")
    write("valid", "spaces", frames(parent=b" {} ", content=b"\n{\t}\r\n"), expect="kernel_info_request m1 1 0")
    write("valid", "unknown_type", frames({"msg_type": "my.own-Type_2"}), expect="my.own-Type_2 m1 1 0")


def invalid():
    def bad(name, fault, parts, **kw):
        write("invalid", name, parts, fault=fault, **kw)

    good = frames()
    bad("no_frames", "malformed", [])
    bad("only_delimiter", "malformed", [D])
    bad("no_delimiter", "malformed", good[:1] + good[2:])
    bad("delimiter_cut", "malformed", frames(delimiter=D[:-1]))
    bad("delimiter_longer", "malformed", frames(delimiter=D + b"\0"))
    bad("content_missing", "malformed", good[:-1])
    bad("only_signature", "malformed", good[:3])
    bad("identity_empty", "malformed", frames(ident=[b""]))
    bad("identity_256", "malformed", frames(ident=[b"x" * 256]))
    bad("nine_identities", "malformed", frames(ident=[b"i%d" % n for n in range(9)]))
    bad("unsigned", "unsigned", frames(signature=b""))
    bad("signature_zero", "bad_signature", frames(signature=b"0" * 64))
    bad("signature_upper", "bad_signature", frames(signature=good[2].upper()))
    bad("signature_cut", "bad_signature", frames(signature=good[2][:-1]))
    bad("signature_longer", "bad_signature", frames(signature=good[2] + b"0"))
    bad("signature_binary", "bad_signature", frames(signature=bytes.fromhex(good[2].decode())))
    bad("signature_other_key", "bad_signature", frames(signature=sign(good[3:7], b"another key")))
    bad("signature_other_scheme", "bad_signature", frames(signature=sign(good[3:7], name="sha512")))
    bad("signature_other_content", "bad_signature", frames(content=b'{"a":1}', signature=good[2]))
    bad("signature_order", "bad_signature", frames(metadata=b'{"a":1}', signature=sign([good[3], b'{"a":1}', b"{}", b"{}"])))
    bad("bad_json_not_signed", "bad_signature", frames(content=b"{", signature=b"0" * 64))
    for name, text in {"array": b"[]", "null": b"null", "empty": b"", "open": b"{", "trailing": b"{}{}", "nan": b'{"a":NaN}',
                       "bom": b"\xef\xbb\xbf{}", "lone_surrogate": b'{"a":"\\ud800"}', "latin1": b'{"a":"\xe9"}',
                       "deep": b'{"a":' * 200 + b"1" + b"}" * 200}.items():
        bad("content_" + name, "bad_json", frames(content=text))
    bad("header_empty", "bad_json", frames(b""))
    bad("header_string", "bad_json", frames(b'"x"'))
    bad("parent_null", "bad_json", frames(parent=b"null"))
    bad("metadata_array", "bad_json", frames(metadata=b"[]"))
    bad("header_object_empty", "bad_header", frames(b"{}"))
    for field in ("msg_id", "session", "msg_type"):
        bad(f"header_no_{field}", "bad_header", frames({field: ...}))
        bad(f"header_{field}_empty", "bad_header", frames({field: ""}))
        bad(f"header_{field}_number", "bad_header", frames({field: 7}))
        bad(f"header_{field}_null", "bad_header", frames({field: None}))
        bad(f"header_{field}_long", "bad_header", frames({field: "x" * 300}))
        bad(f"header_{field}_nul", "bad_header", frames({field: "a\0b"}))
    bad("header_msg_id_twice", "bad_header", frames(b'{"msg_id":"a","msg_id":"b","session":"s","msg_type":"x"}'))
    bad("header_username_object", "bad_header", frames({"username": {}}))
    bad("header_version_4", "bad_header", frames({"version": "4.1"}))
    bad("header_version_50", "bad_header", frames({"version": "50"}))
    bad("header_type_newline", "bad_header", frames({"msg_type": "a\nb"}))
    bad("header_type_not_ascii", "bad_header", frames({"msg_type": "\u00e9"}))
    bad("header_too_large", "too_large", frames({"x": "x" * 9000}))
    bad("parent_too_large", "too_large", frames(parent=b'{"x":"' + b"x" * 9000 + b'"}'))


if __name__ == "__main__":
    sys.exit(valid() or invalid())
