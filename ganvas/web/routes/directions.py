"""Directions: find them in a generator, or learn them from labels."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from fastapi import APIRouter
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from torch import Tensor

from ganvas.editing.direction_files import directions_of, keep_directions
from ganvas.editing.directions import SPACES, Direction
from ganvas.editing.discovery.calibration import direction_sheet
from ganvas.editing.discovery.leakage import measure_leakage
from ganvas.editing.discovery.methods import DISCOVERY_METHODS
from ganvas.editing.discovery.samples import DirectionLearner
from ganvas.errors import BadConfig, FetchError
from ganvas.features.face_scores import DEFAULT_FACE_SCORES, FACE_SCORES, FaceScorer
from ganvas.fields import check_known
from ganvas.images.contact_sheet import make_captioned_grid
from ganvas.models.protocol import paints_faces
from ganvas.models.seeds import map_seeds
from ganvas.web.answers import JobAnswer, SavedAnswer, ScorersAnswer
from ganvas.web.jobs import Job
from ganvas.web.openapi import answer_file
from ganvas.web.pictures import downscale_to_fit, encode_jpeg
from ganvas.web.routes.common import StudioDep, describe_job, run_on_device
from ganvas.web.routes.sessions import RequestBody
from ganvas.web.studio import Studio
from ganvas.web.views import send_state
from ganvas.weights.checkpoint import fingerprint

router = APIRouter(prefix="/api", tags=["directions"])
TRUNC = 0.7
MAX_SEEDS = 64
SHEET_PX, LEAKAGE_SEEDS = 160, 8
MAX_CACHED_SAMPLES, MAX_CACHED_SEARCHES = 600, 8


class FindDirectionsRequest(RequestBody):
    """Directions without labels."""

    model: str
    method: str = "sefa"
    count: int = Field(8, ge=1, le=24)
    layers: str | None = None
    seed: int = Field(0, ge=0, lt=2**32)


class KeepDirectionsRequest(RequestBody):
    """Which of the found directions are kept, and under which names; counted from 1."""

    job: str
    names: dict[int, str]


class LearnDirectionRequest(RequestBody):
    """Labels: seeds with and without the attribute, or a face scorer."""

    model: str
    name: str
    like: list[int] = Field([], max_length=2000)
    dislike: list[int] = Field([], max_length=2000)
    scorer: str = ""
    samples: int = Field(2000, ge=10, le=20_000)
    space: str = "w"
    keep: list[str] = []


@router.get("/models/{name:path}/samples.jpg", **answer_file("image/jpeg"))
async def view_samples(name: str, studio: StudioDep, seeds: str = "0-15", size: int = 128) -> Response:
    """Pictures from seeds, such as 7 or 0-15; several as one sheet."""
    numbers = _parse_numbers(seeds, most=MAX_SEEDS, what="seeds")
    if not 16 <= size <= 512:
        raise HTTPException(422, f"size is from 16 to 512 pixels, got {size}")
    studio.registry.find(name, task="generate")
    data = await run_on_device(studio, lambda: _render_samples(studio, name, numbers, size))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.post("/directions/find", response_model=JobAnswer)
async def find_directions(body: FindDirectionsRequest, studio: StudioDep) -> dict[str, Any]:
    """Directions without labels: `sefa` from the weights, `pca` from samples, the `codes` of InfoGAN. A job."""
    if body.method not in DISCOVERY_METHODS:
        raise HTTPException(422, f"method is {', '.join(DISCOVERY_METHODS)}, got {body.method[:20]!r}")
    layers = _parse_numbers(body.layers, most=100, what="layers") if body.layers else None
    studio.registry.find(body.model, task="generate")

    def work(job: Job) -> dict[str, Any]:
        G = studio.registry.get(body.model, task="generate")
        candidates = DISCOVERY_METHODS[body.method](G, count=body.count, layers=layers, fingerprint=fingerprint(G))
        _remember_search(studio, job.id, (body.model, candidates))
        _write_sheet(studio, job, G, candidates, seed=body.seed)
        rows = [{"index": i, "share": d.facts.get("share"), "name": d.name} for i, d in enumerate(candidates, start=1)]
        return {"rows": rows, "sheet": f"/api/directions/{job.id}/sheet.jpg"}

    return describe_job(studio.jobs.start(Job("directions", work)))


@router.post("/directions/keep", response_model=SavedAnswer)
async def keep_found_directions(body: KeepDirectionsRequest, studio: StudioDep) -> dict[str, Any]:
    """Keep some of what a search found, under names of one's own: they are sliders from then on."""
    if body.job not in studio.searches:
        raise HTTPException(404, "there is no such search any more: look again")
    model, candidates = studio.searches[body.job]
    for index, name in body.names.items():
        _check_name(name)
        if not 1 <= index <= len(candidates):
            raise BadConfig(f"the search found {len(candidates)} directions, there is no number {index}")
    chosen = [replace(candidates[index - 1], name=name) for index, name in body.names.items()]
    if not chosen:
        raise BadConfig("none is named: give at least one a name")
    await run_on_device(studio, lambda: _save_directions(studio, model, chosen, "the studio's search"))
    return {"saved": [one.name for one in chosen]}


