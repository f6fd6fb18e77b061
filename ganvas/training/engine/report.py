"""A run as one page that can be mailed: report.html, with everything it shows inside it, and no script.

Whatever stands in the run's files is treated as text of a stranger: it is escaped, and the page forbids itself to load
anything. It can be written while a run goes on, after it died, and of a folder that was copied from elsewhere.
"""

from __future__ import annotations

import base64
import html
import io
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from ganvas import __version__
from ganvas.errors import BadConfig
from ganvas.training.engine.line_chart import draw_panels
from ganvas.training.engine.plots import events_of, panels_of
from ganvas.training.engine.run_folder import kind_of, number_of, read_log, read_record
from ganvas.training.engine.run_list import RunState, read_run_state
from ganvas.training.generator.config import TrainConfig
from ganvas.weights.checkpoint import write_atomically

REPORT = "report.html"
REPORT_SHEET_PX = 640  # longest side of a sheet on the page
MAX_SHEETS = 6  # of fakes over time
MAX_ANIMATION_BYTES = 1_500_000  # bytes; larger walks are named, not shown
RELOAD_SEC = 60  # of the page, while the run goes on

STATUS_TEXT = {
    "running": "is going on",
    "finished": "is done",
    "stopped": "was stopped; the same command goes on with it",
    "killed": "was killed from outside; the same command goes on from its last save",
    "failed": "has failed",
}


def write_report(run_dir: Path | str) -> Path:
    """Write run_dir/report.html: state, pictures, curves, events, figures, data, settings and what to do next.

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
    record, rows = read_record(folder), read_log(folder)
    state = _state(folder)
    status = state.status if state else _recorded_status(record)
    name = folder.resolve().name
    parts = [
        _head(name, status),
        _overview(name, status, state, record, rows),
        _pictures(folder),
        _curves(rows),
        _events(rows, record),
        _distance_table(record, rows),
        _next_steps(folder, status, record),
        _data(record),
        _settings(record),
        f"<footer>ganvas {_e(record.get('ganvas', __version__))}, torch {_e(record.get('torch', '?'))}, "
        f"{_e(record.get('machine', ''))}; begun {_e(record.get('begun', '?'))}</footer></main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _state(folder: Path) -> RunState | None:
    """How the run stands; None where its record is of another version and cannot be understood in full."""
    try:
        return read_run_state(folder)
    except (BadConfig, KeyError, TypeError, ValueError):
        return None


def _recorded_status(record: dict[str, Any]) -> str:
    """What the record says, where nothing else can be known: a dead run still says that it is running."""
    status = str(record.get("status", "unknown"))
    return "running, says its record" if status == "running" else status


def _e(text: object) -> str:
    """Text of a stranger, harmless."""
    return html.escape(str(text), quote=True)


# ---------------------------------------------------------------------------------------------------------------------
# The parts of the page


def _head(name: str, status: str) -> str:
    reload = f'<meta http-equiv="refresh" content="{RELOAD_SEC}">' if status == "running" else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{reload}'
        f"<title>{_e(name)} – ganvas</title><style>{_STYLE}</style></head><body><main>"
    )


def _overview(
    name: str, status: str, state: RunState | None, record: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> str:
    message = f"<p class=words>{_e(record['words'])}</p>" if record.get("words") else ""
    badge = f'<span class="badge {_e(status) if status in STATUS_TEXT else ""}">{_e(status)}</span>'
    heading = (
        f"<h1>{_e(name)} {badge}</h1><p>This run {_e(STATUS_TEXT.get(status, 'is in a state not known here'))}.</p>"
    )
    tiles = [
        ("pictures shown", _images_seen(rows, record)),
        ("trained", _training_time(rows, record)),
        ("speed", _last(rows, "img_per_sec", "{:,.0f} pictures/s")),
        ("time left", _duration(state.eta_sec) if state else ""),
        ("preset", str(record.get("preset", ""))),
        ("FD-EffNet", _last(rows, "fd", "{:,.1f}") + _best(rows)),
        ("PSNR", _last(rows, "psnr", "{:.2f} dB") + _last(rows, "psnr_gain", " ({:+.2f} beside bicubic)")),
    ]
    tiles_html = "".join(f"<div><dt>{_e(key)}</dt><dd>{_e(value)}</dd></div>" for key, value in tiles if value)
    return f"{heading}{message}<dl class=tiles>{tiles_html}</dl>"


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


def _pictures(folder: Path) -> str:
    reals, fakes, walks = (_find_images(folder, f"{kind}*") for kind in ("reals", "fakes", "walk"))
    sheets = _spread(fakes, MAX_SHEETS)
    newest = [("data", _image(path)) for path in reals[:1]] + [(_title(path), _image(path)) for path in sheets[-1:]]
    earlier = [(_title(path), _image(path, REPORT_SHEET_PX // 2)) for path in sheets[:-1]]
    parts = ["<h2>Data and fakes</h2><div class=two>" + _image_grid(newest) + "</div>" if newest else ""]
    parts.append("<h2>How it came about</h2><div class=three>" + _image_grid(earlier) + "</div>" if earlier else "")
    parts.append("".join(_walk(path) for path in walks[-1:]))
    return "".join(parts)


def _image_grid(pictures: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<figure>{image}<figcaption>{_e(title)}</figcaption></figure>" for title, image in pictures)


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


def _image(path: Path, largest_px: int = REPORT_SHEET_PX) -> str:
    """A sheet, reduced and inside the page; a broken file is named instead."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return f"<p>{_e(path.name)} cannot be read</p>"
    picture.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return _img("image/jpeg", buffer.getvalue(), path.stem)


