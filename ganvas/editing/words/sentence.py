"""What a typed sentence does to the dials of a model: `parse_sentence`.

    parse_sentence("smile a little, ten years younger, keep the glasses", dials)

English and Korean. The words are data (en.json, ko.json); nothing of a sentence is ever executed, and a word that is
not known changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganvas.editing.words.clauses import split_clauses
from ganvas.editing.words.interpret import Wish, interpret
from ganvas.editing.words.lexicon import DEGREES, load_lexicon
from ganvas.editing.words.reading import ClauseReader
from ganvas.editing.words.scan import scan
from ganvas.errors import BadConfig


@dataclass(frozen=True)
class Dial:
    """What a sentence may do with a slider.

    `low` and `high` are its ends; `auto` says that its amount can be searched for, `years` that it is an age.
    """

    name: str
    low: float
    high: float
    auto: bool = False
    years: bool = False


@dataclass(frozen=True)
class DialChange:
    """One slider and its amount, as `Session.set` takes it.

    `amount` is in standard deviations, or "auto", "-auto", "40y" (an age) or "-10y" (years from now). `relative` says
    that a number counts from where the slider stands. `limited` is what was asked for, where the slider ends before it.
    """

    dial: str
    amount: float | str
    relative: bool = False
    limited: float | None = None

    def words(self) -> str:
        """Short, for people: "smile +0.5"."""
        if isinstance(self.amount, str):
            years = re.fullmatch(r"([+-]?)(\d+(?:\.\d+)?)y", self.amount)
            if years and years[1]:
                return f"{self.dial} {self.amount[:-1]} years"
            return f"{self.dial} {years[2]} years" if years else f"{self.dial} {self.amount}"
        cut = "" if self.limited is None else f" (the slider's end; {self.limited:+.3g} was asked for)"
        return f"{self.dial} {self.amount:+.3g}{cut}"


@dataclass(frozen=True)
class Instruction:
    """What a sentence asks for: sliders to move, in order, and sliders whose attribute is held still meanwhile."""

    changes: tuple[DialChange, ...]
    keep: tuple[str, ...] = ()

    def words(self) -> str:
        """One line for people."""
        parts = [change.words() for change in self.changes]
        return ", ".join([*parts, *([f"keep {', '.join(self.keep)}"] if self.keep else [])])


def parse_sentence(text: str, dials: Sequence[Dial]) -> Instruction:
    """The sliders that a sentence moves and keeps.

    Args:
        text: English or Korean; clauses are divided by commas, "and", "고", …
        dials: of the model; their names are always understood.

    Raises:
        BadConfig: an unknown word (the message has the nearest known ones), a contradiction, or nothing to do.
    """
    by_name = {dial.name: dial for dial in dials}
    language = "ko" if re.search("[가-힣]", text) else "en"
    lexicon = load_lexicon(language).with_names(by_name)
    clauses = split_clauses(scan(text, lexicon), lexicon)
    if not clauses:
        raise BadConfig("the sentence says nothing that could be done; e.g. 'smile a little, keep the glasses'")
    reader = ClauseReader(lexicon, {name: dial.years for name, dial in by_name.items()})
    wishes, keep = interpret(clauses, reader)
    changes = _merge([_change(wish, by_name[wish.head.dial]) for wish in wishes])
    return Instruction(tuple(changes), _keep(keep, changes, by_name))


def _change(wish: Wish, dial: Dial) -> DialChange:
    sign = wish.head.sign * (-1 if wish.negated else 1) * (-1 if wish.less else 1)
    if wish.unit == "years" and wish.number is not None and (wish.relative or wish.absolute_years):
        years = f"{abs(wish.number):g}y"
        towards = "" if wish.absolute_years else "+" if sign * wish.number > 0 else "-"
        return DialChange(dial.name, f"{towards}{years}", wish.relative)
    if wish.number is None and wish.degree is None and dial.auto and not wish.relative:
        return DialChange(dial.name, "auto" if sign > 0 else "-auto")
    wanted = sign * _magnitude(wish, dial, upward=sign * (wish.number or 1) > 0)
    amount = min(max(wanted, dial.low), dial.high)
    ends = wish.degree == "end" or wish.number is None  # a word has no exact size that could be missed
    return DialChange(dial.name, round(amount, 4), wish.relative, None if amount == wanted or ends else wanted)


def _magnitude(wish: Wish, dial: Dial, *, upward: bool) -> float:
    if wish.number is None:
        return DEGREES[wish.degree or "medium"]
    end = dial.high if upward else -dial.low
    return wish.number * end / 100 if wish.unit == "percent" else wish.number


def _merge(changes: Sequence[DialChange]) -> list[DialChange]:
    """Each slider once.

    Raises:
        BadConfig: two different amounts for one.
    """
    merged: dict[str, DialChange] = {}
    for change in changes:
        known = merged.setdefault(change.dial, change)
        if known != change:
            raise BadConfig(f"a contradiction: {known.words()} and {change.words()}. Nothing is changed")
    return list(merged.values())


def _keep(keep: Sequence[str], changes: Sequence[DialChange], dials: Mapping[str, Dial]) -> tuple[str, ...]:
    moved = {change.dial for change in changes}
    if both := sorted(moved & set(keep)):
        raise BadConfig(f"a contradiction: {both[0]} is both changed and kept. Nothing is changed")
    rest = [name for name in dials if name not in moved] if "*" in keep else []
    return tuple(dict.fromkeys([*(name for name in keep if name != "*"), *rest]))
