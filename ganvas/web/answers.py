"""What the calls of the API answer, field by field: checked on the way out, described in openapi.json.

A field that is not declared here is not answered, so that a client generated from the description knows all of them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """A JSON object; what may be left out has a default."""

    model_config = ConfigDict(extra="forbid")


class OpenAnswer(Answer):
    """A JSON object with further fields."""

    model_config = ConfigDict(extra="allow")


class HealthAnswer(Answer):
    """The studio can work."""

    status: Literal["ok"]
    version: str


# -- errors and jobs


class ErrorDetails(Answer):
    """What was refused and what to do; `code` and `values` are for wording it in other languages."""

    kind: str
    message: str
    hint: str | None
    code: str | None
    values: dict[str, str]


class ErrorAnswer(Answer):
    """The body of every answer from 400 on."""

    error: ErrorDetails


JobStateName = Literal["queued", "running", "done", "failed", "cancelled"]


class JobAnswer(Answer):
    """Long work: ask for it again (`GET /api/jobs/{id}?wait=30`) until its state is done, failed or cancelled.

    `progress` is from 0 to 1; `result` depends on the kind and is there once it is done.
    """

    id: str
    kind: str
    title: str
    state: JobStateName
    progress: float
    eta_sec: float | None
    message: str
    result: Any
    error: ErrorDetails | None


class QueuedAnswer(JobAnswer):
    """A job in the list of all; a batch that is done has the address of its zip."""

    zip: str | None


# -- an open photo


class CropAnswer(Answer):
    """A square in the photo: centre, side and turn."""

    x: float
    y: float
    side: float
    angle_deg: float


class FaceAnswer(Answer):
    """A face: `box` is [left, top, width, height] and `points` are five landmarks, in pixels of the photo."""

    box: list[float]
    points: list[list[float]]
    score: float
    found: bool
    steps: int


class VariantAnswer(Answer):
    """A state of the photo that was kept under a name."""

    id: str
    name: str
    steps: int


class SliderAnswer(Answer):
    """A direction as a slider: where it stands, and how far it goes."""

    name: str
    group: str
    low: float
    high: float
    amount: float
    auto: bool
    keep: list[str]
    space: str
    r2: float | None


class RegionAnswer(Answer):
    """The region that edits keep to."""

    feather_px: float
    parts: list[str]


class StepAnswer(OpenAnswer):
    """A step of the recipe, in words and as data: its further fields are those of its kind (`GET /api/forms`)."""

    index: int
    words: str
    step: str


class HistoryAnswer(OpenAnswer):
    """An entry of the history; entry 0 is the photo as it was opened."""

    at: int
    step: str
    label: str


class SizeAnswer(Answer):
    """Pixels."""

    width: int
    height: int


class SessionAnswer(Answer):
    """An open photo. `state` is faces (one is to be chosen), inverting, or ready; `version` counts its changes."""

    id: str
    state: Literal["faces", "inverting", "ready"]
    version: int
    width: int
    height: int
    name: str
    faces: list[FaceAnswer]
    needs_face: bool
    face: int | None
    model: str
    recipe: dict[str, Any] | None
    resumable: bool
    project: str | None
    photo: str | None
    variants: list[VariantAnswer]
    is_seed: bool
    steps: list[StepAnswer]
    history: list[HistoryAnswer]
    at: int
    can_undo: bool
    can_redo: bool
    result: SizeAnswer
    crop: CropAnswer | None
    fidelity: dict[str, Any] | None
    latent: str | None
    directions: list[SliderAnswer]
    region: RegionAnswer | None
    parts: list[str]


class OpenedAnswer(SessionAnswer):
    """A photo that was just opened, with the `job` that brings it in, or the `problem` that keeps it from that."""

    job: JobAnswer | None = None
    problem: ErrorDetails | None = None


class ChangeAnswer(Answer):
    """A slider and where it was set: an amount, or "auto"."""

    direction: str
    amount: float | str


class UnderstoodAnswer(Answer):
    """What a sentence was read as."""

    changes: list[ChangeAnswer]
    keep: list[str]
    words: str


class SaidAnswer(SessionAnswer):
    """The state after a sentence was followed."""

    understood: UnderstoodAnswer


class ClosedAnswer(Answer):
    """The session that was closed."""

    closed: str


class BreakupAnswer(Answer):
    """A slider so far out that the picture breaks up; `together`: only if the others are eased off as much."""

    direction: str
    amount: float
    holds_to: float
    together: bool


class BreakupsAnswer(Answer):
    """Of the photo's version: `breakups` is empty where the picture holds."""

    version: int
    breakups: list[BreakupAnswer]


