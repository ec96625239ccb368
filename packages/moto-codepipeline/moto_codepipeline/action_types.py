"""Action types: which actions a pipeline can have, and how they must be declared.

CreateCustomActionType registers custom types. Python code registers partners' types (owner
ThirdParty), since AWS has no public operation for that. A few of AWS's own types do something here,
and are checked; others are accepted without a check and succeed; undocumented types are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from .exceptions import InvalidActionDeclarationError, ValidationError

MASK = "****"
_MASKED = re.compile(r"\*+")
_PLACEHOLDER = re.compile(r"\{(ExternalExecutionId|Config:([^}]+))\}")
_QUERYABLE_VALUE = re.compile(r"[a-zA-Z0-9_-]{1,20}")
_AS_DECLARED = {
    "required": "optional",
    "secret": "noEcho",
    "thirdPartyConfigurationUrl": "configurationUrl",
}
_AS_REGISTERED = {theirs: ours for ours, theirs in _AS_DECLARED.items()}


class TypeKey(NamedTuple):
    """An action type's identity."""

    category: str
    owner: str
    provider: str
    version: str

    @classmethod
    def of(cls, type_id: dict[str, str]) -> TypeKey:
        """The key of an ``ActionTypeId``."""
        return cls(type_id["category"], type_id["owner"], type_id["provider"], type_id["version"])


S3_SOURCE = TypeKey("Source", "AWS", "S3", "1")
LAMBDA = TypeKey("Invoke", "AWS", "Lambda", "1")
APPROVAL = TypeKey("Approval", "AWS", "Manual", "1")


