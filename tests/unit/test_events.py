import json

import pytest

from acknowledger import events
from acknowledger.config import ActionType
from acknowledger.errors import EventInvalid
from tests.support import ROOT, load_event

ACTION_TYPE = ActionType.parse("Custom/Build/Acknowledger/1")
OTHER_TYPE = ActionType.parse("Custom/Test/Other/2")
STARTED = load_event("intake-action-started")
DISPATCHED = load_event("acknowledge-job-dispatched")
PROGRESS = load_event("report-job-progress")
ABANDONED, ABORTED = load_event("stop-action-abandoned"), load_event("stop-execution-aborted")


def test_every_sample_event_is_used_by_a_test():
    paths = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "packages").glob("*/tests/*.py")]
    tests = "".join(path.read_text() for path in paths)
    unused = [path.stem for path in (ROOT / "events").rglob("*.json") if path.stem not in tests]
    assert unused == []


def test_every_sample_event_has_the_shape_of_its_detail_type():
    seen = set()
    for path in (ROOT / "events").glob("*.json"):
        event, of = json.loads(path.read_text()), path.stem.split("-")[0].capitalize()
        if "detail-type" in event and of in events.SHAPES:
            assert events.parse(event, of) == {"detail": {}} | event, path.name
            seen.add((of, event["detail-type"]))
    kinds = {(of, kind) for of, kinds in events.SHAPES.items() for kind in kinds}
    assert seen == {(of, kind) for of, kind in kinds if of != "Execution"}


@pytest.mark.parametrize("kind", ["Scheduled Event", "Pause Intake", "Resume Intake"])
def test_the_detail_of_an_operators_event_is_optional(kind):
    assert events.parse({"detail-type": kind}, "Intake") == {"detail-type": kind, "detail": {}}


@pytest.mark.parametrize(
    ("event", "of", "message"),
    [
        (None, "Intake", "the event must be a JSON object"),
        ([], "Intake", "the event must be a JSON object"),
        ("x", "Intake", "the event must be a JSON object"),
        ({}, "Report", "detail-type must be 'Job Progress'"),
        ({"detail-type": []}, "Report", "detail-type must be 'Job Progress'"),
        (
            load_event("bad/intake-not-ours"),
            "Stop",
            "detail-type must be 'CodePipeline Action Execution State Change' or 'Job Due' or 'Step "
            "Functions Execution Status Change'",
        ),
        ({"detail-type": "Scheduled Event", "detail": []}, "Intake", "detail must be an object"),
        ({"detail-type": "Scheduled Event", "detail": None}, "Intake", "detail must not be null"),
        (
            load_event("bad/intake-several-fields"),
            "Intake",
            "detail.pipeline must not be null; detail.stage must be a string; "
            "detail.state must satisfy enum value set: [STARTED]",
        ),
        (
            load_event("bad/intake-execution-running"),
            "Intake",
            "detail.status must satisfy enum value set: [SUCCEEDED, FAILED, TIMED_OUT, ABORTED]",
        ),
        (
            load_event("bad/acknowledge-task-token"),
            "Acknowledge",
            "detail.taskToken must be a string",
        ),
        (load_event("bad/report-job-progress-job-id"), "Report", "detail.jobId must be a string"),
        (
            {**PROGRESS, "time": "soon"},
            "Report",
            "time must satisfy regular expression pattern: "
            "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z",
        ),
        (
            load_event("bad/stop-action-state"),
            "Stop",
            "detail.action-execution-id must be a string; "
            "detail.state must satisfy enum value set: [ABANDONED, CANCELED, FAILED]",
        ),
    ],
)
def test_an_event_of_another_kind_or_shape_is_refused_naming_every_field(event, of, message):
    # A field that is null comes first, then the others in the order of the event.
    with pytest.raises(EventInvalid) as refused:
        events.parse(event, of)
    assert str(refused.value) == message


def without(event, *names):
    return {**event, "detail": {n: v for n, v in event["detail"].items() if n not in names}}


@pytest.mark.parametrize(
    ("of", "event", "needed"),
    [
        ("Intake", STARTED, ["pipeline", "execution-id", "stage", "action", "state", "type"]),
        ("Intake", load_event("intake-execution-ended"), ["name", "status"]),
        ("Report", PROGRESS, ["jobId"]),
        ("Stop", ABANDONED, ["action-execution-id", "state"]),
        ("Stop", ABORTED, ["executionArn", "status"]),
    ],
)
def test_a_required_member_must_not_be_missing_or_null(of, event, needed):
    for name in needed:
        for bad in (without(event, name), {**event, "detail": {**event["detail"], name: None}}):
            with pytest.raises(EventInvalid, match=rf"^detail\.{name} must not be null$"):
                events.parse(bad, of)


@pytest.mark.parametrize(
    ("of", "event", "optional"),
    [
        ("Intake", STARTED, "action-execution-id"),
        ("Acknowledge", DISPATCHED, "taskToken"),
        ("Stop", ABORTED, "input"),
    ],
)
def test_an_optional_member_must_be_valid(of, event, optional):
    events.parse(without(event, optional), of)
    with pytest.raises(EventInvalid, match=rf"^detail\.{optional} must be a string$"):
        events.parse({**event, "detail": {**event["detail"], optional: 7}}, of)


