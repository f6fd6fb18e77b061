"""Configuration of the studio's server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from ganvas.errors import BadConfig
from ganvas.fields import check_settings, setting

LOCAL = ("127.0.0.1", "localhost", "::1")
MEBI = 2**20
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_OWN_PATHS = ("api", "static", "docs", "openapi.json", "healthz", "metrics")


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    """Address, secrets and limits of a studio. The defaults are for one person at one computer."""

    host: str = setting("127.0.0.1", help="address to listen on; any but this computer's own needs a token")
    port: int = setting(7860, ge=0, le=65535, help="0 = any free one")
    token: str | None = setting(None, help="what callers must show, 16 characters or more")
    names: tuple[str, ...] = setting((), help="further names under which the studio may be asked for")
    origins: tuple[str, ...] = setting((), help="other pages that may call: https://example.org, exactly")
    root_path: str = setting("", help="the path that a proxy serves the studio under, such as /studio")
    trusted_proxies: tuple[str, ...] = setting((), help="addresses or networks whose X-Forwarded-… headers count")
    model: str | None = setting(None, help="the generator offered first: a catalogue name, or a file")
    data_root: Path = setting(Path(), help="training pictures are taken from here and below, nowhere else")
    runs: Path = setting(Path("runs"), help="where training runs are")

    metrics: bool = setting(False, help="answer GET /metrics with figures for Prometheus")
    projects: Path | None = setting(None, help="where projects are kept; none = the user's data folder")

    upload_bytes: int = setting(256 * MEBI, unit="bytes", help="of one file")
    project_bytes: int = setting(2048 * MEBI, unit="bytes", help="of one project's file")
    upload_pixels: int = setting(102_000_000, unit="pixels", help="of one photo")
    pixels_in_all: int = setting(
        160_000_000,
        unit="pixels",
        help="of all photos that are open: 12 bytes of memory each, and twice that while one is saved",
    )
    result_pixels: int = setting(102_000_000, unit="pixels", help="of an enlarged photo")
    sessions: int = setting(8, help="photos open at once")
    idle_sec: float = setting(3600.0, unit="seconds", help="without a request; then a session is closed")
    vanish_sec: float = setting(
        30.0, unit="seconds", help="without a connection, after there was one; then its jobs are stopped"
    )
    uploads: int = setting(4, help="read at once")
    waiting_uploads: int = setting(16, help="that may wait for their turn")
    upload_sec: float = setting(120.0, unit="seconds", help="for one upload to arrive")
    waiting_jobs: int = setting(16, help="that may wait for the device")
    batch_photos: int = setting(200, help="in one batch")

    def __post_init__(self) -> None:
        check_settings(self, who="studio", whole_floats=True)
        if self.token is not None and len(self.token) < 16:
            raise BadConfig("a token has 16 characters or more, so that it cannot be guessed")
        if not self.local and self.token is None:
            raise BadConfig(
                f"a studio on {self.host} can be reached from other computers and needs a token: --token auto makes one"
            )

        _check_around(self)

    @property
    def local(self) -> bool:
        """Whether only this computer can reach it."""
        if self.host in LOCAL:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _check_around(config: StudioConfig) -> None:
    """What other pages and proxies are told of."""
    for origin in config.origins:
        default_port = origin.endswith({"https": ":443", "http:": ":80"}.get(origin[:5], " "))
        if not _ORIGIN.fullmatch(origin) or default_port:
            raise BadConfig(
                "an allowed origin is what a browser sends: scheme, host in small letters, a port if unusual, "
                f"such as https://example.org or http://localhost:5173; got {origin!r}"
            )
    if not _ROOT_PATH.fullmatch(config.root_path) or config.root_path.split("/")[1:2] in [[own] for own in _OWN_PATHS]:
        raise BadConfig(f"a root path is like /studio, and not one of the studio's own; got {config.root_path!r}")
    for proxy in config.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise BadConfig(f"a trusted proxy is an address or a network, such as 10.0.0.0/8; got {proxy!r}") from None
