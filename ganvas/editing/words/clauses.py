"""Tokens as clauses: the stretches of a sentence that each say one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganvas.editing.words.lexicon import Lexicon
from ganvas.editing.words.scan import Token

_SILENT = {
    "filler",
    "glue",
    "imperative",
    "excess",
    "definite",
    "indefinite",
    "person",
}  # say nothing by themselves
_STRENGTH = {"start": 0, "comma": 1, "and": 2, "then": 3}


@dataclass(frozen=True)
class Clause:
    """The tokens between two marks; `joint` is how it hangs on the clause before: "start", "comma", "and", "then"."""

    tokens: tuple[Token, ...]
    joint: str

    def values(self, kind: str) -> list[Any]:
        """The values of all tokens that have this reading."""
        return [token.readings[kind] for token in self.tokens if kind in token.readings]

    def has(self, *kinds: str) -> bool:
        """Is there a token of any of these kinds?"""
        return any(token.readings.keys() & set(kinds) for token in self.tokens)

    @property
    def says_something(self) -> bool:
        """Not only fillers and articles."""
        return any(token.readings.keys() - _SILENT for token in self.tokens)


def split_clauses(tokens: Sequence[Token], lexicon: Lexicon) -> list[Clause]:
    """The clauses of a sentence, without those that say nothing."""
    clauses: list[Clause] = []
    current: list[Token] = []
    joint = "start"

    def close(next_joint: str) -> None:
        nonlocal joint, current
        clause = Clause(tuple(_without_the_person(current)), joint)
        if clause.says_something:
            clauses.append(clause)
            joint = next_joint
        else:
            joint = max(joint, next_joint, key=_STRENGTH.__getitem__)
        current = []

    for at, token in enumerate(tokens):
        if mark := token.get("separator"):
            close(mark)
            continue
        if token.get("begins_a_clause") or (token.get("noun") and _says_all(current)):
            close("then")
        current.append(token)
        ends = token.get("ends_a_clause") or ("게" in token.endings and _says_all(current))
        if ends and _goes_on(tokens[at + 1 :]):
            close("then")
        roles = [lexicon.suffixes[ending] for ending in token.endings]
        if "split" in roles or "join" in roles:
            close("and")
    close("then")
    return clauses


def _says_all(tokens: Sequence[Token]) -> bool:
    """Is there a dial in one word already, so that a noun to come begins something new?"""
    return any(token.get("head") and token.get("head").part != "noun" for token in tokens)


def _goes_on(rest: Sequence[Token]) -> bool:
    """Does something new follow, other than what says no, less or "keep" to what was said?"""
    after = next((token for token in rest if token.readings.keys() - _SILENT), None)
    return after is not None and bool(after.readings.keys() & {"noun", "head", "degree", "number"})


def _without_the_person(tokens: Sequence[Token]) -> list[Token]:
    """ "make the old man smile": whom a definite article points at is no wish."""
    left: list[Token] = []
    for token in tokens:
        if token.get("person") and len(left) >= 2 and left[-2].get("definite"):
            head = left[-1].get("head")
            if head is not None and head.part != "noun":
                left.pop()
        left.append(token)
    return left
