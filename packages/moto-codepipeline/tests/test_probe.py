"""The probe: what it creates, leaves behind, writes and refuses."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codepipeline_fixtures import REGION, action_type, client
from codepipeline_role import TRUST
from moto_codepipeline import CREDENTIAL_MARKS, Behaviour, Clock, answers, switches
from moto_codepipeline.probe import __main__ as command
from moto_codepipeline.probe.answers import write
from moto_codepipeline.probe.calls import Calls, ProbeError
from moto_codepipeline.probe.questions import NOT_ASKED, QUESTIONS, Question
from moto_codepipeline.probe.run import Record, run
from moto_codepipeline.testing import make_bucket
from probing import PREFIX, Asked, asked, left

PAGE = (Path(__file__).parents[1] / "docs" / "probe.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def named(*names: str) -> list[Question]:
    return [each for each in QUESTIONS if set(names) & set(each.words)]


def quietly(_: str) -> None:
    pass


def record_of(there: Asked, folder: Path) -> Record:
    record = Record(folder / "behaviour.toml", there.url, REGION)
    there.note = record.note
    return record


@pytest.fixture
def there() -> Iterator[Asked]:
    with asked({}) as made:
        yield made


def test_every_switch_is_a_question_or_has_a_reason() -> None:
    questions = [name for each in QUESTIONS for name in each.words if name != "texts"]
    assert sorted([*questions, *NOT_ASKED]) == sorted(switches.switches())


# -- What is left behind --------------------------------------------------------------------------

SHORT = named("repeated_acknowledgment", "event_lag_seconds", "texts")


class Killed(BaseException):
    """The program was killed."""


def kill(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Kill the program after this many calls."""
    made, once = 0, Calls.once

    def counted(*arguments: Any, **request: Any) -> Any:
        nonlocal made
        made += 1
        if made > last:
            raise Killed
        return once(*arguments, **request)

    monkeypatch.setattr(Calls, "once", counted)


@pytest.fixture(scope="module")
def calls_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> int:
    with asked({}) as there:
        record = record_of(there, tmp_path_factory.mktemp("whole"))
        run(there.probe(), record, SHORT, quietly)
        return len(record.evidence.read_text().splitlines())


