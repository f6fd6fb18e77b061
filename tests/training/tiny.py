"""Networks and pictures so small that a run takes a second."""

import dataclasses

import torch

from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.run_folder import MemoryRun
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.networks import build_pair
from ganvas.training.generator.presets import GENERATOR_PRESETS
from ganvas.training.generator.trainer import GeneratorTrainer

STYLE = {"channel_base": 64, "channel_max": 8, "num_mapping_layers": 2}


def pictures(count=40, px=16, seed=0):
    """uint8 [count, 3, px, px]: soft blobs of random colours at random places."""
    rng = torch.Generator().manual_seed(seed)
    centre, colour = torch.rand(count, 2, 1, 1, generator=rng), torch.rand(count, 3, 1, 1, generator=rng)
    axis = torch.linspace(0, 1, px)
    far = (axis[:, None] - centre[:, :1]) ** 2 + (axis[None, :] - centre[:, 1:]) ** 2  # [count, 1, px, px]
    return (255 * colour * (-12 * far).exp()).to(torch.uint8)


def config(**changes):
    """A StyleGAN2 of a few thousand numbers, float32, four pictures a step."""
    start = TrainConfig(
        family="stylegan2",
        generator={**STYLE, "z_dim": 8, "w_dim": 8},
        discriminator=STYLE,
        batch_size=4,
        total_kimg=0.048,
        r1_gamma=0.01,
        penalty_every=4,
        precision="exact",
        tick_kimg=0.008,
        snapshot_kimg=100,
        save_minutes=100,
    )
    return dataclasses.replace(start, **changes)


def trainer(config, dataset, c_dim=0):
    """What `train` would loop over, for a single step."""
    torch.manual_seed(0)
    G, D = build_pair(config, resolution=16, channels=3, c_dim=c_dim)
    return GeneratorTrainer(G, D, config, dataset, c_dim=c_dim, world=init_distributed("cpu"), run=MemoryRun())


def narrowed(name, **changes):
    """A preset with its narrowest networks and small pictures, three steps of two pictures each."""
    preset = GENERATOR_PRESETS[name].config
    few = {"z_dim": 8, "w_dim": 8}
    size = 32 if preset.family == "stylegan3" else min(preset.resolution, 64)
    generator, discriminator = {
        "mlp": ({**preset.generator, "widths": [8], "z_dim": 8}, {"widths": [8]}),
        "dcgan": ({"ngf": 4, "z_dim": 8}, {"ndf": 4}),
        "fastgan": ({"ngf": 4, "z_dim": 8}, {"ndf": 8}),
        "stylegan2": ({"channel_base": size, "channel_max": 8, **few}, {"channel_base": size, "channel_max": 8}),
        "stylegan3": ({"channel_base": 4 * size, "channel_max": 8, **few}, {"channel_base": size, "channel_max": 8}),
        "r3gan": ({"widths": [8] * (size.bit_length() - 2)}, {"widths": [8] * (size.bit_length() - 2)}),
    }[preset.family]
    if preset.family == "stylegan3":
        generator = {**generator, "variant": preset.generator["variant"], "num_layers": 4, "num_critical": 1}
    return dataclasses.replace(
        preset,
        resolution=size,
        generator=generator,
        discriminator=discriminator,
        batch_size=2,
        micro_batch=None,
        total_kimg=0.006,
        tick_kimg=0.002,
        **{"channels": None, **changes},
    )
