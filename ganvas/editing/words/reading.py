"""The words of one clause as dials, qualities and degrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ganvas.editing.words.clauses import Clause
from ganvas.editing.words.lexicon import AdjectiveWord, HeadWord, Lexicon
from ganvas.editing.words.scan import Token
from ganvas.errors import BadConfig

_SAYS_SOMETHING_OF_IT = (
    "number", "degree", "polite_degree", "more", "less", "not", "remove", "keep", "change", "add", "imperative",
    "indefinite", "rest", "rest_negated",
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """A dial that a clause speaks of, the way it points, and by what kind of word."""

    dial: str
    sign: int
    part: str  # "verb", "noun", "adjective" or "comparative"
    degree: str | None = None


@dataclass
class Reading:
    """A clause that is being understood."""

    clause: Clause
    heads: list[Head] = field(default_factory=list)
    nouns: list[str] = field(default_factory=list)  # without a quality so far
    qualities: list[Token] = field(default_factory=list)  # without a noun so far
    degree: str | None = None
    weak_degree: bool = False  # it is only what a quality adds ("a light beard")
    degree_first: bool = False  # did it stand before the dial?
    kind: str = "bare"  # "bare", "set", "keep" or "modifier"
    negated: bool = False

    @property
    def is_bare(self) -> bool:
        """Only things are named, nothing is said of them."""
        definite = self.clause.has("definite")
        things = all(head.part == "noun" or (head.part == "verb" and definite) for head in self.heads)
        return things and not self.qualities and not self.clause.has(*_SAYS_SOMETHING_OF_IT)

    def set_degree(self, degree: str, *, weak: bool = False) -> None:
        """How far; the first word counts, and one that can mean something else only where there is no other."""
        if weak and self.clause.has("polite_degree"):
            return
        if self.degree is None or self.weak_degree:
            self.degree_first = self.degree_first or not self.heads
            self.degree, self.weak_degree = degree, weak


class ClauseReader:
    """Reads clauses for one model.

    Args:
        lexicon: of the sentence's language, with the dials' own names.
        dials: name → whether it is measured in years.
    """

    def __init__(self, lexicon: Lexicon, dials: Mapping[str, bool]):
        self.lexicon, self.dials = lexicon, dials

    def read(self, clause: Clause) -> Reading:
        """A clause by itself.

        Raises:
            BadConfig: a word for a dial that the model does not have.
        """
        reading, used = Reading(clause), set[str]()
        nouns = things_in(clause)
        firm = any(self.matching(nouns, token.readings["adjective"]) for token in clause.tokens if _only_quality(token))
        for token in clause.tokens:
            if head := token.get("head"):
                reading.heads.append(self._head(head, token.text))
            if "adjective" in token.readings:
                self._read_quality(reading, token, used, firm=firm)
            elif (degree := token.get("degree")) is not None:
                reading.set_degree(degree)
        reading.nouns = [noun for noun in clause.values("noun") if noun not in used]
        reading.nouns += [noun for noun in clause.values("weak_noun") if noun not in used and not reading.heads]
        return reading

    def _read_quality(self, reading: Reading, token: Token, used: set[str], *, firm: bool) -> None:
        """A quality and a noun of its clause make a dial; "wide" in "eyes wide open" is how far."""
        word: AdjectiveWord = token.readings["adjective"]
        firm_nouns = self.matching(
            reading.clause.values("noun"), word
        )  # "turn" is the head, but not in "turn the gaze"
        matching = firm_nouns or self.matching(reading.clause.values("weak_noun"), word)
        named = [dial for head in reading.clause.values("head") for dial, _ in head.options]
        degree = _first(self.lexicon.degree_combinations, named, word.quality)
        part = _first(self.lexicon.absorbed, named, word.quality)
        if matching and (_only_quality(token) or not firm) and (firm_nouns or degree is None):
            reading.heads += self.combine(matching, word)
            used.update(matching)
        elif part is not None:
            reading.heads = [replace(head, part=part) for head in reading.heads]
        elif degree is not None:
            reading.set_degree(degree, weak=True)
        elif "degree" in token.readings:
            reading.set_degree(token.readings["degree"], weak=True)
        elif _only_quality(token) and "add" not in token.readings:
            reading.qualities.append(token)

    def matching(self, nouns: Sequence[str], word: AdjectiveWord) -> list[str]:
        """Those nouns with which a quality makes a dial."""
        return [noun for noun in nouns if (noun, word.quality) in self.lexicon.combinations]

    def combine(self, nouns: Sequence[str], word: AdjectiveWord) -> list[Head]:
        """The dials of a quality with each of these nouns."""
        pairs = [self.lexicon.combinations[noun, word.quality] for noun in nouns]
        return [self._head(HeadWord((pair,), word.part), None) for pair in pairs]

    def _head(self, word: HeadWord, text: str | None) -> Head:
        for dial, sign in word.options:
            if dial in self.dials:
                return Head(dial, sign, word.part, word.degree)
        dial = word.options[0][0]
        said = f"{text!r} is the dial {dial!r}, which" if text else f"the dial {dial!r}"
        raise BadConfig(
            f"unknown here: {said} this model does not have; its dials: {', '.join(self.dials) or 'none'}. "
            "Nothing is changed"
        )


def things_in(clause: Clause) -> list[str]:
    """Its nouns, the firm ones first."""
    return [*clause.values("noun"), *clause.values("weak_noun")]


def _only_quality(token: Token) -> bool:
    return "adjective" in token.readings and not token.readings.keys() & {"degree", "more"}


def _first(table: Mapping[tuple[str, str], str], names: Sequence[str], quality: str) -> str | None:
    return next((table[name, quality] for name in names if (name, quality) in table), None)
