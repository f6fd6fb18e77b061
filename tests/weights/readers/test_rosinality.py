"""rosinality's StyleGAN2 port: a slow definition of what its files mean, against the network that ganvas builds."""

import math

import pytest
import torch
import torch.nn.functional as F

import ganvas
from ganvas.errors import UnknownWeights

LATENT, CHANNELS = 12, {4: 20, 8: 20, 16: 10}


def equal(*shape, lr_mul=1.0):
    return torch.randn(shape) / lr_mul


def port_generator(*, mapping_layers=3, noises=True) -> dict[str, torch.Tensor]:
    """The tensors of a 16 px generator, as the port lays them out."""
    blur = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64 * 4
    state = {"input.input": torch.randn(1, CHANNELS[4], 4, 4)}
    for i in range(1, mapping_layers + 1):
        state[f"style.{i}.weight"] = equal(LATENT, LATENT, lr_mul=0.01)
        state[f"style.{i}.bias"] = torch.randn(LATENT) / 0.01

    def conv(name, i, o, k):
        state[f"{name}.conv.weight"] = torch.randn(1, o, i, k, k)
        state[f"{name}.conv.modulation.weight"] = torch.randn(i, LATENT)
        state[f"{name}.conv.modulation.bias"] = torch.randn(i) + 1

    def styled(name, i, o):
        conv(name, i, o, 3)
        state[f"{name}.noise.weight"] = torch.randn(1)
        state[f"{name}.activate.bias"] = torch.randn(o)

    styled("conv1", CHANNELS[4], CHANNELS[4])
    conv("to_rgb1", CHANNELS[4], 3, 1)
    state["to_rgb1.bias"] = torch.randn(1, 3, 1, 1)
    for j, res in enumerate((8, 16)):
        styled(f"convs.{2 * j}", CHANNELS[res // 2], CHANNELS[res])
        state[f"convs.{2 * j}.conv.blur.kernel"] = blur
        styled(f"convs.{2 * j + 1}", CHANNELS[res], CHANNELS[res])
        conv(f"to_rgbs.{j}", CHANNELS[res], 3, 1)
        state[f"to_rgbs.{j}.bias"] = torch.randn(1, 3, 1, 1)
        state[f"to_rgbs.{j}.upsample.kernel"] = blur
    if noises:
        for i, res in enumerate((4, 8, 8, 16, 16)):
            state[f"noises.noise_{i}"] = torch.randn(1, 1, res, res)
    return state


class Textbook:
    """The port's generator written out in float64, one sample at a time, straight from the layout and the paper."""

    def __init__(self, state, latent_avg=None):
        self.s = {name: tensor.double() for name, tensor in state.items()}
        self.latent_avg = latent_avg

    def mapping(self, z):
        x = z.double()
        x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        i = 1
        while f"style.{i}.weight" in self.s:
            w, b = self.s[f"style.{i}.weight"] * 0.01 / math.sqrt(LATENT), self.s[f"style.{i}.bias"] * 0.01
            x = F.leaky_relu(x @ w.T + b, 0.2) * math.sqrt(2)
            i += 1
        return x

    def modulated(self, x, name, w, *, demodulate, up=False):
        weight = self.s[f"{name}.conv.weight"][0]
        o, i, k, _ = weight.shape
        style = (
            self.s[f"{name}.conv.modulation.weight"] @ w / math.sqrt(LATENT) + self.s[f"{name}.conv.modulation.bias"]
        )
        weight = weight / math.sqrt(i * k * k) * style[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if not up:
            return F.conv2d(x, weight, padding=k // 2)
        # Every pixel of x stamps the kernel, two pixels apart; then the low-pass filter.
        h = x.shape[-1]
        y = torch.zeros(1, o, 2 * h + 1, 2 * h + 1, dtype=x.dtype)
        for row in range(h):
            for column in range(h):
                stamp = torch.einsum("i,oikl->okl", x[0, :, row, column], weight)
                y[0, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += stamp
        return self.filtered(y, self.s[f"{name}.conv.blur.kernel"], pad=(1, 1))

    def filtered(self, x, kernel, pad):
        c = x.shape[1]
        return F.conv2d(F.pad(x, (*pad, *pad)), kernel.flip([0, 1])[None, None].repeat(c, 1, 1, 1), groups=c)

    def styled(self, x, name, w, noise, up=False):
        x = self.modulated(x, name, w, demodulate=True, up=up) + self.s[f"{name}.noise.weight"] * noise
        return F.leaky_relu(x + self.s[f"{name}.activate.bias"][None, :, None, None], 0.2) * math.sqrt(2)

    def to_rgb(self, x, name, w, img=None):
        y = self.modulated(x, name, w, demodulate=False) + self.s[f"{name}.bias"]
        if img is None:
            return y
        c, h = img.shape[1], img.shape[-1]
        spread = torch.zeros(1, c, 2 * h, 2 * h, dtype=img.dtype)
        spread[:, :, ::2, ::2] = img
        return y + self.filtered(spread, self.s[f"{name}.upsample.kernel"], pad=(2, 1))

    def synthesis(self, w):
        """w [num_ws, LATENT] → [1, 3, 16, 16]."""
        w = w.double()
        x = self.styled(self.s["input.input"], "conv1", w[0], self.s["noises.noise_0"])
        img = self.to_rgb(x, "to_rgb1", w[1])
        for j in range(2):
            x = self.styled(x, f"convs.{2 * j}", w[2 * j + 1], self.s[f"noises.noise_{2 * j + 1}"], up=True)
            x = self.styled(x, f"convs.{2 * j + 1}", w[2 * j + 2], self.s[f"noises.noise_{2 * j + 2}"])
            img = self.to_rgb(x, f"to_rgbs.{j}", w[2 * j + 3], img)
        return img


@torch.no_grad()
def test_the_port_means_what_its_definition_says(tmp_path):
    state = port_generator()
    torch.save({"g_ema": state, "latent_avg": torch.arange(12.0)}, tmp_path / "port.pt")
    G, book = ganvas.load(tmp_path / "port.pt"), Textbook(state)
    assert (G.num_ws, G.img_resolution, G.config.channel_base, G.config.num_mapping_layers) == (6, 16, 160, 3)
    z = torch.randn(2, LATENT)
    assert torch.allclose(G.mapping(z)[:, 0].double(), book.mapping(z), atol=1e-4, rtol=1e-4)
    ws = torch.randn(2, 6, LATENT)  # another latent in each row, so that rows cannot be mixed up
    slow = torch.cat([book.synthesis(w) for w in ws])
    assert (G.synthesis(ws).double() - slow).abs().max() < 1e-4 * slow.abs().max()
    assert torch.equal(G.w_avg, torch.arange(12.0))


@pytest.mark.parametrize("legacy", [False, True])
def test_training_files_have_more_in_them(tmp_path, legacy):
    import argparse

    ema, live = port_generator(), port_generator()
    tree = {
        "g": live, "g_ema": ema, "g_optim": {"state": {0: {"step": torch.tensor(3.0)}}},
        "args": argparse.Namespace(size=16, n_mlp=3), "ada_aug_p": 0.0,
    }  # fmt: skip
    path = tmp_path / "010000.pt"
    torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
    assert torch.equal(ganvas.load(path).synthesis.b4.conv1.weight, ema["conv1.conv.weight"][0])
    assert torch.equal(ganvas.load(path, network="G").synthesis.b4.conv1.weight, live["conv1.conv.weight"][0])
    with pytest.raises(UnknownWeights, match="no network 'D'"):
        ganvas.load(path, network="D")


@torch.no_grad()
def test_without_a_mean_latent_it_is_estimated(tmp_path):
    torch.save({"g_ema": port_generator()}, tmp_path / "port.pt")
    G = ganvas.load(tmp_path / "port.pt")
    exact = G.mapping(torch.randn(50_000, LATENT))[:, 0]
    assert (G.w_avg - exact.mean(dim=0)).abs().max() < 0.08 * exact.std()
    assert "estimated" in G.facts["notes"][0]


@torch.no_grad()
def test_old_files_without_noise_maps_load_the_same_each_time(tmp_path):
    torch.save({"g_ema": port_generator(noises=False)}, tmp_path / "old.pt")
    first = ganvas.load(tmp_path / "old.pt")
    torch.randn(7)
    again = ganvas.load(tmp_path / "old.pt")
    z = torch.randn(1, LATENT)
    assert torch.equal(first(z), again(z))


@pytest.mark.parametrize("rows", [1, 6])
def test_the_decoder_inside_an_encoders_file(tmp_path, rows):
    state, w_avg = port_generator(), torch.randn(LATENT)
    inside = {f"decoder.{name}": tensor for name, tensor in state.items()}
    inside |= {
        "encoder.input_layer.0.weight": torch.randn(4, 3, 3, 3),
        "encoder.body.0.res_layer.1.weight": torch.randn(4),
    }
    latent_avg = w_avg if rows == 1 else w_avg.repeat(rows, 1)
    torch.save({"state_dict": inside, "opts": {"output_size": 16}, "latent_avg": latent_avg}, tmp_path / "psp.pt")
    G = ganvas.load(tmp_path / "psp.pt")
    assert torch.allclose(G.w_avg, w_avg)
    assert torch.equal(G.synthesis.b16.torgb.bias, state["to_rgbs.1.bias"].flatten())


def port_discriminator() -> dict[str, torch.Tensor]:
    blur = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
    state = {"convs.0.0.weight": torch.randn(CHANNELS[16], 3, 1, 1), "convs.0.1.bias": torch.randn(CHANNELS[16])}
    for k, res in enumerate((16, 8), start=1):
        i, o = CHANNELS[res], CHANNELS[res // 2]
        state |= {
            f"convs.{k}.conv1.0.weight": torch.randn(i, i, 3, 3), f"convs.{k}.conv1.1.bias": torch.randn(i),
            f"convs.{k}.conv2.0.kernel": blur, f"convs.{k}.conv2.1.weight": torch.randn(o, i, 3, 3),
            f"convs.{k}.conv2.2.bias": torch.randn(o), f"convs.{k}.skip.0.kernel": blur,
            f"convs.{k}.skip.1.weight": torch.randn(o, i, 1, 1),
        }  # fmt: skip
    c = CHANNELS[4]
    return state | {
        "final_conv.0.weight": torch.randn(c, c + 1, 3, 3), "final_conv.1.bias": torch.randn(c),
        "final_linear.0.weight": torch.randn(c, c * 16), "final_linear.0.bias": torch.randn(c),
        "final_linear.1.weight": torch.randn(1, c), "final_linear.1.bias": torch.randn(1),
    }  # fmt: skip


def textbook_logits(s, img):
    """The port's discriminator in float64: scaled weights, leaky ReLU with gain √2, residuals over √2."""
    s = {name: tensor.double() for name, tensor in s.items()}

    def conv(x, name, **kwargs):
        weight = s[name]
        return F.conv2d(x, weight / math.sqrt(weight[0].numel()), **kwargs)

    def act(x, name):
        return F.leaky_relu(x + s[name].reshape(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2)

    def blur(x, kernel, pad):
        c = x.shape[1]
        return F.conv2d(F.pad(x, (pad,) * 4), kernel[None, None].repeat(c, 1, 1, 1), groups=c)

    x = act(conv(img.double(), "convs.0.0.weight"), "convs.0.1.bias")
    for k in (1, 2):
        y = act(conv(x, f"convs.{k}.conv1.0.weight", padding=1), f"convs.{k}.conv1.1.bias")
        y = conv(blur(y, s[f"convs.{k}.conv2.0.kernel"], 2), f"convs.{k}.conv2.1.weight", stride=2)
        y = act(y, f"convs.{k}.conv2.2.bias")
        skip = conv(blur(x, s[f"convs.{k}.skip.0.kernel"], 1), f"convs.{k}.skip.1.weight", stride=2)
        x = (y + skip) / math.sqrt(2)
    spread = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()  # four pictures: one group
    x = torch.cat([x, spread.expand(len(x), 1, 4, 4)], dim=1)
    x = act(conv(x, "final_conv.0.weight", padding=1), "final_conv.1.bias").flatten(1)
    w = s["final_linear.0.weight"]
    x = act(x @ w.T / math.sqrt(w.shape[1]), "final_linear.0.bias")
    w = s["final_linear.1.weight"]
    return (x @ w.T / math.sqrt(w.shape[1]) + s["final_linear.1.bias"])[:, 0]


@torch.no_grad()
def test_the_ports_discriminator_means_what_its_definition_says(tmp_path):
    state, img = port_discriminator(), torch.randn(4, 3, 16, 16)
    torch.save({"d": state, "g_ema": port_generator()}, tmp_path / "both.pt")
    logits = ganvas.load(tmp_path / "both.pt", network="D")(img).double()
    assert torch.allclose(logits, textbook_logits(state, img), atol=1e-4, rtol=1e-4)
    assert ganvas.load(tmp_path / "both.pt").num_ws == 6
