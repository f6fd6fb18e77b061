"""What a clause takes from its neighbours in a list: "lighter hair and skin", "keep the glasses and the beard"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ganvas.editing.words.lexicon import AdjectiveWord
from ganvas.editing.words.reading import ClauseReader, Reading, things_in
from ganvas.editing.words.scan import Token
from ganvas.errors import BadConfig

LIST_JOINTS = ("comma", "and")
_QUALITIES = ("adjective", "comparative")


def share_qualities(readings: Sequence[Reading], reader: ClauseReader) -> None:
    """Nouns for qualities that stand alone, then qualities for nouns that stand alone.

    Raises:
        BadConfig: a quality that nothing nearby can have.
    """
    for at, reading in enumerate(readings):
        for token in reading.qualities:
            _find_noun(readings, at, token, reader)
        reading.qualities = []
    for at, reading in enumerate(readings):
        if reading.nouns and not reading.heads and not reading.clause.has("keep", "change", "not", "remove"):
            _find_quality(readings, at, reader)


def _find_noun(readings: Sequence[Reading], at: int, token: Token, reader: ClauseReader) -> None:
    word: AdjectiveWord = token.readings["adjective"]
    default = reader.lexicon.nouns_of_qualities.get(word.quality)
    for nouns in [*([[default]] if default else []), *_nouns_nearby(readings, at)]:
        if matching := reader.matching(nouns, word):
            readings[at].heads += reader.combine(matching, word)
            return
    nouns = sorted({noun for noun, quality in reader.lexicon.combinations if quality == word.quality})
    raise BadConfig(f"not clear: {token.text!r}: say of what, e.g. together with one of {', '.join(nouns)}")


def _nouns_nearby(readings: Sequence[Reading], at: int) -> Iterator[list[str]]:
    """The nouns of the clauses before, then after, as far as one list goes on and nothing else is spoken of."""
    for step in (-1, 1):
        here = at
        while 0 <= here + step < len(readings):
            joined = readings[max(here, here + step)].clause.joint in LIST_JOINTS
            here += step
            clause = readings[here].clause
            if not joined or clause.has("keep", "rest", "head") or (clause.has("change") and clause.has("not")):
                break
            yield things_in(clause)


def _find_quality(readings: Sequence[Reading], at: int, reader: ClauseReader) -> None:
    reading = readings[at]
    before = readings[at - 1] if at > 0 and reading.clause.joint in LIST_JOINTS else None
    after = next((other for other in readings[at + 1 : at + 2] if other.clause.joint in LIST_JOINTS), None)
    for other in (before, after):
        for word in other.clause.values("adjective") if other else ():
            if other and (matching := reader.matching(reading.nouns, word)):
                reading.heads += reader.combine(matching, word)
                reading.nouns = [noun for noun in reading.nouns if noun not in matching]
                if reading.degree is None and (other.degree_first or other is after):
                    reading.degree = other.degree
                return


def borrow_predicate(readings: Sequence[Reading], at: int, *, list_first: bool) -> None:
    """A bare thing in a list is kept, or taken away, with its neighbours.

    Args:
        readings: all clauses, classified.
        at: the one to look at.
        list_first: does the predicate follow its list in this language?
    """
    reading = readings[at]
    if reading.kind != "bare":
        return
    before = readings[at - 1] if at and reading.clause.joint in LIST_JOINTS else None
    after = _next_predicate(readings, at)
    if before and not list_first and (before.kind == "keep" or before.negated):
        reading.kind, reading.negated = before.kind, before.negated
    elif after and (list_first or _predicate_last(after)) and (after.kind == "keep" or after.negated):
        reading.kind, reading.negated = after.kind, after.negated


def _next_predicate(readings: Sequence[Reading], at: int) -> Reading | None:
    """The first clause after this one that is not bare, where it is in the same list."""
    for other in readings[at + 1 :]:
        if other.clause.joint not in LIST_JOINTS:
            return None
        if other.kind != "bare":
            return other
    return None


def _predicate_last(reading: Reading) -> bool:
    """ "… and the beard unchanged": does what is said of it stand behind it?"""
    says, things = [
        [at for at, token in enumerate(reading.clause.tokens) if token.readings.keys() & kinds]
        for kinds in ({"keep", "remove", "not"}, {"head", "noun"})
    ]
    return reading.clause.joint == "and" and bool(says and things) and max(says) > max(things)


def borrow_degree(readings: Sequence[Reading], at: int) -> None:
    """ "a little older and happier": a degree that stands before the first of two qualities is of both."""
    reading, before = readings[at], readings[at - 1] if at else None
    clause = reading.clause
    if reading.degree is not None or before is None or clause.joint != "and" or before.kind != "set":
        return
    if not before.degree_first or clause.has("more", "less", "not", "remove", "number"):
        return
    heads = [*before.heads, *reading.heads]
    same_noun = not clause.values("noun") or bool(before.clause.values("noun"))
    if before.heads and same_noun and all(head.part in _QUALITIES for head in heads):
        reading.degree, reading.degree_first = before.degree, True
