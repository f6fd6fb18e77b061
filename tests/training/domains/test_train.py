"""StarGAN: one translator for many domains, its losses, what a run leaves, and resuming."""

import dataclasses

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.datasets.image_dataset import ImageDataset
from ganvas.errors import BadConfig, BadInput, Stopped
from ganvas.training.domains.config import DOMAINS_PRESETS, DomainsConfig
from ganvas.training.domains.networks import build_domain_networks
from ganvas.training.domains.train import train_domains
from ganvas.training.domains.trainer import DomainsTrainer
from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.run_folder import MemoryRun
from ganvas.training.engine.state import read_state
from ganvas.translation import translator
from tests.training import tiny

TINY = DomainsConfig(
    generator={"ngf": 4, "n_blocks": 1},
    discriminator={"ndf": 4, "n_layers": 1},
    resolution=16,
    batch_size=4,
    d_steps=2,
    total_kimg=0.016,
    tick_kimg=0.008,
    snapshot_kimg=100,
    save_minutes=100,
    ema_kimg=0.01,
)


def pictures(count=30):
    """Three domains: blobs, their negatives, and both in halves."""
    pixels, domain = tiny.pictures(count), torch.arange(count) % 3
    pixels[domain == 1] = 255 - pixels[domain == 1]
    pixels[domain == 2] = 127
    return ImageDataset.from_pixels(pixels, domain)


def bench(**changes):
    torch.manual_seed(0)
    G, D = build_domain_networks(TINY, 3)
    config = dataclasses.replace(TINY, **changes)
    return DomainsTrainer(G, D, config, pictures(), world=init_distributed("cpu"), run=MemoryRun())


def test_a_domains_bias_is_the_papers_plane_of_constants():
    G = bench().G
    img, c = torch.randn(3, 3, 16, 16), torch.eye(3)
    planes = c[:, :, None, None].expand(-1, -1, 16, 16)
    wide = nn.Conv2d(6, 4, 7, padding=3, padding_mode="reflect")
    with torch.no_grad():
        wide.weight[:, :3] = G.net.first.conv.weight
        wide.weight[:, 3:] = G.planes.weight[:, :, None, None] / 49  # any kernel with this sum
        wide.bias.copy_(G.net.first.conv.bias)
        x = wide(torch.cat([img, planes], dim=1)).relu()
        for stage in (*G.net.down, *G.net.blocks, *G.net.up):
            x = stage(x)
        out = G(img, c)
        assert torch.allclose(out, G.net.last(x).tanh(), atol=1e-5)
        for domain in range(3):
            alone = G.to_domain(domain)(img[domain : domain + 1])
            assert torch.allclose(alone, out[domain : domain + 1], atol=1e-5)
    assert not torch.allclose(*(G(img[:1], c[k : k + 1]) for k in (0, 1)), atol=1e-3)


