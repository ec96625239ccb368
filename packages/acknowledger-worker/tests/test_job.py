import logging
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from acknowledger_worker import (
    ArtifactInvalid,
    ConfigurationError,
    Continuation,
    EventInvalid,
    Failure,
    Job,
    JobCancelled,
    Revision,
    Success,
)
from acknowledger_worker.job import Delivery, Pipeline, parse
from acknowledger_worker.masking import without
from acknowledger_worker.outcome import output
from acknowledger_worker.testing import Artifact, run

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
        ({"detail": []}, "detail.jobId must be a string; detail.actionType must be a string; .*"),
        ({"jobId": 1, "taskToken": None}, "detail.jobId must be a string; detail.taskToken must"),
        ({"heartbeatTimeoutSeconds": True}, "detail.heartbeatTimeoutSeconds must be a number"),
        ({"jobTimeoutSeconds": 0}, "detail.jobTimeoutSeconds must be a number above 0"),
        ({"job": {"data": None}}, "detail.job.data must be an object"),
    ],
)
def test_an_invalid_event_is_refused_with_the_name_of_each_field(event, change, words):
    for name, value in change.items():
        (event if name in event else event["detail"])[name] = value
    with pytest.raises(EventInvalid, match=words):
        parse(event)


def test_an_invalid_event_is_refused():
    with pytest.raises(EventInvalid, match="must be a JSON object"):
        parse([])


def test_a_job_has_the_pipeline_and_configuration_of_its_event(whole_event, tmp_path):
    job = Job(parse(whole_event), None, tmp_path)
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


def test_a_job_may_have_no_data(tmp_path):
    job = Job(Delivery("1", "a/b/c/1", "t", 1, {"data": {}}), None, tmp_path)
    assert (job.inputs, job.outputs, dict(job.configuration)) == ((), (), {})
    assert job.pipeline == Pipeline("", "", "", None, None)


def test_an_input_is_a_folder_or_a_file_if_it_is_not_a_zip_file(tmp_path):
    seen = {}

    def look(job):
        for name in job.inputs:
            path = job.input(name)
            assert path == job.input(name)
            seen[name] = (path / "a/b").read_text() if path.is_dir() else path.read_text()

    inputs: dict[str, Artifact] = {"App": {"a/b": "in a folder"}, "Notes": "a file"}
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


def test_an_input_can_be_left_packed(tmp_path):
    def look(job):
        as_it_is, unpacked = job.input("App", unpack=False), job.input("App")
        assert as_it_is == job.input("App", unpack=False)
        assert zipfile.ZipFile(as_it_is).namelist() == ["a"]
        assert (unpacked / "a").read_text() == "in a folder"

    ended = run(look, inputs={"App": {"a": "in a folder"}}, folder=tmp_path)
    assert ended.outcome == Success()


def test_a_tar_file_is_unpacked_on_request(tmp_path):
    with tarfile.open(tmp_path / "app.tar.gz", "w:gz") as tar:
        tar.add(__file__, "lib/a.py")

    def look(job):
        assert job.input("App").is_file()
        assert (job.input("App", unpack=True) / "lib/a.py").read_text() == Path(
            __file__
        ).read_text()
        job.input("Notes", unpack=True)

    inputs = {"App": tmp_path / "app.tar.gz", "Notes": "a file"}
    ended = run(look, inputs=inputs, folder=tmp_path / "job")
    assert ended.failure == Failure(
        "JobFailed",
        "input artifact Notes: it can't be unpacked: it is not a zip, tar or tar.gz file",
    )


def test_an_output_has_the_chosen_files_in_the_chosen_format(tmp_path):
    def make(job):
        for name in ("dist/a.whl", "dist/b.txt", "README", "src/c.py"):
            (job.folder / name).parent.mkdir(exist_ok=True)
            (job.folder / name).write_text(name)
        job.output("Zip", job.folder, files=["dist/*.whl", "src"])
        job.output("Tar", job.folder, files="README", format="tar.gz")
        job.output("One", job.folder / "README", format="zip")

    ended = run(make, outputs=["Zip", "Tar", "One"], folder=tmp_path)
    folder = ended.outputs["Zip"]
    assert sorted(path.name for path in folder.rglob("*.*")) == ["a.whl", "c.py"]
    with tarfile.open(ended.outputs["Tar"], "r:gz") as tar:
        assert tar.getnames() == ["README"]
    assert (ended.outputs["One"] / "README").read_text() == "README"


def test_a_pattern_without_files_fails_the_job(tmp_path):
    for pattern in ("dist/*.whl", "../*", "/etc/passwd"):
        ended = run(
            partial(lambda files, job: job.output(None, job.folder, files=files), [pattern]),
            outputs=["A"],
            folder=tmp_path / pattern.replace("/", "-"),
        )
        assert ended.failure == Failure(
            "JobFailed", f"output artifact A: nothing in the folder matches {pattern!r}"
        )


