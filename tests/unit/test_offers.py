import copy
import json
import re
from typing import Any

import pytest

from acknowledger import offers
from acknowledger.aws import operation_model
from acknowledger.config import ActionType, Timeouts
from acknowledger.errors import ContinuedElsewhere
from acknowledger.offers import PREFIX, continued, token
from acknowledger.room import Room
from tests.support import load_event
from tests.unit.conftest import offered

ACTION_TYPE = ActionType.parse("Custom/Build/Acknowledger/1")
MOST = Timeouts(60, 900, 3600)
OFFER = offered({"Input": "x", "Password": "hunter2"})
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:Job"
AMPLE = Room("Custom/Build/Acknowledger/1")
EXECUTION = f"{MACHINE.replace(':stateMachine:', ':execution:')}:first"
NONE_LEFT = Room("Custom/Build/Acknowledger/1", 1, holders={"x": {}})


def decide(offer=OFFER, room=AMPLE, **changes):
    known: dict[str, Any] = {
        "state_machine_arn": MACHINE,
        "timeouts": MOST,
        "secret_properties": set(),
        "offered_at": "2026-01-01T00:00:00.123Z",
    }
    return offers.decide(room, offer, ACTION_TYPE, **(known | changes))


def start_input(offer=OFFER, **changes):
    return decide(offer, **changes).start_input


def with_token(continuation_token):
    return {**OFFER, "data": {**OFFER["data"], "continuationToken": continuation_token}}


def test_execution_input_has_the_job_and_no_secret():
    before = copy.deepcopy(OFFER)
    made = start_input(secret_properties={"Password"})
    assert made["job"]["id"] == OFFER["id"]
    assert made["actionType"] == "Custom/Build/Acknowledger/1"
    assert made["job"]["data"]["actionConfiguration"]["configuration"] == {
        "Input": "x",
        "Password": "****",
    }
    assert "SECRET" not in json.dumps(made)
    assert "hunter2" not in json.dumps(made)
    assert before == OFFER


def test_an_offer_without_configuration_is_taken():
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
def test_an_action_may_set_shorter_limits(configuration, expected):
    assert offers.job_timeouts(configuration, MOST) == (Timeouts(*expected), "")


@pytest.mark.parametrize("asked", ["3601", "0", "-5", "1.5", "", "an hour", "٣", "9" * 5000])
def test_an_invalid_or_too_long_limit_of_an_action_is_named_with_the_allowed_range(asked):
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


def test_the_execution_name_comes_from_the_job_and_the_nonce():
    assert offers.execution_name("job", "1") == offers.execution_name("job", "1")
    assert offers.execution_name("job", "1") != offers.execution_name("job", "2")


def test_another_execution_for_the_same_offer_has_the_time_in_its_name():
    execution = decide()
    assert execution.name == offers.execution_name(OFFER["id"], OFFER["nonce"])
    assert execution.another_name == f"{execution.name}-1767225600123"


@pytest.mark.parametrize("job_id", [OFFER["id"], "a/b c", "a-b c", "ünï", "x" * 512])
@pytest.mark.parametrize("nonce", ["3", "n" * 50, "!"])
def test_execution_names_are_valid_for_every_job_id(job_id, nonce):
    execution = decide({**OFFER, "id": job_id, "nonce": nonce})
    for name in (execution.name, execution.another_name):
        assert re.fullmatch(r"[0-9A-Za-z_-]{1,80}", name)


def test_ids_that_differ_only_in_invalid_characters_get_different_names():
    assert offers.execution_name("a/b", "1") != offers.execution_name("a b", "1")


def test_only_the_input_of_a_continuing_job_names_the_first_job():
    continuing = with_token(token(EXECUTION, "first", "second"))
    assert start_input(continuing)["continues"] == {"jobId": "first", "after": "second"}
    for other in (OFFER, with_token("the worker's own")):
        made = start_input(other)
        assert "continues" not in made
        assert made["job"]["data"].get("continuationToken") == other["data"].get(
            "continuationToken"
        )


