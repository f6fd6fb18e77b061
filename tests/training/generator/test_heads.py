"""AC-GAN and InfoGAN: what a discriminator reads off pictures besides real or fake."""

import math

import pytest
import torch
from torch import nn

import ganvas
from ganvas.datasets.image_dataset import ImageDataset
from ganvas.editing.directions import move_along_direction
from ganvas.editing.discovery.codes import find_codes
from ganvas.errors import BadConfig
from ganvas.metrics.feature_extractor import latents_and_labels
from ganvas.training.generator.train import train
from tests.training import tiny

PLAIN = {"generator": {"ngf": 4, "z_dim": 8}, "discriminator": {"ndf": 4}, "family": "dcgan", "r1_gamma": 0.0}
CLASSES = 4


def labelled():
    return ImageDataset.from_pixels(tiny.pictures(), torch.arange(40) % CLASSES)


@pytest.mark.parametrize("family", ["dcgan", "stylegan2"])
def test_both_steps_follow_the_papers_losses(family):
    """Written out from eq. 3 of AC-GAN and eq. 5 of InfoGAN; the trainer's own steps must give the same gradients."""
    fields = PLAIN if family == "dcgan" else {"r1_gamma": 0.0}
    config = tiny.config(**fields, labels="auto", class_weight=0.7, codes=2, information=0.3, augment="none")
    bench = tiny.trainer(config, labelled(), CLASSES)
    batch, loss, heads, D = bench.draw(), nn.functional.softplus, bench.heads, bench.D
    bench.apply_gradients = lambda opt, params, name: seen.setdefault(name, [p.grad.clone() for p in params])
    seen = {}
    (piece,) = bench.feed.micro_batches
    true_class = batch.c.argmax(1)

    def read(img):
        """Logits, and what the heads say, of pictures by themselves."""
        with heads.watch() as features:
            logits = D(img)
        return logits, *heads(features[0])

    def surprise_of(img, z):
        logits, classes, means = read(img)
        normal = ((z[:, -2:] - means) ** 2 / 2 + math.log(2 * math.pi) / 2).sum(1)
        return logits, 0.7 * nn.functional.cross_entropy(classes, true_class, reduction="none") + 0.3 * normal

    z = bench.noise(0, piece)
    fake = bench.pair.fakes(z, batch.c, mixing=0, rng=bench.random(1, 0)).img
    real_logits, real_classes, _ = read(batch.img)
    fake_logits, surprise = surprise_of(fake, z)
    named = 0.7 * nn.functional.cross_entropy(real_classes, true_class)
    wanted = (loss(-real_logits) + loss(fake_logits) + surprise).mean() + named
    expected = torch.autograd.grad(wanted, bench.params_D)
    assert len(expected) == len(list(D.parameters())) + 4
    bench.discriminator_step(batch)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(expected, seen["D"], strict=True))

    z = bench.noise(3, piece)
    ws = bench.pair.latents(z, batch.c, mixing=0, rng=bench.random(4, 0))
    fake_logits, surprise = surprise_of(bench.pair.synthesize(z, batch.c, ws).img, z)
    expected = torch.autograd.grad((loss(-fake_logits) + surprise).mean(), bench.params_G)
    bench.generator_step(batch)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(expected, seen["G"], strict=True))


def test_codes_are_learnt_where_the_picture_can_carry_them():
    """A generator that can only move one grey value lets its code decide it; the head reads it back."""

    class Grey(nn.Module):
        z_dim = 4

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.full((4,), 0.05))

        def forward(self, z):
            return (z @ self.weight).tanh()[:, None, None, None].expand(-1, 3, 8, 8)

    pixels = torch.randint(256, (64, 1, 1, 1), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    D = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    config = tiny.config(
        family="own", generator={}, discriminator={}, codes=1, augment="none", r1_gamma=0.0, batch_size=32,
        total_kimg=3.2, tick_kimg=3.2, ema="none", watchdog=False, g_lr=0.02, d_lr=0.02,
    )  # fmt: skip
    G = Grey()
    torch.manual_seed(0)
    train(pixels.expand(-1, 3, 8, 8), generator=G, discriminator=D, config=config, device="cpu")
    assert G.weight[3].abs() > 3 * G.weight[:3].abs().max()


def test_categories_become_classes_and_codes_sliders(tmp_path):
    config = tiny.config(**PLAIN, categories=3, codes=2, augment="none", loss="rpgan", batch_size=8)
    train(tiny.pictures(), config=config, folder=tmp_path / "run", device="cpu")
    G, D = (ganvas.load(tmp_path / "run" / f"{name}.safetensors", network=name[0].replace("m", "G")) for name in
            ("model", "D"))  # fmt: skip
    assert (G.c_dim, D.c_dim, G.facts["codes"]) == (3, 0, 2)
    codes = find_codes(G, fingerprint="x")
    assert [(d.name, d.space, d.fingerprint) for d in codes] == [("code-0", "w", "x"), ("code-1", "w", "x")]
    z, c = torch.randn(2, 8), torch.eye(3)[:2]
    moved = z.clone()
    moved[:, -1] += 1.5  # of z, the code itself
    assert torch.allclose(move_along_direction(G.mapping(z, c), codes[1], 1.5), G.mapping(moved, c), atol=1e-5)
    labels = torch.cat([c for _, _, c in latents_and_labels(G, num=300, seed=0, pictures=None)])
    assert labels.shape == (300, 3) and labels.sum(0).min() > 70
    with pytest.raises(BadConfig, match="without codes"):
        find_codes(ganvas.build("dcgan", img_resolution=16, ngf=4))


def test_codes_behind_a_mapping_network_are_mean_steps():
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", img_resolution=16, **tiny.STYLE, z_dim=8, w_dim=8)
    G.facts["codes"] = 3
    z = torch.randn(4096, 8)
    low, high = z.clone(), z.clone()
    low[:, 6], high[:, 6] = -1, 1
    wanted = (G.mapping(high)[:, 0] - G.mapping(low)[:, 0]).mean(0) / 2
    got = find_codes(G, layers=[0, 1])[1]
    assert torch.cosine_similarity(got.vector[0], wanted, dim=0) > 0.99 and got.layers == (0, 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"class_weight": 1.0}, "set labels"),
        ({"categories": 5, "labels": "auto"}, "not in the data"),
        ({"categories": 1}, "2 or more"),
        ({"codes": 1, "family": "fastgan", "augment": "none", "r1_gamma": 0.0}, "one last layer"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(fields, words):
    with pytest.raises(BadConfig, match=words):
        tiny.config(**fields)


def test_more_codes_than_noise_are_refused():
    with pytest.raises(BadConfig, match="fewer than its 8"):
        tiny.trainer(tiny.config(**PLAIN, codes=8), labelled(), 0)
