"""What a run shows of itself: sheets, walks, curves, TensorBoard events."""

import json
import math
import time

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import BadImage, MissingExtra
from ganvas.images import line_chart
from ganvas.images.line_chart import CURVE_COLOURS, HEIGHT_PX, WIDTH_PX, Curve, Panel
from ganvas.models.seeds import latents_from_seeds
from ganvas.training.engine.plots import events_of, panels_of, plot_log, write_sheet, write_walk
from ganvas.training.engine.run_folder import read_log
from ganvas.training.engine.tensorboard import TensorBoard, open_tensorboard

BLUE, ORANGE = CURVE_COLOURS[:2]


def write_log(folder, rows, tail=""):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "log.jsonl").write_text(text + tail, encoding="utf-8")


def row(kimg, **numbers):
    return {"nimg": int(kimg * 1000), "kimg": kimg, "sec": kimg * 10, **numbers}


def places_of(picture, colour):
    """[n, 2] x and y of the pixels of this very colour."""
    down, across = np.nonzero((np.asarray(picture) == np.array(colour)).all(axis=2))
    return np.stack([across, down], axis=1)


# ---------------------------------------------------------------------------------------------------------------------
# Sheets and walks


def test_a_sheet_holds_every_picture_in_its_place(tmp_path):
    img = torch.linspace(-1, 1, 6)[:, None, None, None].expand(6, 3, 8, 8)
    for batch in (img, img.mul(127.5).add(128).clamp(0, 255).to(torch.uint8)):
        pixels = np.asarray(Image.open(write_sheet(batch, tmp_path / "s.png", columns=3)))
        assert pixels.shape == (16, 24, 3)
        assert [int(pixels[y, x, 0]) for y in (4, 12) for x in (4, 12, 20)] == [0, 51, 102, 153, 204, 255]


def test_a_sheet_of_grey_pictures_and_of_nonsense(tmp_path):
    assert Image.open(write_sheet(torch.zeros(4, 1, 8, 8), tmp_path / "grey.png")).size == (16, 16)
    with pytest.raises(BadImage, match="NaN"):
        write_sheet(torch.full((4, 3, 8, 8), math.nan), tmp_path / "bad.png")
    assert not (tmp_path / "bad.png").exists()


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("dcgan", {}),
        ("dcgan", {"c_dim": 3}),
        ("stylegan2", {"img_resolution": 16, "channel_base": 128, "channel_max": 16, "w_dim": 8, "z_dim": 8}),
    ],
)
def test_a_walk_is_a_loop_of_small_frames(tmp_path, family, settings):
    size = {"img_resolution": 32, "ngf": 4} if family == "dcgan" else {}
    G = ganvas.build(family, **size, **settings).train()
    path = write_walk(G, tmp_path / "walk.gif", 5, frames=12, stops=3, largest_px=16)
    film = Image.open(path)
    assert film.n_frames == 12 and film.size == (16, 16) and film.info["loop"] == 0
    assert G.training


class Patches(torch.nn.Module):
    """z [N, 12] is the picture: 2x2 patches of colour."""

    z_dim, w_dim, num_ws, c_dim, img_resolution, img_channels = 12, 12, 1, 0, 32, 3

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def mapping(self, z, c=None, **_):
        return z[:, None]

    def synthesis(self, ws, **_):
        small = torch.tanh(ws[:, 0].reshape(-1, 3, 2, 2)) * self.gain
        return torch.nn.functional.interpolate(small, scale_factor=16)


def test_a_walk_stops_at_its_seeds_and_leads_back(tmp_path):
    film = Image.open(write_walk(Patches(), tmp_path / "walk.webp", 5, frames=8, stops=4, largest_px=32))
    stops = Patches().synthesis(latents_from_seeds(range(5, 9), 12)[:, None]).detach()
    expected = stops.add(1).mul(127.5).permute(0, 2, 3, 1).numpy()
    for stop in range(4):  # eight frames pass four seeds: every second one is a stop
        film.seek(2 * stop)
        assert np.abs(np.asarray(film.convert("RGB"), dtype=float) - expected[stop])[4:12, 4:12].mean() < 8


# ---------------------------------------------------------------------------------------------------------------------
# The log


