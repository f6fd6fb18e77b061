"""Sentences as dials: 150 a language that were written before the lexicon, and the rules one by one."""

import random
from pathlib import Path

import pytest

from ganvas.editing.words.lexicon import DEGREES, load_lexicon
from ganvas.editing.words.sentence import Dial, DialChange, parse_sentence
from ganvas.errors import BadConfig

HERE = Path(__file__).parent
ENDS = {
    "smile": (-1.9, 1.9), "mouth_open": (-2.5, 2.5), "eyes_open": (-2.5, 2.5), "anger": (-0.75, 0.75),
    "sadness": (-1, 1), "surprise": (-1.25, 1.25), "age": (-2, 2), "gender": (-1.2, 1.2), "yaw": (-1.2, 1.2),
    "pitch": (-2, 2), "hair_light": (-1.2, 1.2), "hair_long": (-3, 3), "beard": (-1, 1.5), "skin_light": (-1.5, 1.5),
    "glasses": (-1, 1.5),
}  # fmt: skip
NEW_ENDS = {
    "age": (-0.78, 0.97), "teeth": (-1, 1.34), "brow_height": (-1.3, 1.3), "brow_tilt": (-0.65, 0.65),
    "frown": (-0.99, 0.99), "jaw": (-0.94, 0.94), "cheeks": (-0.68, 0.68), "gaze_x": (-1.6, 1.6),
    "fringe": (-0.98, 1.31), "make_up": (-0.46, 1.65), "light_x": (-1.46, 1.46),
    "mouth_width": (-0.51, 0.85), "wink_left": (-0.4, 1), "wink_right": (-0.4, 1), "squint": (-0.5, 1.3),
    "pout": (-0.5, 1.17), "nose_width": (-1, 1), "nose_length": (-0.62, 1),
}  # fmt: skip
DIALS = [Dial(name, *ends, auto=name == "smile", years=name == "age") for name, ends in ENDS.items()]
NEW_DIALS = [Dial(name, *ends, auto=name == "smile") for name, ends in (ENDS | NEW_ENDS).items()]
REFUSALS = {"contradiction": "a contradiction: ", "unknown": "unknown ", "unclear": "not clear: "}
EXACT = 0.97  # of the sentences that must be understood exactly


def sentences(language):
    lines = (HERE / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" => ")) for line in lines if line and not line.startswith("#")]


def understood(sentence, dials=DIALS):
    """The recipe as the files write it."""
    try:
        done = parse_sentence(sentence, dials)
    except BadConfig as error:
        return next((f"refused:{why}" for why, words in REFUSALS.items() if words in str(error)), str(error))
    changes = [f"{c.dial}={c.amount if isinstance(c.amount, str) else format(c.amount, 'g')}" for c in done.changes]
    return " ".join(sorted(changes) + sorted(f"keep:{dial}" for dial in done.keep))


def failures(language, dials=DIALS):
    listed = [(sentence, wanted, understood(sentence, dials)) for sentence, wanted in sentences(language)]
    return [(s, wanted, got) for s, wanted, got in listed if sorted(wanted.split()) != sorted(got.split())]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_sentences_are_understood_exactly(language):
    assert len(sentences(language)) == 150
    wrong = failures(language)
    assert len(wrong) <= (1 - EXACT) * 150, "\n".join(map(str, wrong))


@pytest.mark.parametrize(("language", "count"), [("more_en", 50), ("more_ko", 50), ("third_en", 40), ("third_ko", 40)])
def test_more_sentences_are_understood(language, count):
    assert len(sentences(language)) == count
    assert failures(language) == []


@pytest.mark.parametrize(("language", "count"), [("dials_en", 39), ("dials_ko", 21)])
def test_sentences_for_the_newer_dials_are_understood(language, count):
    assert len(sentences(language)) == count
    assert failures(language, NEW_DIALS) == []


def say(text, *dials):
    return parse_sentence(text, dials or DIALS)


