"""StyleGAN2, StyleGAN3 and R3GAN pickles: written here in their layout, read back as the same network."""

import warnings

import pytest
import torch
from safetensors.torch import save_file

import ganvas
from ganvas.errors import BrokenWeights, UnknownWeights
from ganvas.weights.readers.nvidia import mean_w
from tests.weights.foreign import Part, write_nvidia, write_whole_modules

SMALL = {"img_resolution": 16, "channel_base": 128, "channel_max": 24, "z_dim": 8, "w_dim": 12, "num_mapping_layers": 2}


def random_stylegan2(**fields):
    """Every weight random, so that a mistaken name cannot hide behind a zero."""
    G = ganvas.build("stylegan2", **{**SMALL, **fields}).eval()
    with torch.no_grad():
        for name, tensor in G.state_dict().items():
            if not name.endswith("resample_filter"):
                tensor.copy_(torch.randn(tensor.shape))
        G.w_avg.copy_(mean_w(G, 100))
    return G


def as_part(net, **options) -> Part:
    """The network as a pickle of NVIDIA's has it: tensors by name, and what the layers note about themselves."""
    part = Part("Generator", _init_args=(), _init_kwargs=options).fill(net.state_dict())
    config = net.config
    for res in net.synthesis.block_resolutions:
        part.at(f"synthesis.b{res}").notes["architecture"] = config.architecture
        part.at(f"synthesis.b{res}.conv1").notes["conv_clamp"] = config.conv_clamp
    for i in range(config.num_mapping_layers):
        part.at(f"mapping.fc{i}").notes |= {"bias_gain": config.mapping_lr_mul, "activation": "lrelu"}
    return part


def options_of(net) -> dict:
    c = net.config
    return {
        "z_dim": c.z_dim, "c_dim": c.c_dim, "w_dim": c.w_dim, "img_resolution": c.img_resolution,
        "img_channels": c.img_channels, "mapping_kwargs": {"num_layers": c.num_mapping_layers},
        "synthesis_kwargs": {"channel_base": c.channel_base, "channel_max": c.channel_max, "num_fp16_res": 4,
                             "conv_clamp": c.conv_clamp},
    }  # fmt: skip


@torch.no_grad()
def same_pictures(a, b, *, c=None) -> bool:
    z = torch.randn(3, a.z_dim, generator=torch.Generator().manual_seed(1))
    c = None if a.c_dim == 0 else torch.eye(a.c_dim)[[0, 1, 1]]
    return torch.equal(a(z, c, truncation_psi=0.7), b(z, c, truncation_psi=0.7))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"c_dim": 3},
        {"architecture": "resnet"},
        {"architecture": "orig"},
        {"use_noise": False, "img_channels": 1},
        {"conv_clamp": 0.5, "mapping_lr_mul": 0.1, "channel_base": 1024, "channel_max": 8},
    ],
    ids=["plain", "labels", "resnet", "orig", "grey without noise", "clamped"],
)
def test_a_stylegan2_pickle_gives_the_same_pictures(tmp_path, fields, protocol):
    G = random_stylegan2(**fields)
    path = write_nvidia(tmp_path / "snapshot.pkl", {"G_ema": as_part(G, **options_of(G))}, protocol=protocol)
    loaded = ganvas.load(path)
    assert loaded.config == G.config
    assert same_pictures(G, loaded)
    assert not loaded.training
    assert loaded.facts["format"].startswith("StyleGAN2")


def test_each_network_of_a_snapshot_is_found(tmp_path):
    G, G_ema = random_stylegan2(c_dim=2), random_stylegan2(c_dim=2)
    D = ganvas.build("stylegan2", network="D", img_resolution=16, channel_base=128, channel_max=24, c_dim=2).eval()
    for tensor in D.parameters():
        torch.nn.init.normal_(tensor)
    judge = Part(
        "Discriminator", _init_kwargs={"c_dim": 2, "img_resolution": 16, "epilogue_kwargs": {"mbstd_group_size": 4}}
    )
    judge.fill(D.state_dict()).at("b4.mbstd").notes |= {"group_size": 4, "num_channels": 1}
    path = write_nvidia(tmp_path / "snapshot.pkl", {"G": as_part(G), "D": judge, "G_ema": as_part(G_ema)})
    assert same_pictures(ganvas.load(path), G_ema)
    assert same_pictures(ganvas.load(path, network="G"), G)
    img, c = torch.randn(4, 3, 16, 16), torch.eye(2)[[0, 1, 0, 1]]
    assert torch.equal(ganvas.load(path, network="D")(img, c), D(img, c))


def test_a_file_with_one_network_gives_it_for_both_names_and_refuses_the_other(tmp_path):
    G = random_stylegan2()
    path = write_nvidia(tmp_path / "G.pkl", {"G_ema": as_part(G)})
    assert same_pictures(ganvas.load(path, network="G"), G)
    with pytest.raises(UnknownWeights, match="no network 'D'; it has G_ema"):
        ganvas.load(path, network="D")