def test_a_log_that_was_cut_in_mid_line_is_read_up_to_there(tmp_path):
    write_log(tmp_path, [row(1, loss_D=0.5), row(2, loss_D=0.4)], tail='{"nimg": 3000, "loss_')
    assert [line["loss_D"] for line in read_log(tmp_path)] == [0.5, 0.4]
    (tmp_path / "log.jsonl").write_bytes(b'\xff\xfe\n[1]\n7\n{"kimg": "x"}\n{"nimg": 1000, "p": 0.1}\n')
    assert [line["p"] for line in read_log(tmp_path)] == [0.1]
    assert read_log(tmp_path / "nowhere") == []


def test_every_number_of_the_log_is_drawn_known_or_not():
    panels = panels_of([row(1, loss_D=1.0, loss_G=2.0, fd=90.0, my_own=3, note="words", flag=True), row(2, my_own=4)])
    drawn = {panel.title: [(curve.name, list(curve.x), list(curve.y)) for curve in panel.curves] for panel in panels}
    assert drawn["Losses"] == [("discriminator", [1.0], [1.0]), ("generator", [1.0], [2.0])]
    assert drawn["my_own"] == [("my_own", [1.0, 2.0], [3.0, 4.0])]
    assert not {"note", "flag", "nimg", "sec"} & drawn.keys() and len(drawn) == 3


def test_null_and_nan_are_gaps_that_are_marked():
    rows = [row(1, loss_D=1.0), row(2, loss_D=None), row(3, loss_D=math.nan), row(4, loss_D=1.5), row(5)]
    (curve,) = panels_of(rows)[0].curves
    assert list(curve.x) == [1.0, 2.0, 3.0, 4.0]
    assert [math.isnan(y) for y in curve.y] == [False, True, True, False]
    assert len(line_chart._runs(curve)) == 2
    page = line_chart.draw_panel(Panel("Losses", [curve]))
    assert len(places_of(page, line_chart.ALARM)) > 10


def test_curves_are_written_with_their_events_and_replaced_whole(tmp_path):
    assert plot_log(tmp_path) == []
    write_log(tmp_path, [row(k, loss_D=1 / k, loss_G=float(k)) for k in range(1, 9)])
    (path,) = plot_log(tmp_path)
    plain = Image.open(path).size
    write_log(tmp_path, [row(k, loss_D=1 / k, event="Fréchet → \U0001f600 " + "long " * 200) for k in range(1, 40)])
    (path,) = plot_log(tmp_path)
    assert plain[0] == WIDTH_PX and plain[1] >= HEIGHT_PX
    assert Image.open(path).size[1] > HEIGHT_PX + 200
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curves.png", "log.jsonl"]


def test_events_keep_their_words_and_places():
    rows = [row(1), row(2, event="one"), row(3, event=""), row(4, event="two")]
    assert events_of(rows) == [(2.0, "one"), (4.0, "two")]


# ---------------------------------------------------------------------------------------------------------------------
# Charts


def test_a_curve_is_drawn_where_its_values_are():
    """Of a straight line through the plotted area, left is low, right is high, and the middle is in the middle."""
    page = line_chart.draw_panel(Panel("", [Curve("a", [0, 50, 100], [0, 5, 10])], log=False))
    places = places_of(page, BLUE)
    places = places[places[:, 1] > line_chart.TOP]  # without the legend
    first, last = places[places[:, 0].argmin()], places[places[:, 0].argmax()]
    assert abs(first[0] - line_chart.LEFT) <= 4 and abs(last[0] - (WIDTH_PX - line_chart.RIGHT)) <= 4
    assert first[1] > last[1]
    middle = places[np.abs(places[:, 0] - (first[0] + last[0]) / 2) < 2]
    assert abs(middle[:, 1].mean() - (first[1] + last[1]) / 2) < 3


