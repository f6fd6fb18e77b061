"""The metrics by name, for whoever must know them before torch is imported."""

from __future__ import annotations

from ganvas.errors import BadConfig

FEATURE_METRICS = ("fd", "kid", "pr", "is", "ppl")  # of a feature network
PIXEL_METRICS = ("copies", "msssim", "swd", "spectrum")
EQUIVARIANCE_METRICS = ("eqt", "eqt_frac", "eqr")  # of StyleGAN3
METRICS = (*FEATURE_METRICS, *PIXEL_METRICS, *EQUIVARIANCE_METRICS)


def parse_metrics(text: str) -> tuple[str, ...]:
    """`fd,kid` → ("fd", "kid"); `none` → ().

    Raises:
        BadConfig: an unknown name, or an empty one.
    """
    names = tuple(name.strip() for name in text.split(","))
    if names == ("none",):
        return ()
    for name in names:
        if name not in METRICS:
            raise BadConfig(f"metrics are a comma-separated list of {', '.join(METRICS)}; got {name!r}")
    return tuple(dict.fromkeys(names))
