"""Known weights by name: what they are, where they come from, and under which licences.

Only a small upscaler of our own is bundled. `get` fetches once into the store (store.py), `resolve` finds what is there
and never touches the network. A model's licence is the strictest of four: of the package it comes in, of the weights,
of the training data and of the model it was made from; all four are written down. Where one of them forbids commercial
use, the entry is `restricted`, and fetching it takes the user's word that they have seen that. These lines are an
engineering reading of what the authors say, not legal advice.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from ganvas.errors import BadConfig, FetchError
from ganvas.weights.catalogue import store
from ganvas.weights.catalogue.entries import ALIASES, ENTRIES, NOTE, CatalogueEntry, is_complete, read_note
from ganvas.weights.catalogue.sources import BundledSource
from ganvas.weights.catalogue.store import OnDownloadProgress, megabytes


def names() -> list[str]:
    """All known names, in the order of the list."""
    return list(ENTRIES)


def find_entry(name: str) -> CatalogueEntry:
    """The entry of this name.

    Raises:
        BadConfig: there is none; the message has the nearest names.
    """
    known = ALIASES.get(name, name)
    if known in ENTRIES:
        return ENTRIES[known]
    near = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.5)
    near += [other for other in names() if len(name) > 2 and name.lower() in other and other not in near][:3]
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise BadConfig(f"there is no file and no catalogue model called {name!r}. {hint}List all: ganvas models list")


def resolve(name: str) -> Path:
    """Where the model is on this computer: a file, or a folder where it is made of several. Never fetches anything.

    Raises:
        BadConfig: an unknown name; the message has the nearest ones.
        FetchError: not on this computer yet; the message has the command that fetches it.
    """
    entry = find_entry(name)
    if entry.here:
        return entry.path
    size = "" if entry.size_bytes is None else f"{megabytes(entry.size_bytes)}, "
    accept = ", accept=True" if entry.restricted else ""
    raise FetchError(
        f"the model {name!r} is not downloaded yet ({size}{entry.licence}). Download it with: ganvas "
        f"models get {name}   (in Python: ganvas.weights.catalogue.catalogue.get({name!r}{accept}))"
    )


def get(
    name: str,
    *,
    accept: bool = False,
    from_file: Path | str | None = None,
    on_progress: OnDownloadProgress | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Path:
    """Have the model on this computer: from the store when it is there, else fetched, its hashes compared, and kept.

    Args:
        name: a name of the catalogue.
        accept: you have seen the licence of a restricted model and will keep to it.
        from_file: a copy of the archive or file you already have, instead of the network; it must be the same one.
        on_progress: called with (bytes so far, bytes in all); what it raises stops the fetching.
        on_wait: called once when another process is fetching the same files and this one waits for it.

    Returns:
        The same as `resolve`.

    Raises:
        BadConfig: an unknown name; the message has the nearest ones.
        FetchError: the licence is not accepted; no network; no room; not what was announced.
    """
    entry = find_entry(name)
    if entry.here and from_file is None:
        return entry.path
    if entry.restricted and not accept:
        raise FetchError(
            f"{name!r} is restricted ({entry.licence}). {terms(entry)} To accept: ganvas models get {name} --yes   "
            f"(in Python: ganvas.weights.catalogue.catalogue.get({name!r}, accept=True))"
        )
    _fetch(entry, from_file=from_file, on_progress=on_progress, on_wait=on_wait)
    return entry.path


def verify(name: str) -> None:
    """Read every file of the model and compare its hash with the one announced, or noted when it was fetched.

    Raises:
        FetchError: not on this computer, or damaged; the message says what to do.
    """
    resolve(name)
    source, folder = find_entry(name).source, find_entry(name).folder
    noted = read_note(folder).get("sha256", {})
    for file in source.files:
        if store.sha256_of(folder / file.name) != (file.sha256 or noted.get(file.name)):
            raise FetchError(
                f"{folder / file.name} is damaged: it differs from the downloaded file. Run: ganvas "
                f"models remove {name}, then: ganvas models get {name}"
            )


def remove(name: str) -> int:
    """Delete the model from this computer, with its siblings from the same source; returns the bytes freed.

    Raises:
        BadConfig: an unknown name.
        FetchError: the store cannot be written, or the model is a part of ganvas.
    """
    source = find_entry(name).source
    if isinstance(source, BundledSource):
        raise FetchError(
            f"{name} is part of ganvas ({source.file.name}, {source.file.size_bytes} bytes) and cannot be removed"
        )
    return store.remove_folder(source.key)


def terms(entry: CatalogueEntry) -> str:
    """The four licences in one line."""
    chain = entry.pedigree
    return (
        f"Package: {chain.package}. Weights: {chain.weights}. Trained on: {chain.data}. Derived from: {chain.parent}."
    )


def siblings(entry: CatalogueEntry) -> list[str]:
    """Other models that come out of the same archive, and so are fetched with it."""
    return [other.name for other in ENTRIES.values() if other.source == entry.source and other is not entry]


def _fetch(
    entry: CatalogueEntry,
    *,
    from_file: Path | str | None,
    on_progress: OnDownloadProgress | None,
    on_wait: Callable[[], None] | None,
) -> None:
    def make(folder: Path) -> None:
        if from_file is None:
            entry.source.fetch(folder, on_progress)
        else:
            entry.source.take(Path(from_file), folder)
        _write_note(entry, folder, came_from=entry.source.where if from_file is None else str(from_file))

    store.ensure_folder(
        entry.source.key, make, is_whole=lambda folder: is_complete(entry.source, folder), on_wait=on_wait
    )


def _write_note(entry: CatalogueEntry, folder: Path, *, came_from: str) -> None:
    files = [folder / file.name for file in entry.source.files]
    note = {
        "from": came_from,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "licence": entry.licence,
        "size_bytes": {path.name: path.stat().st_size for path in files},
        "sha256": {path.name: store.sha256_of(path) for path in files},
    }
    (folder / NOTE).write_text(json.dumps(note, indent=2), encoding="utf-8")


# The list.
