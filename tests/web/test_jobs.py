"""The queue: one at a time, quick things between the steps, stopping, and ends that are told."""

import threading

import pytest
from starlette.exceptions import HTTPException

from ganvas.errors import BadConfig
from ganvas.web.jobs import MAX_QUICK_CALLS, Job, Jobs, json_safe


@pytest.fixture
def jobs():
    made = Jobs(waiting=2)
    yield made
    made.close()


def test_quick_things_pass_between_the_steps_of_long_ones(jobs):
    order, begun, go = [], threading.Event(), threading.Event()

    def work(job):
        order.append("begins")
        begun.set()
        go.wait(10)
        job.step(1, 2)
        order.append("goes on")
        return {"here": True}

    job = jobs.start(Job("long", work))
    begun.wait(10)
    quick = jobs.submit(lambda: order.append("quick"))
    go.set()
    job.ended.wait(10)
    quick.result(10)
    assert order == ["begins", "quick", "goes on"]
    assert (job.state, job.progress, job.result) == ("done", 1.0, {"here": True})


def test_a_job_that_waits_is_cancelled_at_once_and_one_that_runs_at_its_next_step(jobs):
    begun, go, told = threading.Event(), threading.Event(), []

    def work(job):
        begun.set()
        go.wait(10)
        job.step(1, 2)
        raise AssertionError("it was cancelled")

    running = jobs.start(Job("long", work))
    begun.wait(10)
    waiting = jobs.start(Job("later", work, on_update=lambda job: told.append(job.state)))
    jobs.cancel(waiting)
    assert waiting.ended.is_set() and told[-1] == "cancelled"
    jobs.cancel(running)
    go.set()
    assert running.ended.wait(10) and running.state == "cancelled"


def test_errors_are_told_and_the_next_job_runs(jobs):
    def fails(job):
        raise BadConfig("no such thing")

    bad, good = jobs.start(Job("bad", fails)), jobs.start(Job("good", lambda job: 7))
    assert good.ended.wait(10) and good.result == 7
    assert bad.error["kind"] == "BadConfig" and bad.error["message"] == "no such thing"
    with pytest.raises(ZeroDivisionError):
        jobs.submit(lambda: 1 / 0).result(10)


def test_the_time_left_follows_from_the_time_spent_and_reports_keep_their_distance(jobs, clock):
    reports = []

    def work(job):
        for done in range(1, 5):
            clock.advance(3 if done == 1 else 0.01)
            job.step(done, 4)

    def report(job):
        reports.append((job.state, job.progress, job.eta_sec))

    assert jobs.start(Job("long", work, on_update=report)).ended.wait(10)
    begun = reports.index(("running", 0.0, None))
    assert reports[begun + 1 :] == [("running", 0.25, pytest.approx(9)), ("done", 1.0, None)]


def test_too_much_is_refused(jobs):
    gate, begun = threading.Event(), threading.Event()
    jobs.submit(lambda: (begun.set(), gate.wait(10)))
    begun.wait(10)
    try:
        for _ in range(2):
            jobs.start(Job("waits", lambda job: None))
        with pytest.raises(HTTPException, match="2 jobs are already queued"):
            jobs.start(Job("one too many", lambda job: None))
        for _ in range(MAX_QUICK_CALLS):
            jobs.submit(lambda: None)
        with pytest.raises(HTTPException, match="busy"):
            jobs.submit(lambda: None)
    finally:
        gate.set()


def test_json_has_no_infinities():
    assert json_safe({"a": [float("inf"), 1.5], "b": (float("nan"), "x")}) == {"a": [None, 1.5], "b": [None, "x"]}