@router.get("/directions/scorers", response_model=ScorersAnswer)
def list_scorers() -> dict[str, tuple[str, ...]]:
    """Available face scorers for learning directions without labels, and the available spaces."""
    return {"scorers": FACE_SCORES, "spaces": SPACES}


@router.post("/directions/learn", response_model=JobAnswer)
async def learn_direction(body: LearnDirectionRequest, studio: StudioDep) -> dict[str, Any]:
    """Learn a slider from marked seeds, or from a face score. A job: how well held-out samples are foretold, and what
    else moves."""
    _check_name(body.name)
    check_known(body.space, SPACES, what="space of a direction")
    _check_marks(body)
    studio.registry.find(body.model, task="generate")

    def work(job: Job) -> dict[str, Any]:
        G = studio.registry.get(body.model, task="generate")
        known_directions = directions_of(fingerprint(G))
        direction = _learn_direction(G, body, job)
        job.step(1, 4)
        _write_sheet(studio, job, G, [direction], seed=0)
        leakage = _measure_leakage(G, direction, known_directions)
        job.step(3, 4)
        _save_directions(
            studio, body.model, [direction], "marks in the studio" if body.like else "a score in the studio"
        )
        measured = {"r2": direction.facts.get("r2"), "range": [direction.low, direction.high]} if body.scorer else {}
        return {
            "name": body.name,
            "auc": direction.facts.get("auc"),
            "used": int(direction.facts["samples"]),
            "leakage": leakage,
            "sheet": f"/api/directions/{job.id}/sheet.jpg",
            **measured,
        }

    return describe_job(studio.jobs.start(Job("learn", work)))


@router.get("/directions/{id}/sheet.jpg", **answer_file("image/jpeg"))
def view_direction_sheet(id: str, studio: StudioDep) -> FileResponse:
    """The sheet of found or learnt directions: five amounts of each."""
    job = studio.jobs.find(id)
    file = studio.folder / f"{job.id}.sheet.jpg"
    if not file.is_file():
        raise HTTPException(404, "this job has no sheet")
    return FileResponse(file, media_type="image/jpeg")


def _parse_numbers(text: str, *, most: int, what: str) -> list[int]:
    """ "0-3,8" → [0, 1, 2, 3, 8]."""
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part)
        if not match:
            raise HTTPException(422, f"{what} are written as 0-3,8; cannot read {text[:40]!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= most or len(numbers) + last - first >= most:
            raise HTTPException(422, f"up to {most} {what} at once")
        numbers += range(first, last + 1)
    return numbers


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w-]{1,64}", name):
        raise BadConfig(f"a direction's name has up to 64 letters, digits, - and _, got {name[:80]!r}")


def _check_marks(body: LearnDirectionRequest) -> None:
    """One way of saying what is known, and a whole one."""
    if body.scorer:
        check_known(body.scorer, FACE_SCORES, what="face scorer")
        if body.like or body.dislike:
            raise BadConfig("say what is known in one way: marks or a scorer")
        return
    if both := sorted(set(body.like) & set(body.dislike)):
        raise BadConfig(f"seed {both[0]} is marked both ways")
    if not body.like or not body.dislike:
        raise BadConfig("both kinds of marks are needed: pictures that have it and pictures that have it not")


