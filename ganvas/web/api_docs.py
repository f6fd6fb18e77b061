"""/docs: the API as one plain page, drawn from the OpenAPI description; nothing of it is fetched from anywhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse


def render_api_docs(app: FastAPI) -> HTMLResponse:
    """Every call with its parameters, its body and what it is for."""
    spec = app.openapi()
    calls = [
        _call(method, path, call, spec.get("components", {}).get("schemas", {}))
        for path, methods in spec["paths"].items()
        for method, call in methods.items()
    ]
    head = f"<h1>{escape(spec['info']['title'])} {escape(spec['info']['version'])}</h1>"
    intro = (
        f"<p>{escape(spec['info'].get('description', ''))} The same as data: <a "
        'href="openapi.json">openapi.json</a>. Errors are <code>{"error": {"kind", "message", '
        '"hint"}}</code>.</p><p>WebSocket <code>/api/sessions/{id}/events</code>: sends jobs, '
        "previews and state; receives slider movements.</p>"
    )
    style = '<link rel="stylesheet" href="static/manual.css">'
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>ganvas studio: API</title>'
        f'<meta name="viewport" content="width=device-width">{style}<main>{head}{intro}{"".join(calls)}</main></html>'
    )


def _call(method: str, path: str, call: dict[str, Any], schemas: dict[str, Any]) -> str:
    words = escape(call.get("description") or call.get("summary", ""))
    return (
        f"<article><h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2><p>{words}</p>"
        f"{_parameters(call.get('parameters', []))}{_body(call, schemas)}</article>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        f"<li><code>{escape(one['name'])}</code> ({escape(one['in'])}) {escape(_kind(one.get('schema', {})))}</li>"
        for one in parameters
    ]
    return f"<ul>{''.join(rows)}</ul>" if rows else ""


def _body(call: dict[str, Any], schemas: dict[str, Any]) -> str:
    content = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = content.get("$ref", "").rsplit("/", 1)[-1]
    fields = schemas.get(name, content).get("properties", {})
    rows = [f"<li><code>{escape(key)}</code> {escape(_kind(one))}</li>" for key, one in fields.items()]
    return f"<p>JSON:</p><ul>{''.join(rows)}</ul>" if rows else ""


def _kind(schema: dict[str, Any]) -> str:
    kinds = [schema, *schema.get("anyOf", [])]
    type_names = " or ".join(str(one["type"]) for one in kinds if "type" in one) or "object"
    default = f", default {json.dumps(schema['default'])}" if "default" in schema else ""
    return type_names + default
