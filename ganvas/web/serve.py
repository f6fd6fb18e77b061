"""Listen, say where, open the browser."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import uvicorn

from ganvas.errors import BadConfig
from ganvas.web.app import make_app
from ganvas.web.config import StudioConfig
from ganvas.web.http_protocol import make_protocol

_LONGEST_MESSAGE = 65_536  # of a WebSocket
IDLE_SEC = 15


def serve(config: StudioConfig, *, say: Callable[[str], None] = print, browser: bool = False) -> None:
    """Run the studio until it is interrupted.

    Args:
        config: where and how.
        say: called with the address once it is ready.
        browser: open it there, too.

    Raises:
        BadConfig: the address cannot be listened on.
    """
    listening = _listen(config)
    config = replace(config, port=listening.getsockname()[1])
    address = studio_url(config)
    server = uvicorn.Server(server_config(config))
    say(f"studio: {address}   (Ctrl+C closes it)")
    if browser:
        opening = threading.Timer(1.0, webbrowser.open, [address])
        opening.daemon = True
        opening.start()
    with listening:
        server.run(sockets=[listening])


def server_config(config: StudioConfig) -> uvicorn.Config:
    """How uvicorn is to serve the studio."""
    return uvicorn.Config(
        make_app(config),
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SEC,
        timeout_graceful_shutdown=3,
        ws="websockets-sansio",
        ws_max_size=_LONGEST_MESSAGE,
        http=make_protocol(),
        h11_max_incomplete_event_size=32_768,
    )


def studio_url(config: StudioConfig) -> str:
    """What to type into the browser."""
    name = f"[{config.host}]" if ":" in config.host else config.host
    name = "localhost" if name in ("0.0.0.0", "[::]") else name
    query = f"?token={quote(config.token)}" if config.token else ""
    return f"http://{name}:{config.port}{config.root_path}/{query}"


def _listen(config: StudioConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off for such sockets only: 40 ms a preview.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        raise BadConfig(
            f"cannot listen on {config.host}, port {config.port} ({error.strerror}). Is another studio "
            "running? --port 0 chooses a free port."
        ) from error
    return listening
