"""Pages that can be mailed: one file, no script, everything embedded, light and dark; text in them is escaped.

`page.html.jinja` is what all of them extend: the style, tables and figures.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from torch import Tensor

from ganvas.images.tensors import to_pixels


def open_templates(folder: Path) -> Environment:
    """The templates of a folder, which may extend `page.html.jinja`."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def data_uri(kind: str, data: bytes) -> str:
    """A picture's file inside a page; kind: jpeg, png, …"""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def embed_jpeg(picture: Image.Image | Tensor, *, widest_px: int, quality: int = 82) -> str:
    """A picture, or img [1, C, H, W], inside a page, at most `widest_px` wide."""
    if isinstance(picture, Tensor):
        picture = Image.fromarray(to_pixels(picture.expand(-1, 3, -1, -1)))
    picture.thumbnail((widest_px, 8 * widest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return data_uri("jpeg", buffer.getvalue())
