"""The words of one language that `parse_sentence` knows: data in en.json and ko.json, and the model's own names.

A lexicon only ever says what a word *is* (a dial, a degree, "keep", …). What a sentence means is in `interpret`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "ko")
DEGREES = {"hint": 0.25, "little": 0.5, "medium": 1.0, "much": 1.5, "end": float("inf")}  # standard deviations
_PLAIN_KINDS = (
    "more", "less", "not", "remove", "change", "keep", "rest", "rest_negated", "add", "by", "begins_a_clause",
    "ends_a_clause", "imperative", "unclear", "excess", "person", "definite", "indefinite", "filler", "glue",
    "polite_degree",
)  # fmt: skip
_TABLE_KINDS = ("noun", "weak_noun", "degree", "unit", "separator")


@dataclass(frozen=True)
class HeadWord:
    """A word that is a dial by itself: the dials it can mean, in order of preference, each with its sign.

    `part` is "verb", "noun", "adjective" or "comparative"; `degree` is one the word brings along ("sunglasses").
    """

    options: tuple[tuple[str, int], ...]
    part: str
    degree: str | None = None


@dataclass(frozen=True)
class AdjectiveWord:
    """A quality that makes a dial together with a noun: "lighter" with "hair"."""

    quality: str
    part: str


Readings = dict[str, Any]  # kind of word → its value; a word can have several kinds


@dataclass(frozen=True)
class Lexicon:
    """Everything that is known of one language.

    `phrases` are words (or several in a row) in lower case; `combinations` is (noun, quality) → (dial, sign);
    `absorbed` is (dial, quality) → what part of speech the dial's word becomes with it ("나이를 … 들다"). A quality in
    `nouns_of_qualities` needs no noun ("blonde").
    """

    language: str
    list_first: bool  # does the predicate follow its list ("안경과 수염은 그대로")?
    phrases: dict[str, Readings]
    combinations: dict[tuple[str, str], tuple[str, int]]
    degree_combinations: dict[tuple[str, str], str]
    absorbed: dict[tuple[str, str], str]
    nouns_of_qualities: dict[str, str]
    keep_groups: dict[str, tuple[str, ...]]
    numerals: dict[str, float]
    tens: dict[str, int] = field(default_factory=dict)
    numeral_phrases: dict[str, str] = field(default_factory=dict)
    suffixes: dict[str, str] = field(default_factory=dict)  # what may follow a word → "", "split" or "join"

    def with_names(self, dials: Iterable[str]) -> Lexicon:
        """This lexicon with a model's own names, which always work; the words for them stay what they are."""
        phrases = dict(self.phrases)
        for dial in dials:
            for phrase in {tidy(dial), tidy(dial.replace("_", " ")), tidy(dial.replace("-", " "))}:
                head = phrases.get(phrase, {}).get("head")
                if head is None or dial not in dict(head.options):
                    phrases[phrase] = {"head": HeadWord(((dial, 1),), "noun")}
        return replace(self, phrases=phrases)


def tidy(phrase: str) -> str:
    """A phrase as the scanner sees it: lower case, single spaces."""
    return " ".join(phrase.casefold().split())


@functools.lru_cache
def load_lexicon(language: str) -> Lexicon:
    """The lexicon of "en" or "ko"."""
    data = json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))
    return Lexicon(
        language=language,
        list_first=data["predicate"] == "after its list",
        phrases=_phrases(data),
        combinations={_pair(key): _dial(value) for key, value in data["combination"].items()},
        degree_combinations={_pair(key): value for key, value in data["degree_combination"].items()},
        absorbed={_pair(key): value for key, value in data["absorbed"].items()},
        nouns_of_qualities=data["noun_of_quality"],
        keep_groups={key: tuple(_words(value)) for key, value in data["keep_group"].items()},
        numerals=data["numeral"],
        tens=data.get("numeral_tens", {}),
        numeral_phrases=data.get("numeral_phrase", {}),
        suffixes={
            suffix: role
            for key, role in (("suffix", ""), ("join_suffix", "join"), ("split_suffix", "split"))
            for suffix in _words(data.get(key, ""))
        },
    )


def _phrases(data: dict[str, Any]) -> dict[str, Readings]:
    phrases: dict[str, Readings] = {}

    def add(text: str, kind: str, value: Any = True) -> None:
        for phrase in _words(text):
            phrases.setdefault(phrase, {})[kind] = value

    for kind in _PLAIN_KINDS:
        add(data.get(kind, ""), kind)
    for kind in _TABLE_KINDS:
        for value, text in data[kind].items():
            add(text, kind, value)
    for key, text in data["head"].items():
        add(text, "head", _head(key))
    for part in ("verb", "comparative", "adjective"):
        for quality, text in data.get(part, {}).items():
            add(text, "adjective", AdjectiveWord(quality, part))
    for key, text in data["degree_or_adjective"].items():
        degree, quality = key.split()
        add(text, "degree", degree)
        add(text, "adjective", AdjectiveWord(quality, "adjective"))
    for quality, text in data.get("more_or_adjective", {}).items():
        add(text, "more")
        add(text, "adjective", AdjectiveWord(quality, "comparative"))
    return phrases


def _head(key: str) -> HeadWord:
    """ "squint+|eyes_open- verb" → the dials in order, and the part of speech."""
    names, part = key.split()
    options = tuple(_dial(name) for name in names.split("|"))
    return HeadWord(options, "noun", part) if part in DEGREES else HeadWord(options, part)


def _dial(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([\w-]+)([+-])", text)
    assert match, text
    return match[1], 1 if match[2] == "+" else -1


def _pair(key: str) -> tuple[str, str]:
    noun, quality = key.split()
    return noun, quality


def _words(text: str) -> list[str]:
    return [tidy(word) for word in text.split(",") if word.strip()]
