"""Effects and leakage on a generator whose pictures say exactly what is in its latents."""

import json
from types import SimpleNamespace

import pytest
import torch

from ganvas.editing.directions import Direction
from ganvas.editing.discovery.calibration import (
    Response,
    best_layers,
    calibrate,
    combine_scorers,
    direction_sheet,
    effect_by_row,
    find_valid_range,
    measure_response,
    score_latents,
)
from ganvas.editing.discovery.leakage import (
    Leakage,
    compute_linear_leakage,
    draw_leakage,
    leakage_from_responses,
    measure_leakage,
)
from ganvas.editing.discovery.regression import fit_scores, learn_direction
from ganvas.editing.discovery.report import write_direction_report
from ganvas.errors import BadConfig, BadLatent

ROWS, DIM = 4, 3
PART = torch.tensor([0.0, 0.7, 0.3, 0.0])  # how much each row contributes to the picture


def glass(ws, *, noise_mode="const", resolution=None, precision="exact"):
    """Red, green and blue are the first three numbers of w, weighted over the rows; far from being clipped."""
    colour = torch.einsum("r,nrd->nd", PART, ws) / 100
    return colour[:, :, None, None].expand(-1, -1, 4, 4)


G = SimpleNamespace(family="glass", num_ws=ROWS, w_dim=DIM, synthesis=glass)
RED, GREEN = (lambda img, i=i: 100 * img[:, i].mean(dim=(1, 2)) for i in (0, 1))
JUDGE = combine_scorers({"red": RED, "green": GREEN})


def latents(count=200, seed=0):
    w = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    return (w * torch.tensor([2.0, 1.0, 1.0]))[:, None].repeat(1, ROWS, 1)


def along(*vector, **fields):
    return Direction("red", torch.tensor([vector]), **fields)


def test_rows_are_measured_one_by_one():
    effects = effect_by_row(G, RED, latents(5), along(1.0, 0, 0), amount=2)
    assert effects.tolist() == pytest.approx(PART.tolist(), abs=1e-5)
    limited = effect_by_row(G, RED, latents(5), along(1.0, 0, 0, layers=(2, 3)))
    assert limited.tolist() == pytest.approx([0, 0, 0.3, 0], abs=1e-5)


@pytest.mark.parametrize(
    ("effects", "share", "rows"),
    [
        ([0, 0.7, 0.3, 0], 0.9, (1, 2)),
        ([0, 0.7, 0.3, 0], 0.6, (1,)),
        ([0.5, -1.0, 0.5, 0], 1.0, (0, 1, 2)),
        ([0.1, 0.4, 0.4, 0.6], 0.6, (2, 3)),
        ([1, 0, 0, 0], 0.9, (0,)),
    ],
)
def test_the_shortest_run_that_carries_the_effect(effects, share, rows):
    assert best_layers(torch.tensor(effects), share=share) == rows


def test_rows_that_do_nothing_are_said():
    with pytest.raises(BadConfig, match="does not have the attribute"):
        best_layers(torch.tensor([-1.0, 0, 0]))
    with pytest.raises(BadConfig, match="share"):
        best_layers(torch.ones(3), share=0)


def test_after_calibration_a_unit_is_one_standard_deviation():
    ws = latents()
    unit = calibrate(G, RED, ws, along(0.1, 0.0, 0.0))
    assert unit.vector[0, 0].item() == pytest.approx(RED(glass(ws)).std().item(), rel=1e-3)
    assert unit.facts["measured_gain"] == pytest.approx(0.1 / ws[:, 0, 0].std().item(), rel=1e-3)
    with pytest.raises(BadConfig, match="does not increase"):
        calibrate(G, RED, ws, along(-1.0, 0, 0))


def test_a_response_is_the_mean_at_every_amount():
    ws = latents(50)
    found = measure_response(G, JUDGE, ws, along(1.0, 0.5, 0, low=-4.0, high=2.0))
    assert found.amounts == (-4, -2, 0, 1, 2)
    still = RED(glass(ws)).mean().item()
    assert found.means["red"] == pytest.approx([still + a for a in found.amounts], abs=1e-4)
    assert found.shifts("green")[0] == pytest.approx(-2 / GREEN(glass(ws)).std().item(), rel=1e-3)
    assert found.found == (1,) * 5


