"""The ganvas weights format: one self-describing .safetensors.

The header carries a card (family, config, facts such as licence and training, fingerprint) as canonical JSON, so that
`ganvas.load(path)` needs nothing else, and two cards are equal exactly when their texts are. Files are written under
another name, forced to the disk and renamed: there is never half a file. The state of a training run (optimisers,
counters) is a file of the run and is not kept here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ganvas import __version__
from ganvas.errors import BadConfig, BrokenWeights, UnknownWeights, UnwritableFile
from ganvas.models import FAMILIES
from ganvas.models.protocol import Network
from ganvas.ops.new_file import write_new_file
from ganvas.weights.contents import FileContents
from ganvas.weights.open_file import open_file
from ganvas.weights.readers.state_dict import check_finite, load_state_dict_checked

_FORMAT = 1
_KEY = "ganvas"  # of the safetensors header, beside "format": "pt", by which other tools know torch's tensors
_HALF_MAX = 65504.0


@dataclass(frozen=True, kw_only=True)
class Card:
    """What one of our files says about itself.

    `network` is "G" or "D"; `config` and `facts` are JSON texts with sorted keys, so a card can be hashed and compared.
    """

    family: str
    network: str
    config: str
    facts: str
    fingerprint: str
    written_by: str = f"ganvas {__version__}"
    format: int = _FORMAT

    def to_json(self) -> str:
        """One line of JSON, keys sorted: equal cards give equal text."""
        return _json(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str, *, who: str) -> Card:
        """The card in a header.

        Raises:
            BrokenWeights: not a card, or one of a later format.
        """
        try:
            values = json.loads(text)
            card = Card(**values)
        except (ValueError, TypeError, RecursionError) as error:
            raise BrokenWeights(f"{who}: its card cannot be read ({error}).") from error
        if not isinstance(card.format, int) or card.format > _FORMAT:
            raise BrokenWeights(
                f"{who} was written by {card.written_by}, which is newer. Update: pip install -U ganvas"
            )
        if not all(isinstance(value, str) for key, value in values.items() if key != "format"):
            raise BrokenWeights(f"{who}: its card has a non-text value where text is expected.")
        return card


def save(network: Network, path: str | Path, *, half: bool = False, **facts: Any) -> Path:
    """Write a network to one self-contained .safetensors file, atomically.

    Args:
        network: of any family.
        path: where; ".safetensors" is added when it is missing. An existing file is replaced in one step.
        half: store the large tensors as float16, half the size; the loaded network is float32 again.
        facts: what should stand in the file beside network.facts: licence="CC0-1.0", trained_kimg=1000, …
            (JSON values; names the network already has a fact for are overwritten).

    Returns:
        The path written.

    Raises:
        BadConfig: not a network of ours, or facts that JSON cannot hold.
        BrokenWeights: a weight is not finite; nothing is written.
    """
    path = _with_suffix(Path(path).expanduser())
    card = card_of(network, facts)
    tensors = {name: _prepare_tensor(tensor, half) for name, tensor in network.state_dict().items()}
    for name, tensor in tensors.items():
        check_finite(name, tensor, who="save")
    header = {"format": "pt", _KEY: card.to_json()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, header))
    return path


def card_of(network: Network, facts: dict[str, Any] | None = None) -> Card:
    """The card that `save` would write.

    Raises:
        BadConfig: not a network of ours, or facts that JSON cannot hold.
    """
    family = getattr(network, "family", None)
    if not isinstance(network, nn.Module) or family not in FAMILIES or not dataclasses.is_dataclass(network.config):
        raise BadConfig(
            f"save expects a ganvas network (families: {', '.join(sorted(FAMILIES))}), got {type(network).__name__}."
        )
    return Card(
        family=family,
        network=_role(network),
        config=_json(_fields(network.config)),
        facts=_json({**network.facts, **(facts or {})}),
        fingerprint=fingerprint(network),
    )


def _role(network: Network) -> str:
    """The role of a network, D or G, by the type of its config."""
    return "D" if type(network.config) is FAMILIES[network.family].discriminator_config else "G"


def fingerprint(network: Network) -> str:
    """SHA-256 over family, config and weights, as 64 hexadecimal digits.

    Weights count as rounded to float16, so that a copy saved with half=True is the same network. Fields of the config
    that have their default do not count, so that a later ganvas with more fields gives the same text. Parts that only
    serve previews do not count either: directions and recipes outlive better ones.
    """
    fields = {
        name: value for name, value in _non_default_fields(network.config).items() if name not in network.previews
    }
    digest = hashlib.sha256(f"{network.family} {_role(network)} {_json(fields)}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        if name.split(".")[0] in network.previews:
            continue
        digest.update(f"{name} {list(tensor.shape)}".encode())
        plain = tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype)
        digest.update(plain.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _fields(config: Any) -> dict[str, Any]:
    return dataclasses.asdict(config)


def _non_default_fields(config: Any) -> dict[str, Any]:
    """The fields that differ from their default."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    return {name: value for name, value in _fields(config).items() if value != defaults[name]}


