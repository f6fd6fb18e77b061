import dataclasses

import pytest
import torch

import ganvas
from ganvas.editing.layers import row_sizes, rows_of
from ganvas.editing.mix import Mix, decode_latent, encode_latent, mix_layers, mixing_sheet
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig, BadLatent
from ganvas.models.seeds import latents_from_seeds
from tests.contracts import TINY


def tiny(family, **fields):
    torch.manual_seed(0)
    return ganvas.build(family, **{**TINY[family].fields, **fields}).eval().requires_grad_(False)


def bench(generator):
    return EditContext(generator, lambda name: None)


def test_mixing_takes_just_the_chosen_layers():
    ws, style = torch.randn(2, 6, 8), torch.randn(1, 6, 8)
    mixed = mix_layers(ws, style, [1, 4])
    assert torch.equal(mixed[:, [1, 4]], style[:, [1, 4]].expand(2, 2, 8))
    assert torch.equal(mixed[:, [0, 2, 3, 5]], ws[:, [0, 2, 3, 5]])


def test_strength_leads_from_one_to_the_other():
    ws, style = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    assert torch.equal(mix_layers(ws, style, range(4), strength=0), ws)
    half = mix_layers(ws, style, range(4), strength=0.5)
    assert torch.allclose(half, (ws + style) / 2, atol=1e-6)


def test_the_sheet_holds_every_pair():
    rows, columns = torch.randn(2, 4, 8), torch.randn(3, 4, 8)
    sheet = mixing_sheet(rows, columns, [0, 3])
    assert sheet.shape == (2, 3, 4, 8)
    for r in range(2):
        for c in range(3):
            assert torch.equal(sheet[r, c], mix_layers(rows[r : r + 1], columns[c : c + 1], [0, 3])[0])


def test_layers_and_generators_that_do_not_fit_are_named():
    with pytest.raises(BadLatent, match="layers 0 to 3, there is no layer 4"):
        mix_layers(torch.randn(1, 4, 8), torch.randn(1, 4, 8), [4])
    with pytest.raises(BadLatent, match="the same generator"):
        mix_layers(torch.randn(1, 4, 8), torch.randn(1, 5, 8), [0])


def test_a_seed_gives_its_own_latent():
    G = tiny("stylegan2")
    theirs = G.mapping(latents_from_seeds([5], G.z_dim), truncation_psi=0.5)
    ws = torch.randn(2, G.num_ws, G.w_dim)
    assert torch.equal(Mix(seed=5, truncation_psi=0.5).apply(ws, bench(G)), theirs.expand_as(ws))
    half = Mix(seed=5, truncation_psi=0.5, layers=(1,), strength=0.5).apply(ws, bench(G))
    assert torch.equal(half[:, [0, *range(2, G.num_ws)]], ws[:, [0, *range(2, G.num_ws)]])
    assert torch.allclose(half[:, 1], (ws[:, 1] + theirs[:, 1]) / 2, atol=1e-6)


def test_a_class_is_asked_for_where_there_are_classes():
    G, conditional = tiny("stylegan2"), tiny("stylegan2", c_dim=3)
    one, other = (Mix(seed=1, label=label).source(conditional) for label in (0, 2))
    assert not torch.equal(one, other)
    for step, generator in ((Mix(seed=1), conditional), (Mix(seed=1, label=3), conditional), (Mix(seed=1, label=0), G)):
        with pytest.raises(BadConfig, match="class"):
            step.source(generator)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_latent_travels_as_text(rows):
    ws = torch.randn(1, rows, 24).expand(1, 4, 24)
    text = encode_latent(ws)
    assert len(text) == rows * 24 * 2 * 4 / 3  # one row where all are equal
    assert torch.allclose(decode_latent(text).view(1, rows, 24), ws[:, :rows], atol=2e-3)


def test_a_latent_that_float16_cannot_hold_is_refused():
    with pytest.raises(BadLatent, match="finite"):
        encode_latent(torch.full((1, 2, 4), 1e6))
    with pytest.raises(BadLatent, match="one image"):
        encode_latent(torch.zeros(2, 2, 4))


def test_a_latent_of_another_generator_is_refused():
    G = tiny("stylegan2")
    with pytest.raises(BadLatent, match="made for another"):
        Mix(latent=encode_latent(torch.randn(1, 1, G.w_dim + 1))).apply(torch.randn(1, G.num_ws, G.w_dim), bench(G))


@pytest.mark.parametrize("family", ["stylegan2", "stylegan3", "mobilestylegan"])
def test_colour_and_shape_share_out_all_rows(family):
    G = tiny(family, **({"img_resolution": 64} if family == "stylegan3" else {}))
    sizes = row_sizes(G)
    assert sizes == sorted(sizes) and len(sizes) == G.num_ws
    assert max(sizes) == G.img_resolution
    colour, shape = rows_of("colour", G), rows_of("shape", G)
    assert shape + colour == rows_of("all", G) == list(range(G.num_ws))
    assert all(sizes[row] >= G.img_resolution // 2 for row in colour) and shape


def test_colour_begins_at_64_px_in_a_large_generator():
    small = {"channel_base": 512, "channel_max": 8, "z_dim": 8, "w_dim": 8, "num_mapping_layers": 1}
    G = tiny("stylegan2", img_resolution=256, **small)
    assert row_sizes(G) == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256, 256]
    assert rows_of("colour", G) == [7, 8, 9, 10, 11, 12, 13]


def test_the_published_faces_have_their_line_at_row_10():
    from ganvas.models.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator

    with torch.device("meta"):
        G = MobileStyleGANGenerator(MobileStyleGANConfig())
    assert rows_of("colour", G) == list(range(10, 23))


@pytest.mark.parametrize("family", ["dcgan", "r3gan", "mlp", "fastgan"])
def test_a_generator_without_rows_says_so(family):
    with pytest.raises(BadConfig, match=f"{family} has no style rows"):
        Mix(seed=1, part="colour").apply(torch.randn(1, 1, 16), bench(tiny(family)))


def test_a_mix_is_data():
    step = Mix(seed=1, layers=[3, 4])
    assert step.layers == (3, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.seed = 2
