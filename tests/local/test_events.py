"""EventBridge rules reach their targets, with events as EventBridge writes them."""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.events import Schedule
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    REGION,
    SECONDS,
    Queue,
    attributes_of,
    make_function,
    make_machine,
    make_rule,
    role,
)
from tests.support import wait_for

PATTERN = {"source": ["shop"], "detail-type": ["Sold"]}
DETAIL = {"item": 'a "big" \\ hat', "count": 2, "é": None, "tags": ["x", "y"], "in": {"b": True}}


@pytest.fixture
def bus(cloud: LocalCloud, request: pytest.FixtureRequest) -> str:
    """The name of an event bus for this test."""
    name = f"{request.node.originalname[:50]}-{uuid.uuid4().hex[:8]}"
    cloud.client("events").create_event_bus(Name=name)
    return name


def put_rule(
    cloud: LocalCloud, bus: str, *targets: dict[str, Any], name: str = "sold", **settings: Any
) -> str:
    """Put a rule for the test's event; return its ARN."""
    return make_rule(cloud, name, PATTERN, *targets, bus=bus, **settings)


def put_event(cloud: LocalCloud, bus: str, **members: Any) -> str:
    """Put the test's event; return its id."""
    entry = {
        "Source": "shop",
        "DetailType": "Sold",
        "Detail": json.dumps(DETAIL),
        "EventBusName": bus,
        **members,
    }
    answer = cloud.client("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0
    return str(answer["Entries"][0]["EventId"])


def expected(event_id: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event as EventBridge delivers it, with the time of the delivered one."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"])
    return {
        "version": "0",
        "id": event_id,
        "detail-type": "Sold",
        "source": "shop",
        "account": ACCOUNT,
        "time": event["time"],
        "region": REGION,
        "resources": [],
        "detail": DETAIL,
    }


# -- Kinds of targets -----------------------------------------------------------------------------


def test_a_lambda_function_is_invoked_with_the_event(cloud, bus):
    got = Queue(cloud, "function-got")
    source = """
        import boto3, json, os
        def handler(event, context):
            boto3.client("sqs").send_message(
                QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
    """
    environment = {"Variables": {"QUEUE": got.url}}
    arn = make_function(cloud, "target", source, Environment=environment, Timeout=10)
    put_rule(cloud, bus, {"Arn": arn})
    event_id = put_event(cloud, bus)
    event = got.body()
    assert event == expected(event_id, event)


def test_a_queue_gets_the_event_exactly_as_eventbridge_writes_it(cloud, bus):
    queue = Queue(cloud, "exact")
    put_rule(cloud, bus, {"Arn": queue.arn})
    event_id = put_event(cloud, bus, Time=1_700_000_000, Resources=["arn:aws:s3:::hats"])
    event = queue.body()
    order = "version id detail-type source account time region resources detail"
    assert list(event) == order.split()
    assert event["time"] == "2023-11-14T22:13:20Z"
    assert event["resources"] == ["arn:aws:s3:::hats"]
    assert event == expected(event_id, event) | {"resources": event["resources"]}


def test_another_bus_gets_the_same_event(cloud, bus):
    queue = Queue(cloud, "other-bus")
    other = cloud.client("events").create_event_bus(Name="other")["EventBusArn"]
    put_rule(cloud, bus, {"Arn": other})
    put_rule(cloud, "other", {"Arn": queue.arn})
    event_id = put_event(cloud, bus)
    event = queue.body()
    assert event == expected(event_id, event)


def test_a_state_machine_is_started_with_the_event(cloud, bus):
    states = cloud.client("stepfunctions")
    definition = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    machine = make_machine(cloud, "target", definition)
    put_rule(cloud, bus, {"Arn": machine, "RoleArn": role(cloud)})
    event_id = put_event(cloud, bus)
    [execution] = wait_for(
        lambda: states.list_executions(stateMachineArn=machine)["executions"],
        "an execution",
        SECONDS,
    )
    described = states.describe_execution(executionArn=execution["executionArn"])
    event = json.loads(described["input"])
    assert event == expected(event_id, event)


def test_a_log_group_gets_the_event(cloud, bus):
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="/aws/events/sold")
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/sold"
    put_rule(cloud, bus, {"Arn": arn})
    event_id = put_event(cloud, bus)
    [logged] = logs.filter_log_events(logGroupName="/aws/events/sold")["events"]
    event = json.loads(logged["message"])
    assert event == expected(event_id, event)


