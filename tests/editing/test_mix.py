import pytest
import torch

from ganvas.editing.mix import mix_styles, mixing_sheet
from ganvas.errors import BadLatent


def test_mixing_takes_just_the_chosen_layers():
    ws, style = torch.randn(2, 6, 8), torch.randn(1, 6, 8)
    mixed = mix_styles(ws, style, [1, 4])
    assert torch.equal(mixed[:, [1, 4]], style[:, [1, 4]].expand(2, 2, 8))
    assert torch.equal(mixed[:, [0, 2, 3, 5]], ws[:, [0, 2, 3, 5]])


def test_strength_leads_from_one_to_the_other():
    ws, style = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    assert torch.equal(mix_styles(ws, style, range(4), strength=0), ws)
    half = mix_styles(ws, style, range(4), strength=0.5)
    assert torch.allclose(half, (ws + style) / 2, atol=1e-6)


def test_the_sheet_holds_every_pair():
    rows, columns = torch.randn(2, 4, 8), torch.randn(3, 4, 8)
    sheet = mixing_sheet(rows, columns, [0, 3])
    assert sheet.shape == (2, 3, 4, 8)
    for r in range(2):
        for c in range(3):
            assert torch.equal(sheet[r, c], mix_styles(rows[r : r + 1], columns[c : c + 1], [0, 3])[0])


def test_layers_and_generators_that_do_not_fit_are_named():
    with pytest.raises(BadLatent, match="layers 0 to 3, there is no layer 4"):
        mix_styles(torch.randn(1, 4, 8), torch.randn(1, 4, 8), [4])
    with pytest.raises(BadLatent, match="one generator"):
        mix_styles(torch.randn(1, 4, 8), torch.randn(1, 5, 8), [0])
