"""Each alarm fires when what it is about happens, and all are quiet when jobs just come and go."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from moto.cloudwatch.models import cloudwatch_backends

from acknowledger.moments import ago
from tests.integration.alarms import DEAD_LETTERS, firing
from tests.integration.conftest import World
from tests.support import documented_metrics, load_event, wait_for


@pytest.fixture
def quiet(world: World) -> World:
    """A world in which nothing has been counted yet, and no dead letter is left."""
    for function, _ in DEAD_LETTERS.values():
        world.written.letters(function)
    cloudwatch_backends[world.cloud.account_id][world.cloud.region].metric_data.clear()
    return world


def sweep(world: World) -> None:
    world.cloud.schedule.fire()
    wait_for(lambda: "NoSweepAlarm" not in firing(world), "a sweep", seconds=20)


def test_jobs_that_succeed_and_fail_alarm_nobody(quiet):
    for outcome, status in (("Succeed", "Succeeded"), ("Fail", "Failed")):
        quiet.row(quiet.start({"Outcome": outcome}), status)
    sweep(quiet)
    assert firing(quiet) == set()


def test_intake_that_looks_for_no_jobs(quiet):
    assert firing(quiet) == {"NoSweepAlarm"}


@pytest.mark.parametrize("alarm", DEAD_LETTERS)
def test_what_a_function_has_given_up(alarm, quiet):
    function, event = DEAD_LETTERS[alarm]
    sweep(quiet)
    quiet.invoke(function, load_event(event), kind="Event")
    wait_for(lambda: firing(quiet) == {alarm, "FunctionErrorsAlarm"}, "the alarm", seconds=20)


def test_a_job_that_times_out(quiet):
    sweep(quiet)
    quiet.row(quiet.start({"Outcome": "Hang", "JobTimeoutSeconds": "1"}), "TimedOut")
    wait_for(lambda: firing(quiet) == {"JobsTimedOutAlarm"}, "the alarm", seconds=20)


def test_an_offer_that_waits_too_long_for_its_acknowledgment(quiet):
    sweep(quiet)
    bus = quiet.stack.outputs["JobBusName"]
    events, rule = quiet.client("events"), quiet.rule(bus, "Job Dispatched")
    events.disable_rule(Name=rule, EventBusName=bus)
    row = quiet.row(quiet.start({"Outcome": "Succeed"}), "Dispatched")
    quiet.client("dynamodb").update_item(
        TableName=quiet.stack.outputs["JobTableName"],
        Key={"jobId": row["jobId"]},
        UpdateExpression="SET offeredAt = :long_ago",
        ExpressionAttributeValues={":long_ago": {"S": ago(90)}},
    )
    (event,) = wait_for(
        lambda: [
            one
            for one in quiet.bus_events("Job Dispatched")
            if one["detail"]["jobId"] == row["jobId"]["S"]
        ],
        "the event",
        seconds=10,
    )
    assert quiet.invoke("Acknowledge", event) == {"status": "InProgress"}
    wait_for(lambda: firing(quiet) == {"SlowAcknowledgmentsAlarm"}, "the alarm", seconds=20)


def test_an_execution_that_somebody_stops(quiet):
    sweep(quiet)
    row = quiet.row(quiet.start({"Outcome": "Hang"}), "InProgress")
    quiet.client("stepfunctions").stop_execution(executionArn=row["execution"]["S"])
    wait_for(lambda: firing(quiet) == {"ExecutionsEndedAlarm"}, "the alarm", seconds=20)


def test_a_function_that_lambda_refuses_to_run(quiet):
    sweep(quiet)
    with quiet.unheard_report():
        row = quiet.row(quiet.start({"Outcome": "Succeed"}), "Succeeded")
    assert quiet.execution(row["execution"]["S"])["error"] == "Unreported"
    wait_for(lambda: firing(quiet) == {"FunctionThrottlesAlarm"}, "the alarm", seconds=20)


def test_step_functions_slowing_down(quiet):
    """It never does so here: the metric is put as AWS would."""
    sweep(quiet)
    quiet.client("cloudwatch").put_metric_data(
        Namespace="AWS/States",
        MetricData=[
            {
                "MetricName": "ExecutionThrottled",
                "Dimensions": [
                    {"Name": "StateMachineArn", "Value": quiet.stack.outputs["JobStateMachineArn"]}
                ],
                "Timestamp": datetime.now(UTC),
                "Value": 3,
                "Unit": "Count",
            }
        ],
    )
    assert firing(quiet) == {"ExecutionsThrottledAlarm"}


def test_every_metric_that_is_counted_is_in_the_readme_with_its_unit_and_service(world):
    """Of all that this module's tests have made the functions count."""
    backend = cloudwatch_backends[world.cloud.account_id][world.cloud.region]
    found = {
        (datum.name, *(dimension.value for dimension in datum.dimensions)): datum.unit
        for datum in backend.metric_data
        if datum.namespace == world.stack.name
    }
    assert found
    assert found.items() <= documented_metrics().items()
