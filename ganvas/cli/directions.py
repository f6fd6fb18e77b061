"""ganvas directions: find, learn, list, import and judge the sliders of any generator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    from ganvas.editing.discovery.regression import RegressionFit

directions = typer.Typer(
    name="directions",
    help="Sliders of any generator: find them in its weights, learn them from marks or scores, see what they move.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PREVIEW_PX = 256
EFFECT_SEEDS = 12  # pictures on which rows, unit and range of a learnt direction are measured
RANGE_AMOUNTS = tuple(float(a) for a in range(-5, 6))  # tried when a range is measured
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to add to; left out, 'ganvas edit' finds it by itself.")
]
GroupOption = Annotated[str, typer.Option(help="The heading to show it under: expression, age, pose, hair, skin …")]
LayersOption = Annotated[str, typer.Option(help="Rows of ws that move, such as 0-3; left out: all.")]


@directions.command("list")
def list_(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only those of this generator.")] = None,
) -> None:
    """Show the directions on this computer: what ships with ganvas, and your own.

    Example: [bold]ganvas directions list --model faces[/bold]
    """
    from ganvas.editing.direction_files import SHIPPED_DIRECTIONS
    from ganvas.editing.directions import load_directions
    from ganvas.weights.catalogue import store

    wanted = None if model is None else _fingerprint(open_generator(model))
    count = 0
    for folder in (SHIPPED_DIRECTIONS, store.home() / "directions"):
        for file in sorted(folder.glob("*.safetensors")):
            for direction in load_directions(file).values():
                if wanted in (None, direction.fingerprint):
                    typer.echo(_format_direction(direction, file))
                    count += 1
    if not count:
        typer.echo("none yet; learn one with 'ganvas directions learn', or look with 'ganvas directions find'")


@directions.command()
def find(
    model: ModelOption,
    method: Annotated[
        str,
        typer.Option(callback=one_of("sefa", "pca"), help="sefa: from the weights; pca: from samples of the latents."),
    ] = "sefa",
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    layers: LayersOption = "",
    sheet: Annotated[Path | None, typer.Option(help="A picture of them, to name them by.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the picture that the sheet moves.")] = 0,
    label: ClassOption = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Keep one under a name: --name 0=pose; may be repeated.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Find directions without any labels. Look at the sheet, then keep those that mean something, under a name.

    Example: [bold]ganvas directions find --model my.safetensors --method sefa --sheet sheet.png --name 0=pose[/bold]
    """
    from ganvas.editing.discovery.pca import pca
    from ganvas.editing.discovery.sefa import sefa
    from ganvas.models.seeds import map_seeds

    selections = [_parse_name(text, count) for text in names or []]
    rows = _rows(layers)
    G = open_generator(model)
    discover = sefa if method == "sefa" else pca
    candidates = discover(G, count=count, layers=rows, fingerprint=_fingerprint(G))
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
    name: Annotated[str, typer.Argument(help="What the slider will be called; with --scores, a column of the table.")],
    model: ModelOption,
    scores: Annotated[
        Path | None, typer.Option(help="CSV with a column 'seed' or 'file', and a column NAME of numbers or yes/no.")
    ] = None,
    positive: Annotated[Path | None, typer.Option(help="Folder of photos (or inversions) that have it.")] = None,
    negative: Annotated[Path | None, typer.Option(help="Folder of photos (or inversions) that have it not.")] = None,
    like: Annotated[str, typer.Option(help="Seeds of pictures that have it, such as 0-7,12.")] = "",
    dislike: Annotated[str, typer.Option(help="Seeds of pictures that have it not.")] = "",
    scorer: Annotated[
        str, typer.Option(help="Let a face scorer mark samples: smile, age, glasses, yaw, hair_light …")
    ] = "",
    samples: Annotated[int, typer.Option(min=10, help="How many, with --scorer.")] = 2000,
    keep: Annotated[
        str, typer.Option(help="Columns or directions that shall not move along, such as age,gender.")
    ] = "",
    space: Annotated[
        str,
        typer.Option(callback=one_of("w", "w+", "s"), help="w: one vector; w+: one a row of ws; s: style channels."),
    ] = "w",
    channels: Annotated[
        int, typer.Option(min=0, help="In space s: only so many channels, those that the likes have in common.")
    ] = 0,
    layers: Annotated[str, typer.Option(help="Rows that move, such as 0-7, or auto with --scorer; else all.")] = "",
    trunc: Annotated[
        float | None,
        typer.Option(help="truncation_psi of the seeds; 0.7, as in 'ganvas generate', and 1 with --scorer."),
    ] = None,
    label: ClassOption = None,
    effort: Annotated[
        str, typer.Option(callback=one_of("fast", "standard", "best"), help="How long to look for each photo.")
    ] = "fast",
    leakage: Annotated[Path | None, typer.Option(help="Draw what else it moves as a picture.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="A picture of five amounts.")] = None,
    group: GroupOption = "other",
    output: OutputOption = None,
) -> None:
    """Learn a slider from what you know about samples: a table, two folders, likes and dislikes, or a scorer.

    All samples count. What comes out is told honestly: how well scores of samples that were held out are foretold, and
    what else moves. 'ganvas edit --set NAME=1.5' knows the slider from then on.

    Example: [bold]ganvas directions learn hat --model my.safetensors --like 3,8,10-14 --dislike 0-2,4-7[/bold]
    """
    from ganvas.editing.discovery.regression import learn_direction
    from ganvas.models.seeds import map_seeds

    _check_name(name)
    ways = [bool(scores), bool(positive or negative), bool(like or dislike), bool(scorer)]
    if sum(ways) != 1:
        raise typer.BadParameter(
            "say what is known in one way: --scores, --positive and --negative, --like and --dislike, or --scorer"
        )
    if bool(positive) != bool(negative) or bool(like) != bool(dislike):
        raise typer.BadParameter("both sides are needed: --positive and --negative, --like and --dislike")
    if layers == "auto" and not scorer:
        raise typer.BadParameter("--layers auto measures the effect of every row, so it needs --scorer")
    keep_names = [other for other in keep.replace(" ", "").split(",") if other]
    G = open_generator(model)
    builder = _SampleBuilder(
        G, name, trunc=(1.0 if scorer else 0.7) if trunc is None else trunc, label=label, space=space
    )
    if scores is not None:
        labelled = builder.from_table(scores, effort)
    elif scorer:
        labelled = builder.from_scorer(scorer, keep_names, samples)
    elif like or dislike:
        labelled = builder.from_marks(
            *(map_seeds(G, parse_numbers(t, what="seeds"), trunc=builder.trunc, label=label) for t in (like, dislike))
        )
    else:
        labelled = builder.from_marks(
            *(ws_of_files(files_in(folder), G, effort=effort) for folder in (positive, negative) if folder)
        )
    if channels:
        direction = builder.find_channels(labelled, channels)
    else:
        x, y = labelled.select(name)
        others = [builder.vector_to_keep(labelled, other) for other in keep_names]
        direction = learn_direction(x, y, name=name, keep=others, space=space)
    direction = replace(
        direction, fingerprint=_fingerprint(G), facts={**direction.facts, "keep": keep_names}, group=group
    )
    if layers and layers != "auto":
        direction = replace(direction, layers=tuple(parse_numbers(layers, what="layers")))
    if scorer:
        direction = builder.calibrate(direction, scorer, auto=layers == "auto")
    else:
        direction.facts["range"] = "not measured"
    _print_fit(direction)
    _print_leakage(direction, labelled, leakage)
    if sheet is not None:
        _save_sheet(G, map_seeds(G, [0], trunc=0.7, label=label), [direction], sheet)
    _save_directions(G, [direction], output, model, "ganvas directions learn")


@directions.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help=".npy, .npz, .pt or .pkl of InterFaceGAN, GANSpace, idinvert or e4e.")],
    model: ModelOption,
    name: Annotated[str, typer.Option(help="What it will be called; left out: as in the file.")] = "",
    first: Annotated[int, typer.Option(min=1, help="Of a file with many components, take so many.")] = 8,
    sheet: Annotated[Path | None, typer.Option(help="A picture of them.")] = None,
    group: GroupOption = "other",
    output: OutputOption = None,
) -> None:
    """Take directions that another tool learnt for this very generator. Their unit stays what it was there.

    Example: [bold]ganvas directions import stylegan_ffhq_smile_w_boundary.npy --model ffhq.pkl --name smile[/bold]
    """
    from ganvas.editing.directions import import_direction
    from ganvas.models.seeds import map_seeds
    from ganvas.weights.readers.directions import read_directions

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
    only: Annotated[str, typer.Option(help="Some directions, such as smile,age; left out: all.")] = "",
    scorers: Annotated[
        str, typer.Option(help="Face scorers that look, such as smile,age,yaw; 'none'; left out: the usual for faces.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Samples to measure on.")] = "0-99",
    trunc: Annotated[float, typer.Option(help="truncation_psi of the seeds.")] = 0.7,
    label: ClassOption = None,
) -> None:
    """Measure directions on fresh seeds: what each moves, how far, and what else; with sheets to look at.

    Example: [bold]ganvas directions report --model faces --only smile,age --seeds 0-49 --outdir report[/bold]
    """
    from ganvas.editing.direction_files import directions_of
    from ganvas.editing.discovery.report import write_direction_report
    from ganvas.features.face_scores import DEFAULT_FACE_SCORES, FaceScorer, is_face_generator
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
        scorer_names = list(DEFAULT_FACE_SCORES) if is_face_generator(G) else ["none"]
    face_scorer = None if scorer_names == ["none"] else FaceScorer(scorer_names)
    ws = map_seeds(G, numbers, trunc=trunc, label=label)
    with ProgressBar("measuring directions") as progress:
        result = write_direction_report(
            G, wanted, ws, outdir, scorer=face_scorer, resolution=_preview(G), on_step=progress.step
        )
    if result.leakage is not None:
        typer.echo(result.leakage.to_text())
    typer.echo(f"report: {outdir / 'report.md'}")


