"""Translators in training: presets, both kinds of losses, exact resume, planted failures, what a run leaves behind."""

import dataclasses
import math

import pytest
import torch

import ganvas
from ganvas.errors import BadConfig, BadInput, GanvasError, Stopped
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.training import losses
from ganvas.training.engine.config_base import apply_settings
from ganvas.training.engine.run_folder import read_log
from ganvas.training.engine.run_list import list_runs, read_run_state
from ganvas.training.engine.state import read_state
from ganvas.training.image_pool import ImagePool
from ganvas.training.translator.config import TranslatorConfig
from ganvas.training.translator.contrast import ContrastTrainer, PatchContrast
from ganvas.training.translator.presets import (
    TRANSLATOR_PRESETS,
    choose_translator_preset,
    find_translator_preset,
    resize_config,
)
from ganvas.training.translator.train import train_translator
from ganvas.training.translator.trainer import TranslatorBatch, TranslatorTrainer, build_networks
from tests.training import tiny
from tests.training.test_resume import same, stop_after


def domains(count=30, px=16):
    """Blobs, and the same blobs in negative."""
    a = tiny.pictures(count, px)
    return a, 255 - a


def config(**changes):
    """A few thousand numbers, float32, two pictures a step."""
    start = TranslatorConfig(
        generator={"ngf": 4, "n_blocks": 1},
        discriminator={"ndf": 4, "n_layers": 1},
        resolution=16,
        batch_size=2,
        total_kimg=0.02,
        pool=3,
        kept_back=2,
        tick_kimg=0.004,
        snapshot_kimg=100,
        save_minutes=100,
    )
    return dataclasses.replace(start, **changes)


def paired(**changes):
    fields = {"family": "pix2pix", "generator": {"ngf": 4, "num_downs": 3}, "loss": "ns", "pool": 0}
    return config(**{"pairing": "paired", **fields, **changes})


def contrasted(**changes):
    return config(**{"learn_by": "contrast", "generator": {"ngf": 4, "n_blocks": 2}, "patches": 12, **changes})


def narrowed(name):
    """A preset with its narrowest networks and small pictures, three steps."""
    preset = find_translator_preset(name)
    small = resize_config(preset, 32 if preset.pairing == "paired" else 16)
    return dataclasses.replace(
        small,
        generator={**small.generator, "ngf": 2, **({"n_blocks": 1} if small.family == "cyclegan" else {})},
        discriminator={**small.discriminator, "ndf": 2, "n_layers": 1},
        total_kimg=0.003 * small.batch_size,
        tick_kimg=0.001,
    )


@pytest.mark.parametrize("name", list(TRANSLATOR_PRESETS))
def test_every_preset_takes_three_steps(name):
    chosen = narrowed(name)
    done = train_translator(domains(12, chosen.loaded_px), config=chosen, device="cpu")
    assert done.finished and done.nimg == 3 * chosen.batch_size
    assert all(math.isfinite(value) for line in done.log for value in line.values() if isinstance(value, float))
    assert set(done.generator) == set(chosen.ways)


@pytest.mark.parametrize("loss", ["lsgan", "ns", "hinge", "wgan"])
@pytest.mark.parametrize("make", [config, paired, contrasted])
def test_every_loss_moves_every_network(loss, make):
    penalty = {"gradient_penalty": 10.0, "discriminator": {"ndf": 4, "n_layers": 1, "norm": "instance"}}
    chosen = make(loss=loss, **(penalty if loss == "wgan" else {}))
    configs = [dataclasses.replace(chosen, total_kimg=kimg) for kimg in (0.002, 0.012)]
    one, two = (train_translator(domains(), config=each, device="cpu") for each in configs)
    for before, after in ((one.generator, two.generator), (one.discriminator, two.discriminator)):
        for way in before:
            pairs = list(zip(before[way].parameters(), after[way].parameters(), strict=True))
            assert sum(not torch.equal(a, b) for a, b in pairs) > 0.6 * len(pairs)


