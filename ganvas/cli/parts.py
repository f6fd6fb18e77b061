"""ganvas parts: the parts of a photo, and of what any generator paints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.generator_options import open_generator
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.features.part_clusters import PartClusters

parts = typer.Typer(name="parts", help="Parts of a picture: hair, skin, lips, …", no_args_is_help=True)
SHEET_SAMPLES = 6  # pictures of a sheet of clusters
SHEET_PX = 256


@parts.command("show")
def show_parts(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file: the photo with its parts in colours.")],
    face: Annotated[int | None, typer.Option(min=1, help="Which face: 1 = the largest, 2 = the next, …")] = None,
    part: Annotated[str | None, typer.Option(help="Write the mask of these instead: hair or hair+skin.")] = None,
) -> None:
    """Show the parts of a face photo in colours, or write one of them as a mask.

    Example: [bold]ganvas parts show me.jpg -o parts.png[/bold]
    """
    from ganvas.features.faces import choose_face, find_faces
    from ganvas.features.parts import PARTS, expand_parts
    from ganvas.images.crop import Crop
    from ganvas.images.files import format_of, read_image, write_image
    from ganvas.session.part_rendering import PartsInPhoto
    from ganvas.session.photo_parts import parse_part_names

    names = PARTS if part is None else expand_parts(parse_part_names(part))
    format_of(output)
    ensure_models(("mtcnn",))
    configure_process()
    picture = read_image(photo)
    crop = Crop.from_landmarks(choose_face(find_faces(picture.img), face).points)
    whole = PartsInPhoto(picture.img, crop)
    masks = whole.masks(names, whole.window(("background",)))
    write_image(paint_parts(picture.img, masks) if part is None else masks.sum(dim=1, keepdim=True) * 2 - 1, output)
    if part is None:
        shares = masks.mean(dim=(0, 2, 3)).tolist()
        typer.echo(", ".join(f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True)))
    typer.echo(f"saved: {output}")


def paint_parts(img: Tensor, masks: Tensor) -> Tensor:
    """A picture with each of its parts [N, M, H, W] in a colour of its own."""
    import torch

    colours = torch.tensor([hue_of(i) for i in range(masks.shape[1])]).to(img)  # [M, 3]
    tint = torch.einsum("nmhw,mc->nchw", masks, colours)
    return (0.45 * img + 0.55 * tint).clamp(-1, 1)


def hue_of(number: int) -> tuple[float, float, float]:
    """A colour in [-1, 1] that is far from its neighbours': hues a golden angle apart, and grey for the first."""
    import colorsys

    if number == 0:
        return -0.5, -0.5, -0.5

    r, g, b = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.75 if number % 2 else 0.5, 1.0 if number % 3 else 0.7)
    return r * 2 - 1, g * 2 - 1, b * 2 - 1


@parts.command("learn")
def learn_own_parts(
    model: Annotated[str, typer.Argument(help="A catalogue name, or the path of any generator with feature maps.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the clusters on sample pictures as one sheet.")
    ] = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Name clusters: 3=hair,7=hair; may be repeated.")
    ] = None,
    clusters: Annotated[int, typer.Option(min=2, max=99, help="How many clusters.")] = 24,
    samples: Annotated[int, typer.Option(min=2, help="Sample pictures to learn from.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of samples and clusters.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Learn anew; names are lost.")] = False,
) -> None:
    """Find the parts that a generator paints, without labels: look at the sheet, then name the clusters.

    Example: [bold]ganvas parts learn cars -o sheet.png[/bold], then
    [bold]ganvas parts learn cars --name 3=wheels,5=wheels,2=body[/bold]
    """
    from ganvas.features.part_clusters import (
        find_part_clusters,
        learn_parts,
        parse_cluster_names,
        save_part_clusters,
    )
    from ganvas.images.files import format_of, write_image
    from ganvas.weights.checkpoint import fingerprint

    wanted = parse_cluster_names(names) if names else {}
    if output is not None:
        format_of(output)
    configure_process()
    G = open_generator(model)
    own = None if again else find_part_clusters(fingerprint(G))
    if own is None:
        with ProgressBar("looking at samples") as progress:
            own = learn_parts(G, clusters=clusters, samples=samples, seed=seed, on_step=progress.step)
    own = own.with_names(wanted)
    typer.echo(f"saved: {save_part_clusters(own)}")
    unnamed = [number for number, name in enumerate(own.names) if not name]
    for name in own.parts:
        typer.echo(f"{name}: {', '.join(str(i) for i, other in enumerate(own.names) if other == name)}")
    if unnamed:
        typer.echo(f"without a name: {', '.join(map(str, unnamed))}")
    if output is not None:
        write_image(draw_clusters(G, own, seed=seed), output)
        typer.echo(f"saved: {output}")


def draw_clusters(generator: object, clusters: PartClusters, *, seed: int) -> Tensor:
    """Samples beside the same with their clusters in colours, each with its number, as one picture."""
    import torch

    from ganvas.features.part_clusters import read_part_features
    from ganvas.images.contact_sheet import grid
    from ganvas.ops.resample import downscale

    rng, tiles = torch.Generator().manual_seed(seed), []
    with torch.no_grad():
        for _ in range(SHEET_SAMPLES):
            ws = generator.mapping(torch.randn(1, generator.z_dim, generator=rng), truncation_psi=0.8)  # type: ignore[attr-defined]
            img = generator.synthesis(ws).clamp(-1, 1)  # type: ignore[attr-defined]
            img = img.expand(-1, 3, -1, -1)
            if img.shape[-1] > SHEET_PX:
                img = downscale(img, SHEET_PX)
            nearest = clusters.distances(read_part_features(generator, ws)).argmin(dim=1)[0]
            tiles += [img, draw_cluster_map(img, nearest, len(clusters.names))]
    return grid(torch.cat(tiles), columns=4, gap_px=4)


def draw_cluster_map(img: Tensor, nearest: Tensor, count: int) -> Tensor:
    """Cluster numbers [P, P] as colours over a picture, with the numbers written on the larger areas."""
    import torch
    import torch.nn.functional as F
    from PIL import Image, ImageDraw, ImageFont

    from ganvas.images.tensors import from_pixels, to_pixels

    one_hot = F.one_hot(nearest, count).permute(2, 0, 1)[None].float()
    side = img.shape[-1]
    painted = paint_parts(img, F.interpolate(one_hot, (side, side), mode="nearest"))
    picture = Image.fromarray(to_pixels(painted, bits=8))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=max(8, side // 22))
    scale = side / nearest.shape[0]
    for number in nearest.unique().tolist():
        places = (nearest == number).nonzero().float()
        if len(places) * scale**2 < side:
            continue
        middle = places[(places - places.median(dim=0).values).norm(dim=1).argmin()]
        y, x = ((middle + 0.5) * scale).tolist()
        pen.text((x, y), str(number), fill="white", stroke_fill="black", stroke_width=1, font=font, anchor="mm")
    import numpy as np

    return from_pixels(np.array(picture)).to(torch.float32)
