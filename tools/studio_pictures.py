"""The studio's pictures in docs/images, taken of the real page in Chromium, and a sheet of each state to look through.

    python tools/studio_pictures.py OUT                     # everything into OUT
    python tools/studio_pictures.py OUT --docs              # … and the pictures of the docs into docs/images
    python tools/studio_pictures.py OUT --docs --people a.jpg b.jpg --runs runs
                                                            # … with two people in one photo, and runs of training

Needs the models `faces`, `mtcnn` and `efficientnet-lite0` on this computer, Chromium, the package playwright (extra
[dev]), and a Korean font for the Korean half (Debian: fonts-nanum). Each state is taken light and dark, 1440 and 390
pixels wide, in English and in Korean.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ganvas.web.config import StudioConfig
from ganvas.web.serve import server_config

DOCS = Path(__file__).parents[1] / "docs" / "images"
SAMPLE = DOCS.parents[1] / "ganvas" / "samples" / "astronaut.jpg"
WIDE, NARROW = (1440, 900), (390, 844)
LANGUAGES = {"en": "English", "ko": "한국어"}
LONG_MS = 900_000
SHEET_COLUMNS, SHEET_PX = 4, 480
# Pictures of the docs → the state they show.
OF_DOCS = {
    "studio-edit": "compare",
    "studio-drag": "points",
    "studio-region": "region",
    "studio-words": "words",
    "studio-directions": "directions",
    "studio-models": "models",
    "studio-faces": "faces",
    "studio-two-faces": "two-faces",
    "studio-variants": "two-variants",
    "studio-projects": "two-projects",
}
NARROW_OF_DOCS = ("compare", "history", "points", "region")  # side by side in studio-narrow


@dataclass(frozen=True)
class State:
    """One state of the page: its name, and how to come to it from the one before, in English on a wide screen."""

    name: str
    reach: Callable[[Page], object]


def settled(page: Page) -> None:
    """No job runs, the sharp picture of what was done last is there, and it is drawn."""
    while not page.evaluate(SETTLED):  # wait_for_function takes a promise for a yes
        time.sleep(0.2)
    time.sleep(1)


def set_slider(page: Page, name: str, amount: float) -> None:
    """Type an amount."""
    figure = page.get_by_role("spinbutton", name=f"{name}, amount")
    figure.fill(str(amount))
    with page.expect_response(lambda answer: answer.url.endswith("/set")):
        figure.press("Enter")
    time.sleep(0.5)  # until the page has read the answer
    settled(page)


def on_photo(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place of the stage (0 … 1), on the screen."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def open_sample(page: Page) -> None:
    """The sample photo, found in the model."""
    page.click("#sample")
    page.wait_for_selector("input[data-direction]")
    settled(page)


def compare(page: Page) -> None:
    """A smile, and the line between before and after."""
    set_slider(page, "Smile", 1)
    page.get_by_role("button", name="Compare before and after").click()


def set_points(page: Page) -> None:
    """Two points to pull."""
    page.get_by_role("button", name="Compare before and after").click()
    page.get_by_role("button", name="Pull points").click()
    for place in ((0.45, 0.66), (0.4, 0.62), (0.55, 0.66), (0.6, 0.62)):
        page.mouse.click(*on_photo(page, *place))


def paint_region(page: Page) -> None:
    """A region over the mouth."""
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Paint a region").click()
    page.mouse.move(*on_photo(page, 0.44, 0.68))
    page.mouse.down()
    page.mouse.move(*on_photo(page, 0.56, 0.68), steps=8)
    page.mouse.up()
    time.sleep(1)


def say(page: Page) -> None:
    """A sentence, and the sliders that it set."""
    page.get_by_role("button", name="Remove region").click()
    page.get_by_role("button", name="Move the view").click()
    page.get_by_role("tab", name="Adjust").click()
    line = page.get_by_role("textbox", name="In words")
    line.fill("smile a little more, ten years older, keep the glasses")
    line.press("Enter")
    page.get_by_text("Understood:").wait_for()
    settled(page)


def make_variants(page: Page) -> None:
    """Three amounts of a slider beside one another."""
    page.get_by_role("tab", name="Variants").click()
    page.get_by_label("Slider", exact=True).select_option("age")
    page.get_by_role("button", name="Three amounts").click()
    page.locator(".variants li").nth(2).wait_for()
    settled(page)


def find_directions(page: Page) -> None:
    """SeFa's first rows."""
    page.keyboard.press("Escape")
    page.click("[data-area=directions]")
    page.fill("#count", "3")
    page.get_by_role("button", name="Look", exact=True).click()
    page.get_by_role("img", name="A direction in each row").wait_for()


