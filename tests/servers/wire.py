"""What comes in over the wire, read; and what is refused."""

import hashlib
import json
import sys
from urllib.parse import unquote, urlsplit


# The messages of users, and what each must have.
KNOWN = {"hello": {"user"}, "draw": {"seq", "color", "points"}, "recite": {"bytes", "binary", "fragments"}}


class Refused(Exception):
    """A call or a handshake that is refused, with the problem that says why."""

    STATUS = {"unknown-board": 404, "busy": 503}

    def __init__(self, kind, detail, **more):
        super().__init__(detail)
        self.status = self.STATUS.get(kind, 409)
        self.problem = {"type": kind, "status": self.status, "title": kind.replace("-", " "), "detail": detail, **more}


def board_of(path):
    """Reads `/boards/{board}/ws`; the segment is decoded once."""
    parts = urlsplit(path).path.split("/")
    if len(parts) != 4 or parts[1] != "boards" or parts[3] != "ws" or not parts[2]:
        raise Refused("unknown-board", f"no board at {path}")
    return unquote(parts[2], errors="strict")


def understand(message):
    try:
        body = json.loads(message)
    except ValueError:
        return {}
    known = isinstance(body, dict) and KNOWN.get(body.get("type"))
    return body if known and known <= body.keys() else {}


def fingerprint(message):
    content = message if isinstance(message, bytes) else message.encode()
    return {"bytes": len(content), "sha1": hashlib.sha1(content).hexdigest()}


def recital(body):
    """The one message that was asked for, in parts: each byte tells its place, in steps of 89."""
    round_ = bytes(range(33, 122))
    content = (round_ * (body["bytes"] // 89 + 1))[:body["bytes"]]
    size = max(1, -(-len(content) // body["fragments"]))
    parts = [content[start:start + size] for start in range(0, len(content), size)]
    return parts if body["binary"] else [part.decode() for part in parts]


def log(text):
    print(text, file=sys.stderr, flush=True)
