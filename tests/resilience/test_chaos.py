"""A small chaos run. `make chaos` runs a larger one."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.resilience.chaos import AT_ONCE, Chaos
from tests.resilience.faults import Call
from tests.resilience.witness import Execution

JOBS = 30
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chaos():
    return Chaos(JOBS, seed=9, rate=0.1)


@pytest.fixture(scope="module")
def report(chaos):
    return chaos.run()


def test_no_promise_is_broken_while_things_fail_at_random(report):
    assert not report.broken, str(report)
    assert report.counts["jobs"] == JOBS


def test_no_more_jobs_are_started_when_none_ends(monkeypatch):
    monkeypatch.setattr("tests.resilience.chaos.STUCK_SECONDS", 0.2)
    started: list[int] = []
    stuck = Chaos(10 * AT_ONCE, seed=1, rate=0.1)
    monkeypatch.setattr(stuck, "start_pipeline", lambda _, count: started.append(count))
    monkeypatch.setattr(stuck, "_open", lambda: sum(started))
    stuck._start_all(MagicMock(), say=False)
    assert sum(started) == AT_ONCE


def test_every_kind_of_fault_occurred(report):
    befell = {name for name, count in report.counts.items() if count}
    kinds = {"error", "answer lost", "throttled", "dies before", "dies after"}
    assert {f"faults: {kind}" for kind in kinds} <= befell
    assert {"invocations repeated", "jobs of partners"} <= befell


def test_a_broken_promise_is_reported_with_the_jobs_history(chaos, report):
    worked = [job_id for job_id, work in chaos.worker.jobs.items() if work.answer == "Succeed"]
    started = [
        job_id for job_id in worked if "Intake: StartExecution" in chaos.tell(job_id, {}, {})
    ]
    job = chaos.ended[next(job_id for job_id in started if job_id not in chaos.foreign.held)]
    twice = [Execution(str(n), "RUNNING", None, None, None, ["InProgress"], job.id) for n in (1, 2)]
    wrong = chaos.broken(job, "Failed", twice, [])
    assert wrong == [
        "worked on by two executions",
        "its execution still runs",
        "its row says Failed, CodePipeline Succeeded",
    ]
    chaos.worker.jobs[job.id].answer = "Fail"
    assert "reported as succeeded, although it did not succeed" in chaos.broken(
        job, "Succeeded", [], []
    )
    story = chaos.tell(job.id, {}, {job.id: twice})
    for what in ("Acknowledge: Acknowledge", "execution 2: InProgress", "row:"):
        assert what in story


def test_wasted_work_is_allowed_only_if_the_answer_was_lost_and_another_worker_was_offered_the_job(
    chaos, report, monkeypatch
):
    wasted, done = (
        [Execution("1", "FAILED", error, None, None, ["InProgress"], "job")]
        for error in ("EndedElsewhere", "JobFailed")
    )
    twice = ["worked on by two executions"]
    monkeypatch.setattr(chaos, "_doubtful", {"job"})
    assert not chaos.ambiguous("job", wasted, twice)
    monkeypatch.setattr(chaos.foreign, "dropped", {"job": 1})
    assert chaos.ambiguous("job", wasted, twice)
    assert not chaos.ambiguous("job", wasted, [*twice, "lost: it has not ended"])
    assert not chaos.ambiguous("job", done, twice)
    monkeypatch.setattr(chaos, "_doubtful", set())
    assert not chaos.ambiguous("job", wasted, twice)


def test_a_run_that_did_not_start_all_jobs_has_failed():
    stuck = Chaos(3, seed=1, rate=0.1)
    nothing: dict[str, Any] = {}
    stuck.witness = MagicMock()
    for name in ("executions", "rows", "letters", "jobs"):
        getattr(stuck.witness, name).return_value = nothing
    stuck.foreign, stuck.worker = MagicMock(held=nothing), MagicMock(jobs=nothing)
    wrong = ["only 0 of 3 jobs were started: no job ended"]
    assert stuck.report().broken == {"all": wrong}


def test_the_same_seed_gives_the_same_faults():
    def faults(seed):
        chaos = Chaos(1, seed, 0.5)
        of_what = ("pipeline-1 Work0", "Report", "GetItem JobTable")
        call = Call("Report", "GetItem JobTable", 1, "", "{}")
        return [chaos.new_fault(of_what, number, call) for number in range(50)]

    assert faults(1) == faults(1) != faults(2)
    assert len(set(faults(1))) > 3