def choose(page: Page, *files: Path) -> None:
    """Open files by the browser's dialog."""
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Control+o")
    chooser.value.set_files(files)


def show_several(page: Page) -> None:
    """What is asked when photos are dropped together."""
    choose(page, SAMPLE, SAMPLE)
    page.get_by_role("dialog").wait_for()


def search_with_queue(page: Page) -> None:
    """A longer search, and the queue that lists it."""
    page.click("[data-area=edit]")
    page.get_by_role("tab", name="Adjust").click()
    page.get_by_role("button", name="Search again").click()
    page.locator("#foot .job").wait_for()
    page.click("#queue-button")


def leave_photo(page: Page) -> None:
    """The start page with its projects."""
    page.keyboard.press("Escape")
    page.locator("#foot .job").get_by_role("button").click()
    settled(page)
    page.click("#close-photo")
    page.locator(".project-open").first.wait_for()
    time.sleep(1)


def edit_both(page: Page) -> None:
    """Two faces of one photo, each with an edit of its own."""
    for face, (slider, amount) in enumerate((("Smile", 1), ("Age", 0.8))):
        page.get_by_role("group", name="Faces in the photo").get_by_role("button").nth(face).click()
        page.wait_for_selector("input[data-direction]")
        settled(page)
        set_slider(page, slider, amount)
        page.get_by_role("button", name="Fit the photo").click()


def close_project(page: Page) -> None:
    """A second photo in the project, and the start page with both."""
    page.get_by_role("tab", name="Adjust").click()
    choose(page, SAMPLE)
    page.locator(".strip-photo").nth(1).wait_for()
    settled(page)
    page.click("#close-photo")
    page.locator(".project-open").first.wait_for()
    time.sleep(1)


def tab(name: str) -> Callable[[Page], object]:
    """Go to a tab of the panel."""
    return lambda page: page.get_by_role("tab", name=name).click()


def press(name: str) -> Callable[[Page], object]:
    """Close what is open, and press a button."""
    return lambda page: (page.keyboard.press("Escape"), page.get_by_role("button", name=name, exact=True).click())


def enter(area: str, wanted: str) -> Callable[[Page], object]:
    """Go to an area and wait for something in it."""
    return lambda page: (
        page.keyboard.press("Escape"),
        page.click(f"[data-area={area}]"),
        page.wait_for_selector(wanted),
    )


STATES = (
    State("start", lambda page: None),
    State("photo", open_sample),
    State("compare", compare),
    State("points", set_points),
    State("region", paint_region),
    State("words", say),
    State("style", tab("Style")),
    State("enlarge", tab("Enlarge")),
    State("variants", make_variants),
    State("history", tab("History")),
    State("save", press("Save")),
    State("keys", press("Help and keys")),
    State("several", lambda page: (page.keyboard.press("Escape"), show_several(page))),
    State("training", enter("training", ".train-form")),
    State("models", enter("models", "[data-model=faces]")),
    State("directions", find_directions),
    State("queue", search_with_queue),
    State("projects", leave_photo),
)


def states_of_two(photo: Path) -> tuple[State, ...]:
    """What only a photo of two people shows; the start page comes before."""
    return (
        State("faces", lambda page: (choose(page, photo), page.locator(".face-frame").nth(1).wait_for())),
        State("two-faces", edit_both),
        State("two-variants", make_variants),
        State("two-projects", close_project),
    )


def join(people: list[Path], path: Path, *, height: int = 900) -> Path:
    """Photos side by side in one."""
    photos = [Image.open(person).convert("RGB") for person in people]
    photos = [photo.resize((round(photo.width * height / photo.height), height)) for photo in photos]
    whole = Image.new("RGB", (sum(photo.width for photo in photos), height))
    for at, photo in enumerate(photos):
        whole.paste(photo, (sum(one.width for one in photos[:at]), 0))
    whole.save(path, quality=95)
    return path


def looks() -> Iterator[tuple[str, str, str, tuple[int, int]]]:
    """(name, language, colours, size) of every look."""
    for language in LANGUAGES:
        for colours in ("light", "dark"):
            for size in (WIDE, NARROW):
                yield f"{language}-{colours}-{size[0]}", language, colours, size


def take(page: Page, state: State, out: Path) -> None:
    """Reach a state and take it in every look."""
    state.reach(page)
    for name, language, colours, (width, height) in looks():
        page.evaluate(SPEAK, language)
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": height})
        time.sleep(0.4)
        page.wait_for_function(FILLED)
        page.screenshot(path=out / f"{state.name}-{name}.png")
    page.evaluate(SPEAK, "en")
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})