def test_equal_ratios_are_equal_steps_on_a_log_scale():
    axes = line_chart._axes(Panel("", [Curve("a", [0, 1, 2], [0.01, 1, 100])]))
    assert axes.log
    low, middle, high = (axes.down(y) for y in (0.01, 1, 100))
    assert low - middle == pytest.approx(middle - high)
    assert not line_chart._axes(Panel("", [Curve("a", [0, 1], [0, 1000])], log=True)).log  # a zero has no place there
    assert not line_chart._axes(Panel("", [Curve("a", [0, 1], [1, 40])])).log


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-1, 1, [-1, -0.5, 0, 0.5, 1]), (0.27, 0.34, [0.28, 0.3, 0.32, 0.34])],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert line_chart.ticks(low, high) == pytest.approx(expected)


def test_log_ticks_and_their_names():
    assert line_chart.log_ticks(0.9, 110) == pytest.approx([1, 2, 5, 10, 20, 50, 100])
    assert line_chart.log_ticks(1e-12, 1e12)[1] / line_chart.log_ticks(1e-12, 1e12)[0] == pytest.approx(1e3)
    labels = [line_chart.label(x) for x in (0, 12000, 0.25, 0.00003, 2e9, -3)]
    assert labels == ["0", "12k", "0.25", "3e-5", "2e9", "-3"]


@pytest.mark.parametrize(
    "values", [[], [5.0], [0.0, 0.0], [math.nan], [1e308, -1e308], [1e299, -1e299], [1e-300, 1e300], [-3.0, -3.0]]
)
def test_odd_values_are_drawn_without_complaint(values):
    page = line_chart.draw_panel(Panel("odd", [Curve("a", list(range(len(values))), values)], events=[(0, 1)]))
    assert page.size == (WIDTH_PX, HEIGHT_PX)


def test_no_peak_of_a_long_curve_is_lost():
    values = [0.0] * 50_000
    values[31_234] = 1.0
    page = line_chart.draw_panel(Panel("", [Curve("a", range(50_000), values)], log=False))
    pale = places_of(page, line_chart._paler(BLUE))
    across = line_chart.LEFT + (WIDTH_PX - line_chart.LEFT - line_chart.RIGHT) * 31_234 / 50_000
    assert np.abs(pale[pale[:, 1] < HEIGHT_PX // 2, 0] - across).max() < 3


def test_the_running_mean_is_the_mean_of_its_window():
    points = [(float(x), float(y)) for x, y in enumerate(np.random.default_rng(0).uniform(1, 2, 40))]
    ys = np.array([y for _, y in points])
    expected = [ys[max(i - 3, 0) : i + 4].mean() for i in range(40)]
    assert [y for _, y in line_chart._running_mean(points, 3, log=False)] == pytest.approx(expected)
    geometric = [np.exp(np.log(ys[max(i - 3, 0) : i + 4]).mean()) for i in range(40)]
    assert [y for _, y in line_chart._running_mean(points, 3, log=True)] == pytest.approx(geometric)


def test_a_run_that_stepped_back_does_not_draw_a_line_backwards():
    assert [len(run) for run in line_chart._runs(Curve("a", [1, 2, 3, 2, 3], [1, 1, 1, 2, 2]))] == [3, 2]


def test_drawing_a_long_log_is_cheap(tmp_path):
    """Called every tick: 1,500 ticks of 13 numbers within a second of this thread, with room for a busy machine."""
    names = (
        "img_per_sec loss_D loss_G penalty p sign_real logit_real logit_fake diversity grad_norm_D grad_norm_G".split()
    )
    write_log(tmp_path, [row(k, **dict.fromkeys(names, 1 + k % 7)) for k in range(1500)])
    plot_log(tmp_path)
    started = time.thread_time()
    plot_log(tmp_path)
    assert time.thread_time() - started < 1


# ---------------------------------------------------------------------------------------------------------------------
# TensorBoard


def test_without_the_extra_a_run_goes_on_and_asking_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    assert open_tensorboard(tmp_path) is None
    with pytest.raises(MissingExtra, match=r"ganvas\[tensorboard\]"):
        TensorBoard(tmp_path)


def test_events_for_tensorboard_hold_the_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    board = open_tensorboard(tmp_path)
    board.write(row(1, loss_D=0.5, fd=None, event="said"))
    board.write(row(2, loss_D=math.nan))
    board.write(row(3, loss_D=0.25))
    board.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss_D")] == [(1000, 0.5), (3000, 0.25)]
    assert "event/text_summary" in read.Tags()["tensors"]
