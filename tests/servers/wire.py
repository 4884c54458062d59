"""What comes in over the wire, read; and what is refused."""

import hashlib
import json
import sys
from urllib.parse import unquote, urlsplit


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
    known = isinstance(body, dict) and {"hello": {"user"}, "draw": {"seq", "color", "points"}}.get(body.get("type"))
    return body if known and known <= body.keys() else {}


def fingerprint(message):
    content = message if isinstance(message, bytes) else message.encode()
    return {"bytes": len(content), "sha1": hashlib.sha1(content).hexdigest()}


def log(text):
    print(text, file=sys.stderr, flush=True)
