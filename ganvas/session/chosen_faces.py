"""Which faces of a photo a recipe is for: one by number, every one, or the one that looks most like an example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, NoFace
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.faces import Face, FaceFinder, choose_face, find_faces
from ganvas.features.identity import SIMILAR_PERSON, embed_identity
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import is_aligned
from ganvas.session.finishing import NetworkLoader
from ganvas.session.open import open_session
from ganvas.session.photo_edits import PhotoEdits, order_faces
from ganvas.weights.load import load

ALL, LIKE = "all", "like:"
_LOOK_PX = 256  # the network of identities sees 96


@dataclass(frozen=True)
class FaceChoice:
    """A number (1 = the largest), every face, or the one like an example; none of them = the largest.

    Make one from text with `parse_face_choice`.
    """

    number: int | None = None
    every: bool = False
    like: Path | None = None

    @property
    def is_plain(self) -> bool:
        """Does a number say it all?"""
        return not self.every and self.like is None


def parse_face_choice(text: str | None) -> FaceChoice:
    """What was typed: "2", "all", "like:me.jpg".

    Raises:
        BadConfig: anything else, or the example is not there.
    """
    if text is None:
        return FaceChoice()
    if text.startswith(LIKE):
        example = Path(text.removeprefix(LIKE)).expanduser()
        if not example.is_file():
            raise BadConfig(f"there is no photo {str(example)!r} to look for")
        return FaceChoice(like=example)
    return parse_face_number(text)


def parse_face_number(text: str) -> FaceChoice:
    """The same without files: "2" or "all".

    Raises:
        BadConfig: anything else.
    """
    if text == ALL:
        return FaceChoice(every=True)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise BadConfig(f"face is a number (1 = the largest), all, or like:me.jpg; got {text[:40]!r}")
    return FaceChoice(number=int(text))


def _embed(photo: Photo, face: Face) -> Tensor:
    """[1, 128]: who a face of a photo shows; see `embed_identity`."""
    return embed_identity(Crop.from_landmarks(face.points).cut(photo.img, resolution=_LOOK_PX))


class FacePicker:
    """Picks the chosen faces of photo after photo; the example is looked at once.

    Raises:
        BadConfig: faces are to be told apart, and the model is not of faces. NoFace: none in the example.
    """

    def __init__(self, choice: FaceChoice, generator: Any, *, finder: FaceFinder | None = None):
        if not choice.is_plain and not is_aligned(generator, "auto"):
            raise BadConfig("this model is not of faces: --face all and like: have nothing to choose from")
        self.choice, self.finder = choice, finder
        self._example = None if choice.like is None else self._look_at(choice.like)

    def _look_at(self, path: Path) -> Tensor:
        photo = read_image(path)
        return _embed(photo, choose_face(find_faces(photo.img, finder=self.finder)))

    def pick(self, photo: Photo) -> list[Face]:
        """The faces of a photo that are meant, from left to right.

        Raises:
            NoFace: there is none, not that many, or none that looks like the example.
        """
        faces = find_faces(photo.img, finder=self.finder)
        if self.choice.every:
            return order_faces([choose_face(faces), *faces[1:]])
        if self._example is None:
            return [choose_face(faces, self.choice.number)]
        choose_face(faces)
        distances = [float((_embed(photo, face) - self._example).norm()) for face in faces]
        nearest = min(range(len(faces)), key=lambda at: distances[at])
        if not distances[nearest] <= SIMILAR_PERSON:
            assert self.choice.like is not None
            raise NoFace(
                f"none of the {len(faces)} faces in this photo looks like {self.choice.like.name} (distance "
                f"{distances[nearest]:.2f}, the limit is {SIMILAR_PERSON}); choose one by its number with --face 1"
            )
        return [faces[nearest]]


def replay_on_faces(
    photo: Photo,
    recipe: Recipe,
    faces: Sequence[Face],
    *,
    model: Any = "faces",
    name: str | None = None,
    effort: str = "standard",
    finder: FaceFinder | None = None,
    extractor: EfficientNetLite0 | None = None,
    network: NetworkLoader = load,
    on_step: Callable[[float, float], Any] | None = None,
) -> PhotoEdits:
    """A recipe on several faces of one photo: each is searched for and gets the steps; the finish is done once.

    Args:
        photo: whose faces they are.
        recipe: what is done to each.
        faces: of the photo, in the order in which they are numbered.
        model, name, effort, finder, extractor, network: see `open_session`.
        on_step: called with (steps done, steps in all) during the searches.

    Raises:
        As `open_session`.
    """
    edits = PhotoEdits(photo, faces, network=network)
    for at, face in enumerate(faces):

        def report(step: int, total: int, *_: object, at: int = at) -> None:
            if on_step is not None:
                on_step(at + step / max(total, 1), len(faces))

        session = open_session(
            photo,
            model=model,
            name=name,
            effort=effort,
            face=face,
            finder=finder,
            extractor=extractor,
            network=network,
            on_step=report,
        )
        edits.add(at, session)
        session.replay(recipe)
    return edits
