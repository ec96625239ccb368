"""What a deployment sets, read once from the environment into typed objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from acknowledger.errors import ConfigurationInvalid

# One row of IntakeTable has all those in flight.
MOST_JOBS_IN_FLIGHT = 200

_CATEGORY = "Source|Build|Deploy|Test|Invoke|Approval|Compute"
_ACTION_TYPE = re.compile(
    r"(?P<owner>Custom|ThirdParty)"
    rf"/(?P<category>{_CATEGORY})"
    r"/(?P<provider>[0-9A-Za-z_-]{1,35})"
    r"/(?P<version>[0-9A-Za-z_-]{1,9})"
)
_OLD_ORDER = re.compile(rf"({_CATEGORY})/(Custom|ThirdParty)/(.+)")
# As PollForJobs takes them.
_QUERY = re.compile(
    r"(?P<action_type>[^?]+)\?(?P<property>[^=,?]{1,50})=(?P<value>[0-9A-Za-z_-]{1,50})"
)


@dataclass(frozen=True)
class ActionType:
    """One action type, written `Owner/Category/Provider/Version` as in its ARN.

    Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ActionTypeId.html
    """

    owner: str
    category: str
    provider: str
    version: str

    @classmethod
    def parse(cls, text: str) -> ActionType:
        """Read `Custom/Build/MyTool/1`.

        Raises:
            ConfigurationInvalid: it is not of that form.
        """
        match = _ACTION_TYPE.fullmatch(text)
        if match is None:
            old = _OLD_ORDER.fullmatch(text)
            like = f"{old[2]}/{old[1]}/{old[3]}" if old else "Custom/Build/MyTool/1"
            raise ConfigurationInvalid(
                f"'{text}' is no action type: write Owner/Category/Provider/Version with the owner "
                "Custom or ThirdParty, a provider of 1 to 35 and a version of 1 to 9 letters, "
                f"digits, _ or -, for example {like}"
            )
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"{self.owner}/{self.category}/{self.provider}/{self.version}"

    def as_id(self) -> dict[str, str]:
        """The API's `ActionTypeId`: `{category, owner, provider, version}`."""
        return asdict(self)


@dataclass(frozen=True)
class Query:
    """The value that a queryable property must have in the jobs that a poll is for."""

    property: str
    value: str

    def as_param(self) -> dict[str, str]:
        """The API's `queryParam`."""
        return {self.property: self.value}


@dataclass(frozen=True)
class Timeouts:
    """How long a job may take, in whole seconds, by the names that the action's configuration has.

    AcknowledgeTimeoutSeconds: from being dispatched to Acknowledge's answer.
    HeartbeatTimeoutSeconds: between two signs of life from the worker.
    JobTimeoutSeconds: from being acknowledged to the worker's answer.
    """

    AcknowledgeTimeoutSeconds: int
    HeartbeatTimeoutSeconds: int
    JobTimeoutSeconds: int


@dataclass(frozen=True)
class IntakeConfig:
    """What Intake needs to know.

    queries: for each action type with a queryable property with which of its values it is polled.
    max_jobs_in_flight: for each action type how many of its jobs may be in flight, whatever they
        were polled with; 0 for no limit.
    """

    action_types: tuple[ActionType, ...]
    queries: Mapping[ActionType, tuple[Query, ...]]
    max_jobs_in_flight: Mapping[ActionType, int]
    state_machine_arn: str
    bus_name: str
    timeouts: Timeouts

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> IntakeConfig:
        """Read ACTION_TYPES, QUERIES and MAX_JOBS_IN_FLIGHT (comma-separated), STATE_MACHINE_ARN,
        BUS_NAME and three …_SECONDS.

        Raises:
            ConfigurationInvalid: naming the variable.
        """
        types = action_types(environ)
        return cls(
            action_types=tuple(dict.fromkeys(types)),
            queries=_queries(environ, types),
            max_jobs_in_flight=_limits(environ, types),
            state_machine_arn=required(environ, "STATE_MACHINE_ARN"),
            bus_name=required(environ, "BUS_NAME"),
            timeouts=Timeouts(
                AcknowledgeTimeoutSeconds=seconds(environ, "ACKNOWLEDGE_TIMEOUT_SECONDS"),
                HeartbeatTimeoutSeconds=seconds(environ, "HEARTBEAT_TIMEOUT_SECONDS"),
                JobTimeoutSeconds=seconds(environ, "JOB_TIMEOUT_SECONDS"),
            ),
        )


