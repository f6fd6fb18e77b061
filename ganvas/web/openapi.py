"""openapi.json: what FastAPI knows of the routes, and what it cannot: forms with files, pictures, steps, the token."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from ganvas.editing.recipe import STEPS
from ganvas.fields import FieldInfo, fields_of
from ganvas.web.answers import ErrorAnswer
from ganvas.web.config import StudioConfig

REF = "#/components/schemas/{model}"
FILE = {"type": "string", "format": "binary"}
TEXT, NUMBER, WHOLE, FLAG = (
    {"type": "string"},
    {"type": "number"},
    {"type": "integer"},
    {"type": "string", "enum": ["1"]},
)
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "Refused"},
    "5XX": {"model": ErrorAnswer, "description": "Failed, or too busy"},
}
_STEP, _RECIPE = "Step", "Recipe"
_BODIES = {
    "do_step": _STEP,
    "replay": _RECIPE,
    "try_one_step": _STEP,
}  # operations whose JSON body is checked by the classes of the steps
_KINDS = {"number": "number", "integer": "integer", "bool": "boolean", "text": "string", "choice": "string"}


def answer_file(media_type: str) -> dict[str, Any]:
    """Arguments of a route that answers with a file: `@router.get("/x.jpg", **answer_file("image/jpeg"))`."""
    return {"response_class": Response, "responses": {200: {"content": {media_type: {"schema": FILE}}}}}


def take_form(*required: str, json: type[BaseModel] | None = None, **fields: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a route that reads a form by itself.

    Args:
        required: names of the fields that must be there.
        json: what may come as JSON instead.
        fields: the schema of each field.
    """
    form = {"type": "object", "properties": fields, "required": list(required)}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if json is not None:
        content["application/json"] = {"schema": {"$ref": REF.format(model=json.__name__)}}
        _JSON_ALTERNATIVES[json.__name__] = json
    return {"openapi_extra": {"requestBody": {"content": content, "required": True}}}


_JSON_ALTERNATIVES: dict[str, type[BaseModel]] = {}


class StudioApp(FastAPI):
    """FastAPI with the whole description; `state.config` is a `StudioConfig`."""

    def openapi(self) -> dict[str, Any]:
        """The description as data."""
        if self.openapi_schema is None:
            self.openapi_schema = _complete(super().openapi(), self.state.config)
        return self.openapi_schema


def _complete(spec: dict[str, Any], config: StudioConfig) -> dict[str, Any]:
    components = spec.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _, alternatives = models_json_schema([(one, "validation") for one in _JSON_ALTERNATIVES.values()], ref_template=REF)
    schemas |= alternatives["$defs"] | _step_schemas() | {_RECIPE: _recipe_schema()}
    for call in (call for path in spec["paths"].values() for call in path.values()):
        if call["operationId"] in _BODIES:
            content = call["requestBody"]["content"]["application/json"]
            content["schema"] = {"$ref": REF.format(model=_BODIES[call["operationId"]])}
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "the studio's --token"},
        "query": {"type": "apiKey", "in": "query", "name": "token", "description": "the same, for pictures"},
    }
    if config.token is not None:
        spec["security"] = [{"bearer": []}, {"query": []}]
    return spec


# -- steps, as their classes declare them


def _step_schemas() -> dict[str, Any]:
    """One schema for each kind of step, and `Step`, which is any of them."""
    names = {name: "".join(part.title() for part in name.split("_")) + _STEP for name in STEPS}
    each = {names[name]: _step_schema(name, step) for name, step in STEPS.items()}
    refs = {name: REF.format(model=title) for name, title in names.items()}
    choice = {"oneOf": [{"$ref": ref} for ref in refs.values()]}
    return each | {_STEP: choice | {"discriminator": {"propertyName": "step", "mapping": refs}}}


def _step_schema(name: str, step: type) -> dict[str, Any]:
    fields = fields_of(step)
    properties = {"step": {"type": "string", "const": name}} | {key: _field_schema(one) for key, one in fields.items()}
    within = {"type": "object", "description": "the region it is limited to, as in a saved recipe"}
    return {
        "type": "object",
        "description": (inspect.getdoc(step) or "").split("\n\n")[0],
        "properties": properties | {"within": within},
        "required": ["step", *(one.name for one in fields.values() if one.required)],
        "additionalProperties": False,
    }


def _field_schema(info: FieldInfo) -> dict[str, Any]:
    limits = {"minimum": info.ge, "exclusiveMinimum": info.gt, "maximum": info.le, "exclusiveMaximum": info.lt}
    one: dict[str, Any] = {"type": _KINDS[kind]} if (kind := info.item or info.kind) in _KINDS else {}
    one |= {key: value for key, value in limits.items() if value is not None}
    one |= {"enum": list(info.choices)} if info.choices else {}
    schema = {"type": "array", "items": one} if info.kind == "list" else one
    if info.optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return schema | ({"description": info.help} if info.help else {})


def _recipe_schema() -> dict[str, Any]:
    """A recipe, as `GET …/recipe` and every saved picture have it."""
    from ganvas.editing.recipe import Recipe

    names = [field.name for field in dataclasses.fields(Recipe) if field.name != "steps"]
    steps = {"type": "array", "items": {"$ref": REF.format(model=_STEP)}}
    return {
        "type": "object",
        "properties": {"format": {"const": "ganvas-recipe-1"}, **{name: {} for name in names}, "steps": steps},
        "required": ["format", "steps"],
    }
