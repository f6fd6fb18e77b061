"""Number words as digits, where they count something: "twenty-five years" → "25 years", "열 살" → "10 살"."""

from __future__ import annotations

import re

from ganvas.editing.words.lexicon import Lexicon


def write_digits(text: str, lexicon: Lexicon) -> str:
    """The text with number words before a unit as digits; those elsewhere ("no one") stay words."""
    for phrase, digits in lexicon.numeral_phrases.items():
        text = re.sub(rf"\b{phrase}\b", digits, text)
    units = [phrase for phrase, readings in lexicon.phrases.items() if "unit" in readings]
    longest_first = sorted(units, key=len, reverse=True)
    unit = "|".join(re.escape(each) for each in longest_first)
    if lexicon.tens:
        return _korean(text, lexicon, unit)
    words = "|".join(sorted(lexicon.numerals, key=len, reverse=True))
    pattern = rf"\b((?:{words})(?:[\s-]+(?:and\s+)?(?:{words}))*)(?=[\s-]+(?:more\s+|less\s+|full\s+)?(?:{unit})\b)"
    return re.sub(pattern, lambda match: _sum(match[1], lexicon), text)


def _sum(text: str, lexicon: Lexicon) -> str:
    """ "twenty five" → "25"; "one hundred" → "100"."""
    total = 0.0
    names = sorted(lexicon.numerals, key=len, reverse=True)
    for word in re.findall("|".join(names), text):
        value = lexicon.numerals[word]
        total = max(1.0, total) * value if value == 100 else total + value
    return f"{total:g}"


def _korean(text: str, lexicon: Lexicon, unit: str) -> str:
    """스물다섯 살 → 25 살; 이십오 년 → 25 년."""
    ones, tens = "|".join(lexicon.numerals), "|".join(lexicon.tens)
    pattern = rf"(?<![가-힣\d])(?:(?P<times>{ones})?(?P<ten>{tens}))?(?P<one>{ones})?\s*(?=(?:{unit})(?!\s*(?:{unit})))"

    def digits(match: re.Match[str]) -> str:
        if not (match["ten"] or match["one"]):
            return match[0]
        ten = lexicon.tens.get(match["ten"] or "", 0) * lexicon.numerals.get(match["times"] or "", 1)
        return f"{ten + lexicon.numerals.get(match['one'] or '', 0):g} "

    return re.sub(pattern, digits, text)
