"""A run as one page that can be mailed: report.html, with everything it shows inside it, and no script.

The page is `report.html.jinja`; here is what stands in it. Whatever stands in the run's files is treated as text of a
stranger: it is escaped, and the page forbids itself to load anything. It can be written while a run goes on, after it
died, and of a folder that was copied from elsewhere.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ganvas import __version__
from ganvas.errors import BadConfig
from ganvas.images.html_page import data_uri, embed_jpeg, open_templates
from ganvas.images.line_chart import draw_panels
from ganvas.training.engine.plots import events_of, panels_of
from ganvas.training.engine.run_folder import kind_of, number_of, read_log, read_record
from ganvas.training.engine.run_list import RunState, read_run_state
from ganvas.training.generator.config import TrainConfig
from ganvas.weights.checkpoint import write_atomically

REPORT = "report.html"
REPORT_SHEET_PX = 640  # width of a sheet on the page
MAX_SHEETS = 6  # of fakes over time
MAX_ANIMATION_BYTES = 1_500_000  # bytes; larger walks are named, not shown
RELOAD_SEC = 60  # of the page, while the run goes on

STATUS_TEXT = {
    "running": "is going on",
    "finished": "is done",
    "stopped": "was stopped; run the same command to resume",
    "killed": "was killed; run the same command to resume from its last save",
    "failed": "has failed",
}

_TEMPLATES = open_templates(Path(__file__).parent)


def write_report(run_dir: Path | str) -> Path:
    """Write run_dir/report.html: state, pictures, curves, events, metrics, data, settings and what to do next.

    Raises:
        BadConfig: the folder holds no run.
    """
    folder = Path(run_dir)
    page = report_html(folder)
    path = folder / REPORT
    write_atomically(path, lambda part: Path(part).write_text(page, encoding="utf-8"))
    return path


def report_html(folder: Path) -> str:
    """The page as text; see `write_report`."""
    return _TEMPLATES.get_template("report.html.jinja").render(_page_of(folder))


def _page_of(folder: Path) -> dict[str, Any]:
    """What the template shows."""
    record, rows, state = read_record(folder), read_log(folder), _state(folder)
    status = state.status if state else _recorded_status(record)
    remedies = record.get("remedies")
    return {
        "name": folder.resolve().name,
        "status": status,
        "status_class": status if status in STATUS_TEXT else "",
        "sentence": STATUS_TEXT.get(status, "is in an unknown state"),
        "reload_sec": RELOAD_SEC,
        "words": record.get("words"),
        "tiles": _tiles(rows, record, state),
        **_pictures(folder),
        "curves": _curves(rows),
        "events": events_of(rows),
        "remedies": remedies if isinstance(remedies, list) else [],
        "distances": _distances(rows),
        "protocol": record.get("fd_protocol") or "see the settings below",
        "floor": number_of(record.get("fd_floor")),
        "metrics": record["metrics"] if isinstance(record.get("metrics"), dict) else {},
        "next_steps": _next_steps(folder, status, record),
        **_data(record),
        **_settings(record),
        "version": record.get("ganvas", __version__),
        "torch": record.get("torch", "?"),
        "machine": record.get("machine", ""),
        "begun": record.get("begun", "?"),
    }


def _state(folder: Path) -> RunState | None:
    """How the run stands; None where its record is of another version and cannot be understood in full."""
    try:
        return read_run_state(folder)
    except BadConfig:
        return None


def _recorded_status(record: dict[str, Any]) -> str:
    """What the record says, where nothing else can be known: a dead run still says that it is running."""
    status = str(record.get("status", "unknown"))
    return "running, according to its record" if status == "running" else status


# ---------------------------------------------------------------------------------------------------------------------
# The parts of the page


def _tiles(rows: Sequence[dict[str, Any]], record: dict[str, Any], state: RunState | None) -> list[tuple[str, str]]:
    return [
        ("pictures shown", _images_seen(rows, record)),
        ("trained", _training_time(rows, record)),
        ("speed", _last(rows, "img_per_sec", "{:,.0f} pictures/s")),
        ("time left", _duration(state.eta_sec) if state else ""),
        ("preset", str(record.get("preset", ""))),
        ("FD-EffNet", _last(rows, "fd", "{:,.1f}") + _best(rows)),
        ("PSNR", _last(rows, "psnr", "{:.2f} dB") + _last(rows, "psnr_gain", " ({:+.2f} beside bicubic)")),
    ]


def _last(rows: Sequence[dict[str, Any]], key: str, form: str) -> str:
    """The latest number of that name, written out; nothing where there is none."""
    value = next((number for row in reversed(rows) if (number := number_of(row.get(key))) is not None), None)
    return "" if value is None else form.format(value)


def _latest_value(rows: Sequence[dict[str, Any]], record: dict[str, Any], key: str) -> float | None:
    """The larger of what the log's last line and the record say: one of the two was written last."""
    values = [number_of(rows[-1].get(key)) if rows else None, number_of(record.get(key))]
    return max((number for number in values if number is not None), default=None)


def _config_value(record: dict[str, Any], key: str) -> float | None:
    config = record.get("config")
    return number_of(config.get(key)) if isinstance(config, dict) else None


def _images_seen(rows: Sequence[dict[str, Any]], record: dict[str, Any]) -> str:
    nimg, total = _latest_value(rows, record, "nimg"), _config_value(record, "total_kimg")
    return ("" if nimg is None else f"{nimg / 1000:,.1f}") + ("" if total is None else f" of {total:,.0f} kimg")


