"""EventBridge: delivers events to the targets of rules, and fires schedules.

moto matches events with rules and supports a few kinds of targets. This replaces the delivery.
Lambda functions (invoked asynchronously), SQS queues, SNS topics, event buses, log groups and state
machines get the event as EventBridge writes it, changed by the target's `Input`, `InputPath` or
`InputTransformer`. docs/local.md lists where AWS differs.
"""

import copy
import json
import logging
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from jsonpath_ng.ext.parser import parse as parse_json_path
from moto.awslambda.utils import get_backend as get_lambda_backend
from moto.core.exceptions import ServiceException
from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import ReplayState, Rule, events_backends
from moto.logs.models import logs_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.responses import get_backend as get_stepfunctions_backend
from moto.utilities.arns import parse_arn
from werkzeug.exceptions import HTTPException

from local.aws import functions

logger = logging.getLogger(__name__)

Event = dict[str, Any]

SECONDS = {"minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}
RATE = re.compile(r"rate\((?P<count>\d+) (?P<unit>minute|hour|day)s?\)")
MATCHERS = {
    "anything-but",
    "cidr",
    "equals-ignore-case",
    "exists",
    "numeric",
    "prefix",
    "suffix",
    "wildcard",
}
PLACEHOLDER = re.compile(r"<([\w.-]+)>")

moto_send_to_targets: Callable[..., None] = Rule.send_to_targets


# -- Events ---------------------------------------------------------------------------------------


def as_delivered(event: Event) -> Event:
    """Return an event with exactly the members that EventBridge delivers, and its time as text."""
    when = event["time"]
    if isinstance(when, int | float):
        when = timestamp(when)
    delivered = {
        "version": "0",
        "id": event["id"],
        "detail-type": event["detail-type"],
        "source": event["source"],
        "account": event["account"],
        "time": when,
        "region": event["region"],
        "resources": event["resources"] or [],
        "detail": event["detail"],
    }
    if name := event.get("replay-name"):
        delivered["replay-name"] = name
    return delivered


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def target_input(target: dict[str, Any], rule: Any, event: Event) -> str:
    """Return the JSON that a target gets for an event."""
    if target.get("Input"):
        return str(target["Input"])
    if path := target.get("InputPath"):
        return json.dumps(select(path, event))
    if transformer := target.get("InputTransformer"):
        return transform(transformer, rule, event)
    return json.dumps(event)


def select(path: str, event: Event) -> Any:
    """Return the first value at a JSON path, or None."""
    found = parse_json_path(path).find(event)
    return found[0].value if found else None


def transform(transformer: dict[str, Any], rule: Any, event: Event) -> str:
    """Fill in an input template.

    As in EventBridge, a placeholder inside a JSON string becomes part of that string, and any other
    placeholder becomes a JSON value; if its path finds nothing, it becomes "" or null.
    """
    values = {
        name: select(path, event) for name, path in transformer.get("InputPathsMap", {}).items()
    }
    values |= {
        "aws.events.rule-arn": rule.arn,
        "aws.events.rule-name": rule.name,
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
        "aws.events.event.ingestion-time": timestamp(time.time()),
    }
    template = transformer["InputTemplate"]
    result, end, in_string = [], 0, False
    for match in PLACEHOLDER.finditer(template):
        before = template[end : match.start()]
        in_string ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        result.append(before)
        end = match.end()
        name = match[1]
        if name not in values:
            result.append(match[0])
        elif not in_string:
            result.append(json.dumps(values[name]))
        else:
            value = values[name]
            text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
            result.append(json.dumps(text)[1:-1])
    return "".join([*result, template[end:]])


# -- Delivery -------------------------------------------------------------------------------------


def send_to_targets(rule: Any, event: Event) -> None:
    """Deliver an event to every target of a rule, even if one of them fails."""
    for target in list(rule.targets):
        try:
            deliver(rule, target, event)
        except (ServiceException, HTTPException, LookupError) as error:
            logger.warning("%s: can't reach %s: %s", rule.name, target["Arn"], error)
            dead_letter(rule, target, event, "NO_RESOURCE", error)
        except Exception as error:  # a failing target must not fail the caller
            logger.exception("%s: %s failed", rule.name, target["Arn"])
            dead_letter(rule, target, event, "INTERNAL_ERROR", error)


def deliver(rule: Any, target: dict[str, Any], event: Event) -> None:
    arn = parse_arn(target["Arn"])
    kind = (arn.service, arn.resource_type)
    if kind == ("events", "event-bus"):
        bus = events_backends[arn.account][arn.region].describe_event_bus(arn.resource_id)
        for other_rule in list(bus.rules.values()):
            offer(other_rule, event)
        return
    body = target_input(target, rule, event)
    if kind[0] == "lambda":
        function = get_lambda_backend(arn.account, arn.region).get_function(target["Arn"])
        functions.runner().invoke_async(function, body)
    elif kind[0] == "sqs":
        sqs_backends[arn.account][arn.region].send_message(
            arn.resource_id, body, group_id=target.get("SqsParameters", {}).get("MessageGroupId")
        )
    elif kind[0] == "sns":
        sns_backends[arn.account][arn.region].publish(message=body, arn=target["Arn"])
    elif kind == ("states", "stateMachine"):
        get_stepfunctions_backend(arn.account, arn.region).start_execution(
            target["Arn"], str(uuid.uuid4()), body
        )
    elif kind == ("logs", "log-group"):
        group, stream = arn.resource_id.removesuffix(":*"), str(uuid.uuid4())
        logs = logs_backends[arn.account][arn.region]
        logs.create_log_stream(group, stream)
        message = {"timestamp": int(time.time() * 1000), "message": body}
        logs.put_log_events(group, stream, [message])
    elif kind[0] == "events" and not arn.resource_type:  # an archive
        only_this = copy.copy(rule)
        only_this.targets = [target]
        moto_send_to_targets(only_this, {**event, "ingestion-time": time.time()})
    else:
        raise LookupError(f"{arn.service} {arn.resource_type} is not supported as a target")


def dead_letter(
    rule: Any, target: dict[str, Any], event: Event, code: str, error: Exception
) -> None:
    """Send an event that could not be delivered to the target's dead-letter queue."""
    queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
    if queue_arn:
        attributes: dict[str, str | int] = {
            "RULE_ARN": rule.arn,
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": str(error) or type(error).__name__,
        }
        functions.send_to_queue(queue_arn, target_input(target, rule, event), attributes)


def offer(rule: Any, event: Event) -> None:
    """Deliver an event if the rule is enabled and its pattern matches.

    A rule without a pattern is a schedule, which matches no event; in moto it matches every event.
    """
    kind = {name: event[name] for name in ("source", "detail-type")}
    if may_match(rule, **kind) and rule.event_pattern.matches_event(event):
        send_to_targets(rule, event)


def check_pattern(_: Any, pattern: Any) -> None:
    """Check an event pattern. Raises InvalidEventPatternException."""
    if not isinstance(pattern, dict):
        raise InvalidEventPatternException("Filter is not an object")
    for name, value in pattern.items():
        if not isinstance(value, dict | list):
            raise InvalidEventPatternException(f"'{name}' must be an object or an array")
        if not value:
            kind = "arrays" if isinstance(value, list) else "objects"
            raise InvalidEventPatternException(f"Empty {kind} are not allowed")
        if isinstance(value, dict):
            check_pattern(_, value)
        elif name == "$or":
            for alternative in value:
                check_pattern(_, alternative)
        else:
            check_matchers(value)


def check_matchers(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, list):
            raise InvalidEventPatternException(
                "Match value must be String, number, true, false, or null"
            )
        if isinstance(value, dict):
            if len(value) != 1:
                raise InvalidEventPatternException("Only one key allowed in match expression")
            [kind] = value
            if kind not in MATCHERS:
                raise InvalidEventPatternException(f"Unrecognized match type {kind}")


def may_match(rule: Any, **members: str) -> bool:
    """Return whether a rule may match events with these members."""
    pattern = rule.event_pattern.get_pattern()
    return (
        rule.state != "DISABLED"
        and bool(pattern)
        and all(
            rule.event_pattern._does_item_match_filters(value, pattern[name])
            for name, value in members.items()
            if name in pattern
        )
    )


def put_from_service(
    account_id: str,
    region_name: str,
    *,
    source: str,
    detail_type: str,
    resources: list[str],
    detail: Callable[[], dict[str, Any]],
) -> None:
    """Put an event of an AWS service on the default bus.

    The detail is computed only if a rule may match the event.
    """
    bus = events_backends[account_id][region_name].event_buses["default"]
    kind = {"source": source, "detail-type": detail_type}
    rules = [rule for rule in bus.rules.values() if may_match(rule, **kind)]
    if not rules:
        return
    event = as_delivered(
        {
            **kind,
            "id": str(uuid.uuid4()),
            "account": account_id,
            "time": time.time(),
            "region": region_name,
            "resources": resources,
            "detail": detail(),
        }
    )
    for rule in rules:
        offer(rule, event)


# -- Schedules ------------------------------------------------------------------------------------


class Schedule:
    """Fires the rules that have a schedule."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def restart(self) -> None:
        """Let each schedule fire in a whole period at the earliest."""
        self._due = {}

    def tick(self, now: float) -> None:
        """Fire the schedules that are due."""
        due, rules = self._due, {rule.arn: rule for rule in scheduled_rules()}
        for arn in [arn for arn in due if arn not in rules]:
            del due[arn]
        for arn, rule in rules.items():
            if arn not in due:
                due[arn] = now + self._first(rule)
            elif due[arn] <= now:
                due[arn] += period(rule.scheduled_expression) or 0
                if rule.state != "DISABLED":
                    self._fire(rule)

    @staticmethod
    def _first(rule: Any) -> float:
        seconds = period(rule.scheduled_expression)
        if seconds is None:
            logger.warning("%s: %s never fires here", rule.name, rule.scheduled_expression)
            return float("inf")
        return seconds

    def fire(self, name: str | None = None) -> int:
        """Fire all enabled schedules now, or that of one rule; return how many fired."""
        rules = [rule for rule in scheduled_rules() if name in (None, rule.name, rule.arn)]
        enabled = [rule for rule in rules if rule.state != "DISABLED"]
        for rule in enabled:
            self._fire(rule)
        return len(enabled)

    @staticmethod
    def _fire(rule: Any) -> None:
        event = {
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": rule.account_id,
            "time": time.time(),
            "region": rule.region_name,
            "resources": [rule.arn],
            "detail": {},
        }
        send_to_targets(rule, as_delivered(event))


def scheduled_rules() -> list[Any]:
    """Return every rule with a schedule, in all accounts and regions in use."""
    return [
        rule
        for account in list(events_backends.values())
        for backend in list(account.values())
        for bus in list(backend.event_buses.values())
        for rule in list(bus.rules.values())
        if rule.scheduled_expression
    ]


def period(expression: str) -> float | None:
    """Return the seconds between two firings; None if the expression is not a rate."""
    match = RATE.fullmatch(expression)
    return int(match["count"]) * SECONDS[match["unit"]] if match else None


# -- Replacements in moto -------------------------------------------------------------------------


class Rules(OrderedDict[str, Any]):
    """The rules of a bus, which may be changed while an event is being delivered."""

    def values(self) -> Any:
        return list(super().values())


def send(rule: Any, event: Event, **_: bool) -> None:
    offer(rule, as_delivered(event))


def put_events(moto_put: Callable[..., Any]) -> Callable[..., Any]:
    """Make moto refuse a Detail that is JSON but not an object."""

    def put(backend: Any, entries: list[dict[str, Any]]) -> Any:
        return moto_put(backend, [entry_for_moto(entry) for entry in entries])

    return put


def entry_for_moto(entry: dict[str, Any]) -> dict[str, Any]:
    detail = entry.get("Detail")
    if detail and not detail.lstrip().startswith("{"):
        return {**entry, "Detail": "no object"}
    return entry


def replay_events(replay: Any, archive: Any) -> None:
    """Offer the archived events of the replay's time range to the replay's rules."""
    destination = replay.destination
    backend = events_backends[replay.account_id][replay.region]
    bus = backend.describe_event_bus(destination["Arn"].rpartition("/")[2])
    wanted = destination.get("FilterArns")
    rules = [rule for rule in bus.rules.values() if not wanted or rule.arn in wanted]
    for event in list(archive.events):
        at = datetime.fromisoformat(event["time"]).timestamp()
        if replay.event_start_time <= at < replay.event_end_time:
            again = {**event, "id": str(uuid.uuid4()), "replay-name": replay.name}
            for rule in rules:
                offer(rule, as_delivered(again))
    replay.state = ReplayState.COMPLETED
    replay.end_time = time.time()


def init_bus(moto_init: Callable[..., None]) -> Callable[..., None]:
    def init(bus: Any, *args: Any, **kwargs: Any) -> None:
        moto_init(bus, *args, **kwargs)
        bus.rules = Rules()

    return init
