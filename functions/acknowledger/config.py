"""The settings of a deployment, read once each from the environment, as typed values."""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from acknowledger.errors import ConfigurationInvalid

# One row of IntakeTable holds all jobs of a type in flight.
MOST_JOBS_IN_FLIGHT = 200

_CATEGORY = "Source|Build|Deploy|Test|Invoke|Approval|Compute"
_ACTION_TYPE = re.compile(
    r"(?P<owner>Custom|ThirdParty)"
    rf"/(?P<category>{_CATEGORY})"
    r"/(?P<provider>[0-9A-Za-z_-]{1,35})"
    r"/(?P<version>[0-9A-Za-z_-]{1,9})"
)
_OLD_ORDER = re.compile(rf"({_CATEGORY})/(Custom|ThirdParty)/(.+)")
# As PollForJobs accepts them.
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
    def parse(cls, text: str) -> Self:
        """Read `Custom/Build/MyTool/1`.

        Raises:
            ConfigurationInvalid: it is not of that form.
        """
        match = _ACTION_TYPE.fullmatch(text)
        if match is None:
            old = _OLD_ORDER.fullmatch(text)
            like = f"{old[2]}/{old[1]}/{old[3]}" if old else "Custom/Build/MyTool/1"
            raise ConfigurationInvalid(
                f"'{text}' is not an action type: write Owner/Category/Provider/Version with the "
                "owner Custom or ThirdParty, a provider of 1 to 35 and a version of 1 to 9 "
                f"letters, digits, _ or -, for example {like}"
            )
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"{self.owner}/{self.category}/{self.provider}/{self.version}"

    def as_id(self) -> dict[str, str]:
        """The API's `ActionTypeId`: `{category, owner, provider, version}`."""
        return asdict(self)


@dataclass(frozen=True)
class Query:
    """The value of a queryable property that a poll asks for."""

    property: str
    value: str


@dataclass(frozen=True)
class Timeouts:
    """How long a job may take, in whole seconds; an action's configuration has the same names.

    AcknowledgeTimeoutSeconds: from its dispatch to Acknowledge's answer.
    HeartbeatTimeoutSeconds: between two heartbeats of the worker.
    JobTimeoutSeconds: from its acknowledgment to the worker's answer.
    """

    AcknowledgeTimeoutSeconds: int
    HeartbeatTimeoutSeconds: int
    JobTimeoutSeconds: int


def _text(variable: str) -> functools.cached_property[str]:
    return functools.cached_property(lambda config: config.required(variable))


def _seconds(variable: str) -> functools.cached_property[int]:
    return functools.cached_property(lambda config: config.seconds(variable))


class Config:
    """The settings of a deployment.

    Each is read on first use, so that a wrong one affects only the code that needs it. It then
    raises ConfigurationInvalid, which names the variable.

    state_machine_arn: only Intake has it, since the state machine refers to Report.
    continue_after_seconds: how long the work may use one CodePipeline job before it is continued
        in another.
    progress_interval_seconds: the shortest time between two progress reports to CodePipeline.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    state_machine_arn = _text("STATE_MACHINE_ARN")
    job_table_name = _text("TABLE_NAME")
    intake_table_name = _text("INTAKE_TABLE_NAME")
    bus_name = _text("BUS_NAME")
    client_token_prefix = _text("CLIENT_TOKEN_PREFIX")
    continue_after_seconds = _seconds("CONTINUE_AFTER_SECONDS")
    progress_interval_seconds = _seconds("PROGRESS_INTERVAL_SECONDS")

    @functools.cached_property
    def serves_partners(self) -> bool:
        """Whether there is a path of client tokens."""
        return bool(self._environ.get("CLIENT_TOKEN_PREFIX"))

    @functools.cached_property
    def action_types(self) -> tuple[ActionType, ...]:
        """The action types to serve, once each."""
        return tuple(dict.fromkeys(self._listed_types()))

    @functools.cached_property
    def queries(self) -> Mapping[ActionType, tuple[Query, ...]]:
        """For each action type with a queryable property, the values to poll with."""
        found: dict[ActionType, tuple[Query, ...]] = {}
        given = (each.strip() for each in self._environ.get("QUERIES", "").split(","))
        for text in filter(None, given):
            match = _QUERY.fullmatch(text)
            if match is None:
                raise ConfigurationInvalid(
                    f"QUERIES: '{text}' is not a query: write ActionType?Property=Value with a "
                    "property of 1 to 50 characters and a value of 1 to 50 letters, digits, _ or "
                    "-, for example Custom/Build/MyTool/1?ProjectName=MyProject"
                )
            action_type = ActionType.parse(match["action_type"])
            query = Query(match["property"], match["value"])
            found[action_type] = tuple(dict.fromkeys((*found.get(action_type, ()), query)))
        return found

    @functools.cached_property
    def max_jobs_in_flight(self) -> Mapping[ActionType, int]:
        """For each action type, how many of its jobs may be in flight; 0 for no limit."""
        types = self._listed_types()
        numbers = [number.strip() for number in self.required("MAX_JOBS_IN_FLIGHT").split(",")]
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
        return dict(zip(types, map(int, numbers), strict=True))

    @functools.cached_property
    def timeouts(self) -> Timeouts:
        """The limits of the stack; a job may set lower ones."""
        return Timeouts(
            AcknowledgeTimeoutSeconds=self.seconds("ACKNOWLEDGE_TIMEOUT_SECONDS"),
            HeartbeatTimeoutSeconds=self.seconds("HEARTBEAT_TIMEOUT_SECONDS"),
            JobTimeoutSeconds=self.seconds("JOB_TIMEOUT_SECONDS"),
        )

    @functools.cached_property
    def metrics_by_action_type(self) -> bool:
        """Whether to count for each action type, too, how jobs end."""
        return self.required("METRICS_BY_ACTION_TYPE") == "true"

    def check(self) -> None:
        """Read every setting except the client tokens' prefix, which only partner jobs need."""
        for name, each in vars(Config).items():
            if isinstance(each, functools.cached_property) and name != "client_token_prefix":
                getattr(self, name)

    def required(self, variable: str) -> str:
        """The value of a required environment variable."""
        value = self._environ.get(variable, "")
        if not value:
            raise ConfigurationInvalid(f"the environment variable {variable} is missing or empty")
        return value

    def seconds(self, variable: str) -> int:
        """A number of seconds in an environment variable."""
        value = self.required(variable)
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise ConfigurationInvalid(f"{variable} must be a whole number of seconds, at least 1")
        return int(value)

    def _listed_types(self) -> list[ActionType]:
        names = self.required("ACTION_TYPES").split(",")
        return [ActionType.parse(name.strip()) for name in names]


@functools.cache
def config() -> Config:
    """The settings of this deployment."""
    return Config(os.environ)