def test_missing_output_artifacts_fail_the_job_with_their_names(tmp_path):
    def forget(job, **outcome):
        job.output("A", job.folder)
        return Success(**outcome)

    names = ["A", "B", "C"]
    ended = run(forget, outputs=names, folder=tmp_path / "1")
    assert ended.failure == Failure("JobFailed", "output artifacts were not uploaded: B, C")
    with pytest.raises(AttributeError, match=r"failed and has no summary: .* not uploaded: B, C"):
        ended.outcome.summary  # noqa: B018
    allowed = run(partial(forget, allow_missing_outputs=True), outputs=names, folder=tmp_path / "2")
    assert isinstance(allowed.outcome, Success)
    assert run(lambda job: Continuation("1"), outputs=names, folder=tmp_path / "3").failure is None
    # The job before may have put them.
    last = run(lambda job: None, outputs=names, continuation_token="1", folder=tmp_path / "4")
    assert last.failure is None


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
def test_a_missing_artifact_or_property_fails_the_job(tmp_path, function, kind, words):
    ended = run(function, inputs={"A": {"f": "xxx"}, "B": "y"}, folder=tmp_path)
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.type == kind.type
    assert words in ended.outcome.message


def test_an_input_that_is_too_large_can_be_read_with_a_higher_limit(tmp_path):
    def look(job):
        with pytest.raises(ArtifactInvalid, match="more than 2 bytes"):
            job.input("A", max_bytes=2)
        return Success((job.input("A") / "f").read_text())

    assert run(look, inputs={"A": {"f": "xxx"}}, folder=tmp_path).outcome.summary == "xxx"


def test_an_output_path_that_does_not_exist_fails_the_job(tmp_path):
    ended = run(lambda job: job.output("A", "nowhere"), outputs=["A"], folder=tmp_path)
    assert ended.outcome == Failure("JobFailed", "output artifact A: there is no nowhere")


def test_progress_reports_only_what_is_given(tmp_path):
    def tell(job):
        job.progress(0)
        job.progress(40, "", external_execution_id="")
        job.progress(summary="")
        job.progress(summary="Linking", external_execution_id="17")

    assert run(tell, folder=tmp_path).progress == [
        {"percentComplete": 0},
        {"percentComplete": 40},
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
def test_a_secret_is_returned_on_request_and_is_in_no_failure_log_or_repr(tmp_path, tell, caplog):
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


def test_a_secret_is_masked_in_everything_reported_and_logged_and_the_log_says_so(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)

    def leak(job):
        secret = job.secret("Password")
        job.progress(1, f"login {secret}", secret)
        logging.getLogger("mine").debug("got %s", {"password": secret})
        logging.getLogger("mine").debug("got %d", secret)
        logging.getLogger("mine").debug("got %s", job)
        try:
            int(secret)
        except ValueError:
            logging.getLogger("mine").exception("oh")
        return kind(job, secret)

    def success(job, secret):
        revision = Revision(secret, "1", summary=secret)
        return Success(f"by {secret}", secret, 1, {"Url": f"x?{quote_plus(secret)}"}, revision)

    def continuation(job, secret):
        return Continuation(secret, secret)

    for kind in (success, continuation):
        caplog.clear()
        ended = run(leak, secrets={"Password": SECRET}, folder=tmp_path / kind.__name__)
        assert ended.failure is None
        assert ended.progress == [
            {"percentComplete": 1, "summary": "login ****", "externalExecutionId": "****"}
        ]
        assert "got {'password': '****'}" in caplog.text
        assert "got %d ('****',)" in caplog.text
        assert "ValueError: invalid literal for int() with base 10: '****'" in caplog.text
        for where in ("its progress", "the log", "its result"):
            assert caplog.text.count(f"a secret is masked in {where}") == 1
        told = output(ended.outcome)
        for text in (caplog.text, told, repr(ended)):
            assert not any(form in text for form in ("wörd", "w\\u00f6rd", "w%C3%B6rd"))
    # Logs after the job's end are not masked.
    logging.getLogger("mine").warning("it's a word: %s", SECRET)
    assert SECRET in caplog.text


def test_other_properties_are_not_masked_in_messages(tmp_path):
    def fail(job):
        job.secret("Password")
        raise ValueError(job.configuration["Name"])

    ended = run(fail, configuration={"Name": "plain"}, secrets={"Password": "x"}, folder=tmp_path)
    assert ended.outcome == Failure("JobFailed", "ValueError: plain")


def test_the_longest_secret_is_masked_first_and_empty_ones_are_ignored():
    assert without(["", "ab", "abc"], "xabcx") == "x****x"
