"""ganvas directions: find, learn, list, import and judge the sliders of any generator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.generator_options import ClassOption, ModelOption, open_generator
from ganvas.cli.latent_inputs import files_in, ws_of_files
from ganvas.cli.parsing import one_of, parse_numbers

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.editing.directions import Direction
    from ganvas.editing.discovery.samples import DirectionLearner, ScoredSamples

directions = typer.Typer(
    name="directions",
    help="Edit directions for any generator: find them in its weights, learn them from labels or scores, "
    "measure their effect.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to add to (default: where 'ganvas edit' finds it).")
]
GroupOption = Annotated[str, typer.Option(help="Group in the list of sliders: expression, age, pose, hair, skin …")]
LayersOption = Annotated[str, typer.Option(help="Rows of ws to move, e.g. 0-3 (default: all).")]


@directions.command("list")
def list_(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only directions of this generator.")] = None,
) -> None:
    """List the directions on this computer: those that ship with ganvas, and your own.

    Example: [bold]ganvas directions list --model faces[/bold]
    """
    from ganvas.editing.direction_files import list_directions

    wanted = None if model is None else _fingerprint(open_generator(model))
    lines = [_format_direction(d, file) for file, d in list_directions() if wanted in (None, d.fingerprint)]
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("none yet; learn one with 'ganvas directions learn', or find some with 'ganvas directions find'")


@directions.command()
def find(
    model: ModelOption,
    method: Annotated[
        str,
        typer.Option(
            callback=one_of("sefa", "pca", "codes"),
            help="sefa: from the weights; pca: from samples of the latents; codes: those learnt in training.",
        ),
    ] = "sefa",
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    layers: LayersOption = "",
    sheet: Annotated[Path | None, typer.Option(help="Save a sheet of the directions, to name them.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the image on the sheet.")] = 0,
    label: ClassOption = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Save one under a name: --name 0=pose; may be repeated.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Find directions without labels. Check the sheet, then save the meaningful ones under a name.

    Example: [bold]ganvas directions find --model my.safetensors --method sefa --sheet sheet.png --name 0=pose[/bold]
    """
    from ganvas.editing.discovery.methods import DISCOVERY_METHODS
    from ganvas.models.seeds import map_seeds

    selections = [_parse_name(text, count) for text in names or []]
    rows = _rows(layers)
    _check_pictures(sheet)
    G = open_generator(model)
    candidates = DISCOVERY_METHODS[method](G, count=count, layers=rows, fingerprint=_fingerprint(G))
    for direction in candidates:
        facts = ", ".join(f"{k} {v:.3g}" for k, v in direction.facts.items() if isinstance(v, float))
        typer.echo(f"{direction.name}: {facts}")
    if sheet is not None:
        _save_sheet(G, map_seeds(G, [seed], trunc=0.7, label=label), candidates, sheet)
    if selections:
        chosen = [replace(candidates[index], name=name) for index, name in selections]
        _save_directions(G, chosen, output, model, f"ganvas directions find --method {method}")