class RecipeAnswer(OpenAnswer):
    """What was done to a photo, for `ganvas edit --recipe` and PUT."""

    format: Literal["ganvas-recipe-1"]
    steps: list[dict[str, Any]]


# -- projects


class PhotoAnswer(Answer):
    """A photo of a project; `changed` in seconds since 1970."""

    id: str
    name: str
    width: int
    height: int
    faces: int
    edits: int
    changed: float
    thumbnail: bool


class ProjectAnswer(Answer):
    """A project with its photos; times in seconds since 1970."""

    id: str
    name: str
    created: float
    changed: float
    photos: list[PhotoAnswer]


class DeletedAnswer(Answer):
    """What was deleted."""

    deleted: str


# -- the studio and its models


class LimitsAnswer(Answer):
    """What this studio accepts."""

    upload_bytes: int
    upload_pixels: int
    sessions: int
    idle_sec: float
    batch_photos: int


class GeneratorAnswer(Answer):
    """A generator that is on this computer."""

    name: str
    licence: str
    about: str
    family: str | None
    resolution: int | None
    faces: bool | None


class InfoAnswer(Answer):
    """The studio itself."""

    version: str
    device: str
    languages: list[str]
    limits: LimitsAnswer
    models: list[GeneratorAnswer]
    missing: list[str]
    default_model: str | None
    sessions_open: int


class ModelAnswer(GeneratorAnswer):
    """A model of the catalogue, or one that was trained here; `pedigree` has the licences of what it was made from."""

    task: str
    pedigree: dict[str, str]
    restricted: bool
    size_bytes: int | None
    here: bool
    fetchable: bool
    checked: str | None


class StyleAnswer(Answer):
    """A style that was taught."""

    name: str
    facts: dict[str, str | float | bool]


class SavedAnswer(Answer):
    """Names of what was saved."""

    saved: list[str]


class ScorersAnswer(Answer):
    """Face scores that directions can be learnt from, and the spaces they live in."""

    scorers: list[str]
    spaces: list[str]


# -- training


class PresetAnswer(Answer):
    """A training preset with all of its settings."""

    name: str
    about: str
    result: str
    resolution: int
    settings: dict[str, Any]


class FieldAnswer(Answer):
    """A field of a step or a configuration, for a form; see `ganvas.fields.form_of`."""

    name: str
    kind: str
    item: str
    optional: bool
    required: bool
    default: Any
    choices: list[str] | None
    help: str
    unit: str
    low: float | None
    high: float | None


class FormAnswer(Answer):
    """A step's fields."""

    help: str
    fields: list[FieldAnswer]


class FormsAnswer(Answer):
    """The fields of every step and of a training run."""

    steps: dict[str, FormAnswer]
    training: list[FieldAnswer]


class PlaceAnswer(Answer):
    """A folder or an archive below the data root; of folders, how many pictures are right in it."""

    name: str
    path: str
    pictures: int | None = None


class FolderAnswer(Answer):
    """What is in a folder below the data root; `parent` is null at the root."""

    under: str
    parent: str | None
    folders: list[PlaceAnswer]
    archives: list[PlaceAnswer]
    pictures: int


class RunAnswer(OpenAnswer):
    """A training run; how far it is in thousands of images, and what else its folder tells."""

    name: str
    state: str
    kimg: float


class StartedAnswer(Answer):
    """The name of the run that was started."""

    run: str


class StoppingAnswer(Answer):
    """The name of the run that saves and stops."""

    stopping: str
