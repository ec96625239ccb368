"""CloudWatch has the metrics that functions print and those of the services."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from moto.cloudwatch.models import CloudWatchBackend
from moto.sqs.models import SQSBackend

from local.aws import metrics
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    REGION,
    SECONDS,
    Queue,
    make_function,
    make_machine,
    make_rule,
    running,
)
from tests.support import wait_for

MINUTE = timedelta(minutes=1)

# -- The embedded metric format -------------------------------------------------------------------


def document(
    *, values: dict[str, Any] | None = None, metadata: Any = None, **changes: Any
) -> dict[str, Any]:
    """A document with one metric of one dimension; `changes` are changes of its directive."""
    directive = {
        "Namespace": "Shop",
        "Dimensions": [["Service"]],
        "Metrics": [{"Name": "Orders", "Unit": "Count"}],
    }
    return {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [{**directive, **changes}],
            **(metadata or {}),
        },
        "Service": "till",
        "Orders": 3,
        **(values or {}),
    }


def found(given: dict[str, Any]) -> list[tuple[str, str, dict[str, str], str, list[float]]]:
    """The metrics in a document: namespace, name, dimensions, unit and values."""
    return [
        (
            namespace,
            datum["MetricName"],
            {one["Name"]: one["Value"] for one in datum["Dimensions"]},
            datum["Unit"],
            datum["Values"],
        )
        for namespace, datum in metrics.embedded(json.dumps(given))
    ]


TILL = {"Service": "till"}


@pytest.mark.parametrize(
    ("changes", "metrics"),
    [
        ({}, [("Shop", "Orders", TILL, "Count", [3])]),
        (
            {"Dimensions": [["metadata"]], "values": {"metadata": "x", "text": "\ud83d"}},
            [("Shop", "Orders", {"metadata": "x"}, "Count", [3])],
        ),
        ({"Metrics": [{"Name": "Orders"}]}, [("Shop", "Orders", TILL, "None", [3])]),
        ({"values": {"Orders": [1, 2.5, 1]}}, [("Shop", "Orders", TILL, "Count", [1, 2.5, 1])]),
        ({"values": {"Orders": []}}, []),
        (
            {"Dimensions": [[], ["Service"], ["Service", "Shop"]], "values": {"Shop": "north"}},
            [
                ("Shop", "Orders", {}, "Count", [3]),
                ("Shop", "Orders", TILL, "Count", [3]),
                ("Shop", "Orders", {**TILL, "Shop": "north"}, "Count", [3]),
            ],
        ),
        (
            {
                "Metrics": [{"Name": "Orders", "StorageResolution": 1, "Color": "red"}],
                "Color": "red",
                "values": {"requestId": "red"},
                "metadata": {"Color": "red"},
            },
            [("Shop", "Orders", TILL, "None", [3])],
        ),
    ],
    ids=[
        "one",
        "odd",
        "no unit",
        "an array",
        "an empty array",
        "dimension sets",
        "unknown members",
    ],
)
def test_a_document_has_its_metrics(changes, metrics):
    assert found(document(**changes)) == metrics


def test_a_metric_has_the_time_of_its_document():
    given = document()
    given["_aws"]["Timestamp"] = milliseconds = int(time.time() * 1000) - 90_000
    [(_, datum)] = metrics.embedded(json.dumps(given))
    assert datum["Timestamp"].replace(tzinfo=UTC).timestamp() * 1000 == pytest.approx(milliseconds)


def test_a_document_may_have_many_metrics_in_many_namespaces():
    given = document(Metrics=[{"Name": "Orders"}, {"Name": "Took", "Unit": "Milliseconds"}])
    other = {"Namespace": "Other", "Dimensions": [[]], "Metrics": [{"Name": "Took"}]}
    given["_aws"]["CloudWatchMetrics"].append(other)
    given["Took"] = 12.5
    assert [(namespace, name) for namespace, name, *_ in found(given)] == [
        ("Shop", "Orders"),
        ("Shop", "Took"),
        ("Other", "Took"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *("", "_aws", "no JSON, but with '\"_aws\"'", '"_aws"', '["_aws"]', '{"_aws": {'),
        *('{"_aws": null}', '{"_aws": {}}', '{"_aws": []}', '{"_aws": ' + "[" * 100_000),
        '{"level": "INFO", "message": "\\"_aws\\""}',
        *(f"[INFO] {json.dumps(document())}", f"{json.dumps(document())} done"),
    ],
)
def test_a_line_that_is_not_a_document_has_no_metrics(line):
    assert metrics.embedded(line) == []


BROKEN: dict[str, list[Any]] = {
    "Namespace": [None, "", "n" * 256],
    "Dimensions": [
        *(None, [], ["Service"], [[1]], [["Service"], ["Missing"]], [["Orders"]]),
        [["Service"] * 31],
    ],
    "Metrics": [
        *(None, ["Orders"], [{"Unit": "Count"}], [{"Name": ""}], [{"Name": "Missing"}]),
        *([{"Name": "Orders", "Unit": unit}] for unit in ("Parsecs", ["Count"])),
        [{"Name": "Orders", "StorageResolution": 5}],
        [{"Name": "Orders"}] * 101,
    ],
    "values": [
        *({"Service": value} for value in ("", "s" * 1025, ["till"])),
        *({"Orders": value} for value in ("3", True, None, {"value": 3}, [1, "2"], [1] * 101)),
        *({"Orders": value} for value in (float("nan"), float("-inf"), 10**400)),
    ],
}


@pytest.mark.parametrize(
    "changes", [{name: value} for name, values in BROKEN.items() for value in values]
)
def test_a_document_that_breaks_a_rule_has_no_metrics(changes):
    assert found(document(**changes)) == []


@pytest.mark.parametrize("timestamp", [None, "now", True, 0, -1e300, 1e300, 10**400, float("nan")])
def test_a_document_with_an_invalid_timestamp_has_no_metrics(timestamp):
    given = document()
    given["_aws"]["Timestamp"] = timestamp
    assert found(given) == []


@pytest.mark.parametrize(("hours", "count"), [(-15 * 24, 0), (-13 * 24, 1), (1, 1), (3, 0)])
def test_a_document_may_be_two_weeks_old_or_two_hours_early(hours, count):
    given = document()
    given["_aws"]["Timestamp"] += hours * 60 * 60 * 1000
    assert len(found(given)) == count


# -- Retention and samples ------------------------------------------------------------------------


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> CloudWatchBackend:
    """The only backend, with data that is up to five hours old."""
    backend = CloudWatchBackend(REGION, ACCOUNT)
    monkeypatch.setattr(metrics, "cloudwatch_backends", {ACCOUNT: {REGION: backend}})
    for hours in (5, 4, 2, 1, 0):
        metrics.put(ACCOUNT, REGION, "Shop", {}, {"Orders": hours}, ago=hours * 60 * 60)
    return backend


def test_data_is_kept_for_three_hours(kept):
    metrics.forget()
    assert [datum.value for datum in kept.metric_data] == [2, 1, 0]


def test_the_amount_of_data_is_limited(kept, monkeypatch):
    monkeypatch.setattr(metrics, "MAX_KEPT", 2)
    metrics.forget()
    assert [datum.value for datum in kept.metric_data] == [1, 0]


def test_a_sample_has_the_number_of_visible_messages_and_the_age_of_the_oldest(monkeypatch):
    queues, backend = SQSBackend(REGION, ACCOUNT), CloudWatchBackend(REGION, ACCOUNT)
    monkeypatch.setattr(metrics, "cloudwatch_backends", {ACCOUNT: {REGION: backend}})
    monkeypatch.setattr(metrics, "sqs_backends", {ACCOUNT: {REGION: queues}})
    for name in ("empty", "used"):
        queues.create_queue(name, {})
    for delay in (0, 0, 0, 60):
        sent = queues.send_message("used", "body", delay_seconds=delay)
        sent.sent_timestamp -= 90_000  # type: ignore[assignment]
    queues.receive_message("used", 1, 0, 30)
    backend.metric_data.clear()
    metrics.sample_queues()
    found = {(one.dimensions[0].value, one.name): one for one in backend.metric_data}
    values = {key: one.value for key, one in found.items()}  # type: ignore[attr-defined]
    assert values.pop(("used", "ApproximateAgeOfOldestMessage")) == pytest.approx(90, abs=1)
    assert values == {
        ("empty", "ApproximateNumberOfMessagesVisible"): 0,
        ("empty", "ApproximateAgeOfOldestMessage"): 0,
        ("used", "ApproximateNumberOfMessagesVisible"): 2,
    }


def test_an_error_in_metrics_is_only_logged(caplog):
    metrics.of_function(SimpleNamespace(), Invocations=1)
    assert "no metrics from of_function" in caplog.text


# -- In the local stack ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "SAMPLE_SECONDS", 0.2)
        with running() as cloud:
            yield cloud


def statistics(
    cloud: LocalCloud, namespace: str, name: str, unit: str | None = None, **dimensions: str
) -> dict[str, Any]:
    """A metric's statistics of the last half hour; empty if it has no data."""
    now = datetime.now(UTC)
    data = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - 30 * MINUTE,
        EndTime=now + MINUTE,
        Period=3600,
        Statistics=["Sum", "SampleCount", "Minimum", "Maximum"],
        **({"Unit": unit} if unit else {}),
    )["Datapoints"]
    return data[0] if data else {}


