"""ganvas edit: change a photo, get the photo back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.compare import parse_amounts, write_variants
from ganvas.cli.console import ProgressBar
from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.edit_plan import EditPlan, parse_change, parse_mix, parse_part_colour, parse_style
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import check_region, one_of, parse_drag
from ganvas.cli.process import configure_process
from ganvas.cli.steps import list_steps, parse_step

if TYPE_CHECKING:
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
            help="smile=1, age=-1, smile=auto (until it smiles), smile=-auto, age=40y, age=-10y; may be repeated.",
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
    variants: Annotated[
        str | None,
        typer.Option(help="Several amounts of a slider, smile=0.5,1,1.5: a file of each beside -o, and a sheet."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A catalogue name, or the path of any generator.")
    ] = "faces",
    effort: EffortOption = "standard",
    keep: Annotated[str, typer.Option(help="Attributes to keep unchanged, e.g. gender,age.")] = "",
    recipe: Annotated[Path | None, typer.Option(help="Apply this recipe: JSON, or an image saved by ganvas.")] = None,
    save_recipe: Annotated[Path | None, typer.Option(help="Save the recipe as JSON.")] = None,
    face: Annotated[
        str | None,
        typer.Option(help="Which face: 1 = the largest, 2 = the next, …, or like:me.jpg (most like an example)."),
    ] = None,
    inversion: Annotated[
        Path | None, typer.Option(help="Use this inversion of the photo, written by 'ganvas invert'.")
    ] = None,
    paste_back: Annotated[
        bool, typer.Option("--paste-back/--no-paste-back", help="Output the whole photo, or only the face crop.")
    ] = True,
    background: Annotated[
        str | None, typer.Option(help="Colour behind a transparent photo, for .jpg and .bmp: white, #204060, …")
    ] = None,
    disclose: DiscloseOption = True,
    show_steps: Annotated[
        bool,
        typer.Option("--steps", callback=list_steps, is_eager=True, help="List every step with its fields and stop."),
    ] = False,
) -> None:
    """Edit a face, or another subject the model was trained on, in a photo; all other pixels stay unchanged.

    Example: [bold]ganvas edit me.jpg -o me-smiling.png --set smile=1 --set age=-1[/bold]
    """
    plan = EditPlan(
        sliders=[parse_change(text) for text in changes or []],
        drags=[parse_drag(text) for text in drags or []],
        mixes=[parse_mix(text) for text in mixes or []],
        styles=[parse_style(text) for text in styles or []],
        steps=[*map(parse_part_colour, colours or []), *map(parse_step, step_texts or [])],
        regions=region or [],
        feather=feather,
        keep=tuple(name for name in keep.replace(" ", "").split(",") if name),
        sentence=sentence,
    )
    if not (sentence or plan.sliders or plan.drags or plan.mixes or plan.styles or plan.steps or recipe or variants):
        raise typer.BadParameter(
            "nothing to do: add --set smile=1, --say 'smile a little', --drag 120,80:135,80, --mix colour=you.jpg, "
            "--style NAME, --colour hair=#7a3b1e, --step or --recipe"
        )
    amounts = None if variants is None else parse_amounts(variants)
    if amounts is not None and not paste_back:
        raise typer.BadParameter("--variants are whole photos: leave --no-paste-back out")
    if region:
        check_region(region)

    from ganvas.editing.direction_files import directions_of
    from ganvas.editing.recipe import post_steps_of
    from ganvas.fields import check_known
    from ganvas.images.batch_paths import check_fits, sweep_parts
    from ganvas.images.files import check_target, read_image, write_image
    from ganvas.images.output_check import check_output
    from ganvas.images.photo import Photo
    from ganvas.session.chosen_faces import FacePicker, parse_face_choice
    from ganvas.session.finishing import size_after
    from ganvas.session.open import open_session
    from ganvas.weights.checkpoint import fingerprint
    from ganvas.weights.load import load

    # Whatever would end the work is said before it.
    choice = parse_face_choice(face)
    if choice.every:
        raise typer.BadParameter("one face is edited at a time; every face gets the same with: ganvas batch --face all")
    before = read_image(photo)
    check_output(before if paste_back else Photo(img=before.img), output, background=background)
    sweep_parts(output.parent)
    if save_recipe is not None:
        check_target(save_recipe)
    plan = replace(plan, recipe=None if recipe is None else read_recipe(recipe))
    ensure_models((model, "mtcnn", "efficientnet-lite0"))
    configure_process()
    generator = load(model)
    plan = plan.check(generator, model=model)
    if amounts is not None:
        check_known(amounts[0], directions_of(fingerprint(generator)), what=f"direction of {model}")
    check_fits(output, *size_after(before.size, post_steps_of(plan.as_recipe(generator))))
    with ProgressBar("inverting the face") as progress:
        session = open_session(
            before,
            model=generator,
            name=model,
            effort=effort,
            face=choice.number if choice.is_plain else FacePicker(choice, generator).pick(before)[0],
            inversion=inversion,
            on_crop=lambda whole, crop: plan.check_places(whole, crop, generator),
            on_step=progress.step,
        )
    print_metrics(session)
    plan.apply(session)
    if session.is_broken() and not session.find_breakups():
        typer.echo("warning: these steps leave the pictures that the model knows; weaker ones look better", err=True)
    result = session.render() if paste_back else session.render_crop()
    write_image(result, output, background=background, disclose=disclose)
    typer.echo(f"saved: {output}")
    if amounts is not None:
        write_variants(session, *amounts, output, background=background, disclose=disclose)
    if save_recipe is not None:
        typer.echo(f"recipe: {session.recipe.save(save_recipe)}")


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
