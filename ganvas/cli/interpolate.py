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
from ganvas.cli.parsing import parse_numbers, parse_size

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
    sheet: Annotated[
        str | None,
        typer.Option(
            "--grid", help="Several walks side by side, such as 4x2; the seeds are shared out to them in order."
        ),
    ] = None,
    shuffle_seed: Annotated[
        int | None, typer.Option(min=0, help="Shuffle the keyframes with this seed before they are shared out.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help=".mp4 (extra [video]), .gif or .webp")] = Path(
        "walk.webp"
    ),
    disclose: DiscloseOption = True,
) -> None:
    """Interpolate from seed to seed and back to the first: a seamless loop.

    Example: [bold]ganvas interpolate --model faces --seeds 0-3 --frames 120 --output walk.mp4[/bold]

    Eight walks of four seeds each: [bold]ganvas interpolate --seeds 0-31 --grid 4x2 --output walks.mp4[/bold]
    """
    import torch

    from ganvas.images.animation import check_animation, write_animation
    from ganvas.images.contact_sheet import grid
    from ganvas.images.digital_source import GENERATED
    from ganvas.images.files import check_target

    columns, rows = (1, 1) if sheet is None else parse_size(sheet, what="--grid")
    check_animation(output)
    check_target(output)
    G = open_generator(model)
    paths = _paths(G, seeds, frames=frames, trunc=trunc, label=label, walks=columns * rows, shuffle_seed=shuffle_seed)
    with torch.no_grad():
        pictures = (
            grid(
                G.synthesis(ws, noise_mode=noise_mode, resolution=resolution, precision=precision).clamp(-1, 1),
                columns=columns,
            )
            for ws in track(paths, what="walking", total=frames)
        )
        write_animation(pictures, output, frames_per_sec=fps, digital_source=GENERATED if disclose else None)
    typer.echo(f"animation: {output}, {frames / fps:.1f} seconds")


def _paths(
    G: Any, seeds: str, *, frames: int, trunc: float, label: int | None, walks: int, shuffle_seed: int | None
) -> Tensor:
    """[frames, walks, num_ws, w_dim]: through W where there is a mapping network, else along the sphere of z."""
    import torch

    from ganvas.editing.interpolation import latent_walk
    from ganvas.models.seeds import latents_from_seeds, map_z

    styled = G.num_ws > 1
    if styled:
        keys = map_pictures(G, seeds, what="seeds", trunc=trunc, label=label)
    else:
        keys = latents_from_seeds(parse_numbers(seeds, what="seeds"), G.z_dim)[:, None]
    if shuffle_seed is not None:
        keys = keys[torch.randperm(len(keys), generator=torch.Generator().manual_seed(shuffle_seed)).to(keys.device)]
    paths = [latent_walk(part, frames=frames, on_sphere=not styled) for part in _share_out(keys, walks)]
    if not styled:
        paths = [map_z(G, path[:, 0], trunc=trunc, label=label) for path in paths]
    return torch.stack(paths, dim=1)


def _share_out(keys: Tensor, walks: int) -> tuple[Tensor, ...]:
    """As many keyframes for each walk, in order.

    Raises:
        BadConfig: they do not come out even.
    """
    from ganvas.errors import BadConfig

    if len(keys) % walks:
        raise BadConfig(
            f"{len(keys)} keyframes cannot be shared out to {walks} walks: give a multiple of {walks}, such as "
            f"--seeds 0-{max(len(keys) // walks, 1) * 2 * walks - 1}"
        )
    return keys.split(len(keys) // walks)
