from __future__ import annotations

import json
import re

import pytest

import intake
from acknowledger import errors
from acknowledger.config import ActionType
from tests.support import load_event
from tests.unit.conftest import ENVIRONMENT

STARTED = load_event("intake-action-started")
SCHEDULE = load_event("intake-schedule")
ARN = ENVIRONMENT["STATE_MACHINE_ARN"].replace("stateMachine", "execution")
TYPES = {
    "actionTypes": [
        {
            "id": ActionType.parse(name).as_id(),
            "actionConfigurationProperties": [
                {"name": "Password", "required": True, "key": False, "secret": True}
            ],
            "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
            "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
        }
        for name in ENVIRONMENT["ACTION_TYPES"].split(",")
    ]
}


def offer(number=1, execution="a8748f7a-5b6c-4d7e-8f90-1a2b3c4d5e6f"):
    return {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "nonce": "3",
        "accountId": "123456789012",
        "data": {
            "actionConfiguration": {"configuration": {"Password": "hunter2"}},
            "pipelineContext": {"action": {"name": "Compile", "actionExecutionId": execution}},
            "artifactCredentials": {
                "accessKeyId": "AKIDSECRET",
                "secretAccessKey": "SECRET",
                "sessionToken": "SECRET",
            },
        },
    }


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch):
    """Starts in the order of the offers, since a stub's answers have an order; and no pauses."""
    monkeypatch.setattr(intake, "STARTS_AT_ONCE", 1)
    pauses = []
    monkeypatch.setattr(intake.time, "sleep", pauses.append)
    return pauses


def expect_poll(aws_calls, *offers):
    aws_calls.expects("codepipeline", "poll_for_jobs", {"jobs": list(offers)})


def expect_query(aws_calls, *rows):
    aws_calls.expects("dynamodb", "query", {"Items": list(rows)})


def expect_start(aws_calls):
    aws_calls.expects("stepfunctions", "start_execution", {"executionArn": ARN, "startDate": 0})


def test_a_sweep_takes_all_that_is_offered_for_every_action_type(aws_calls, context):
    for offers in ([offer(1), offer(2)], [offer(3)]):
        aws_calls.expects("codepipeline", "list_action_types", TYPES)
        expect_poll(aws_calls, *offers)
        for _ in offers:
            expect_start(aws_calls)
        aws_calls.expects("codepipeline", "poll_for_jobs", {})
    assert intake.handler(SCHEDULE, context) == {"offered": 3, "taken": 3}


def test_no_secret_reaches_the_execution_or_the_log(aws_calls, context, capsys, log):
    sent = []
    aws_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.StartExecution",
        lambda params, **_: sent.append(json.dumps(params)),
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    intake.handler(STARTED, context)
    captured = capsys.readouterr()
    assert offer()["id"] in sent[0]
    assert offer()["id"] in log.getvalue()
    for written in (sent[0], captured.out, captured.err, log.getvalue()):
        assert "SECRET" not in written
        assert "hunter2" not in written


def test_a_started_event_polls_its_action_type_until_its_job_has_come(
    aws_calls, context, one_at_a_time
):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls)
    expect_query(aws_calls)
    expect_poll(aws_calls, offer(1, execution="another"))
    expect_start(aws_calls)
    expect_poll(aws_calls)
    expect_query(aws_calls)
    expect_poll(aws_calls, offer(2))
    expect_start(aws_calls)
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 2, "taken": 2}
    assert one_at_a_time == [0, *intake.LOOK_AGAIN_SECONDS[:2]]


def test_a_job_that_another_invocation_took_is_not_looked_for(aws_calls, context, one_at_a_time):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls)
    expect_query(aws_calls, {"jobId": {"S": offer()["id"]}})
    assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}
    assert one_at_a_time == [0]


def test_an_older_event_is_looked_for_by_its_pipeline_for_as_long(
    aws_calls, context, one_at_a_time
):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    for _ in range(1 + len(intake.LOOK_AGAIN_SECONDS)):
        expect_poll(aws_calls)
    intake.handler(load_event("intake-action-started-older"), context)


def test_looking_for_a_job_that_never_comes_has_an_end(aws_calls, context, one_at_a_time):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    for _ in range(1 + len(intake.LOOK_AGAIN_SECONDS)):
        expect_poll(aws_calls)
        expect_query(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}
    assert sum(one_at_a_time) < 20


def test_with_no_time_left_the_rest_is_left_to_the_next_sweep(aws_calls, context):
    context.remaining_ms = intake.TIME_TO_FINISH_MS
    for _ in range(2):
        aws_calls.expects("codepipeline", "list_action_types", TYPES)
    assert intake.handler(SCHEDULE, context) == {"offered": 0, "taken": 0}


def test_an_action_type_that_cannot_be_polled_costs_only_itself(aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    aws_calls.expects_error("codepipeline", "poll_for_jobs", "ActionTypeNotFoundException")
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    with pytest.raises(errors.IntakeIncomplete) as told:
        intake.handler(SCHEDULE, context)
    assert "Build/Custom/Acknowledger/1: ActionTypeNotFoundException" in str(told.value)


def test_an_action_type_that_is_not_registered_yet_is_looked_up_again(aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", {"actionTypes": []})
    with pytest.raises(errors.IntakeIncomplete, match="is not registered"):
        intake.handler(STARTED, context)
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}


@pytest.mark.parametrize(
    "bad",
    [{"id": "x"}, offer(9) | {"data": None}, offer(9) | {"data": {"actionConfiguration": []}}],
)
def test_an_offer_that_cannot_be_read_costs_only_itself(bad, aws_calls, context):
    aws_calls.service("codepipeline").client.meta.events.register(
        "after-call.codepipeline.PollForJobs",
        lambda parsed, **_: parsed.get("jobs") and parsed["jobs"].insert(0, bad),
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    with pytest.raises(errors.IntakeIncomplete, match="starting job"):
        intake.handler(STARTED, context)


def test_an_execution_that_cannot_be_started_costs_only_itself(aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer(1), offer(2))
    aws_calls.expects_error("stepfunctions", "start_execution", "InvalidExecutionInput")
    expect_start(aws_calls)
    expect_poll(aws_calls)
    with pytest.raises(errors.IntakeIncomplete) as told:
        intake.handler(STARTED, context)
    assert offer(1)["id"] in str(told.value)
    assert offer(2)["id"] not in str(told.value)


def described(status):
    return {
        "executionArn": ARN,
        "stateMachineArn": ENVIRONMENT["STATE_MACHINE_ARN"],
        "status": status,
        "startDate": 0,
    }


def test_an_offer_under_the_same_nonce_finds_its_execution_running(aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer())
    aws_calls.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    aws_calls.expects("stepfunctions", "describe_execution", described("RUNNING"))
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}


def test_an_offer_under_the_same_nonce_whose_execution_was_killed_gets_another(aws_calls, context):
    names = []
    aws_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.StartExecution",
        lambda params, **_: names.append(params["name"]),
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_poll(aws_calls, offer())
    aws_calls.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    aws_calls.expects("stepfunctions", "describe_execution", described("ABORTED"))
    expect_start(aws_calls)
    expect_poll(aws_calls)
    intake.handler(STARTED, context)
    first, again = names
    assert re.fullmatch(rf"{first}-\d{{13}}", again)


@pytest.mark.parametrize(
    "event", ["intake-action-type-not-served", "intake-not-ours", "intake-several-fields"]
)
def test_bad_input_is_refused_before_any_call(event, aws_calls, context):
    with pytest.raises(errors.EventInvalid):
        intake.handler(load_event(f"bad/{event}"), context)
