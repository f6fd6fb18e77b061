"""Training a translator between many domains, whole: `train_domains`.

A run's folder holds a translator for each domain, `to-NAME.safetensors`, each an ordinary one:
`ganvas translate -n FOLDER --direction NAME` takes it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.datasets.image_dataset import ImageDataset, OnReadStep, open_image_dataset
from ganvas.errors import BadConfig, BadInput
from ganvas.training.domains.config import DomainsConfig
from ganvas.training.domains.networks import build_domain_networks
from ganvas.training.domains.trainer import DomainsTrainer
from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.loop import Loop, OnTrainStep, TrainResult
from ganvas.training.engine.process import isolated_rng
from ganvas.training.engine.run_folder import lock_run, open_or_resume, resolve_schedule
from ganvas.training.engine.snapshots import SnapshotWriter
from ganvas.training.translator.snapshots import label_columns

_SHEET_ROWS = 6


def train_domains(
    data: Any,
    *,
    config: DomainsConfig | None = None,
    folder: str | Path | None = None,
    on_step: OnTrainStep | None = None,
    device: str = "auto",
    facts: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Let one network learn to take pictures of any of several domains to any other.

    Args:
        data: a folder or archive of pictures with labels (`config.labels`), or a labelled `ImageDataset`.
        config: what to do; None = `DomainsConfig()`. Presets: `ganvas.training.domains.config`.
        folder: of the run; an interrupted run in it is resumed. None = nothing is written.
        on_step: called with a `TrainStatus` after every step; may raise Stopped.
        device: "auto" (CUDA, MPS, else the CPU), "cpu", "cuda", …
        facts: what else should stand in run.json (JSON values).

    Returns:
        The averaged `DomainTranslator`, whose `to_domain(0)` is an ordinary translator, and the discriminator.

    Raises:
        BadConfig, BadInput: invalid settings or images, or fewer than two domains.
        GanvasError: the watchdog has given up; the message says why, and the last good state is kept.
        Stopped: on_step asked for it; saved, with a `TrainResult` as its `state`.

    Source: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
    Translation".
    """
    config = config or DomainsConfig()
    config = resolve_schedule(config, folder, length_kimg=config.total_kimg)
    world = init_distributed(device)
    if world.size > 1:
        raise BadConfig("a translator is trained by one process; start it without torchrun")
    pictures = as_domains(data, config)
    with isolated_rng(config.seed, world):
        G, D = (net.to(world.device) for net in build_domain_networks(config, pictures.c_dim))
    data_facts = {"fingerprint": pictures.fingerprint, "count": len(pictures), "domains": list(names_of(pictures))}
    run, resumed = open_or_resume(folder, config, data_facts, facts or {}, world)
    with lock_run(run, world):
        trainer = DomainsTrainer(G, D, config, pictures, world=world, run=run)  # type: ignore[arg-type]
        return Loop(trainer, DomainsSnapshotWriter(trainer), on_step, resumed=resumed).run()


def as_domains(data: Any, config: DomainsConfig, *, on_step: OnReadStep | None = None) -> ImageDataset:
    """Pictures with a domain each; `on_step` is called with (images read, total).

    Raises:
        BadInput: no domains, or only one.
    """
    labels = None if config.labels == "auto" else config.labels
    pictures = (
        data
        if isinstance(data, ImageDataset)
        else open_image_dataset(data, resolution=config.resolution, labels=labels, on_step=on_step)
    )
    if pictures.c_dim < 2:
        raise BadInput(
            "a translator between domains needs two domains or more: put the images of each into a folder of its own, "
            "or name a column: --set labels=FILE.csv:COLUMN"
        )
    return pictures


def names_of(pictures: ImageDataset) -> tuple[str, ...]:
    """Of the domains, as files and options use them."""
    names = pictures.class_names or tuple(str(place) for place in range(pictures.c_dim))
    return tuple(re.sub(r"[^\w-]+", "_", name) for name in names)


class DomainsSnapshotWriter(SnapshotWriter):
    """A translator for each domain, and a sheet: pictures, and what they are in each."""

    def show(self, name: str) -> None:
        """See `SnapshotWriter`."""
        trainer = self.trainer
        names = names_of(trainer.pictures)
        for domain, where in enumerate(names):
            self.save_network(trainer.averaged.net.to_domain(domain), f"to-{where}", domain=where)
        self.write_fakes(self.sheet(), name)
        command = f"ganvas translate -i IN -o OUT -n {shlex.quote(str(self.folder))} --direction"
        trainer.run.note(next_steps=[[f"Pictures, {where}", f"{command} {where}"] for where in names])

    def sheet(self) -> Tensor:
        """Rows of a picture | the same in each domain."""
        trainer, names = self.trainer, names_of(self.trainer.pictures)
        stride = max(len(trainer.pictures) // _SHEET_ROWS, 1)
        img = trainer.load_images(range(0, len(trainer.pictures), stride)[:_SHEET_ROWS]).img
        columns = [img, *(trainer.translate(trainer.averaged.net, img, domain) for domain in range(len(names)))]
        return label_columns([one.cpu().clamp(-1, 1) for one in columns], ["image", *names])
