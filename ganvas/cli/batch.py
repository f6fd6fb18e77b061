"""ganvas batch: one recipe over a folder of photos, here or on the machines of a Ray cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvas.cli.disclosure import DiscloseOption
from ganvas.cli.edit import read_recipe
from ganvas.cli.ensure_models import ensure_models
from ganvas.cli.parsing import one_of
from ganvas.cli.process import configure_process

if TYPE_CHECKING:
    from ganvas.editing.recipe import Recipe
    from ganvas.images.batch_paths import Task
    from ganvas.images.photo import Photo
    from ganvas.session.chosen_faces import FaceChoice


def batch(
    in_dir: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out_dir: Annotated[Path, typer.Argument(help="Output folder; results keep their names.")],
    recipe: Annotated[Path, typer.Option(help="Recipe to apply: JSON, or an image saved by ganvas.")],
    engine: Annotated[
        str,
        typer.Option(
            callback=one_of("local", "ray"),
            help="local = one photo at a time, ray = in parallel on the nodes of a Ray cluster.",
        ),
    ] = "local",
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Skip photos whose result exists.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Path of the recipe's generator (default: by its name).")
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            callback=one_of("fast", "standard", "best"), help="fast, standard or best (default: as in the recipe)."
        ),
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(help="Which face: 2 (by size), all, or like:me.jpg (default: as in the recipe)."),
    ] = None,
    suffix: Annotated[str, typer.Option(help="Suffix added to the names of results.")] = "",
    ext: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "png", "jpg", "webp", "tif"), help="auto = same format as the photo, png, jpg, …"
        ),
    ] = "auto",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include subfolders.")] = False,
    disclose: DiscloseOption = True,
    workers: Annotated[int, typer.Option(min=1, help="Photos processed in parallel, with --engine ray.")] = 2,
) -> None:
    """Apply a recipe to a folder of photos. Failed files are skipped and listed at the end.

    Example: [bold]ganvas batch photos smiling --recipe smile.json --skip-existing[/bold]
    """
    from ganvas.cli.batch_report import BatchRunner
    from ganvas.editing.regions import unwrap_step
    from ganvas.errors import BadConfig
    from ganvas.images.batch_paths import list_tasks
    from ganvas.session.chosen_faces import parse_face_choice

    if not in_dir.is_dir():
        raise BadConfig(f"{in_dir} is not a folder; for one photo: ganvas edit PHOTO -o OUT --recipe {recipe}")
    wanted = read_recipe(recipe)
    todo = list_tasks(in_dir, out_dir, suffix=suffix, ext=ext, recursive=recursive)
    name = model or wanted.model
    ensure_models(
        (name, "mtcnn", "efficientnet-lite0", *(getattr(unwrap_step(step), "model", "") for step in wanted.steps))
    )
    choice = parse_face_choice(face or (None if wanted.face is None else str(wanted.face)))
    settings = BatchSettings(name, wanted.to_json(), effort or wanted.effort, choice, disclose)
    make: Callable[..., Path]
    if engine == "ray":
        pending = [task for task in todo if not (skip_existing and task.target.exists())]
        Editor(settings)  # what is wrong with the recipe is said here, not by every worker
        make = RayEditor(settings, pending, workers=workers).wait_for
    else:
        configure_process()
        make = Editor(settings).edit
    BatchRunner(todo, make, skip_existing=skip_existing).run()


@dataclass(frozen=True)
class BatchSettings:
    """What is done to each photo; plain data, so that it can be sent."""

    model: str
    recipe: str
    effort: str
    face: FaceChoice
    disclose: bool = True


class Editor:
    """Opens photos, applies the recipe, writes the results; the model is loaded once."""

    def __init__(self, settings: BatchSettings):
        from ganvas.editing.recipe import Recipe
        from ganvas.features.efficientnet import load_efficientnet_if_available
        from ganvas.session.chosen_faces import FacePicker
        from ganvas.session.plan import check_recipe
        from ganvas.weights.load import load

        self.settings = settings
        self.recipe: Recipe = Recipe.from_json(settings.recipe)
        self.generator, self.extractor = load(settings.model), load_efficientnet_if_available()
        check_recipe(self.recipe, self.generator, model=settings.model)  # of all photos, so before the first
        self.picker = None if settings.face.is_plain else FacePicker(settings.face, self.generator)

    def edit(self, task: Task, on_step: Callable[..., Any] | None = None) -> Path:
        """One photo.

        Returns:
            The file written.
        """
        from ganvas.editing.recipe import post_steps_of
        from ganvas.images.batch_paths import check_fits, target_for
        from ganvas.images.files import read_image, write_image
        from ganvas.images.output_check import check_output
        from ganvas.session.finishing import size_after

        photo = read_image(task.source)
        target = target_for(photo, task.target)
        check_fits(target, *size_after(photo.size, post_steps_of(self.recipe)))
        target.parent.mkdir(parents=True, exist_ok=True)
        check_output(photo, target)
        with warnings.catch_warnings(record=True) as edit_warnings:
            warnings.simplefilter("always")
            result = self._replay(photo, on_step)
        for warning in edit_warnings:  # of whom? there are many
            warnings.warn(f"{task.source.name}: {warning.message}", warning.category, stacklevel=2)
        return write_image(result, target, disclose=self.settings.disclose)

    def _replay(self, photo: Photo, on_step: Callable[..., Any] | None) -> Photo:
        from ganvas.session.chosen_faces import replay_on_faces
        from ganvas.session.open import open_session

        options: dict[str, Any] = {
            "model": self.generator,
            "name": self.settings.model,
            "effort": self.settings.effort,
            "extractor": self.extractor,
            "on_step": on_step,
        }
        if self.picker is not None:
            return replay_on_faces(photo, self.recipe, self.picker.pick(photo), **options).render()
        session = open_session(photo, face=self.settings.face.number, **options)
        session.replay(self.recipe)
        return session.render()

    def try_edit(self, task: Task) -> tuple[Path | None, str]:
        """`edit`, with what went wrong as text: errors do not travel well between machines."""
        from ganvas.errors import GanvasError

        try:
            return self.edit(task), ""
        except (GanvasError, OSError, MemoryError) as error:
            return None, str(error)


class RayEditor:
    """The same on a Ray cluster (RAY_ADDRESS), or on this machine where there is none.

    Every node must see the same folders, and have the weights.

    Args:
        settings: as for an Editor.
        todo: all photos; work on them begins at once.
        workers: how many Editors, each with its own copy of the model.

    Raises:
        MissingExtra: Ray is not installed. GanvasError: it does not start, or its cluster cannot be reached.
    """

    def __init__(self, settings: BatchSettings, todo: Sequence[Task], *, workers: int):
        from ganvas.errors import GanvasError, MissingExtra

        try:
            import ray
        except ImportError as error:
            raise MissingExtra("--engine ray", "ray") from error
        self.ray = ray
        try:
            ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
        except Exception as error:  # a plain Exception is what Ray itself raises
            raise GanvasError(f"Ray does not start: {error}. Without it: --engine local") from error
        editors = [ray.remote(Editor).remote(settings) for _ in range(min(workers, max(1, len(todo))))]
        self.futures = {task: editors[i % len(editors)].try_edit.remote(task) for i, task in enumerate(todo)}

    def wait_for(self, task: Task, on_step: Callable[..., Any] | None = None) -> Path:
        """Wait for one photo.

        Raises:
            GanvasError: it could not be done, or its worker died.
        """
        from ganvas.errors import GanvasError

        try:
            path, why = self.ray.get(self.futures[task])
        except self.ray.exceptions.RayError as error:
            raise GanvasError(f"{task.source}: the worker failed: {str(error).splitlines()[-1]}") from error
        if path is None:
            raise GanvasError(why)
        return Path(path)
