"""The studio's server: routes, limits and the page, put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from ganvas import __version__
from ganvas.errors import GanvasError
from ganvas.web.api_docs import render_api_docs
from ganvas.web.batch import sweep_batches
from ganvas.web.config import StudioConfig
from ganvas.web.errors import error_answer, invalid_answer
from ganvas.web.http_protocol import LoadMiddleware
from ganvas.web.meter import MeterMiddleware
from ganvas.web.openapi import ERRORS, StudioApp
from ganvas.web.proxy import ProxyMiddleware
from ganvas.web.routes import (
    batch,
    directions,
    edits,
    events,
    health,
    info,
    projects,
    sessions,
    tools,
    training,
    variants,
)
from ganvas.web.security import SecurityMiddleware
from ganvas.web.studio import Studio

PAGE = Path(__file__).parent / "page"
SWEEP_SEC = 5.0


def make_app(config: StudioConfig | None = None) -> FastAPI:
    """The studio as an ASGI app; `ganvas studio` serves it with uvicorn.

    Args:
        config: address, token and limits; None = the defaults.
    """
    config = config or StudioConfig()
    app = StudioApp(
        title="ganvas studio",
        version=__version__,
        description="Open a photo, invert it, edit it, get your photo back.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=_lifespan,
        responses=ERRORS,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.config = config
    app.add_middleware(SecurityMiddleware, config=config)
    app.add_middleware(LoadMiddleware)
    app.add_middleware(MeterMiddleware)
    app.add_middleware(ProxyMiddleware, config=config)  # added last, asked first
    for kind in (GanvasError, HTTPException, UnicodeError, OSError, Exception):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    for module in (directions, training, batch, health, info, projects, sessions, edits, tools, variants, events):
        app.include_router(module.router)
    if PAGE.is_dir():
        app.mount("/static", StaticFiles(directory=PAGE), name="static")
    app.add_api_route("/", _index_page, include_in_schema=False)
    app.add_api_route("/docs", lambda: render_api_docs(app), include_in_schema=False)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A studio lives as long as its server."""
    studio = app.state.studio = Studio(app.state.config)
    sweeping = asyncio.create_task(_sweep(studio))
    try:
        yield
    finally:
        sweeping.cancel()
        studio.close()


async def _sweep(studio: Studio) -> None:
    while True:
        await asyncio.sleep(min(SWEEP_SEC, studio.config.idle_sec / 4))
        studio.sweep()
        sweep_batches(studio)


async def _answer(request: Request, error: Exception) -> Response:
    return error_answer(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid_answer(error)


async def _index_page() -> Response:
    if not (PAGE / "index.html").is_file():
        raise HTTPException(404, "the page is not installed here; the API is under /api")
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})
