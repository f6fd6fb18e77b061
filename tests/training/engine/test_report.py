"""The page of a run: complete, harmless, and there even when the run is not."""

import base64
import fcntl
import html
import json
import math
import re
import shlex
from html.parser import HTMLParser

import pytest
import torch
import typer

from ganvas.errors import BadConfig
from ganvas.training.engine.plots import write_sheet
from ganvas.training.engine.report import REPORT_SHEET_PX, report_html, write_report
from ganvas.training.generator.config import TrainConfig

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)> & '"


class Page(HTMLParser):
    """Reads a page strictly: every tag that opens must close, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def images(self):
        return [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]


def make_run(folder, *, status="stopped", rows=3, **record):
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "status": status,
        "preset": "style-64-cpu",
        "begun": "2026-01-01T00:00:00",
        "command": "ganvas train --data 'my photos' --minutes 30",
        "data": {"path": "my photos", "fingerprint": "abc", "count": 9, "report": ["9 pictures of 64 px"]},
        "config": TrainConfig(g_lr=0.00123).to_json(),
        "remedies": [],
    }
    (folder / "run.json").write_text(json.dumps(facts | record), encoding="utf-8")
    lines = [
        {"nimg": 1000 * k, "kimg": float(k), "sec": 9.0 * k, "img_per_sec": 111.0, "loss_D": 0.5} for k in range(rows)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_a_whole_run_is_on_its_page(tmp_path):
    run = make_run(
        tmp_path / "faces", fd_protocol="2,000 real and 2,000 fake", fd_floor=11.25, remedies=["learning rate halved"]
    )
    with (run / "log.jsonl").open("a") as file:
        for kimg, distance in ((10, 120.5), (20, 80.25), (30, 95.0)):
            line = {"nimg": kimg * 1000, "kimg": kimg, "sec": 60 * kimg, "img_per_sec": 250.0, "fd": distance}
            file.write(json.dumps(line | ({"event": "collapse: fakes are alike"} if kimg == 20 else {})) + "\n")
    write_sheet(torch.zeros(4, 3, 8, 8), run / "reals.jpg")
    for kimg in (0, 10, 9, 100):
        write_sheet(torch.zeros(4, 3, 8, 8), run / f"fakes{kimg:06d}.jpg")
    (run / "model.safetensors").write_bytes(b"")
    page = page_of(run)
    for words in (
        "30.0 of 1,000 kimg", "30 min", "250 pictures/s", "95.0 (best 80.2 at 20 kimg)", "style-64-cpu",
        "collapse: fakes are alike", "learning rate halved", "2,000 real and 2,000 fake",
        "Floor (perfect generator): about 11.2.",
        "9 pictures of 64 px",
        "fakes at 100 kimg", "fakes at 9 kimg", "0.00123", "ganvas generate --model", "--data 'my photos'",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.text.index("fakes at 100 kimg") < page.text.index("fakes at 9 kimg") < page.text.index("at 10 kimg")
    assert len(page.images()) == 6  # data, four sheets, curves


def test_the_page_needs_nothing_but_itself(tmp_path):
    run = make_run(tmp_path / "run")
    write_sheet(torch.rand(144, 3, 64, 64) * 2 - 1, run / "fakes000001.png")
    page = page_of(run)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert not [found for found in page.attributes if found[1] in ("href", "srcset") or found[1].startswith("on")]
    assert all(source.startswith("data:image/") for source in page.images())
    policy = next(value for tag, name, value in page.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy and "script-src" not in policy
    assert "prefers-color-scheme:dark" in (run / "report.html").read_text()
    largest = max(len(base64.b64decode(source.split(",")[1])) for source in page.images())
    assert largest < REPORT_SHEET_PX**2 and (run / "report.html").stat().st_size < 1_000_000


def test_hostile_words_stay_words(tmp_path):
    run = make_run(
        tmp_path / "<b>run & 'x'",
        words=HOSTILE,
        preset=HOSTILE,
        status=HOSTILE,
        remedies=[HOSTILE],
        begun=HOSTILE,
        command=HOSTILE,
        fd_protocol=HOSTILE,
        data={"path": "$(rm -rf x); " + HOSTILE, "report": [HOSTILE], HOSTILE: HOSTILE},
        config=TrainConfig().to_json(),
    )
    line = {"nimg": 9000, "kimg": 9.0, "sec": 9.0, "img_per_sec": 1.0, "fd": 1.0, "event": HOSTILE, HOSTILE: 1.0}
    (run / "log.jsonl").write_text(json.dumps(line) + "\n")
    write_sheet(torch.zeros(1, 3, 8, 8), run / "fakes<i>.png")
    (run / "model.safetensors").write_bytes(b"")
    page = page_of(run)
    assert "script" not in page.tags and "b" in page.tags  # the only bold words are our own
    assert not [found for found in page.attributes if found[1].startswith("on")]
    assert page.text.count("alert(1)") >= 8 and "<b>run & 'x'" in page.text
    command = re.search(r"ganvas evaluate.*", page.text)[0]
    assert "--data '$(rm -rf x); " in command  # a shell that gets this line pasted runs nothing of it


@pytest.mark.parametrize("log", [None, b"", b'{"nimg": 1000, "kimg": 1.0, "sec": 3.0, "img_per', b"\xff\x00"])
def test_a_run_that_died_early_has_a_page(tmp_path, log):
    run = make_run(tmp_path / "run", status="running", rows=0)
    (run / "log.jsonl").unlink()
    if log is not None:
        (run / "log.jsonl").write_bytes(log)
    (run / "fakes000001.jpg").write_bytes(b"half a pict")
    page = page_of(run)
    assert "Nothing logged yet" in page.text and "fakes000001.jpg cannot be read" in page.text
    if log != b"\xff\x00":  # of a garbled log nobody can say how the run stands
        assert "killed" in page.text and "ganvas train --data 'my photos'" in page.text


def test_a_run_that_goes_on_reloads_its_page_and_others_do_not(tmp_path):
    run = make_run(tmp_path / "run", status="running")
    (run / "lock").touch()
    with (run / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert 'http-equiv="refresh"' in report_html(run) and ">running<" in report_html(run)
    assert 'http-equiv="refresh"' not in report_html(run)


def test_figures_that_are_not_numbers_are_survived(tmp_path):
    run = make_run(tmp_path / "run")
    odd = {"nimg": 4000, "kimg": 4.0, "sec": 1.0, "img_per_sec": 5.0, "loss_D": None, "fd": "many", "p": math.nan}
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(odd) + "\n")
    assert "This run was stopped" in page_of(run).text


def test_the_commands_on_the_page_are_commands(tmp_path):
    from ganvas.cli.main import app

    run = make_run(tmp_path / "a run")
    (run / "model.safetensors").write_bytes(b"")
    lines = re.findall(r"<code>(.*?)</code>", report_html(run))
    assert len(lines) == 5
    for line in lines:
        words, command = shlex.split(html.unescape(line))[1:], typer.main.get_command(app)
        while words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context("ganvas", words, resilient_parsing=False)


def test_a_record_of_another_version_still_gives_a_page(tmp_path):
    run = make_run(tmp_path / "run", config={"a_setting_of_the_future": 3}, data=None, remedies=None)
    page = page_of(run)
    assert "a_setting_of_the_future" in page.text and "This run was stopped" in page.text


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"run\.json"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
