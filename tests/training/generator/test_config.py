"""What fits together is taken, what does not is refused with the reason; a config comes back from JSON as it was."""

import dataclasses

import pytest

from ganvas.errors import BadConfig
from ganvas.training.engine.config_base import apply_settings, differences
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.presets import (
    GENERATOR_PRESETS,
    choose_generator_preset,
    find_generator_preset,
    for_transfer,
    rescale_preset,
    write_preset,
)

MISFITS = [
    ({"family": "dcgan", "r1_gamma": 1.0}, r"normalises over the batch.*discriminator\.norm=spectral"),
    ({"family": "fastgan", "gradient_penalty": 10.0}, "normalises over the batch"),
    ({"loss": "wgan", "augment": "none"}, "Lipschitz.*gradient_penalty=10"),
    ({"loss": "wgan", "augment": "none", "gradient_penalty": 10.0}, "penalty_every=1"),
    ({"loss": "wgan", "gradient_penalty": 10.0, "penalty_every": 1}, "augment='ada'"),
    ({"loss": "ragan"}, "only differences count"),
    ({"family": "r3gan", "path_length": 2.0}, "path_length"),
    ({"family": "dcgan", "mixing": 0.9}, "one latent row"),
    ({"loss": "rpgan", "real_target": 0.9}, "label smoothing"),
    ({"batch_size": 0}, "batch_size must be a whole number above 0"),
    ({"r1_gamma": -1.0}, "r1_gamma must be a number of at least 0"),
    ({"micro_batch": 5}, "divisor of batch_size"),
    ({"loss": "bce"}, "loss must be ns, .*hinge.* or ragan, got 'bce'"),
    ({"augment": "mixup"}, "augment must be none, diffaug"),
    ({"mixing": 1.5}, "from 0 to 1"),
]


@pytest.mark.parametrize(("changes", "words"), MISFITS, ids=[words[:24] for _, words in MISFITS])
def test_what_does_not_fit_is_refused_with_the_reason(changes, words):
    with pytest.raises(BadConfig, match=words):
        TrainConfig(**changes)


FITS = [
    {"family": "dcgan", "r1_gamma": 1.0, "discriminator": {"norm": "none"}},
    {"family": "dcgan", "loss": "wgan", "discriminator": {"norm": "spectral"}, "augment": "diffaug"},
    {"family": "fastgan", "loss": "wgan", "augment": "diffaug"},
]


@pytest.mark.parametrize("changes", FITS, ids=lambda changes: changes["family"])
def test_what_fits_is_taken(changes):
    config = dataclasses.asdict(TrainConfig(**changes))
    assert {name: config[name] for name in changes} == changes
    assert TrainConfig(**config) == TrainConfig(**changes)


def test_settings_as_typed():
    config = apply_settings(
        TrainConfig(),
        {"g_lr": "0.001", "mirror": "true", "minutes": "none", "ema_sigmas": "0.05,0.2", "generator.ngf": "32"}
        | {"total_kimg": "5", "family": "dcgan", "discriminator.norm": "spectral", "labels": "folders"},
    )
    assert (config.g_lr, config.mirror, config.minutes, config.ema_sigmas) == (0.001, True, None, (0.05, 0.2))
    assert config.generator == {"ngf": 32} and config.discriminator == {"norm": "spectral"}
    assert config.total_kimg == 5 and config.labels == "folders"


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("g_lr", "fast", "g_lr must be a number above 0, got 'fast'"),
        ("batch_size", "1.5", "a whole number"),
        ("mirror", "maybe", "true or false"),
        ("gamma", "1", "unknown setting 'gamma'; known: .*r1_gamma"),
        ("optimizer.lr", "1", "discriminator, generator"),
        ("loss", "bce", "loss must be ns, "),
    ],
)
def test_a_setting_that_cannot_be_is_refused(key, text, words):
    with pytest.raises(BadConfig, match=words):
        apply_settings(TrainConfig(), {key: text})


@pytest.mark.parametrize("name", list(GENERATOR_PRESETS))
def test_every_preset_comes_back_from_json(name):
    config = GENERATOR_PRESETS[name].config
    assert TrainConfig.from_json(config.to_json()) == config


