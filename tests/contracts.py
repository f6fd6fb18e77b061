"""What every Generator, Discriminator, Upscaler and Translator must keep.

One list of checks per protocol, run over FAMILIES by tests/models/test_contracts.py: a new family is held to all of it
the day its row is added. What it needs besides the row is an entry in TINY: the smallest honest member of the family.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, BadImage, BadInput, BadLatent
from ganvas.models import FAMILIES, build, protocol
from ganvas.ops.resample import downscale

LABELS = 3  # c_dim of the conditional variants


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """The smallest honest member of a family, and where its own bounds differ from everybody's."""

    fields: dict[str, Any]  # of the config
    discriminator: dict[str, Any] = field(default_factory=dict)  # of the discriminator's config
    bounded: bool = False  # pictures end in a tanh (or clamp) and never leave [-1, 1]
    exits: tuple[int, ...] = ()  # early exits of `synthesis`, besides the full size
    fast_psnr: float = 30  # dB that precision="fast" keeps to "exact"
    latent_std: float = 1.0  # of the ws that stand for "any latent" in the checks of synthesis
    idle: tuple[str, ...] = ()  # beginnings of the names of parameters that the plain call does not use
    picture_px: tuple[int, int] = (16, 16)  # what translators and upscalers are fed; generators ignore it


TINY: dict[str, Tiny] = {
    "mlp": Tiny(
        fields={"img_resolution": 8, "z_dim": 16, "widths": (32, 48), "c_embed_dim": 5},
        discriminator={"img_resolution": 8, "widths": (32, 16), "c_embed_dim": 5},
        bounded=True,
    ),
    "dcgan": Tiny(
        fields={"img_resolution": 16, "z_dim": 16, "ngf": 8, "c_embed_dim": 5},
        discriminator={"img_resolution": 16, "ndf": 8},
        bounded=True,
    ),
    "fastgan": Tiny(
        fields={"img_resolution": 64, "z_dim": 16, "ngf": 4, "c_embed_dim": 5},
        discriminator={"img_resolution": 64, "ndf": 4},
        bounded=True,
        exits=(32,),
        idle=("decoders.", "to_small."),  # at work in judge_and_rebuild, in `both` and at the early exit
    ),
    "stylegan2": Tiny(
        fields={
            "img_resolution": 16,
            "z_dim": 16,
            "w_dim": 24,
            "channel_base": 128,
            "channel_max": 16,
            "num_mapping_layers": 2,
        },
        discriminator={"img_resolution": 16, "channel_base": 128, "channel_max": 16, "num_mapping_layers": 2},
        exits=(4, 8),
    ),
    "r3gan": Tiny(
        fields={"img_resolution": 16, "z_dim": 16, "widths": (32, 16, 16), "blocks": (1, 1, 2), "c_embed_dim": 5},
        discriminator={"img_resolution": 16, "widths": (32, 16, 16), "blocks": (1, 1, 2)},
    ),
    "mobilestylegan": Tiny(
        fields={"z_dim": 16, "w_dim": 24, "num_mapping_layers": 2, "channels": (16, 12, 8)},
        exits=(8, 16),
    ),
    "stylegan3": Tiny(
        fields={
            "img_resolution": 16,
            "z_dim": 16,
            "w_dim": 24,
            "channel_base": 128,
            "channel_max": 16,
            "num_layers": 6,
            "margin_size": 4,
        },
        discriminator={"img_resolution": 16, "channel_base": 128, "channel_max": 16, "num_mapping_layers": 2},
    ),
    "pix2pix": Tiny(
        fields={"num_downs": 3, "ngf": 4},
        discriminator={"img_resolution": 32, "n_layers": 2, "ndf": 4},
        bounded=True,
    ),
    "cyclegan": Tiny(
        fields={"n_blocks": 1, "ngf": 4},
        discriminator={"img_resolution": 32, "n_layers": 2, "ndf": 4},
        bounded=True,
    ),
    "rrdbnet": Tiny(
        fields={"num_feat": 8, "num_block": 1, "num_grow_ch": 4},
        discriminator={"img_resolution": 16, "num_feat": 4},
    ),
    "srvgg": Tiny(fields={"num_feat": 8, "num_conv": 2}),
}


