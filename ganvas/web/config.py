"""What a studio needs to know before it opens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ganvas.errors import BadConfig

LOCAL = ("127.0.0.1", "localhost", "::1")
MEBI = 2**20


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    """Address, secrets and limits of a studio. The defaults are for one person at one computer."""

    host: str = "127.0.0.1"  # the address to listen on
    port: int = 7860
    token: str | None = None  # what callers must show; needed for any address but this computer's own
    names: tuple[str, ...] = ()  # further names under which the studio may be asked for
    model: str | None = None  # the generator that is offered first: a catalogue name, or a file
    data_root: Path = Path()  # training pictures are looked for here and below, nowhere else
    runs: Path = Path("runs")  # where training runs are

    upload_bytes: int = 64 * MEBI  # of one file
    upload_pixels: int = 40_000_000  # of one photo
    pixels_in_all: int = 120_000_000  # of all photos that are open
    result_pixels: int = 64_000_000  # of an enlarged photo
    sessions: int = 8  # open at once
    idle_sec: float = 3600.0  # without a request; then a session is closed
    vanish_sec: float = 30.0  # without a connection, after there was one; then its jobs are stopped
    uploads: int = 4  # read at once
    waiting_uploads: int = 16  # that may wait for their turn
    upload_sec: float = 120.0  # for one upload to arrive
    waiting_jobs: int = 16  # that may wait for the device
    batch_photos: int = 200  # in one batch

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise BadConfig(f"a port is a number from 1 to 65535, or 0 for any free one; got {self.port}")
        if self.token is not None and len(self.token) < 16:
            raise BadConfig("a token has 16 characters or more, so that it cannot be guessed")
        if not self.local and self.token is None:
            raise BadConfig(
                f"a studio on {self.host} can be reached from other computers and needs a token: --token auto makes one"
            )

    @property
    def local(self) -> bool:
        """Can only this computer reach it?"""
        if self.host in LOCAL:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
