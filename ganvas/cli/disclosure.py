"""The option of every command that writes pictures which a model made or changed: say so in the file, or not."""

from __future__ import annotations

from typing import Annotated

import typer

DiscloseOption = Annotated[
    bool,
    typer.Option(
        "--disclose/--no-disclose", help="Say in the file's XMP that a model made or changed the picture (IPTC)."
    ),
]
