"""Resumable downloads over https.

What has come so far stays in the `.part` file; beside it stands what the server said about the file (size, ETag or
date), so that the rest is only ever asked for, and appended, while the file on the server is still the same one.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ganvas import __version__
from ganvas.errors import FetchError
from ganvas.weights.catalogue.store import OnDownloadProgress, megabytes

TIMEOUT_SEC = 30  # without a single byte
TRIES = 5  # in a row that bring nothing new
PAUSE_SEC = 0.5  # before the second try; doubles with each
MAX_DOWNLOAD_BYTES = 4 << 30  # of a file whose size we do not know beforehand
READ_BYTES = 1 << 18
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """What the server says about the whole file."""

    url: str
    size_bytes: int | None
    validator: str | None  # a strong ETag, else the date of the last change; None = the file cannot be gone on with


def check_url(url: str) -> None:
    """An address must be https; plain http is fine within this computer.

    Raises:
        FetchError: anything else.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    raise FetchError(f"weights are downloaded from https addresses only, got {url!r}")


def download(
    url: str,
    part: Path,
    *,
    size_bytes: int | None = None,
    on_progress: OnDownloadProgress | None = None,
    tries: int = TRIES,
) -> None:
    """Download the file at `url` to `part`, resuming a partial download.

    Args:
        url: https, or http on this computer.
        part: the file to fill; when this raises, it keeps what came so far for the next call.
        size_bytes: what the file must measure; None = what the server announces, at most MAX_BYTES.
        on_progress: called with (bytes so far, bytes in all); what it raises stops the download.
        tries: give up after this many consecutive attempts without progress.

    Raises:
        FetchError: no answer, a refusal, another size, a web page instead of a file.
    """
    check_url(url)
    failures = 0
    while True:
        before = _size(part)
        try:
            return _attempt(url, part, size_bytes, on_progress or _ignore)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in (408, 416, 429):
                raise FetchError(
                    f"{url} answered {error.code} {error.reason}: it cannot be downloaded from there"
                ) from error
            trouble = f"the server answered {error.code} {error.reason}"
            if error.code == 416:  # our part is not a beginning of what is there now
                forget(part)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            trouble = str(getattr(error, "reason", error)) or type(error).__name__
        failures = failures + 1 if _size(part) <= before else 0
        if failures >= tries:
            raise FetchError(_failure_message(url, trouble, part))
        time.sleep(PAUSE_SEC * 2 ** max(failures - 1, 0))


def forget(part: Path) -> None:
    """Delete a part and what was known about it; the next download starts at the beginning."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, size_bytes: int | None, on_progress: OnDownloadProgress) -> None:
    """One connection: the whole file, or the rest of it."""
    known = _recall(part, url)
    start = _size(part) if known is not None else 0
    if known is not None and start == known.size_bytes:  # complete: only the move into place was interrupted
        return
    with _open(url, start, known) as response:
        resumed = known is not None and start > 0 and response.status == 206
        start = start if resumed else 0
        remote = _parse_headers(url, response, resumed)
        _check_answer(response, remote, size_bytes)
        if resumed and remote.size_bytes != known.size_bytes:
            forget(part)
            raise ConnectionError("the file on the server has changed")
        _remember(part, remote)
        with open(part, "ab" if resumed else "wb") as file:
            _copy(response, file, start, remote.size_bytes, on_progress)


def _open(url: str, start: int, known: RemoteFile | None) -> Any:
    headers = {"User-Agent": f"ganvas/{__version__}", "Accept-Encoding": "identity"}
    if known is not None and known.validator is not None and start > 0:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    opener = urllib.request.build_opener(_SafeRedirects)
    return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SEC)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows an address only to another one that is as safe."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _parse_headers(url: str, response: Any, resumed: bool) -> RemoteFile:
    """Read the headers; a resumed answer has the size of the whole file behind the slash of Content-Range."""
    headers = response.headers
    size = headers.get("Content-Range", "").rpartition("/")[2] if resumed else headers.get("Content-Length", "")
    etag = headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None  # W/"…" may be the same for different bytes
    return RemoteFile(
        url=url, size_bytes=int(size) if size.isdigit() else None, validator=strong or headers.get("Last-Modified")
    )


def _check_answer(response: Any, remote: RemoteFile, size_bytes: int | None) -> None:
    """Refuse what cannot be the file before a byte of it is stored."""
    url, size = remote.url, remote.size_bytes
    if response.headers.get_content_type() == "text/html":
        raise FetchError(f"{url} answered with a web page instead of the file; open it in a browser")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError(
            f"{url} answered in the encoding {response.headers['Content-Encoding']!r}, which was not requested"
        )
    if size_bytes is not None and size is not None and size != size_bytes:
        raise FetchError(f"{url} should have {size_bytes:,} bytes, but the server reports {size:,}")
    if (size or 0) > MAX_DOWNLOAD_BYTES:
        raise FetchError(f"{url} has {megabytes(size or 0)}; the limit is {megabytes(MAX_DOWNLOAD_BYTES)}")


def _copy(response: Any, file: IO[bytes], done: int, size: int | None, on_progress: OnDownloadProgress) -> None:
    on_progress(done, size)
    while chunk := response.read(READ_BYTES):
        file.write(chunk)
        done += len(chunk)
        if done > (MAX_DOWNLOAD_BYTES if size is None else size):
            raise FetchError(f"received more bytes than expected ({done:,} instead of {size or MAX_DOWNLOAD_BYTES:,})")
        on_progress(done, size)
    if size is not None and done < size:
        raise ConnectionError(f"the connection ended after {done:,} of {size:,} bytes")


def _failure_message(url: str, trouble: str, part: Path) -> str:
    resume_note = f" {megabytes(_size(part))} are kept: run the same call again to resume." if _size(part) else ""
    return (
        f"cannot download {url}: {trouble}.{resume_note} Is this computer online, and is a proxy needed (https_proxy)?"
    )


def _ignore(done: int, total: int | None) -> None:
    pass


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note(part: Path) -> Path:
    return part.with_suffix(".json")


def _remember(part: Path, remote: RemoteFile) -> None:
    _note(part).write_text(json.dumps(asdict(remote)), encoding="utf-8")


def _recall(part: Path, url: str) -> RemoteFile | None:
    """What is known about `part`, if it can be resumed."""
    try:
        known = RemoteFile(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.url == url and known.validator is not None else None