def test_json_with_unknown_names_is_refused():
    with pytest.raises(BadConfig, match=r"unknown setting in my\.json"):
        TrainConfig.from_json({"gammma": 1}, who="my.json")
    with pytest.raises(BadConfig, match="batch_size must be a whole number above 0, got 'many'"):
        TrainConfig.from_json({"batch_size": "many"})


def test_differences_are_named_and_the_budget_is_none():
    before = TrainConfig()
    now = dataclasses.replace(before, g_lr=0.1, total_kimg=5, minutes=3, snapshot_kimg=1)
    assert differences(before, now) == {"g_lr": "g_lr: 0.0025 → 0.1"}


def test_the_gamma_of_style_presets_is_that_of_the_paper():
    assert GENERATOR_PRESETS["style-256"].config.r1_gamma == pytest.approx(0.8192)
    assert GENERATOR_PRESETS["style-64"].config.r1_gamma == pytest.approx(0.0256)
    assert GENERATOR_PRESETS["style-1024"].config.r1_gamma == pytest.approx(52.4288)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"resolution": 256, "count": 3003, "device": "cpu", "minutes": 30}, "style-64-cpu"),
        ({"resolution": 32, "count": 3003, "device": "cpu", "minutes": None}, "style-32-cpu"),
        ({"resolution": 256, "count": 300, "device": "cuda", "minutes": None}, "fast-256"),
        ({"resolution": 256, "count": 30_000, "device": "cuda", "minutes": 30}, "fast-256"),
        ({"resolution": 200, "count": 30_000, "device": "cuda", "minutes": None}, "style-256"),
        ({"resolution": 2000, "count": 30_000, "device": "cuda", "minutes": None}, "style-1024"),
        ({"resolution": 64, "count": 30_000, "device": "cuda", "minutes": 30}, "style-64"),
    ],
)
def test_auto_chooses_and_says_why(facts, name):
    chosen, why = choose_generator_preset(**facts)
    assert chosen == name and chosen in GENERATOR_PRESETS
    assert len(why) >= 2 and f"{facts['count']:,} images" in why[0]


def test_auto_follows_the_weights_to_start_from():
    facts = {"resolution": 256, "count": 500, "device": "cuda", "minutes": None}
    assert choose_generator_preset(**facts, base_family="stylegan3")[0] == "sg3-t-256"
    assert choose_generator_preset(**facts, base_family="stylegan2")[0] == "style-256"
    with pytest.raises(BadConfig, match="cannot be fine-tuned"):
        choose_generator_preset(**facts, base_family="mobilestylegan")


def test_transfer_freezes_and_hurries():
    config = for_transfer(GENERATOR_PRESETS["style-256"].config)
    assert (config.freeze_d, config.ada_kimg, config.ema_ramp) == (10, 100, None)
    assert for_transfer(GENERATOR_PRESETS["dcgan-64"].config).freeze_d == 0


def test_a_preset_file_comes_back(tmp_path):
    config = dataclasses.replace(GENERATOR_PRESETS["style-64-cpu"].config, g_lr=0.001)
    write_preset(config, tmp_path / "mine.json", base="style-64-cpu")
    assert find_generator_preset(str(tmp_path / "mine.json")) == config
    with pytest.raises(BadConfig, match=r"unknown preset 'stile-64'; known: auto, mlp-64"):
        find_generator_preset("stile-64")
    with pytest.raises(BadConfig, match="cannot be read"):
        find_generator_preset(str(tmp_path / "none.json"))


def test_gamma_follows_size_and_batch_unless_it_is_set():
    start = GENERATOR_PRESETS["style-64-cpu"].config
    smaller = rescale_preset(dataclasses.replace(start, resolution=32, batch_size=32), start)
    assert smaller.r1_gamma == pytest.approx(0.0002 * 32**2 / 32) and smaller.ema_kimg == 10
    set_by_hand = dataclasses.replace(start, resolution=32, r1_gamma=3.0)
    assert rescale_preset(set_by_hand, start) == set_by_hand and rescale_preset(start, start) == start
