"""What a deployment sets, read once from the environment into typed objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from acknowledger.errors import ConfigurationInvalid

# The template's rule and IAM statements are made for as many.
MOST_ACTION_TYPES = 10

_ACTION_TYPE = re.compile(
    r"(?P<category>Source|Build|Deploy|Test|Invoke|Approval|Compute)"
    r"/(?P<owner>Custom|ThirdParty)"
    r"/(?P<provider>[0-9A-Za-z_-]{1,35})"
    r"/(?P<version>[0-9A-Za-z_-]{1,9})"
)


@dataclass(frozen=True)
class ActionType:
    """One action type, written `Category/Owner/Provider/Version`.

    Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ActionTypeId.html
    """

    category: str
    owner: str
    provider: str
    version: str

    @classmethod
    def parse(cls, text: str) -> ActionType:
        """Read `Build/Custom/MyProvider/1`.

        Raises:
            ConfigurationInvalid: it is not of that form.
        """
        match = _ACTION_TYPE.fullmatch(text)
        if match is None:
            raise ConfigurationInvalid(
                f"'{text}' is no action type: write Category/Owner/Provider/Version with the owner "
                "Custom or ThirdParty, a provider of 1 to 35 and a version of 1 to 9 letters, "
                "digits, _ or -, for example Build/Custom/MyProvider/1"
            )
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"{self.category}/{self.owner}/{self.provider}/{self.version}"

    def as_id(self) -> dict[str, str]:
        """The API's `ActionTypeId`: `{category, owner, provider, version}`."""
        return asdict(self)


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
    """What Intake needs to know."""

    action_types: tuple[ActionType, ...]
    state_machine_arn: str
    table_name: str
    timeouts: Timeouts

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> IntakeConfig:
        """Read ACTION_TYPES (comma-separated), STATE_MACHINE_ARN, TABLE_NAME, three …_SECONDS.

        Raises:
            ConfigurationInvalid: naming the variable.
        """
        names = [name.strip() for name in required(environ, "ACTION_TYPES").split(",")]
        if len(names) > MOST_ACTION_TYPES:
            raise ConfigurationInvalid(f"ACTION_TYPES must be {MOST_ACTION_TYPES} at most")
        return cls(
            action_types=tuple(dict.fromkeys(ActionType.parse(name) for name in names)),
            state_machine_arn=required(environ, "STATE_MACHINE_ARN"),
            table_name=required(environ, "TABLE_NAME"),
            timeouts=Timeouts(
                AcknowledgeTimeoutSeconds=_seconds(environ, "ACKNOWLEDGE_TIMEOUT_SECONDS"),
                HeartbeatTimeoutSeconds=_seconds(environ, "HEARTBEAT_TIMEOUT_SECONDS"),
                JobTimeoutSeconds=_seconds(environ, "JOB_TIMEOUT_SECONDS"),
            ),
        )


def required(environ: Mapping[str, str], name: str) -> str:
    """The value of an environment variable that must be there.

    Raises:
        ConfigurationInvalid: naming the variable.
    """
    value = environ.get(name, "")
    if not value:
        raise ConfigurationInvalid(f"the environment variable {name} is missing or empty")
    return value


def _seconds(environ: Mapping[str, str], name: str) -> int:
    value = required(environ, name)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigurationInvalid(f"{name} must be a whole number of seconds, at least 1")
    return int(value)
