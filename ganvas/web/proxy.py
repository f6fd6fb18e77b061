"""Behind a proxy: the path it serves the studio under, and what it says about the caller.

A proxy may take its prefix off the path or leave it on; either way the routes see their own path, and the page's
addresses are relative to it. Whoever is not named as trusted may send any X-Forwarded-…: it is not looked at.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ganvas.web.config import StudioConfig

HOST_KEY = "ganvas.forwarded_host"  # of a scope: the host that a trusted proxy was asked for


def inner_path(scope: Scope) -> str:
    """The path below the root path: "/api/info" for "/studio/api/info"."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class ProxyMiddleware:
    """ASGI middleware; see the module. It comes before all others."""

    def __init__(self, app: ASGIApp, config: StudioConfig):
        self.app, self.root = app, config.root_path
        self._trusted = [ipaddress.ip_network(one) for one in config.trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with the whole path, and with the caller's own address where a trusted proxy tells it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        scope = self._unwrap(scope) if self._trusts(str((scope.get("client") or ("",))[0])) else dict(scope)
        if self.root:
            if scope["type"] == "http" and scope["path"] == self.root:
                return await RedirectResponse(f"{self.root}/")(scope, receive, send)
            whole = scope["path"].startswith(f"{self.root}/")
            scope |= {"root_path": self.root, "path": scope["path"] if whole else self.root + scope["path"]}
        await self.app(scope, receive, send)

    def _trusts(self, address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in network for network in self._trusted)
        except ValueError:
            return False

    def _unwrap(self, scope: Scope) -> Scope:
        """The request as the proxy had it."""
        scope, headers = dict(scope), Headers(scope=scope)
        if (scheme := headers.get("x-forwarded-proto", "")) in ("http", "https"):
            secure = scheme == "https"
            scope["scheme"] = {"http": ("http", "https"), "websocket": ("ws", "wss")}[scope["type"]][secure]
        chain = [one.strip() for one in ",".join(headers.getlist("x-forwarded-for")).split(",") if one.strip()]
        callers = [one for one in reversed(chain) if not self._trusts(one)]
        if callers:  # the nearest that no trusted proxy is: what stands before it may be made up
            scope["client"] = (callers[0], 0)
        return scope | {HOST_KEY: headers.get("x-forwarded-host")}