# -- Input of a target ----------------------------------------------------------------------------


TRANSFORMER = {
    "InputPathsMap": {name: f"$.detail.{name}" for name in ("item", "tags", "in", "none")},
    "InputTemplate": '{"value": <item>, "text": "sold <item> (<tags>)", "in": <in>, '
    '"none": <none>, "empty": "<none>", "rule": "<aws.events.rule-name>"}',
}


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ({"Input": '{"constant": 1}'}, {"constant": 1}),
        ({"InputPath": "$.detail"}, DETAIL),
        ({"InputPath": "$.detail.item"}, DETAIL["item"]),
        (
            {"InputTransformer": TRANSFORMER},
            {
                "value": DETAIL["item"],
                "text": f'sold {DETAIL["item"]} (["x", "y"])',
                "in": DETAIL["in"],
                "none": None,
                "empty": "",
                "rule": "sold",
            },
        ),
    ],
    ids=["Input", "InputPath", "InputPath-text", "InputTransformer"],
)
def test_a_target_can_transform_its_input(cloud, bus, target, body):
    queue = Queue(cloud, f"chosen-{bus}"[:80])
    put_rule(cloud, bus, {"Arn": queue.arn, **target})
    put_event(cloud, bus)
    assert queue.body() == body


# -- Selection of rules ---------------------------------------------------------------------------


def test_only_enabled_rules_that_match_deliver(cloud, bus):
    wrong, right = Queue(cloud, "wrong"), Queue(cloud, "right")
    put_rule(cloud, bus, {"Arn": wrong.arn}, name="disabled", State="DISABLED")
    other = json.dumps({"source": ["bank"]})
    put_rule(cloud, bus, {"Arn": wrong.arn}, name="other", EventPattern=other)
    put_rule(cloud, bus, {"Arn": right.arn})
    put_event(cloud, bus)
    assert right.body()["detail"] == DETAIL
    assert wrong.receive() is None
    events = cloud.client("events")
    events.disable_rule(Name="sold", EventBusName=bus)
    events.enable_rule(Name="disabled", EventBusName=bus)
    event_id = put_event(cloud, bus)
    assert wrong.body()["id"] == event_id
    assert right.receive() is None


# -- Patterns ------------------------------------------------------------------------------------


def field(*matchers: Any) -> dict[str, Any]:
    return {"detail": {"in": {"name": list(matchers)}}}


def named(*values: Any) -> list[dict[str, Any]]:
    return [{"in": {"name": value}} for value in values]


