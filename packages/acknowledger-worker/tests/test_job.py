from __future__ import annotations

import logging
import traceback
from urllib.parse import quote_plus

import pytest

from acknowledger_worker import (
    ArtifactInvalid,
    ConfigurationError,
    EventInvalid,
    Failure,
    Job,
    JobCancelled,
    Success,
)
from acknowledger_worker.job import Delivery, Pipeline, parse, without
from acknowledger_worker.testing import run

SECRET = 'it\'s a "secret" & wörd'


def test_an_event_is_parsed(event):
    delivery = parse(event)
    assert delivery.job_id == event["detail"]["jobId"]
    assert delivery.heartbeat_timeout_seconds == 960
    assert event["detail"]["taskToken"] not in repr(delivery)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"detail-type": "Job Failed"}, "detail-type must be 'Job In Progress'"),
        ({"detail": []}, "detail must be an object"),
        ({"jobId": 1, "taskToken": None}, "detail.jobId must be a string; detail.taskToken must"),
        ({"heartbeatTimeoutSeconds": True}, "detail.heartbeatTimeoutSeconds must be a number"),
        ({"jobTimeoutSeconds": 0}, "detail.jobTimeoutSeconds must be a number above 0"),
        ({"job": {"data": None}}, "detail.job.data must be an object"),
    ],
)
def test_what_is_no_job_in_progress_is_refused_by_name(event, change, words):
    for name, value in change.items():
        (event if name in event else event["detail"])[name] = value
    with pytest.raises(EventInvalid, match=words):
        parse(event)


def test_what_is_no_event_is_refused():
    with pytest.raises(EventInvalid, match="must be a JSON object"):
        parse([])


def test_a_job_tells_where_it_is_and_what_it_is_to_do(event, tmp_path):
    job = Job(parse(event), None, tmp_path)  # type: ignore[arg-type]
    assert job.pipeline == Pipeline(
        "release",
        "Build",
        "Compile",
        "22222222-abcd-2222-abcd-222222abcdef",
        "33333333-abcd-3333-abcd-333333abcdef",
    )
    assert job.configuration == {"Input": "*.py", "Password": "****"}
    assert (job.inputs, job.outputs) == (("App",), ("Report",))
    assert (job.account_id, job.client_id) == ("123456789012", None)
    assert repr(job) == f"<Job {job.id} of release/Compile>"


def test_a_job_with_nothing_in_it_is_a_job(tmp_path):
    job = Job(Delivery("1", "a/b/c/1", "t", 1, 1, {"data": {}}), None, tmp_path)  # type: ignore[arg-type]
    assert (job.inputs, job.outputs, dict(job.configuration)) == ((), (), {})
    assert job.pipeline == Pipeline("", "", "", None, None)


def test_an_input_is_a_folder_and_what_is_no_zip_file_is_a_file(tmp_path):
    seen = {}

    def look(job):
        for name in job.inputs:
            path = job.input(name)
            assert path == job.input(name)
            seen[name] = (path / "a/b").read_text() if path.is_dir() else path.read_text()

    inputs = {"App": {"a/b": "in a folder"}, "Notes": "a file"}
    assert run(look, inputs=inputs, folder=tmp_path).outcome == Success()
    assert seen == {"App": "in a folder", "Notes": "a file"}


def test_an_output_is_a_folder_or_a_file_and_the_last_one_counts(tmp_path):
    def make(job):
        for text in ("first", "last"):
            (job.folder / "report").write_text(text)
            job.output("Report", job.folder)
            job.output("Note", str(job.folder / "report"))

    ended = run(make, outputs=["Report", "Note"], folder=tmp_path)
    assert (ended.outputs["Report"] / "report").read_text() == "last"
    assert ended.outputs["Note"].read_text() == "last"