@directions.command()
def learn(
    name: Annotated[str, typer.Argument(help="Name of the direction; with --scores, a column of the table.")],
    model: ModelOption,
    scores: Annotated[
        Path | None, typer.Option(help="CSV with a column 'seed' or 'file', and a column NAME of numbers or yes/no.")
    ] = None,
    positive: Annotated[Path | None, typer.Option(help="Folder of photos (or inversions) with the attribute.")] = None,
    negative: Annotated[
        Path | None, typer.Option(help="Folder of photos (or inversions) without the attribute.")
    ] = None,
    like: Annotated[str, typer.Option(help="Seeds of images with the attribute, e.g. 0-7,12.")] = "",
    dislike: Annotated[str, typer.Option(help="Seeds of images without the attribute.")] = "",
    scorer: Annotated[
        str, typer.Option(help="Label samples with a face scorer: smile, age, glasses, yaw, hair_light …")
    ] = "",
    samples: Annotated[int, typer.Option(min=10, help="Number of samples for --scorer.")] = 2000,
    keep: Annotated[str, typer.Option(help="Columns or directions to keep unchanged, e.g. age,gender.")] = "",
    confounders: Annotated[
        str,
        typer.Option(
            help="Columns whose influence is removed from the scores before the fit (default: the columns of --keep)."
        ),
    ] = "",
    metric: Annotated[
        str,
        typer.Option(
            callback=one_of("natural", "plain"),
            help="natural: the shortest move among natural latents; plain: the slope of the fit.",
        ),
    ] = "natural",
    space: Annotated[
        str,
        typer.Option(callback=one_of("w", "w+", "s"), help="w: one vector; w+: one a row of ws; s: style channels."),
    ] = "w",
    channels: Annotated[
        int,
        typer.Option(
            min=0, help="In space s: use only this many channels, those that the liked images have in common."
        ),
    ] = 0,
    layers: Annotated[
        str, typer.Option(help="Rows of ws to move, e.g. 0-7, or auto with --scorer (default: all).")
    ] = "",
    trunc: Annotated[
        float | None,
        typer.Option(help="truncation_psi of the seeds; 0.7, as in 'ganvas generate', and 1 with --scorer."),
    ] = None,
    label: ClassOption = None,
    effort: Annotated[
        str, typer.Option(callback=one_of("fast", "standard", "best"), help="Inversion effort for each photo.")
    ] = "fast",
    leakage: Annotated[Path | None, typer.Option(help="Save a chart of its leakage.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Save a sheet with five amounts.")] = None,
    group: GroupOption = "other",
    output: OutputOption = None,
) -> None:
    """Learn a direction from labelled samples: a table, two folders, likes and dislikes, or a scorer.

    Prints the cross-validated score on held-out samples, and the leakage. Use the direction with 'ganvas edit --set
    NAME=1.5'.

    Example: [bold]ganvas directions learn hat --model my.safetensors --like 3,8,10-14 --dislike 0-2,4-7[/bold]
    """
    from ganvas.editing.discovery.samples import DirectionLearner
    from ganvas.models.seeds import map_seeds

    _check_name(name)
    ways = [bool(scores), bool(positive or negative), bool(like or dislike), bool(scorer)]
    if sum(ways) != 1:
        raise typer.BadParameter(
            "choose one kind of labels: --scores, --positive and --negative, --like and --dislike, or --scorer"
        )
    if bool(positive) != bool(negative) or bool(like) != bool(dislike):
        raise typer.BadParameter("give both --like and --dislike (or --positive and --negative)")
    if layers == "auto" and not scorer:
        raise typer.BadParameter("--layers auto measures the effect of every row, so it needs --scorer")
    if channels and space != "s":
        raise typer.BadParameter("--channels chooses style channels: add --space s")
    keep_names = [other for other in keep.replace(" ", "").split(",") if other]
    out_names = [other for other in confounders.replace(" ", "").split(",") if other]
    _check_pictures(sheet, leakage)
    G = open_generator(model)
    trunc = (1.0 if scorer else 0.7) if trunc is None else trunc
    learner = DirectionLearner(generator=G, name=name, space=space, trunc=trunc, label=label)
    if scores is not None:
        scored = _read_scores(learner, scores, effort)
    elif scorer:
        with ProgressBar(f"scoring {samples} samples") as progress:
            scored = learner.from_scorer(scorer, keep=[*keep_names, *out_names], count=samples, on_step=progress.step)
    elif like or dislike:
        scored = learner.from_marks(*(learner.map_seeds(parse_numbers(t, what="seeds")) for t in (like, dislike)))
    else:
        scored = learner.from_marks(
            *(ws_of_files(files_in(folder), G, effort=effort) for folder in (positive, negative) if folder)
        )
    direction = learner.learn(
        scored, keep=keep_names, channels=channels, metric=metric, confounders=out_names if confounders else None
    )
    direction = replace(direction, group=group)
    if layers == "auto":
        with ProgressBar("measuring the rows") as progress:
            direction, effects = learner.choose_rows(direction, scorer, on_step=progress.step)
        typer.echo("effect of each row: " + " ".join(f"{effect:+.2f}" for effect in effects.tolist()))
    elif layers:
        direction = replace(direction, layers=tuple(parse_numbers(layers, what="layers")))
    if scorer:
        direction = learner.calibrate(direction, scorer)
    else:
        direction.facts["range"] = "not measured"
    _print_fit(direction)
    _print_leakage(direction, scored, leakage)
    if sheet is not None:
        _save_sheet(G, map_seeds(G, [0], trunc=0.7, label=label), [direction], sheet)
    _save_directions(G, [direction], output, model, "ganvas directions learn")


