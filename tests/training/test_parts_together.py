"""The page on the training parts runs, and the parts fit each other on every pair in the house."""

import re
from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.models import FAMILIES, build
from ganvas.training import losses
from ganvas.training.augment import Ada, DiffAugment
from ganvas.training.penalties import r1_penalty
from tests.contracts import TINY

PAGE = Path(__file__).parents[2] / "docs" / "training-parts.md"
GENERATORS = sorted(name for name, row in FAMILIES.items() if row.kind == "generator" and row.discriminator)
LOSSES = [
    losses.NonSaturating(real_target=0.9),
    losses.Minimax(),
    losses.LeastSquares(),
    losses.Hinge(margin_low=0.8),
    losses.Wasserstein(),
    losses.RelativisticPairing(),
    losses.RelativisticAverage(),
]


def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_whole_loop_of_the_page_learns_to_tell_pictures_from_fakes(tmp_path):
    code = blocks()[0].replace("steps, batch = 20_000, 64", "steps, batch = 12, 8")
    assert "steps, batch = 12, 8" in code
    body = code.split("for step in range", 1)[1].strip().splitlines()[1:]
    assert len(body) <= 10
    torch.manual_seed(0)
    names = {"pictures": torch.rand(40, 3, 32, 32) * 0.3 + 0.5}
    exec(code, names)
    G, D, average = names["G"], names["D"], names["average"]
    fake = G(torch.randn(8, G.z_dim))
    assert D(names["pictures"][:8]).mean() > D(fake).mean() + 1
    ganvas.save(average.net, tmp_path / "mine.safetensors")
    again = ganvas.load(tmp_path / "mine.safetensors")
    z = torch.randn(2, G.z_dim)
    assert torch.equal(again(z), average.net(z)) and again(z).isfinite().all()


def test_the_snippets_of_the_page_run():
    G = build("stylegan2", **TINY["stylegan2"].fields)
    D = build("stylegan2", network="D", **TINY["stylegan2"].discriminator)
    px = D.img_resolution
    names = {
        "torch": torch,
        "G": G,
        "D": D,
        "z": torch.randn(2, G.z_dim),
        "real": torch.rand(2, 3, px, px),
        "fake": torch.rand(2, 3, px, px),
        "rng": torch.Generator().manual_seed(0),
        "batch": 2,
        "nimg": 2,
        "real_logits": torch.ones(2),
    }
    penalties, change, average = (dict(names) for _ in range(3))
    for code, left in zip(blocks()[1:], (penalties, change, average), strict=True):
        exec(code, left)
    assert penalties["penalty"].shape == (2,) and (penalties["penalty"] >= 0).all()
    assert any(p.grad is not None and p.grad.any() for p in D.parameters())
    for img in (change["real"], change["fake"]):
        assert img.shape == (2, 3, px, px) and img.isfinite().all()
    assert not torch.equal(change["real"], names["real"]) and not change["controller"].leaking
    assert average["softer"](names["z"]).shape == (2, 3, px, px)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("name", GENERATORS)
def test_every_pair_takes_a_step_with_every_loss(name, loss):
    """Augmented, penalised through the augmentation, labels included: all gradients are there and finite."""
    torch.manual_seed(0)
    G = build(name, **TINY[name].fields, c_dim=2)
    D = build(name, network="D", **TINY[name].discriminator, c_dim=2)
    rng, c = torch.Generator().manual_seed(0), torch.eye(2)[[0, 1, 1]]
    change = DiffAugment() if name in ("dcgan", "fastgan") else Ada()
    seen = (lambda x: change(x, rng=rng)) if isinstance(change, DiffAugment) else (lambda x: change(x, p=0.5, rng=rng))
    real = torch.rand(3, D.img_channels, D.img_resolution, D.img_resolution) * 2 - 1
    fake = G(torch.randn(3, G.z_dim), c)
    value = loss.discriminator(D(seen(real), c), D(seen(fake.detach()), c), rng=rng)
    penalty = r1_penalty(lambda img, c=None: D(seen(img), c), real, c, gamma=1.0)
    (value + penalty).mean().backward()
    assert value.shape == penalty.shape == (3,) and (penalty >= 0).all()
    assert all(p.grad.isfinite().all() for p in D.parameters() if p.grad is not None)
    value = loss.generator(D(seen(fake), c), D(seen(real), c) if loss.pairs else None)
    value.mean().backward()
    moved = [p.grad for p in G.parameters() if p.grad is not None]
    assert value.shape == (3,) and moved and all(g.isfinite().all() for g in moved)
    assert any(bool(g.any()) for g in moved)
