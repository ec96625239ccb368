"""Each alarm fires when its cause occurs, and none while jobs merely succeed or fail."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.utils import utcnow

from acknowledger.moments import ago
from local import acknowledger
from local.aws import alarms, metrics
from tests.integration.conftest import CLIENT_TOKEN, DEAD_LETTERS, World
from tests.support import documented_metrics, load_event, wait_for, written_out

pytestmark = pytest.mark.slow

# Only a partner's jobs are limited.
PARAMETERS = {"MaxJobsInFlight": "0,0,1"}

#: A namespace, a name and the dimensions, each a name and a value.
Metric = tuple[Any, ...]
#: CloudWatch's data points cover whole periods; here, one data point covers this window.
WINDOW = timedelta(hours=1)


def firing(world: World) -> set[str]:
    """The alarms, by their names in the template, that would fire if the metrics stayed the same.

    The metrics of the last hour count as one data point, which stands for all that an alarm needs.
    No notification is sent.
    """
    metrics.sample_queues()
    names = {physical: logical for logical, physical in world.stack.resources.items()}
    backend = cloudwatch_backends[world.cloud.account_id][world.cloud.region]
    end, found = utcnow() + timedelta(minutes=1), set()
    for alarm in list(backend.alarms.values()):
        value = alarms.figure(backend, alarm, end - WINDOW, end)
        if value is None:
            # INSUFFICIENT_DATA, which also notifies if there had been data before.
            fires = alarm.treat_missing_data in ("breaching", "missing")
        else:
            fires = alarms.COMPARED[alarm.comparison_operator](value, alarm.threshold)
        if fires:
            found.add(names[alarm.name])
    return found


def wait_for_alarms(world: World, *names: str) -> None:
    wait_for(lambda: firing(world) == {*names}, f"only {names} to fire", seconds=20)


@pytest.fixture
def quiet(world: World) -> World:
    """A world without metrics and dead letters."""
    world.come_to_rest()
    for function in DEAD_LETTERS:
        world.written.letters(function)
    cloudwatch_backends[world.cloud.account_id][world.cloud.region].metric_data.clear()
    return world


def sweep(world: World) -> None:
    world.cloud.schedule.fire()
    wait_for(lambda: "NoSweepAlarm" not in firing(world), "a sweep", seconds=20)


def test_jobs_that_succeed_or_fail_fire_no_alarm(quiet):
    for outcome, status in (("Succeed", "Succeeded"), ("Fail", "Failed")):
        quiet.row(quiet.start({"Outcome": outcome}), status)
    sweep(quiet)
    assert firing(quiet) == set()


def test_the_alarm_on_sweeps_fires_if_intake_never_sweeps(quiet):
    assert firing(quiet) == {"NoSweepAlarm"}


def test_an_intake_that_only_handles_events(quiet):
    """As if its schedule were disabled: jobs are found, but not those without an event."""
    quiet.row(quiet.start({"Outcome": "Succeed"}), "Succeeded")
    assert quiet.invoke("Intake", load_event("intake-resume")) == {"paused": []}
    metric = {"Namespace": quiet.stack.name, "MetricName": "Sweeps"}
    wait_for(
        lambda: quiet.client("cloudwatch").list_metrics(**metric)["Metrics"],
        "the metric",
        seconds=20,
    )
    assert firing(quiet) == {"NoSweepAlarm"}


@pytest.mark.parametrize(("function", "event"), DEAD_LETTERS.items())
def test_an_event_that_a_function_cannot_handle(function, event, quiet):
    sweep(quiet)
    quiet.invoke(function, load_event(event), kind="Event")
    wait_for_alarms(quiet, "DeadLettersAlarm", "FunctionErrorsAlarm")


def test_a_job_that_times_out(quiet):
    sweep(quiet)
    quiet.row(quiet.start({"Outcome": "Hang", "JobTimeoutSeconds": "1"}), "TimedOut")
    wait_for_alarms(quiet, "JobsTimedOutAlarm")


def was_offered(world, row, *, seconds_ago):
    world.client("dynamodb").update_item(
        TableName=world.stack.outputs["JobTableName"],
        Key={"jobId": row["jobId"]},
        UpdateExpression="SET offeredAt = :long_ago",
        ExpressionAttributeValues={":long_ago": {"S": ago(seconds_ago)}},
    )


def test_an_offer_that_waits_too_long_for_its_acknowledgment(quiet):
    sweep(quiet)
    quiet.hold_back_acknowledge()
    row = quiet.row(quiet.start({"Outcome": "Succeed"}), "Created")
    was_offered(quiet, row, seconds_ago=90)
    event = quiet.dispatched(row["jobId"]["S"])
    assert quiet.invoke("Acknowledge", event) == {"status": "InProgress"}
    wait_for_alarms(quiet, "SlowAcknowledgmentsAlarm")


def test_an_execution_that_is_stopped_by_hand(quiet):
    sweep(quiet)
    quiet.stop(quiet.hang()[1])
    wait_for_alarms(quiet, "ExecutionsEndedAlarm")


def test_a_function_that_is_throttled(quiet):
    sweep(quiet)
    with quiet.throttled_report():
        row = quiet.row(quiet.start({"Outcome": "Succeed"}), "Succeeded")
    assert quiet.execution(row["execution"]["S"])["error"] == "Unreported"
    wait_for_alarms(quiet, "FunctionThrottlesAlarm")


def test_the_alarm_on_the_oldest_job_fires_if_it_is_in_flight_for_too_long(quiet):
    name, row = quiet.hang()
    was_offered(quiet, row, seconds_ago=86_500)
    sweep(quiet)
    wait_for_alarms(quiet, "OldestJobAlarm")
    quiet.stop(row)
    quiet.row(name, "Failed")


def test_an_action_type_that_is_not_served(quiet):
    kind = acknowledger.action_type_id("Custom/Test/Second/2")
    quiet.client("codepipeline").delete_custom_action_type(
        category=kind["category"], provider=kind["provider"], version=kind["version"]
    )
    try:
        quiet.cloud.schedule.fire()
        wait_for(lambda: "ActionTypesNotServedAlarm" in firing(quiet), "the alarm", seconds=20)
    finally:
        acknowledger.register(quiet.cloud, quiet.stack, "Custom/Test/Second/2")


def test_executions_that_are_throttled(quiet):
    """The local Step Functions never throttles: the metric is put as AWS would."""
    sweep(quiet)
    machine = {"Name": "StateMachineArn", "Value": quiet.stack.outputs["JobStateMachineArn"]}
    metric: dict[str, Any] = {"MetricName": "ExecutionThrottled", "Dimensions": [machine]}
    metric |= {"Timestamp": datetime.now(UTC), "Value": 3, "Unit": "Count"}
    quiet.client("cloudwatch").put_metric_data(Namespace="AWS/States", MetricData=[metric])
    assert firing(quiet) == {"ExecutionsThrottledAlarm"}


def shown(world: World) -> set[Metric]:
    """The metrics of the dashboard's widgets."""
    body = world.client("cloudwatch").get_dashboard(DashboardName=world.stack.name)["DashboardBody"]
    return {
        (*line[:2], tuple(line[2:4]))
        for widget in json.loads(body)["widgets"]
        for line in written_out(widget["properties"].get("metrics", []))
        if isinstance(line[0], str)
    }


