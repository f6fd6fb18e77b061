"""Weights inside the wrappings of training frameworks: nested dicts, and prefixes that all names of a network share.

Lightning writes {"state_dict": {"net_g.conv.weight": …}}, mmagic {"state_dict": {"generator.…", "generator_ema.…",
"discriminator.…"}}, others {"net_g": {…}} or {"model": {"module.…"}}. A reader knows a network by its own names; here
they are taken out of whatever is around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ganvas.weights.contents import FileContents

MAX_DEPTH = 4  # dicts in dicts, and prefixes before prefixes
_GENERATOR = ("generator", "net_g", "netg", "g", "gen", "decoder_g", "upscaler", "sr_model")
_DISCRIMINATOR = ("discriminator", "net_d", "netd", "d", "disc")
_NEUTRAL = (
    *("state_dict", "model_state_dict", "weights", "params", "model", "module", "net", "network", "student"),
    *("_orig_mod", "_forward_module", "ema", "model_ema", "ema_model", "params_ema", "averaged_model", "shadow"),
)


def unwrap_weights(contents: FileContents, network: str) -> Iterator[FileContents]:
    """The file's mappings of tensors by their inner names, the likeliest to be `network` first.

    Args:
        contents: of a file whose outer names no reader knows.
        network: "G_ema" (averaged weights first), "G" (plain ones first) or "D".
    """
    mappings: list[tuple[tuple[str, ...], dict[str, Tensor]]] = []
    _collect(contents.tree, (), mappings)
    mappings.sort(key=lambda pair: _rank(pair[0], network))  # stable: outer ones first
    for words, tensors in mappings:
        if words and _role(words) in ("", "D" if network == "D" else "G"):
            yield replace(contents, tree=tensors)


def _collect(tree: Any, words: tuple[str, ...], mappings: list[tuple[tuple[str, ...], dict[str, Tensor]]]) -> None:
    """Every mapping of names to tensors below `tree`, with the words that were around it."""
    if not isinstance(tree, Mapping) or len(words) > MAX_DEPTH:
        return
    tensors = {name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        mappings.append((words, tensors))
    for word, inside in _groups(tensors).items():
        _collect(inside, (*words, word), mappings)
    for name, value in tree.items():
        if isinstance(name, str) and isinstance(value, Mapping):
            _collect(value, (*words, name), mappings)


def _groups(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors by the first part of their names, without it: of one that all share, or that is a wrapper's word."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        word, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(word, {})[rest] = tensor
    shared = len(groups) == 1 and all("." in name for name in tensors)
    known = (*_GENERATOR, *_DISCRIMINATOR, *_NEUTRAL)
    return {word: inside for word, inside in groups.items() if shared or _plain(word) in known}


def _plain(word: str) -> str:
    word = word.lower().replace("-", "_")
    return word if word in _NEUTRAL else word.removesuffix("_ema").removeprefix("ema_")


def _role(words: tuple[str, ...]) -> str:
    """ "G", "D", or "" where no word says."""
    plain = [_plain(word) for word in words]
    if any(word in _DISCRIMINATOR for word in plain):
        return "D"
    return "G" if any(word in _GENERATOR for word in plain) else ""


def _rank(words: tuple[str, ...], network: str) -> int:
    averaged = any("ema" in word.lower().split("_") or "averaged" in word.lower() for word in words)
    return int(averaged != (network == "G_ema"))
