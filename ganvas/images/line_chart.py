"""Curves drawn with Pillow alone: legible axes, ticks and legends, log scales, marked events. No plotting library."""

from __future__ import annotations

import bisect
import functools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, HEIGHT_PX = 560, 300  # of one panel
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 48, 38  # room around the plotted area, px
SHARP = 2  # drawn this many times as large and then reduced: smooth lines
INK, GREY, PALE = (40, 40, 40), (120, 120, 120), (228, 228, 228)
CURVE_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (170, 80, 150))  # Okabe and Ito: told apart by everybody
ALARM = (200, 30, 30)
MAX_DRAWABLE = 1e300
SMOOTH_FROM = 80  # points; longer curves are drawn pale, with their running mean over them

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One named line: x and y of the same length; y may hold not-a-number, which is marked, not drawn."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    curves: Sequence[Curve]
    log: bool | None = None  # None = where all values are positive and span a factor of 50
    events: Sequence[Point] = ()  # (x, number that is written at the line)
    x_name: str = "kimg"


def draw_panel(panel: Panel) -> Image.Image:
    """The panel as a picture of WIDTH_PX x HEIGHT_PX on white."""
    page = Image.new("RGB", (WIDTH_PX * SHARP, HEIGHT_PX * SHARP), "white")
    pen = ImageDraw.Draw(page)
    axes = _axes(panel)
    _draw_frame(pen, panel, axes)
    for x, number in panel.events:
        _draw_event(pen, axes.across(x), number)
    for curve, colour in zip(panel.curves, CURVE_COLOURS * 9, strict=False):
        _draw_curve(pen, curve, colour, axes)
    return page.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BOX)


