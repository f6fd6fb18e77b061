"""ganvas stylise: teach a generator a style from one picture; join generators that have one parent."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar as Bar
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import one_of
from ganvas.cli.training_common import current_command

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.training.style.teach import StyleProgress

PREVIEW_SEEDS = (1, 4, 7)
PREVIEW_CELL_PX = 256
_LINE_SEC = 10.0  # between two lines where nobody watches
SAVE_SEC = 20.0  # between two previews


def stylise(
    example: Annotated[
        list[Path] | None,
        typer.Option(help="An image in the style, with a subject the model can generate (e.g. a face)."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the style, e.g. ink.")] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A catalogue name, or the path of a stylegan2, stylegan3 or mobilestylegan."
        ),
    ] = "faces",
    keep_colour: Annotated[
        bool, typer.Option("--keep-colour", help="Learn lines, light and texture only; keep the colours of each image.")
    ] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of training steps (default: 120).")] = None,
    from_px: Annotated[
        int | None,
        typer.Option(min=1, help="Train layers from this size on: 32 = stronger, less of the identity (default: 64)."),
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "faces", "centre"),
            help="faces: align the face in the example; centre: centre crop; auto: the face if one is found.",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="The same seed and example give the same style.")] = 0,
    preview: Annotated[
        Path | None, typer.Option(help="File of the preview during training (default: next to the style).")
    ] = None,
    swap: Annotated[
        str | None, typer.Option(help="Merge: take the coarse layers of this generator (a file, a name, or a style) …")
    ] = None,
    blend: Annotated[str | None, typer.Option(help="Merge: interpolate all weights of this generator …")] = None,
    other: Annotated[str | None, typer.Option("--with", help="… with this one.")] = None,
    at: Annotated[float, typer.Option(help="--swap: the size in pixels of the transition.")] = 32,
    width: Annotated[
        float, typer.Option(min=0, help="--swap: width of the transition in octaves; 0 = a hard cut.")
    ] = 1,
    share: Annotated[float, typer.Option(min=0, max=1, help="--blend: share of the first.")] = 0.5,
    add: Annotated[Path | None, typer.Option(help="Add a style file from somebody else.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the styles on this computer.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also save the style (or the merged generator) here.")
    ] = None,
) -> None:
    """Learn a style from one image; 'ganvas edit PHOTO --style NAME' then applies it.

    Run the same command again to resume after Ctrl-C or a kill.

    Example: [bold]ganvas stylise --model faces --example drawing.png --name ink[/bold]
    """
    modes = [bool(example), swap is not None, blend is not None, add is not None, listed]
    if sum(modes) != 1:
        raise typer.BadParameter("choose one of: --example PICTURE --name NAME, --swap, --blend, --add or --list")
    if swap is not None or blend is not None:
        if other is None or output is None:
            raise typer.BadParameter("merge two generators with --swap (or --blend) A --with B -o OUT.safetensors")
        _join(swap, blend, other, model=model, at=at, width=width, share=share, output=output)
    elif add is not None:
        _add(add, name)
    elif listed:
        _list()
    else:
        if name is None:
            raise typer.BadParameter("a style needs a name: --name ink")
        _teach(
            example or [], name, model=model, keep_colour=keep_colour, steps=steps, from_px=from_px, align=align,
            seed=seed, preview=preview, output=output,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Teaching


def _teach(
    examples: list[Path], name: str, *, model: str, keep_colour: bool, steps: int | None, from_px: int | None,
    align: str, seed: int, preview: Path | None, output: Path | None,
) -> None:  # fmt: skip
    from ganvas.cli.generator_options import open_generator
    from ganvas.editing.style import check_style_name, save_style, style_state_file, styles_folder
    from ganvas.features.efficientnet import load_efficientnet_if_available
    from ganvas.images.files import check_target
    from ganvas.images.output_check import check_output_path
    from ganvas.training.style.teach import StyleConfig, teach_style
    from ganvas.weights.catalogue.store import sha256_of

    check_style_name(name)
    ensure_models((model, "mtcnn", "efficientnet-lite0"))
    styles_folder().mkdir(parents=True, exist_ok=True)
    preview = preview or styles_folder() / f"{name}.png"
    check_output_path(preview)
    if output is not None:
        check_target(output)
    G = open_generator(model)
    squares = [_square(path, G, align) for path in examples]
    config = StyleConfig(keep_colour=keep_colour, seed=seed, from_px=from_px, steps=steps or StyleConfig().steps)
    facts = {"model": model, "examples": [{"file": path.name, "sha256": sha256_of(path)} for path in examples]}
    with _StyleProgress(G, squares, preview) as reporter:
        style = teach_style(
            squares,
            G,
            name=name,
            config=config,
            extractor=load_efficientnet_if_available(),
            on_step=reporter,
            facts=facts,
            state_file=style_state_file(name),
        )
    if not style.tensors:
        typer.echo(f"stopped before the first step; no style is saved. To resume: {current_command()}")
        raise typer.Exit(1)
    for path in [None, output] if output is not None else [None]:
        saved = save_style(style, path)
        typer.echo(f"style: {saved}, {saved.stat().st_size / 1e6:.1f} MB")
    metrics = ", ".join(f"{key} {value:g}" for key, value in style.facts["figures"].items())
    typer.echo(f"{style.facts['steps']} steps{'' if style.facts['finished'] else ' (stopped; saved)'}: {metrics}")
    if style.facts["finished"]:
        style_state_file(name).unlink(missing_ok=True)
    elif style_state_file(name).exists():
        typer.echo(f"to resume: {current_command()}")
    typer.echo(f"preview: {preview}; apply it: ganvas edit PHOTO -o OUT.png --style {name}")


def _square(path: Path, G: Any, align: str) -> Tensor:
    """The crop of an example to learn from; a drawing in which no face is found is centre-cropped."""
    from ganvas.errors import NoFace
    from ganvas.inversion.alignment import crop_for_generator

    try:
        return crop_for_generator(path, G, align=align)[0]
    except NoFace:
        if align == "faces":
            raise
        typer.echo(f"note: no face found in {path.name}, using its centre crop; crop it like a portrait")
        return crop_for_generator(path, G, align="centre")[0]


class _StyleProgress:
    """How far it is, on one line; and a picture of it now and then."""

    def __init__(self, G: Any, squares: list[Tensor], preview: Path):
        self.G, self.squares, self.preview = G, squares, preview
        self._terminal = sys.stderr.isatty()
        self._line_sec = self._saved_sec = 0.0

    def __enter__(self) -> _StyleProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._terminal:
            sys.stderr.write("\n")

    def __call__(self, at: StyleProgress) -> None:
        """After every step."""
        now, last = time.monotonic(), at.step == at.steps
        left_sec = at.sec_left
        line = f"{at.stage} {at.step}/{at.steps}" + (f" · loss {at.loss:.3f}" if at.loss is not None else "")
        line += "" if left_sec is None else f" · ETA {round(left_sec) // 60}:{round(left_sec) % 60:02}"
        if self._terminal:
            sys.stderr.write("\r" + line.ljust(79))
            sys.stderr.flush()
        elif last or now - self._line_sec >= _LINE_SEC:
            self._line_sec = now
            print(line, file=sys.stderr, flush=True)
        if at.generator is not None and (last or now - self._saved_sec >= SAVE_SEC):
            self._saved_sec = now
            self._write_preview(at.generator)

    def _write_preview(self, generator: Any) -> None:
        """The examples and some faces: above as they are, below in the style as learnt so far."""
        import torch

        from ganvas.images.contact_sheet import grid
        from ganvas.images.digital_source import EDITED
        from ganvas.images.files import write_image
        from ganvas.models.seeds import latents_from_seeds
        from ganvas.ops.resample import downscale

        with torch.no_grad():
            z = latents_from_seeds(PREVIEW_SEEDS, self.G.z_dim)
            c = torch.eye(self.G.c_dim)[[0] * len(z)] if self.G.c_dim else None
            ws = self.G.mapping(z, c, truncation_psi=0.7)
            lines = [
                torch.cat([self.squares[0], *(one.synthesis(w[None], precision="fast").float() for w in ws)])
                for one in (self.G, generator)
            ]
        small = downscale(torch.cat(lines).clamp(-1, 1), PREVIEW_CELL_PX)
        write_image(grid(small, columns=1 + len(ws)), self.preview, digital_source=EDITED)


# ---------------------------------------------------------------------------------------------------------------------
# Joining, taking in, listing


def _join(
    swap: str | None, blend: str | None, other: str, *, model: str, at: float, width: float, share: float, output: Path
) -> None:
    from ganvas.editing.stylise import swap_layers
    from ganvas.weights.checkpoint import save
    from ganvas.weights.interpolate import interpolate_networks

    with Bar("joining"):
        a, b = (_generator(text, model) for text in (swap or blend, other))
        generator = swap_layers(a, b, at_px=at, width=width) if swap is not None else interpolate_networks(a, b, share)
        saved = save(generator, output)
    typer.echo(f"saved: {saved}; try it: ganvas generate --model {saved} --seeds 0-7 --grid sheet.png")


def _generator(text: str | None, model: str) -> Any:
    """A file or catalogue name; or the name of a style, which is `model` painting in it."""
    from ganvas.cli.generator_options import open_generator
    from ganvas.editing.style import apply_style, list_styles
    from ganvas.weights.checkpoint import fingerprint

    assert text is not None
    if not Path(text).exists() and text in list_styles():
        parent = open_generator(model)
        style = list_styles(fingerprint(parent)).get(text)
        if style is not None:
            return apply_style(parent, style)
    return open_generator(text)


def _add(path: Path, name: str | None) -> None:
    from dataclasses import replace

    from ganvas.editing.style import load_style, save_style

    style = load_style(path)
    saved = save_style(replace(style, name=name or style.name))
    typer.echo(f"style: {saved}, for {style.facts.get('model', 'a generator')} ({style.parent[:12]})")


def _list() -> None:
    from ganvas.editing.style import list_styles, styles_folder

    styles = list_styles()
    for name, style in styles.items():
        files = ", ".join(str(one.get("file")) for one in style.facts.get("examples", []) if isinstance(one, dict))
        typer.echo(f"{name}: for {style.facts.get('model', 'a generator')} ({style.parent[:12]}), from {files or '?'}")
    if not styles:
        typer.echo(f"no styles in {styles_folder()}; learn one with --example PICTURE --name NAME")
