"""What the clauses of a sentence ask for: which dials, how far, and what is to be kept.

A clause holds one predicate; order inside it does not matter much.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ganvas.editing.words.clauses import Clause
from ganvas.editing.words.neighbours import borrow_degree, borrow_predicate, share_qualities
from ganvas.editing.words.reading import ClauseReader, Head, Reading
from ganvas.errors import BadConfig

_AT_AN_AGE = {"로", "으로", "처럼", "같이", "정도로"}  # 서른 살로, 서른 살처럼: an age, not a change
MIN_AGE = 5  # a number without a unit is an age from here on: dials end before


@dataclass(frozen=True)
class Wish:
    """One dial and how far, in the words of the sentence."""

    head: Head
    degree: str | None = None
    number: float | None = None
    unit: str | None = None
    negated: bool = False
    less: bool = False
    relative: bool = False  # "more", "-er": from where the dial stands
    absolute_years: bool = False


def interpret(clauses: Sequence[Clause], reader: ClauseReader) -> tuple[list[Wish], list[str]]:
    """The wishes in order, and the dials to keep ("*" = all others).

    Raises:
        BadConfig: something is not clear, or the model has no such dial.
    """
    readings = [reader.read(clause) for clause in clauses]
    share_qualities(readings, reader)
    for reading in readings:
        _classify(reading)
    wishes: list[Wish] = []
    keep: list[str] = []
    for at, reading in enumerate(readings):
        borrow_predicate(readings, at, list_first=reader.lexicon.list_first)
        if reading.kind == "keep":
            keep += _kept_dials(reading, reader)
        elif reading.kind == "modifier":
            _modify_last(wishes, reading)
        else:
            borrow_degree(readings, at)
            wishes += _wishes(reading, reader)
    return wishes, keep


def _classify(reading: Reading) -> None:
    clause = reading.clause
    if _is_too_much(clause):
        raise BadConfig(f"not clear: {_text(clause)!r}: say how it should be, e.g. with 'a little' or 'less'")
    refuses = clause.has("not", "remove")
    compared = any(head.part == "comparative" for head in reading.heads) and not clause.has("more", "less")
    keeps = (
        clause.has("keep", "rest_negated")
        or (refuses and (clause.has("change") or compared))  # "without changing …", "but not older"
        or (clause.has("not") and clause.has("remove"))  # "don't remove …"
    )
    reading.negated = refuses and not keeps
    if keeps:
        reading.kind = "keep"
    elif reading.heads or reading.nouns or clause.has("number"):
        reading.kind = "bare" if reading.is_bare else "set"
    else:
        reading.kind = "modifier"


def _is_too_much(clause: Clause) -> bool:
    """ "don't smile too much", "too serious": a complaint that could be met in more than one way.

    A "too" at the end means "also", and "너무" by itself "very".
    """
    for at, token in enumerate(clause.tokens):
        if token.get("excess") and (clause.tokens[at + 1 :] or token.get("degree") or " " in token.text):
            return clause.has("not") or not token.get("degree")
    return False


def _kept_dials(reading: Reading, reader: ClauseReader) -> list[str]:
    clause = reading.clause
    if clause.has("number"):
        raise BadConfig(f"not clear: {_text(clause)!r} both keeps something and has a number")
    keep = [head.dial for head in reading.heads]
    for noun in reading.nouns:
        patterns = reader.lexicon.keep_groups.get(noun, ())
        group = [dial for dial in reader.dials if any(fnmatch.fnmatchcase(dial, pattern) for pattern in patterns)]
        if not group and noun in clause.values("noun"):
            raise BadConfig(
                f"unknown here: no dial of this model is for {noun!r}; its dials: {', '.join(reader.dials)}"
            )
        keep += group
    if clause.has("rest", "rest_negated"):
        keep.append("*")
    if not keep:
        raise BadConfig(f"not clear: {_text(clause)!r}: say what to keep")
    return keep


def _modify_last(wishes: list[Wish], reading: Reading) -> None:
    """ "smile, but not too much"."""
    if reading.degree is None or not wishes:
        raise BadConfig(f"not clear: {_text(reading.clause)!r}: say of what")
    if wishes[-1].degree is None and wishes[-1].number is None:
        wishes[-1] = replace(wishes[-1], degree=reading.degree)


def _wishes(reading: Reading, reader: ClauseReader) -> list[Wish]:
    clause = reading.clause
    numbers = clause.values("number")
    if len(numbers) > 1:
        raise BadConfig(f"not clear: {_text(clause)!r} has two numbers; put a comma between two wishes")
    if numbers and (years := _in_years(reading, numbers[0], reader)):
        return [years]
    alone = [noun for noun in reading.nouns if noun in clause.values("noun")]
    if alone or not reading.heads:
        what = alone[0] if alone else _text(clause)
        raise BadConfig(f"not clear: {what!r}: say what should happen to it")
    if clause.has("more") and clause.has("less"):
        raise BadConfig(f"a contradiction: more and less in {_text(clause)!r}")
    said = {head.dial for head in reading.heads if head.part != "noun"}
    heads = [h for h in dict.fromkeys(reading.heads) if h.part != "noun" or h.dial not in said]  # "age: older"
    says_how = numbers or reading.degree or clause.has("more", "less", "not", "remove")
    if len(heads) > 1 and says_how and len(clause.values("head")) > 1:
        raise BadConfig(f"not clear: {_text(clause)!r}: put a comma between two wishes")
    wish = Wish(
        heads[0],
        degree=None if numbers else _degree(reading),
        number=numbers[0] if numbers else None,
        unit=next(iter(clause.values("unit")), None),
        negated=reading.negated,
        less=clause.has("less"),
        relative=clause.has("more", "less", "by"),
    )
    return [
        replace(
            wish,
            head=head,
            relative=wish.relative or head.part == "comparative",
            degree=None if numbers else wish.degree or head.degree,
        )
        for head in heads
    ]


def _degree(reading: Reading) -> str | None:
    """Its degree; "좀" is one only where it is no politeness ("안경 좀 빼 줘")."""
    if reading.degree is None and reading.clause.has("polite_degree") and not reading.clause.has("remove", "add"):
        return "little"
    return reading.degree


def _in_years(reading: Reading, number: float, reader: ClauseReader) -> Wish | None:
    """Years of age: a change ("ten years younger"), or an age ("40 years old"); None where it is something else."""
    clause = reading.clause
    unit = next(iter(clause.values("unit")), None)
    ages = [head for head in reading.heads if reader.dials[head.dial]]
    noun_only = all(head.part == "noun" for head in ages)
    looks = not reading.heads and "gaze" in clause.values("weak_noun")
    plain_age = unit is None and number >= MIN_AGE and ((ages and noun_only) or looks)
    if unit not in ("years", "years_old") and not plain_age:
        return None
    dial = ages[0].dial if ages else next((name for name, in_years in reader.dials.items() if in_years), None)
    if dial is None:
        raise BadConfig("unknown here: this model has no dial that is measured in years")
    change = Wish(Head(dial, 1, "comparative"), number=number, unit="years", relative=True)
    compared = number < 0 or _has_plus(clause) or (ages and not noun_only)
    if compared and not (unit == "years_old" and _is_at_an_age(clause)):
        sign = (ages[0].sign if ages else 1) * (-1 if clause.has("less") else 1)
        return replace(change, head=Head(dial, sign, "comparative"))
    if clause.has("less") or (unit == "years" and clause.has("remove")):
        return replace(change, head=Head(dial, -1, "comparative"))
    if unit == "years" and clause.has("add", "more", "by"):
        return change
    if unit == "years" and not ages:
        raise BadConfig(f"not clear: {_text(clause)!r}: say '10 years older' or '40 years old'")
    return Wish(Head(dial, 1, "noun"), number=number, unit="years", absolute_years=True)


def _is_at_an_age(clause: Clause) -> bool:
    return any(_AT_AN_AGE & set(token.endings) for token in clause.tokens if token.get("unit"))


def _has_plus(clause: Clause) -> bool:
    return any("number" in token.readings and token.text.startswith("+") for token in clause.tokens)


def _text(clause: Clause) -> str:
    return " ".join(token.text for token in clause.tokens)