@dataclass(frozen=True)
class Case:
    """One network under contract: a family, G or D, with or without labels."""

    family: str
    network: str  # "G" or "D"
    conditional: bool

    def __str__(self) -> str:
        return f"{self.family}-{self.network}" + ("-conditional" if self.conditional else "")

    @property
    def tiny(self) -> Tiny:
        return TINY[self.family]

    @property
    def fields(self) -> dict[str, Any]:
        fields = self.tiny.fields if self.network == "G" else self.tiny.discriminator
        return fields | {"c_dim": LABELS} if self.conditional else dict(fields)

    def build(self, *, seed: int = 0) -> Any:
        """The network in eval mode, brought to life: nothing that starts at zero hides its wiring."""
        torch.manual_seed(seed)
        net = build(self.family, network=self.network, **self.fields)
        wake(net)
        settle_batch_norms(net, self)
        return net.eval()

    def labels(self, n: int) -> Tensor | None:
        return torch.eye(LABELS)[torch.arange(n) % LABELS] if self.conditional else None


def wake(net: nn.Module) -> None:
    """Replace all-zero parameters by small noise: a noise strength or a last convolution of 0."""
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)


@torch.no_grad()
def settle_batch_norms(net: Any, case: Case) -> None:
    """One batch decides the running statistics; with the fresh ones (0 and 1) an untrained picture is all grey."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # the plain average of all batches seen, which is one
    if FAMILIES[case.family].kind == "generator" and case.network == "G":
        net.train()(_z(case, net, 6), case.labels(6))
    elif case.network == "D":
        net.train()(_judged(case, net, 6), case.labels(6))
    else:
        net.train()(_picture(case, net, 4))
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum


def cases(kind: str, network: str) -> list[Case]:
    """Every family of this kind that has the network, without and (where its config knows c_dim) with labels."""
    found = []
    for name, row in FAMILIES.items():
        config = row.config if network == "G" else row.discriminator_config
        if row.kind != kind or config is None or name not in TINY:
            continue
        found.append(Case(name, network, conditional=False))
        if "c_dim" in {f.name for f in dataclasses.fields(config)}:
            found.append(Case(name, network, conditional=True))
    return found


def relative_psnr(exact: Tensor, other: Tensor) -> float:
    """PSNR in dB as if `exact` had the contrast of a photo (standard deviation 0.5 in [-1, 1]).

    A tiny untrained network may paint faintly, where plain PSNR is easily won, or far outside [-1, 1].
    """
    error = (exact - other).square().mean().clamp_min(1e-20) / exact.var() * 0.5**2
    return float(10 * torch.log10(2**2 / error))


# ------------------------------------------------------------------------------------------- every network


def config_is_frozen_and_survives_json(case: Case) -> None:
    config = case.build().config
    assert config.__dataclass_params__.frozen
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, 1)
    again = type(config)(**json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config
    assert hash(again) == hash(config)  # a list left in a field would have no hash


def config_is_keyword_only_and_has_working_defaults(case: Case) -> None:
    row = FAMILIES[case.family]
    config = row.config if case.network == "G" else row.discriminator_config
    assert config is not None
    config()
    with pytest.raises(TypeError):
        config(64)


def unknown_field_is_named(case: Case) -> None:
    with pytest.raises(BadConfig, match="imgresolution"):
        build(case.family, network=case.network, **(case.fields | {"imgresolution": 8}))


def knows_its_family(case: Case) -> None:
    net = case.build()
    assert isinstance(net, protocol.Network)
    row = FAMILIES[net.family]  # a discriminator may be borrowed from another family, as StyleGAN3's is
    assert type(net) is (row.network if case.network == "G" else row.discriminator)
    assert case.network == "D" or net.family == case.family
    assert net.device.type == "cpu"
    assert isinstance(net.facts, dict)


def same_seed_same_weights(case: Case) -> None:
    a, b, other = case.build(seed=1), case.build(seed=1), case.build(seed=2)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(a.parameters(), other.parameters(), strict=True))


def holds_nothing_that_mps_cannot(case: Case) -> None:
    net = case.build()
    kinds = {t.dtype for t in [*net.parameters(), *net.buffers()]}
    assert kinds <= {torch.float32, torch.int64}, "MPS has no float64, and weights are kept in float32"


def starts_in_train_mode(case: Case) -> None:
    assert build(case.family, network=case.network, **case.fields).training


def unused_parameters(net: nn.Module, case: Case) -> list[str]:
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    return [name for name in unused if not name.startswith(case.tiny.idle)]


# ------------------------------------------------------------------------------------------- generators


def _z(case: Case, G: Any, n: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, G.z_dim, generator=torch.Generator().manual_seed(seed))


def _ws(case: Case, G: Any, n: int = 3, seed: int = 0) -> Tensor:
    """Any latents, a row of its own for each layer."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, G.num_ws, G.w_dim, generator=random) * case.tiny.latent_std