def test_pairs_teach_the_negative():
    """From pairs, the way that was asked for."""
    a, b = domains(40)
    chosen = paired(total_kimg=0.4, g_lr=4e-3, direction="BtoA", tick_kimg=0.08, batch_size=8)
    done = train_translator((a, b), config=chosen, device="cpu")
    assert list(done.generator) == ["BtoA"]
    off = [line["l1"] for line in done.log if "l1" in line]
    assert off[-1] < 0.6 * off[0] and off[-1] < 0.35
    assert done.log[-1]["l1_kept_back"] < 0.4


def test_cycles_close():
    chosen = config(total_kimg=0.3, g_lr=4e-3, tick_kimg=0.05, batch_size=4, identity=0.0)
    done = train_translator(domains(40), config=chosen, device="cpu")
    off = [line["cycle"] for line in done.log if "cycle" in line]
    assert off[-1] < 0.7 * off[0]
    assert list(done.generator) == ["AtoB", "BtoA"]


@pytest.mark.parametrize(("make", "channels"), [(config, (1, 1)), (contrasted, (1, 1)), (paired, (1, 3))])
def test_pictures_are_grey_or_grey_in_one_domain(tmp_path, make, channels):
    data = [pictures[:, :1].repeat(1, count, 1, 1) for pictures, count in zip(domains(), channels, strict=True)]
    chosen = make(channels_a=channels[0], channels_b=channels[1], total_kimg=0.004)
    done = train_translator(data, config=chosen, folder=tmp_path / "run", device="cpu")
    net = done.generator["AtoB"]
    assert (net.in_channels, net.out_channels) == channels
    with pytest.raises(BadInput, match="but the images have"):
        train_translator(domains(), config=chosen, device="cpu")


def test_contrast_keeps_what_is_where():
    """One way is learnt; patches of the output are recognised among those of the input better and better."""
    chosen = contrasted(total_kimg=0.2, g_lr=4e-3, tick_kimg=0.05, batch_size=4, direction="BtoA")
    done = train_translator(domains(40), config=chosen, device="cpu")
    assert list(done.generator) == ["BtoA"]
    off = [line["contrast"] for line in done.log if "contrast" in line]
    assert off[0] < 1.5 * math.log(12) and off[-1] < 0.7 * off[0]


def test_a_run_starts_from_weights(tmp_path):
    train_translator(domains(), config=config(total_kimg=0.004), folder=tmp_path / "first", device="cpu")
    wide = config(total_kimg=0.002, g_lr=1e-9, d_lr=1e-9)
    for source, ways in ((tmp_path / "first", ["AtoB", "BtoA"]), (tmp_path / "first" / "BtoA.safetensors", ["BtoA"])):
        done = train_translator(domains(), config=wide, init_from=source, device="cpu")
        for way in ways:
            before = ganvas.load(tmp_path / "first" / f"{way}.safetensors").state_dict()
            assert all(
                torch.allclose(before[name], t, atol=1e-6) for name, t in done.generator[way].state_dict().items()
            )
    grey = dataclasses.replace(wide, channels_a=1, channels_b=1)
    with pytest.raises(BadConfig, match="from 3 to 3 channels"):
        train_translator(domains(), config=grey, init_from=tmp_path / "first", device="cpu")


# ------------------------------------------------------------------------------------------------ one step, by hand


