"""ganvas edit: change a photo, get the photo back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.console import ProgressBar
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import check_region, one_of, parse_drag, region_from
from ganvas.cli.process import configure_process
from ganvas.cli.steps import list_steps, parse_step

if TYPE_CHECKING:
    from ganvas.editing.words.sentence import Instruction
    from ganvas.inversion.result import Inversion
    from ganvas.session.session import Session

PROFILE = 0.5  # Face.sideways from which on edits bend the jaw
SMALL_PX = 60
STRANGER = "the model found another person; try --effort best, or a photo from the front with nothing before the face"
EffortOption = Annotated[
    str,
    typer.Option(callback=one_of("fast", "standard", "best"), help="Inversion effort: fast, standard or best."),
]


def edit(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="smile=1.5, age=-1, smile=auto (until it smiles), smile=-auto, age=40y, age=-10y; may be repeated.",
        ),
    ] = None,
    sentence: Annotated[
        str | None,
        typer.Option(
            "--say", help='In words, English or Korean: "smile a little, ten years younger, keep the glasses".'
        ),
    ] = None,
    drags: Annotated[
        list[str] | None,
        typer.Option("--drag", help="Drag a point of the photo: 120,80:135,80 (from x,y to x,y); may be repeated."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="Edit only this region: part:hair or part:hair+lips, 120,80,40 (a circle: x,y,radius; may be "
            "repeated), or a mask image."
        ),
    ] = None,
    feather: Annotated[float | None, typer.Option(min=0, help="Softness of the region's edge in pixels.")] = None,
    mixes: Annotated[
        list[str] | None,
        typer.Option("--mix", help="colour=you.jpg, shape=7 (a seed), all=you.npz:0.7 (strength); may be repeated."),
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Option("--style", help="ink or ink=0.7: a style learnt by 'ganvas stylise'; may be repeated."),
    ] = None,
    colours: Annotated[
        list[str] | None,
        typer.Option(
            "--colour", help="Colour of a part: hair=#7a3b1e, lips=#a01030:0.8 (amount 0 to 1); may be repeated."
        ),
    ] = None,
    step_texts: Annotated[
        list[str] | None,
        typer.Option("--step", help="Any edit step: mix:seed=7,part=colour (see --steps); may be repeated."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A catalogue name, or the path of any generator.")
    ] = "faces",
    effort: EffortOption = "standard",
    keep: Annotated[str, typer.Option(help="Attributes to keep unchanged, e.g. gender,age.")] = "",
    recipe: Annotated[Path | None, typer.Option(help="Apply this recipe: JSON, or an image saved by ganvas.")] = None,
    save_recipe: Annotated[Path | None, typer.Option(help="Save the recipe as JSON.")] = None,
    face: Annotated[int | None, typer.Option(min=1, help="Which face: 1 = the largest, 2 = the next, …")] = None,
    inversion: Annotated[
        Path | None, typer.Option(help="Use this inversion of the photo, written by 'ganvas invert'.")
    ] = None,
    paste_back: Annotated[
        bool, typer.Option("--paste-back/--no-paste-back", help="Output the whole photo, or only the face crop.")
    ] = True,
    disclose: DiscloseOption = True,
    show_steps: Annotated[
        bool,
        typer.Option("--steps", callback=list_steps, is_eager=True, help="List every step with its fields and stop."),
    ] = False,
) -> None:
    """Edit a face, or another subject the model was trained on, in a photo; all other pixels stay unchanged.

    Example: [bold]ganvas edit me.jpg -o me-smiling.png --set smile=1.5 --set age=-1[/bold]
    """
    slider_changes = [parse_change(text) for text in changes or []]
    drag_pairs = [parse_drag(text) for text in drags or []]
    mixtures, style_strengths = [parse_mix(text) for text in mixes or []], [parse_style(text) for text in styles or []]
    steps = [*map(parse_part_colour, colours or []), *map(parse_step, step_texts or [])]
    if not (sentence or slider_changes or drag_pairs or mixtures or style_strengths or steps or recipe):
        raise typer.BadParameter(
            "nothing to do: add --set smile=1.5, --say 'smile a little', --drag 120,80:135,80, --mix colour=you.jpg, "
            "--style NAME, --colour hair=#7a3b1e, --step or --recipe"
        )
    if region:
        check_region(region)
    keep_names = tuple(name for name in keep.replace(" ", "").split(",") if name)

    from ganvas.images.files import format_of, write_image
    from ganvas.session.open import open_session
    from ganvas.weights.load import load

    ensure_models((model, "mtcnn", "efficientnet-lite0"))
    configure_process()
    format_of(output)  # an unknown suffix is said before the work, not after
    generator = load(model)
    instruction = None if sentence is None else understand(sentence, generator)
    with ProgressBar("inverting the face") as progress:
        session = open_session(
            photo,
            model=generator,
            name=model,
            effort=effort,
            face=face,
            inversion=inversion,
            on_step=progress.step,
        )
    print_metrics(session)
    if recipe is not None:
        session.replay(read_recipe(recipe))
    if region:
        session.set_region(region_from(region, session.photo), feather_px=feather)
    for part, reference, strength in mixtures:
        with ProgressBar(f"mixing {part} from {reference}") as progress:
            session.mix(reference, part=part, strength=strength, on_step=progress.step)
    if instruction is not None:
        session.say(instruction, keep=keep_names, on_auto=lambda auto: typer.echo(auto.words()))
    for direction, amount in slider_changes:
        session.set(direction, amount, keep=keep_names)
        if isinstance(amount, str) and session.last_auto is not None:
            typer.echo(session.last_auto.words())
    if drag_pairs:
        drag_points(session, drag_pairs)
    for style, strength in style_strengths:
        session.stylise(style, strength)
    for step in steps:
        session.put(step)
    if session.is_in_fog():
        typer.echo("note: these amounts leave the faces that the model knows; smaller ones look better", err=True)
    result = session.render() if paste_back else session.render_crop()
    write_image(result, output, disclose=disclose)
    typer.echo(f"saved: {output}")
    if save_recipe is not None:
        typer.echo(f"recipe: {session.recipe.save(save_recipe)}")


def understand(sentence: str, generator: Any) -> Instruction:
    """What a sentence asks of a generator's sliders, printed; before any work.

    Raises:
        BadConfig: see `parse_sentence`.
    """
    from ganvas.editing.direction_files import directions_of
    from ganvas.editing.words.sentence import parse_sentence
    from ganvas.inversion.alignment import is_aligned
    from ganvas.session.saying import dials_of
    from ganvas.weights.checkpoint import fingerprint

    directions = directions_of(fingerprint(generator))
    instruction = parse_sentence(sentence, dials_of(directions, aligned=is_aligned(generator, "auto")))
    typer.echo(f"understood: {instruction.words()}")
    return instruction


def drag_points(session: Session, drag_pairs: list[tuple[list[float], list[float]]]) -> None:
    """Drag all points at once, with a progress bar, and print the result."""
    with ProgressBar("pulling") as progress:
        result = session.drag(
            [handle for handle, _ in drag_pairs], [target for _, target in drag_pairs], on_step=progress.step
        )
    places = ", ".join(f"{x:.0f},{y:.0f}" for x, y in result.points.tolist())
    typer.echo(
        f"dragged to {places} in {result.steps} steps"
        + ("" if result.arrived else "; stopped: the model cannot move the points any further")
    )


def parse_change(text: str) -> tuple[str, float | str]:
    """`smile=1.5` → ("smile", 1.5); `smile=auto` → ("smile", "auto"); `age=40y` → ("age", "40y").

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(
        r"([\w-]+)=(?:([+-]?auto|[+-]?\d{1,3}(?:\.\d+)?y)|([+-]?\d+(?:\.\d*)?|[+-]?\.\d+))", text.strip()
    )
    if not match:
        raise typer.BadParameter(
            f"a change is written as smile=1.5, smile=auto, smile=-auto or age=40y; cannot read {text!r}"
        )
    return match[1], match[2] or float(match[3])


