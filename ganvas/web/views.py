"""An open photo as JSON: state, history, steps; and its events for all listeners."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

from ganvas.editing.move import Move
from ganvas.editing.recipe import Recipe, face_steps_of, step_to_data
from ganvas.editing.regions import region_of, unwrap_step
from ganvas.editing.step import step_to_dict
from ganvas.features.faces import Face
from ganvas.features.identity import describe_identity
from ganvas.images.crop import Crop
from ganvas.session.auto_amount import AUTO_TARGETS
from ganvas.session.history import EditHistory
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.renderer import SeedRenderer
from ganvas.session.session import Session
from ganvas.session.variants import PhotoVariant
from ganvas.web.jobs import json_safe
from ganvas.web.open_photo import OpenPhoto

MAX_LISTED_MOVES = 4  # in one entry of the history


def build_state(open_photo: OpenPhoto) -> dict[str, Any]:
    """An open photo as the API has it."""
    edits = open_photo.require_edits()
    photo, session = edits.photo, edits.session
    plain = {
        "id": open_photo.id,
        "state": open_photo.state,
        "version": open_photo.version,
        "width": photo.width,
        "height": photo.height,
        "name": open_photo.name,
        "faces": [{**face_as_data(face), **_face_state(edits, i)} for i, face in enumerate(edits.faces)],
        "needs_face": open_photo.needs_face,
        "face": edits.face,
        "model": open_photo.model,
        "recipe": open_photo.recipe,
        "resumable": open_photo.saved is not None,
        "project": None if open_photo.stored is None else open_photo.stored.project,
        "photo": None if open_photo.stored is None else open_photo.stored.id,
        "variants": [{"id": one.id, "name": one.name, "steps": _variant_steps(one)} for one in open_photo.variants],
        "is_seed": session is not None and isinstance(session.renderer, SeedRenderer),
    }
    return (
        plain
        | _history_state(edits.active)
        | (_empty_session_state(open_photo.crop) if session is None else _session_state(session))
    )


def _variant_steps(variant: PhotoVariant) -> int:
    return sum(len(recipe.steps) for recipe in variant.recipes.values())


def _face_state(edits: PhotoEdits, face: int) -> dict[str, Any]:
    """Whether a face was found in the model, and how many steps it has."""
    session = edits.sessions.get(face)
    return {"found": session is not None, "steps": 0 if session is None else len(face_steps_of(session.recipe))}


def send_state(open_photo: OpenPhoto) -> None:
    """What `build_state` says now, to everybody who watches."""
    if open_photo.listeners:
        open_photo.send({"type": "state", **build_state(open_photo)})


def mark_changed(open_photo: OpenPhoto) -> None:
    """What "after" shows is another picture now; the project has it before anybody hears of it."""
    open_photo.version += 1
    open_photo.result = None
    open_photo.save()
    send_state(open_photo)


def _empty_session_state(crop: Crop | None) -> dict[str, Any]:
    square = None if crop is None else crop_as_data(crop)
    return {"crop": square, "fidelity": None, "latent": None, "directions": [], "region": None, "parts": []}


def _history_state(editing: EditHistory) -> dict[str, Any]:
    return {
        "steps": [{"index": i, "words": format_step(s), **step_to_data(s)} for i, s in enumerate(editing.recipe.steps)],
        "history": build_history(editing),
        "at": editing.at,
        "can_undo": editing.at > 0,
        "can_redo": editing.at < len(editing.history) - 1,
        "result": {"width": editing.result_size[0], "height": editing.result_size[1]},
    }


def _session_state(session: Session) -> dict[str, Any]:
    crop = session.crop
    return {
        "crop": crop_as_data(crop),
        "fidelity": {name: _round_value(value) for name, value in session.inversion.figures.items()},
        "latent": _verdict(session),
        "directions": [_direction(session, name) for name in session.directions],
        "region": _region_state(session),
        "parts": list(session.parts),
    }


def _verdict(session: Session) -> str | None:
    """For faces: whom edits will be made of, in words."""
    distance = session.inversion.figures.get("latent_identity")
    return None if distance is None else describe_identity(distance)


def _region_state(session: Session) -> dict[str, Any] | None:
    region = session.region
    if region is None:
        return None
    return {"feather_px": round(region.feather * session.crop.side, 1), "parts": list(region.parts)}


def _round_value(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else json_safe(value)


def _direction(session: Session, name: str) -> dict[str, Any]:
    direction = session.directions[name]
    here = [unwrap_step(s) for s in session.recipe.steps if region_of(s) == session.region]
    moves = [step for step in here if isinstance(step, Move) and step.direction == name]
    return {
        "name": name,
        "group": direction.group,
        "low": direction.low,
        "high": direction.high,
        "amount": session.amount(name),
        "auto": session.aligned and name in AUTO_TARGETS,
        "keep": list(moves[-1].keep) if moves else [],
        "space": direction.space,
        "r2": direction.facts.get("r2"),
    }


def build_history(session: EditHistory) -> list[dict[str, Any]]:
    """What was done, entry by entry; entry 0 is the photo as it was opened."""
    first = {"at": 0, "step": "open", "label": ""}
    return [
        first,
        *(_describe_change(a, b, at) for at, (a, b) in enumerate(itertools.pairwise(session.history), start=1)),
    ]


def _describe_change(before: Recipe, after: Recipe, at: int) -> dict[str, Any]:
    """What turned one recipe into the next."""
    gone = [step for step in before.steps if step not in after.steps]
    new = [step for step in after.steps if step not in before.steps]
    moves = [unwrap_step(step) for step in (*gone, *new)]
    if moves and all(isinstance(step, Move) for step in moves):
        amounts = {step.direction: 0.0 for step in moves} | {m.direction: m.amount for m in map(unwrap_step, new)}
        if len(amounts) <= MAX_LISTED_MOVES:
            label = ", ".join(f"{name} {amount:+.2g}" if amount else f"{name} 0" for name, amount in amounts.items())
            return {"at": at, "step": "set", "amounts": amounts, "label": label}
    if len(gone) <= 1 and len(new) == 1:
        step = unwrap_step(new[0])
        fields = {key: getattr(step, key) for key in ("part", "style", "model", "scale") if hasattr(step, key)}
        return {"at": at, "step": step.name, "label": format_step(step), **fields}
    return {"at": at, "step": "recipe", "label": f"recipe, {len(after.steps)} steps"}


def format_step(step: Any) -> str:
    """A step in few words."""
    step = unwrap_step(step)
    if isinstance(step, Move):
        return f"{step.direction} {step.amount:+.2g}"
    fields = {key: value for key, value in step_to_dict(step).items() if key != "step"}
    words = [str(value) for value in fields.values() if isinstance(value, (str, int, float)) and str(value) != ""]
    return " ".join([step.name, *(word for word in words[:2] if len(word) <= 24)])


def crop_as_data(crop: Crop) -> dict[str, float]:
    """A square in the photo."""
    return {"x": crop.x, "y": crop.y, "side": crop.side, "angle_deg": crop.angle_deg}


def face_as_data(face: Face) -> dict[str, Any]:
    """A found face, in pixels of the photo."""
    left, top, right, bottom = face.box
    return {
        "box": [round(v, 2) for v in (left, top, right - left, bottom - top)],
        "points": [[round(x, 2), round(y, 2)] for x, y in face.points.tolist()],
        "score": round(face.score, 4),
    }


def recipe_as_data(text: str | None) -> dict[str, Any] | None:
    """A recipe that a file carried, as far as it is one."""
    try:
        return None if text is None else json.loads(Recipe.from_json(text).to_json())
    except ValueError:
        return None