def test_the_only_artifact_needs_no_name(tmp_path):
    def copy(job):
        job.output(None, job.input())

    ended = run(copy, inputs={"A": {"f": "x"}}, outputs=["B"], folder=tmp_path)
    assert (ended.outputs["B"] / "f").read_text() == "x"


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (lambda job: job.input("Nope"), ConfigurationError, "an input artifact Nope; its input"),
        (lambda job: job.input(), ConfigurationError, "exactly one; its input artifacts: A, B"),
        (lambda job: job.output(None, "x"), ConfigurationError, "its output artifacts: none"),
        (lambda job: job.secret("Nope"), ConfigurationError, "has no Nope"),
        (lambda job: job.input("A", max_bytes=2), ArtifactInvalid, "input artifact A: it has more"),
    ],
)
def test_what_the_action_has_not_fails_the_job(tmp_path, function, kind, words):
    ended = run(function, inputs={"A": {"f": "xxx"}, "B": "y"}, folder=tmp_path)
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.type == kind.type
    assert words in ended.outcome.message


def test_an_output_that_is_not_there_fails_the_job(tmp_path):
    ended = run(lambda job: job.output("A", "nowhere"), outputs=["A"], folder=tmp_path)
    assert ended.outcome == Failure("JobFailed", "output artifact A: there is no nowhere")


def test_progress_tells_what_is_given_only(tmp_path):
    def tell(job):
        job.progress(0)
        job.progress(summary="Linking", external_execution_id="17")

    assert run(tell, folder=tmp_path).progress == [
        {"percentComplete": 0},
        {"summary": "Linking", "externalExecutionId": "17"},
    ]


def test_a_cancelled_job_stops_at_the_next_call(tmp_path):
    reached = []

    def stubborn(job):
        assert job.cancelled.is_set()
        for call in (
            lambda: job.input("A"),
            lambda: job.output("B", tmp_path),
            lambda: job.secret("Password"),
            lambda: job.progress(1),
            lambda: job.wait(60),
            job.check,
        ):
            with pytest.raises(JobCancelled, match="the test says so"):
                call()
            reached.append(call)

    ended = run(
        stubborn,
        inputs={"A": "x"},
        outputs=["B"],
        secrets={"Password": "x"},
        cancelled=True,
        folder=tmp_path,
    )
    assert ended.outcome is None
    assert len(reached) == 6


@pytest.mark.parametrize(
    "tell",
    [
        lambda secret: ValueError(f"login with {secret} refused"),
        KeyError,
        lambda secret: ValueError({"password": secret}),
        lambda secret: ValueError(f"https://host/?q={quote_plus(secret)}"),
    ],
)
def test_a_secret_is_had_by_asking_and_is_in_no_failure_log_or_repr(tmp_path, tell, caplog):
    caplog.set_level(logging.DEBUG)

    def leak(job):
        secret = job.secret("Password")
        assert secret == SECRET
        assert SECRET not in repr(job) + repr(vars(job.pipeline)) + repr(dict(job.configuration))
        raise tell(secret)

    ended = run(leak, configuration={"A": "b"}, secrets={"Password": SECRET}, folder=tmp_path)
    assert isinstance(ended.outcome, Failure)
    assert "****" in ended.outcome.message
    for text in (ended.outcome.message, caplog.text):
        assert "wörd" not in text
        assert "w\\u00f6rd" not in text
    assert "Traceback" in caplog.text
    assert "Traceback" not in ended.outcome.message


def test_a_property_that_is_not_secret_is_left_in_messages(tmp_path):
    def fail(job):
        job.secret("Password")
        raise ValueError(job.configuration["Name"])

    ended = run(fail, configuration={"Name": "plain"}, secrets={"Password": "x"}, folder=tmp_path)
    assert ended.outcome == Failure("JobFailed", "ValueError: plain")


def test_no_secret_is_what_all_text_is_made_of():
    assert without(["", "ab", "abc"], "xabcx") == "x****x"


def test_the_failure_of_a_function_has_no_trace(tmp_path):
    def fail(job):
        raise ValueError("no number") from KeyError("cause")

    ended = run(fail, folder=tmp_path)
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.message == "ValueError: no number"
    assert traceback.format_exc().strip() == "NoneType: None"
