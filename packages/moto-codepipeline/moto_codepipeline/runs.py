"""A pipeline execution and its stages, actions, artifacts and variables, shown in the API's shapes.

Statuses are the API's; a stage or an action that has not begun has none. The API has no Cancelled
for actions: one whose pipeline was updated is Abandoned here, and CANCELED in its event.
"""

from __future__ import annotations

import re
import secrets
import string
import uuid
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from moto.codepipeline.models import PipelineExecution

from .action_types import APPROVAL, LAMBDA, ActionType, TypeKey
from .traffic import SUPERSEDING, Traffic

IN_PROGRESS, SUCCEEDED, FAILED = "InProgress", "Succeeded", "Failed"
STOPPING, STOPPED, ABANDONED = "Stopping", "Stopped", "Abandoned"
CANCELLED, SUPERSEDED = "Cancelled", "Superseded"
UNDER_WAY = (IN_PROGRESS, STOPPING)

VARIABLE = re.compile(r"#\{([A-Za-z0-9@\-_]+)\.([A-Za-z0-9@\-_]+)\}")
REFERENCE = re.compile(r"#\{([^}]*)\}")
_KEY_CHARACTERS = string.ascii_letters + string.digits


def without_none(**members: Any) -> dict[str, Any]:
    """Only the members that have a value."""
    return {name: member for name, member in members.items() if member is not None}


class ActionFailedError(Exception):
    """An action of AWS's own fails: its ``errorDetails``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Artifact:
    """A named place in the artifact store.

    The object key is ``<pipeline, 20 characters>/<artifact, 10>/<7 random ones>`` (truncation
    documented, form recorded), with ``.zip`` for the output of a source action.
    """

    name: str
    bucket: str
    key: str
    revision: str | None = None

    @classmethod
    def placed(cls, name: str, pipeline: str, bucket: str, suffix: str) -> Artifact:
        """An artifact with a new key."""
        unique = "".join(secrets.choice(_KEY_CHARACTERS) for _ in range(7))
        return cls(name, bucket, f"{pipeline[:20]}/{name[:10]}/{unique}{suffix}")

    def for_job(self) -> dict[str, Any]:
        """The API's ``Artifact``."""
        location = {"bucketName": self.bucket, "objectKey": self.key}
        return without_none(
            name=self.name, revision=self.revision, location={"type": "S3", "s3Location": location}
        )

    def detail(self) -> dict[str, Any]:
        """The API's ``ArtifactDetail``, which events use too."""
        return {"name": self.name, "s3location": {"bucket": self.bucket, "key": self.key}}


