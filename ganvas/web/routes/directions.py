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

from ganvas.editing.directions import Direction, add_directions
from ganvas.editing.effect import sheet
from ganvas.editing.leakage import measured_leakage
from ganvas.editing.learn import learn_direction
from ganvas.editing.pca import pca
from ganvas.editing.sefa import sefa
from ganvas.errors import BadConfig, FetchError
from ganvas.features.judges import USUAL, FaceJudge
from ganvas.images.sheet import captioned
from ganvas.inversion.framing import is_aligned
from ganvas.models.protocol import latents_from_seeds
from ganvas.session import directions_of
from ganvas.web.jobs import Job
from ganvas.web.pictures import fitted, jpeg
from ganvas.web.routes.common import AStudio, on_device, started
from ganvas.web.routes.sessions import Body
from ganvas.web.studio import Studio
from ganvas.weights import store
from ganvas.weights.checkpoint import fingerprint

router = APIRouter(prefix="/api", tags=["directions"])
TRUNC = 0.7
MOST_SEEDS = 64
SHEET_PX, LEAKAGE_SEEDS = 160, 8
KEPT_SAMPLES, KEPT_SEARCHES = 600, 8


class Search(Body):
    """Directions without labels."""

    model: str
    method: str = "sefa"
    count: int = Field(8, ge=1, le=24)
    layers: str | None = None
    seed: int = Field(0, ge=0, lt=2**32)


class Names(Body):
    """Which of the found directions are kept, and under which names; counted from 1."""

    job: str
    names: dict[int, str]


class Marks(Body):
    """Seeds that have it and seeds that have it not."""

    model: str
    name: str
    like: list[int] = Field(max_length=2000)
    dislike: list[int] = Field(max_length=2000)
    keep: list[str] = []


@router.get("/models/{name:path}/samples.jpg")
async def samples(name: str, studio: AStudio, seeds: str = "0-15", size: int = 128) -> Response:
    """Pictures from seeds, such as 7 or 0-15; several as one sheet."""
    numbers = _numbers(seeds, most=MOST_SEEDS, what="seeds")
    if not 16 <= size <= 512:
        raise HTTPException(422, f"size is from 16 to 512 pixels, got {size}")
    studio.shelf.find(name, task="generate")
    data = await on_device(studio, lambda: _samples(studio, name, numbers, size))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.post("/directions/find")
async def find(asked: Search, studio: AStudio) -> dict[str, Any]:
    """Directions without labels: `sefa` from the weights, `pca` from samples. A job; its sheet has a row for each."""
    if asked.method not in ("sefa", "pca"):
        raise HTTPException(422, f"method is sefa or pca, got {asked.method[:20]!r}")
    layers = _numbers(asked.layers, most=100, what="layers") if asked.layers else None
    studio.shelf.find(asked.model, task="generate")

    def work(job: Job) -> dict[str, Any]:
        G = studio.shelf.get(asked.model, task="generate")
        look = sefa if asked.method == "sefa" else pca
        found = look(G, count=asked.count, layers=layers, fingerprint=fingerprint(G))
        _remember(studio, job.id, (asked.model, found))
        _draw(studio, job, G, found, seed=asked.seed)
        rows = [{"index": i, "share": d.facts.get("share"), "name": d.name} for i, d in enumerate(found, start=1)]
        return {"rows": rows, "sheet": f"/api/directions/{job.id}/sheet.jpg"}

    return started(studio.jobs.start(Job("directions", work)))


@router.post("/directions/keep")
async def keep(asked: Names, studio: AStudio) -> dict[str, Any]:
    """Keep some of what a search found, under names of one's own: they are sliders from then on."""
    if asked.job not in studio.searches:
        raise HTTPException(404, "there is no such search any more: look again")
    model, found = studio.searches[asked.job]
    for index, name in asked.names.items():
        _check_name(name)
        if not 1 <= index <= len(found):
            raise BadConfig(f"the search found {len(found)} directions, there is no number {index}")
    chosen = [replace(found[index - 1], name=name) for index, name in asked.names.items()]
    if not chosen:
        raise BadConfig("none is named: give at least one a name")
    await on_device(studio, lambda: _keep(studio, model, chosen, "the studio's search"))
    return {"saved": [one.name for one in chosen]}


@router.post("/directions/learn")
async def learn(asked: Marks, studio: AStudio) -> dict[str, Any]:
    """Learn a slider from marked seeds. A job: how well held-out marks are foretold, and what else moves."""
    _check_name(asked.name)
    if both := sorted(set(asked.like) & set(asked.dislike)):
        raise BadConfig(f"seed {both[0]} is marked both ways")
    if not asked.like or not asked.dislike:
        raise BadConfig("both kinds of marks are needed: pictures that have it and pictures that have it not")
    studio.shelf.find(asked.model, task="generate")

    def work(job: Job) -> dict[str, Any]:
        G = studio.shelf.get(asked.model, task="generate")
        known = directions_of(fingerprint(G))
        for other in asked.keep:
            if other not in known or known[other].space != "w":
                there = ", ".join(n for n, d in known.items() if d.space == "w") or "none"
                raise BadConfig(f"{other!r} cannot be held: no direction in space 'w' has that name; there: {there}")
        w = _latents(G, [*asked.like, *asked.dislike]).mean(dim=1)
        marks = torch.cat([torch.ones(len(asked.like)), torch.zeros(len(asked.dislike))])
        found = learn_direction(w, marks, name=asked.name, keep=[known[other].vector[0] for other in asked.keep])
        found = replace(found, fingerprint=fingerprint(G), facts={**found.facts, "keep": asked.keep})
        job.step(1, 4)
        _draw(studio, job, G, [found], seed=0)
        leakage = _leakage(G, found, known)
        job.step(3, 4)
        _keep(studio, asked.model, [found], "marks in the studio")
        return {
            "name": asked.name,
            "auc": found.facts.get("auc"),
            "used": int(found.facts.get("samples", len(marks))),
            "leakage": leakage,
            "sheet": f"/api/directions/{job.id}/sheet.jpg",
        }

    return started(studio.jobs.start(Job("learn", work)))


