"""What `generate`, `mix` and `interpolate` have in common: a loaded generator and latents from seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.parsing import parse_numbers
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from torch import Tensor

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A catalogue name, or the path of any supported file.")]
TruncationOption = Annotated[
    float, typer.Option("--trunc", help="truncation_psi: 1 = no truncation, towards 0 = closer to the mean image.")
]
ClassOption = Annotated[int | None, typer.Option("--class", help="Class index for a conditional generator, from 0.")]
NoiseModeOption = Annotated[str, typer.Option("--noise-mode", help="const (repeatable), random or none.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="exact (float32), or fast (bfloat16 where this is faster).")
]


def open_generator(model: str) -> Any:
    """Load a generator, and configure this process for speed.

    Raises:
        BadConfig: the file holds another kind of network.
    """
    from ganvas.errors import BadConfig
    from ganvas.models.protocol import Generator
    from ganvas.weights.load import load

    configure_process()
    network = load(model)
    if not isinstance(network, Generator):
        raise BadConfig(
            f"{model} is not a generator but a {network.family}; for its use see 'ganvas models info {model}'"
        )
    return network


def map_pictures(G: Any, text: str, *, what: str, trunc: float, label: int | None) -> Tensor:
    """ws [N, num_ws, w_dim] of seeds, photos and inversions in one list: `0-3,me.jpg,you.npz`.

    Raises:
        typer.BadParameter: neither numbers nor files. GanvasError: as `map_seeds` and `find_reference`.
    """
    import torch

    from ganvas.features.efficientnet import load_efficientnet_if_available
    from ganvas.inversion.alignment import find_reference
    from ganvas.models.seeds import map_seeds

    latents = []
    for one in text.split(","):
        if Path(one.strip()).suffix:
            with ProgressBar(f"inverting {Path(one).name}") as progress:
                inversion = find_reference(
                    one.strip(), G, extractor=load_efficientnet_if_available(), on_step=progress.step
                )
            latents.append(inversion.ws.to(G.device))
        else:
            latents.append(map_seeds(G, parse_numbers(one, what=what), trunc=trunc, label=label))
    return torch.cat(latents)