def test_the_source_code_in_the_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    G = random_stylegan2()
    ganvas.load(write_nvidia(tmp_path / "G.pkl", {"G_ema": as_part(G)}, canary=str(tmp_path / "canary")))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("container", ["pt", "safetensors"])
def test_a_state_dict_with_the_same_names_is_read_too(tmp_path, container):
    G = random_stylegan2(conv_clamp=256)
    path = tmp_path / f"G.{container}"
    if container == "pt":
        torch.save({"G_ema": {f"module.{name}": tensor for name, tensor in G.state_dict().items()}}, path)
    else:
        save_file({name: tensor.clone() for name, tensor in G.state_dict().items()}, path)
    assert same_pictures(ganvas.load(path), G)


def test_a_mean_latent_that_is_not_finite_is_said_and_estimated_anew(tmp_path):
    G = random_stylegan2()
    part = as_part(G)
    part.at("mapping").tensors["w_avg"] = torch.full([12], float("nan"))
    path = write_nvidia(tmp_path / "sick.pkl", {"G_ema": part})
    with pytest.warns(UserWarning, match=r"w_avg in sick\.pkl is not finite"):
        loaded = ganvas.load(path)
    assert "re-estimated" in loaded.facts["notes"][0]
    exact = G.mapping(torch.randn(50_000, 8))[:, 0].mean(dim=0)
    spread = G.mapping(torch.randn(1000, 8))[:, 0].std()
    assert (loaded.w_avg - exact).abs().max() < 0.08 * spread  # 10,000 samples: 0.01 standard deviations, eight times
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.equal(ganvas.load(path).w_avg, loaded.w_avg)


def test_other_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    part = as_part(random_stylegan2())
    part.at("synthesis.b8.conv1").tensors["bias"][3] = float("inf")
    path = write_nvidia(tmp_path / "sick.pkl", {"G_ema": part})
    with pytest.raises(BrokenWeights, match=r"synthesis\.b8\.conv1\.bias has 1 values that are not finite"):
        ganvas.load(path)


def test_options_that_contradict_the_tensors_are_refused(tmp_path):
    G = random_stylegan2()
    path = write_nvidia(tmp_path / "odd.pkl", {"G_ema": as_part(G, **options_of(G) | {"img_resolution": 256})})
    with pytest.raises(BrokenWeights, match="options say img_resolution = 256, its tensors 16"):
        ganvas.load(path)


def test_a_missing_tensor_is_named(tmp_path):
    part = as_part(random_stylegan2())
    del part.at("synthesis.b8.conv0.affine").tensors["bias"]
    path = write_nvidia(tmp_path / "less.pkl", {"G_ema": part})
    with pytest.raises(UnknownWeights, match=r"missing: synthesis\.b8\.conv0\.affine\.bias"):
        ganvas.load(path)


# ---- R3GAN -------------------------------------------------------------------------------------------------------

R3GAN = {"img_resolution": 16, "widths": (32, 32, 16), "cardinalities": (2, 4, 2), "blocks": (2, 1, 2), "z_dim": 6}


def r3gan_part(net, generator: bool) -> Part:
    """Our R3GAN in the published names: stages of a transition and blocks, each convolution in a wrapper."""
    part = Part("Generator")
    model = part.at("Model")
    inner = {
        "expand.weight": "LinearLayer1.Layer.weight", "expand.bias": "NonLinearity1.Bias",
        "grouped.weight": "LinearLayer2.Layer.weight", "grouped.bias": "NonLinearity2.Bias",
        "project.weight": "LinearLayer3.Layer.weight", "mix.weight": "LinearLayer.Layer.weight",
        "basis": "Basis", "basis.weight": "Basis.weight", "linear.weight": "LinearLayer.weight",
    }  # fmt: skip
    ends = {"to_img.weight": "AggregationLayer.Layer.weight", "from_img.weight": "ExtractionLayer.Layer.weight",
            "embed.weight": "EmbeddingLayer.weight"}  # fmt: skip
    kernel = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
    blocks = net.config.blocks if generator else net.config.blocks[::-1]
    for name, tensor in net.state_dict().items():
        if name in ends:
            model.fill({ends[name]: tensor})
            continue
        _, stage, which, rest = name.split(".", 3)
        place = {"enter": 0, "leave": blocks[int(stage)]}.get(which)
        if place is None:
            place = int(which.removeprefix("block")) + (1 if generator else 0)
        model.fill({f"MainLayers.{stage}.Layers.{place}.{inner[rest]}": tensor})
    for stage in range(1, 3) if generator else range(2):
        place = 0 if generator else blocks[stage]
        model.fill({f"MainLayers.{stage}.Layers.{place}.Resampler.Kernel": kernel})
    return part


