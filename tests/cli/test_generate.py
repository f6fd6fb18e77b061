"""The commands as a user types them, on tiny generators made on the spot."""

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.errors import BadConfig, GanvasError
from ganvas.models.seeds import latents_from_seeds
from ganvas.weights.checkpoint import save

TINY = {"img_resolution": 16, "channel_base": 256, "channel_max": 16, "z_dim": 8, "w_dim": 8, "num_mapping_layers": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    return save(ganvas.build("stylegan2", **TINY), tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    torch.manual_seed(0)
    net = ganvas.build("stylegan2", c_dim=3, **TINY)
    return save(net, tmp_path_factory.mktemp("models") / "conditional.safetensors")


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def pixels(path):
    return np.asarray(Image.open(path))


def test_a_seed_is_the_picture_everybody_means(model, tmp_path):
    run("generate", "--model", model, "--seeds", "3,7-8", "--trunc", 0.5, "--outdir", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["seed0003.png", "seed0007.png", "seed0008.png"]
    G = ganvas.load(model)
    z = torch.from_numpy(np.random.RandomState(7).randn(1, 8)).float()
    with torch.no_grad():
        img = G(z, truncation_psi=0.5)[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels(tmp_path / "seed0007.png") - (img.clip(-1, 1) + 1) * 127.5).max() <= 1


def test_the_same_command_gives_the_same_sheet(model, tmp_path):
    for name in ("a.png", "b.png"):
        run("generate", "--model", model, "--seeds", "0-4", "--grid", tmp_path / name)
    assert (pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")).all()
    assert pixels(tmp_path / "a.png").shape == (32, 48, 3)


def test_a_class_makes_a_difference_and_its_file_says_which(conditional, tmp_path):
    for label in (0, 2):
        run("generate", "--model", conditional, "--seeds", 1, "--class", label, "--outdir", tmp_path)
    assert (pixels(tmp_path / "seed0001-class0.png") != pixels(tmp_path / "seed0001-class2.png")).any()


def test_a_learnt_code_is_found_named_and_moved(tmp_path):
    torch.manual_seed(0)
    G = ganvas.build("dcgan", img_resolution=16, ngf=4, z_dim=8).eval()
    model = save(G, tmp_path / "infogan.safetensors", codes=2)
    done = run("directions", "find", "--model", model, "--method", "codes", "--name", "1=tilt")
    assert done.output.startswith("code-0: \ncode-1: ") and "saved: tilt" in done.output
    run("generate", "--model", model, "--seeds", 5, "--trunc", 1, "--set", "tilt=1.5", "--outdir", tmp_path)
    z = latents_from_seeds([5], 8)
    z[:, -1] += 1.5
    with torch.no_grad():
        img = G(z)[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels(tmp_path / "seed0005.png") - (img.clip(-1, 1) + 1) * 127.5).max() <= 1
    with pytest.raises(BadConfig, match="takes a number"):
        run("generate", "--model", model, "--set", "tilt=auto", "--outdir", tmp_path)


def test_a_mixing_sheet_has_its_sources_on_the_edges(model, tmp_path):
    run("mix", "--model", model, "--rows", "0,1", "--cols", "2", "--layers", "3-5", "-o", tmp_path / "mix.png")
    run("generate", "--model", model, "--seeds", "0-2", "--outdir", tmp_path)
    sheet = pixels(tmp_path / "mix.png")
    assert sheet.shape == (48, 32, 3)
    assert (sheet[:16, :16] == 255).all()
    assert (sheet[:16, 16:] == pixels(tmp_path / "seed0002.png")).all()
    assert (sheet[16:32, :16] == pixels(tmp_path / "seed0000.png")).all()
    G = ganvas.load(model)
    with torch.no_grad():
        ws = G.mapping(latents_from_seeds([1, 2], 8), truncation_psi=0.7)
        mixed = torch.cat([ws[:1, :3], ws[1:, 3:6], ws[:1, 6:]], dim=1)
        img = G.synthesis(mixed)[0].permute(1, 2, 0).numpy()
    assert np.abs(sheet[32:, 16:] - (img.clip(-1, 1) + 1) * 127.5).max() <= 1


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp"])
def test_a_walk_has_its_frames(model, tmp_path, name):
    run("interpolate", "--model", model, "--seeds", "0-2", "--frames", 9, "--output", tmp_path / name)
    with Image.open(tmp_path / name) as film:
        assert film.n_frames == 9
        assert film.size == (16, 16)


def test_families_without_a_mapping_network_walk_too(tmp_path):
    path = save(ganvas.build("mlp", img_resolution=8), tmp_path / "mlp.safetensors")
    run("interpolate", "--model", path, "--seeds", "0,1", "--frames", 4, "--output", tmp_path / "walk.gif")
    assert Image.open(tmp_path / "walk.gif").size == (8, 8)
    with pytest.raises(BadConfig, match="no layers to mix"):
        run("mix", "--model", path)


def test_wrong_usage_is_status_2_with_an_example(model):
    for words in (("--seeds", "a"), ("--seeds", "9-3"), ("--seeds", "")):
        result = run("generate", "--model", model, *words)
        assert result.exit_code == 2
        assert "0-7,12" in result.output or "should rise" in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["generate", "--model", "fcaes"], "fcaes"),
        (["generate", "--noise-mode", "loud"], "unknown noise_mode 'loud'; known: const, none, random"),
        (["generate", "--class", "1"], "has no classes"),
        (["generate", "--precision", "low"], "unknown precision 'low'"),
        (["mix", "--layers", "99"], "layers 0 to 5"),
        (["interpolate", "--output", "walk.avi"], "walk.avi"),
        (["interpolate", "--seeds", "1"], "two keyframes"),
    ],
)
def test_what_does_not_fit_is_named(model, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    given = words if "--model" in words else [*words, "--model", str(model)]
    with pytest.raises(GanvasError, match=says):
        run(*given)


def test_a_conditional_generator_asks_for_its_class(conditional, tmp_path):
    with pytest.raises(BadConfig, match="classes 0 to 2"):
        run("generate", "--model", conditional, "--outdir", tmp_path)


def test_a_stylegan3s_pictures_are_turned_and_shifted_and_others_are_not(model, tmp_path):
    torch.manual_seed(0)
    net = ganvas.build("stylegan3", img_resolution=16, channel_base=128, channel_max=8, z_dim=8, w_dim=8, num_layers=4)
    path = save(net, tmp_path / "sg3.safetensors")
    placed = ("--rotate", 30, "--translate", "0.25,-0.5")
    run("generate", "--model", path, "--seeds", "3", "--trunc", 1, *placed, "--outdir", tmp_path)
    net.set_transform(rotate_deg=30, translate=(0.25, -0.5))
    with torch.no_grad():
        img = net(latents_from_seeds([3], 8))[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels(tmp_path / "seed0003.png") - (img.clip(-1, 1) + 1) * 127.5).max() <= 1
    with pytest.raises(BadConfig, match="for StyleGAN3"):
        run("generate", "--model", model, "--rotate", 30, "--outdir", tmp_path)
    assert run("generate", "--model", model, "--translate", "left").exit_code == 2


def test_walks_side_by_side_are_the_single_walks(model, tmp_path):
    options = ("interpolate", "--model", model, "--frames", 4, "--precision", "exact")
    run(*options, "--seeds", "0-11", "--grid", "3x2", "-o", tmp_path / "six.webp")
    run(*options, "--seeds", "8-9", "-o", tmp_path / "fifth.webp")
    six, fifth = Image.open(tmp_path / "six.webp"), Image.open(tmp_path / "fifth.webp")
    assert six.size == (48, 32)
    for frame in range(4):
        six.seek(frame)
        fifth.seek(frame)
        there = np.asarray(six.convert("RGB"), np.float32)[16:, 16:32]
        assert np.abs(there - np.asarray(fifth.convert("RGB"), np.float32)).mean() < 12  # WebP is lossy
    with pytest.raises(BadConfig, match="cannot be shared out to 6 walks"):
        run(*options, "--seeds", "0-9", "--grid", "3x2", "-o", tmp_path / "x.webp")