@pytest.mark.parametrize("loss", ["wgan", "lsgan"])
def test_both_losses_are_the_papers(loss):
    """Eq. 5 and 6 with eq. 8 for the adversarial part, written out; or least squares in its place."""
    trainer = bench(loss=loss)
    G, D, batch = trainer.G, trainer.D, trainer.draw()
    target = batch.c[torch.randperm(4, generator=trainer.random(0))]
    ce = nn.functional.cross_entropy
    fake = G(batch.img, target)
    back = (G(fake, batch.c) - batch.img).abs().mean()
    logits, named = D(fake)
    fooled = -logits.mean() if loss == "wgan" else ((logits - 1) ** 2).mean() / 2
    expected = torch.autograd.grad(fooled + ce(named, target.argmax(1)) + 10 * back, trainer.params_G)
    place = torch.rand(4, generator=trainer.random(1))[:, None, None, None]
    between = (batch.img + place * (fake.detach() - batch.img)).requires_grad_(True)
    (slope,) = torch.autograd.grad(D(between)[0].mean(1).sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    (real_logits, named), (fake_logits, _) = D(batch.img), D(fake.detach())
    told = fake_logits.mean() - real_logits.mean() + 10 * penalty
    if loss == "lsgan":
        told = ((real_logits - 1) ** 2 + fake_logits**2).mean() / 2
    expected_D = torch.autograd.grad(told + ce(named, batch.c.argmax(1)), trainer.params_D)
    seen = {}
    trainer.apply_gradients = lambda opt, params, name: seen.setdefault(name, [p.grad.clone() for p in params])
    trainer.step(batch)
    for wanted, got in ((expected, seen["G"]), (expected_D, seen["D"])):
        assert all(torch.allclose(x, y, rtol=1e-3, atol=1e-5) for x, y in zip(wanted, got, strict=True))


def test_a_run_resumes_exactly_and_leaves_a_translator_for_each_domain(tmp_path):
    def stop(status):
        if status.step == 1:
            raise Stopped("enough")

    train_domains(pictures(), config=TINY, folder=tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train_domains(pictures(), config=TINY, folder=tmp_path / "cut", on_step=stop, device="cpu")
    done = train_domains(pictures(), config=TINY, folder=tmp_path / "cut", device="cpu")
    states = [read_state(tmp_path / name / "state.safetensors") for name in ("whole", "cut")]
    whole, cut = (dict(_tensors({part: state[part] for part in ("G", "D", "averaged", "opt_G")})) for state in states)
    assert len(whole) > 60 and whole.keys() == cut.keys() and all(torch.equal(v, cut[k]) for k, v in whole.items())
    assert sorted(path.name for path in (tmp_path / "cut").glob("to-*")) == [f"to-{k}.safetensors" for k in range(3)]
    net = translator(tmp_path / "cut", direction="2").eval()
    img = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(net(img), done.generator(img, torch.eye(3)[2:]), atol=1e-5)
    with pytest.raises(BadConfig, match="translates to 0, 1, 2: choose one"):
        translator(tmp_path / "cut")
    with pytest.raises(BadConfig, match="unknown domain 'AtoB'"):
        translator(tmp_path / "cut", direction="AtoB")


def _tensors(tree, path=""):
    if isinstance(tree, torch.Tensor):
        yield path, tree
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield from _tensors(value, f"{path}.{key}")


def test_the_command_trains_from_folders_and_translate_takes_the_run(tmp_path):
    for index, pixels in enumerate(tiny.pictures(12)):
        look = tmp_path / "looks" / ("day", "late night")[index % 2]
        look.mkdir(parents=True, exist_ok=True)
        ganvas.write_image(pixels[None].float() / 127.5 - 1, look / f"{index}.png")
    words = ["train-translator", "--dataroot", str(tmp_path / "looks"), "--domains", "--outdir", str(tmp_path)]
    words += ["--name", "run", "--kimg", "0.004", "--device", "cpu"]
    small = ("resolution=16", "batch_size=2", "tick_kimg=0.004", "generator.ngf=4", "generator.n_blocks=1")
    small += ("discriminator.ndf=4", "discriminator.n_layers=1")
    words += [word for setting in small for word in ("--set", setting)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "2 domains" in result.output and "--direction late_night" in result.output
    words = ["translate", "-i", str(tmp_path / "looks" / "day" / "0.png"), "-o", str(tmp_path / "out.png")]
    result = CliRunner().invoke(app, [*words, "-n", str(tmp_path / "run"), "--direction", "late_night"])
    assert result.exit_code == 0 and (tmp_path / "out.png").exists(), result.output


def test_what_cannot_be_learnt_is_refused_in_words():
    with pytest.raises(BadInput, match="two domains or more"):
        train_domains(ImageDataset.from_pixels(tiny.pictures()), config=TINY, device="cpu")
    with pytest.raises(BadConfig, match="no normalisation"):
        dataclasses.replace(TINY, discriminator={"norm": "batch"})
    with pytest.raises(BadConfig, match="first_norm is not chosen"):
        dataclasses.replace(TINY, generator={"first_norm": True})


@pytest.mark.parametrize("name", DOMAINS_PRESETS)
def test_presets_build(name):
    config = DOMAINS_PRESETS[name].config
    with torch.device("meta"):
        G, D = build_domain_networks(config, 5)
        img, c = torch.zeros(1, 3, config.resolution, config.resolution), torch.zeros(1, 5)
        assert G(img, c).shape == img.shape and D(img)[1].shape == (1, 5)
    assert [config.rate(1000 * share * config.total_kimg) for share in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]