def parse_mix(text: str) -> tuple[str, Path | int, float]:
    """`colour=you.jpg:0.7` → ("colour", Path("you.jpg"), 0.7); a number for the picture is a seed.

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(r"(all|colour|shape)=(.+?)(?::(0(?:\.\d*)?|1(?:\.0*)?|\.\d+))?", text.strip())
    if not match:
        raise typer.BadParameter(
            f"a mix is written as colour=you.jpg, shape=7 or all=you.npz:0.7 (strength 0 to 1); cannot read {text!r}"
        )
    strength = 1.0 if match[3] is None else float(match[3])
    return match[1], int(match[2]) if match[2].isdigit() else Path(match[2]), strength


def parse_style(text: str) -> tuple[str, float]:
    """`ink=0.7` → ("ink", 0.7); `ink` → ("ink", 1.0).

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(r"([\w-]+)(?:=(0(?:\.\d*)?|1(?:\.0*)?|\.\d+))?", text.strip())
    if not match:
        raise typer.BadParameter(f"a style is written as ink, or ink=0.7 (strength 0 to 1); cannot read {text!r}")
    return match[1], 1.0 if match[2] is None else float(match[2])


def parse_part_colour(text: str) -> Any:
    """`hair=#7a3b1e:0.8` → Colour(part="hair", colour="#7a3b1e", amount=0.8).

    Raises:
        typer.BadParameter: anything else; exit status 2.
    """
    match = re.fullmatch(r"([a-z+]+)=(#?[0-9a-fA-F]{6})(?::(0(?:\.\d*)?|1(?:\.0*)?|\.\d+))?", text.strip())
    if not match:
        raise typer.BadParameter(
            f"a colour is written as hair=#7a3b1e or lips=#a01030:0.8 (amount 0 to 1); cannot read {text!r}"
        )
    amount = "" if match[3] is None else f",amount={match[3]}"
    return parse_step(f"colour:part={match[1]},colour=#{match[2].lstrip('#')}{amount}")