def total(cloud: LocalCloud, namespace: str, name: str, **dimensions: str) -> float | None:
    """The sum of a metric with the unit Count; None if it has no data."""
    return statistics(cloud, namespace, name, "Count", **dimensions).get("Sum")


def prints(cloud: LocalCloud, name: str, *lines: str) -> None:
    """Create and invoke a function that prints these lines."""
    make_function(cloud, name, f"def handler(event, context): print({chr(10).join(lines)!r})")
    answer = cloud.client("lambda").invoke(FunctionName=name)
    assert "FunctionError" not in answer


def test_embedded_metrics_are_in_cloudwatch_when_the_invocation_returns(cloud):
    given = document(
        Namespace="Printed",
        Dimensions=[[], ["Service"], ["Service", "Shop"]],
        values={"Orders": [1, 2, 6], "Shop": "north"},
    )
    malformed = document(Namespace="Malformed", Dimensions=[])
    prints(cloud, "printer", "hello", json.dumps(given), json.dumps(malformed))
    for dimensions in ({}, {"Service": "till"}, {"Service": "till", "Shop": "north"}):
        told = statistics(cloud, "Printed", "Orders", "Count", **dimensions)
        assert (told["Sum"], told["SampleCount"], told["Maximum"]) == (9, 3, 6)
        assert told["Unit"] == "Count"
    assert statistics(cloud, "Printed", "Orders", Shop="north") == {}
    logs = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/printer")["events"]
    lines = [event["message"] for event in logs]
    assert lines[1:4] == ["hello", json.dumps(given), json.dumps(malformed)]
    listed = cloud.client("cloudwatch").list_metrics
    assert listed(Namespace="Malformed")["Metrics"] == []
    assert sorted(len(one["Dimensions"]) for one in listed(Namespace="Printed")["Metrics"]) == [
        0,
        1,
        2,
    ]


