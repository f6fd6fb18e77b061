"""ganvas interpolate: a walk through latents as an animation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import track
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.generator_options import (
    ClassOption,
    ModelOption,
    NoiseModeOption,
    PrecisionOption,
    TruncationOption,
    map_pictures,
    open_generator,
)
from ganvas.cli.parsing import parse_numbers

if TYPE_CHECKING:
    from torch import Tensor


def interpolate(
    model: ModelOption = "faces",
    seeds: Annotated[
        str, typer.Option(help="Keyframes, in this order: seeds, photos, .npz of 'ganvas invert', e.g. 0-3,me.npz.")
    ] = "0-3",
    frames: Annotated[int, typer.Option(min=2, help="Number of frames of the loop.")] = 120,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames per second.")] = 30,
    trunc: TruncationOption = 0.7,
    label: ClassOption = None,
    noise_mode: NoiseModeOption = "const",
    precision: PrecisionOption = "fast",
    resolution: Annotated[
        int | None, typer.Option(help="Use an early exit at this size, if the generator has one: much faster.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help=".mp4 (extra [video]), .gif or .webp")] = Path(
        "walk.webp"
    ),
    disclose: DiscloseOption = True,
) -> None:
    """Interpolate from seed to seed and back to the first: a seamless loop.

    Example: [bold]ganvas interpolate --model faces --seeds 0-3 --frames 120 --output walk.mp4[/bold]
    """
    import torch

    from ganvas.images.animation import check_animation, write_animation
    from ganvas.images.digital_source import GENERATED
    from ganvas.images.files import check_target

    check_animation(output)
    check_target(output)
    G = open_generator(model)
    path = _path(G, seeds, frames=frames, trunc=trunc, label=label)
    with torch.no_grad():
        pictures = (
            G.synthesis(ws[None], noise_mode=noise_mode, resolution=resolution, precision=precision).clamp(-1, 1)
            for ws in track(path, what="walking", total=frames)
        )
        write_animation(pictures, output, frames_per_sec=fps, digital_source=GENERATED if disclose else None)
    typer.echo(f"animation: {output}, {frames / fps:.1f} seconds")


def _path(G: Any, seeds: str, *, frames: int, trunc: float, label: int | None) -> Tensor:
    """[frames, num_ws, w_dim]: through W where there is a mapping network, else along the sphere of z."""
    from ganvas.editing.interpolation import latent_walk
    from ganvas.models.seeds import latents_from_seeds, map_z

    if G.num_ws > 1:
        return latent_walk(map_pictures(G, seeds, what="seeds", trunc=trunc, label=label), frames=frames)
    numbers = parse_numbers(seeds, what="seeds")
    z = latent_walk(latents_from_seeds(numbers, G.z_dim)[:, None], frames=frames, on_sphere=True)[:, 0]
    return map_z(G, z, trunc=trunc, label=label)