@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("style", ["calls", "plain objects"])
def test_an_r3gan_pickle_gives_the_same_pictures_and_logits(tmp_path, style, c_dim):
    G = ganvas.build("r3gan", **R3GAN, c_dim=c_dim, c_embed_dim=5).eval()
    D = ganvas.build("r3gan", network="D", **{k: v for k, v in R3GAN.items() if k != "z_dim"}, c_dim=c_dim).eval()
    for tensor in [*G.parameters(), *D.parameters()]:
        torch.nn.init.normal_(tensor, std=0.2)
    parts = {"G_ema": r3gan_part(G, True), "D": r3gan_part(D, False)}
    path = tmp_path / "r3.pkl"
    if style == "calls":
        write_nvidia(path, parts)
    else:
        write_whole_modules(path, parts, "BaselineGAN.Networks")
    loaded = ganvas.load(path)
    assert loaded.config.widths == G.config.widths
    assert loaded.config.resample_taps == (1, 3, 3, 1)
    assert same_pictures(G, loaded)
    img, c = torch.randn(3, 3, 16, 16), torch.eye(3)[[0, 1, 2]] if c_dim else None
    assert torch.equal(ganvas.load(path, network="D")(img, c), D(img, c))


# ---- StyleGAN3 ---------------------------------------------------------------------------------------------------

SG3 = {
    "img_resolution": 16, "channel_base": 64, "channel_max": 6, "z_dim": 8, "w_dim": 12, "num_layers": 4,
    "num_critical": 1,
}  # fmt: skip


def random_stylegan3(**fields):
    G = ganvas.build("stylegan3", **{**SG3, **fields}).eval()
    with torch.no_grad():
        for name, tensor in G.state_dict().items():
            if not name.endswith(("filter", "transform")):
                tensor.copy_(torch.randn(tensor.shape) if tensor.ndim else torch.rand(()) + 0.5)
        G.w_avg.copy_(mean_w(G, 100))
    return G


def sg3_options(G) -> dict:
    c = G.config.resolve()
    return {
        "z_dim": c.z_dim, "c_dim": c.c_dim, "w_dim": c.w_dim, "img_resolution": c.img_resolution,
        "img_channels": c.img_channels, "mapping_kwargs": {"num_layers": c.num_mapping_layers},
        "synthesis_kwargs": {"channel_base": c.channel_base, "channel_max": c.channel_max, "num_layers": c.num_layers,
                             "num_critical": c.num_critical, "conv_kernel": c.conv_kernel,
                             "use_radial_filters": c.use_radial_filters, "magnitude_ema_beta": c.magnitude_ema_beta},
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"variant": "r"},
        {"c_dim": 2},
        {"output_scale": 0.5, "conv_clamp": None, "img_channels": 1},
        {"num_layers": 6, "num_critical": 2, "first_cutoff": 1.5, "margin_size": 6},
    ],
    ids=["t", "r", "labels", "grey", "other bands"],
)
def test_a_stylegan3_pickle_gives_the_same_pictures(tmp_path, fields):
    G = random_stylegan3(**fields)
    options = sg3_options(G)
    options["synthesis_kwargs"] |= {name: fields[name] for name in ("first_cutoff", "margin_size") if name in fields}
    part = Part("Generator", _init_kwargs=options).fill(G.state_dict())
    part.at("synthesis").notes |= {"output_scale": G.config.output_scale}
    part.at(f"synthesis.{G.synthesis.layer_names[0]}").notes["conv_clamp"] = G.config.conv_clamp
    loaded = ganvas.load(write_nvidia(tmp_path / "sg3.pkl", {"G_ema": part}))
    assert loaded.config.resolve() == G.config.resolve()
    assert same_pictures(G, loaded)


@pytest.mark.parametrize("variant", ["t", "r"])
def test_a_stylegan3_state_dict_inside_an_encoders_file(tmp_path, variant):
    G = random_stylegan3(variant=variant, num_critical=2)
    state = {f"decoder.{name}": tensor for name, tensor in G.state_dict().items()}
    torch.save({"state_dict": state | {"encoder.x": torch.zeros(1)}, "opts": {}}, tmp_path / "restyle.pt")
    assert same_pictures(G, ganvas.load(tmp_path / "restyle.pt"))


def test_the_discriminator_of_a_stylegan3_snapshot_is_stylegan2s(tmp_path):
    G = random_stylegan3()
    D = ganvas.build("stylegan2", network="D", img_resolution=16, channel_base=128, channel_max=24).eval()
    parts = {
        "G_ema": Part("Generator", _init_kwargs=sg3_options(G)).fill(G.state_dict()),
        "D": Part("D").fill(D.state_dict()),
    }
    path = write_nvidia(tmp_path / "sg3.pkl", parts)
    img = torch.randn(4, 3, 16, 16)
    assert torch.equal(ganvas.load(path, network="D")(img), D(img))