@torch.no_grad()
def generator_keeps_its_shapes(case: Case) -> None:
    G = case.build()
    assert isinstance(G, protocol.Generator)
    assert G.c_dim == (LABELS if case.conditional else 0)
    assert G.img_resolution == G.config.img_resolution
    assert G.img_channels == G.config.img_channels
    z, c = _z(case, G), case.labels(3)
    ws = G.mapping(z, c)
    assert ws.shape == (3, G.num_ws, G.w_dim)
    img = G.synthesis(ws)
    assert img.shape == (3, G.img_channels, G.img_resolution, G.img_resolution)
    assert ws.dtype == img.dtype == torch.float32
    assert img.isfinite().all()
    if case.tiny.bounded:
        assert img.abs().max() <= 1
        assert G.synthesis(100 * _ws(case, G)).abs().max() <= 1


@torch.no_grad()
def generator_call_is_mapping_then_synthesis(case: Case) -> None:
    G, c = case.build(), case.labels(3)
    z = _z(case, G)
    ws = G.mapping(z, c, truncation_psi=0.6, truncation_cutoff=1)
    assert torch.equal(G(z, c, truncation_psi=0.6, truncation_cutoff=1), G.synthesis(ws))
    assert torch.equal(G(z, c), G.synthesis(G.mapping(z, c)))


@torch.no_grad()
def generator_is_repeatable(case: Case) -> None:
    G = case.build()
    ws = _ws(case, G)
    kept = ws.clone()
    first = G.synthesis(ws, noise_mode="const")
    torch.manual_seed(99)
    torch.randn(7)
    assert torch.equal(G.synthesis(ws, noise_mode="const"), first)
    assert torch.equal(G.synthesis(ws, noise_mode="none"), G.synthesis(ws, noise_mode="none"))
    assert torch.equal(ws, kept), "synthesis must leave ws as it was"


@torch.no_grad()
def generator_noise_modes(case: Case) -> None:
    """'random' differs from call to call exactly where the family has noise (its 'none' differs from 'const')."""
    G = case.build()
    ws = _ws(case, G, 1)
    has_noise = not torch.equal(G.synthesis(ws, noise_mode="const"), G.synthesis(ws, noise_mode="none"))
    torch.manual_seed(0)
    a, b = G.synthesis(ws, noise_mode="random"), G.synthesis(ws, noise_mode="random")
    assert torch.equal(a, b) != has_noise
    with pytest.raises(BadConfig, match="noise_mode"):
        G.synthesis(ws, noise_mode="loud")


@torch.no_grad()
def generator_truncates(case: Case) -> None:
    G = case.build()
    z = _z(case, G, 4)
    c = None if case.labels(1) is None else case.labels(1).expand(4, -1)  # the mean picture may depend on the label
    ws = G.mapping(z, c)
    assert torch.equal(G.mapping(z, c, truncation_psi=1), ws)
    mean = G.mapping(z, c, truncation_psi=0)
    assert torch.allclose(mean, mean[:1].expand_as(mean), atol=1e-6), "psi 0 is the same latent for every seed"
    pictures = G.synthesis(mean)
    assert torch.allclose(pictures, pictures[:1].expand_as(pictures), atol=1e-4)
    half = G.mapping(z, c, truncation_psi=0.5)
    assert torch.allclose(half, (mean + ws) / 2, atol=1e-5), "psi 0.5 is half-way to the mean"
    assert not torch.allclose(half, ws, atol=1e-3)


