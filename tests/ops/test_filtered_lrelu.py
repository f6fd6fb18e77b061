"""The filtered leaky ReLU against its definition, written out slowly, and Kaiser's filters against his formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig
from ganvas.ops import filtered_lrelu as module
from ganvas.ops.filtered_lrelu import (
    Resampler,
    filtered_lrelu,
    kaiser_attenuation,
    kaiser_beta,
    kaiser_lowpass,
)

# ------------------------------------------------------------------------------------------- slow definitions


def slow_convolve(x, f):
    """Σ_jk f[j, k] · x[shifted by j, k], tap by tap; only where the filter lies inside x."""
    plane = torch.ones(1, 1).to(x) if f is None else torch.outer(f.to(x), f.to(x)) if f.ndim == 1 else f.to(x)
    kh, kw = plane.shape
    h, w = x.shape[2] - kh + 1, x.shape[3] - kw + 1
    y = torch.zeros(*x.shape[:2], h, w, dtype=x.dtype)
    for j in range(kh):
        for k in range(kw):
            y = y + plane[kh - 1 - j, kw - 1 - k] * x[:, :, j : j + h, k : k + w]
    return y


def slow_filtered_lrelu(x, fu, fd, *, up=1, down=1, padding=(0, 0), gain=math.sqrt(2), slope=0.2, clamp=None):
    """Stuff with zeros, pad, convolve in full, bend, convolve in full, throw away."""
    n, c, h, w = x.shape
    stuffed = torch.zeros(n, c, h * up, w * up, dtype=x.dtype)
    stuffed[:, :, ::up, ::up] = x
    u = slow_convolve(F.pad(stuffed, (*padding, *padding)), fu) * up**2
    u = torch.where(u > 0, u, slope * u) * gain
    if clamp is not None:
        u = u.clamp(-clamp, clamp)
    return slow_convolve(u, fd)[:, :, ::down, ::down]


def random_filter(taps, dims=1, seed=0):
    """Not symmetric, so that a flipped filter shows; sum 1."""
    f = torch.rand([taps] * dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (f / f.sum()).float()


def picture(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


CASES = {
    "the usual layer": (random_filter(12), random_filter(12, seed=1), {"up": 2, "down": 2, "padding": (9, 8)}),
    "a growing layer": (random_filter(24), random_filter(12, seed=1), {"up": 4, "down": 2, "padding": (12, 13)}),
    "a cropping layer": (random_filter(12), random_filter(12, seed=1), {"up": 2, "down": 2, "padding": (-3, -4)}),
    "a radial filter": (random_filter(12), random_filter(12, 2, seed=1), {"up": 2, "down": 2, "padding": (9, 8)}),
    "both filters planes": (random_filter(6, 2), random_filter(5, 2, seed=1), {"up": 3, "down": 2, "padding": (4, 5)}),
    "much padding": (random_filter(4), random_filter(6, seed=1), {"up": 2, "down": 3, "padding": (17, 21)}),
    "one-sided": (random_filter(6), random_filter(6, seed=1), {"up": 2, "down": 2, "padding": (11, -2)}),
    "no filters": (None, None, {}),
    "no upper filter": (None, random_filter(6), {"down": 2, "padding": (3, 2)}),
    "a limit": (random_filter(12), random_filter(12, seed=1), {"up": 2, "down": 2, "padding": (9, 8), "clamp": 0.1}),
    "linear": (random_filter(12), random_filter(12, seed=1), {"up": 2, "down": 2, "slope": 1.0, "gain": 1.0}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("with_gradient", [False, True])
def test_equals_its_definition(name, with_gradient):
    fu, fd, options = CASES[name]
    x = picture(2, 3, 16, 19).requires_grad_(with_gradient)
    y = filtered_lrelu(x, fu, fd, **options)
    expected = slow_filtered_lrelu(x.double(), fu, fd, **options)
    assert y.dtype == torch.float32
    assert y.shape == expected.shape
    assert y.requires_grad == with_gradient
    torch.testing.assert_close(y.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_those_of_the_definition(name):
    fu, fd, options = CASES[name]
    x = picture(1, 2, 16, 16, seed=5, dtype=torch.float64).requires_grad_()
    gradients = []
    for op in (filtered_lrelu, slow_filtered_lrelu):
        y = op(x, fu, fd, **options)
        v = picture(*y.shape, seed=6, dtype=torch.float64).requires_grad_()
        (first,) = torch.autograd.grad(y, x, v, create_graph=True)
        (second,) = torch.autograd.grad(first, v, picture(*x.shape, seed=7, dtype=torch.float64))
        gradients.append((first, second))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("name", ["the usual layer", "a radial filter", "a limit", "one-sided"])
def test_first_and_second_derivatives_by_finite_differences(name):
    fu, fd, options = CASES[name]
    x = picture(1, 1, 8, 8, seed=3, dtype=torch.float64).requires_grad_()

    def op(x):
        return filtered_lrelu(x, fu, fd, **(options | {"padding": (9, 8)}))

    assert torch.autograd.gradcheck(op, x, atol=1e-6)
    assert torch.autograd.gradgradcheck(op, x, atol=1e-6)


@pytest.mark.parametrize("name", ["the usual layer", "a radial filter"])
def test_pieces_equal_the_whole(name, monkeypatch):
    fu, fd, options = CASES[name]
    x = picture(3, 37, 10, 10).requires_grad_()
    results = []
    for workspace in (1 << 40, 1):
        monkeypatch.setattr(module, "WORKSPACE_BYTES", workspace)
        y = filtered_lrelu(x, fu, fd, **options)
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        (again,) = torch.autograd.grad(gradient.square().sum(), x)
        results.append((y, gradient, again))
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-5)


def test_gradients_keep_only_the_input():
    fu, fd, options = CASES["the usual layer"]
    x = picture(1, 16, 32, 32).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        filtered_lrelu(x, fu, fd, **options)
    assert sum(kept) <= x.numel()


def test_nothing_is_written_into_the_input():
    fu, fd, options = CASES["no filters"]
    x = picture(1, 16, 8, 8)
    kept = x.clone()
    filtered_lrelu(x, fu, fd, **options)
    assert torch.equal(x, kept)
    v = picture(1, 16, 8, 8, seed=1)
    kept_v = v.clone()
    torch.autograd.grad(filtered_lrelu(x.requires_grad_(), fu, fd, **options), x, v)
    assert torch.equal(v, kept_v)


def test_the_tracer_sees_the_same():
    fu, fd, options = CASES["the usual layer"]
    x = picture(1, 16, 10, 10)
    compiled = torch.compile(lambda x: filtered_lrelu(x, fu, fd, **options), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), filtered_lrelu(x, fu, fd, **options))
    torch.compiler.reset()


def test_bfloat16_in_bfloat16_out():
    fu, fd, options = CASES["the usual layer"]
    x = picture(1, 16, 10, 10)
    y = filtered_lrelu(x.bfloat16(), fu, fd, **options)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), filtered_lrelu(x, fu, fd, **options), atol=0.03, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", ["both", "scale", "bias"])
def test_scale_and_bias_come_first(dtype, given):
    fu, fd, options = CASES["the usual layer"]
    x, scale, bias = picture(2, 37, 10, 10).to(dtype), picture(2, 37, seed=1), picture(37, seed=2)
    first = {"both": {"scale": scale, "bias": bias}, "scale": {"scale": scale}, "bias": {"bias": bias}}[given]
    y = x.float() * (scale[:, :, None, None] if "scale" in first else 1)
    y = y + (bias[:, None, None] if "bias" in first else 0)
    expected = filtered_lrelu(y, fu, fd, **options)
    tolerance = 1e-5 if dtype == torch.float32 or "scale" in first else 0.03  # the result is in the widest type given
    torch.testing.assert_close(
        filtered_lrelu(x, fu, fd, **options, **first).float(), expected, atol=tolerance, rtol=tolerance
    )
    for t in first.values():
        t.requires_grad_()
    kept = filtered_lrelu(x.float(), fu, fd, **options, **first)
    torch.testing.assert_close(kept, expected, atol=1e-5, rtol=1e-5)
    v = picture(*kept.shape, seed=3)
    ours = torch.autograd.grad((kept * v).sum(), list(first.values()))
    y = x.float() * (scale[:, :, None, None] if "scale" in first else 1)
    y = y + (bias[:, None, None] if "bias" in first else 0)
    theirs = torch.autograd.grad((slow_filtered_lrelu(y, fu, fd, **options) * v).sum(), list(first.values()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_autocast_changes_nothing():
    fu, fd, options = CASES["the usual layer"]
    x = picture(1, 16, 10, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = filtered_lrelu(x, fu, fd, **options)
    assert torch.equal(inside, filtered_lrelu(x, fu, fd, **options))


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("offset", [-2, 0, 3, 9])
def test_grow_and_shrink_are_transposes(dims, offset):
    f = random_filter(7, dims).double()
    r = Resampler(f=f, factor=2, offset=offset, small=(6, 5), large=(17, 11))
    x, y = picture(1, 2, 6, 5, dtype=torch.float64), picture(1, 2, 17, 11, seed=1, dtype=torch.float64)
    assert float((r.upsample(x) * y).sum()) == pytest.approx(float((x * r.downsample(y)).sum()), rel=1e-10)


# ------------------------------------------------------------------------------------------- filters


def bessel_i0(x):
    return sum((x / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(60))


def bessel_j1(x):
    """1/π ∫ cos(τ − x sin τ) dτ over half a turn."""
    tau = (torch.arange(4000, dtype=torch.float64) + 0.5) * math.pi / 4000
    return float((tau - x * tau.sin()).cos().mean())


def slow_lowpass(taps, cutoff, width, rate, radial):
    beta = kaiser_beta(kaiser_attenuation(taps, width=width, sampling_rate=rate))
    middle = (taps - 1) / 2
    window = [bessel_i0(beta * math.sqrt(1 - ((n - middle) / middle) ** 2)) / bessel_i0(beta) for n in range(taps)]
    if radial:
        f = torch.zeros(taps, taps, dtype=torch.float64)
        for a in range(taps):
            for b in range(taps):
                r = math.hypot(a - middle, b - middle) / rate
                f[a, b] = bessel_j1(2 * math.pi * cutoff * r) / r * window[a] * window[b]
    else:
        t = [(n - middle) / rate for n in range(taps)]
        ideal = [1 if v == 0 else math.sin(2 * math.pi * cutoff * v) / (2 * math.pi * cutoff * v) for v in t]
        f = torch.tensor([i * w for i, w in zip(ideal, window, strict=True)], dtype=torch.float64)
    return f / f.sum()


@pytest.mark.parametrize(
    ("taps", "cutoff", "width", "rate", "radial"),
    [(12, 2, 12.4, 32, False), (24, 8, 24, 128, False), (11, 4, 10, 32, False), (12, 2, 12.4, 32, True)],
)
def test_lowpass_equals_kaisers_formula(taps, cutoff, width, rate, radial):
    f = kaiser_lowpass(taps, cutoff=cutoff, width=width, sampling_rate=rate, radial=radial)
    assert f.dtype == torch.float32
    torch.testing.assert_close(f.double(), slow_lowpass(taps, cutoff, width, rate, radial), atol=1e-7, rtol=1e-6)


def test_kaisers_rules_give_the_published_numbers():
    # Oppenheim and Schafer, "Discrete-Time Signal Processing": 60 dB, transition 0.2 π: β = 5.653, 37 intervals.
    assert kaiser_beta(60) == pytest.approx(5.653, abs=1e-3)
    assert kaiser_attenuation(38, width=0.2, sampling_rate=2) == pytest.approx(60, abs=1.2)
    # Values of scipy.signal's manual: kaiser_beta(65) and kaiser_atten(211, 0.0375).
    assert kaiser_beta(65) == pytest.approx(6.20426)
    assert kaiser_attenuation(211, width=0.0375, sampling_rate=2) == pytest.approx(64.48099630593983)
    assert kaiser_beta(20) == 0
    assert kaiser_beta(50.0001) == pytest.approx(kaiser_beta(49.9999), abs=0.02)  # the pieces of the rule join


def response(f, frequency, rate, angle=0.0):
    """|Fourier transform| of the filter at this frequency, in this direction."""
    plane = torch.outer(f, f) if f.ndim == 1 else f
    t = (torch.arange(len(plane), dtype=torch.float64) - (len(plane) - 1) / 2) / rate
    x, y = torch.meshgrid(t, t, indexing="ij")
    phase = 2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle))
    return float((plane.double() * phase.cos()).sum().abs())


def test_lowpass_passes_halves_and_stops():
    rate, cutoff, width = 64, 8, 12
    f = kaiser_lowpass(24, cutoff=cutoff, width=width, sampling_rate=rate)
    attenuation = kaiser_attenuation(24, width=width, sampling_rate=rate)
    limit = 10 ** (-attenuation / 20)
    assert attenuation > 30
    assert response(f, 0, rate) == pytest.approx(1)
    assert response(f, cutoff - width / 2, rate) == pytest.approx(1, abs=2 * limit)
    assert response(f, cutoff, rate) == pytest.approx(0.5, abs=0.01)
    assert all(response(f, v, rate) < 1.5 * limit for v in range(cutoff + width // 2, rate // 2))


def test_radial_lowpass_is_the_same_in_every_direction():
    rate, cutoff, width = 64, 8, 12
    radial = kaiser_lowpass(24, cutoff=cutoff, width=width, sampling_rate=rate, radial=True)
    axes = kaiser_lowpass(24, cutoff=cutoff, width=width, sampling_rate=rate)
    assert response(radial, 0, rate) == pytest.approx(1)
    for frequency in (6, 8, 10):
        straight, diagonal = (response(radial, frequency, rate, angle) for angle in (0, math.pi / 4))
        assert diagonal == pytest.approx(straight, abs=0.01)
    assert response(axes, 10, rate, math.pi / 4) > 2 * response(axes, 10, rate)  # what the radial one is there for


def test_one_tap_is_no_filter():
    assert kaiser_lowpass(1, cutoff=8, width=4, sampling_rate=16) is None


@pytest.mark.parametrize(
    "wrong",
    [{"cutoff": 0}, {"cutoff": 32}, {"width": 0}, {"taps": 0}, {"taps": 11, "radial": True}],
)
def test_impossible_filters_are_refused(wrong):
    options = {"taps": 12, "cutoff": 8, "width": 4, "sampling_rate": 64} | wrong
    with pytest.raises(BadConfig):
        kaiser_lowpass(options.pop("taps"), **options)
