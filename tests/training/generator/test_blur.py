"""Blur fade-in: all that the discriminator sees, and less and less of it."""

import pytest
import torch

from ganvas.datasets.image_dataset import ImageDataset
from ganvas.ops.blur import gaussian_blur
from ganvas.training.generator.presets import GENERATOR_PRESETS
from ganvas.training.generator.schedules import scheduled_blur_px
from tests.training import tiny


def test_the_blur_fades_in_a_line_as_in_the_paper():
    config = GENERATOR_PRESETS["sg3-scratch-r-256"].config
    at = {kimg: scheduled_blur_px(config, 1000 * kimg) for kimg in (0, 50, 100, 200, 20_000)}
    assert at == pytest.approx({0: 10, 50: 7.5, 100: 5, 200: 0, 20_000: 0})
    assert scheduled_blur_px(GENERATOR_PRESETS["sg3-scratch-t-256"].config, 0) == 0


@pytest.mark.parametrize("penalty_every", [1, 4])
def test_real_and_generated_pictures_are_blurred_alike_in_every_step(penalty_every):
    config = tiny.config(augment="none", blur_px=2.0, blur_kimg=0.016, r2_gamma=0.01, penalty_every=penalty_every)
    bench = tiny.trainer(config, ImageDataset.from_pixels(tiny.pictures()))
    inputs, fakes, synthesize = [], [], bench.pair.synthesize

    def note(*latents):
        fakes.append(synthesize(*latents))
        return fakes[-1]

    bench.pair.synthesize = note
    bench.D.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    for sigma_px in (2.0, 1.5, 1.0, 0.5, 0.0):
        inputs.clear(), fakes.clear()
        batch = bench.draw()
        bench.step(batch)
        sources = [batch.img.detach(), *(one.img.detach() for one in fakes)]
        expected = [gaussian_blur(img, sigma_px) if sigma_px else img for img in sources]
        for img in torch.cat(inputs).split(4):
            assert any(torch.allclose(img, one, atol=1e-5) for one in expected)
        assert len(torch.cat(inputs)) >= 4 * 3
