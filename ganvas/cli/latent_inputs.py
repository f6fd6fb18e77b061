"""Latents that people have marked: seeds, photos that are inverted first, inversions that are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.cli.console import track

if TYPE_CHECKING:
    from torch import Tensor

_LATENTS = (".npy", ".pt")  # of other tools: projectors and encoders


def files_in(folder: Path) -> list[Path]:
    """The photos, inversions and other tools' latents of a folder, by name.

    Raises:
        BadConfig: there are none.
    """
    from ganvas.errors import BadConfig
    from ganvas.images.walk import describe_kinds, is_image_name, walk_files

    files = sorted(folder / name for name, _ in walk_files(folder, recursive=False))
    paths = [file for file in files if is_image_name(file) or file.suffix.lower() in (".npz", *_LATENTS)]
    if not paths:
        kinds = describe_kinds(file.name for file in files)
        raise BadConfig(f"{folder} has no photos and no latents (.npz, .npy, .pt) in it; it has {kinds}")
    return paths


def ws_of_files(files: Iterable[Path], G: Any, *, effort: str) -> Tensor:
    """ws [N, num_ws, w_dim] of photos and inversions. A photo is inverted once, and its inversion is cached.

    Raises:
        BadLatent: an inversion of another generator. NoFace, BadImage: as for 'ganvas invert', with the file's name.
    """
    import torch

    files = list(files)
    return torch.cat([_load_ws(file, G, effort) for file in track(files, what="finding photos", total=len(files))])


def _load_ws(file: Path, G: Any, effort: str) -> Tensor:
    from ganvas.errors import BadInput, BadLatent
    from ganvas.inversion.result import Inversion
    from ganvas.weights.checkpoint import fingerprint

    if file.suffix.lower() == ".npz":
        inversion = Inversion.load(file)
        if inversion.fingerprint != fingerprint(G):
            raise BadLatent(f"{file} was made with another generator; invert its photo again")
        return inversion.ws
    if file.suffix.lower() in _LATENTS:
        return _load_foreign_latents(file, G)
    try:
        return _invert_cached(file, G, effort)
    except BadInput as error:
        raise type(error)(f"{file.name}: {error}") from error


def _load_foreign_latents(file: Path, G: Any) -> Tensor:
    import torch

    from ganvas.errors import BadLatent
    from ganvas.weights.readers.directions import read_latents

    ws_list = [latents.ws for latents in read_latents(file)]
    for ws in ws_list:
        if ws.shape[1] not in (1, G.num_ws) or ws.shape[2] != G.w_dim:
            raise BadLatent(
                f"{file.name} has latents {list(ws.shape[1:])}, this generator's are {[G.num_ws, G.w_dim]}: "
                "they were made with another generator"
            )
    return torch.cat([ws.expand(-1, G.num_ws, -1) for ws in ws_list])


def _invert_cached(file: Path, G: Any, effort: str) -> Tensor:
    from ganvas.inversion.result import Inversion
    from ganvas.session.open import open_session
    from ganvas.weights.catalogue import store
    from ganvas.weights.checkpoint import fingerprint

    name = hashlib.sha256(file.read_bytes()).hexdigest()[:24]
    cache_file = store.home() / "inversions" / f"{name}-{fingerprint(G)[:12]}-{effort}.npz"
    if cache_file.exists():
        return Inversion.load(cache_file).ws
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    inversion = open_session(file, model=G, effort=effort).inversion
    inversion.save(cache_file)
    return inversion.ws