@router.get("/directions/{id}/sheet.jpg")
def sheet_of(id: str, studio: AStudio) -> FileResponse:
    """The sheet of a search, or of what was learnt: five amounts of each direction."""
    job = studio.jobs.find(id)
    file = studio.folder / f"{job.id}.sheet.jpg"
    if not file.is_file():
        raise HTTPException(404, "this job has no sheet")
    return FileResponse(file, media_type="image/jpeg")


def _numbers(text: str, *, most: int, what: str) -> list[int]:
    """ "0-3,8" → [0, 1, 2, 3, 8]."""
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part)
        if not match:
            raise HTTPException(422, f"{what} are written as 0-3,8; cannot read {text[:40]!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= most or len(found) + last - first >= most:
            raise HTTPException(422, f"up to {most} {what} at once")
        found += range(first, last + 1)
    return found


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w-]{1,64}", name):
        raise BadConfig(f"a direction's name has up to 64 letters, digits, - and _, got {name[:80]!r}")


@torch.no_grad()
def _latents(G: Any, seeds: Sequence[int]) -> Tensor:
    z = latents_from_seeds(seeds, G.z_dim, device=G.device)
    c = None if G.c_dim == 0 else torch.eye(G.c_dim)[:1].expand(len(z), -1)
    ws: Tensor = G.mapping(z, c, truncation_psi=TRUNC)
    return ws


def _samples(studio: Studio, name: str, seeds: list[int], size: int) -> bytes:
    kept: OrderedDict[tuple[str, int, int], Tensor] = studio.samples
    G = studio.shelf.get(name, task="generate")
    key = fingerprint(G)
    for seed in seeds:
        if (key, seed, size) not in kept:
            img = G.synthesis(_latents(G, [seed]), precision="fast").float().clamp(-1, 1)
            kept[key, seed, size] = fitted(img.expand(-1, 3, -1, -1), longest_px=size)
    found = [kept[key, seed, size] for seed in seeds]
    while len(kept) > KEPT_SAMPLES:
        kept.popitem(last=False)
    if len(seeds) == 1:
        return jpeg(found[0])
    columns = max(1, round(len(seeds) ** 0.5))
    return jpeg(captioned(torch.cat(found), [str(seed) for seed in seeds], columns=columns))


def _remember(studio: Studio, id: str, search: tuple[str, list[Direction]]) -> None:
    studio.searches[id] = search
    while len(studio.searches) > KEPT_SEARCHES:
        studio.searches.popitem(last=False)


def _draw(studio: Studio, job: Job, G: Any, found: Sequence[Direction], *, seed: int) -> None:
    rows = []
    ws = _latents(G, [seed])
    for at, direction in enumerate(found, start=1):
        with torch.no_grad():
            rows.append(sheet(G, ws, direction, px=min(SHEET_PX, G.img_resolution)))
        job.step(at, len(found) + 1)
    (studio.folder / f"{job.id}.sheet.jpg").write_bytes(jpeg(torch.cat(rows, dim=2)))


def _leakage(G: Any, found: Direction, known: dict[str, Direction]) -> list[dict[str, Any]]:
    """What else moves: as face scorers see it where it knows faces, else by the angle to other directions."""
    if is_aligned(G, "auto"):
        try:
            judge = FaceJudge([name for name in USUAL if name != found.name])
            seen = measured_leakage(G, judge, _latents(G, range(LEAKAGE_SEEDS)), [found])
            moved = dict(zip(seen.columns, seen.shift[0].tolist(), strict=True))
            return [{"name": n, "change": round(v, 3)} for n, v in moved.items() if v == v]
        except FetchError:
            pass
    mine = found.vector[0]
    others = {n: d.vector[0] for n, d in known.items() if d.space == "w" and n != found.name}
    return [
        {"name": n, "change": round(float(torch.cosine_similarity(mine, v, dim=0)), 3), "angle": True}
        for n, v in others.items()
    ]


def _keep(studio: Studio, model: str, found: Sequence[Direction], origin: str) -> None:
    """Into the user's folder; sessions of this generator have the new sliders at once."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", model.rsplit("/", 1)[-1])
    path = store.home() / "directions" / f"{name}-{found[0].fingerprint[:12]}.safetensors"
    add_directions(found, path, licence="as the generator's", origin=origin)
    for desk in list(studio.desks.values()):
        if desk.session is not None and desk.session.recipe.fingerprint == found[0].fingerprint:
            desk.session.directions = directions_of(found[0].fingerprint)
            desk.tell_state()