def _walk(path: Path) -> str:
    if path.suffix.lower() not in (".gif", ".webp") or path.stat().st_size > MAX_ANIMATION_BYTES:
        return f"<p>A walk through latents is in {_e(path.name)}.</p>"
    kind = path.suffix.lower()[1:]
    return (
        f"<h2>A walk through latents</h2><figure class=walk>{_img(f'image/{kind}', path.read_bytes(), 'walk')}</figure>"
    )


def _img(kind: str, data: bytes, about: str) -> str:
    return f'<img src="data:{kind};base64,{base64.b64encode(data).decode()}" alt="{_e(about)}">'


def _curves(rows: list[dict[str, Any]]) -> str:
    panels = panels_of(rows)
    if not panels:
        return "<h2>Curves</h2><p>Nothing was logged yet.</p>"
    buffer = io.BytesIO()
    draw_panels(panels).quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=False)
    return f"<h2>Curves</h2><figure class=curves>{_img('image/png', buffer.getvalue(), 'curves')}</figure>"


def _events(rows: Sequence[dict[str, Any]], record: dict[str, Any]) -> str:
    lines = [f"<li><b>{kimg:,.1f} kimg</b> {_e(message)}</li>" for kimg, message in events_of(rows)]
    remedies = record.get("remedies") or []
    remedies_html = "".join(f"<li>{_e(remedy)}</li>" for remedy in remedies) if isinstance(remedies, list) else ""
    if not lines and not remedies_html:
        return "<h2>The watchdog</h2><p>Nothing to complain of.</p>"
    remedy = f"<h3>What was changed for it</h3><ul>{remedies_html}</ul>" if remedies_html else ""
    return f"<h2>The watchdog</h2><ol>{''.join(lines)}</ol>{remedy}"


