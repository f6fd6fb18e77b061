"""A sentence as tokens: the longest phrases that the lexicon knows, with nothing left over.

English is cut at its spaces. Korean words carry endings and are often written together, so there the cheapest way
through the whole text is searched (dynamic programming, as morphological analysers do); endings are data, too.
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from ganvas.editing.words.lexicon import Lexicon, Readings
from ganvas.editing.words.numerals import write_digits
from ganvas.errors import BadConfig

MAX_CHARS = 500
_NUMBER = re.compile(r"[+\-−]?\d+(?:\.\d+)?")
_STOPS = {",": "comma", "、": "comma", ";": "then", ":": "comma", "\n": "then", "!": "then", "?": "then", ".": "then"}
_UNKNOWN_COST, _ENTRY_COST, _SUFFIX_COST = 1000, 10, 1


@dataclass(frozen=True)
class Token:
    """A known phrase of the sentence, a number, or a mark between clauses ("separator")."""

    text: str
    readings: Readings
    endings: tuple[str, ...] = ()  # Korean: what followed the stem

    def get(self, kind: str) -> Any:
        """The value of this kind of reading; None where it has none."""
        return self.readings.get(kind)


def scan(sentence: str, lexicon: Lexicon) -> list[Token]:
    """The tokens of a sentence.

    Raises:
        BadConfig: a word that is not known (the message has the nearest ones), or that names no slider ("nicer").
    """
    text = unicodedata.normalize("NFKC", sentence).casefold().replace("’", "'").replace("−", "-")
    if len(text) > MAX_CHARS:
        raise BadConfig(f"a sentence has at most {MAX_CHARS} characters, got {len(text)}")
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)  # a decimal comma
    text = re.sub(r"[\"“”()\[\]=*…]|'(?!\w)|(?<!\w)'", " ", text)
    tokens: list[Token] = []
    for part in re.split(r"([,、;:\n!?]|\.(?!\d))", text):
        if part in _STOPS:
            tokens.append(Token(part, {"separator": _STOPS[part]}))
        elif part.strip():
            tokens += (_scan_words if lexicon.language == "en" else _scan_stems)(write_digits(part, lexicon), lexicon)
    if vague := next((token.text for token in tokens if token.get("unclear")), None):
        raise BadConfig(f"not clear: {vague!r} says nothing of which slider; name what should change, e.g. 'smile'")
    return tokens


# -- words between spaces


def _scan_words(text: str, lexicon: Lexicon) -> list[Token]:
    text = re.sub(r"(?<=[^\W\d])-(?=\w)|(?<=\d)-(?=[^\W\d])", " ", text)  # 60-year-old; -0.5 stays
    words = re.findall(rf"{_NUMBER.pattern}|[^\W\d][\w']*|%|&|\S", text)
    longest = max(phrase.count(" ") for phrase in lexicon.phrases) + 1
    tokens, at = [], 0
    while at < len(words):
        for count in range(min(longest, len(words) - at), 0, -1):
            phrase = " ".join(words[at : at + count])
            if phrase in lexicon.phrases:
                tokens.append(Token(phrase, lexicon.phrases[phrase]))
                break
        else:
            count = 1
            tokens.append(_number(words[at], lexicon))
        at += count
    return tokens


def _number(word: str, lexicon: Lexicon) -> Token:
    if not _NUMBER.fullmatch(word):
        raise BadConfig(_say_unknown(word, lexicon))
    return Token(word, {"number": float(word)})


# -- stems with endings


def _scan_stems(text: str, lexicon: Lexicon) -> list[Token]:
    """The cheapest cover of the text by numbers, phrases and endings; a word that has none is unknown."""
    chunks = text.split()
    whole = "".join(chunks)
    starts, at = set(), 0
    for chunk in chunks:
        starts.add(at)
        at += len(chunk)
    ends = sorted(starts | {len(whole)})
    by_first = _by_first_letter(lexicon)
    best: dict[int, tuple[float, tuple[Token, ...]]] = {0: (0, ())}
    for at in range(len(whole)):
        if at not in best:
            continue
        cost, tokens = best[at]
        ways = _ways_from(whole, at, starts, by_first, lexicon)
        next_start = next(end for end in ends if end > at)
        if at in starts:
            ways.append((next_start, _UNKNOWN_COST, Token(whole[at:next_start], {})))
        for end, more, token in ways:
            if end not in best or cost + more < best[end][0]:
                best[end] = (cost + more, (*tokens, token))
    tokens = best[len(whole)][1]
    if unknown := next((token.text for token in tokens if not token.readings), None):
        raise BadConfig(_say_unknown(unknown, lexicon))
    return list(tokens)


def _by_first_letter(lexicon: Lexicon) -> dict[str, list[tuple[str, str, frozenset[int]]]]:
    """First letter → (the phrase without spaces, the phrase, where in it spaces may stand)."""
    by_first: dict[str, list[tuple[str, str, frozenset[int]]]] = {}
    for phrase in lexicon.phrases:
        words = phrase.split()
        gaps = frozenset(itertools.accumulate(len(word) for word in words[:-1]))
        by_first.setdefault(phrase[0], []).append(("".join(words), phrase, gaps))
    return by_first


def _ways_from(
    whole: str,
    at: int,
    starts: set[int],
    by_first: dict[str, list[tuple[str, str, frozenset[int]]]],
    lexicon: Lexicon,
) -> list[tuple[int, float, Token]]:
    """(where it ends, its cost, the token) for everything known that begins here."""
    ways: list[tuple[int, float, Token]] = []
    if number := _NUMBER.match(whole, at):
        ways.append((number.end(), _ENTRY_COST, Token(number[0], {"number": float(number[0])})))
    for glued, phrase, gaps in by_first.get(whole[at], ()):
        end = at + len(glued)
        if not whole.startswith(glued, at) or any(place - at not in gaps for place in starts if at < place < end):
            continue
        for stop, endings in _endings(whole, end, starts, lexicon):
            readings = lexicon.phrases[phrase]
            counted = "unit" in readings and whole[at - 1].isdigit()
            if (
                at in starts or stop - at >= 2 or "glue" in readings or counted
            ):  # other single letters are part of words
                token = Token(phrase, readings, endings)
                ways.append((stop, _ENTRY_COST + _SUFFIX_COST * len(endings), token))
    return ways


def _endings(whole: str, at: int, starts: set[int], lexicon: Lexicon) -> list[tuple[int, tuple[str, ...]]]:
    """Every way to go on with endings from here, up to three of them."""
    chains: list[tuple[int, tuple[str, ...]]] = [(at, ())]
    layer = chains
    for _ in range(3):
        layer = [
            (end, (*before, suffix))
            for place, before in layer
            for suffix in lexicon.suffixes
            if whole.startswith(suffix.replace(" ", ""), place) and place not in starts
            for end in [place + len(suffix.replace(" ", ""))]
            if " " in suffix or not any(inner in starts for inner in range(place, end))
        ]
        chains = [*chains, *layer]
    return chains


# -- what is not known


def _say_unknown(word: str, lexicon: Lexicon) -> str:
    names = [phrase for phrase, readings in lexicon.phrases.items() if "filler" not in readings and len(phrase) > 1]
    letters = {unicodedata.normalize("NFD", phrase): phrase for phrase in names}
    near = difflib.get_close_matches(unicodedata.normalize("NFD", word), letters, n=3, cutoff=0.6)
    known = f"nearest known: {', '.join(letters[one] for one in near)}" if near else "nothing known is near it"
    return f"unknown word {word!r}; {known}. Nothing is changed"