SETTLED = """async () => {
  const { state, isEdited } = await import('/static/js/state.js');
  const shown = document.getElementById('stage').dataset.version;
  return state.session && !state.job && (!isEdited() || shown === String(state.session.version));
}"""
FILLED = """() => [...document.images].every((one) => {
  const { top, bottom, width } = one.getBoundingClientRect();
  return !width || bottom < 0 || top > innerHeight || (one.complete && one.src);
})"""
SPEAK = "async (language) => (await import('/static/js/i18n/index.js')).setLanguage(language)"


def make_sheet(out: Path, look: str) -> Image.Image:
    """All states of one look."""
    files = [out / f"{state.name}-{look}.png" for state in STATES]
    shots = [Image.open(file).convert("RGB") for file in files if file.exists()]
    width = SHEET_PX if shots[0].width > shots[0].height else SHEET_PX // 2
    columns = SHEET_COLUMNS * SHEET_PX // width
    height = round(width * shots[0].height / shots[0].width)
    rows = -(-len(shots) // columns)
    sheet = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + 8) + 8), (128, 128, 132))
    for at, shot in enumerate(shots):
        place = 8 + at % columns * (width + 8), 8 + at // columns * (height + 8)
        sheet.paste(shot.resize((width, height), Image.Resampling.LANCZOS), place)
    return sheet


def save_small(img: Image.Image, path: Path, *, most_bytes: int = 300_000) -> None:
    """As JPEG, as well as fits."""
    for quality in range(88, 30, -6):
        img.convert("RGB").save(path, quality=quality, optimize=True)
        if path.stat().st_size < most_bytes:
            return


def fill_docs(out: Path, wanted: dict[str, str]) -> None:
    """The pictures of the docs, each of a state."""
    for name, state in wanted.items():
        if not (out / f"{state}-en-light-{WIDE[0]}.png").exists():
            continue  # asked for without --people
        colours = "dark" if name == "studio-drag" else "light"
        shot = Image.open(out / f"{state}-en-{colours}-{WIDE[0]}.png")
        save_small(shot.resize((1200, 750), Image.Resampling.LANCZOS), DOCS / f"{name}.jpg")
    narrow = [Image.open(out / f"{state}-en-light-{NARROW[0]}.png") for state in NARROW_OF_DOCS]
    row = Image.new("RGB", (len(narrow) * (NARROW[0] + 10) - 10, NARROW[1]), (128, 128, 132))
    for at, shot in enumerate(narrow):
        row.paste(shot, (at * (NARROW[0] + 10), 0))
    save_small(row.resize((1200, round(1200 * row.height / row.width))), DOCS / "studio-narrow.jpg")
    for colours in ("light", "dark"):
        save_small(make_sheet(out, f"en-{colours}-{WIDE[0]}"), DOCS / f"studio-panels-{colours}.jpg")
    sheets = [make_sheet(out, f"en-{colours}-{NARROW[0]}") for colours in ("light", "dark")]
    both = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)))
    both.paste(sheets[0], (0, 0))
    both.paste(sheets[1], (0, sheets[0].height))
    save_small(both.resize((both.width * 3 // 4, both.height * 3 // 4)), DOCS / "studio-panels-narrow.jpg")


def main() -> None:
    """Take, and fill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--docs", action="store_true", help="fill docs/images too")
    parser.add_argument("--people", type=Path, nargs=2, help="portraits that stand side by side in one photo")
    parser.add_argument("--runs", type=Path, help="a folder of training runs")
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as projects, sync_playwright() as play:
        runs = words.runs or Path(projects, "runs")
        server = uvicorn.Server(server_config(StudioConfig(port=0, projects=Path(projects), runs=runs)))
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.1)
        port = server.servers[0].sockets[0].getsockname()[1]
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1]}, locale="en-GB")
        page.set_default_timeout(LONG_MS)
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("html[data-ready]")
        two = states_of_two(join(words.people, words.out / "two people.jpg")) if words.people else ()
        for state in (*STATES, *two):
            print(state.name, flush=True)
            take(page, state, words.out)
        browser.close()
        server.should_exit = True
    for name, *_ in looks():
        make_sheet(words.out, name).save(words.out / f"sheet-{name}.png")
    if words.docs:
        fill_docs(words.out, OF_DOCS | ({"studio-training": "training"} if words.runs else {}))


if __name__ == "__main__":
    main()
