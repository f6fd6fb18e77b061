from dataclasses import replace

import pytest
import torch

from ganvas.errors import BadConfig, BadImage, BadLatent, Stopped
from ganvas.features.identity import identity_distance
from ganvas.inversion.encoder import find_encoder, fit_encoder, keep_encoder
from ganvas.inversion.latent_space import latent_space
from ganvas.inversion.loss import ReconstructionLossConfig
from ganvas.inversion.optimise import EFFORT_STAGES, InversionStage, group_of_rows, invert
from ganvas.inversion.pivotal import with_delta
from ganvas.inversion.result import Inversion
from ganvas.ops.psnr_ssim import psnr_rgb
from ganvas.ops.resample import downscale
from ganvas.weights.checkpoint import fingerprint
from tests import contracts
from tests.inversion.generators import every_family, picture_of, tiny

W = InversionStage(kind="w", px=16, steps=60, lr=0.15)
GROUPS = InversionStage(kind="groups", px=16, steps=40, lr=0.1)
W_PLUS = InversionStage(kind="w+", px=16, steps=30, lr=0.05)
STARTS_23 = [0, 4, 7, 10, 13, 16]  # of `faces`
TUNE = InversionStage(kind="tune", px=32, steps=40, lr=0.02, every=10, precision="exact")
SHORT = (
    InversionStage(kind="groups", px=16, steps=6, lr=0.1),
    InversionStage(kind="tune", px=16, steps=6, lr=0.01, precision="exact"),
)


def odd_picture(G):
    """A picture that the generator cannot make exactly."""
    random = torch.Generator().manual_seed(5)
    spots = torch.rand(1, G.img_channels, 4, 4, generator=random) - 0.5
    return (picture_of(G) + 0.6 * torch.nn.functional.interpolate(spots, G.img_resolution)).clamp(-1, 1)


@every_family
def test_each_stage_comes_nearer(family):
    G = tiny(family)
    img = odd_picture(G)
    pictures_only = ReconstructionLossConfig(face=0)
    psnr, found = [], None
    for end in (W.steps, W.steps + W_PLUS.steps, None):  # one search, looked at where a stage ends
        found = invert(
            img,
            G,
            stages=(W, W_PLUS, TUNE),
            loss_config=pictures_only,
            resume=found,
            on_step=lambda step, *_, end=end: step == end,
        )
        psnr.append(found.figures["psnr_db"])
    with torch.no_grad():
        mean = psnr_rgb(G.synthesis(G.mapping(torch.zeros(1, G.z_dim) + 1e-3)).clamp(-1, 1), img)
    assert psnr[0] > mean.item()
    assert psnr[1] >= psnr[0] - 0.1  # of untrained generators, where more freedom gains little: rounding decides
    assert psnr[2] > psnr[1] + 0.2


@every_family
def test_rows_of_a_group_stay_one(family):
    G = tiny(family)
    found = invert(odd_picture(G), G, stages=(GROUPS,))
    group = group_of_rows(G.num_ws)
    for one in group.unique():
        rows = found.ws[:, group == one]
        assert torch.equal(rows, rows[:, :1].expand_as(rows))
    if G.num_ws > 1:
        assert not torch.equal(found.ws[:, 0], found.ws[:, -1])
    means = invert(odd_picture(G), G, stages=(replace(W, steps=40, lr=0.1),))
    assert found.figures["psnr_db"] > means.figures["psnr_db"] - 1


@pytest.mark.parametrize(
    ("num_ws", "starts"), [(1, [0]), (2, [0, 1]), (8, [0, 1, 2, 3, 5, 6]), (18, [0, 3, 5, 8, 10, 13]), (23, STARTS_23)]
)
def test_groups_are_shares_of_the_rows(num_ws, starts):
    group = group_of_rows(num_ws).tolist()
    assert [row for row in range(num_ws) if row == 0 or group[row] != group[row - 1]] == starts