def query(name: str, namespace: str, metric: str, stat: str, **dimensions: str) -> dict[str, Any]:
    named = [{"Name": each, "Value": value} for each, value in dimensions.items()]
    about = {"Namespace": namespace, "MetricName": metric, "Dimensions": named}
    return {"Id": name, "MetricStat": {"Metric": about, "Period": 3600, "Stat": stat}}


def results(cloud: LocalCloud, *queries: dict[str, Any]) -> list[tuple[str, list[float]]]:
    """The ids and values that GetMetricData returns for the last half hour."""
    now = datetime.now(UTC)
    found = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - 30 * MINUTE, EndTime=now + MINUTE
    )
    return [(one["Id"], one["Values"]) for one in found["MetricDataResults"]]


def test_get_metric_data_returns_exactly_the_requested_metrics(cloud):
    given = [
        document(Namespace="One", Dimensions=[["Shop", "Service"]], values={"Shop": "a"}),
        document(Namespace="Two", values={"Orders": 5}),
        document(Namespace="Three", values={"Orders": 7}),
    ]
    prints(cloud, "exact", *(json.dumps(one) for one in given))
    queries = [
        query("q0", "Three", "Orders", "Sum", Service="till") | {"ReturnData": False},
        query("q1", "One", "Orders", "Sum", Service="till", Shop="a"),
        query("q2", "Two", "Orders", "Sum", Service="till"),
        query("q3", "One", "Orders", "Sum", Service="till"),
        query("q4", "Two", "Orders", "Sum"),
        {"Id": "same", "Expression": "q0"},
    ]
    expected = [("q1", [3]), ("q2", [5]), ("q3", []), ("q4", []), ("same", [7])]
    assert results(cloud, *queries) == expected