@pytest.mark.parametrize("job_id", ["", "x" * 513])
def test_a_job_id_has_1_to_512_characters(job_id):
    with pytest.raises(EventInvalid, match=r"^detail\.jobId must have length"):
        events.parse({**PROGRESS, "detail": {"jobId": job_id}}, "Report")


@pytest.mark.parametrize(
    "time",
    [
        *(None, 1790616937, "", "2026-09-28", "2026-09-28T17:35:37+02:00"),
        "2026-09-28T17:35:37Z\n",
    ],
)
def test_the_time_of_progress_is_a_moment_in_utc(time):
    with pytest.raises(EventInvalid, match=r"^time must "):
        events.parse({**PROGRESS, "time": time}, "Report")


def test_the_message_repeats_no_value():
    with pytest.raises(EventInvalid) as refused:
        events.parse(DISPATCHED | {"detail": {"taskToken": "secret" * 2048}}, "Acknowledge")
    assert str(refused.value) == "detail.taskToken must have length less than or equal to 2048"


@pytest.mark.parametrize("kind", [None, [], {}, {"owner": []}, "x"])
def test_an_action_type_that_is_not_served_is_none(kind):
    assert events.served_type({"type": kind}, {ACTION_TYPE, OTHER_TYPE}) is None


def test_the_action_type_of_a_codepipeline_event_is_found():
    assert events.served_type(STARTED["detail"], {OTHER_TYPE, ACTION_TYPE}) == ACTION_TYPE


@pytest.mark.parametrize("version", [2, 20240101, 999999999])
@pytest.mark.parametrize("form", [str, int, float])
def test_a_version_is_a_string_or_a_number(version, form):
    served = ActionType("Custom", "Test", "Other", str(version))
    named = served.as_id() | {"version": form(version)}
    assert events.served_type({"type": named}, {served, ACTION_TYPE}) == served


@pytest.mark.parametrize("version", [True, 2.5, None, 10**400, float("nan")])
def test_no_other_version_is_served(version):
    named = OTHER_TYPE.as_id() | {"version": version}
    assert events.served_type({"type": named}, {OTHER_TYPE, ACTION_TYPE}) is None


def test_an_action_type_may_have_further_members():
    named = {**OTHER_TYPE.as_id(), "url": ["https://example.com"]}
    assert events.served_type({"type": named}, {OTHER_TYPE, ACTION_TYPE}) == OTHER_TYPE


@pytest.mark.parametrize(
    ("detail", "chosen"),
    [
        ({}, [ACTION_TYPE, OTHER_TYPE]),
        ({"actionTypes": ["Custom/Test/Other/2"]}, [OTHER_TYPE]),
        ({"actionTypes": ["Custom/Test/Other/2", str(ACTION_TYPE)]}, [OTHER_TYPE, ACTION_TYPE]),
        ({"actionTypes": ["Custom/Build/SomebodyElses/1"]}, None),
        ({"actionTypes": [str(ACTION_TYPE), "x"]}, None),
        ({"actionTypes": []}, None),
        ({"actionTypes": str(ACTION_TYPE)}, None),
        ({"actionTypes": [["x"]]}, None),
        ({"actionTypes": None}, None),
    ],
)
def test_an_operators_event_names_served_action_types_or_concerns_all(detail, chosen):
    served = {ACTION_TYPE, OTHER_TYPE}

    def act():
        event = events.parse({"detail-type": "Pause Intake", "detail": detail}, "Intake")
        return events.chosen_types(event["detail"], served)

    if chosen is None:
        with pytest.raises(EventInvalid, match=r"detail\.actionTypes.* must "):
            act()
    else:
        assert act() == chosen


def test_an_action_type_that_is_not_served_is_refused_and_the_served_ones_are_named():
    with pytest.raises(EventInvalid, match=r"Custom/Build/Acknowledger/1, Custom/Test/Other/2"):
        events.chosen_types({"actionTypes": ["x"]}, {ACTION_TYPE, OTHER_TYPE})


INPUT = json.loads(load_event("intake-execution-ended")["detail"]["input"])


@pytest.mark.parametrize("more", [{}, {"continues": {"jobId": "a", "after": "b"}}])
def test_the_input_of_an_execution_that_intake_started_is_read(more):
    assert events.started_with({"input": json.dumps(INPUT | more)}) == INPUT | more


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "not JSON",
        "[]",
        "{}",
        "null",
        7,
        "[" * 100_000,
        '{"a":' * 30_000,
        *(json.dumps(INPUT | {name: 7}) for name in INPUT),
        *(
            json.dumps(INPUT | {"job": INPUT["job"] | {name: None}})
            for name in ("id", "nonce", "data")
        ),
        json.dumps(INPUT | {"timeouts": INPUT["timeouts"] | {"JobTimeoutSeconds": 0.5}}),
        json.dumps(INPUT | {"continues": {"jobId": "a"}}),
    ],
)
def test_an_input_that_intake_could_not_have_written_is_none(given):
    assert events.started_with({"input": given}) is None
