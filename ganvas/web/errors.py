"""Error responses: a message and a hint, without stack traces and local paths."""

from __future__ import annotations

import errno
import logging
import os
import re
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ganvas.errors import BadInput, FetchError, GanvasError, MissingExtra, Stopped, WeightsError
from ganvas.session.project_index import UnknownProject
from ganvas.web.error_codes import code_of

log = logging.getLogger("ganvas.web")
STATUS_OF_ERROR: tuple[tuple[type[GanvasError], int], ...] = (
    (Stopped, 409),
    (MissingExtra, 501),
    (FetchError, 503),
    (WeightsError, 422),
    (BadInput, 422),
    (GanvasError, 400),
)
KIND_OF_STATUS = {
    400: "BadRequest",
    401: "NoToken",
    403: "Forbidden",
    404: "NotFound",
    405: "NotAllowed",
    408: "TooSlow",
    409: "Conflict",
    413: "TooLarge",
    415: "BadType",
    422: "BadInput",
    429: "Busy",
    501: "NotHere",
    503: "Unavailable",
    507: "NoRoom",
}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_PATH = re.compile(r"(?<![\w:/.<])(?:[A-Za-z]:\\|/)(?:[^\s/\\:'\"]+[/\\])+([^\s/\\:'\",;)]*)")


class NotReady(GanvasError):
    """The session is not ready, or is busy."""


def public_message(error: BaseException) -> str:
    """The message without local paths: only file names are kept."""
    return _PATH.sub(r"\1", str(error))


# What a message says to whoever writes Python → what it says to whoever sits at the page.
_FOR_PAGES = (
    (re.compile(r" If you trust it: read_image\(.*?\)\."), " Start the studio with a higher --megapixels to open it."),
    (re.compile(r"(\w+ images need an extra package): pip install '(.*?)'"), r"\1 on the studio's computer: \2"),
)


def page_message(error: BaseException) -> str:
    """The public message, with advice that can be followed at a page."""
    message = public_message(error)
    for pattern, words in _FOR_PAGES:
        message = pattern.sub(words, message)
    return message


def error_as_data(error: BaseException) -> dict[str, Any]:
    """`{"kind", "message", "hint", "code", "values"}`; unexpected errors are logged, their details stay here."""
    if isinstance(error, HTTPException):
        return _data(KIND_OF_STATUS.get(error.status_code, "Error"), str(error.detail))
    if status_of(error) == 507:
        return _data("NoRoom", f"the disk of the studio cannot be written: {os.strerror(error.errno)}")  # type: ignore[attr-defined]
    if isinstance(error, GanvasError):
        return _data(type(error).__name__, page_message(error))
    if status_of(error) == 422:
        return _data("BadInput", "the text has characters that are no valid Unicode (half of a pair)")
    log.error("a call failed", exc_info=error)
    return _data("Internal", "internal error; see the studio's log for details")


def _data(kind: str, message: str) -> dict[str, Any]:
    summary, _, hint = message.partition(". ") if len(message) > 80 else (message, "", "")
    code, values = code_of(message)
    words = {"kind": kind, "message": summary if hint else message, "hint": hint or None}
    return words | {"code": code, "values": values}


def status_of(error: BaseException) -> int:
    """The HTTP status of an error."""
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, NotReady):
        return 409
    if isinstance(error, UnknownProject):
        return 404
    if isinstance(error, UnicodeEncodeError):  # JSON may hold half a pair of surrogates, and no file or text can
        return 422
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return 507
    return next((status for kind, status in STATUS_OF_ERROR if isinstance(error, kind)), 500)


def error_answer(error: BaseException) -> JSONResponse:
    """The whole answer."""
    status = status_of(error)
    headers = {"retry-after": "2"} if status in (429, 503) else {}
    if status == 500:
        headers["connection"] = "close"  # the server drops it after what it did not foresee: say so
    return JSONResponse({"error": error_as_data(error)}, status, headers=headers)


def invalid_answer(error: RequestValidationError) -> JSONResponse:
    """422 for a body of another shape: where and why, in one line."""
    first = error.errors()[0] if error.errors() else {"loc": (), "msg": "unreadable"}
    where = ".".join(str(part) for part in first.get("loc", ())[1:])
    message = f"{where or 'the body'}: {first.get('msg', 'does not fit')}"[:300]
    return JSONResponse({"error": _data("BadInput", message)}, 422)
