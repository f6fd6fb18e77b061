"""A figure and how it was measured, never one without the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that must be equal for two values to be comparable."""

    real: int  # pictures of the data that were looked at; 0 = the figure needs none
    fake: int  # pictures of the generator
    network: str  # what looked at them, e.g. "EfficientNet-lite0"
    network_fingerprint: str  # of its weights
    input_px: int  # the size at which it looked
    resize: str  # how pictures got to that size
    precision: str  # "exact" = float32, "fast" = what this machine runs fastest
    seed: int  # chose the latents, and the real pictures where not all were taken
    compared_px: int | None = None  # size of the pictures on both sides, before the network's own
    data: str | None = None  # fingerprint of the data
    data_filter: str | None = None  # how the data's photos were shrunk to the generator's size
    details: str = ""  # settings of this figure alone, e.g. "k = 3"

    def line(self) -> str:
        """All but the details in one line."""
        counts = f"{self.real:,} real and {self.fake:,} fake images" if self.real else f"{self.fake:,} fake images"
        parts = [
            counts + (f" of {self.compared_px} px" if self.compared_px else ""),
            f"{self.network} ({self.network_fingerprint[:8]})" if self.network_fingerprint else self.network,
            f"{self.resize} to {self.input_px} px" if self.resize else "",
            self.precision,
            f"data {self.data[:8]}" if self.data else "",
            f"real images downscaled by {self.data_filter}" if self.data_filter else "",
            f"seed {self.seed}",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """One measured number."""

    name: str  # says the feature network, e.g. "FD-EffNet"
    value: float
    protocol: Protocol
    better: str = "lower"  # or "higher"
    spread: float | None = None  # standard error, where it is known
    floor: float | None = None  # what a perfect generator would get with these counts, where it is known
    cautions: tuple[str, ...] = ()  # what the number does not say

    def short_line(self) -> str:
        """The number with its spread, floor and details; the protocol must stand nearby."""
        spread = "" if self.spread is None else f" ± {self.spread:.3g}"
        floor = "" if self.floor is None else f"; floor (perfect generator): about {self.floor:.4g}"
        details = f"; {self.protocol.details}" if self.protocol.details else ""
        return f"{self.name} {self.value:.4g}{spread} ({self.better} is better{floor}{details})"

    def line(self) -> str:
        """The number with its spread, floor and protocol."""
        return f"{self.short_line()} [{self.protocol.line()}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"cautions": list(self.cautions)}