def test_lambda_counts_invocations_and_errors_and_measures_durations(cloud):
    source = """
        import time
        def handler(event, context):
            time.sleep(0.02)
            if event: raise ValueError(event)
    """
    make_function(cloud, "counted", source)
    for event in ("", "once", ""):
        cloud.client("lambda").invoke(FunctionName="counted", Payload=json.dumps(event))
    assert total(cloud, "AWS/Lambda", "Invocations", FunctionName="counted") == 3
    assert total(cloud, "AWS/Lambda", "Errors", FunctionName="counted") == 1
    assert total(cloud, "AWS/Lambda", "Throttles", FunctionName="counted") == 0
    took = statistics(cloud, "AWS/Lambda", "Duration", "Milliseconds", FunctionName="counted")
    assert took["SampleCount"] == 3
    assert 20 <= took["Minimum"] <= took["Maximum"] < 10_000


def test_lambda_counts_a_throttled_invocation_only_as_a_throttle(cloud):
    make_function(cloud, "throttled", "def handler(event, context): pass")
    client = cloud.client("lambda")
    client.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as refused:
        client.invoke(FunctionName="throttled")
    attempts = refused.value.response["ResponseMetadata"]["RetryAttempts"] + 1
    assert total(cloud, "AWS/Lambda", "Throttles", FunctionName="throttled") == attempts
    assert total(cloud, "AWS/Lambda", "Invocations", FunctionName="throttled") is None
    assert total(cloud, "AWS/Lambda", "Errors", FunctionName="throttled") is None


