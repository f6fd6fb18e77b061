"""How quick the studio's page is, measured in the browser: from a slider's movement to its preview, a full render.

    python benchmarks/studio_page.py                 # the sample photo in `faces`, found with effort fast
    python benchmarks/studio_page.py --seed 3        # a picture of the generator's own: no search before

Starts a studio of its own on a free port and drives Chromium without a window (Python package playwright, extra [dev]).
A movement is timed from the input event to the frame in which the preview was painted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SAMPLE = Path(__file__).parents[1] / "ganvas" / "samples" / "astronaut.jpg"
PATIENCE_MS = 900_000
EXPECT = """() => {
  window.painted = new Promise((done) => {
    const observer = new PerformanceObserver(() => (observer.disconnect(), done()));
    observer.observe({ type: "measure" });
    setTimeout(done, 30_000);
  });
}"""


def open_picture(page: Page, seed: int | None) -> None:
    """A photo, or a seed, until its sliders are there."""
    if seed is None:
        with page.expect_file_chooser() as chooser:
            page.click("#choose")
        chooser.value.set_files(SAMPLE)
    else:
        page.fill("#seed", str(seed))
        page.click("#seed-go")
    page.wait_for_selector("input[data-direction]", timeout=PATIENCE_MS)
    settled(page)


def settled(page: Page) -> None:
    """The sharp picture is there and no job runs."""
    page.wait_for_selector("#stage[data-version]", timeout=PATIENCE_MS)
    while page.locator("#foot .job").is_visible():
        time.sleep(0.05)
    time.sleep(1)


def slide_ms(page: Page, direction: str, moves: int) -> list[float]:
    """Milliseconds of each preview while the mouse pulls a slider to and fro."""
    box = page.locator(f"input[data-direction={direction}]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("performance.clearMeasures()")
    page.mouse.move(x, y)
    page.mouse.down()
    for move in range(1, moves + 1):
        page.evaluate(EXPECT)
        page.mouse.move(x + box["width"] * (0.05 + 0.3 * (move % 20) / 20), y)
        page.evaluate("window.painted")  # waits in the page: asking again and again would take the studio's time
    page.mouse.up()
    settled(page)
    times: list[float] = page.evaluate("performance.getEntriesByName('slide').map(one => one.duration)")
    return times


def render_sec(page: Page) -> float:
    """Seconds from the click on "Save to disk" to the file."""
    page.click("#save")
    page.get_by_role("radio", name="JPEG").check(force=True)
    with page.expect_download(timeout=PATIENCE_MS):
        begun = time.perf_counter()
        page.click("[data-save]")
    return time.perf_counter() - begun


def main() -> None:
    """Start, measure, print one line a figure."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int, help="a picture of the generator's own instead of the sample photo")
    options.add_argument("--direction", default="smile")
    options.add_argument("--moves", type=int, default=40)
    asked = options.parse_args()
    words = [sys.executable, "-u", "-m", "ganvas", "studio", "--no-browser", "--port", "0"]
    studio = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert studio.stdout is not None
        address = studio.stdout.readline().split()[1]
        with sync_playwright() as play:
            flags = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            page.wait_for_selector("html[data-ready]")
            open_picture(page, asked.seed)
            times = sorted(slide_ms(page, asked.direction, asked.moves))
            renders = [render_sec(page) for _ in range(3)]
            browser.close()
    finally:
        studio.terminate()
        studio.wait(20)
    print(f"machine: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    most = times[int(len(times) * 0.9)]
    print(f"slider to preview: median {statistics.median(times):.0f} ms, 90 % below {most:.0f} ms ({len(times)} moves)")
    print(f"full render: {statistics.median(renders):.2f} s")


if __name__ == "__main__":
    main()
