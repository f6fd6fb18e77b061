"""One recipe for photo after photo, in this process, in others, or on the machines of a Ray cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.editing.recipe import Recipe, post_steps_of
from ganvas.errors import BadConfig, GanvasError
from ganvas.features.efficientnet import load_efficientnet_if_available
from ganvas.images.batch_paths import Task, check_fits, output_name, target_for
from ganvas.images.encode import encode_image
from ganvas.images.files import format_of, read_image, write_image
from ganvas.images.output_check import check_output
from ganvas.images.photo import Photo
from ganvas.session.chosen_faces import FaceChoice, FacePicker, parse_face_choice, replay_on_faces
from ganvas.session.finishing import size_after
from ganvas.session.open import open_session
from ganvas.session.plan import check_recipe
from ganvas.weights.load import load


@dataclass(frozen=True)
class BatchSettings:
    """What is done to each photo; plain data, so that it can be sent to other processes and machines.

    Make one with `BatchSettings.of`.
    """

    model: str
    recipe: str
    effort: str
    face: FaceChoice
    disclose: bool = True

    @staticmethod
    def of(
        recipe: Recipe,
        *,
        model: str | None = None,
        effort: str | None = None,
        face: str | None = None,
        disclose: bool = True,
    ) -> BatchSettings:
        """The settings of a recipe, or others.

        Args:
            recipe: what is done.
            model: path of the generator; None = the recipe's, by its name.
            effort: "fast", "standard" or "best"; None = the recipe's.
            face: "2" (by size), "all" or "like:me.jpg"; None = the recipe's.
            disclose: see `write_image`.

        Raises:
            BadConfig: a face that cannot be read.
        """
        choice = parse_face_choice(face or (None if recipe.face is None else str(recipe.face)))
        return BatchSettings(model or recipe.model, recipe.to_json(), effort or recipe.effort, choice, disclose)


class BatchEditor:
    """Opens photos, applies the recipe, gives the results; the model is loaded once.

    For files it is `edit`; for `ray.data.Dataset.map_batches` it is the class itself, see `__call__`.

    Args:
        settings: what is done.

    Raises:
        GanvasError: whatever is wrong with recipe or model, of all photos and so before the first.
    """

    def __init__(self, settings: BatchSettings):
        self.settings = settings
        self.recipe: Recipe = Recipe.from_json(settings.recipe)
        self.generator, self.extractor = load(settings.model), load_efficientnet_if_available()
        check_recipe(self.recipe, self.generator, model=settings.model)
        self.picker = None if settings.face.is_plain else FacePicker(settings.face, self.generator)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of Ray Data, as `ray.data.read_binary_files(folder, include_paths=True)` gives them.

        Args:
            batch: "bytes" are the files, "path" their names.

        Returns:
            "path" as it was, "name" and "bytes" of each result (a PNG where the photo's format cannot be written), and
            "error": "" or why there is none. One photo that fails does not stop the rest.

        Raises:
            BadConfig: a column is missing.
        """
        if not {"bytes", "path"} <= batch.keys():
            raise BadConfig(
                f'BatchEditor needs the columns "bytes" and "path", got {", ".join(sorted(batch))}: '
                "ray.data.read_binary_files(FOLDER, include_paths=True)"
            )
        results = [
            self._try_bytes(bytes(data), str(path)) for data, path in zip(batch["bytes"], batch["path"], strict=True)
        ]
        columns = {name: np.array([row[name] for row in results], dtype=object) for name in ("name", "bytes", "error")}
        return {"path": batch["path"], **columns}

    def _try_bytes(self, data: bytes, path: str) -> dict[str, Any]:
        try:
            photo = read_image(data)
            target = target_for(photo, Path(output_name(Path(path), "", "auto")))
            result = self._replay(photo, target)
            edited = encode_image(result, format_of(target), disclose=self.settings.disclose)
            return {"name": target.name, "bytes": edited, "error": ""}
        except (GanvasError, MemoryError) as error:
            return {"name": "", "bytes": b"", "error": f"{Path(path).name}: {error}"}

    def edit(self, task: Task, on_step: Callable[..., Any] | None = None) -> Path:
        """One photo, from a file into a file.

        Returns:
            The file written.
        """
        photo = read_image(task.source)
        target = target_for(photo, task.target)
        target.parent.mkdir(parents=True, exist_ok=True)
        check_output(photo, target)
        with warnings.catch_warnings(record=True) as edit_warnings:
            warnings.simplefilter("always")
            result = self._replay(photo, target, on_step)
        for warning in edit_warnings:  # of whom? there are many
            warnings.warn(f"{task.source.name}: {warning.message}", warning.category, stacklevel=2)
        return write_image(result, target, disclose=self.settings.disclose)

    def try_edit(self, task: Task) -> tuple[Path | None, str]:
        """`edit`, with what went wrong as text: errors do not travel well between processes."""
        try:
            return self.edit(task), ""
        except (GanvasError, OSError, MemoryError) as error:
            return None, str(error)

    def _replay(self, photo: Photo, target: Path, on_step: Callable[..., Any] | None = None) -> Photo:
        check_fits(target, *size_after(photo.size, post_steps_of(self.recipe)))
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
