"""HTTP for rough clients: connections that send nothing, headers letter by letter, bodies that never end.

uvicorn counts every open connection against its limit, so that some hundred silent ones lock everybody out. Here a
connection counts once it has sent a request (`LoadMiddleware`); those that wait have a time limit, and where too many
wait the oldest is closed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ganvas.web.errors import error_answer

HEADER_SEC = 10.0  # from the first byte, or from the connection, to the end of a request's header
BODY_CHECK_SEC, MIN_BODY_BYTES_PER_SEC = 10.0, 500  # a body must come at this rate at least, on the whole of each check
MAX_WAITING = 100  # connections without a request
MAX_REQUESTS, MAX_REQUESTS_PER_ADDRESS = 400, 200  # at the same time


class PatientProtocol(H11Protocol):
    """One connection. Make a subclass a server (`make_protocol`): `waiting` is the server's."""

    waiting: dict[PatientProtocol, None]  # without a request, the oldest first

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, for a while."""
        super().connection_made(transport)
        self._wait_for_header()
        if len(self.waiting) > MAX_WAITING:
            next(iter(self.waiting)).transport.close()

    def data_received(self, data: bytes) -> None:
        """Some of a header or a body."""
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # closed, or a WebSocket now
            return self._stop_waiting()
        if self.cycle is None or self.cycle.response_complete:
            return self._wait_for_header()
        self._body_bytes += len(data)
        if self in self.waiting or self._timer is None:
            self._stop_waiting()
            if self.cycle.more_body:
                self._body_bytes = 0
                self._timer = self.loop.call_later(BODY_CHECK_SEC, self._check_body)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """uvicorn's own limit for idle connections begins."""
        self._stop_waiting()
        super().on_response_complete()

    def _wait_for_header(self) -> None:
        if self not in self.waiting:
            self.waiting[self] = None
            self._timer = self.loop.call_later(HEADER_SEC, self.transport.close)

    def _check_body(self) -> None:
        self._timer = None
        if self.cycle is None or not self.cycle.more_body or self.cycle.response_complete:
            return
        slow = self._body_bytes < MIN_BODY_BYTES_PER_SEC * BODY_CHECK_SEC
        if slow and not self.flow.read_paused:  # paused: it is we who do not read
            return self.transport.close()
        self._body_bytes = 0
        self._timer = self.loop.call_later(BODY_CHECK_SEC, self._check_body)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def make_protocol() -> type[PatientProtocol]:
    """The protocol class of one server."""
    return type("StudioProtocol", (PatientProtocol,), {"waiting": {}})


class LoadMiddleware:
    """ASGI middleware: requests at the same time, in all and from one address; beyond them 429 with Retry-After."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._active: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, pass on, count off."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        address = str((scope.get("client") or ("",))[0])
        if self._active.total() >= MAX_REQUESTS or self._active[address] >= MAX_REQUESTS_PER_ADDRESS:
            busy = HTTPException(429, "too many requests at the same time; try again in a moment")
            return await error_answer(busy)(scope, receive, send)
        self._active[address] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._active[address] -= 1
            if not self._active[address]:
                del self._active[address]