def print_metrics(session: Session) -> None:
    """Print the fidelity metrics of the inversion, and notes on difficult faces."""
    if session.face is not None and session.face.sideways > PROFILE:
        typer.echo("note: this head is turned far to the side, where the model is less reliable; check the result")
    if session.face is not None and session.face.size_px < SMALL_PX:
        typer.echo(
            f"note: this face is {session.face.size_px:.0f} pixels wide; the edit will look softer than "
            "on a larger face"
        )
    typer.echo(
        "inversion: "
        + ", ".join(f"{name} {value:g}" for name, value in round_metrics(session.inversion.figures).items())
    )
    print_verdict(session.inversion)


def print_verdict(inversion: Inversion) -> None:
    """One line, for faces: whom edits will be made of; a warning where that is somebody else."""
    from ganvas.features.identity import SIMILAR_PERSON, describe_identity

    distance = inversion.figures.get("latent_identity")
    if distance is None:
        return
    stranger = distance > SIMILAR_PERSON
    typer.echo(f"latent: {describe_identity(distance)}" + (": edits will not hold" if stranger else ""))
    if stranger:
        typer.echo(f"warning: {STRANGER}", err=True)


def round_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Round to three significant digits."""
    return {name: float(f"{value:.3g}") for name, value in metrics.items() if isinstance(value, (int, float))}


def read_recipe(path: Path) -> Any:
    """Read a recipe from JSON, or from the metadata of an image.

    Raises:
        BadConfig: the file contains no recipe.
    """
    from ganvas.editing.recipe import Recipe
    from ganvas.errors import BadConfig
    from ganvas.images.files import read_image

    if path.suffix.lower() == ".json":
        return Recipe.load(path)
    text = read_image(path).recipe
    if text is None:
        raise BadConfig(f"{path} contains no recipe; expected an image saved by ganvas, or a .json file")
    return Recipe.from_json(text)
