"""For those who run a studio: its health, and its figures in Prometheus' text."""

import re
from dataclasses import replace

import pytest

from ganvas.web.jobs import Job

TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture(scope="module")
def studio(open_studio, config):
    return open_studio(replace(config, metrics=True, token=TOKEN))


def read(studio):
    """Name with labels → value; every line is one of the format's."""
    answer = studio.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    figures, typed = {}, set()
    for line in answer.text.splitlines():
        if line.startswith("#"):
            typed.add(re.fullmatch(r"# (?:HELP (\w+) .+|TYPE (\w+) (?:counter|gauge))", line)[2])
        else:
            name, value = re.fullmatch(
                r"(\w+(?:\{\w+=\"[^\"\\]*\"(?:,\w+=\"[^\"\\]*\")*\})?) ([0-9.e+-]+)", line
            ).groups()
            assert name.split("{")[0] in typed
            figures[name] = float(value)
    return figures


def test_health_needs_no_token_and_figures_do(studio):
    answer = studio.http.get("/healthz")
    assert answer.status_code == 200 and answer.json()["status"] == "ok"
    assert studio.http.get("/metrics").status_code == 401


def test_requests_jobs_and_photos_are_counted(studio):
    before = read(studio)
    assert before["ganvas_open_photos"] == 0 and before["process_resident_memory_bytes"] > 1e7
    opened = studio.http.post("/api/sessions/seed", json={"seed": 1}, headers={"authorization": f"Bearer {TOKEN}"})
    assert opened.status_code == 200
    studio.http.get("/api/sessions/nobody", headers={"authorization": f"Bearer {TOKEN}"})
    studio.http.get("/api/jobs")
    job = studio.inside.jobs.start(Job("probe", lambda job: None))
    assert job.ended.wait(30)
    after = read(studio)
    assert after["ganvas_open_photos"] == 1
    assert after['ganvas_requests_total{operation="start_from_seed",status="200"}'] == 1
    assert after['ganvas_requests_total{operation="read_session",status="404"}'] == 1
    assert after['ganvas_requests_total{operation="other",status="401"}'] >= 1
    assert after['ganvas_jobs_total{kind="probe",state="done"}'] == 1
    assert after['ganvas_request_seconds_total{operation="start_from_seed"}'] > 0


def test_without_the_option_there_are_no_figures(open_studio, config):
    answer = open_studio(config).http.get("/metrics")
    assert answer.status_code == 404 and "--metrics" in answer.json()["error"]["message"]