@directions.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help=".npy, .npz, .pt or .pkl of InterFaceGAN, GANSpace, idinvert or e4e.")],
    model: ModelOption,
    name: Annotated[str, typer.Option(help="Name of the direction (default: as in the file).")] = "",
    first: Annotated[int, typer.Option(min=1, help="Number of components to import from a file with many.")] = 8,
    sheet: Annotated[Path | None, typer.Option(help="Save a sheet of them.")] = None,
    group: GroupOption = "other",
    output: OutputOption = None,
) -> None:
    """Import directions learnt by another tool for the same generator. Their unit is unchanged.

    Example: [bold]ganvas directions import stylegan_ffhq_smile_w_boundary.npy --model ffhq.pkl --name smile[/bold]
    """
    from ganvas.editing.directions import import_direction
    from ganvas.models.seeds import map_seeds
    from ganvas.weights.readers.directions import read_directions

    _check_pictures(sheet)
    G = open_generator(model)
    foreign = read_directions(file)[:first]
    chosen = [name if len(foreign) == 1 else f"{name}-{i}" for i in range(len(foreign))] if name else None
    new_names = chosen or [re.sub(r"[^\w-]", "_", one.name) for one in foreign]
    converted = [
        replace(import_direction(one, G, name=_check_name(new), fingerprint=_fingerprint(G)), group=group)
        for one, new in zip(foreign, new_names, strict=True)
    ]
    if sheet is not None:
        _save_sheet(G, map_seeds(G, [0], trunc=0.7, label=None), converted, sheet)
    _save_directions(G, converted, output, model, f"imported from {file.name}")


@directions.command("report")
def report_(
    outdir: Annotated[Path, typer.Option(help="Folder for report.md, report.json, leakage.png and the sheets.")],
    model: ModelOption = "faces",
    only: Annotated[str, typer.Option(help="Only these directions, e.g. smile,age (default: all).")] = "",
    scorers: Annotated[
        str,
        typer.Option(
            help="Face scorers to use, e.g. smile,age,yaw, or none (default: the usual ones for face models)."
        ),
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds of the samples to measure.")] = "0-99",
    trunc: Annotated[float, typer.Option(help="truncation_psi of the seeds.")] = 0.7,
    label: ClassOption = None,
) -> None:
    """Measure directions on new seeds: effect, range and leakage, with sheets.

    Example: [bold]ganvas directions report --model faces --only smile,age --seeds 0-49 --outdir report[/bold]
    """
    from ganvas.editing.direction_files import directions_of
    from ganvas.editing.discovery.calibration import preview_resolution
    from ganvas.editing.discovery.report import write_direction_report
    from ganvas.features.face_scores import DEFAULT_FACE_SCORES, FaceScorer
    from ganvas.models.protocol import paints_faces
    from ganvas.models.seeds import map_seeds

    numbers = parse_numbers(seeds, what="seeds")
    G = open_generator(model)
    known_directions = directions_of(_fingerprint(G))
    wanted = [_find_direction(known_directions, one, model) for one in only.replace(" ", "").split(",") if one] or list(
        known_directions.values()
    )
    if not wanted:
        raise typer.BadParameter(f"there are no directions of {model} yet; learn one with 'ganvas directions learn'")
    scorer_names = [one for one in scorers.replace(" ", "").split(",") if one]
    if not scorer_names:
        scorer_names = list(DEFAULT_FACE_SCORES) if paints_faces(G.family, G.facts) else ["none"]
    face_scorer = None if scorer_names == ["none"] else FaceScorer(scorer_names)
    ws = map_seeds(G, numbers, trunc=trunc, label=label)
    with ProgressBar("measuring directions") as progress:
        result = write_direction_report(
            G, wanted, ws, outdir, scorer=face_scorer, resolution=preview_resolution(G), on_step=progress.step
        )
    if result.leakage is not None:
        typer.echo(result.leakage.to_text())
    typer.echo(f"report: {outdir / 'report.md'}")


def _read_scores(learner: DirectionLearner, path: Path, effort: str) -> ScoredSamples:
    """The samples of a CSV file: seeds, or photos that are looked for first."""
    from ganvas.editing.discovery.score_table import read_score_table

    table = read_score_table(path)
    if table.seeds:
        return learner.from_scores(learner.map_seeds(table.seeds), table.scores)
    return learner.from_scores(ws_of_files(table.files, learner.generator, effort=effort), table.scores)


# ---- Small things ---------------------------------------------------------------------------------------------------


def _fingerprint(G: Any) -> str:
    from ganvas.weights.checkpoint import fingerprint

    return fingerprint(G)


def _rows(text: str) -> list[int] | None:
    return parse_numbers(text, what="layers") if text else None


def _check_pictures(*paths: Path | None) -> None:
    """Can these be written? Said before the work."""
    from ganvas.images.output_check import check_output_path

    for path in paths:
        if path is not None:
            check_output_path(path)


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[\w-]+", name):
        raise typer.BadParameter(f"a direction's name has letters, digits, - and _ only, got {name!r}")
    return name


def _parse_name(text: str, count: int) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+)=([\w-]+)", text.strip())
    if not match or int(match[1]) >= count:
        raise typer.BadParameter(f"--name is written as 0=pose, numbers from 0 to {count - 1}; cannot read {text!r}")
    return int(match[1]), match[2]