@dataclass(frozen=True)
class ReportConfig:
    """What Report needs to know.

    progress_interval_seconds: how often at most CodePipeline is told how far a job is.
    metrics_by_action_type: whether how jobs end is also counted for each action type.
    """

    progress_interval_seconds: int
    metrics_by_action_type: bool
    bus_name: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ReportConfig:
        """Read PROGRESS_INTERVAL_SECONDS, METRICS_BY_ACTION_TYPE and BUS_NAME.

        Raises:
            ConfigurationInvalid: naming the variable.
        """
        return cls(
            progress_interval_seconds=seconds(environ, "PROGRESS_INTERVAL_SECONDS"),
            metrics_by_action_type=required(environ, "METRICS_BY_ACTION_TYPE") == "true",
            bus_name=required(environ, "BUS_NAME"),
        )


@dataclass(frozen=True)
class StopConfig:
    """What Stop needs to know.

    continue_after_seconds: how long one job of CodePipeline's may be worked before it is continued
        by another.
    """

    action_types: frozenset[ActionType]
    bus_name: str
    continue_after_seconds: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> StopConfig:
        """Read ACTION_TYPES (comma-separated), BUS_NAME and CONTINUE_AFTER_SECONDS.

        Raises:
            ConfigurationInvalid: naming the variable.
        """
        return cls(
            action_types=frozenset(action_types(environ)),
            bus_name=required(environ, "BUS_NAME"),
            continue_after_seconds=seconds(environ, "CONTINUE_AFTER_SECONDS"),
        )


def action_types(environ: Mapping[str, str]) -> list[ActionType]:
    """The action types of ACTION_TYPES, as they stand there.

    Raises:
        ConfigurationInvalid: naming the variable.
    """
    names = [name.strip() for name in required(environ, "ACTION_TYPES").split(",")]
    return [ActionType.parse(name) for name in names]


def _queries(
    environ: Mapping[str, str], types: list[ActionType]
) -> dict[ActionType, tuple[Query, ...]]:
    found: dict[ActionType, tuple[Query, ...]] = {}
    for text in filter(None, (each.strip() for each in environ.get("QUERIES", "").split(","))):
        match = _QUERY.fullmatch(text)
        if match is None:
            raise ConfigurationInvalid(
                f"QUERIES: '{text}' is no query: write ActionType?Property=Value with a property "
                "of 1 to 50 characters and a value of 1 to 50 letters, digits, _ or -, for example "
                "Custom/Build/MyTool/1?ProjectName=MyProject"
            )
        action_type = ActionType.parse(match["action_type"])
        if action_type not in types or action_type.owner != "Custom":
            raise ConfigurationInvalid(
                f"QUERIES: {action_type} must be a custom action type that is in ACTION_TYPES"
            )
        query = Query(match["property"], match["value"])
        found[action_type] = tuple(dict.fromkeys((*found.get(action_type, ()), query)))
    return found


def _limits(environ: Mapping[str, str], types: list[ActionType]) -> dict[ActionType, int]:
    numbers = [number.strip() for number in required(environ, "MAX_JOBS_IN_FLIGHT").split(",")]
    if len(numbers) == 1:
        numbers *= len(types)
    if len(numbers) != len(types) or not all(
        re.fullmatch("[0-9]{1,3}", number) and int(number) <= MOST_JOBS_IN_FLIGHT
        for number in numbers
    ):
        raise ConfigurationInvalid(
            "MAX_JOBS_IN_FLIGHT must be one whole number for all action types or one for each, "
            f"from 1 to {MOST_JOBS_IN_FLIGHT}, or 0 for no limit"
        )
    return {action_type: int(number) for action_type, number in zip(types, numbers, strict=True)}


def required(environ: Mapping[str, str], name: str) -> str:
    """The value of an environment variable that must be there.

    Raises:
        ConfigurationInvalid: naming the variable.
    """
    value = environ.get(name, "")
    if not value:
        raise ConfigurationInvalid(f"the environment variable {name} is missing or empty")
    return value


def seconds(environ: Mapping[str, str], name: str) -> int:
    """A number of seconds in an environment variable.

    Raises:
        ConfigurationInvalid: naming the variable.
    """
    value = required(environ, name)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigurationInvalid(f"{name} must be a whole number of seconds, at least 1")
    return int(value)