ABSENT: list[dict[str, Any]] = [{}, {"in": {}}, {"in": {"other": 1}}, {"in": 1}]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (field("a", None, 3, True), named("a", None, 3, True, ["b", "a"]), named("b", 4, [], "aa")),
        (field({"prefix": "ab"}), named("ab", "abc", ["x", "abc"]), named("b", "a", 1, None)),
        (field({"prefix": {"equals-ignore-case": "AB"}}), named("abc", "ABC"), named("b")),
        (field({"suffix": ".py"}), named("a.py", ".py"), named("a.pyc", 1)),
        (field({"anything-but": "a"}), named("b", 1, None, ""), named("a") + ABSENT),
        (field({"anything-but": ["a", 1]}), named("b", 2), named("a", 1) + ABSENT),
        (field({"anything-but": {"prefix": "a"}}), named("b", "ba"), named("a", "ab")),
        (field({"anything-but": {"prefix": ["a", "b"]}}), named("c"), named("ab", "b")),
        (field({"anything-but": {"suffix": "a"}}), named("b", "ab"), named("a", "ba")),
        (field({"anything-but": {"wildcard": "*a*"}}), named("b"), named("bab", "a")),
        (field({"anything-but": {"equals-ignore-case": ["A"]}}), named("b"), named("a", "A")),
        (field({"exists": True}), named("a", None, 0, False, ""), ABSENT),
        (field({"exists": False}), ABSENT, named("a", None, 0, False, "")),
        (field({"exists": False}, "a"), [*ABSENT, *named("a")], named("b")),
        (field({"wildcard": "a/*/b"}), named("a/x/b", "a//b", "a/x/y/b"), named("a/b", "xa/x/b")),
        (field({"wildcard": "*\\*.?"}), named("a*.?", "*.?"), named("a.?", "a*.x", 1)),
        (field({"equals-ignore-case": "aB"}), named("AB", "ab"), named("abc", 1, None)),
        (field({"numeric": ["=", 3]}), named(3, 3.0, [1, 3]), named(4, "3", None)),
        (field({"numeric": [">", 0, "<=", 5]}), named(0.5, 5), named(0, 5.1, -1, "1")),
        (field({"cidr": "10.0.0.0/24"}), named("10.0.0.255"), named("10.0.1.0", "x", 1)),
        (field({"prefix": "a"}, {"numeric": [">", 1]}, "b"), named("ab", 2, "b"), named("c", 1)),
        (
            {"source": ["shop"], "$or": [field("a"), {"detail": {"x": [1]}}]},
            [*named("a"), {"x": 1}, {"x": 1, "in": {"name": "b"}}],
            [*named("b"), {"x": 2}, {}],
        ),
        (
            {"detail": {"y": [1], "$or": [{"x": [{"exists": False}]}, {"in": {"name": ["a"]}}]}},
            [{"y": 1}, {"y": 1, "x": 1, "in": {"name": "a"}}],
            [{}, {"y": 2}, {"y": 1, "x": 1}],
        ),
        ({"source": ["bank"], "$or": [field("a"), field("b")]}, [], named("a", "b")),
        # These differ from AWS.
        (field(1), named(True), [{"in": [{"name": 1}]}]),
    ],
)
def test_patterns_match_as_in_eventbridge(cloud, bus, pattern, matching, others):
    queue = Queue(cloud, f"pattern-{bus}"[:80])
    put_rule(cloud, bus, {"Arn": queue.arn}, EventPattern=json.dumps(pattern))
    for detail in others:
        put_event(cloud, bus, Detail=json.dumps(detail))
        assert queue.receive() is None, detail
    for detail in matching:
        put_event(cloud, bus, Detail=json.dumps(detail))
        message = queue.receive()
        assert message, detail
        assert json.loads(message["Body"])["detail"] == detail


@pytest.mark.parametrize(
    ("pattern", "objection"),
    [
        ({"source": "shop"}, "'source' must be an object or an array"),
        ({"source": []}, "Empty arrays are not allowed"),
        ({"detail": {}}, "Empty objects are not allowed"),
        (["shop"], "Filter is not an object"),
        ({"detail": {"x": [{"prefixed": "a"}]}}, "Unrecognized match type prefixed"),
        ({"detail": {"x": [{"prefix": "a", "suffix": "b"}]}}, "Only one key allowed"),
        ({"detail": {"x": [["a"]]}}, "Match value must be String"),
        ({"$or": [{"source": ["a"]}, {"source": [{"exist": True}]}]}, "Unrecognized match type"),
    ],
    ids=str,
)
def test_an_invalid_pattern_is_refused(cloud, bus, pattern, objection):
    with pytest.raises(ClientError, match=objection) as caught:
        put_rule(cloud, bus, EventPattern=json.dumps(pattern))
    assert caught.value.response["Error"]["Code"] == "InvalidEventPatternException"


# -- Targets that can't be reached ----------------------------------------------------------------


