"""CloudWatch metrics of functions' output and of the services, in moto's CloudWatch.

moto stores metric data, but its services put none. This puts, with AWS's names, dimensions and
units:

- the metrics in every line that a function prints in the embedded metric format:
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
- AWS/Lambda (FunctionName): Invocations, Errors, Throttles, Duration:
  https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
- AWS/States (StateMachineArn): ExecutionsStarted, ExecutionsSucceeded, ExecutionsFailed,
  ExecutionsAborted, ExecutionsTimedOut, ExecutionTime:
  https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
- AWS/SQS (QueueName), every few seconds: ApproximateNumberOfMessagesVisible and
  ApproximateAgeOfOldestMessage:
  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html

Where AWS differs, apart from docs/local.md: data is available at once, with the time to which it
refers; the services' metrics have only the dimensions above; an empty queue has an age of 0;
`StorageResolution` has no effect. A document in the embedded metric format that breaks a rule of
the format yields no metrics, and no error; so does one with text before or after it.
"""

import functools
import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from moto.cloudwatch.models import CloudWatchBackend, Statistics, cloudwatch_backends
from moto.sqs.models import sqs_backends
from pydantic import BaseModel, Field, TypeAdapter

logger = logging.getLogger(__name__)

#: One or more values of a metric, in the shape of PutMetricData.
Datum = dict[str, Any]

#: The units of the services' metrics that are not counts.
SERVICE_UNITS = {
    "ApproximateAgeOfOldestMessage": "Seconds",
    "Duration": "Milliseconds",
    "ExecutionTime": "Milliseconds",
}

#: How many seconds a timestamp may lie in the past and in the future.
OLDEST = 14 * 24 * 60 * 60
NEWEST = 2 * 60 * 60

SAMPLE_SECONDS = 5.0
KEPT = timedelta(hours=3)
MAX_KEPT = 100_000

moto_get_metric_statistics: Any = CloudWatchBackend.get_metric_statistics
moto_get_metric_data: Any = CloudWatchBackend.get_metric_data
moto_statistic: Any = Statistics.get_statistics_for_type


# -- Putting data ---------------------------------------------------------------------------------


def harmless(hook: Callable[..., None]) -> Callable[..., None]:
    """Make a hook log its errors instead of raising them."""

    @functools.wraps(hook)
    def tell(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except Exception:
            logger.exception("no metrics from %s", hook.__name__)

    return tell


def put(
    account_id: str,
    region: str,
    namespace: str,
    dimensions: dict[str, str],
    values: dict[str, float],
    *,
    ago: float = 0,
) -> None:
    """Put one value for each of a service's metrics, with a time some seconds ago."""
    when = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=ago)
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    cloudwatch_backends[account_id][region].put_metric_data(
        namespace,
        [
            {
                "MetricName": name,
                "Dimensions": named,
                "Unit": SERVICE_UNITS.get(name, "Count"),
                "Timestamp": when,
                "Value": value,
            }
            for name, value in values.items()
        ],
    )


@harmless
def of_function(function: Any, *, ago: float = 0, **values: float) -> None:
    """Put metrics of a Lambda function, with a time some seconds ago."""
    dimensions = {"FunctionName": str(function.function_name)}
    put(function.account_id, function.region, "AWS/Lambda", dimensions, values, ago=ago)


@harmless
def of_invocation(function: Any, seconds: float, *, failed: bool) -> None:
    """Put the metrics of an invocation that has just ended, with the time of its start."""
    of_function(
        function,
        ago=seconds,
        Invocations=1,
        Errors=int(failed),
        Throttles=0,
        Duration=seconds * 1000,
    )


@harmless
def of_printed(function: Any, lines: Iterable[str]) -> None:
    """Put the metrics in the lines that a function has printed."""
    for line in lines:
        for namespace, datum in embedded(line):
            backend = cloudwatch_backends[function.account_id][function.region]
            backend.put_metric_data(namespace, [datum])