# ---- What is known about samples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LabelledSamples:
    """Latents in the space that was asked for, and columns of scores; nan = unknown."""

    x: Tensor
    scores: dict[str, Tensor]

    def select(self, column: str) -> tuple[Tensor, Tensor]:
        """The samples whose score is known."""
        from ganvas.errors import BadConfig

        if column not in self.scores:
            raise BadConfig(f"there is no column {column!r}; there are: {', '.join(self.scores)}")
        good = self.scores[column].isfinite()
        return self.x[good], self.scores[column][good]

    def fit(self, column: str) -> RegressionFit:
        """Its linear score."""
        from ganvas.editing.discovery.regression import fit_scores

        x, y = self.select(column)
        return fit_scores(x.flatten(1), y)


@dataclass(frozen=True)
class _SampleBuilder:
    """One call of `learn`: the generator, and how samples are made of seeds, photos and scorers."""

    G: Any
    name: str
    trunc: float
    label: int | None
    space: str

    def features(self, ws: Tensor) -> Tensor:
        """What is regressed on: w, the rows of ws, or styles."""
        import torch

        from ganvas.editing.style_space import styles_of
        from ganvas.errors import BadConfig

        if self.space == "s":
            with torch.no_grad():
                return styles_of(ws, self.G)
        if self.space == "w":
            return ws.mean(dim=1)
        if torch.equal(ws, ws[:, :1].expand_as(ws)):
            raise BadConfig(
                "in these samples all rows of ws are the same, so nothing can be told about single rows. Learn in "
                "space 'w' and choose rows with --layers, or use --scorer, which mixes rows"
            )
        return ws

    def from_table(self, path: Path, effort: str) -> _LabelledSamples:
        """A CSV file's samples."""
        from ganvas.editing.discovery.score_table import read_score_table
        from ganvas.models.seeds import map_seeds

        labels = read_score_table(path)
        if labels.seeds:
            ws = map_seeds(self.G, list(labels.seeds), trunc=self.trunc, label=self.label)
        else:
            ws = ws_of_files(labels.files, self.G, effort=effort)
        return _LabelledSamples(self.features(ws), labels.scores)

    def from_marks(self, positive: Tensor, negative: Tensor) -> _LabelledSamples:
        """Two sets."""
        import torch

        marks = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
        return _LabelledSamples(self.features(torch.cat([positive, negative])), {self.name: marks})

    def from_scorer(self, scorer: str, keep_names: Sequence[str], count: int) -> _LabelledSamples:
        """Samples of the generator, judged by face scorers: the one asked for, and those to keep that have its kind."""
        import torch

        from ganvas.editing.discovery.calibration import score_latents
        from ganvas.features.face_scores import FACE_SCORES, FaceScorer

        face_scorer = FaceScorer([scorer, *(name for name in keep_names if name in FACE_SCORES and name != scorer)])
        ws = self._sample_mixed_ws(count) if self.space == "w+" else self._sample_ws(count)
        parts = []
        with ProgressBar(f"judging {count} samples") as progress:
            for start in range(0, count, 50):
                parts.append(score_latents(self.G, face_scorer, ws[start : start + 50], resolution=_preview(self.G)))
                progress.step(min(start + 50, count), count)
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return _LabelledSamples(self.features(ws), {self.name: columns.pop(scorer), **columns})

    def _sample_ws(self, count: int) -> Tensor:
        import torch

        from ganvas.models.seeds import map_z

        z = torch.randn(count, self.G.z_dim, generator=torch.Generator().manual_seed(1))
        return map_z(self.G, z, trunc=self.trunc, label=self.label)

    def _sample_mixed_ws(self, count: int) -> Tensor:
        """Every row of a sample comes from one of three, so that rows can be told apart."""
        import torch

        ws = torch.stack([self._sample_ws(3 * count)[i::3] for i in range(3)])  # [3, N, num_ws, w_dim]
        source = torch.randint(3, ws.shape[1:3], generator=torch.Generator().manual_seed(2))  # [N, num_ws]
        return ws.gather(0, source[None, :, :, None].expand(1, -1, -1, ws.shape[3]))[0]

    def vector_to_keep(self, labelled: _LabelledSamples, name: str) -> Tensor:
        """The vector of an attribute to keep: from its column where there is one, else a direction that is there."""
        from ganvas.editing.direction_files import directions_of
        from ganvas.errors import BadConfig

        if name in labelled.scores:
            return labelled.fit(name).slope.view(-1, labelled.x.shape[-1])
        known_directions = directions_of(_fingerprint(self.G))
        if name in known_directions and known_directions[name].space == self.space:
            return known_directions[name].vector
        spaces = ", ".join(n for n, d in known_directions.items() if d.space == self.space) or "none"
        raise BadConfig(
            f"nothing is known about {name!r} to keep: no column of that name ({', '.join(labelled.scores)}), and no "
            f"direction in space {self.space!r} (there: {spaces})"
        )

    def find_channels(self, labelled: _LabelledSamples, count: int) -> Direction:
        """Single style channels in which the likes stand out from random samples."""
        from ganvas.editing.discovery.regression import channel_direction, rank_channels

        if self.space != "s":
            raise typer.BadParameter("--channels chooses style channels: add --space s")
        x, y = labelled.select(self.name)
        ranking = rank_channels(x[y > (y.min() + y.max()) / 2], self.features(self._sample_ws(2000)))
        return channel_direction(ranking, name=self.name, channels=count)

    def calibrate(self, direction: Direction, scorer: str, *, auto: bool) -> Direction:
        """Rows, unit and range by what the scorer sees, on pictures that were not learnt from."""
        from ganvas.editing.discovery.calibration import (
            best_layers,
            calibrate,
            combine_scorers,
            effect_by_row,
            find_valid_range,
            measure_response,
        )
        from ganvas.features.face_scores import face_scorer
        from ganvas.models.seeds import map_seeds

        G, px, score = self.G, _preview(self.G), face_scorer(scorer)
        ws = map_seeds(G, list(range(EFFECT_SEEDS)), trunc=self.trunc, label=self.label)
        if auto:
            with ProgressBar("measuring the rows") as progress:
                effects = effect_by_row(G, score, ws, direction, resolution=px, on_step=progress.step)
            typer.echo("effect of each row: " + " ".join(f"{effect:+.2f}" for effect in effects.tolist()))
            direction = replace(direction, layers=best_layers(effects))
        direction = calibrate(G, score, ws, direction, resolution=px)
        response = measure_response(G, combine_scorers({scorer: score}), ws, direction, RANGE_AMOUNTS, resolution=px)
        low, high = find_valid_range(response, scorer)
        facts = {**direction.facts, "range": f"measured on {EFFECT_SEEDS} seeds by {scorer}"}
        return replace(direction, low=low or -1.0, high=high or 1.0, facts=facts)