def is_ours(contents: FileContents) -> bool:
    """Was this file written by `save`?"""
    return _KEY in contents.header


def read_card(path: str | Path) -> Card:
    """The card of a ganvas file, without building the network.

    Raises:
        UnknownWeights: not one of ours.
        BrokenWeights: see `open_file`.
    """
    contents = open_file(path)
    if not is_ours(contents):
        raise UnknownWeights(f"{contents.path.name} was not written by ganvas: it has no card.")
    return Card.from_json(contents.header[_KEY], who=contents.path.name)


def rebuild(contents: FileContents, *, network: str = "G_ema") -> Network:
    """The network of one of our files, in eval mode.

    Args:
        contents: for which `is_ours` holds.
        network: "G_ema" or "G" for a generator, translator or upscaler, "D" for a discriminator.

    Raises:
        UnknownWeights: the file holds the other kind of network, or a family this ganvas does not know.
        BrokenWeights: card and weights do not fit, or the weights are not those the card was written for.
    """
    who = contents.path.name
    card = Card.from_json(contents.header[_KEY], who=who)
    if card.family not in FAMILIES:
        raise UnknownWeights(f"{who} is of family {card.family[:40]!r}; known: {', '.join(sorted(FAMILIES))}.")
    if (network == "D") != (card.network == "D"):
        raise UnknownWeights(f"{who} contains only {card.network} of {card.family}; {network} was requested.")
    net = load_state_dict_checked(card.family, _parse(card.config, who), contents.tree, who=who, network=card.network)
    net.facts = _parse(card.facts, who)
    if (now := fingerprint(net)) != card.fingerprint:
        raise BrokenWeights(
            f"{who} is damaged: its weights have the fingerprint {now[:12]}…, its card says "
            f"{card.fingerprint[:12]}…. Download or copy it again; if you changed the weights with "
            "another program, save them with ganvas.save."
        )
    return net


def write_atomically(path: Path, write: Any) -> None:
    """Let `write(temporary path)` make a file, force it to the disk, then give it its name: whole, or not there.

    A link stays one: the file that it leads to is replaced.

    Raises:
        UnwritableFile: the folder is not there or cannot be written, the disk is full, or the name is that of a device
            or a pipe, in whose place a file would be put; nothing is left behind.
    """
    try:
        with write_new_file(path) as part:
            write(str(part))
    except (OSError, SafetensorError) as error:  # the latter is what safetensors makes of a full disk
        unwritable = UnwritableFile(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
        unwritable.errno = getattr(error, "errno", None)
        raise unwritable from error


def _prepare_tensor(tensor: Tensor, half: bool) -> Tensor:
    """A contiguous copy on the CPU; matrices and kernels as float16 if asked for (biases and averages are small)."""
    plain = tensor.detach().cpu()
    if half and plain.dtype is torch.float32 and plain.ndim >= 2 and (plain.abs() <= _HALF_MAX).all():
        return plain.half().contiguous()
    return plain.clone(memory_format=torch.contiguous_format)  # safetensors refuses tensors that share memory


def _json(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise BadConfig(f"facts and config must be JSON values (text, numbers, lists): {error}") from error


def _parse(text: str, who: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenWeights(f"{who}: its card cannot be read ({error}).") from error
    if not isinstance(value, dict):
        raise BrokenWeights(f"{who}: its card is not a table of names and values.")
    return value


def _with_suffix(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
