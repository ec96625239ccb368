from __future__ import annotations

import copy
import json
import re

import pytest

from acknowledger import offers
from acknowledger.config import ActionType, Timeouts
from acknowledger.errors import EventInvalid
from tests.support import load_event

ACTION_TYPE = ActionType.parse("Build/Custom/Acknowledger/1")
MOST = Timeouts(60, 900, 3600)
OFFER = {
    "id": "f4f4ff82-2d11-11ea-9a5c-0242ac110002",
    "nonce": "3",
    "accountId": "123456789012",
    "data": {
        "actionTypeId": ACTION_TYPE.as_id(),
        "actionConfiguration": {"configuration": {"Input": "x", "Password": "hunter2"}},
        "pipelineContext": {
            "pipelineName": "my-pipeline",
            "stage": {"name": "Build"},
            "action": {
                "name": "Compile",
                "actionExecutionId": "a8748f7a-5b6c-4d7e-8f90-1a2b3c4d5e6f",
            },
            "pipelineExecutionId": "7f5094f0-1c2d-4e3f-8a9b-0c1d2e3f4a5b",
        },
        "inputArtifacts": [],
        "outputArtifacts": [],
        "artifactCredentials": {
            "accessKeyId": "AKIDSECRET",
            "secretAccessKey": "SECRET",
            "sessionToken": "SECRET",
        },
    },
}


def start_input(offer=OFFER, **changes):
    arguments = {"timeouts": MOST, "secret_properties": set(), "offered_at": "2026-01-01T00:00:00Z"}
    return offers.execution_input(offer, ACTION_TYPE, **(arguments | changes))


def test_execution_input_has_the_job_and_no_secret():
    before = copy.deepcopy(OFFER)
    made = start_input(secret_properties={"Password"})
    assert made["job"]["id"] == OFFER["id"]
    assert made["actionType"] == "Build/Custom/Acknowledger/1"
    assert made["job"]["data"]["actionConfiguration"]["configuration"] == {
        "Input": "x",
        "Password": "****",
    }
    assert "SECRET" not in json.dumps(made)
    assert "hunter2" not in json.dumps(made)
    assert before == OFFER


def test_an_offer_without_configuration_is_as_good():
    offer = copy.deepcopy(OFFER)
    del offer["data"]["actionConfiguration"]
    assert "actionConfiguration" not in start_input(offer)["job"]["data"]


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, (60, 900, 3600)),
        ({"JobTimeoutSeconds": "3600"}, (60, 900, 3600)),
        ({"JobTimeoutSeconds": "1000"}, (60, 900, 1000)),
        ({"JobTimeoutSeconds": "600"}, (60, 600, 600)),
        ({"HeartbeatTimeoutSeconds": "5", "AcknowledgeTimeoutSeconds": "1"}, (1, 5, 3600)),
    ],
)
def test_an_action_may_ask_for_less_time(configuration, expected):
    assert offers.job_timeouts(configuration, MOST) == (Timeouts(*expected), "")


@pytest.mark.parametrize("asked", ["3601", "0", "-5", "1.5", "", "an hour", "٣", "9" * 5000])
def test_more_time_than_the_stack_allows_or_no_number_is_named_with_the_limit(asked):
    limits, problem = offers.job_timeouts({"JobTimeoutSeconds": asked}, MOST)
    assert limits == MOST
    assert problem == (
        "JobTimeoutSeconds in the action's configuration must be a whole number of seconds "
        "from 1 to 3600"
    )


def test_every_wrong_limit_of_an_action_is_named():
    offer = copy.deepcopy(OFFER)
    offer["data"]["actionConfiguration"]["configuration"] = {
        "AcknowledgeTimeoutSeconds": "61",
        "HeartbeatTimeoutSeconds": "x",
    }
    problem = start_input(offer)["configurationError"]
    assert "AcknowledgeTimeoutSeconds" in problem
    assert "HeartbeatTimeoutSeconds" in problem


def test_one_offer_has_one_execution_name():
    assert offers.execution_name("job", "1") == offers.execution_name("job", "1")
    assert offers.execution_name("job", "1") != offers.execution_name("job", "2")


def test_an_offer_whose_first_execution_has_ended_is_told_by_its_time():
    again = offers.execution_name_again("job", "1", "2026-01-01T00:00:00.123Z")
    assert again == offers.execution_name("job", "1") + "-1767225600123"


@pytest.mark.parametrize("job_id", [OFFER["id"], "a/b c", "a-b c", "ünï", "x" * 512])
@pytest.mark.parametrize("nonce", ["3", "n" * 50, "!"])
def test_execution_names_are_names_for_every_job_id(job_id, nonce):
    again = offers.execution_name_again(job_id, nonce, "2026-01-01T00:00:00.123Z")
    for name in (offers.execution_name(job_id, nonce), again):
        assert re.fullmatch(r"[0-9A-Za-z_-]{1,80}", name)