def test_pictures_that_cannot_be_judged_are_left_out_and_counted():
    shy = combine_scorers({"red": lambda img: torch.where(RED(img) > 0, RED(img), torch.nan)})
    ws = latents(100)
    found = measure_response(G, shy, ws, along(1.0, 0, 0), (0.0,))
    values = RED(glass(ws))
    assert found.means["red"][0] == pytest.approx(values[values > 0].mean().item(), rel=1e-4)
    assert found.found[0] == pytest.approx((values > 0).float().mean().item())


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((-2, -1, 0, 1, 2), (-4, 4)),
        ((-1, -1.01, 0, 1, 0.5), (-2, 2)),
        ((3, 0.2, 0, 1, 2), (0, 4)),
    ],
)
def test_the_range_ends_where_the_score_stops_rising(means, expected):
    response = Response(
        direction="red",
        amounts=(-4, -2, 0, 2, 4),
        means={"red": means},
        found=(1,) * 5,
        still={"red": 0},
        spread={"red": 1},
    )
    assert find_valid_range(response, "red") == expected
    with pytest.raises(BadConfig, match="unknown score"):
        find_valid_range(response, "blue")


def test_a_score_that_is_always_the_same_counts_in_no_deviations(tmp_path):
    flat = combine_scorers({"red": RED, "flat": lambda img: torch.ones(len(img))})
    big = SimpleNamespace(
        family="glass", num_ws=ROWS, w_dim=DIM, synthesis=lambda ws, **_: glass(ws).repeat(1, 1, 8, 8)
    )
    found = write_direction_report(big, [along(1.0, 0, 0)], latents(6), tmp_path, scorer=flat)
    assert found.leakage.shift[0].isnan().tolist() == [False, True]
    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert told["leakage"]["shift"][0][1] is None
    assert "nan" in (tmp_path / "report.md").read_text()


def test_a_score_that_never_rises_has_no_range():
    response = measure_response(G, JUDGE, latents(10), along(0, 0, 1.0))
    with pytest.raises(BadConfig, match="does not increase"):
        find_valid_range(response, "red")


def test_leakage_is_the_same_computed_and_measured_where_the_generator_is_linear():
    ws = latents(2000)
    w = ws[:, 0]
    scores = {"red": w[:, 0] + 0.8 * w[:, 1], "green": w[:, 1].clone()}
    fits = {name: fit_scores(w, y, ridge=1e-9) for name, y in scores.items()}
    judge = combine_scorers({"red": lambda img: RED(img) + 0.8 * GREEN(img), "green": GREEN})
    directions = [learn_direction(w, y, name=name, ridge=1e-9) for name, y in scores.items()]
    computed = compute_linear_leakage(directions, fits)
    measured = measure_leakage(G, judge, ws[:300], directions)
    assert computed.shift.diag().tolist() == pytest.approx([1, 1], abs=1e-3)
    assert computed.worst("red") == ("green", computed.shift[0, 1].item())
    assert torch.allclose(computed.shift, measured.shift, rtol=0.1)  # 300 latents' spread is not quite 2000's
    responses = [measure_response(G, judge, ws[:300], d, (-2.0, -0.5, 1.0)) for d in directions]
    assert torch.allclose(leakage_from_responses(responses).shift, measured.shift, atol=1e-4)
    with pytest.raises(BadConfig, match="one above"):
        leakage_from_responses([measure_response(G, judge, ws[:3], directions[0], (-1.0, 0.0))])
    kept = learn_direction(w, scores["red"], name="red", ridge=1e-9, keep=[directions[1].vector])
    assert compute_linear_leakage([kept], fits).shift[0].tolist() == pytest.approx([1, 0], abs=1e-3)
    with pytest.raises(BadConfig, match="different spaces"):
        compute_linear_leakage([Direction("long", torch.ones(1, 7))], fits)


def test_the_matrix_is_drawn_in_the_colours_of_its_numbers():
    leakage = Leakage(("smile", "age"), ("smile", "age"), torch.tensor([[1.0, 0.0], [-2.0, 0.5]]))
    img = draw_leakage(leakage)
    assert img.shape[:2] == (1, 3)
    assert img.abs().max() <= 1
    height, width = img.shape[2:]
    corner = [img[0, :, height - 8 - y, width - 8 - x].tolist() for y, x in ((74, 146), (36, 146))]
    assert corner[0][0] > corner[0][2], "+1 is red"
    assert corner[1][2] > corner[1][0], "-2 is blue"
    assert "smile" in leakage.to_text() and "-2.00" in leakage.to_text()


def test_a_sheet_has_a_row_a_latent_and_a_column_an_amount():
    big = SimpleNamespace(
        family="glass", num_ws=ROWS, w_dim=DIM, synthesis=lambda ws, **_: glass(ws).repeat(1, 1, 8, 8)
    )
    img = direction_sheet(big, latents(2), along(10.0, 0, 0, low=-2.0, high=2.0))
    cells = img[0, 0].unfold(1, 32, 34).unfold(0, 32, 50)[:, :, 5, 5]
    assert cells.shape == (2, 5)
    assert (cells.diff(dim=1) > 0.05).all(), "red rises to the right"


def test_latents_of_another_generator_are_refused():
    with pytest.raises(BadLatent, match="score_latents expects"):
        score_latents(G, JUDGE, torch.randn(2, ROWS, DIM + 1))