def watched(world: World) -> set[Metric]:
    """The metrics of the alarms."""
    return {
        (
            metric["Namespace"],
            metric["MetricName"],
            *((one["Name"], one["Value"]) for one in metric["Dimensions"]),
        )
        for alarm in world.client("cloudwatch").describe_alarms()["MetricAlarms"]
        for metric in [
            *([alarm] if "MetricName" in alarm else []),
            *(
                one["MetricStat"]["Metric"]
                for one in alarm.get("Metrics", [])
                if "MetricStat" in one
            ),
        ]
    }


def waits_for_room(partner: World) -> None:
    """Have one of two jobs wait for room, and both succeed."""
    names = partner.overflow(2)

    def working() -> Any:
        rows = [row for name in names for row in partner.rows(name)]
        return next((row for row in rows if row["status"]["S"] == "InProgress"), None)

    for _ in names:
        row = wait_for(working, "a job to be in progress", seconds=20)
        partner.answer(row)
        partner.row(row["pipelineName"]["S"], "Succeeded")
    partner.client("events").enable_rule(Name=partner.rule("default", "STARTED"))


def cause_all_metrics(world: World) -> None:
    """Cause every metric to be emitted, if only with the value 0."""
    for outcome, status in (("Succeed", "Succeeded"), ("Fail", "Failed")):
        world.row(world.start({"Outcome": outcome}), status)
    world.row(world.start({"Outcome": "Hang", "JobTimeoutSeconds": "1"}), "TimedOut")
    name, row = world.hang()
    job_id, arn = row["jobId"]["S"], row["execution"]["S"]
    world.tell_progress(job_id, percentComplete=10)
    execution = world.client("stepfunctions").describe_execution(executionArn=arn)
    again = {"jobId": job_id, "nonce": json.loads(execution["input"])["job"]["nonce"]}
    assert world.invoke("Acknowledge", again) == {"status": "InProgress"}
    unknown = str(uuid.uuid4())
    world.invoke("Acknowledge", load_event("acknowledge-job-dispatched"))
    world.invoke("Report", load_event("report-succeeded"))
    world.invoke("Intake", load_event("intake-action-type-not-served"))
    world.stop(row)
    world.row(name, "Failed")
    partner = replace(world, owner="ThirdParty")
    waits_for_room(partner)
    partner.emulator.put_client(unknown, f"{CLIENT_TOKEN}-other")
    pipeline = partner.start({"Outcome": "Succeed"})
    partner.pipeline_ended(pipeline)
    partner.emulator.bind_client(unknown, pipeline)
    world.client("codepipeline").start_pipeline_execution(name=pipeline)
    world.cloud.schedule.fire()


def test_the_metrics_emitted_are_those_shown_watched_and_documented(world):
    """With the names, units and dimensions of the alarms, the dashboard and docs/metrics.md."""
    cause_all_metrics(world)
    backend = cloudwatch_backends[world.cloud.account_id][world.cloud.region]

    def counted() -> dict[Metric, str]:
        metrics.sample_queues()
        return {
            (one.namespace, one.name, *((d.name, d.value) for d in one.dimensions)): one.unit
            for one in list(backend.metric_data)
        }

    # The local Step Functions never throttles, and an execution as a whole has no time limit.
    never = {"ExecutionThrottled", "ExecutionsTimedOut"}
    wanted = {one for one in shown(world) | watched(world) if one[1] not in never}
    wait_for(lambda: wanted <= counted().keys(), f"{wanted - counted().keys()}", seconds=20)
    ours = {
        (metric[1], metric[2][1]): unit
        for metric, unit in counted().items()
        if metric[0] == world.stack.name
    }
    assert ours == documented_metrics()