def _find_direction(known_directions: dict[str, Direction], name: str, model: str) -> Direction:
    from ganvas.errors import BadConfig

    if name not in known_directions:
        raise BadConfig(
            f"unknown direction {name!r} for {model}; known: {', '.join(sorted(known_directions)) or 'none'}"
        )
    return known_directions[name]


def _format_direction(d: Direction, file: Path) -> str:
    fit = next((f"{key.upper()} {d.facts[key]:.2f}" for key in ("r2", "auc") if key in d.facts), "")
    how = d.facts.get("method", "")
    many = f"{d.facts['samples']} samples" if "samples" in d.facts else ""
    rows = "all rows" if d.layers is None else f"rows {','.join(map(str, d.layers))}"
    summary = ", ".join(part for part in (d.space, rows, f"{d.low:+g} to {d.high:+g}", how, many, fit) if part)
    return f"{d.name}: {summary}; group {d.group}; of {d.fingerprint[:12]}, in {file.name}"


def _print_fit(direction: Direction) -> None:
    facts = direction.facts
    fit = "R²" if "r2" in facts else "AUC"
    if "r2" in facts or "auc" in facts:
        value = facts.get("r2", facts.get("auc"))
        typer.echo(f"{direction.name}: {fit} {value:.3f} on held-out samples, {facts['samples']} in all")
        if value < (0.2 if "r2" in facts else 0.7):
            typer.echo("note: hardly better than chance; use more samples or a clearer attribute")
    if "length" in facts:
        typer.echo(f"length: {facts['length']:.1f} natural standard deviations a unit")
    if "range" in facts:
        typer.echo(f"range: {direction.low:+g} to {direction.high:+g}, {facts['range']}")


def _print_leakage(direction: Direction, samples: ScoredSamples, picture: Path | None) -> None:
    """What the other columns say; nothing is painted for it."""
    from ganvas.editing.discovery.leakage import compute_linear_leakage, draw_leakage
    from ganvas.images.files import write_image

    fits = {name: samples.fit(name) for name in samples.scores}
    if direction.vector.numel() != next(iter(fits.values())).slope.numel():
        return
    leakage = compute_linear_leakage([direction], fits)
    if len(fits) > 1:
        typer.echo("leakage, in standard deviations for amount 1:\n" + leakage.to_text())
    if picture is not None:
        write_image(draw_leakage(leakage), picture)
        typer.echo(f"leakage: {picture}")


def _save_sheet(G: Any, ws: Tensor, selected: Sequence[Direction], path: Path) -> None:
    import torch

    from ganvas.editing.discovery.calibration import direction_sheet
    from ganvas.images.files import write_image

    rows = [direction_sheet(G, ws, direction) for direction in selected]
    write_image(torch.cat(rows, dim=2), path)
    typer.echo(f"sheet: {path}")


def _save_directions(G: Any, selected: Sequence[Direction], output: Path | None, model: str, origin: str) -> None:
    from ganvas.editing.direction_files import keep_directions

    licence = str(G.facts.get("licence") or "like the generator's")
    path = keep_directions(selected, Path(model).stem, licence=licence, origin=origin, path=output)
    typer.echo(f"saved: {', '.join(d.name for d in selected)} in {path}")
