"""What a CUDA device must give: every family paints what the CPU paints, every preset trains, in both precisions.

Run them with `pytest -m gpu` where there is one; elsewhere they say that they were skipped.
"""

import dataclasses
import math

import pytest
import torch

from ganvas.training.engine.distributed import World
from ganvas.training.generator.batches import ImageFeed
from ganvas.training.generator.presets import GENERATOR_PRESETS
from ganvas.training.generator.train import as_image_dataset, train
from tests import contracts
from tests.training import tiny

DEVICE = "cuda"
pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", contracts.cases("generator", "G"), ids=str)
@pytest.mark.parametrize(("precision", "least_db"), [("exact", 50), ("fast", 20)])
def test_a_family_paints_what_it_paints_on_the_cpu(case, precision, least_db):
    G = case.build()
    z, c = torch.randn(2, G.z_dim, generator=torch.Generator().manual_seed(0)), case.labels(2)
    with torch.no_grad():
        expected = G(z, c)
        img = G.to(DEVICE)(z.to(DEVICE), None if c is None else c.to(DEVICE), precision=precision)
    assert contracts.relative_psnr(expected, img.float().cpu()) > least_db


@pytest.mark.parametrize("name", list(GENERATOR_PRESETS))
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_preset_takes_steps(name, precision):
    config = dataclasses.replace(tiny.narrowed(name), precision=precision)
    done = train(tiny.pictures(8, config.resolution), config=config, device=DEVICE)
    assert done.nimg == 6 and next(done.generator.parameters()).device.type == DEVICE
    assert all(math.isfinite(value) for line in done.log for value in line.values() if isinstance(value, float))


def test_batches_come_from_pinned_memory_and_are_those_of_the_cpu():
    config, pictures = tiny.config(mirror=True), as_image_dataset(tiny.pictures(), tiny.config())
    gpu, cpu = (
        ImageFeed(pictures, config, c_dim=0, world=World(device=torch.device(device))) for device in (DEVICE, "cpu")
    )
    for step in range(4):
        img = gpu.take(4 * step, with_fresh=False).img
        assert torch.equal(img.cpu(), cpu.take(4 * step, with_fresh=False).img)
    coming = list(gpu._ahead[gpu._sampler]._coming.values())
    assert len(coming) == 2 and all(future.result()[0].is_pinned() for future in coming)