@harmless
def of_execution(execution: Any, **values: float) -> None:
    """Put metrics of an execution's state machine."""
    dimensions = {"StateMachineArn": str(execution.state_machine.arn)}
    put(execution.account_id, execution.region_name, "AWS/States", dimensions, values)


@harmless
def of_end(execution: Any) -> None:
    """Put the metrics of an ended execution: how it ended, and how long it took."""
    how = {
        "SUCCEEDED": "ExecutionsSucceeded",
        "FAILED": "ExecutionsFailed",
        "ABORTED": "ExecutionsAborted",
        "TIMED_OUT": "ExecutionsTimedOut",
    }[str(execution.status)]
    took = execution.stop_date - execution.start_date
    of_execution(execution, **{how: 1, "ExecutionTime": took.total_seconds() * 1000})


@harmless
def of_queue(queue: Any, **values: float) -> None:
    """Put metrics of an SQS queue."""
    put(queue.account_id, queue.region, "AWS/SQS", {"QueueName": str(queue.name)}, values)


# -- The embedded metric format -------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1, max_length=255)]
Number = Annotated[float, Field(strict=True, ge=-(2**360), le=2**360)]
DIMENSION_VALUE = TypeAdapter[str](Annotated[str, Field(min_length=1, max_length=1024)])
VALUES = TypeAdapter[list[float]](Annotated[list[Number], Field(max_length=100)])
UNIT = (
    "^(Seconds|Microseconds|Milliseconds|Percent|None|"
    "(Bits|Bytes|Count|(Kilo|Mega|Giga|Tera)(bits|bytes))(/Second)?)$"
)


class Metric(BaseModel):
    Name: Text
    Unit: Annotated[str, Field(pattern=UNIT)] = "None"
    StorageResolution: Literal[1, 60] = 60


class Directive(BaseModel):
    Namespace: Text
    Dimensions: Annotated[list[Annotated[list[Text], Field(max_length=30)]], Field(min_length=1)]
    Metrics: Annotated[list[Metric], Field(max_length=100)]


class Metadata(BaseModel):
    Timestamp: Number
    CloudWatchMetrics: list[Directive]


def embedded(line: str) -> list[tuple[str, Datum]]:
    """Return the namespaces and data in a line.

    There are none if the line is not a valid document in the embedded metric format.
    """
    if '"_aws"' not in line:
        return []
    try:
        document = json.loads(line)
        return list(extracted(document, Metadata.model_validate(document["_aws"])))
    except (KeyError, RecursionError, TypeError, ValueError):
        return []


def extracted(document: dict[str, Any], metadata: Metadata) -> Iterator[tuple[str, Datum]]:
    """Yield the namespace and data of every metric and dimension set. Raises ValueError."""
    seconds = metadata.Timestamp / 1000
    if not -NEWEST <= time.time() - seconds <= OLDEST:
        raise ValueError("Timestamp is out of range")
    for directive in metadata.CloudWatchMetrics:
        dimension_sets = [
            [
                {"Name": key, "Value": DIMENSION_VALUE.validate_python(document.get(key))}
                for key in keys
            ]
            for keys in directive.Dimensions
        ]
        for metric in directive.Metrics:
            value = document.get(metric.Name)
            found = VALUES.validate_python(value if isinstance(value, list) else [value])
            for dimensions in dimension_sets if found else ():
                yield (
                    directive.Namespace,
                    {
                        "MetricName": metric.Name,
                        "Dimensions": dimensions,
                        "Unit": metric.Unit,
                        "Timestamp": datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None),
                        "Values": found,
                    },
                )


# -- Sampling -------------------------------------------------------------------------------------