@dataclass(eq=False, repr=False)
class ActionRun:
    """One action of one execution. ``client_id`` is a partner action's client, and ``job_id`` its
    newest job's id. Its configuration has secrets."""

    stage: StageRun
    declaration: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    action_type: ActionType | None = None
    client_id: str | None = None
    status: str | None = None
    started: float = 0.0
    changed: float = 0.0
    configuration: dict[str, str] = field(default_factory=dict)
    inputs: list[Artifact] = field(default_factory=list)
    outputs: list[Artifact] = field(default_factory=list)
    summary: str | None = None
    external_id: str | None = None
    percent_complete: int | None = None
    error: dict[str, str] | None = None
    output_variables: dict[str, str] = field(default_factory=dict)
    revision: dict[str, Any] | None = None
    revision_summary: str | None = None
    updated_by: str | None = None
    job_id: str | None = None

    def __repr__(self) -> str:
        return f"<ActionRun {self.name}: {self.status}>"

    @property
    def name(self) -> str:
        return str(self.declaration["name"])

    @property
    def run(self) -> PipelineRun:
        return self.stage.run

    @property
    def type_id(self) -> dict[str, str]:
        type_id: dict[str, str] = self.declaration["actionTypeId"]
        return type_id

    @property
    def region(self) -> str:
        return str(self.declaration.get("region", self.run.region))

    @property
    def type_key(self) -> TypeKey:
        return TypeKey.of(self.type_id)

    @property
    def token(self) -> str | None:
        """An approval's token, while it waits: its id (recorded)."""
        return self.id if self.type_key == APPROVAL and self.status == IN_PROGRESS else None

    @property
    def job_timeout(self) -> int | None:
        """How many seconds each of its jobs may take, if the type's partner declares that."""
        return self.action_type.job_timeout if self.action_type else None

    def url(self, template: str) -> str | None:
        """One of the action type's URLs, filled in with this execution's values."""
        if self.action_type is None:
            return None
        return self.action_type.url(template, self.configuration, self.external_id)

    def take_details(self, details: dict[str, Any]) -> None:
        """Update the action with a job result's ``executionDetails``."""
        if self.type_key != LAMBDA:  # recorded: a function's are not shown
            self.summary = details.get("summary", self.summary)
            self.external_id = details.get("externalExecutionId", self.external_id)
            self.percent_complete = details.get("percentComplete", self.percent_complete)

    def state(self) -> dict[str, Any]:
        """The API's ``ActionExecution``, in GetPipelineState."""
        return without_none(
            actionExecutionId=self.id,
            status=self.status,
            summary=None if self.error else self.summary,  # recorded
            lastStatusChange=None if self.token else round(self.changed, 3),
            token=self.token,
            lastUpdatedBy=self.updated_by,
            externalExecutionId=self.external_id,
            externalExecutionUrl=self.url("executionUrlTemplate"),
            percentComplete=self.percent_complete,
            errorDetails=self.error,
        )

    def detail(self) -> dict[str, Any]:
        """The API's ``ActionExecutionDetail``, in ListActionExecutions. Secrets are masked."""
        return without_none(
            pipelineExecutionId=self.run.pipeline_execution_id,
            actionExecutionId=self.id,
            pipelineVersion=self.run.pipeline_version,
            stageName=self.stage.name,
            actionName=self.name,
            startTime=round(self.started, 3),
            lastUpdateTime=round(self.changed, 3),
            updatedBy=self.updated_by,
            status=self.status,
            input=self._input_detail(),
            output=self._output_detail(),
        )

    def result(self) -> dict[str, Any]:
        """Those of external execution id, summary and URL that are known."""
        return without_none(
            externalExecutionId=self.external_id,
            externalExecutionSummary=self.summary,
            externalExecutionUrl=self.url("executionUrlTemplate"),
        )

    def _input_detail(self) -> dict[str, Any]:
        declared: dict[str, str] = self.declaration.get("configuration", {})
        masked = self.action_type.masked if self.action_type else dict[str, str]
        return without_none(
            actionTypeId=self.type_id,
            configuration=masked(declared),
            resolvedConfiguration=masked(self.configuration),
            roleArn=self.declaration.get("roleArn"),
            region=self.region,
            inputArtifacts=[artifact.detail() for artifact in self.inputs],
            namespace=self.declaration.get("namespace"),
        )

    def _output_detail(self) -> dict[str, Any]:
        code = {"code": self.error["code"]} if self.error else None  # recorded: no message
        result = self.result() | without_none(errorDetails=code)
        if self.updated_by:
            result["externalExecutionId"] = self.id  # recorded for approvals, only here
        ended_well = self.status == SUCCEEDED
        hidden = self.status == ABANDONED or (self.type_key, self.status) == (LAMBDA, IN_PROGRESS)
        return without_none(
            outputArtifacts=[artifact.detail() for artifact in self.outputs if ended_well],
            executionResult=None if hidden else result or None,
            outputVariables=self.output_variables,
        )