@torch.no_grad()
def generator_truncates_leading_rows_only(case: Case) -> None:
    G, c = case.build(), case.labels(3)
    z = _z(case, G)
    ws, all_rows = G.mapping(z, c), G.mapping(z, c, truncation_psi=0.3)
    for cutoff in {0, 1, G.num_ws // 2, G.num_ws}:
        cut = G.mapping(z, c, truncation_psi=0.3, truncation_cutoff=cutoff)
        assert torch.allclose(cut[:, :cutoff], all_rows[:, :cutoff], atol=1e-6)
        assert torch.equal(cut[:, cutoff:], ws[:, cutoff:])


@torch.no_grad()
def generator_pictures_of_a_batch_are_independent(case: Case) -> None:
    G, c = case.build(), case.labels(3)
    z = _z(case, G)
    ws = G.mapping(z, c)
    singles = [G.mapping(z[i : i + 1], None if c is None else c[i : i + 1]) for i in range(3)]
    assert torch.allclose(ws, torch.cat(singles), atol=1e-5)
    ws = _ws(case, G)
    together = G.synthesis(ws)
    alone = torch.cat([G.synthesis(ws[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-4)


@torch.no_grad()
def generator_uses_its_latent(case: Case) -> None:
    G, c = case.build(), case.labels(2)
    a, b = G.synthesis(_ws(case, G, 2))
    assert (a - b).abs().max() > 1e-3
    ws = G.mapping(_z(case, G, 2), c)
    assert not torch.allclose(ws[0], ws[1])


@torch.no_grad()
def generator_uses_its_labels(case: Case) -> None:
    if not case.conditional:
        return
    G = case.build()
    z = _z(case, G, 1).expand(LABELS, -1)
    a, b, *_ = G(z, case.labels(LABELS))
    assert (a - b).abs().max() > 1e-4


def generator_gives_gradients_to_ws(case: Case) -> None:
    G = case.build()
    ws = _ws(case, G, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(G.synthesis(ws).square().sum(), ws)
    assert gradient.isfinite().all()
    assert gradient.flatten(2).abs().amax(dim=2).gt(0).all(), "every row of ws moves the picture"
    if G.num_ws > 1:
        return
    direction = torch.randn_like(ws)
    with torch.no_grad():  # the directional derivative, written out
        step = 1e-2
        up, down = (G.synthesis(ws + s * step * direction).double().square().sum() for s in (1, -1))
        slope = (up - down) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(
        float(slope), rel=0.05, abs=0.05 * float(gradient.norm())
    )


def generator_trains_all_its_parameters(case: Case) -> None:
    G = case.build().train()
    z, c = _z(case, G, 6), case.labels(6)
    G(z, c, noise_mode="random").square().sum().backward()
    assert unused_parameters(G, case) == []


@torch.no_grad()
def generator_averages_what_it_paints(case: Case) -> None:
    """`averaged` is the whole picture made smaller, no early exit."""
    G = case.build().eval()
    ws = _ws(case, G, n=2)
    img = G.synthesis(ws)
    for px in (G.img_resolution // 4, G.img_resolution // 2, G.img_resolution, 2 * G.img_resolution):
        assert torch.allclose(G.synthesize_downscaled(ws, px), downscale(img, px), atol=1e-5 * float(img.abs().max()))


@torch.no_grad()
def generator_fast_is_close_to_exact(case: Case) -> None:
    G = case.build()
    ws = _ws(case, G)
    exact, fast = G.synthesis(ws), G.synthesis(ws, precision="fast")
    assert fast.dtype == torch.float32
    assert fast.shape == exact.shape
    assert fast.isfinite().all()
    assert relative_psnr(exact, fast) > case.tiny.fast_psnr
    assert torch.equal(fast, G.synthesis(ws, precision="fast"))
    assert torch.equal(G.synthesis(ws), exact), "a fast call leaves the exact one as it was"
    with pytest.raises(BadConfig, match="precision"):
        G.synthesis(ws, precision="quick")


def generator_fast_follows_its_weights(case: Case) -> None:
    """Whatever 'fast' keeps in store must not outlive the weights it was made of."""
    G, other = case.build(seed=1), case.build(seed=2)
    ws = _ws(case, G)
    with torch.no_grad():
        G.synthesis(ws, precision="fast")
        G.load_state_dict(other.state_dict())
        assert torch.equal(G.synthesis(ws, precision="fast"), other.synthesis(ws, precision="fast"))
        for name, parameter in G.named_parameters():
            exact, fast = G.synthesis(ws), G.synthesis(ws, precision="fast")
            parameter.add_(0.5 * torch.randn_like(parameter))
            if not torch.allclose(G.synthesis(ws), exact, atol=1e-2 * float(exact.std())):
                assert not torch.equal(G.synthesis(ws, precision="fast"), fast), name


@torch.no_grad()
def generator_exits_where_it_says(case: Case) -> None:
    G = case.build()
    ws = _ws(case, G, 2)
    full = G.synthesis(ws)
    assert torch.equal(G.synthesis(ws, resolution=G.img_resolution), full)
    for px in case.tiny.exits:
        assert G.synthesis(ws, resolution=px).shape == (2, G.img_channels, px, px)
    for px in {3, G.img_resolution * 2, 4, 8} - {*case.tiny.exits, G.img_resolution}:
        with pytest.raises(BadConfig, match=str(G.img_resolution)):
            G.synthesis(ws, resolution=px)


def generator_shows_its_features(case: Case) -> None:
    G = case.build()
    ws = _ws(case, G, 2).requires_grad_()
    sizes = G.feature_sizes
    if not sizes:
        with pytest.raises(BadConfig, match="no feature maps"):
            G.features(ws, 4)
        return
    assert list(sizes) == sorted(set(sizes))
    assert G.img_resolution // 2 <= sizes[-1] <= G.img_resolution
    for px in sizes:
        x = G.features(ws, px)
        assert x.shape[0] == 2 and x.shape[2:] == (px, px)
        assert x.isfinite().all()
        assert torch.equal(x, G.features(ws, px))
        assert torch.allclose(x[:1], G.features(ws[:1], px), atol=1e-4), "pictures of a batch are independent"
        (gradient,) = torch.autograd.grad(x.square().sum(), ws)
        assert gradient.isfinite().all() and gradient[:, 0].any()
        assert (
            relative_psnr(x.detach(), G.features(ws, px, precision="fast").detach().float()) > case.tiny.fast_psnr - 6
        )
    for px in (3, 2 * G.img_resolution):
        with pytest.raises(BadConfig, match=str(sizes[-1])):
            G.features(ws, px)
    with pytest.raises(BadLatent):
        G.features(ws[:, :, 1:], sizes[0])
    with pytest.raises(BadConfig, match="noise_mode"):
        G.features(ws, sizes[0], noise_mode="loud")


def generator_refuses_what_does_not_fit(case: Case) -> None:
    G, c = case.build(), case.labels(2)
    for z in (torch.randn(2, G.z_dim + 1), torch.randn(G.z_dim), torch.zeros(2, G.z_dim, dtype=torch.long), "seed"):
        with pytest.raises(BadLatent):
            G.mapping(z, c)
    for shape in ((2, G.num_ws, G.w_dim + 1), (2, G.num_ws + 1, G.w_dim), (2, G.w_dim), (2, 3, G.num_ws, G.w_dim)):
        with pytest.raises(BadLatent, match=str(G.w_dim)):
            G.synthesis(torch.randn(shape))
    z = torch.randn(2, G.z_dim)
    wrong = [None, torch.ones(2, LABELS + 1), torch.ones(1, LABELS)] if case.conditional else [torch.ones(2, LABELS)]
    for labels in wrong:
        with pytest.raises(BadLatent, match="label"):
            G.mapping(z, labels)
    if not case.conditional:
        assert torch.equal(G.mapping(z, torch.zeros(2, 0)), G.mapping(z))


@torch.no_grad()
def generator_round_trips(case: Case) -> None:
    """Through state_dict and build(**config), and through deepcopy, after both have been used."""
    G = case.build(seed=3)
    ws = _ws(case, G)
    expected = G.synthesis(ws)
    again = build(case.family, **dataclasses.asdict(G.config)).eval()
    again.load_state_dict(G.state_dict())
    twin = copy.deepcopy(G)
    for other in (again, twin):
        assert torch.equal(other.synthesis(ws), expected)
    next(twin.parameters()).add_(1)
    assert torch.equal(G.synthesis(ws), expected), "a copy shares nothing with its original"


@torch.no_grad()
def generator_compiles(case: Case) -> None:
    """The tracer of torch.compile must find one whole graph; the code that is made of it is torch's own affair."""
    torch.compiler.reset()
    G = case.build()
    ws = _ws(case, G, 2)
    compiled = torch.compile(G.synthesis, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(ws), G.synthesis(ws), atol=1e-5)
    torch.compiler.reset()


# ------------------------------------------------------------------------------------------- discriminators


def _judged(case: Case, D: Any, n: int = 4, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, D.img_channels, D.img_resolution, D.img_resolution, generator=random).clamp(-1, 1)


def discriminator_keeps_its_shapes(case: Case) -> None:
    D = case.build()
    assert isinstance(D, protocol.Discriminator)
    assert D.c_dim == (LABELS if case.conditional else 0)
    logits = D(_judged(case, D), case.labels(4))
    assert logits.ndim in (1, 2)
    assert logits.shape[0] == 4
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@torch.no_grad()
def discriminator_is_repeatable(case: Case) -> None:
    D, c = case.build(), case.labels(4)
    img = _judged(case, D)
    kept = img.clone()
    first = D(img, c)
    torch.manual_seed(99)
    assert torch.equal(D(img, c), first)
    assert torch.equal(img, kept)


@torch.no_grad()
def discriminator_tells_pictures_apart(case: Case) -> None:
    D, c = case.build(), case.labels(1)
    a, b = (D(_judged(case, D, 1, seed), c) for seed in (1, 2))
    assert not torch.allclose(a, b, atol=1e-7)


@torch.no_grad()
def discriminator_uses_its_labels(case: Case) -> None:
    if not case.conditional:
        return
    D = case.build()
    img = _judged(case, D, 1).expand(LABELS, -1, -1, -1)
    logits = D(img, case.labels(LABELS)).reshape(LABELS, -1)
    assert not torch.allclose(logits[0], logits[1], atol=1e-7)


def discriminator_trains_all_its_parameters(case: Case) -> None:
    D = case.build().train()
    D(_judged(case, D, 6), case.labels(6)).square().sum().backward()
    assert unused_parameters(D, case) == []


def discriminator_r1_has_second_derivatives(case: Case) -> None:
    """R1's gradient with respect to a weight equals its slope, taken by finite differences in float64."""
    D = case.build().double()
    img = _judged(case, D, 2).double().requires_grad_()
    c = case.labels(2)

    def r1() -> Tensor:
        (gradient,) = torch.autograd.grad(D(img, c).sum(), img, create_graph=True)
        return gradient.square().sum()

    used = [p for name, p in D.named_parameters() if p.ndim > 1 and not name.startswith(case.tiny.idle)]
    weight = max(used, key=lambda p: p.numel())
    penalty = r1()
    assert penalty.item() > 0
    (slope,) = torch.autograd.grad(penalty, weight)
    direction = torch.randn_like(weight) * weight.std()
    step = 1e-6
    with torch.no_grad():
        weight.add_(step * direction)
    up = r1().item()
    with torch.no_grad():
        weight.sub_(2 * step * direction)
    down = r1().item()
    assert (slope * direction).sum().item() == pytest.approx((up - down) / (2 * step), rel=1e-3)


def discriminator_takes_penalties_in_train_mode(case: Case) -> None:
    D = case.build().train()
    img = _judged(case, D, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(D(img, case.labels(4)).sum(), img, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in D.parameters())
    assert any(p.grad is not None and p.grad.any() for p in D.parameters())


def discriminator_refuses_what_does_not_fit(case: Case) -> None:
    D, c = case.build(), case.labels(2)
    img = _judged(case, D, 2)
    bad = [img[0], img[:, :1].expand(-1, D.img_channels + 1, -1, -1), img.mul(127).to(torch.uint8), "photo.png"]
    for wrong in bad:
        with pytest.raises(BadImage):
            D(wrong, c)
    wrong_labels = [None, torch.ones(2, LABELS + 1)] if case.conditional else [torch.ones(2, LABELS)]
    for labels in wrong_labels:
        with pytest.raises(BadLatent, match="label"):
            D(img, labels)


@torch.no_grad()
def discriminator_round_trips(case: Case) -> None:
    D, c = case.build(seed=3), case.labels(4)
    img = _judged(case, D)
    expected = D(img, c)
    again = build(case.family, network="D", **dataclasses.asdict(D.config)).eval()
    again.load_state_dict(D.state_dict())
    for other in (again, copy.deepcopy(D)):
        assert torch.equal(other(img, c), expected)
    copy.deepcopy(D.train())(img, c)  # also after, and in, training
    assert torch.equal(D.eval()(img, c), expected)


@torch.no_grad()
def discriminator_compiles(case: Case) -> None:
    torch.compiler.reset()
    D, c = case.build(), case.labels(4)
    img = _judged(case, D)
    assert torch.allclose(torch.compile(D, backend="eager", fullgraph=True)(img, c), D(img, c), atol=1e-5)
    torch.compiler.reset()


# ------------------------------------------------------------------------------------------- img → img


def _picture(case: Case, net: Any, n: int = 1, size: tuple[int, int] | None = None) -> Tensor:
    channels = getattr(net, "in_channels", None) or net.img_channels
    rules, (h, w) = net.size_rules, size or case.tiny.picture_px
    h, w = (max(rules.minimum_px, -(-side // rules.multiple_of) * rules.multiple_of) for side in (h, w))
    return torch.rand(n, channels, h, h if rules.square else w, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.no_grad()
def upscaler_keeps_its_shapes(case: Case) -> None:
    up = case.build()
    assert isinstance(up, protocol.Upscaler)
    rules = up.size_rules
    assert rules.minimum_px >= 1
    assert rules.multiple_of >= 1
    for size in ((16, 16), (16, 24), (17, 21)):
        img = _picture(case, up, 2, size)
        large = up(img)
        assert large.shape == (2, up.img_channels, img.shape[2] * up.scale, img.shape[3] * up.scale)
        assert large.dtype == torch.float32
        assert large.isfinite().all()


@torch.no_grad()
def translator_keeps_its_shapes(case: Case) -> None:
    net = case.build()
    assert isinstance(net, protocol.Translator)
    assert isinstance(net.whole_image_norm, bool)
    for size in ((16, 16), (16, 32), (32, 20)):
        img = _picture(case, net, 2, size)
        other = net(img)
        assert other.shape == (2, net.out_channels, *img.shape[2:])
        assert other.isfinite().all()
        if case.tiny.bounded:
            assert other.abs().max() <= 1


@torch.no_grad()
def picture_network_is_repeatable_and_keeps_pictures_apart(case: Case) -> None:
    net = case.build()
    a = _picture(case, net, 3)
    kept = a.clone()
    together = net(a)
    assert torch.equal(net(a), together)
    assert torch.equal(a, kept)
    assert torch.allclose(together, torch.cat([net(a[i : i + 1]) for i in range(3)]), atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


@torch.no_grad()
def picture_network_says_how_far_it_sees(case: Case) -> None:
    """What the tiler relies on: without whole_image_norm, pixels beyond the receptive field change nothing here."""
    net = case.build()
    if getattr(net, "whole_image_norm", False):
        return
    near = _picture(case, net, 1, (8, 2 * net.receptive_field_px + 16))
    far = near.clone()
    far[..., net.receptive_field_px + 1 :] *= -1
    assert torch.allclose(net(near)[..., 0], net(far)[..., 0], atol=1e-6)


@torch.no_grad()
def picture_network_fast_is_close_to_exact(case: Case) -> None:
    net = case.build()
    img = _picture(case, net, 2)
    exact, fast = net(img), net(img, precision="fast")
    assert fast.dtype == torch.float32
    assert relative_psnr(exact, fast) > case.tiny.fast_psnr
    assert torch.equal(net(img), exact), "a fast call leaves the exact one as it was"
    with pytest.raises(BadConfig, match="precision"):
        net(img, precision="quick")


def picture_network_refuses_what_does_not_fit(case: Case) -> None:
    net = case.build()
    img = _picture(case, net)
    for wrong in (img[0], torch.cat([img, img], dim=1), img.mul(127).to(torch.uint8), "photo.png"):
        with pytest.raises(BadImage):
            net(wrong)
    rules = net.size_rules
    if rules.multiple_of > 1 or rules.minimum_px > 1:
        with pytest.raises(BadInput):
            net(img[..., : (rules.minimum_px - 1) or 1, :])


def picture_network_trains_all_its_parameters(case: Case) -> None:
    net = case.build().train()
    net(_picture(case, net, 2)).square().sum().backward()
    assert unused_parameters(net, case) == []


@torch.no_grad()
def picture_network_round_trips(case: Case) -> None:
    net = case.build(seed=3)
    img = _picture(case, net)
    expected = net(img)
    again = build(case.family, **dataclasses.asdict(net.config)).eval()
    again.load_state_dict(net.state_dict())
    for other in (again, copy.deepcopy(net)):
        assert torch.equal(other(img), expected)


@torch.no_grad()
def picture_network_compiles(case: Case) -> None:
    torch.compiler.reset()
    net = case.build()
    img = _picture(case, net)
    assert torch.allclose(torch.compile(net, backend="eager", fullgraph=True)(img), net(img), atol=1e-5)
    torch.compiler.reset()


Check = Callable[[Case], None]

NETWORK_CHECKS: list[Check] = [
    config_is_frozen_and_survives_json,
    config_is_keyword_only_and_has_working_defaults,
    unknown_field_is_named,
    knows_its_family,
    same_seed_same_weights,
    holds_nothing_that_mps_cannot,
    starts_in_train_mode,
]
GENERATOR_CHECKS: list[Check] = [
    generator_keeps_its_shapes,
    generator_call_is_mapping_then_synthesis,
    generator_is_repeatable,
    generator_noise_modes,
    generator_truncates,
    generator_truncates_leading_rows_only,
    generator_pictures_of_a_batch_are_independent,
    generator_uses_its_latent,
    generator_uses_its_labels,
    generator_gives_gradients_to_ws,
    generator_trains_all_its_parameters,
    generator_averages_what_it_paints,
    generator_fast_is_close_to_exact,
    generator_fast_follows_its_weights,
    generator_exits_where_it_says,
    generator_shows_its_features,
    generator_refuses_what_does_not_fit,
    generator_round_trips,
    generator_compiles,
]
DISCRIMINATOR_CHECKS: list[Check] = [
    discriminator_keeps_its_shapes,
    discriminator_is_repeatable,
    discriminator_tells_pictures_apart,
    discriminator_uses_its_labels,
    discriminator_trains_all_its_parameters,
    discriminator_r1_has_second_derivatives,
    discriminator_takes_penalties_in_train_mode,
    discriminator_refuses_what_does_not_fit,
    discriminator_round_trips,
    discriminator_compiles,
]
_PICTURE_CHECKS: list[Check] = [
    picture_network_is_repeatable_and_keeps_pictures_apart,
    picture_network_says_how_far_it_sees,
    picture_network_fast_is_close_to_exact,
    picture_network_refuses_what_does_not_fit,
    picture_network_trains_all_its_parameters,
    picture_network_round_trips,
    picture_network_compiles,
]
UPSCALER_CHECKS: list[Check] = [upscaler_keeps_its_shapes, *_PICTURE_CHECKS]
TRANSLATOR_CHECKS: list[Check] = [translator_keeps_its_shapes, *_PICTURE_CHECKS]
CHECKS = {"generator": GENERATOR_CHECKS, "upscaler": UPSCALER_CHECKS, "translator": TRANSLATOR_CHECKS}