def sample_queues() -> None:
    """Put the current metrics of every queue, in all accounts and regions in use."""
    now = time.time() * 1000
    for account in list(sqs_backends.values()):
        for backend in list(account.values()):
            for queue in list(backend.queues.values()):
                messages: list[Any] = list(queue._messages)
                visible = [one for one in messages if now >= max(one.visible_at, one.delayed_until)]
                oldest = min((one.sent_timestamp or now for one in messages), default=now)
                of_queue(
                    queue,
                    ApproximateNumberOfMessagesVisible=len(visible),
                    ApproximateAgeOfOldestMessage=max(0, now - oldest) / 1000,
                )


def forget() -> None:
    """Drop data that is too old or too much. The oldest data comes first."""
    oldest = datetime.now(UTC).replace(tzinfo=None) - KEPT
    for account in list(cloudwatch_backends.values()):
        for backend in list(account.values()):
            data = backend.metric_data
            end = max(0, len(data) - MAX_KEPT)
            while end < len(data) and data[end].timestamp < oldest:
                end += 1
            del data[:end]  # in one step, since other threads append to it


class Sampler:
    """A tick that samples queues and drops old data, at its first call and then every 5 seconds."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + SAMPLE_SECONDS
            sample_queues()
            forget()


# -- Replacements in moto -------------------------------------------------------------------------


def identity(datum: Any) -> tuple[str, str, frozenset[tuple[str, str]]]:
    """Return what identifies a metric: its namespace, name and dimensions."""
    found = frozenset((one.name, one.value) for one in datum.dimensions)
    return datum.namespace, datum.name, found


def only(
    backend: Any, namespace: str, name: str, dimensions: Iterable[dict[str, str]]
) -> SimpleNamespace:
    """Return a backend for moto's queries that has the data of one metric only."""
    metric = namespace, name, frozenset((one["Name"], one["Value"]) for one in dimensions)
    data = [
        one
        for one in backend.get_all_metrics()
        if one.name == name and one.namespace == namespace and identity(one) == metric
    ]
    return SimpleNamespace(get_all_metrics=lambda: data)


def get_metric_statistics(
    self: Any,
    namespace: str,
    metric_name: str,
    *args: Any,
    dimensions: list[dict[str, str]],
    **settings: Any,
) -> Any:
    view = only(self, namespace, metric_name, dimensions)
    return moto_get_metric_statistics(
        view, namespace, metric_name, *args, dimensions=[], **settings
    )


def get_metric_data(self: Any, queries: list[dict[str, Any]], **settings: Any) -> Any:
    results: dict[str, Any] = {}
    # The only metric math that moto supports is the id of another query.
    for query in sorted(queries, key=lambda query: "MetricStat" not in query):
        name = query["Id"]
        if stat := query.get("MetricStat"):
            metric = stat["Metric"]
            dimensions = metric.get("Dimensions", [])
            view = only(self, metric["Namespace"], metric["MetricName"], dimensions)
            alone = {**query, "MetricStat": {**stat, "Metric": {**metric, "Dimensions": []}}}
            [found] = moto_get_metric_data(view, [alone | {"ReturnData": True}], **settings)
        elif of_other := results.get(query["Expression"]):
            found = of_other | {"id": name, "label": query.get("Label") or name}
        else:
            [found] = moto_get_metric_data(self, [query], **settings)
        results[name] = found
    return [results[query["Id"]] for query in queries if query.get("ReturnData", True)]


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value such that so many percent of the values don't exceed it."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def statistic(self: Any, stat: str) -> Any:
    if re.fullmatch(r"p\d{1,2}(\.\d+)?|p100", stat):
        return percentile(self.metric_single_values_list, float(stat[1:]))
    return moto_statistic(self, stat)


def get_filtered_metrics(
    self: Any, metric_name: str, namespace: str, dimensions: list[dict[str, str]]
) -> list[Any]:
    """List each metric that matches a name, a namespace and some dimensions, once."""
    found: dict[Any, Any] = {}
    for datum in self.get_all_metrics():
        if datum.filter(namespace=namespace, name=metric_name, dimensions=dimensions):
            found.setdefault(identity(datum), datum)
    return list(found.values())