def _training_time(rows: Sequence[dict[str, Any]], record: dict[str, Any]) -> str:
    minutes = _config_value(record, "minutes")
    return _duration(_latest_value(rows, record, "sec")) + ("" if minutes is None else f" of {_duration(minutes * 60)}")


def _distances(rows: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """(distance, kimg) of all measurements."""
    pairs = [(number_of(row.get("fd")), number_of(row.get("kimg"))) for row in rows]
    return [(distance, kimg) for distance, kimg in pairs if distance is not None and kimg is not None]


def _best(rows: Sequence[dict[str, Any]]) -> str:
    """The smallest distance, where it is not the latest."""
    distances = _distances(rows)
    if not distances or min(distances)[0] == distances[-1][0]:
        return ""
    distance, kimg = min(distances)
    return f" (best {distance:,.1f} at {kimg:,.0f} kimg)"


def _duration(sec: float | None) -> str:
    if sec is None:
        return ""
    if sec < 90:
        return f"{sec:.0f} s"
    minutes = round(sec / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class _Picture(NamedTuple):
    """A picture inside the page."""

    name: str
    title: str = ""
    uri: str = ""  # "" = it cannot be shown


def _pictures(folder: Path) -> dict[str, Any]:
    reals, fakes, walks = (_find_images(folder, f"{kind}*") for kind in ("reals", "fakes", "walk"))
    sheets = _spread(fakes, MAX_SHEETS)
    newest = [_picture(path, "data") for path in reals[:1]] + [_picture(path, _title(path)) for path in sheets[-1:]]
    earlier = [_picture(path, _title(path), REPORT_SHEET_PX // 2) for path in sheets[:-1]]
    return {"newest": newest, "earlier": earlier, "walk": _walk(walks[-1]) if walks else None}


def _find_images(folder: Path, pattern: str) -> list[Path]:
    """Pictures of that name, in the folder or one below, in the order of the numbers in their names."""
    paths = [path for where in ("", "*/") for path in folder.glob(where + pattern) if path.suffix.lower() in _TYPES]
    return sorted(paths, key=lambda path: [int(number) for number in re.findall(r"\d+", path.stem)] or [-1])


_TYPES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many, evenly over time, the first and the last among them."""
    if len(paths) <= most:
        return list(paths)
    return [paths[round(index * (len(paths) - 1) / (most - 1))] for index in range(most)]


def _title(path: Path) -> str:
    numbers = re.findall(r"\d+", path.stem)
    return f"fakes at {int(numbers[-1]):,} kimg" if numbers else path.stem


def _picture(path: Path, title: str, widest_px: int = REPORT_SHEET_PX) -> _Picture:
    """A sheet, reduced; a broken file is only named."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return _Picture(path.name, title)
    return _Picture(path.stem, title, embed_jpeg(picture, widest_px=widest_px))


def _walk(path: Path) -> _Picture:
    if path.suffix.lower() not in (".gif", ".webp") or path.stat().st_size > MAX_ANIMATION_BYTES:
        return _Picture(path.name)
    return _Picture(path.name, uri=data_uri(path.suffix.lower()[1:], path.read_bytes()))


def _curves(rows: list[dict[str, Any]]) -> str:
    """All curves as one picture; "" where there are none."""
    panels = panels_of(rows)
    if not panels:
        return ""
    buffer = io.BytesIO()
    draw_panels(panels).quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=False)
    return data_uri("png", buffer.getvalue())


def _next_steps(folder: Path, status: str, record: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, command)"""
    model, data = folder / "model.safetensors", _data_path(record)
    steps: list[tuple[str, str]] = []
    if record.get("command"):
        ended = status in ("stopped", "killed", "failed")
        steps.append(("Resume it" if ended else "Command", str(record["command"])))
    recorded_steps = record.get("next_steps")  # by the trainings of other kinds
    if isinstance(recorded_steps, list):
        steps += [(str(step[0]), str(step[1])) for step in recorded_steps if isinstance(step, list) and len(step) == 2]
    elif model.exists():
        of = f"--model {shlex.quote(str(model))}"
        steps += [
            ("New pictures", f"ganvas generate {of} --seeds 0-15 --grid new.png"),
            ("A video through its latents", f"ganvas interpolate {of} --seeds 0-5 --output walk.mp4"),
            ("Find sliders", f"ganvas directions find {of} --method sefa"),
        ]
        if data:
            steps.append(("Measure it", f"ganvas evaluate {of} --data {data} --metrics fd,kid,pr"))
    return steps


def _data_path(record: dict[str, Any]) -> str:
    data = record.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    return shlex.quote(str(path)) if path else ""


def _data(record: dict[str, Any]) -> dict[str, Any]:
    data = record.get("data")
    if not isinstance(data, dict):
        return {"data": None, "data_report": []}
    report = data.get("report")
    rest = {key: value for key, value in data.items() if key != "report"}
    return {"data": rest, "data_report": report if isinstance(report, list) else []}


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """What was chosen, and what is at its default."""
    config = record.get("config")
    if not isinstance(config, dict):
        return {"settings": None, "defaults": {}}
    usual = {field.name: field.default for field in fields(TrainConfig)} if kind_of(record) == "generator" else {}
    chosen = {key: value for key, value in config.items() if key not in usual or _plain(usual[key]) != _plain(value)}
    return {"settings": chosen, "defaults": {key: value for key, value in config.items() if key not in chosen}}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
