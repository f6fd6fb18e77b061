"""Path lengths against derivatives, which need no small step."""

import pytest
import torch
from torch import nn
from torch.func import jvp

from ganvas.errors import BadConfig
from ganvas.metrics.feature_extractor import FeatureExtractor
from ganvas.metrics.ppl import path_lengths, ppl, slerp, trim_outliers
from tests.metrics.makers import NoisePictures, small_eyes


class Bend(nn.Module):
    """Eyes with one feature map that is no linear function of the picture."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 5, 3, padding=1)

    def features(self, img):
        return [torch.tanh(self.mix(img)), img * 2 + 1]


class Painter(nn.Module):
    """Two layers from z to w, one from w to an 8 px picture."""

    z_dim, w_dim, img_resolution, img_channels = 6, 5, 8, 3

    def __init__(self, *, num_ws=2, c_dim=0):
        super().__init__()
        self.num_ws, self.c_dim = num_ws, c_dim
        self.map, self.paint = nn.Linear(6 + c_dim, 5), nn.Linear(5 if num_ws > 1 else 6, 192)

    def mapping(self, z, c=None, **_):
        if self.num_ws == 1:
            return z[:, None]
        return torch.tanh(self.map(z if c is None else torch.cat([z, c], 1)))[:, None].expand(-1, 2, -1)

    def synthesis(self, ws, **_):
        return torch.sin(self.paint(ws.mean(dim=1))).reshape(-1, 3, 8, 8)


def eyes_of(network):
    return FeatureExtractor(network.eval().requires_grad_(False), name="bend", short="Bend", input_px=8)


def speed(G, network, ws, direction):
    """|d features / d step|², of features scaled to unit length at each place: the limit of distance / ε²."""

    def seen(ws):
        maps = network.features(G.synthesis(ws))
        return torch.cat([(m / m.norm(dim=1, keepdim=True) / m[0, 0].numel() ** 0.5).flatten() for m in maps])

    return float(jvp(seen, (ws,), (direction,))[1].square().sum())


@pytest.mark.parametrize("num_ws", [2, 1])
def test_equals_the_squared_derivative_along_the_path(num_ws):
    torch.manual_seed(0)
    G, network = Painter(num_ws=num_ws).eval().requires_grad_(False), Bend()
    found = path_lengths(G, num=5, seed=3, extractor=eyes_of(network))
    z = torch.randn(5, 2, 6, generator=torch.Generator().manual_seed(3))
    for index, (start, end) in enumerate(z):
        if num_ws == 1:
            angle = torch.acos(torch.nn.functional.cosine_similarity(start, end, dim=0))
            unit, target = start / start.norm(), end / end.norm()
            across = (target - (unit @ target) * unit) / torch.sin(angle)
            direction = (end.norm() - start.norm()) * unit + start.norm() * angle * across
            ws, direction = start[None, None], direction[None, None]
        else:
            ws = G.mapping(start[None]).contiguous()
            direction = G.mapping(end[None]) - ws
        assert float(found[index]) == pytest.approx(speed(G, network, ws, direction), rel=5e-3)


def test_the_step_hardly_matters_in_float32():
    torch.manual_seed(1)
    G, extractor = Painter().eval(), eyes_of(Bend())
    at = {
        epsilon: path_lengths(G, num=40, seed=0, extractor=extractor, epsilon=epsilon).mean()
        for epsilon in (1e-3, 1e-4)
    }
    assert float(at[1e-4]) == pytest.approx(float(at[1e-3]), rel=0.02)


def test_a_path_twice_as_long_counts_four_times():
    """Moving the ends of every path apart by 2 doubles its speed at the same place."""
    torch.manual_seed(2)
    G, extractor = Painter().eval(), eyes_of(Bend())
    z = torch.randn(30, 2, 6, generator=torch.Generator().manual_seed(0))
    once = path_lengths(G, num=30, seed=0, extractor=extractor)
    starts, near = G.mapping(z[:, 0]), G.mapping

    def apart(z, c=None, **options):
        ws = near(z)
        return ws if torch.equal(ws, starts) else starts + 2 * (ws - starts)

    G.mapping = apart
    assert torch.allclose(path_lengths(G, num=30, seed=0, extractor=extractor), 4 * once, rtol=0.02)


def test_slerp_keeps_to_the_sphere():
    start, end = torch.randn(2, 9, 6).double()
    start, end = start / start.norm(dim=1, keepdim=True), end / end.norm(dim=1, keepdim=True) * 3
    assert torch.allclose(slerp(start, end, 0.0), start) and torch.allclose(slerp(start, end, 1.0), end)
    half = slerp(start, end, 0.5)
    assert torch.allclose(half.norm(dim=1), torch.full((9,), 2.0, dtype=torch.float64))
    cosine = torch.nn.functional.cosine_similarity
    assert torch.allclose(cosine(half, start), cosine(half, end))


def test_the_outer_hundredths_are_left_out():
    kept = trim_outliers(torch.cat([torch.tensor([1e9, -5.0]), torch.linspace(1, 2, 298)]).double())
    assert 290 <= len(kept) < 300 and float(kept.max()) <= 2 and float(kept.min()) >= 1


def test_the_figure_says_what_it_is():
    torch.manual_seed(0)
    figure = ppl(Painter(), num=100, seed=1, extractor=eyes_of(Bend()))
    assert figure.name == "PPL-Bend" and "path ends in w" in figure.line() and "100 fake" in figure.line()
    conditional = ppl(
        Painter(c_dim=2), num=100, seed=1, extractor=eyes_of(Bend()), pictures=NoisePictures(50, labels=True)
    )
    assert conditional.value > 0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(BadConfig, match="at least 100"):
        ppl(Painter(), num=10, seed=0, extractor=eyes_of(Bend()))
    with pytest.raises(BadConfig, match="feature maps"):
        ppl(Painter(), num=100, seed=0, extractor=small_eyes())
    with pytest.raises(BadConfig, match="conditional"):
        ppl(Painter(c_dim=2), num=100, seed=0, extractor=eyes_of(Bend()))