def test_without_room_only_jobs_that_continue_one_in_flight_are_taken():
    continuing = with_token(token(EXECUTION, "first", "second"))
    assert decide(room=NONE_LEFT) is None
    assert decide(with_token("the worker's own"), NONE_LEFT) is None
    assert decide(continuing, NONE_LEFT) == decide(continuing)


def test_a_job_that_continues_work_of_another_deployment_is_not_taken():
    with pytest.raises(ContinuedElsewhere):
        decide(with_token(token(EXECUTION.replace(":Job:", ":JobOfTheirs:"), "first", "second")))


@pytest.mark.parametrize("event", ["intake-action-started", "intake-action-started-older"])
def test_a_started_event_names_its_job(event):
    detail = load_event(event)["detail"]
    assert offers.is_for(OFFER, detail)
    other = copy.deepcopy(OFFER)
    other["data"]["pipelineContext"]["action"] = {"name": "Other", "actionExecutionId": "other"}
    assert not offers.is_for(other, detail)


def test_an_id_that_is_null_counts_as_missing():
    detail = load_event("intake-action-started")["detail"] | {"action-execution-id": None}
    assert offers.is_for(OFFER, detail)


@pytest.mark.parametrize(
    ("offer", "job_id"), [({"id": "a"}, "a"), ({"jobId": "b"}, "b"), ({}, None), ("x", None)]
)
def test_the_id_of_an_offer_is_found_if_it_has_one(offer, job_id):
    assert offers.job_id(offer) == job_id


@pytest.mark.parametrize(
    "job_id", ["f4f4ff82-2d11-11ea-9a5c-0242ac110002", "customer-7/deploy #42", "a:b:c", ":", "ü"]
)
@pytest.mark.parametrize("after", ["0f1e", 'a "quoted" [job], \\'])
def test_a_continuation_token_names_the_first_job_and_the_previous_one(job_id, after):
    made = token(EXECUTION, job_id, after)
    assert continued(made, MACHINE) == {"jobId": job_id, "after": after}
    assert token(EXECUTION, job_id, after) == made


def test_each_job_of_a_chain_has_a_different_token():
    assert token(EXECUTION, "a", "a") != token(EXECUTION, "a", "b")


@pytest.mark.parametrize("given", [None, "", "build-1742", "Acknowledger:x", "x" + PREFIX])
def test_a_continuation_token_of_a_worker_continues_no_job(given):
    assert continued(given, MACHINE) is None


OTHER = token(EXECUTION.replace(":Job:", ":Other:"), "job", "job")


@pytest.mark.parametrize("given", [OTHER, f"{PREFIX}job", PREFIX, f'{PREFIX}Jo:["b","b"]'])
def test_a_token_of_another_deployment_is_refused_and_the_deployment_named(given):
    machine = given.removeprefix(PREFIX).partition(":")[0]
    with pytest.raises(ContinuedElsewhere, match=f"another deployment, {machine}$"):
        continued(given, MACHINE)


@pytest.mark.parametrize("given", ["", "job", '["job"]', '["a","b","c"]', "{", "[]"])
def test_a_malformed_token_with_our_prefix_is_an_error(given):
    with pytest.raises(ValueError, match=r"."):
        continued(f"{PREFIX}Job:{given}", MACHINE)


def test_the_longest_token_is_within_codepipelines_limit():
    shape = operation_model("codepipeline", "PutJobSuccessResult").input_shape.members[
        "continuationToken"
    ]
    machine = "m" * 80
    longest = token(
        f"arn:aws:states:us-east-1:123456789012:execution:{machine}:n", "x" * 512, "y" * 512
    )
    assert len(longest) <= shape.metadata["max"]
    job_id = "f4f4ff82-2d11-11ea-9a5c-0242ac110002"
    assert re.fullmatch(r"[!-~ ]+", token(EXECUTION, job_id, job_id))