# ---- Small things ---------------------------------------------------------------------------------------------------


def _fingerprint(G: Any) -> str:
    from ganvas.weights.checkpoint import fingerprint

    return fingerprint(G)


def _preview(G: Any) -> int | None:
    """An early exit where the family has one, so that a thousand pictures take minutes."""
    if G.family == "mobilestylegan" or (G.family == "stylegan2" and G.config.architecture == "skip"):
        return min(_PREVIEW_PX, G.img_resolution)
    return None


def _rows(text: str) -> list[int] | None:
    return parse_numbers(text, what="layers") if text else None


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
            typer.echo("note: that is hardly better than chance; more samples, or a clearer attribute, would help")
    if "range" in facts:
        typer.echo(f"range: {direction.low:+g} to {direction.high:+g}, {facts['range']}")


def _print_leakage(direction: Direction, labelled: _LabelledSamples, picture: Path | None) -> None:
    """What the other columns say; nothing is painted for it."""
    from ganvas.editing.discovery.leakage import compute_linear_leakage, draw_leakage
    from ganvas.images.files import write_image

    fits = {name: labelled.fit(name) for name in labelled.scores}
    if direction.vector.numel() != next(iter(fits.values())).slope.numel():
        return
    leakage = compute_linear_leakage([direction], fits)
    if len(fits) > 1:
        typer.echo("standard deviations moved for amount 1:\n" + leakage.to_text())
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
    from ganvas.editing.directions import add_directions
    from ganvas.weights.catalogue import store

    name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', Path(model).stem)}-{_fingerprint(G)[:12]}.safetensors"
    path = output or store.home() / "directions" / name
    licence = str(G.facts.get("licence") or "as the generator's")
    add_directions(selected, path, licence=licence, origin=origin)
    typer.echo(f"kept: {', '.join(d.name for d in selected)} in {path}")
