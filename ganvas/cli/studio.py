"""ganvas studio: the workbench in a browser."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer


def studio(
    host: Annotated[str, typer.Option(help="Address to listen on; any non-local address needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the studio in the browser.")] = True,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Default generator: a catalogue name, or a file.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Access token, 16 characters or more; auto generates one.")] = None,
    names: Annotated[
        list[str] | None, typer.Option("--allow-host", help="Another host name to accept; may be repeated.")
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", help="A page of another site that may call the API: https://example.org."),
    ] = None,
    root_path: Annotated[str, typer.Option(help="Path a proxy serves the studio under: /studio.")] = "",
    trusted_proxies: Annotated[
        list[str] | None,
        typer.Option("--trust-proxy", help="Address or network of a proxy whose X-Forwarded-… headers count."),
    ] = None,
    data_root: Annotated[Path, typer.Option(help="Training data can only be chosen in this folder.")] = Path(),
    runs: Annotated[Path, typer.Option(help="Folder of training runs.")] = Path("runs"),
    projects: Annotated[
        Path | None, typer.Option(help="Folder of projects; default: ganvas' folder in your user data.")
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Answer GET /metrics with figures for Prometheus.")
    ] = False,
    sessions: Annotated[int, typer.Option(min=1, help="Maximum number of open photos.")] = 8,
    upload_mb: Annotated[int, typer.Option(min=1, help="Largest upload in MiB.")] = 256,
    megapixels: Annotated[
        int, typer.Option(min=1, help="Largest photo in millions of pixels; each takes 12 MB, three times while saved.")
    ] = 102,
    idle_minutes: Annotated[float, typer.Option(min=0.1, help="Close idle photos after this many minutes.")] = 60,
) -> None:
    """Open the studio: edit photos in the browser, computed on this machine. Ctrl+C closes it.

    Example: [bold]ganvas studio[/bold]
    """
    from ganvas.cli.process import configure_process
    from ganvas.web.config import MEBI, StudioConfig
    from ganvas.web.serve import serve

    config = StudioConfig(
        host=host,
        port=port,
        token=secrets.token_urlsafe(24) if token == "auto" else token,
        names=tuple(names or ()),
        origins=tuple(origins or ()),
        root_path=root_path.rstrip("/"),
        trusted_proxies=tuple(trusted_proxies or ()),
        model=model,
        data_root=data_root,
        runs=runs,
        projects=projects,
        metrics=metrics,
        sessions=sessions,
        upload_bytes=upload_mb * MEBI,
        upload_pixels=megapixels * 1_000_000,
        result_pixels=megapixels * 1_000_000,
        pixels_in_all=max(160, megapixels) * 1_000_000,
        idle_sec=idle_minutes * 60,
    )
    configure_process()
    serve(config, say=typer.echo, browser=browser)
