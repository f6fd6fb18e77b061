"""Average spectra against what they must be: flat for noise, a peak for a wave, a loss for a blur."""

import math

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.spectra import draw_spectra, list_powers, octave_gaps_db, octaves, power_spectrum
from tests.metrics.makers import NoiseGenerator, NoisePictures


def noise(count=200, px=32, seed=0):
    return torch.randn(count, 3, px, px, generator=torch.Generator().manual_seed(seed))


def test_white_noise_is_flat_and_a_wave_is_a_peak_of_its_power():
    flat = power_spectrum([noise(), noise(seed=1)])
    assert flat.power.shape == (32, 32)
    assert (flat.profile[3:] - 1).abs().max() < 0.05
    wave = 0.5 * torch.sin(2 * math.pi * 8 * torch.arange(32) / 32).expand(1, 1, 32, 32)
    peak = power_spectrum([wave])
    assert int(peak.power.flatten().argmax()) in (16 * 32 + 8, 16 * 32 + 24)  # 8 cycles across, none down
    assert float(peak.power.sum()) / 32**2 == pytest.approx(0.125, rel=0.1)  # Parseval: a wave's mean square
    with pytest.raises(BadConfig, match="at least one picture"):
        power_spectrum([])


def test_a_blur_loses_the_fine_octaves_and_the_sheet_and_the_table_show_it():
    sharp = power_spectrum([noise()])
    soft = power_spectrum([nn.functional.avg_pool2d(noise(), 3, 1, 1)])
    gaps = octave_gaps_db(soft, sharp)
    assert octaves(32) == list(gaps) == [(8, 17), (4, 8), (2, 4)]
    fine, middle, coarse = gaps.values()
    assert fine < -8 < middle < coarse < 0.5
    spectra = {"data": sharp, "fakes": soft}
    assert draw_spectra(spectra).shape == (1, 3, 300, 560 + 2 * 300)
    lines = list_powers(spectra).splitlines()
    assert lines[0] == "cycles_per_picture,data_db,fakes_db" and len(lines) == 18
    assert float(lines[13].split(",")[2]) == pytest.approx(float(soft.profile_db[12]), abs=1e-3)


def test_the_metric_says_how_much_and_in_which_direction():
    pictures = NoisePictures(60)
    results = evaluate(NoiseGenerator(spread=0.1), pictures, metrics=("spectrum",), num=60, extractor=None)
    assert [each.name for each in results] == ["spectrum of 2 to 4 cycles"]
    assert 10 < results[0].value < 20 and results[0].floor < 1 and "less" in results[0].cautions[0]
