"""The probe: what it creates, leaves behind, writes and refuses."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codepipeline_fixtures import REGION
from moto_codepipeline import CREDENTIAL_MARKS, Behaviour, Clock, answers, exceptions, switches
from moto_codepipeline.probe import __main__ as command
from moto_codepipeline.probe.calls import Answer, Calls, ProbeError
from moto_codepipeline.probe.facts import FACTS, GROUPS
from moto_codepipeline.probe.place import Place
from moto_codepipeline.probe.questions import NOT_ASKED, QUESTIONS, Question
from moto_codepipeline.probe.run import Record, run
from moto_codepipeline.probe.trials import Probe
from probing import PREFIX, Asked, asked, left, make_neighbors

Main = Callable[..., int]
Patch = pytest.MonkeyPatch

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


def answers_of(there: Asked, folder: Path, *names: str) -> Record:
    """What a run of the questions with these names writes."""
    record = record_of(there, folder)
    run(there.probe(), record, named(*names), quietly)
    return record


def calls_of(record: Record) -> list[dict[str, Any]]:
    """The recorded calls."""
    return [json.loads(line) for line in record.evidence.read_text().splitlines()]


@pytest.fixture
def there() -> Iterator[Asked]:
    with asked({}) as made:
        yield made


def test_every_switch_is_a_question_or_has_a_reason() -> None:
    questions = [name for each in QUESTIONS for name in each.words if name not in GROUPS]
    assert sorted([*questions, *NOT_ASKED]) == sorted(switches.switches())


# -- Facts ----------------------------------------------------------------------------------------


def test_the_package_has_the_facts_about_its_codepipeline(there: Asked, tmp_path: Path) -> None:
    questions = [each for each in QUESTIONS if each.facts and not each.long]
    record = record_of(there, tmp_path)
    before = named("update_under_way", "continuation_seconds")
    run(there.probe(), record, [*before, *questions], quietly)
    facts = {name for each in questions for name in each.facts}
    assert record.content["facts"] == {name: FACTS[name]["here"] for name in facts}
    assert set(FACTS) - facts == {"timed_out_action"}
    assert record.content["differs"] == {}


def test_a_fact_is_unanswered_if_a_call_before_it_is_refused(there: Asked, tmp_path: Path) -> None:
    def refuse(job_id: str, result: Any, client_token: str | None = None) -> None:
        raise exceptions.JobNotFoundError(job_id)

    there.service.put_job_failure_result = refuse  # type: ignore[method-assign]
    record = answers_of(there, tmp_path, "retries")
    found = {"retry_in_progress", "retry_of_a_stage_that_succeeded"}
    assert set(record.content["facts"]) == found
    assert record.content["unanswered"]["retry_after_an_update"] == (
        "put_job_failure_result was answered JobNotFoundException: "
        "Job with id '<ID>' does not exist"
    )


def test_a_fact_that_can_not_be_found_is_unanswered_and_asked_again(
    there: Asked, tmp_path: Path
) -> None:
    probe = there.probe()
    probe.partner = None
    record = record_of(there, tmp_path)
    run(probe, record, named("partner"), quietly)
    assert record.content["facts"] == {}
    assert "--partner-type" in record.content["unanswered"]["wrong_client_token"]
    probe = there.probe()
    probe.known = {"acknowledge_seconds": 60, "continuation_seconds": 30}
    run(probe, record, named("partner"), quietly)
    assert "wrong_client_token" in record.content["facts"]
    assert set(record.content["unanswered"]) == set(NOT_ASKED)


def test_the_table_has_each_answer_below_its_question(there: Asked, tmp_path: Path) -> None:
    record = record_of(there, tmp_path)
    probe = there.probe()
    probe.partner = None
    questions = named("types", "acknowledge_of_ended", "partner")
    run(probe, record, questions, quietly)
    lines = list(record.table(questions))
    asked_for = [lines.index(words) for each in questions for words in each.words.values()]
    ended, types, partner = asked_for
    assert lines[ended + 1 : types] == [
        '  acknowledge_of_ended = "InvalidNonceException"',
        f"    {questions[0].how}: the same twice",
    ]
    fact = lines.index(f"  type_that_exists: {FACTS['type_that_exists']['here']}")
    assert types < fact < partner
    assert lines[fact + 1] == f"    {questions[1].how}: once"
    told = "It needs a partner's own action type: --partner-type"
    assert f"  wrong_client_token is not answered: {told}" in lines[partner:]


# -- What is left behind --------------------------------------------------------------------------


def test_the_probe_reports_what_an_earlier_run_left_behind(there: Asked, tmp_path: Path) -> None:
    there.probe().place.make()
    said: list[str] = []
    run(there.probe(), record_of(there, tmp_path), [], said.append)
    assert f"Removed what an earlier run left behind: the role {there.probe().place.name}" in said


def test_nobody_elses_resources_are_removed_with_another_prefix(there: Asked) -> None:
    make_neighbors(there)
    before = left(there.service)
    assert Place(there.probe().calls, PREFIX.partition("-")[0]).remove() == []
    assert left(there.service) == before


REFUSED = ["delete_pipeline", "delete_custom_action_type", "delete_rule", "delete_queue"]
REFUSED += ["delete_role", "delete_bucket"]


@pytest.mark.parametrize("refused", REFUSED)
def test_a_refused_removal_hides_no_error_and_ends_no_other_removal(
    refused: str, there: Asked, tmp_path: Path, monkeypatch: Patch
) -> None:
    once = Calls.once

    def refusing(calls: Calls, service: str, operation: str, *more: Any, **request: Any) -> Answer:
        if operation == refused:
            return Answer({}, "AccessDenied", f"No {operation}", 0, 0)
        return once(calls, service, operation, *more, **request)

    def fails(probe: Probe) -> Any:
        probe.place.make_queue({})
        monkeypatch.setattr(Calls, "once", refusing)
        raise KeyboardInterrupt("The real error")

    questions = [Question({"it": ""}, fails, "", long=False)]
    with pytest.raises(ProbeError) as caught:
        run(there.probe(), record_of(there, tmp_path), questions, quietly)
    told = f"AccessDenied: No {refused}"
    assert str(caught.value).startswith("The real error. Not everything could be removed: ")
    assert str(caught.value).count(told) == 1
    assert len(left(there.service)) == 1


# -- What is unanswered ---------------------------------------------------------------------------


def test_a_time_that_varies_is_unanswered(there: Asked, tmp_path: Path) -> None:
    times = iter([20, 45, 30, 21] * 20)
    dispatch = there.service._board._dispatch

    def varying(job: Any) -> None:
        there.service.behaviour.acknowledge_seconds = next(times)
        dispatch(job)

    there.service._board._dispatch = varying  # type: ignore[method-assign]
    record = answers_of(there, tmp_path, "acknowledge_seconds")
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
    record = answers_of(there, tmp_path, "repeated_acknowledgment")
    told = "It differs: status, then InvalidNonceException"
    assert record.content["unanswered"]["repeated_acknowledgment"] == told
    assert record.content["switches"] == {}


def test_nothing_is_said_about_a_larger_throttle_than_the_calls_reach(
    there: Asked, tmp_path: Path
) -> None:
    record = answers_of(there, tmp_path, "throttle")
    assert record.content["switches"] == {}
    told = "None of 200 calls in 0 s was throttled"
    assert record.content["unanswered"]["throttle"] == told


def test_the_probe_reports_that_all_calls_are_throttled(tmp_path: Path) -> None:
    with asked({"throttle": 0}) as there:
        record = answers_of(there, tmp_path, "acknowledge_seconds", "throttle")
    assert record.content["switches"] == {"throttle": 0}
    assert "answered ThrottlingException 12 times" in record.content["unanswered"]["nonce_rotates"]


@pytest.mark.parametrize(
    "code", ["ConcurrentModificationException", "AWS.SimpleQueueService.QueueDeletedRecently"]
)
def test_an_error_that_passes_is_no_answer(
    code: str, there: Asked, tmp_path: Path, monkeypatch: Patch
) -> None:
    once, refused = Calls.once, set[str]()

    def first_refusing(
        calls: Calls, service: str, operation: str, *more: Any, **request: Any
    ) -> Answer:
        if (key := f"{calls.fact} {operation}") not in refused:
            refused.add(key)
            return Answer({}, code, "Not now", 0, 0)
        return once(calls, service, operation, *more, **request)

    monkeypatch.setattr(Calls, "once", first_refusing)
    record = answers_of(there, tmp_path, "types", "event_lag_seconds")
    facts = record.content["facts"]
    assert {" create_queue", "type_that_exists create_custom_action_type"} <= refused
    assert facts == {name: FACTS[name]["here"] for name in named("types")[0].facts}
    assert "event_lag_seconds" in record.content["switches"]


# -- What is written ------------------------------------------------------------------------------


def test_no_secret_is_written_or_printed(
    there: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = record_of(there, tmp_path)
    names = ("artifact_credentials_seconds", "third_party_details_of_ended", "partner")
    run(there.probe(), record, named(*names), print)
    print("\n".join(record.table(QUESTIONS)))  # noqa: T201
    token = there.service.client_token(there.service.default_client_id)
    evidence = record.evidence.read_text()
    written = evidence + record.path.read_text() + capsys.readouterr().out
    assert "get_third_party_job_details" in evidence
    assert '"artifactCredentials": "****"' in evidence
    assert [secret for secret in (token, *CREDENTIAL_MARKS) if secret in written] == []


def test_every_call_is_recorded_with_its_question_and_fact(there: Asked, tmp_path: Path) -> None:
    record = answers_of(there, tmp_path, "acknowledge_of_ended", "types")
    lines = calls_of(record)
    asked_for = [line for line in lines if line["question"] == "acknowledge_of_ended"]
    told = [str(line["answer"]) for line in asked_for if "acknowledge_job" in line["call"]]
    assert [text.partition(":")[0] for text in told] == ["{'status'", "InvalidNonceException"] * 2
    of_it = [line for line in lines if line["fact"] == "type_that_exists"]
    code, _, text = record.content["facts"]["type_that_exists"].partition("'<TYPE>'")
    [answer] = [line["answer"] for line in of_it]
    assert answer.startswith(code)
    assert answer.endswith(text)
    assert {line["question"] for line in of_it} == {"types"}
    assert {line["fact"] for line in lines if not line["question"]} == {""}


def test_no_poll_is_made_before_a_job_can_be_offered(tmp_path: Path) -> None:
    with asked({"started_before_queued_seconds": 27}) as there:
        names = ("started_before_queued_seconds", "repeated_acknowledgment")
        record = answers_of(there, tmp_path, *names)
    polls = [line for line in calls_of(record) if line["call"] == "codepipeline:poll_for_jobs"]
    asked_for = [each for each in polls if each["question"] == "repeated_acknowledgment"]
    assert [len(each["answer"]["jobs"]) for each in asked_for] == [1, 1]


def test_a_run_continues_where_an_earlier_one_ended(there: Asked, tmp_path: Path) -> None:
    questions = named("repeated_acknowledgment", "texts")
    run(there.probe(), record_of(there, tmp_path), questions[:1], quietly)
    said: list[str] = []
    run(there.probe(), record_of(there, tmp_path), questions, said.append)
    assert [line for line in said if "takes" in line] == [
        f"{questions[1].words['texts']} (takes 5 min)"
    ]
    said.clear()
    run(there.probe(), record_of(there, tmp_path), questions, said.append)
    assert said == []


def test_a_run_does_not_continue_the_answers_of_another_endpoint(tmp_path: Path) -> None:
    path = tmp_path / "behaviour.toml"
    answers.write(path, {"date": "", "endpoint": "AWS", "region": "eu-west-1"})
    with pytest.raises(ProbeError, match="has the answers of another endpoint"):
        Record(path, "AWS", "eu-west-2")


# -- The file -------------------------------------------------------------------------------------


def test_a_written_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "behaviour.toml"
    texts = {"odd": 'a "quoted"\n\x7f\\ text with ümlauts'}
    changes = {"acknowledge_seconds": 45.5, "batch_cap": None, "nonce_rotates": False}
    answers.write(path, {"date": "2026-11-28", "switches": changes, "facts": texts})
    assert answers.load(path) == changes
    assert answers.read(path)["facts"] == texts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[switches]\nacknowledge_second = 1", "behaviour.toml: There is no switch 'acknowledge_"),
        ("[switches]\nnonce_rotates = 1", "behaviour.toml: nonce_rotates must be true or false"),
        ("nonce_rotates = true", r"behaviour.toml must have a table \[switches\]"),
        ("[switches", "behaviour.toml can't be read: "),
        (None, "There is no file"),
    ],
)
def test_an_invalid_or_missing_file_is_refused(text: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "behaviour.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(switches.SwitchError, match=told):
        answers.load(path)


def test_a_codepipeline_begins_with_the_packages_own_file(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    path = tmp_path / "behaviour.toml"
    answers.write(path, {"switches": {"acknowledge_seconds": 45, "nonce_rotates": False}})
    monkeypatch.setattr(answers, "SHIPPED", path)
    with asked({}) as there:
        assert there.service.behaviour == Behaviour(acknowledge_seconds=45, nonce_rotates=False)


# -- The command ----------------------------------------------------------------------------------


@pytest.fixture
def main(there: Asked, monkeypatch: Patch, tmp_path: Path) -> Main:
    """The command with these arguments, in real time."""
    there.service.clock = Clock()

    def run_main(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["probe", "--region", REGION, *arguments])
        return command.main()

    monkeypatch.chdir(tmp_path)
    return run_main


@pytest.mark.parametrize("typed", COMMANDS)
def test_against_aws_it_shows_what_it_creates_and_asks_for_confirmation(
    typed: str, there: Asked, main: Main, monkeypatch: Patch, capsys: Any
) -> None:
    # moto stands in for AWS.
    monkeypatch.setattr("builtins.input", lambda _: "n")
    python, option, module, *arguments = shlex.split(typed)
    assert (python, option, module) == ("python", "-m", command.__name__.removesuffix(".__main__"))
    monkeypatch.setattr("sys.argv", ["probe", *arguments])
    assert command.main() == 1
    shown = capsys.readouterr().out
    name = there.probe().place.name
    for each in (f"{name}-123456789012-{REGION}", f"role {name}", "It costs less than half a"):
        assert each in shown
    assert left(there.service) == []
    assert main("--yes", "--only", "repeated_acknowledgment") == 0
    assert 'repeated_acknowledgment = "InvalidNonceException"' in capsys.readouterr().out
    found = {"repeated_acknowledgment": "InvalidNonceException"}
    assert answers.load(Path("behaviour.toml")) == found
    assert answers.read(Path("behaviour.toml"))["endpoint"] == "AWS"


def test_an_emulator_is_probed_without_confirmation(there: Asked, main: Main, capsys: Any) -> None:
    assert main("--endpoint-url", there.url, "--only", "source_without_version") == 0
    assert 'source_without_version = "ConfigurationError"' in capsys.readouterr().out
    assert left(there.service) == []


def test_clean_only_removes(there: Asked, main: Main, capsys: Any) -> None:
    there.probe().place.make()
    assert main("--endpoint-url", there.url, "--clean") == 0
    assert f"Removed: the role {there.probe().place.name}" in capsys.readouterr().out
    assert left(there.service) == []
    assert not Path("behaviour.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--only", "nonce"],
            "--only: there is no question 'nonce'; there are acknowledge_of_ended, ",
        ),
        (["--partner-type", "Build/Other/1"], "PROVIDER must begin with codepipeline-probe-"),
        (["--partner-type", f"Build/{PREFIX}-x"], "must be CATEGORY/PROVIDER/VERSION"),
        (["--prefix", "Mine"], "--prefix must be 3 to 18 lowercase letters"),
        (["--endpoint-url", "http://127.0.0.1:9"], "sts can't be called: Could not connect"),
    ],
)
def test_an_invalid_argument_is_reported_in_one_line(
    arguments: list[str], told: str, main: Main, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert main(*arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--clean"]])
def test_nothing_is_done_without_an_answer_to_the_confirmation(
    arguments: list[str], there: Asked, main: Main, monkeypatch: Any, capsys: Any
) -> None:
    there.probe().place.make()
    before = left(there.service)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(*arguments) == 1
    out, err = capsys.readouterr()
    assert f"the IAM role {there.probe().place.name}" in out
    assert err == ""
    assert left(there.service) == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_interrupts_the_command_which_removes_everything(
    name: str, there: Asked, main: Main, monkeypatch: Any, capsys: Any
) -> None:
    made, number = Place.make, getattr(signal, name)
    before = signal.getsignal(number)

    def make(place: Place) -> None:
        made(place)
        signal.raise_signal(number)

    monkeypatch.setattr(Place, "make", make)
    try:
        assert main("--endpoint-url", there.url, "--only", "texts") == 130
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err.startswith("Interrupted.")
    assert left(there.service) == []


def test_long_questions_are_asked_only_on_request() -> None:
    assert [each for each in command.chosen("", long=False) if each.long] == []
    assert len(command.chosen("", long=True)) == len(QUESTIONS)
    assert command.chosen("timeout_counts", long=False)[0].long