@dataclass(eq=False)
class StageRun:
    """One stage of one execution. ``retried`` is the time of its last retry."""

    run: PipelineRun
    name: str
    actions: list[ActionRun] = field(default_factory=list)
    status: str | None = None
    started: float = 0.0
    retries: int = 0
    retried: float | None = None

    @property
    def in_progress(self) -> list[ActionRun]:
        """The actions that have begun and not ended."""
        return [action for action in self.actions if action.status == IN_PROGRESS]

    def execution(self) -> dict[str, Any]:
        """The API's ``StageExecution``. One that waits before the stage is InProgress."""
        status = self.status or IN_PROGRESS
        return {"pipelineExecutionId": self.run.pipeline_execution_id, "status": status}

    def renew(self, actions: list[ActionRun]) -> None:
        """Replace the actions to be retried with new runs, which have new ids."""
        self.actions = [
            ActionRun(self, each.declaration) if each in actions else each for each in self.actions
        ]

    def retry_metadata(self) -> dict[str, Any] | None:
        """The API's ``RetryStageMetadata``, if the stage was retried (recorded)."""
        if not self.retries:
            return None
        trigger = {"latestRetryTrigger": "ManualStageRetry"}
        return {"manualStageRetryAttempt": self.retries} | trigger

    def next_actions(self) -> list[ActionRun]:
        """The actions that have not begun and have the lowest runOrder."""
        waiting = [action for action in self.actions if action.status is None]
        first = min((action.declaration["runOrder"] for action in waiting), default=0)
        return [action for action in waiting if action.declaration["runOrder"] == first]