@pytest.mark.parametrize(
    "share", [pytest.param(n / 30, marks=[pytest.mark.slow] if n != 10 else []) for n in range(30)]
)
def test_the_next_run_removes_what_a_killed_run_left_behind(
    share: float, calls_of_a_run: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with asked({}) as there:
        with monkeypatch.context() as patch:
            kill(patch, int(share * calls_of_a_run))
            with pytest.raises(Killed):
                run(there.probe(), record_of(there, tmp_path), SHORT, quietly)
        record = record_of(there, tmp_path)
        run(there.probe(), record, SHORT, quietly)
        assert left(there.service) == []
    assert record.content["switches"]["repeated_acknowledgment"] == "InvalidNonceException"
    assert record.content["switches"]["event_lag_seconds"] == 0
    assert record.content["facts"]["empty_poll_body"] == '{"jobs": []}'


def test_ctrl_c_removes_what_was_created(
    there: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(words: str) -> None:
        if words.startswith("  repeated_acknowledgment"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(there.probe(), record_of(there, tmp_path), SHORT, interrupt)
    assert left(there.service) == []


def test_only_the_probes_own_resources_are_changed(there: Asked, tmp_path: Path) -> None:
    iam, service = client("iam"), client("codepipeline")
    for name in (PREFIX[:-1], f"{PREFIX}2", f"{PREFIX}ing"):
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        make_bucket(client("s3"), f"{name}-bucket")
        client("sqs").create_queue(QueueName=name)
        client("events").put_rule(Name=name, ScheduleExpression="rate(1 day)")
        service.create_custom_action_type(**action_type(provider=name))
        probe = there.probe()
        probe.place.role_arn = role["Role"]["Arn"]
        kind = {**probe.place.type_id, "category": "Build", "provider": name}
        structure = probe.place.pipeline([{"name": "Build", "actionTypeId": kind}])
        service.create_pipeline(pipeline=structure | {"name": name})
        service.start_pipeline_execution(name=name)
    before = left(there.service), list(there.service.overview())
    run(there.probe(), record_of(there, tmp_path), SHORT, quietly)
    assert (left(there.service), list(there.service.overview())) == before


def test_the_probe_reports_what_an_earlier_run_left_behind(there: Asked, tmp_path: Path) -> None:
    there.probe().place.make()
    said: list[str] = []
    run(there.probe(), record_of(there, tmp_path), [], said.append)
    assert f"Removed what an earlier run left behind: the role {PREFIX}" in said


# -- What is unanswered ---------------------------------------------------------------------------


def test_a_time_that_varies_is_unanswered(there: Asked, tmp_path: Path) -> None:
    times = iter([20, 45, 30, 21] * 20)
    dispatch = there.service._board._dispatch

    def varying(job: Any) -> None:
        there.service.behaviour.acknowledge_seconds = next(times)
        dispatch(job)

    there.service._board._dispatch = varying  # type: ignore[method-assign]
    record = record_of(there, tmp_path)
    run(there.probe(), record, named("acknowledge_seconds"), quietly)
    assert "acknowledge_seconds" not in record.content["switches"]
    assert record.content["unanswered"]["acknowledge_seconds"] == "The time is different each time"


def test_an_answer_that_differs_between_trials_is_unanswered(there: Asked, tmp_path: Path) -> None:
    worlds = iter(["status", "InvalidNonceException"])
    acknowledge = there.service._board.acknowledge

    def either(job: Any, nonce: str) -> Any:
        if job.status == "InProgress":
            switches.change(there.service.behaviour, {"repeated_acknowledgment": next(worlds)})
        return acknowledge(job, nonce)

    there.service._board.acknowledge = either  # type: ignore[method-assign]
    record = record_of(there, tmp_path)
    run(there.probe(), record, named("repeated_acknowledgment"), quietly)
    told = "It differs: status, then InvalidNonceException"
    assert record.content["unanswered"]["repeated_acknowledgment"] == told
    assert record.content["switches"] == {}


def test_the_probe_reports_that_all_calls_are_throttled(tmp_path: Path) -> None:
    with asked({"throttle": 0}) as there:
        record = record_of(there, tmp_path)
        run(there.probe(), record, named("acknowledge_seconds", "throttle"), quietly)
    assert record.content["switches"] == {"throttle": 0}
    assert "throttled 12 times" in record.content["unanswered"]["nonce_rotates"]


# -- What is written ------------------------------------------------------------------------------


def test_no_secret_is_written_or_printed(
    there: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = record_of(there, tmp_path)
    names = ("artifact_credentials_seconds", "third_party_details_of_ended", "texts")
    run(there.probe(), record, named(*names), print)
    print("\n".join(record.table(QUESTIONS)))  # noqa: T201
    token = there.service.client_token(there.service.default_client_id)
    evidence = record.evidence.read_text()
    written = evidence + record.path.read_text() + capsys.readouterr().out
    assert "get_third_party_job_details" in evidence
    assert '"artifactCredentials": "****"' in evidence
    assert [secret for secret in (token, *CREDENTIAL_MARKS) if secret in written] == []


def test_every_call_is_recorded_with_its_question(there: Asked, tmp_path: Path) -> None:
    record = record_of(there, tmp_path)
    run(there.probe(), record, named("acknowledge_of_ended"), quietly)
    lines = [json.loads(line) for line in record.evidence.read_text().splitlines()]
    asked_for = [line for line in lines if line["question"] == "acknowledge_of_ended"]
    refused = [line["answer"] for line in asked_for if "acknowledge_job" in line["call"]]
    assert [str(answer).partition(":")[0] for answer in refused] == [
        "{'status'",
        "InvalidNonceException",
    ] * 2


def test_a_run_continues_where_an_earlier_one_ended(there: Asked, tmp_path: Path) -> None:
    questions = named("repeated_acknowledgment", "texts")
    run(there.probe(), record_of(there, tmp_path), questions[:1], quietly)
    said: list[str] = []
    run(there.probe(), record_of(there, tmp_path), questions, said.append)
    assert [line for line in said if "takes" in line] == [
        f"{questions[1].words['texts']} (takes 1 min)"
    ]
    said.clear()
    run(there.probe(), record_of(there, tmp_path), questions, said.append)
    assert said == []


def test_a_run_does_not_continue_the_answers_of_another_endpoint(tmp_path: Path) -> None:
    path = tmp_path / "behaviour.toml"
    write(path, {"date": "", "endpoint": "AWS", "region": "eu-west-1"})
    with pytest.raises(ProbeError, match="has the answers of another endpoint"):
        Record(path, "AWS", "eu-west-2")


# -- The file -------------------------------------------------------------------------------------


def test_a_written_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "behaviour.toml"
    texts = {"odd": 'a "quoted"\n\x7f\\ text with ümlauts'}
    changes = {"acknowledge_seconds": 45.5, "batch_cap": None, "nonce_rotates": False}
    write(path, {"date": "2026-11-28", "switches": changes, "facts": texts})
    assert answers.load(path) == changes
    assert answers.read(path)["facts"] == texts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[switches]\nacknowledge_second = 1", "behaviour.toml: There is no switch 'acknowledge_"),
        ("[switches]\nnonce_rotates = 1", "behaviour.toml: nonce_rotates must be true or false"),
        ("nonce_rotates = true", r"behaviour.toml must have a table \[switches\]"),
        ("[switches", "behaviour.toml can't be read: "),
    ],
)
def test_an_invalid_file_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "behaviour.toml"
    path.write_text(text)
    with pytest.raises(switches.SwitchError, match=told):
        answers.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(switches.SwitchError, match="There is no file"):
        answers.load(tmp_path / "behaviour.toml")


def test_a_codepipeline_begins_with_the_packages_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "behaviour.toml"
    write(path, {"switches": {"acknowledge_seconds": 45, "nonce_rotates": False}})
    monkeypatch.setattr(answers, "SHIPPED", path)
    with asked({}) as there:
        assert there.service.behaviour == Behaviour(acknowledge_seconds=45, nonce_rotates=False)


def test_the_answers_can_be_set_in_another_codepipeline(tmp_path: Path) -> None:
    setting = {"nonce_rotates": False, "acknowledge_seconds": 45}
    with asked(setting) as there:
        record = record_of(there, tmp_path)
        run(there.probe(), record, named("nonce_rotates"), quietly)
    with asked(answers.load(record.path)) as there:
        assert there.service.behaviour == Behaviour(nonce_rotates=False, acknowledge_seconds=45)


# -- The command ----------------------------------------------------------------------------------


@pytest.fixture
def main(there: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The command with these arguments, in real time."""
    there.service.clock = Clock()

    def run_main(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["probe", "--region", REGION, *arguments])
        return command.main()

    monkeypatch.chdir(tmp_path)
    return run_main


@pytest.mark.parametrize("typed", COMMANDS)
def test_against_aws_it_shows_what_it_creates_and_asks_for_confirmation(
    typed: str,
    there: Asked,
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    # moto stands in for AWS.
    monkeypatch.setattr("builtins.input", lambda _: "n")
    python, option, module, *arguments = shlex.split(typed)
    assert (python, option, module) == ("python", "-m", command.__name__.removesuffix(".__main__"))
    monkeypatch.setattr("sys.argv", ["probe", *arguments])
    assert command.main() == 1
    shown = capsys.readouterr().out
    for each in (f"{PREFIX}-123456789012-{REGION}", f"role {PREFIX}", "It costs less than half a"):
        assert each in shown
    assert left(there.service) == []
    assert main("--yes", "--only", "repeated_acknowledgment") == 0
    assert 'repeated_acknowledgment = "InvalidNonceException"' in capsys.readouterr().out
    assert answers.load(Path("behaviour.toml")) == {
        "repeated_acknowledgment": "InvalidNonceException"
    }
    assert answers.read(Path("behaviour.toml"))["endpoint"] == "AWS"


def test_an_emulator_is_probed_without_confirmation(
    there: Asked, main: Callable[..., int], capsys: Any
) -> None:
    assert main("--endpoint-url", there.url, "--only", "source_without_version") == 0
    assert 'source_without_version = "ConfigurationError"' in capsys.readouterr().out
    assert left(there.service) == []


def test_clean_only_removes(there: Asked, main: Callable[..., int], capsys: Any) -> None:
    there.probe().place.make()
    assert main("--endpoint-url", there.url, "--clean") == 0
    assert f"Removed: the role {PREFIX}" in capsys.readouterr().out
    assert left(there.service) == []
    assert not Path("behaviour.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--only", "nonce"],
            "--only: there is no switch 'nonce'; there are acknowledge_of_ended, ",
        ),
        (["--partner-type", "Build/Other/1"], "PROVIDER must begin with codepipeline-probe-"),
        (["--partner-type", f"Build/{PREFIX}-x"], "must be CATEGORY/PROVIDER/VERSION"),
        (["--prefix", "Mine"], "--prefix must be 3 to 24 lowercase letters"),
        (["--endpoint-url", "http://127.0.0.1:9"], "sts can't be called: Could not connect"),
    ],
)
def test_an_invalid_argument_is_reported_in_one_line(
    arguments: list[str], told: str, main: Callable[..., int], capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert main(*arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_long_questions_are_asked_only_on_request() -> None:
    assert [each for each in command.chosen("", long=False) if each.long] == []
    assert len(command.chosen("", long=True)) == len(QUESTIONS)
    assert command.chosen("timeout_counts", long=False)[0].long
