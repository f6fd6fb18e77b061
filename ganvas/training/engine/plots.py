"""Plots of a run: sheets, a latent interpolation, curves, TensorBoard events.

All of these are called often, so all are cheap; all write under a temporary name first, so that a killed run leaves no
half a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.interpolation import latent_walk
from ganvas.images.animation import write_animation
from ganvas.images.contact_sheet import grid
from ganvas.images.files import write_image
from ganvas.images.line_chart import Curve, Panel, draw_panels
from ganvas.images.tensors import from_pixels
from ganvas.models.seeds import latents_from_seeds, one_hot
from ganvas.training.engine.run_folder import number_of, read_log
from ganvas.weights.checkpoint import write_atomically

CURVES = "curves.png"
WALK_BATCH = 16
MAX_EVENTS = 12  # drawn and listed; the log has all

# Title, and which numbers of the log it shows under which name.
PANELS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Distance to the data (FD-EffNet)", {"fd": "distance"}),
    ("PSNR gain over bicubic, dB", {"psnr_gain": "RGB", "psnr_y_gain": "luma"}),
    ("SSIM gain over bicubic", {"ssim_gain": "RGB"}),
    ("Pixel loss", {"pixel": "pixel loss"}),
    ("Losses", {"loss_D": "discriminator", "loss_G": "generator"}),
    ("Discriminator logits", {"logit_real": "of reals", "logit_fake": "of fakes"}),
    ("Augmentation and overfitting", {"p": "augmentation p", "sign_real": "mean sign of D on reals"}),
    ("Diversity of fakes", {"diversity": "diversity"}),
    ("Penalty", {"penalty": "penalty"}),
    ("Gradient norms", {"grad_norm_D": "discriminator", "grad_norm_G": "generator"}),
    ("Share of steps with non-finite gradients", {"bad_share": "share"}),
    ("Speed, images per second", {"img_per_sec": "img/s"}),
)
_HIDDEN_AT_ZERO = {"bad_share"}  # nothing to see while it is
_NOT_CURVES = {"nimg", "kimg", "sec", "event", "psnr", "psnr_y", "ssim", *(key for _, names in PANELS for key in names)}


def write_sheet(img: Tensor, path: Path | str, *, columns: int | None = None) -> Path:
    """A batch as one picture.

    Args:
        img: float [N, C, H, W] in [-1, 1], C = 1 or 3; what lies outside is cut. Or uint8, as data sets give it.
        path: .png, .jpg or another suffix that `write_image` knows.
        columns: pictures in a row; None = as square as can be.

    Raises:
        BadImage: another shape, or not-a-number in it.
    """
    if img.dtype == torch.uint8:
        img = from_pixels(img.permute(0, 2, 3, 1))
    return write_image(grid(img.detach().float().cpu(), columns=columns), path)


@torch.no_grad()
def write_walk(
    G: Any, path: Path | str, seed: int, *, frames: int = 48, stops: int = 6, largest_px: int = 192, label: int = 0
) -> Path:
    """A loop through the latents of `stops` seeds, from `seed` upward, as an animation.

    Args:
        G: a generator, run in eval mode at its fast precision.
        path: .gif, .webp or .mp4.
        frames: pictures in the loop, shown at 16 a second.
        largest_px: larger pictures are reduced to this size.
        label: class of a conditional generator.
    """
    device = next(G.parameters()).device
    z = latents_from_seeds(range(seed, seed + stops), G.z_dim, device=device)
    training = G.training
    G.eval()
    try:
        ws = _walk_latents(G, z, frames, label)
        return write_animation(_frames(G, ws, largest_px), path, frames_per_sec=16)
    finally:
        G.train(training)


def _walk_latents(G: Any, z: Tensor, frames: int, label: int) -> Tensor:
    """[frames, num_ws, w_dim]: through W where there is a mapping network, else along the sphere of z."""
    c = one_hot(G, label if G.c_dim else None, device=z.device)
    if G.num_ws > 1:
        return latent_walk(G.mapping(z, None if c is None else c.expand(len(z), -1)), frames=frames)
    path = latent_walk(z[:, None], frames=frames, on_sphere=True)[:, 0]
    return G.mapping(path, None if c is None else c.expand(frames, -1))


def _frames(G: Any, ws: Tensor, largest_px: int) -> Iterator[Tensor]:
    for batch in ws.split(WALK_BATCH):
        img = G.synthesis(batch, noise_mode="const", precision="fast").float().clamp(-1, 1)
        if (height := img.shape[2]) > largest_px:
            img = F.interpolate(img, scale_factor=largest_px / height, mode="area")
        yield from img.cpu().split(1)


# ---------------------------------------------------------------------------------------------------------------------
# Curves


def events_of(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """(kimg, what the watchdog said), in order."""
    return [(row["nimg"] / 1000, str(row["event"])) for row in rows if row.get("event")]


def plot_log(run_dir: Path | str) -> list[Path]:
    """Draw all numbers of log.jsonl into curves.png, beside it.

    Numbers this function does not know get a panel each. Not-a-number is marked in red where it happened, events of the
    watchdog are dashed lines whose words stand below.

    Returns:
        The written files; none while the log has no numbers.
    """
    rows = read_log(run_dir)
    panels = panels_of(rows)
    if not panels:
        return []
    events = events_of(rows)
    notes = [f"{number}   at {kimg:,.1f} kimg: {message}" for number, (kimg, message) in enumerate(events, start=1)]
    if len(notes) > MAX_EVENTS:
        notes = [f"{len(notes) - MAX_EVENTS} earlier events are in log.jsonl", *notes[-MAX_EVENTS:]]
    page, path = draw_panels(panels, notes), Path(run_dir) / CURVES
    write_atomically(path, lambda part: page.save(part, format="PNG", compress_level=4))
    return [path]


def panels_of(rows: list[dict[str, Any]]) -> list[Panel]:
    """What there is to draw of these rows."""
    known = [(title, {key: name for key, name in names.items() if _has(rows, key)}) for title, names in PANELS]
    others = {key: None for row in rows for key in row if key not in _NOT_CURVES and _has(rows, key)}
    events = [(kimg, index) for index, (kimg, _) in enumerate(events_of(rows), start=1)][-MAX_EVENTS:]
    wanted = [*known, *((key, {key: key}) for key in others)]
    return [
        Panel(title, [_curve(rows, key, name) for key, name in names.items()], events=events)
        for title, names in wanted
        if names
    ]


def _has(rows: list[dict[str, Any]], key: str) -> bool:
    nothing = (None, 0) if key in _HIDDEN_AT_ZERO else (None,)
    return any(number_of(row.get(key)) not in nothing for row in rows)


def _curve(rows: list[dict[str, Any]], key: str, name: str) -> Curve:
    """JSON has no not-a-number: a null in the log is one, a missing key is nothing."""
    points = [(row["nimg"] / 1000, _value_or_gap(row[key])) for row in rows if key in row]
    valid = [(x, y) for x, y in points if y is not None]
    return Curve(name, [x for x, _ in valid], [y for _, y in valid])


def _value_or_gap(value: Any) -> float | None:
    gap = value is None or (isinstance(value, float) and not math.isfinite(value))
    return math.nan if gap else number_of(value)
