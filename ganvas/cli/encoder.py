"""ganvas encoder: learn and list the encoders that give inversions a first guess."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.generator_options import ClassOption, open_generator

if TYPE_CHECKING:
    from ganvas.inversion.encoder import LatentEncoder

encoder = typer.Typer(
    name="encoder",
    help="Train an encoder that predicts the latent of a photo, as the start of inversions. 'faces' has one already.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@encoder.command("learn")
def learn_encoder(
    model: Annotated[str, typer.Argument(help="A catalogue name, or the path of any generator.")],
    samples: Annotated[int, typer.Option(min=20, help="Number of training images.")] = 4000,
    label: ClassOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the images.")] = 0,
    max_sec: Annotated[
        float, typer.Option(min=1, help="Stop generating training images after this many seconds.")
    ] = 180,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output file (default: where inversions find it).")
    ] = None,
) -> None:
    """Learn an encoder from a generator's own pictures, in two to three minutes. No photos are needed.

    Every 'ganvas invert', 'edit' and 'studio' with this generator then starts from its guess. Ctrl-C stops and keeps
    nothing; to end sooner, use --max-sec or fewer --samples.

    Example: [bold]ganvas encoder learn my.safetensors --max-sec 120[/bold]
    """
    from ganvas.features.efficientnet import load_efficientnet_if_available
    from ganvas.inversion.encoder import fit_encoder, keep_encoder

    G = open_generator(model)
    with ProgressBar("generating training images") as progress:
        learnt = fit_encoder(
            G,
            samples=samples,
            extractor=load_efficientnet_if_available(),
            label=label,
            seed=seed,
            max_sec=max_sec,
            on_step=progress.step,
        )
    typer.echo(_format_encoder(learnt))
    typer.echo(f"saved: {keep_encoder(learnt) if output is None else learnt.save(output)}")


@encoder.command("list")
def list_encoders() -> None:
    """Show the encoders on this computer: what ships with ganvas, and your own.

    Example: [bold]ganvas encoder list[/bold]
    """
    from ganvas.inversion.encoder import list_encoders

    for file, one in list_encoders():
        typer.echo(f"{file.name}  {_format_encoder(one)}")


def _format_encoder(one: LatentEncoder) -> str:
    facts = ", ".join(f"{name} {one.facts[name]}" for name in ("samples", "axes", "r2") if name in one.facts)
    label = "" if one.label is None else f"class {one.label}, "
    return f"of {one.fingerprint[:12]}: {label}{facts}, looks at {', '.join(one.parts)}"