def test_ids_that_differ_only_in_what_a_name_cannot_hold_get_different_names():
    assert offers.execution_name("a/b", "1") != offers.execution_name("a b", "1")


def started_action(event, served=frozenset({ACTION_TYPE})):
    return offers.started_action(load_event(event)["detail"], served)


@pytest.mark.parametrize("event", ["intake-action-started", "intake-action-started-older"])
def test_a_started_event_names_its_job(event):
    assert started_action(event) == ACTION_TYPE
    detail = load_event(event)["detail"]
    assert offers.is_for(OFFER, detail)
    other = copy.deepcopy(OFFER)
    other["data"]["pipelineContext"]["action"] = {"name": "Other", "actionExecutionId": "other"}
    assert not offers.is_for(other, detail)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("bad/intake-action-type-not-served", ["detail.type", "Build/Custom/Acknowledger/1"]),
        ("bad/intake-several-fields", ["detail.state", "detail.pipeline", "detail.stage"]),
    ],
)
def test_a_started_event_that_is_not_intakes_is_refused_naming_each_field(event, fields):
    with pytest.raises(EventInvalid) as refused:
        started_action(event)
    assert all(field in str(refused.value) for field in fields)


@pytest.mark.parametrize("detail", [{}, {"type": []}, {"type": {"owner": []}}])
def test_a_started_event_of_another_shape_is_refused(detail):
    with pytest.raises(EventInvalid, match="detail"):
        offers.started_action(detail, {ACTION_TYPE})


def test_an_event_of_a_kind_that_is_handled_is_taken_apart():
    kinds = {"Scheduled Event", "Pause Intake"}
    assert offers.detail_of(load_event("intake-schedule"), kinds) == ("Scheduled Event", {})
    detail = {"actionTypes": ["Build/Custom/Acknowledger/1"]}
    assert offers.detail_of(load_event("intake-pause"), kinds) == ("Pause Intake", detail)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ("x", "JSON object"),
        ({}, "detail-type must be 'Pause Intake' or 'Scheduled Event'"),
        ({"detail-type": []}, "detail-type"),
        (load_event("bad/intake-not-ours"), "detail-type"),
        ({"detail-type": "Scheduled Event", "detail": None}, "detail must be an object"),
        ({"detail-type": "Scheduled Event", "detail": []}, "detail must be an object"),
    ],
)
def test_an_event_of_another_kind_is_refused_naming_the_field(event, field):
    with pytest.raises(EventInvalid, match=field):
        offers.detail_of(event, {"Scheduled Event", "Pause Intake"})


OTHER_TYPE = ActionType.parse("Test/Custom/Other/2")


@pytest.mark.parametrize(
    ("detail", "chosen"),
    [
        ({}, [ACTION_TYPE, OTHER_TYPE]),
        ({"actionTypes": ["Test/Custom/Other/2"]}, [OTHER_TYPE]),
        ({"actionTypes": ["Test/Custom/Other/2", str(ACTION_TYPE)]}, [OTHER_TYPE, ACTION_TYPE]),
        ({"actionTypes": ["Build/Custom/SomebodyElses/1"]}, None),
        ({"actionTypes": [str(ACTION_TYPE), "x"]}, None),
        ({"actionTypes": []}, None),
        ({"actionTypes": str(ACTION_TYPE)}, None),
        ({"actionTypes": [["x"]]}, None),
        ({"actionTypes": None}, None),
    ],
)
def test_an_operator_names_action_types_that_are_served_or_means_all(detail, chosen):
    served = {ACTION_TYPE, OTHER_TYPE}
    if chosen is None:
        with pytest.raises(
            EventInvalid, match=r"detail\.actionTypes .*Build/Custom/Acknowledger/1"
        ):
            offers.chosen_types(detail, served)
    else:
        assert offers.chosen_types(detail, served) == chosen


@pytest.mark.parametrize(
    ("given", "action_type"),
    [
        (load_event("intake-execution-ended")["detail"]["input"], str(ACTION_TYPE)),
        (None, None),
        ("", None),
        ("not JSON", None),
        ("[]", None),
        ("{}", None),
        (7, None),
        (json.dumps({"actionType": 7}), None),
    ],
)
def test_an_ended_execution_is_known_by_name_and_mostly_by_action_type(given, action_type):
    detail = {"name": "n", "status": "FAILED", "input": given}
    assert offers.ended_execution(detail) == ("n", action_type)


@pytest.mark.parametrize(
    "detail",
    [load_event("bad/intake-execution-running")["detail"], {"status": "FAILED"}, {"name": 7}],
)
def test_an_execution_that_runs_or_has_no_name_has_not_ended(detail):
    with pytest.raises(EventInvalid, match="detail must have a name and a status"):
        offers.ended_execution(detail)


@pytest.mark.parametrize("continues", [None, {"jobId": "first", "after": "second"}])
def test_only_a_job_that_continues_another_says_so(continues):
    expected = {"continues": continues} if continues else {}
    made = start_input(continues=continues)
    assert {name: made[name] for name in made if name == "continues"} == expected