@dataclass
class ActionType:
    """A registered action type. ``definition`` is the API's ``ActionType``.

    ``more`` has what only an ``ActionTypeDeclaration`` has: executor, permissions and description.
    """

    key: TypeKey
    definition: dict[str, Any]
    tags: list[dict[str, str]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False

    @classmethod
    def registered(cls, request: dict[str, Any], owner: str) -> ActionType:
        """The type that a CreateCustomActionType request describes, for an owner.

        Raises ValidationError if properties or counts contradict each other (documented rules, own
        texts).
        """
        properties = request.get("configurationProperties", [])
        _check_queryable(properties)
        for side in ("inputArtifactDetails", "outputArtifactDetails"):
            if request[side]["minimumCount"] > request[side]["maximumCount"]:
                raise ValidationError(f"The minimumCount of {side} is larger than its maximumCount")
        key = TypeKey(request["category"], owner, request["provider"], request["version"])
        definition = {
            "id": key._asdict(),
            "settings": request.get("settings", {}),
            "actionConfigurationProperties": properties,
            "inputArtifactDetails": request["inputArtifactDetails"],
            "outputArtifactDetails": request["outputArtifactDetails"],
        }
        return cls(key, definition, request.get("tags", []))

    @classmethod
    def declared(cls, declaration: dict[str, Any]) -> ActionType:
        """A partner's type, from the API's ``ActionTypeDeclaration``. Raises ValidationError."""
        if declaration["executor"]["type"] != "JobWorker":
            raise ValidationError("This CodePipeline has only executors of type JobWorker")
        properties = [_renamed(each, _AS_REGISTERED) for each in declaration.get("properties", [])]
        settings = _renamed(declaration.get("urls", {}), _AS_REGISTERED)
        request = declaration | {"configurationProperties": properties, "settings": settings}
        made = cls.registered(request | declaration["id"], "ThirdParty")
        members = ("executor", "permissions", "description")
        made.more = {name: declaration[name] for name in members if name in declaration}
        return made

    def declaration(self) -> dict[str, Any]:
        """The API's ``ActionTypeDeclaration``."""
        shown = self.shown()
        properties = shown.pop("actionConfigurationProperties")
        return {
            "executor": {"type": "JobWorker", "configuration": {}},
            "properties": [_renamed(each, _AS_DECLARED) for each in properties],
            "urls": _renamed(shown.pop("settings"), _AS_DECLARED),
        } | (shown | self.more)

    @property
    def job_timeout(self) -> int | None:
        """How many seconds each job may take, if its partner declares that."""
        seconds: int | None = self.more.get("executor", {}).get("jobTimeout")
        return seconds

    def may_be_used_in(self, account_id: str) -> bool:
        """Whether an account's pipelines may have actions of this type."""
        allowed = self.more.get("permissions", {}).get("allowedAccounts", ["*"])
        return bool({account_id, "*"} & set(allowed))

    def may_be_polled_in(self, account_id: str) -> bool:
        """Whether an account may poll for jobs of this type."""
        configuration = self.more.get("executor", {}).get("configuration", {})
        worker = configuration.get("jobWorkerExecutorConfiguration", {})
        return account_id in worker.get("pollingAccounts", [account_id])

    @property
    def properties(self) -> list[dict[str, Any]]:
        """The configuration properties, as the API's ``ActionConfigurationProperty``."""
        properties: list[dict[str, Any]] = self.definition["actionConfigurationProperties"]
        return properties

    @property
    def queryable(self) -> str | None:
        """The name of the property that PollForJobs selects by, if there is one.

        A partner type never has one, because PollForThirdPartyJobs can't select jobs.
        """
        if self.key.owner != "Custom":
            return None
        return next((each["name"] for each in self.properties if each.get("queryable")), None)

    def shown(self) -> dict[str, Any]:
        """The definition as responses have it: without the properties' types (reported)."""
        properties = [
            {name: member for name, member in each.items() if name != "type"}
            for each in self.properties
        ]
        return self.definition | {"actionConfigurationProperties": properties}

    def masked(self, configuration: dict[str, str]) -> dict[str, str]:
        """``configuration`` with its secrets masked, as all but the job operations show it."""
        secret = {each["name"] for each in self.properties if each["secret"]}
        return {name: MASK if name in secret else text for name, text in configuration.items()}

    def url(
        self, template: str, configuration: dict[str, str], external_id: str | None
    ) -> str | None:
        """The settings' URL template, filled in; None if it or a placeholder's value is missing.

        Documented: ``{Config:name}`` stands for a property that is not secret, and in a type that
        is not AWS's own is required.
        """
        text: str | None = self.definition["settings"].get(template)
        if text is None:
            return None
        named = {e["name"] for e in self.properties if e["required"] or self.key.owner == "AWS"}
        plain = configuration.items() & self.masked(configuration).items()
        values = {f"Config:{name}": value for name, value in plain if name in named}
        if external_id is not None:
            values["ExternalExecutionId"] = external_id
        if any(match[1] not in values for match in _PLACEHOLDER.finditer(text)):
            return None
        return _PLACEHOLDER.sub(lambda match: values[match[1]], text)

    def check(self, action: dict[str, Any]) -> None:
        """Raise InvalidActionDeclarationError unless ``action`` is valid for this type.

        Documented: unknown keys, missing required keys and wrong artifact counts are refused. The
        texts for keys are recorded, that for too few artifacts is reported by users.
        """
        self._check_configuration(action["name"], action.get("configuration", {}))
        for side, what in (("inputArtifacts", "input"), ("outputArtifacts", "output")):
            count, limits = len(action.get(side, [])), self.definition[f"{what}ArtifactDetails"]
            problem = f"Action {action['name']} declares {count} {what} artifacts which is"
            if count < limits["minimumCount"]:
                raise InvalidActionDeclarationError(
                    f"{problem} less than the minimum count ({limits['minimumCount']})"
                )
            if count > limits["maximumCount"]:
                raise InvalidActionDeclarationError(
                    f"{problem} more than the maximum count ({limits['maximumCount']})"
                )

    def _check_configuration(self, action: str, configuration: dict[str, str]) -> None:
        problem = f"Action configuration for action '{action}'"
        known = {each["name"] for each in self.properties}
        for name in configuration:
            if name not in known:
                raise InvalidActionDeclarationError(
                    f"{problem} contains unknown configuration '{name}'"
                )
        for each in self.properties:
            if each["required"] and each["name"] not in configuration:
                raise InvalidActionDeclarationError(
                    f"{problem} is missing required configuration '{each['name']}'"
                )
        queryable = self.queryable
        if queryable and not _QUERYABLE_VALUE.fullmatch(configuration[queryable]):
            raise InvalidActionDeclarationError(
                f"{problem} has a value for the queryable configuration '{queryable}' that is "
                "longer than 20 characters, or has characters other than letters, digits, '_' "
                "and '-'"
            )


def _renamed(members: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Members under their other names. ``required`` and ``optional`` are opposites."""
    return {
        names.get(name, name): not each if name in ("required", "optional") else each
        for name, each in members.items()
    }


def _check_queryable(properties: list[dict[str, Any]]) -> None:
    queryable = [each for each in properties if each.get("queryable")]
    if len(queryable) > 1:
        raise ValidationError("An action type can have only one queryable configuration property")
    for each in queryable:
        if each["secret"] or not each["required"]:
            raise ValidationError(
                f"The queryable configuration property '{each['name']}' must be required, "
                "and must not be secret"
            )


def keep_secrets(
    new: dict[str, Any], old: dict[str, Any] | None, types: dict[TypeKey, ActionType]
) -> None:
    """Replace the mask of a secret in an updated pipeline with its present value (documented).

    Raises InvalidActionDeclarationError for a mask without a present value (reported).
    """
    present = {(stage, action["name"]): action for stage, action in actions_of(old)} if old else {}
    for stage, action in actions_of(new):
        kind = types.get(TypeKey.of(action["actionTypeId"]))
        before = present.get((stage, action["name"]), {}).get("configuration", {})
        configuration = action.get("configuration", {})
        for each in kind.properties if kind else []:
            name = each["name"]
            if not each["secret"] or not _MASKED.fullmatch(configuration.get(name, "")):
                continue
            if name not in before:
                raise InvalidActionDeclarationError(
                    f"Action configuration for action '{action['name']}' has a mask for the secret "
                    f"'{name}', which has no value yet"
                )
            configuration[name] = before[name]


def actions_of(pipeline: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stage name and declaration of each action of a pipeline."""
    for stage in pipeline["stages"]:
        for action in stage["actions"]:
            yield stage["name"], action


_SOURCE = "PollForSourceChanges AllowOverrideForS3ObjectKey"
_APPROVAL = "CustomData NotificationArn ExternalEntityLink IsSummaryRequired"


@lru_cache
def aws_types(region: str) -> dict[TypeKey, ActionType]:
    """AWS's own types that do something here. What they have is documented, their URLs recorded."""
    site, home = "https://console.aws.amazon.com", f"home?region={region}#"
    function = f"{site}/lambda/{home}/functions/{{Config:FunctionName}}"
    log = f"{site}/cloudwatch/{home}logStream:group=%252Faws%252Flambda%252F{{ExternalExecutionId}}"
    types = (
        _aws(S3_SOURCE, (0, 1, 1), "S3Bucket S3ObjectKey", _SOURCE, f"{site}/s3/{home}"),
        _aws(LAMBDA, (5, 0, 5), "FunctionName", "UserParameters", function, log),
        _aws(APPROVAL, (0, 0, 0), "", _APPROVAL, "{Config:ExternalEntityLink}"),
    )
    return {each.key: each for each in types}


def _aws(key: TypeKey, sides: tuple[int, int, int], must: str, may: str, *urls: str) -> ActionType:
    inputs, fewest, most = sides
    definition = {
        "id": key._asdict(),
        "settings": dict(zip(("entityUrlTemplate", "executionUrlTemplate"), urls, strict=False)),
        "actionConfigurationProperties": [
            {"name": name, "required": name in must.split(), "key": True, "secret": False}
            for name in (*must.split(), *may.split())
        ],
        "inputArtifactDetails": {"minimumCount": 0, "maximumCount": inputs},
        "outputArtifactDetails": {"minimumCount": fewest, "maximumCount": most},
    }
    return ActionType(key, definition)


IDLE_TYPES = {
    TypeKey(category, "AWS", provider, "1")
    for category, providers in {
        "Source": "CodeCommit CodeStarSourceConnection ECR",
        "Build": "CodeBuild ECRBuildAndPublish",
        "Test": "CodeBuild DeviceFarm",
        "Deploy": "AppConfig CloudFormation CloudFormationStackInstances CloudFormationStackSet "
        "CodeDeploy CodeDeployToECS EC2 ECS EKS ElasticBeanstalk Lambda S3 ServiceCatalog",
        "Invoke": "CodePipeline InspectorScan StepFunctions",
    }.items()
    for provider in providers.split()
}
"""AWS's own types that succeed here without doing anything."""