def draw_panels(panels: Sequence[Panel], notes: Sequence[str] = (), *, columns: int = 2) -> Image.Image:
    """Panels side by side, and lines of text under them."""
    columns = min(columns, max(len(panels), 1))
    rows = math.ceil(len(panels) / columns)
    line_px = 20
    height = rows * HEIGHT_PX + (len(notes) * line_px + 14 if notes else 0)
    page = Image.new("RGB", (columns * WIDTH_PX, max(height, 1)), "white")
    for index, panel in enumerate(panels):
        page.paste(draw_panel(panel), (index % columns * WIDTH_PX, index // columns * HEIGHT_PX))
    pen = ImageDraw.Draw(page)
    for index, note in enumerate(notes):
        text = _cut(pen, note, page.width - LEFT - RIGHT, _font(13))
        pen.text((LEFT, rows * HEIGHT_PX + index * line_px), text, INK, font=_font(13))
    return page


# ---------------------------------------------------------------------------------------------------------------------
# Axes


@dataclass(frozen=True)
class Axes:
    """Values → places on the enlarged page."""

    low: Point  # smallest x, y shown
    high: Point
    log: bool

    def across(self, x: float) -> float:
        """Where this x is, px from the left."""
        share = (x - self.low[0]) / (self.high[0] - self.low[0])
        return SHARP * (LEFT + share * (WIDTH_PX - LEFT - RIGHT))

    def down(self, y: float) -> float:
        """Where this y is, px from the top."""
        low, high = self.low[1], self.high[1]
        share = (
            (math.log(y) - math.log(low)) / (math.log(high) - math.log(low)) if self.log else (y - low) / (high - low)
        )
        return SHARP * (HEIGHT_PX - BOTTOM - share * (HEIGHT_PX - TOP - BOTTOM))


def _axes(panel: Panel) -> Axes:
    xs = [x for curve in panel.curves for x in curve.x]
    ys = [y for curve in panel.curves for y in curve.y if _drawable(y)]
    log = _log_fits(ys) if panel.log is None else panel.log and _positive(ys)
    low, high = (min(ys), max(ys)) if ys else (0.0, 1.0)
    if log:
        low, high = (low / 1.2, high * 1.2)
    else:
        margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        low, high = (0.0 if 0 <= low < 0.4 * high else low - margin), high + margin
    left, right = (min(xs), max(xs)) if xs else (0.0, 1.0)
    left = 0.0 if 0 <= left < 0.2 * right else left
    return Axes((left, low), (right if right > left else left + 1, high), log)


def _drawable(y: float) -> bool:
    return abs(y) < MAX_DRAWABLE  # neither infinite nor not-a-number, and a span of two such is finite, too


def _positive(ys: Sequence[float]) -> bool:
    return bool(ys) and min(ys) > 0


def _log_fits(ys: Sequence[float]) -> bool:
    return _positive(ys) and max(ys) > 50 * min(ys)


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between low and high, at most `most`."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between low and high; with 2 and 5 times where there are few, every second one where many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high) - math.log10(low) < 3 else (1,)
    stride = 1 + len(powers) // 9
    candidates = [factor * 10.0**power for power in powers if power % stride == 0 for factor in factors]
    return [value for value in candidates if low <= value <= high]


def label(value: float) -> str:
    """1200 → "1.2k", 0.00003 → "3e-5": as short as a tick's name should be."""
    size = abs(value)
    if value == 0 or size < 1e-12:
        return "0"
    if size >= 1e6 or size < 1e-3:
        digits, power = f"{value:.2e}".split("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value / 1000:.4g}k" if size >= 1e4 else f"{value:.4g}"


# ---------------------------------------------------------------------------------------------------------------------
# Ink


@functools.cache
def _font(size_px: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size_px)


def _draw_frame(pen: ImageDraw.ImageDraw, panel: Panel, axes: Axes) -> None:
    left, right = LEFT * SHARP, (WIDTH_PX - RIGHT) * SHARP
    bottom = (HEIGHT_PX - BOTTOM) * SHARP
    font = _font(12 * SHARP)
    for y in (log_ticks if axes.log else ticks)(axes.low[1], axes.high[1]):
        pen.line((left, axes.down(y), right, axes.down(y)), PALE, SHARP)
        pen.text((left - 6 * SHARP, axes.down(y)), label(y), GREY, font=font, anchor="rm")
    for x in ticks(axes.low[0], axes.high[0], most=8):
        pen.line((axes.across(x), bottom, axes.across(x), bottom + 4 * SHARP), GREY, SHARP)
        pen.text((axes.across(x), bottom + 6 * SHARP), label(x), GREY, font=font, anchor="ma")
    pen.line((left, bottom, right, bottom), GREY, SHARP)
    pen.text((right, bottom + 22 * SHARP), panel.x_name, GREY, font=font, anchor="ra")
    title = _plain(panel.title)[:60] + (" (log scale)" if axes.log else "")
    pen.text((left, 6 * SHARP), title, INK, font=_font(15 * SHARP))
    _draw_legend(pen, panel, left, 28 * SHARP)


def _draw_legend(pen: ImageDraw.ImageDraw, panel: Panel, left: float, top: float) -> None:
    font = _font(12 * SHARP)
    for curve, colour in zip(panel.curves, CURVE_COLOURS * 9, strict=False):
        last = next((f" {label(y)}" for y in reversed(curve.y) if _drawable(y)), "")
        pen.line((left, top + 7 * SHARP, left + 16 * SHARP, top + 7 * SHARP), colour, 3 * SHARP)
        name = _plain(curve.name)[:40] + last
        pen.text((left + 21 * SHARP, top), name, INK, font=font)
        left += 21 * SHARP + pen.textlength(name, font=font) + 18 * SHARP


def _draw_event(pen: ImageDraw.ImageDraw, across: float, number: float) -> None:
    for top in range(TOP * SHARP, (HEIGHT_PX - BOTTOM) * SHARP, 8 * SHARP):
        pen.line((across, top, across, top + 4 * SHARP), GREY, SHARP)
    pen.text((across + 3 * SHARP, (TOP + 8) * SHARP), f"{number:g}", ALARM, font=_font(12 * SHARP))


def _draw_curve(pen: ImageDraw.ImageDraw, curve: Curve, colour: tuple[int, int, int], axes: Axes) -> None:
    for x, y in zip(curve.x, curve.y, strict=True):
        if not _drawable(y):
            _draw_cross(pen, axes.across(x), (TOP + 4) * SHARP)
    for points in _runs(curve):
        long = len(points) >= SMOOTH_FROM
        _draw_line(pen, points, _paler(colour) if long else colour, SHARP if long else 2 * SHARP, axes)
        if long:
            _draw_line(pen, _running_mean(points, len(points) // 30, log=axes.log), colour, 2 * SHARP, axes)
        if len(points) <= 30:
            for x, y in points:
                _draw_dot(pen, axes.across(x), axes.down(y), colour)


def _runs(curve: Curve) -> list[list[Point]]:
    """The stretches without a gap; time that runs backward (a run that stepped back) starts a new one."""
    runs: list[list[Point]] = [[]]
    for x, y in zip(curve.x, curve.y, strict=True):
        if not _drawable(y) or (runs[-1] and x < runs[-1][-1][0]):
            runs.append([])
        if _drawable(y):
            runs[-1].append((x, y))
    return [run for run in runs if run]


def _draw_line(
    pen: ImageDraw.ImageDraw, points: Sequence[Point], colour: tuple[int, int, int], width_px: int, axes: Axes
) -> None:
    """Each column of the page gets its smallest and largest value, so that no peak of a long run is lost."""
    places = [(axes.across(x), axes.down(y)) for x, y in points]
    if len(places) > 4 * WIDTH_PX:
        places = _extremes(places)
    if len(places) > 1:
        pen.line(places, colour, width_px, joint="curve")


def _extremes(places: Sequence[Point]) -> list[Point]:
    points: list[Point] = []
    column: list[Point] = []
    for place in places:
        if column and int(place[0]) != int(column[0][0]):
            points += sorted({min(column, key=_height), max(column, key=_height)})
            column = []
        column.append(place)
    return points + column


def _height(place: Point) -> float:
    return place[1]


def _running_mean(points: Sequence[Point], width: int, *, log: bool) -> list[Point]:
    """Mean (geometric on a log scale) of the values up to `width` before and after each; its cost ignores `width`."""
    sums = [0.0]
    for _, y in points:
        sums.append(sums[-1] + (math.log(y) if log else y))
    smooth = []
    for index, (x, _) in enumerate(points):
        first, end = max(index - width, 0), min(index + width + 1, len(points))
        mean = (sums[end] - sums[first]) / (end - first)
        smooth.append((x, math.exp(mean) if log else mean))
    return smooth


def _draw_dot(pen: ImageDraw.ImageDraw, across: float, down: float, colour: tuple[int, int, int]) -> None:
    r = 2.5 * SHARP
    pen.ellipse((across - r, down - r, across + r, down + r), fill=colour)


def _draw_cross(pen: ImageDraw.ImageDraw, across: float, down: float) -> None:
    r = 4 * SHARP
    pen.line((across - r, down - r, across + r, down + r), ALARM, 2 * SHARP)
    pen.line((across - r, down + r, across + r, down - r), ALARM, 2 * SHARP)


def _paler(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    r, g, b = ((2 * 255 + part) // 3 for part in colour)
    return r, g, b


def _cut(
    pen: ImageDraw.ImageDraw, text: str, width_px: float, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    text = _plain(text)
    if pen.textlength(text, font=font) <= width_px:
        return text
    fitting = bisect.bisect_right(range(len(text)), width_px, key=lambda n: pen.textlength(text[:n] + "...", font=font))
    return text[: max(fitting - 1, 0)] + "..."


def _plain(text: str) -> str:
    """The font that comes with Pillow has ASCII only: accents go, other signs become a question mark."""
    for sign, plain in (("–", "-"), ("—", "-"), ("…", "..."), ("→", "->"), ("×", "x"), ("’", "'")):
        text = text.replace(sign, plain)
    letters = (sign for sign in unicodedata.normalize("NFKD", text[:1000]) if not unicodedata.combining(sign))
    return " ".join("".join(letters).encode("ascii", "replace").decode().split())