def test_a_models_own_names_always_work_and_win():
    mine = [Dial("sad", -3, 3), Dial("hat-size", -2, 2), Dial("row_7", -1, 1), Dial("hair", -1, 1)]
    assert say("sad a little, hat-size 1.5", *mine).words() == "sad +0.5, hat-size +1.5"
    assert say("more hat size, row_7 -0.3", *mine).words() == "hat-size +1, row_7 -0.3"
    assert say("hair 0.5", *mine).changes[0] == DialChange("hair", 0.5)
    assert say("hat-size 조금 더", *mine).words() == "hat-size +0.5"  # in Korean, too


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("make him smlie", "unknown word 'smlie'; nearest known: smile"),
        ("안겅 벗겨 줘", "unknown word '안겅'; nearest known: 안경"),
        ("smile and xyzzyq", "unknown word 'xyzzyq'; nothing known is near it"),
        ("add a moustache", "'moustache' is the dial 'moustache', which this model does not have; its dials: smile"),
        ("smile a little ten years younger glasses 1", "not clear"),
        ("40 years", "not clear.*say '10 years older' or '40 years old'"),
        ("the ear", "unknown word 'ear'"),
        ("hair", "not clear: 'hair': say what should happen to it"),
        ("lighter", "not clear: 'lighter': say of what"),
        ("keep", "say what to keep"),
        ("don't smile too much", "not clear.*say how it should be"),
        ("너무 웃지 않게", "not clear.*say how it should be"),
        ("close one eye", "'one eye' says nothing of which slider"),
        ("머리를 올려 줘", "not clear"),  # the hair, or the head
        ("make it nicer", "'nicer' says nothing of which slider"),
        ("please", "says nothing"),
        ("", "says nothing"),
        ("smile " * 200, "at most 500 characters"),
    ],
)
def test_what_is_not_understood_is_named(text, says):
    with pytest.raises(BadConfig, match=says):
        say(text)


def test_numbers_are_cut_at_the_ends_and_it_is_said():
    assert say("smile 5").changes == (DialChange("smile", 1.9, limited=5.0),)
    assert "the slider's end; +5 was asked for" in say("smile 5").words()
    assert say("age -1,5").changes == (DialChange("age", -1.5),)  # a decimal comma
    assert say("smile a lot, younger").words() == "smile +1.5, age -1"


def test_more_counts_from_where_the_dial_stands_and_a_bare_word_does_not():
    assert [say(text).changes[0].relative for text in ("smile more", "happier", "smile a little", "smile 1")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert say("ten years younger").changes[0] == DialChange("age", "-10y", relative=True)
    assert say("30 years old").changes[0] == DialChange("age", "30y")


def test_a_model_without_scorers_gets_plain_amounts_and_no_years():
    plain = [Dial(name, *ends) for name, ends in ENDS.items()]
    assert say("smile, no beard", *plain).words() == "smile +1, beard -1"
    with pytest.raises(BadConfig, match="measured in years"):
        say("ten years younger", *plain)


def test_left_is_the_pictures_left_unless_it_is_said_to_be_hers():
    assert say("turn her left").words() == "yaw -1"
    assert say("turn the head to her left").words() == "yaw +1"


def test_the_lexicons_only_name_what_they_define():
    for language in ("en", "ko"):
        lexicon = load_lexicon(language)
        kinds = {kind for readings in lexicon.phrases.values() for kind in readings}
        degrees = [readings["degree"] for readings in lexicon.phrases.values() if "degree" in readings]
        assert set(degrees) <= DEGREES.keys() and set(lexicon.degree_combinations.values()) <= DEGREES.keys()
        assert {"head", "noun", "adjective", "degree", "not", "keep", "unit", "filler"} <= kinds
        qualities = {r["adjective"].quality for r in lexicon.phrases.values() if "adjective" in r}
        nouns = {r[kind] for r in lexicon.phrases.values() for kind in ("noun", "weak_noun") if kind in r}
        assert {quality for _, quality in lexicon.combinations} <= qualities | {"small"}
        assert {noun for noun, _ in lexicon.combinations} <= nouns
        assert lexicon.keep_groups.keys() <= nouns


@pytest.mark.parametrize("language", ["en", "ko"])
def test_any_heap_of_words_is_understood_or_refused(language):
    """Nothing but our own refusal comes out, whatever words are strung together, and no amount is beyond an end."""
    phrases, draw = sorted(load_lexicon(language).phrases), random.Random(1)
    for _ in range(300):
        words = draw.choices([*phrases, "12", "-0.7", ",", "xq", "%"], k=draw.randint(1, 7))
        try:
            done = say(" ".join(words))
        except BadConfig:
            continue
        for change in done.changes:
            low, high = ENDS[change.dial]
            assert isinstance(change.amount, str) or low <= change.amount <= high
        assert {change.dial for change in done.changes}.isdisjoint(done.keep)