def test_the_encoder_of_a_generator_is_where_its_search_starts(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    G = tiny("stylegan2")
    img, one_step = odd_picture(G), (replace(GROUPS, steps=1, lr=1e-9, px=32, precision="exact"),)
    shown = []
    without = invert(img, G, stages=one_step)
    encoder = fit_encoder(G, samples=400)
    keep_encoder(encoder)
    found = invert(img, G, stages=one_step, on_step=lambda step, total, picture: shown.append(picture))
    space = latent_space(G)
    start = space.to_ws(find_encoder(G).find_start(img, G, space))
    assert torch.allclose(found.ws, start, atol=1e-4)
    assert found.figures["psnr_db"] > without.figures["psnr_db"]
    with torch.no_grad():
        assert torch.allclose(shown[0], G.synthesis(start), atol=1e-3), "the first preview is the guess"


def test_figures_say_what_the_latent_is_before_the_tuning():
    G = tiny("mobilestylegan")
    img = odd_picture(G)
    found = invert(img, G, stages=SHORT)
    with torch.no_grad():
        untuned = G.synthesis(found.ws).clamp(-1, 1)
    assert found.figures["latent_psnr_db"] == pytest.approx(psnr_rgb(untuned, img).item(), abs=1e-3)
    assert found.figures["latent_psnr_db"] < found.figures["psnr_db"]
    assert {"photo_smile", "latent_smile", "latent_ssim", "identity_distance"} <= found.figures.keys()
    expected = identity_distance(untuned, img).item()  # of 64 px: neither is averaged down
    assert found.figures["latent_identity"] == pytest.approx(expected, abs=1e-3)
    plain = tiny("stylegan2")
    assert not {"photo_smile", "latent_identity"} & invert(odd_picture(plain), plain, stages=SHORT).figures.keys()


def test_a_picture_of_the_generator_itself_is_found():
    G = tiny("stylegan2")
    found = invert(picture_of(G), G, stages=(InversionStage(kind="w", px=32, steps=150, lr=0.1, precision="exact"),))
    assert found.figures["psnr_db"] > 30
    assert found.delta == {}


@every_family
def test_the_result_shows_the_picture_with_the_figures_it_says(family):
    G = tiny(family)
    img = odd_picture(G)
    kept = {name: t.clone() for name, t in G.state_dict().items()}
    found = invert(img, G, stages=(W, TUNE))
    assert all(torch.equal(t, kept[name]) for name, t in G.state_dict().items()), "the generator is left as it was"
    assert found.ws.shape == (1, G.num_ws, G.w_dim)
    assert found.finished
    assert found.fingerprint == fingerprint(G)
    with torch.no_grad():
        shown = with_delta(G, found.delta).synthesis(found.ws).clamp(-1, 1)
    assert psnr_rgb(shown, img).item() == pytest.approx(found.figures["psnr_db"], abs=1e-3)


def test_the_same_picture_gives_the_same_result():
    G = tiny("mobilestylegan")
    img = odd_picture(G)
    a = invert(img, G, stages=SHORT)
    torch.manual_seed(99)
    b = invert(img, G, stages=SHORT)
    assert torch.equal(a.ws, b.ws)
    assert all(torch.equal(a.delta[name], b.delta[name]) for name in a.delta)


def test_progress_is_told_and_shows_the_picture():
    G = tiny("mobilestylegan")
    told = []
    invert(odd_picture(G), G, stages=SHORT, on_step=lambda step, total, img: told.append((step, total, img.shape)))
    assert told == [(i, 12, (1, 3, 16, 16)) for i in range(13)]


@pytest.mark.parametrize("stop_at", [4, 9])
@pytest.mark.parametrize("by_error", [True, False])
def test_it_can_be_stopped_and_taken_up_again(tmp_path, stop_at, by_error):
    G = tiny("stylegan2")
    img = odd_picture(G)
    whole = invert(img, G, stages=SHORT)

    def on_step(step, total, img):
        if step == stop_at and by_error:
            raise Stopped("enough")
        return step == stop_at

    if by_error:
        with pytest.raises(Stopped) as stopped:
            invert(img, G, stages=SHORT, on_step=on_step)
        part = stopped.value.state
    else:
        part = invert(img, G, stages=SHORT, on_step=on_step)
    assert not part.finished
    assert part.figures["psnr_db"] > 0
    part = Inversion.load(part.save(tmp_path / "part"))  # also over a night
    steps = []
    rest = invert(img, G, stages=SHORT, resume=part, on_step=lambda step, *_: steps.append(step))
    assert steps == list(range(stop_at + 1, 13))
    assert rest.finished
    # The early exit is anchored anew and the delta was rounded to float16, so the two ways part a little.
    assert torch.allclose(rest.ws, whole.ws, atol=0.1)
    assert rest.figures["psnr_db"] == pytest.approx(whole.figures["psnr_db"], abs=0.2)


def test_what_is_taken_up_must_be_of_the_same_search():
    G = tiny("stylegan2")
    img = odd_picture(G)
    part = invert(img, G, stages=SHORT, on_step=lambda step, *_: step == 3)
    with pytest.raises(BadConfig, match="source"):
        invert(picture_of(G), G, stages=SHORT, resume=part)
    with pytest.raises(BadConfig, match="effort"):
        invert(img, G, effort="fast", resume=part)


def test_a_time_limit_shortens_every_stage(clock):
    G = tiny("stylegan2")
    clock.tick_sec = 0.1
    kinds = []
    stages = (
        InversionStage(kind="w", px=8, steps=100, lr=0.1),
        InversionStage(kind="tune", px=8, steps=100, lr=0.01, cost=2),
    )
    found = invert(odd_picture(G), G, stages=stages, max_sec=3, on_step=lambda step, *_: kinds.append(step > 100))
    assert found.finished
    assert kinds.count(False) == pytest.approx(10, abs=2)
    assert kinds.count(True) == pytest.approx(20, abs=2)
    assert found.delta


def test_conditional_generators_keep_their_label():
    G = tiny("mlp", c_dim=3)
    c = torch.eye(3)[[2]]
    with torch.no_grad():
        img = G(torch.randn(1, G.z_dim), c)
    found = invert(img, G, c=c, stages=(W,))
    assert torch.allclose(found.ws[0, 0, G.z_dim :], G.mapping(torch.zeros(1, G.z_dim), c)[0, 0, G.z_dim :])
    with pytest.raises(BadLatent, match="label"):
        invert(img, G, stages=(W,))


@pytest.mark.parametrize("size", [20, 200])
def test_pictures_of_other_sizes_are_brought_to_the_generators(size):
    G = tiny("stylegan2")
    img = torch.nn.functional.interpolate(picture_of(G), (size, size), mode="bicubic").clamp(-1, 1)
    found = invert(img, G, stages=(InversionStage(kind="w", px=32, steps=60, lr=0.15),))
    with torch.no_grad():
        shown = G.synthesis(found.ws).clamp(-1, 1)
    assert psnr_rgb(downscale(shown, 20), downscale(img, 20)).item() > 18


def test_the_identity_of_an_embedder_is_minded():
    G = tiny("stylegan2")

    def embedder(x):
        return 4 * x.mean(dim=(2, 3))

    img = odd_picture(G)
    without = invert(img, G, stages=(W,))
    found = invert(img, G, stages=(W,), embedder=embedder)
    with torch.no_grad():
        other = (embedder(G.synthesis(without.ws)) - embedder(img)).norm()
    assert found.figures["identity_distance"] < other


def test_what_does_not_fit_is_refused():
    G = tiny("stylegan2")
    for wrong in (torch.zeros(2, 3, 32, 32), torch.zeros(1, 3, 32, 40), torch.zeros(1, 1, 32, 32)):
        with pytest.raises(BadImage):
            invert(wrong, G)
    with pytest.raises(BadConfig, match="effort"):
        invert(torch.zeros(1, 3, 32, 32), G, effort="heroic")
    with pytest.raises(BadConfig, match="kind"):
        InversionStage(kind="z", px=8, steps=1, lr=1)
    with pytest.raises(BadConfig, match="steps must be a whole number of at least 1"):
        InversionStage(kind="w", px=8, steps=0, lr=1)


def test_efforts_rise():
    costs = [sum(s.steps * s.cost for s in EFFORT_STAGES[name]) for name in ("fast", "standard", "best")]
    assert costs == sorted(costs)
    assert all([s.kind for s in stages] == ["groups", "groups", "tune", "detail"] for stages in EFFORT_STAGES.values())


GENERATORS = [case for case in contracts.cases("generator", "G") if not case.conditional]


@pytest.mark.parametrize("case", GENERATORS, ids=str)
def test_every_family_is_searched_and_tuned(case):
    G = case.build()
    img = picture_of(G, seed=4)
    told = []
    stages = (replace(W, steps=25), replace(TUNE, steps=15))
    found = invert(
        img,
        G,
        stages=stages,
        loss_config=ReconstructionLossConfig(face=0),  # an untrained generator paints none
        on_step=lambda step, total, y: told.append((y - downscale(img, y.shape[3])).std()),
    )
    assert found.finished
    assert found.delta, "something was tuned"
    assert min(told[20:]) < told[0]
    with torch.no_grad():
        shown = with_delta(G, found.delta).synthesis(found.ws).clamp(-1, 1)
    assert psnr_rgb(shown, img).item() == pytest.approx(found.figures["psnr_db"], abs=0.01)