def test_patches_are_compared_as_the_paper_has_it():
    """-log of exp(right / τ) over the sum of all, one place after the other; keys take no gradients."""
    torch.manual_seed(0)
    contrast = PatchContrast([3, 5], patches=6, temperature=0.07)
    queries, keys = ([torch.randn(2, width, 4, 4, requires_grad=True) for width in (3, 5)] for _ in range(2))
    got = contrast(queries, keys, torch.Generator().manual_seed(1))
    rng, expected = torch.Generator().manual_seed(1), torch.zeros(2)
    for head, query, key in zip(contrast.heads, queries, keys, strict=True):
        places = torch.randperm(16, generator=rng)[:6].tolist()
        for n in range(2):
            q, k = (
                [torch.nn.functional.normalize(head(x[n, :, p // 4, p % 4]), dim=0) for p in places]
                for x in (query, key)
            )
            for right in range(6):
                scores = torch.stack([q[right] @ one / 0.07 for one in k]).exp()
                expected[n] -= (scores[right] / scores.sum()).log() / 6 / 2
    assert torch.allclose(got, expected, atol=1e-5)
    got.sum().backward()
    assert all(x.grad is not None for x in queries) and all(x.grad is None for x in keys)


def test_the_contrastive_loss_is_the_papers():
    """(D(G(x)) − 1)² + λ_X PatchNCE(x) + λ_Y PatchNCE(y), all means."""
    bench = bench_of(contrasted(contrast=2.0, contrast_identity=0.5), domains())
    a, b = bench.draw()
    G, D = bench.G["AtoB"], bench.D["AtoB"]
    places = [bench.random(2) for _ in range(2)]
    made, same = G(a), G(b)
    loss = (D(made) - 1).square().mean()
    for weight, output, source, rng in ((2.0, made, a, places[0]), (0.5, same, b, places[1])):
        loss = loss + weight * bench.heads(G.encode(output), G.encode(source), rng).mean()
    expected = torch.autograd.grad(loss, bench.params_G)
    seen = {}
    bench.apply_gradients = lambda opt, params, name, **_: seen.setdefault(name, [p.grad.clone() for p in params])
    bench.unpaired_step(TranslatorBatch(a, b))
    assert all(torch.allclose(x, y, rtol=1e-3, atol=1e-4) for x, y in zip(expected, seen["G"], strict=True))


def bench_of(chosen, data):
    from ganvas.datasets.image_dataset import ImageDataset
    from ganvas.datasets.translation_data import make_translation_dataset
    from ganvas.training.engine.distributed import World
    from ganvas.training.engine.run_folder import MemoryRun

    most, some = make_translation_dataset(
        *map(ImageDataset.from_pixels, data), paired=chosen.pairing == "paired"
    ).split(2)
    torch.manual_seed(0)
    make = ContrastTrainer if chosen.learn_by == "contrast" else TranslatorTrainer
    return make(*build_networks(chosen), chosen, most, some, world=World(), run=MemoryRun())


def test_the_unpaired_loss_is_the_papers():
    """(D(G(a)) − 1)² both ways + 10 (|F(G(a)) − a| + |G(F(b)) − b|) + 5 (|F(a) − a| + |G(b) − b|), all means."""
    bench = bench_of(config(), domains())
    a, b = bench.draw()
    G, F, D_B, D_A = bench.G["AtoB"], bench.G["BtoA"], bench.D["AtoB"], bench.D["BtoA"]
    fake_b, fake_a = G(a), F(b)
    adversarial = (D_B(fake_b) - 1).square().mean() + (D_A(fake_a) - 1).square().mean()
    cycles = (F(fake_b) - a).abs().mean() + (G(fake_a) - b).abs().mean()
    kept = (F(a) - a).abs().mean() + (G(b) - b).abs().mean()
    expected = torch.autograd.grad(adversarial + 10 * cycles + 5 * kept, bench.params_G)
    real = [D(x.detach()) for D, x in ((D_B, b), (D_A, a))]
    fake = [D(x.detach()) for D, x in ((D_B, fake_b), (D_A, fake_a))]
    halves = sum(((r - 1).square().mean() + f.square().mean()) / 2 for r, f in zip(real, fake, strict=True))
    expected_D = torch.autograd.grad(halves, bench.params_D)
    seen = {}
    bench.apply_gradients = lambda opt, params, name: seen.setdefault(name, [p.grad.clone() for p in params])
    bench.unpaired_step(TranslatorBatch(a, b))
    for wanted, got in ((expected, seen["G"]), (expected_D, seen["D"])):
        assert all(torch.allclose(x, y, rtol=1e-3, atol=1e-6) for x, y in zip(wanted, got, strict=True))


@pytest.mark.parametrize("l1", [1.0, 100.0])
def test_a_gradient_ratio_holds_in_every_step_whatever_the_weights(l1):
    networks = {"generator": {"ngf": 4, "num_downs": 3, "dropout": False, "norm": "none"}}
    networks |= {"discriminator": {"ndf": 4, "n_layers": 1, "norm": "none"}}
    bench = bench_of(paired(l1=l1, gradient_ratio=3.0, **networks), domains())
    batch = bench.draw()
    made = bench.G["AtoB"](batch.a)
    main = torch.autograd.grad(l1 * (made - batch.b).abs().mean(), bench.params_G)
    seen = {}
    bench.apply_gradients = lambda opt, params, name: seen.setdefault(name, [p.grad.clone() for p in params])
    bench.paired_step(batch)
    added = [together - a for together, a in zip(seen["G"], main, strict=True)]  # by the adversarial part
    norm = torch.nn.utils.get_total_norm
    assert torch.allclose(norm(main) / norm(added), torch.tensor(3.0), rtol=1e-3)
    assert bench.take_means()["adversarial_weight"] > 0


def test_the_paired_loss_is_the_papers():
    """BCE and 100 |G(a) − b|; D sees question and answer, its loss halved."""
    plain = {"norm": "none"}  # a second forward pass would move the statistics of batch norm
    chosen = paired(
        generator={"ngf": 4, "num_downs": 3, "dropout": False, **plain},
        discriminator={"ndf": 4, "n_layers": 1, **plain},
    )
    bench = bench_of(chosen, domains())
    batch = bench.draw()
    G, D, bce = bench.G["AtoB"], bench.D["AtoB"], torch.nn.functional.binary_cross_entropy_with_logits
    made = G(batch.a)
    logits = D(torch.cat([batch.a, made], dim=1))
    loss = bce(logits, torch.ones_like(logits)) + 100 * (made - batch.b).abs().mean()
    expected = torch.autograd.grad(loss, bench.params_G)
    real, fake = D(torch.cat([batch.a, batch.b], dim=1)), D(torch.cat([batch.a, made.detach()], dim=1))
    half = (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2
    expected_D = torch.autograd.grad(half, bench.params_D)
    seen = {}
    bench.apply_gradients = lambda opt, params, name: seen.setdefault(name, [p.grad.clone() for p in params])
    bench.paired_step(batch)
    for wanted, got in ((expected, seen["G"]), (expected_D, seen["D"])):
        assert all(torch.allclose(x, y, rtol=1e-3, atol=1e-6) for x, y in zip(wanted, got, strict=True))


def test_a_pool_gives_old_pictures_half_of_the_time():
    pool, rng = ImagePool(50), torch.Generator().manual_seed(0)
    numbers = torch.arange(2000.0).view(-1, 1, 1, 1)
    given = torch.cat([pool.exchange(rng, part)[0] for part in numbers.split(4)]).flatten()
    assert torch.equal(given[:50], numbers[:50].flatten())  # it fills first
    late = given[1000:] < numbers[1000:].flatten()
    assert 0.4 < late.float().mean() < 0.6 and len(pool.kept) == 50
    assert len(set(given[50:].tolist())) == len(given) - 50  # what was given from the pool has left it
    assert torch.equal(ImagePool(0).exchange(rng, numbers)[0], numbers)


def test_rates_stay_and_then_go_down_in_a_line():
    chosen = config(total_kimg=1, decay_from=0.5)
    assert [chosen.rate(n) for n in (0, 500, 750, 1000, 2000)] == pytest.approx([1, 1, 0.5, 0, 0])
    assert config(total_kimg=1, decay_from=1).rate(1000) == config(total_kimg=1, decay_from=1).rate(2000) == 1


def test_beyond_the_schedule_there_is_nothing_to_learn(tmp_path):
    train_translator(domains(), config=config(total_kimg=0.004), folder=tmp_path / "x", device="cpu")
    with pytest.raises(BadConfig, match=r"reach 0 at 0\.004 thousand"):
        train_translator(domains(), config=config(total_kimg=0.008), folder=tmp_path / "x", device="cpu")
    even = config(total_kimg=0.004, decay_from=1.0)
    train_translator(domains(), config=even, folder=tmp_path / "y", device="cpu")
    longer = dataclasses.replace(even, total_kimg=0.008)
    assert train_translator(domains(), config=longer, folder=tmp_path / "y", device="cpu").nimg == 8


# ------------------------------------------------------------------------------------------------ a run


@pytest.mark.parametrize(
    ("make", "steps", "changes"),
    [
        (config, 1, {}),
        (contrasted, 6, {"contrast_identity": 0.0, "pool": 0}),
        (config, 6, {"mirror": True, "ema_kimg": 0.01}),
        (paired, 5, {"pool": 3, "generator": {"ngf": 2, "num_downs": 4, "dropout": True}}),
        (paired, 4, {"ema_kimg": 0.01, "direction": "BtoA"}),
    ],
)
def test_a_run_that_was_stopped_equals_one_that_was_not(tmp_path, make, steps, changes):
    data, chosen = domains(30, 18), make(load_px=18, **changes)
    whole = train_translator(data, config=chosen, folder=tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train_translator(data, config=chosen, folder=tmp_path / "cut", on_step=stop_after(steps), device="cpu")
    cut = train_translator(data, config=chosen, folder=tmp_path / "cut", device="cpu")
    assert same(*[read_state(tmp_path / name / "state.safetensors") for name in ("whole", "cut")]) == []
    assert whole.nimg == cut.nimg == 20
    logs = [[{**line, "sec": 0, "img_per_sec": 0} for line in read_log(tmp_path / name)] for name in ("whole", "cut")]
    assert logs[0] == logs[1] and len(logs[0]) >= 5


def test_what_a_run_leaves_behind_translates_at_once(tmp_path):
    folder = tmp_path / "runs" / "x"
    told = {"preset": "tiny"}
    done = train_translator(domains(), config=config(snapshot_kimg=0.01), folder=folder, device="cpu", facts=told)
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "AtoB.safetensors", "BtoA.safetensors", "snapshots", "report.html", "curves.png"} <= names
    assert any(name.startswith("fakes-") for name in names)
    photo = Photo(img=torch.rand(1, 3, 21, 30) * 2 - 1)
    for way in ("AtoB", "BtoA"):
        result = ganvas.translate(photo, model=folder, direction=way)
        own = ganvas.translate(photo, model=done.generator[way])
        assert torch.allclose(result.img, own.img, atol=1e-6)
    assert ganvas.load(folder / "BtoA.safetensors").facts["direction"] == "BtoA"
    (state,) = list_runs(tmp_path / "runs")
    assert (state.status, state.preset, state.kimg) == ("finished", "tiny", 0.02)
    page = (folder / "report.html").read_text()
    assert "ganvas translate -i IN -o OUT" in page and "ganvas generate" not in page
    sheet = read_image(next(folder.glob("fakes-*.jpg")))
    assert sheet.width > sheet.height  # A | A → B | A → B → A | B | B → A | B → A → B


def test_another_configuration_or_kind_is_refused(tmp_path):
    short = config(total_kimg=0.004)
    train_translator(domains(), config=short, folder=tmp_path / "x", device="cpu")
    with pytest.raises(BadConfig, match=r"cycle: 10.0 → 1.0"):
        train_translator(domains(), config=dataclasses.replace(short, cycle=1.0), folder=tmp_path / "x", device="cpu")
    with pytest.raises(BadConfig, match="the images"):
        train_translator(domains(20), config=short, folder=tmp_path / "x", device="cpu")
    with pytest.raises(BadConfig, match="translator"):
        ganvas.train(tiny.pictures(), config=tiny.config(), folder=tmp_path / "x", device="cpu")


def poisoned(name, when):
    step = getattr(TranslatorTrainer, name)

    def bad(self, batch):
        step(self, batch)
        if when(self):
            with torch.no_grad():
                next(self.G.parameters()).fill_(math.nan)

    return bad


@pytest.mark.parametrize(("make", "name"), [(config, "unpaired_step"), (paired, "paired_step")])
def test_a_planted_nan_is_survived(tmp_path, monkeypatch, make, name):
    monkeypatch.setattr(TranslatorTrainer, name, poisoned(name, lambda b: b.nimg == 12 and b.attempt == 0))
    events = []
    done = train_translator(
        domains(),
        config=make(save_minutes=0.00001),
        folder=tmp_path / "x",
        on_step=lambda status: events.append(status.event) if status.event else None,
        device="cpu",
    )
    assert done.finished and done.nimg == 20
    assert any("not finite" in event and "remedy: both learning rates times 0.5" in event for event in events)
    assert all(p.isfinite().all() for net in done.generator.values() for p in net.parameters())
    assert read_run_state(tmp_path / "x").status == "finished"


def test_a_nan_that_comes_back_ends_the_run_with_words(tmp_path, monkeypatch):
    monkeypatch.setattr(TranslatorTrainer, "unpaired_step", poisoned("unpaired_step", lambda b: b.nimg >= 8))
    with pytest.raises(GanvasError, match="again after a remedy"):
        train_translator(domains(), config=config(), folder=tmp_path / "x", device="cpu")
    assert read_run_state(tmp_path / "x").status == "failed"


def test_a_poisoned_gradient_is_cleaned(monkeypatch):
    fooled, calls = TranslatorTrainer._adversarial_loss, []

    def bad(self, logits):
        calls.append(1)
        return fooled(self, logits) * (math.nan if len(calls) == 4 else 1)

    monkeypatch.setattr(TranslatorTrainer, "_adversarial_loss", bad)
    done = train_translator(domains(), config=config(tick_kimg=0.02), device="cpu")
    assert done.log[-1]["bad_share"] > 0
    assert all(p.isfinite().all() for net in done.generator.values() for p in net.parameters())


def test_training_leaves_the_callers_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_translator(domains(), config=config(total_kimg=0.004), device="cpu")
    assert torch.equal(torch.rand(3), expected)


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pairing": "both"}, "pairing"),
        ({"direction": "there"}, "direction"),
        ({"cycle": -1.0}, "cycle must be a number of at least 0"),
        ({"load_px": 8}, "load_px must be at least 16"),
        ({"decay_from": 1.5}, "from 0 to 1"),
        ({"generator": {"in_channels": 1}}, "set channels_a and channels_b"),
        ({"channels_a": 1}, "set identity=0"),
        ({"channels_b": 2}, "1 .grey. or 3 .colour."),
        ({"channels_a": 1, "learn_by": "contrast"}, "channels_a = channels_b"),
        ({"loss": "wgan"}, "gradient_penalty=10"),
        ({"family": "pix2pix", "learn_by": "contrast", "generator": {"num_downs": 3}}, "cyclegan"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    with pytest.raises(BadConfig, match=words):
        config(**changes)


@pytest.mark.parametrize("name", list(TRANSLATOR_PRESETS))
def test_every_preset_comes_back_from_json(name):
    chosen = find_translator_preset(name)
    assert TranslatorConfig.from_json(chosen.to_json()) == chosen


def test_settings_as_typed_and_presets_by_name():
    chosen = apply_settings(config(), {"generator.upsample": "bilinear", "pool": "0", "load_px": "none"})
    assert (chosen.generator["upsample"], chosen.pool, chosen.load_px) == ("bilinear", 0, None)
    with pytest.raises(BadConfig, match="known: cut-256"):
        find_translator_preset("cyclegan-512")
    assert (
        choose_translator_preset(paired=True, device="cpu") == "pix2pix-64-cpu"
        and choose_translator_preset(paired=False, device="cuda") == "cyclegan-256"
    )


def test_presets_at_another_size():
    assert resize_config(find_translator_preset("pix2pix-256"), 96).generator["num_downs"] == 5
    assert (
        resize_config(find_translator_preset("cyclegan-256"), 128).load_px,
        resize_config(find_translator_preset("pix2pix-64-cpu"), 64),
    ) == (
        143,
        find_translator_preset("pix2pix-64-cpu"),
    )


def test_the_published_presets_are_the_papers():
    cycle, pix = find_translator_preset("cyclegan-256"), find_translator_preset("pix2pix-256")
    assert (cycle.loss, cycle.cycle, cycle.identity, cycle.pool, cycle.batch_size) == ("lsgan", 10, 0.5, 50, 1)
    assert (pix.loss, pix.l1, pix.pool, pix.batch_size) == ("ns", 100, 0, 1)
    for each in (cycle, pix):
        assert (each.g_lr, each.d_lr, each.beta1, each.load_px, each.resolution) == (2e-4, 2e-4, 0.5, 286, 256)
    G, D = ganvas.build("cyclegan", **cycle.generator), ganvas.build("pix2pix", network="D", **pix.discriminator)
    assert (G.config.n_blocks, G.config.ngf, D.patch_px) == (9, 64, 70)
    assert isinstance(losses.build_adversarial_loss(cycle.loss), losses.LeastSquares)


@pytest.mark.parametrize("data", ["nowhere", 7, (torch.zeros(3, 3, 16, 16, dtype=torch.uint8),)])
def test_data_that_is_none(data):
    with pytest.raises(BadInput):
        train_translator(data, config=config(), device="cpu")
