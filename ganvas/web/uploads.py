"""Uploads: one at a time, with limits of size and time, streamed to disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import IO, Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ganvas.web.config import StudioConfig

MAX_FORM_FIELDS = 20


class Form:
    """A form with files, read within limits; its files are on disk and gone when it closes."""

    def __init__(self, data: Any):
        self.data = data

    async def file(self, name: str, *, limit: int) -> bytes:
        """The bytes of a file.

        Raises:
            HTTPException: 400, not there or empty; 413, too large.
        """
        return (await self.files(name, limit=limit, most=1))[0][1]

    async def files(self, name: str, *, limit: int, most: int) -> list[tuple[str, bytes]]:
        """(name, bytes) of all files of a field; errors as `file`."""
        return [one async for one in self.each(name, limit=limit, most=most)]

    async def each(self, name: str, *, limit: int, most: int) -> AsyncIterator[tuple[str, bytes]]:
        """The same, one after the other."""
        uploads = [one for one in self.data.getlist(name) if isinstance(one, UploadFile)]
        if not uploads:
            raise HTTPException(400, f"a file is required in the form field {name!r}")
        if len(uploads) > most:
            raise HTTPException(413, f"at most {most} files are allowed in {name!r}, got {len(uploads)}")
        for one in uploads:
            if (one.size or 0) > limit:
                raise HTTPException(413, f"{safe_filename(one.filename)} is too large: the limit is {limit:,} bytes")
            if not one.size:
                raise HTTPException(400, f"{safe_filename(one.filename)} is empty (0 bytes)")
        for one in uploads:
            yield safe_filename(one.filename), await one.read()

    def has_file(self, name: str) -> bool:
        """Whether a field holds a file."""
        return isinstance(self.data.get(name), UploadFile)

    def stream(self, name: str, *, limit: int) -> IO[bytes]:
        """A file as it lies on the disk, to be read; errors as `file`."""
        upload = next((one for one in self.data.getlist(name) if isinstance(one, UploadFile)), None)
        if upload is None or not upload.size:
            raise HTTPException(400, f"a file is required in the form field {name!r}")
        if upload.size > limit:
            raise HTTPException(413, f"{safe_filename(upload.filename)} is too large: the limit is {limit:,} bytes")
        return upload.file

    def text(self, name: str, default: str | None = None) -> str | None:
        """A plain field."""
        value = self.data.get(name, default)
        return value if isinstance(value, str) or value is None else default

    def number(self, name: str, default: float | None = None) -> float | None:
        """A field with a number in it.

        Raises:
            HTTPException: 422, something else in it.
        """
        text = self.text(name)
        if text is None or text == "":
            return default
        try:
            return float(text)
        except ValueError:
            raise HTTPException(422, f"{name} must be a number, got {text[:40]!r}") from None

    def whole(self, name: str) -> int | None:
        """A field with a whole number in it; errors as `number`."""
        value = self.number(name)
        if value is not None and value != int(value):
            raise HTTPException(422, f"{name} must be an integer, got {value}")
        return None if value is None else int(value)

    def json(self, name: str) -> Any:
        """A field with JSON in it; errors as `number`."""
        text = self.text(name)
        try:
            return None if not text else json.loads(text)
        except (ValueError, RecursionError):
            raise HTTPException(422, f"{name} must be JSON, got {str(text)[:40]!r}") from None


class reading_form:
    """`async with reading_form(request, uploads, config) as form:` in turn with other uploads, and within a time.

    Raises:
        HTTPException: 400 not a form, 408 too slow, 413 too large, 429 too many at once.
    """

    def __init__(
        self, request: Request, uploads: Uploads, config: StudioConfig, *, files: int = 1, patience: float = 1
    ):
        self.request, self.uploads, self.config, self.most = request, uploads, config, files
        self.patience = patience
        self._form: Any = None

    async def __aenter__(self) -> Form:
        if self.uploads.waiting >= self.config.waiting_uploads:
            raise HTTPException(429, "too many uploads at once; try again in a moment")
        if not self.request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise HTTPException(415, "a form (multipart/form-data) is required")
        await self.uploads.enter()
        try:
            reading = self.request.form(max_files=self.most, max_fields=MAX_FORM_FIELDS, max_part_size=2**20)
            self._form = await asyncio.wait_for(reading, self.config.upload_sec * self.patience)
        except BaseException as error:
            self.uploads.leave()
            if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
                raise HTTPException(408, "the upload took too long") from None
            if isinstance(error, ClientDisconnect):
                raise HTTPException(400, "the upload was interrupted") from None
            raise
        return Form(self._form)

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._form.close()
        finally:
            self.uploads.leave()


class Uploads:
    """Takes turns: so many uploads are read at once, the others wait."""

    def __init__(self, at_once: int):
        self._turns = asyncio.Semaphore(at_once)
        self.waiting = 0

    async def enter(self) -> None:
        """Wait for a turn."""
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """The turn is over."""
        self._turns.release()


def safe_filename(name: str | None) -> str:
    """A client's name for a file, made harmless: for messages and downloads, never for opening anything."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable() and c not in '"<>|:*?')[:100].strip(". ") or "photo"
