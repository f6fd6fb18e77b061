"""Security middleware: host, origin and token checks, size limits, response headers.

A page of another site that is open in the same browser must get nothing from the studio and change nothing in it:

- *Host* must be a name of ours. A foreign name that points at this computer (DNS rebinding) is refused.
- *Origin*, which browsers send with everything that changes something and with every WebSocket, must be ours.
- *Sec-Fetch-Site: cross-site* is refused for all of /api, pictures too.
- The body is counted while it arrives, whatever its Content-Length says.
- A token, where there is one, is compared in constant time.

Pages that were named (`--allow-origin`) may call from elsewhere (CORS), and only they.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganvas.web.config import LOCAL, MEBI, StudioConfig
from ganvas.web.errors import error_answer
from ganvas.web.proxy import HOST_KEY, inner_path
from ganvas.weights.catalogue.store import megabytes

IMPORT_PATH = "/api/projects/import"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_BODY_BYTES = 2 * MEBI  # of everything that carries no file
FORM_OVERHEAD_BYTES = 64 * 1024  # of a form around a file
PREFLIGHT_HEADERS = {
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class SecurityMiddleware:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, config: StudioConfig):
        self.app, self.config = app, config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the body counted and the answer's headers set."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = self._refusal(scope)
        origin = self._allowed_origin(scope)
        if refusal is not None:
            return await _refuse(scope, receive, _with_headers(scope, send, origin=origin), refusal)
        if scope["type"] == "http":
            if origin is not None and _is_preflight(scope):
                return await Response(None, 204, PREFLIGHT_HEADERS)(
                    scope, receive, _with_headers(scope, send, origin=origin)
                )
            body = _LimitedBody(receive, self._limit(scope))
            await self.app(scope, body.receive, _with_headers(scope, send, body, origin=origin))
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> HTTPException | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        public = scope.get(HOST_KEY) or host
        if not (self._is_ours(host) and self._is_ours(public)):
            return HTTPException(403, f"unknown host {public[:80]!r}; open the studio at the address it printed")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        origin, path = headers.get("origin"), inner_path(scope)
        ours = self._allowed_origin(scope) is not None
        if (
            origin is not None
            and (changes or path.startswith("/api"))
            and not (ours or _is_same_origin(origin, public))
        ):
            return HTTPException(403, f"cross-origin request from {origin[:80]!r} refused")
        if path.startswith("/api") and not ours and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return HTTPException(403, "cross-site request refused")
        if ours and _is_preflight(scope):  # it comes without a token, and gets nothing
            return None
        private = path.startswith(("/api", "/docs", "/openapi.json", "/metrics"))
        if self.config.token is not None and private and not self._has_token(scope, headers):
            return HTTPException(401, "a token is required: Authorization: Bearer TOKEN, or ?token=TOKEN")
        return self._too_long(scope, headers) if scope["type"] == "http" else None

    def _allowed_origin(self, scope: Scope) -> str | None:
        """The origin of the calling page, if it is one that was named."""
        origin = Headers(scope=scope).get("origin")
        return origin if origin in self.config.origins else None

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if name in LOCAL or name == self.config.host or name in self.config.names:
            return True
        # Listening for others: an address in figures is no name that somebody could have pointed here.
        return not self.config.local and _is_address(name)

    def _has_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        query = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])
        return any(
            secrets.compare_digest(one.encode("utf-8", "replace"), (self.config.token or "").encode())
            for one in (bearer, query[0])
        )

    def _limit(self, scope: Scope) -> int:
        """Bytes that a body may have."""
        path = inner_path(scope)
        if not _takes_files(path):
            return MAX_BODY_BYTES
        if path.rstrip("/") == IMPORT_PATH:
            return self.config.project_bytes + FORM_OVERHEAD_BYTES
        count = self.config.batch_photos if path.rstrip("/") == "/api/batch" else 1
        return (self.config.upload_bytes + FORM_OVERHEAD_BYTES) * min(count, 16)

    def _too_long(self, scope: Scope, headers: Mapping[str, str]) -> HTTPException | None:
        declared = headers.get("content-length", "0")
        limit = self._limit(scope)
        return too_large(limit) if not declared.isdigit() or int(declared) > limit else None


def too_large(limit: int) -> HTTPException:
    """413."""
    return HTTPException(413, f"the request is too large: the limit is {megabytes(limit)}")


def _takes_files(path: str) -> bool:
    parts = path.strip("/").split("/")
    whole = ("/api/sessions", "/api/batch", "/api/styles", IMPORT_PATH)
    return path.rstrip("/") in whole or parts[-1] in ("region", "mix-photo")


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_preflight(scope: Scope) -> bool:
    """A browser asks, before it sends what another page's script wants to send."""
    asks = any(name == b"access-control-request-method" for name, _ in scope["headers"])
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and asks


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(origin: str, host: str) -> bool:
    """Name and port of the page are those of the call."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme)  # browsers leave it out, proxies may not
    return usual is not None and parts.netloc.lower() == host.lower().removesuffix(usual)


class _LimitedBody:
    """A body that is counted while it is read."""

    def __init__(self, receive: Receive, limit: int):
        self._receive, self._limit, self._received_bytes = receive, limit, 0
        self.read = False  # to its end

    async def receive(self) -> Message:
        """The next part.

        Raises:
            HTTPException: 413, it is longer than it may be.
        """
        message = await self._receive()
        self._received_bytes += len(message.get("body", b""))
        self.read = not message.get("more_body", False)
        if self._received_bytes > self._limit:
            raise too_large(self._limit)
        return message


def _with_headers(scope: Scope, send: Send, body: _LimitedBody | None = None, *, origin: str | None = None) -> Send:
    private = inner_path(scope).startswith("/api")
    has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if origin is not None:
                headers["access-control-allow-origin"] = origin
                headers["access-control-expose-headers"] = "content-disposition, retry-after"
                headers.add_vary_header("origin")
            if private:
                headers.setdefault("cache-control", "no-store")
            if message["status"] >= 400 and has_body and (body is None or not body.read):
                headers["connection"] = "close"  # the rest of what was refused need not come
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: HTTPException) -> None:
    if scope["type"] == "http":
        return await error_answer(refusal)(scope, receive, send)
    await receive()  # the handshake
    await send({"type": "websocket.close", "code": 4000 + refusal.status_code, "reason": _shorten(refusal.detail)})


def _shorten(words: Any) -> str:
    return str(words).encode("utf-8")[:120].decode("utf-8", "ignore")