def test_step_functions_counts_how_executions_end_and_measures_how_long_they_take(cloud):
    choices = [
        {"Condition": "{% $states.input = 'fail' %}", "Next": "Fail"},
        {"Condition": "{% $states.input = 'wait' %}", "Next": "Wait"},
    ]
    states = {
        "Choose": {"Type": "Choice", "Choices": choices, "Default": "Succeed"},
        "Fail": {"Type": "Fail", "Error": "E"},
        "Wait": {"Type": "Wait", "Seconds": 60, "Next": "Succeed"},
        "Succeed": {"Type": "Succeed"},
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Choose", "States": states}
    arn = make_machine(cloud, "counted", {**definition, "TimeoutSeconds": 1})
    client = cloud.client("stepfunctions")
    for given in ("succeed", "succeed", "fail", "wait"):
        client.start_execution(stateMachineArn=arn, input=json.dumps(given))
    stopped = client.start_execution(stateMachineArn=arn, input='"wait"')["executionArn"]
    client.stop_execution(executionArn=stopped)

    def times() -> dict[str, Any]:
        return statistics(cloud, "AWS/States", "ExecutionTime", "Milliseconds", StateMachineArn=arn)

    wait_for(lambda: times().get("SampleCount") == 5, "five executions to end", SECONDS)
    ends = ("Started", "Succeeded", "Failed", "TimedOut", "Aborted")
    counts = [total(cloud, "AWS/States", f"Executions{end}", StateMachineArn=arn) for end in ends]
    assert counts == [5, 2, 1, 1, 1]
    assert 1000 <= times()["Maximum"] < 10_000


def test_queues_are_sampled_regularly(cloud):
    cloud.client("sqs").send_message(QueueUrl=Queue(cloud, "waiting").url, MessageBody="1")

    def sampled(name: str, unit: str) -> Any:
        return statistics(cloud, "AWS/SQS", name, unit, QueueName="waiting").get("Maximum")

    def visible() -> Any:
        return sampled("ApproximateNumberOfMessagesVisible", "Count")

    def age() -> Any:
        return sampled("ApproximateAgeOfOldestMessage", "Seconds")

    assert wait_for(visible, "the message to be counted", SECONDS) == 1
    assert wait_for(age, "the message to have an age", SECONDS) < SECONDS


def test_services_have_no_other_metrics(cloud):
    queue = Queue(cloud, "told")
    make_rule(cloud, "told", {"source": ["told"]}, {"Arn": queue.arn})
    entry = {"Source": "told", "DetailType": "t", "Detail": "{}"}
    cloud.client("events").put_events(Entries=[entry])
    assert queue.receive()
    make_function(cloud, "told", "def handler(event, context): pass")
    cloud.client("lambda").invoke(FunctionName="told")
    pages = cloud.client("cloudwatch").get_paginator("list_metrics").paginate()
    listed = [one for page in pages for one in page["Metrics"] if one["Namespace"][:4] == "AWS/"]
    ends = ("Started", "Succeeded", "Failed", "TimedOut", "Aborted")
    names = {one["MetricName"] for one in listed}
    assert names >= {"Invocations", "Duration"}
    assert names <= {
        *("Invocations", "Errors", "Throttles", "Duration"),
        *("ExecutionTime", *(f"Executions{end}" for end in ends)),
        *("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"),
    }


@pytest.mark.parametrize(
    ("stat", "value"), [("p50", 50), ("p90", 90), ("p99.5", 100), ("p100", 100), ("Maximum", 100)]
)
def test_percentiles_are_computed(cloud, stat, value):
    cloudwatch, now = cloud.client("cloudwatch"), datetime.now(UTC)
    data = [{"MetricName": stat, "Timestamp": now, "Values": [*range(100, 0, -1)]}]
    cloudwatch.put_metric_data(Namespace="Percentiles", MetricData=data)
    assert results(cloud, query("a", "Percentiles", stat, stat)) == [("a", [value])]


# -- Alarms --------------------------------------------------------------------------------------

METRIC = {
    "Namespace": "Ours",
    "MetricName": "Failures",
    "Dimensions": [{"Name": "a", "Value": "b"}],
}
ALARM = {
    **METRIC,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture
def cloudwatch(cloud: LocalCloud) -> Iterator[Any]:
    client = cloud.client("cloudwatch")
    yield client
    client.delete_alarms(AlarmNames=["alarm", "other"])


def put_values(name: str, values_by_age: dict[int, float]) -> None:
    """Put values of a metric, by their age in seconds."""
    for age, value in values_by_age.items():
        metrics.put(ACCOUNT, REGION, "Ours", {"a": "b"}, {name: value}, ago=age)


def state(cloudwatch: Any, **asked: Any) -> tuple[str, str]:
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["alarm"], **asked)["MetricAlarms"]
    return alarm["StateValue"], alarm["StateReason"]


@pytest.mark.parametrize(
    ("values", "settings", "found", "reason"),
    [
        ({}, {}, "INSUFFICIENT_DATA", "Insufficient Data: there are no data points"),
        ({}, {"TreatMissingData": "notBreaching"}, "OK", "0 of the last 2 data points"),
        ({}, {"TreatMissingData": "breaching"}, "ALARM", "none, which counts as breaching"),
        ({20: 5, 80: 7}, {}, "ALARM", "[5, 7] are greater than the threshold (1.0)"),
        ({20: 5, 80: 1}, {}, "OK", "1 of the last 2 data points"),
        ({20: 5}, {}, "OK", "1 of the last 2 data points"),
        ({20: 5}, {"TreatMissingData": "breaching"}, "ALARM", "2 of the last 2 data points"),
        ({20: 5, 80: 1}, {"DatapointsToAlarm": 1}, "ALARM", "1 of the last 2 data points"),
        ({20: 1, 21: 1, 80: 2}, {}, "ALARM", "[2, 2]"),
        ({20: 1, 21: 1, 80: 2}, {"Statistic": "Maximum"}, "OK", "1 of the last 2"),
        ({400: 9}, {}, "INSUFFICIENT_DATA", "there are no data points"),
    ],
)
def test_the_last_periods_decide_an_alarms_state(values, settings, found, reason, cloudwatch):
    name = f"Failures-{uuid4()}"
    put_values(name, values)
    cloudwatch.put_metric_alarm(AlarmName="alarm", **{**ALARM, "MetricName": name, **settings})
    value, said = state(cloudwatch)
    assert (value, reason in said) == (found, True), said


def test_an_alarm_on_a_sum_of_metrics_is_evaluated_but_no_other_expression(cloudwatch):
    put_values("First", {10: 1})
    put_values("Second", {10: 1})
    stats = [
        {
            "Id": name.lower(),
            "ReturnData": False,
            "MetricStat": {"Stat": "Sum", "Period": 60, "Metric": {**METRIC, "MetricName": name}},
        }
        for name in ("First", "Second", "Third")
    ]
    rule = {
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    expression = "FILL(first, 0) + FILL(second, 0) + FILL(third, 0)"
    cloudwatch.put_metric_alarm(
        AlarmName="alarm", Metrics=[{"Id": "all", "Expression": expression}, *stats], **rule
    )
    assert state(cloudwatch)[0] == "ALARM"
    by_type = 'SELECT SUM(First) FROM SCHEMA("Ours", a) GROUP BY a ORDER BY SUM() DESC'
    for other in (
        [{"Id": "all", "Expression": "ANOMALY(first)"}, *stats],
        [{"Id": "all", "Expression": by_type, "Period": 300}],
    ):
        cloudwatch.put_metric_alarm(AlarmName="alarm", Metrics=other, **rule)
        assert state(cloudwatch) == (
            "INSUFFICIENT_DATA",
            "The local stack can't evaluate this alarm's expression",
        )


def test_alarms_are_found_by_several_filters_at_once(cloudwatch):
    put_values("Filtered", {10: 5, 70: 5})
    cloudwatch.put_metric_alarm(AlarmName="alarm", **{**ALARM, "MetricName": "Filtered"})
    cloudwatch.put_metric_alarm(AlarmName="other", **{**ALARM, "MetricName": "NoSuch"})

    def names(**filters: Any) -> list[str]:
        found = cloudwatch.describe_alarms(**filters)["MetricAlarms"]
        return [alarm["AlarmName"] for alarm in found]

    assert names(AlarmNamePrefix="al", StateValue="ALARM") == ["alarm"]
    assert names(AlarmNamePrefix="ot", StateValue="ALARM") == []
    assert names(StateValue="INSUFFICIENT_DATA", AlarmNames=["alarm", "other"]) == ["other"]