def test_an_event_for_a_missing_target_becomes_a_dead_letter(cloud, bus):
    queue, dead_letters = Queue(cloud, "reached"), Queue(cloud, "unreached")
    gone = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:gone"
    rule_arn = put_rule(
        cloud,
        bus,
        {"Arn": gone, "DeadLetterConfig": {"Arn": dead_letters.arn}},
        {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:no-such-queue"},
        {"Arn": queue.arn},
    )
    event_id = put_event(cloud, bus)
    assert queue.body()["id"] == event_id
    message = dead_letters.message()
    assert json.loads(message["Body"])["id"] == event_id
    attributes = attributes_of(message)
    assert attributes == {
        "RULE_ARN": rule_arn,
        "TARGET_ARN": gone,
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": attributes["ERROR_MESSAGE"],
    }
    assert "Function not found" in attributes["ERROR_MESSAGE"]


@pytest.mark.parametrize("detail", ['"a text"', "no JSON", "[1]", "1", "null", ' ["{"]'])
def test_a_detail_must_be_an_object(cloud, bus, detail):
    queue = Queue(cloud, f"malformed-{uuid.uuid4()}")
    put_rule(cloud, bus, {"Arn": queue.arn})
    good = {"Source": "shop", "DetailType": "Sold", "Detail": " {}", "EventBusName": bus}
    answer = cloud.client("events").put_events(Entries=[{**good, "Detail": detail}, good])
    assert answer["FailedEntryCount"] == 1
    malformed = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    assert answer["Entries"][0] == malformed
    assert queue.body()["detail"] == {}
    assert queue.receive() is None


def test_a_replay_ends_and_is_not_archived(cloud, bus):
    events = cloud.client("events")
    queue, other = (Queue(cloud, f"replayed-{uuid.uuid4()}") for _ in range(2))
    wanted = put_rule(cloud, bus, {"Arn": queue.arn})
    put_rule(cloud, bus, {"Arn": other.arn}, name="other")
    archive = events.create_archive(
        ArchiveName=bus[-20:], EventSourceArn=f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}"
    )["ArchiveArn"]
    put_event(cloud, bus)
    first = queue.body()
    other.message()

    def replay(name: str, begins: int, ends: int) -> None:
        now = datetime.now(UTC)
        events.start_replay(
            ReplayName=f"{name}-{bus[-8:]}",
            EventSourceArn=archive,
            EventStartTime=now + timedelta(hours=begins),
            EventEndTime=now + timedelta(hours=ends),
            Destination={
                "Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}",
                "FilterArns": [wanted],
            },
        )
        described = events.describe_replay(ReplayName=f"{name}-{bus[-8:]}")
        assert described["State"] == "COMPLETED"

    replay("of-today", -1, 1)
    again = queue.body()
    assert again == {**first, "id": again["id"], "replay-name": f"of-today-{bus[-8:]}"}
    replay("of-yesterday", -24, -1)
    assert queue.receive() is None
    assert other.receive() is None
    assert events.describe_archive(ArchiveName=bus[-20:])["EventCount"] == 1


# -- Schedules -----------------------------------------------------------------------------------


@pytest.fixture
def swept(cloud: LocalCloud) -> Iterator[Queue]:
    """The target of a rule "sweep" that fires every two minutes."""
    queue = Queue(cloud, "swept")
    events = cloud.client("events")
    events.put_rule(Name="sweep", ScheduleExpression="rate(2 minutes)")
    events.put_targets(Rule="sweep", Targets=[{"Id": "1", "Arn": queue.arn}])
    yield queue
    events.remove_targets(Rule="sweep", Ids=["1"])
    events.delete_rule(Name="sweep")


def test_a_schedule_fires_a_scheduled_event_and_matches_no_event(cloud, swept):
    put_event(cloud, "default")
    assert swept.receive() is None
    assert cloud.schedule.fire() == 1
    event = swept.body()
    assert event == {
        **expected(event["id"], event),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/sweep"],
        "detail": {},
    }


def test_one_schedule_can_be_fired_by_name(cloud, swept):
    assert cloud.schedule.fire("sweep") == 1
    assert swept.body()["detail-type"] == "Scheduled Event"
    assert cloud.schedule.fire("other") == 0


def test_a_schedule_fires_once_a_period(swept):
    schedule = Schedule()
    for seconds, fires in ((0, False), (119, False), (121, True), (239, False), (240, True)):
        schedule.tick(1000.0 + seconds)
        assert (swept.receive() is not None) == fires, f"after {seconds} seconds"


def test_a_restarted_schedule_fires_a_whole_period_later(swept):
    schedule = Schedule()
    schedule.tick(1000)
    schedule.restart()
    for seconds, fires in ((1121, False), (1240, False), (1241, True)):
        schedule.tick(seconds)
        assert (swept.receive() is not None) == fires, f"after {seconds} seconds"


def test_a_disabled_schedule_does_not_fire(cloud, swept):
    cloud.client("events").disable_rule(Name="sweep")
    schedule = Schedule()
    schedule.tick(0)
    schedule.tick(1000)
    assert schedule.fire() == 0
    assert swept.receive() is None


def test_a_cron_schedule_is_logged_and_never_fires(cloud, swept, caplog):
    cloud.client("events").put_rule(Name="sweep", ScheduleExpression="cron(0 12 * * ? *)")
    schedule = Schedule()
    for seconds in (0, 10, 10_000_000):
        schedule.tick(seconds)
    assert caplog.messages == ["sweep: cron(0 12 * * ? *) never fires here"]
    assert swept.receive() is None