def _distance_table(record: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Distances over time, with what they were measured by."""
    distances = _distances(rows)
    if not distances:
        return ""
    cells = "".join(f"<tr><td>{kimg:,.1f}</td><td>{distance:,.2f}</td></tr>" for distance, kimg in distances[-30:])
    protocol, floor = record.get("fd_protocol") or "see the settings below", number_of(record.get("fd_floor"))
    perfect = "" if floor is None else f"A perfect generator would get about {floor:,.1f}. "
    return (
        f"<h2>FD-EffNet</h2><p>Smaller is better. Not FID: compare only with figures of the same protocol. "
        f"{perfect}Measured on: {_e(protocol)}.</p><details open><summary>{len(distances)} "
        f"measurements</summary><table>"
        f"<tr><th>kimg</th><th>FD-EffNet</th></tr>{cells}</table></details>"
    )


def _next_steps(folder: Path, status: str, record: dict[str, Any]) -> str:
    model, data = folder / "model.safetensors", _data_path(record)
    steps: list[tuple[str, str]] = []
    if record.get("command"):
        ended = status in ("stopped", "killed", "failed")
        steps.append(("Go on with it" if ended else "How it was started", str(record["command"])))
    recorded_steps = record.get("next_steps")  # by the loops of other kinds
    if isinstance(recorded_steps, list):
        steps += [(str(step[0]), str(step[1])) for step in recorded_steps if isinstance(step, list) and len(step) == 2]
    elif model.exists():
        of = f"--model {shlex.quote(str(model))}"
        steps += [
            ("New pictures", f"ganvas generate {of} --seeds 0-15 --grid new.png"),
            ("A film through its latents", f"ganvas interpolate {of} --seeds 0-5 --output walk.mp4"),
            ("Find sliders", f"ganvas directions find {of} --method sefa"),
        ]
        if data:
            steps.append(("Measure it", f"ganvas evaluate {of} --data {data} --metrics fd,kid,pr"))
    lines = "".join(f"<dt>{_e(what)}</dt><dd><code>{_e(command)}</code></dd>" for what, command in steps)
    return f"<h2>What to try next</h2><dl class=next>{lines}</dl>" if lines else ""


def _data_path(record: dict[str, Any]) -> str:
    data = record.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    return shlex.quote(str(path)) if path else ""


def _data(record: dict[str, Any]) -> str:
    data = record.get("data")
    if not isinstance(data, dict):
        return ""
    lines = data.get("report") if isinstance(data.get("report"), list) else []
    lines_html = "".join(f"<li>{_e(line)}</li>" for line in lines)
    rest = {key: value for key, value in data.items() if key != "report"}
    return f"<h2>Data</h2><ul>{lines_html}</ul>{_table(rest)}"


def _settings(record: dict[str, Any]) -> str:
    config = record.get("config")
    if not isinstance(config, dict):
        return ""
    usual = {field.name: field.default for field in fields(TrainConfig)} if kind_of(record) == "generator" else {}
    chosen = {key: value for key, value in config.items() if key not in usual or _plain(usual[key]) != _plain(value)}
    rest = {key: value for key, value in config.items() if key not in chosen}
    others = f"<details><summary>All others, at their default</summary>{_table(rest)}</details>"
    return f"<h2>Settings</h2>{_table(chosen)}{others}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _table(values: dict[str, Any]) -> str:
    rows = "".join(f"<tr><th>{_e(key)}</th><td>{_e(value)}</td></tr>" for key, value in values.items())
    return f"<table>{rows}</table>"


_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#222;--soft:#666;--line:#ddd;--card:#f5f5f3;--link:#0072b2}
@media(prefers-color-scheme:dark){:root{--paper:#17181a;--ink:#e6e6e6;--soft:#a0a0a0;--line:#36383b;--card:#222427}
.curves img{filter:invert(.91) hue-rotate(180deg)}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:1.5rem}
h1{font-size:1.7rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2rem 0 .6rem}h3{font-size:1rem}
.badge{font-size:.85rem;font-weight:600;vertical-align:middle;padding:.15em .7em}
.badge{border-radius:1em;color:#fff;background:#666}
.running{background:#0072b2}.finished{background:#00805e}.failed,.killed{background:#b3261e}
.words{border-left:4px solid #b3261e;padding-left:.8rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.7rem;margin:1rem 0}
.tiles div{background:var(--card);border-radius:8px;padding:.6rem .9rem}
dt{color:var(--soft);font-size:.85rem}.tiles dd{margin:0;font-weight:600}
.two,.three{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr))}
.three{grid-template-columns:repeat(auto-fill,minmax(190px,1fr))}
figure{margin:0}img{max-width:100%;height:auto;border-radius:6px;display:block}
.two img,.three img{width:100%}.walk img{min-width:192px}
figcaption{color:var(--soft);font-size:.85rem}
table{border-collapse:collapse;font-size:.9rem}th{text-align:left;font-weight:500}
th,td{padding:.2rem 1.2rem .2rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere;vertical-align:top}
.next dd{margin:0 0 .6rem}code{display:block;background:var(--card);padding:.5rem .8rem;border-radius:6px}
code{overflow-x:auto;white-space:pre;user-select:all}
footer{margin-top:2.5rem;color:var(--soft);font-size:.85rem}
""".strip().replace("\n", "")