def _learn_direction(G: Any, body: LearnDirectionRequest, job: Job) -> Direction:
    trunc = 1.0 if body.scorer else TRUNC  # marks are of the pictures that the page shows; scorers see all there is
    learner = DirectionLearner(generator=G, name=body.name, space=body.space, trunc=trunc, label=_first_class(G))
    if body.scorer:
        samples = learner.from_scorer(body.scorer, keep=body.keep, count=body.samples, on_step=job.step)
        direction = learner.learn(samples, keep=body.keep)
        return learner.calibrate(direction, body.scorer, on_step=job.step)
    ws = learner.map_seeds([*body.like, *body.dislike])
    return learner.learn(learner.from_marks(ws[: len(body.like)], ws[len(body.like) :]), keep=body.keep)


def _first_class(G: Any) -> int | None:
    return 0 if G.c_dim else None


def _latents(G: Any, seeds: Sequence[int]) -> Tensor:
    return map_seeds(G, list(seeds), trunc=TRUNC, label=_first_class(G))


@torch.no_grad()
def _render_samples(studio: Studio, name: str, seeds: list[int], size: int) -> bytes:
    cache: OrderedDict[tuple[str, int, int], Tensor] = studio.samples
    G = studio.registry.get(name, task="generate")
    key = fingerprint(G)
    for seed in seeds:
        if (key, seed, size) not in cache:
            img = G.synthesis(_latents(G, [seed]), precision="fast").float().clamp(-1, 1)
            cache[key, seed, size] = downscale_to_fit(img.expand(-1, 3, -1, -1), longest_px=size)
    images = [cache[key, seed, size] for seed in seeds]
    while len(cache) > MAX_CACHED_SAMPLES:
        cache.popitem(last=False)
    if len(seeds) == 1:
        return encode_jpeg(images[0])
    columns = max(1, round(len(seeds) ** 0.5))
    return encode_jpeg(make_captioned_grid(torch.cat(images), [str(seed) for seed in seeds], columns=columns))


def _remember_search(studio: Studio, id: str, search: tuple[str, list[Direction]]) -> None:
    studio.searches[id] = search
    while len(studio.searches) > MAX_CACHED_SEARCHES:
        studio.searches.popitem(last=False)


def _write_sheet(studio: Studio, job: Job, G: Any, selected: Sequence[Direction], *, seed: int) -> None:
    rows = []
    ws = _latents(G, [seed])
    for at, direction in enumerate(selected, start=1):
        with torch.no_grad():
            rows.append(direction_sheet(G, ws, direction, px=min(SHEET_PX, G.img_resolution)))
        job.step(at, len(selected) + 1)
    (studio.folder / f"{job.id}.sheet.jpg").write_bytes(encode_jpeg(torch.cat(rows, dim=2)))


def _measure_leakage(G: Any, direction: Direction, known_directions: dict[str, Direction]) -> list[dict[str, Any]]:
    """What else moves: as face scorers see it where it knows faces, else by the angle to other directions."""
    if paints_faces(G.family, G.facts):
        try:
            face_scorer = FaceScorer([name for name in DEFAULT_FACE_SCORES if name != direction.name])
            leakage = measure_leakage(G, face_scorer, _latents(G, range(LEAKAGE_SEEDS)), [direction])
            moved = dict(zip(leakage.columns, leakage.shift[0].tolist(), strict=True))
            return [{"name": n, "change": round(v, 3)} for n, v in moved.items() if v == v]
        except FetchError:
            pass
    mine = direction.vector.flatten()
    others = {
        name: other.vector.flatten()
        for name, other in known_directions.items()
        if other.space == direction.space and other.vector.shape == direction.vector.shape and name != direction.name
    }
    return [
        {"name": n, "change": round(float(torch.cosine_similarity(mine, v, dim=0)), 3), "angle": True}
        for n, v in others.items()
    ]


def _save_directions(studio: Studio, model: str, selected: Sequence[Direction], origin: str) -> None:
    """Into the user's folder; sessions of this generator have the new sliders at once."""
    keep_directions(selected, model.rsplit("/", 1)[-1], licence="as the generator's", origin=origin)
    for open_photo in list(studio.open_photos.values()):
        if open_photo.session is not None and open_photo.session.recipe.fingerprint == selected[0].fingerprint:
            open_photo.session.reload_directions()
            send_state(open_photo)
