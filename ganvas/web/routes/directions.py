"""Directions: look for what a generator can change, or teach it by marks."""

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

from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import Direction, add_directions
from ganvas.editing.discovery.calibration import direction_sheet
from ganvas.editing.discovery.leakage import measure_leakage
from ganvas.editing.discovery.pca import pca
from ganvas.editing.discovery.regression import learn_direction
from ganvas.editing.discovery.sefa import sefa
from ganvas.errors import BadConfig, FetchError
from ganvas.features.face_scores import DEFAULT_FACE_SCORES, FaceScorer
from ganvas.images.contact_sheet import make_captioned_grid
from ganvas.inversion.alignment import is_aligned
from ganvas.models.seeds import latents_from_seeds
from ganvas.web.jobs import Job
from ganvas.web.pictures import downscale_to_fit, encode_jpeg
from ganvas.web.routes.common import StudioDep, describe_job, run_on_device
from ganvas.web.routes.sessions import RequestBody
from ganvas.web.studio import Studio
from ganvas.web.views import send_state
from ganvas.weights.catalogue import store
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
    """Seeds that have it and seeds that have it not."""

    model: str
    name: str
    like: list[int] = Field(max_length=2000)
    dislike: list[int] = Field(max_length=2000)
    keep: list[str] = []


@router.get("/models/{name:path}/samples.jpg")
async def samples(name: str, studio: StudioDep, seeds: str = "0-15", size: int = 128) -> Response:
    """Pictures from seeds, such as 7 or 0-15; several as one sheet."""
    numbers = _parse_numbers(seeds, most=MAX_SEEDS, what="seeds")
    if not 16 <= size <= 512:
        raise HTTPException(422, f"size is from 16 to 512 pixels, got {size}")
    studio.registry.find(name, task="generate")
    data = await run_on_device(studio, lambda: _render_samples(studio, name, numbers, size))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.post("/directions/find")
async def find(body: FindDirectionsRequest, studio: StudioDep) -> dict[str, Any]:
    """Directions without labels: `sefa` from the weights, `pca` from samples. A job; its sheet has a row for each."""
    if body.method not in ("sefa", "pca"):
        raise HTTPException(422, f"method is sefa or pca, got {body.method[:20]!r}")
    layers = _parse_numbers(body.layers, most=100, what="layers") if body.layers else None
    studio.registry.find(body.model, task="generate")

    def work(job: Job) -> dict[str, Any]:
        G = studio.registry.get(body.model, task="generate")
        discover = sefa if body.method == "sefa" else pca
        candidates = discover(G, count=body.count, layers=layers, fingerprint=fingerprint(G))
        _remember_search(studio, job.id, (body.model, candidates))
        _write_sheet(studio, job, G, candidates, seed=body.seed)
        rows = [{"index": i, "share": d.facts.get("share"), "name": d.name} for i, d in enumerate(candidates, start=1)]
        return {"rows": rows, "sheet": f"/api/directions/{job.id}/sheet.jpg"}

    return describe_job(studio.jobs.start(Job("directions", work)))


@router.post("/directions/keep")
async def keep(body: KeepDirectionsRequest, studio: StudioDep) -> dict[str, Any]:
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


@router.post("/directions/learn")
async def learn(body: LearnDirectionRequest, studio: StudioDep) -> dict[str, Any]:
    """Learn a slider from marked seeds. A job: how well held-out marks are foretold, and what else moves."""
    _check_name(body.name)
    if both := sorted(set(body.like) & set(body.dislike)):
        raise BadConfig(f"seed {both[0]} is marked both ways")
    if not body.like or not body.dislike:
        raise BadConfig("both kinds of marks are needed: pictures that have it and pictures that have it not")
    studio.registry.find(body.model, task="generate")

    def work(job: Job) -> dict[str, Any]:
        G = studio.registry.get(body.model, task="generate")
        known_directions = directions_of(fingerprint(G))
        for other in body.keep:
            if other not in known_directions or known_directions[other].space != "w":
                there = ", ".join(n for n, d in known_directions.items() if d.space == "w") or "none"
                raise BadConfig(f"{other!r} cannot be held: no direction in space 'w' has that name; there: {there}")
        w = _latents(G, [*body.like, *body.dislike]).mean(dim=1)
        marks = torch.cat([torch.ones(len(body.like)), torch.zeros(len(body.dislike))])
        direction = learn_direction(
            w, marks, name=body.name, keep=[known_directions[other].vector[0] for other in body.keep]
        )
        direction = replace(direction, fingerprint=fingerprint(G), facts={**direction.facts, "keep": body.keep})
        job.step(1, 4)
        _write_sheet(studio, job, G, [direction], seed=0)
        leakage = _measure_leakage(G, direction, known_directions)
        job.step(3, 4)
        _save_directions(studio, body.model, [direction], "marks in the studio")
        return {
            "name": body.name,
            "auc": direction.facts.get("auc"),
            "used": int(direction.facts.get("samples", len(marks))),
            "leakage": leakage,
            "sheet": f"/api/directions/{job.id}/sheet.jpg",
        }

    return describe_job(studio.jobs.start(Job("learn", work)))


@router.get("/directions/{id}/sheet.jpg")
def sheet_of(id: str, studio: StudioDep) -> FileResponse:
    """The sheet of a search, or of what was learnt: five amounts of each direction."""
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


@torch.no_grad()
def _latents(G: Any, seeds: Sequence[int]) -> Tensor:
    z = latents_from_seeds(seeds, G.z_dim, device=G.device)
    c = None if G.c_dim == 0 else torch.eye(G.c_dim)[:1].expand(len(z), -1)
    ws: Tensor = G.mapping(z, c, truncation_psi=TRUNC)
    return ws


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
    if is_aligned(G, "auto"):
        try:
            face_scorer = FaceScorer([name for name in DEFAULT_FACE_SCORES if name != direction.name])
            leakage = measure_leakage(G, face_scorer, _latents(G, range(LEAKAGE_SEEDS)), [direction])
            moved = dict(zip(leakage.columns, leakage.shift[0].tolist(), strict=True))
            return [{"name": n, "change": round(v, 3)} for n, v in moved.items() if v == v]
        except FetchError:
            pass
    mine = direction.vector[0]
    others = {n: d.vector[0] for n, d in known_directions.items() if d.space == "w" and n != direction.name}
    return [
        {"name": n, "change": round(float(torch.cosine_similarity(mine, v, dim=0)), 3), "angle": True}
        for n, v in others.items()
    ]


def _save_directions(studio: Studio, model: str, selected: Sequence[Direction], origin: str) -> None:
    """Into the user's folder; sessions of this generator have the new sliders at once."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", model.rsplit("/", 1)[-1])
    path = store.home() / "directions" / f"{name}-{selected[0].fingerprint[:12]}.safetensors"
    add_directions(selected, path, licence="as the generator's", origin=origin)
    for open_photo in list(studio.open_photos.values()):
        if open_photo.session is not None and open_photo.session.recipe.fingerprint == selected[0].fingerprint:
            open_photo.session.reload_directions()
            send_state(open_photo)