class PipelineRun(PipelineExecution):
    """One execution of a pipeline, with the structure that the pipeline had when it began.

    ``traffic`` is shared by the pipeline's executions. ``attempt`` counts the retries of all its
    stages, from 1; ``begun`` has the actions of all attempts, in the order in which they began.
    ``stopped_for`` is the API's ``StopExecutionTrigger``, once it is being stopped; ``trigger`` is
    its ``ExecutionTrigger``. ``source_revisions`` are the revisions that source actions use instead
    of the present ones, by action name; ``missing`` are the variables without a value.
    """

    def __init__(
        self,
        arn: str,
        region: str,
        pipeline: dict[str, Any],
        variables: list[dict[str, str]] | None,
        started: float,
        *,
        traffic: Traffic[PipelineRun],
        trigger: dict[str, str],
        source_revisions: dict[str, str] | None = None,
    ) -> None:
        given = {each["name"]: each["value"] for each in variables or []}
        values = {
            each["name"]: given.get(each["name"], each.get("defaultValue"))
            for each in pipeline.get("variables", [])
        }
        self.missing = [name for name, text in values.items() if text is None]
        shown = [] if self.missing else [{"name": n, "value": text} for n, text in values.items()]
        super().__init__(pipeline["name"], pipeline["version"], shown)
        self.arn = arn
        self.region = region
        self.traffic = traffic
        self.source_revisions = source_revisions or {}
        self.trigger = trigger
        self.pipeline = deepcopy(pipeline)
        self.status = IN_PROGRESS
        self.started = started
        self.updated = started
        self.attempt = 1
        self.retried: float | None = None
        self.stopped_for: dict[str, str] | None = None
        self.artifacts: dict[str, Artifact] = {}
        self.revisions: list[dict[str, Any]] = []
        self.begun: list[ActionRun] = []
        self.stages: list[StageRun] = []
        for declared in self.pipeline["stages"]:
            stage = StageRun(self, declared["name"])
            stage.actions = [ActionRun(stage, action) for action in declared["actions"]]
            self.stages.append(stage)

    @property
    def actions(self) -> Iterator[ActionRun]:
        """All actions, in the order of the pipeline's structure."""
        return (action for stage in self.stages for action in stage.actions)

    @property
    def execution_mode(self) -> str:
        return str(self.pipeline.get("executionMode", SUPERSEDING))

    @property
    def stage(self) -> StageRun | None:
        """The stage that the execution is in or waits for; None if all have succeeded."""
        return next((each for each in self.stages if each.status != SUCCEEDED), None)

    def store(self, region: str) -> dict[str, Any]:
        """The artifact store of a region; an empty one if the pipeline has none."""
        store = self.pipeline.get("artifactStores", {}).get(region)
        found: dict[str, Any] = store or self.pipeline.get("artifactStore", {})
        return found

    def resolve(self, configuration: dict[str, str]) -> dict[str, str]:
        """``configuration`` with each ``#{namespace.name}`` replaced by its value.

        These are the ``variables``, ``codepipeline.PipelineExecutionId`` and the output variables
        of actions with a namespace. A reference that can't be resolved stays as it is.
        """
        known: dict[tuple[Any, str], str] = {
            ("codepipeline", "PipelineExecutionId"): self.pipeline_execution_id
        }
        known |= {("variables", each["name"]): each["value"] for each in self.variables}
        for action in self.actions:
            namespace = action.declaration.get("namespace")
            for name, text in action.output_variables.items():
                known[(namespace, name)] = text
        return {
            name: VARIABLE.sub(lambda match: known.get((match[1], match[2]), match[0]), text)
            for name, text in configuration.items()
        }

    def place_artifacts(self, action: ActionRun) -> None:
        """Find the action's input artifacts, and give its output artifacts keys."""
        declared, bucket = action.declaration, self.store(action.region).get("location", "")
        suffix = ".zip" if action.type_id["category"] == "Source" else ""
        names = [each["name"] for each in declared.get("inputArtifacts", [])]
        action.inputs = [self.artifacts[name] for name in names if name in self.artifacts]
        for each in declared.get("outputArtifacts", []):
            artifact = Artifact.placed(each["name"], self.pipeline_name, bucket, suffix)
            self.artifacts[artifact.name] = artifact
            action.outputs.append(artifact)

    def take_revision(self, action: ActionRun, revision: dict[str, Any], at: float) -> None:
        """Record a job result's ``currentRevision`` for the action and its output artifacts.

        That of an S3 source has only a revision and a summary (recorded).
        """
        change = revision.get("changeIdentifier")
        action.revision = {"revisionId": revision["revision"]}
        if change is not None:
            created = revision.get("created", round(at, 3))
            action.revision |= {"revisionChangeId": change, "created": created}
        action.revision_summary = revision.get("revisionSummary")
        names = {artifact.name for artifact in action.outputs}
        self.revisions = [each for each in self.revisions if each["name"] not in names]
        for artifact in action.outputs:
            artifact.revision = revision["revision"]
            self.revisions.append(
                without_none(
                    name=artifact.name,
                    revisionId=revision["revision"],
                    revisionChangeIdentifier=change,
                    revisionSummary=revision.get("revisionSummary"),
                    created=revision.get("created"),
                    revisionUrl=action.url("revisionUrlTemplate"),
                )
            )

    def to_dict(self) -> dict[str, Any]:
        """The API's ``PipelineExecution``."""
        shape = super().to_dict() | {
            "artifactRevisions": self.revisions,
            "trigger": self.trigger,
            "executionMode": self.execution_mode,
        }
        # Recorded: there is no variables member without variables, and never an executionType.
        return without_none(**shape | {"variables": shape["variables"] or None})

    def to_summary_dict(self) -> dict[str, Any]:
        """The API's ``PipelineExecutionSummary``."""
        shape = super().to_summary_dict() | {
            "startTime": round(self.started, 3),
            "lastUpdateTime": round(self.updated, 3),
            "sourceRevisions": self._source_revisions(),
            "stopTrigger": self.stopped_for,
            "trigger": self.trigger,
            "executionMode": self.execution_mode,
        }
        return without_none(**shape)

    def _source_revisions(self) -> list[dict[str, Any]]:
        return [
            without_none(
                actionName=action.name,
                revisionId=action.revision["revisionId"],
                revisionSummary=action.revision_summary,
                revisionUrl=action.url("revisionUrlTemplate"),
            )
            for action in self.actions
            if action.revision and action.type_id["category"] == "Source"
        ]
