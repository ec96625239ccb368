"""The job that a worker's function is given."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from acknowledger_worker import archive
from acknowledger_worker.errors import (
    ArtifactInvalid,
    ConfigurationError,
    EventInvalid,
    JobCancelled,
)
from acknowledger_worker.outcome import without_none

MASK = "****"


class Services(Protocol):
    """What a job asks of AWS, or of a test in its place."""

    def details(self) -> Mapping[str, Any]:
        """The job's data with the values of its secret configuration properties."""

    def download(self, artifact: Mapping[str, Any], path: Path) -> None:
        """Get an input artifact's object as a file."""

    def upload(self, artifact: Mapping[str, Any], path: Path) -> None:
        """Put a file as an output artifact's object."""

    def tell_progress(self, progress: Mapping[str, Any]) -> None:
        """Put a `Job Progress` event."""


@dataclass(frozen=True)
class Delivery:
    """A `Job In Progress` event's detail."""

    job_id: str
    action_type: str
    task_token: str
    heartbeat_timeout_seconds: float
    job_timeout_seconds: float
    job: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Delivery of {self.job_id}>"


@dataclass(frozen=True)
class Pipeline:
    """Where in a pipeline the job is. A partner's job has no `execution_id`."""

    name: str
    stage: str
    action: str
    execution_id: str | None
    action_execution_id: str | None


class Job:
    """A job as its function sees it.

    Every method raises `JobCancelled` once the job is not this worker's any more.

    Attributes:
        id: the job's id, a UUID; a partner's is any string.
        account_id: the account of the pipeline, where it is known.
        client_id: of a partner's job: whose it is; else None.
        action_type: such as "Custom/Build/MyTool/1".
        pipeline: where in which pipeline.
        configuration: the action's configuration; the values of secret properties are "****".
        inputs, outputs: the names of the artifacts.
        continuation_token: what a `Continuation` was returned with, or None.
        folder: an empty folder for this job, which is removed when the function ends.
        cancelled: set when the job is not this worker's any more.
    """

    def __init__(self, delivery: Delivery, services: Services, folder: Path) -> None:
        job = delivery.job
        data = job["data"]
        context = data.get("pipelineContext", {})
        action = context.get("action", {})
        configuration = data.get("actionConfiguration", {}).get("configuration", {})
        self.id = delivery.job_id
        self.action_type = delivery.action_type
        self.account_id: str | None = job.get("accountId")
        self.client_id: str | None = job.get("clientId")
        self.configuration: Mapping[str, str] = MappingProxyType(dict(configuration))
        self.continuation_token: str | None = data.get("continuationToken")
        self.pipeline = Pipeline(
            name=context.get("pipelineName", ""),
            stage=context.get("stage", {}).get("name", ""),
            action=action.get("name", ""),
            execution_id=context.get("pipelineExecutionId"),
            action_execution_id=action.get("actionExecutionId"),
        )
        self._inputs = _by_name(data.get("inputArtifacts"))
        self._outputs = _by_name(data.get("outputArtifacts"))
        self.inputs = tuple(self._inputs)
        self.outputs = tuple(self._outputs)
        self.folder = folder / "work"
        self.folder.mkdir()
        self.cancelled = threading.Event()
        self._artifacts = folder
        self._unpacked: dict[str, Path] = {}
        self._services = services
        self._details: Mapping[str, str] | None = None
        self._reason = ""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.pipeline.name}/{self.pipeline.action}>"

    def input(self, name: str | None = None, *, max_bytes: int = archive.MAX_BYTES) -> Path:
        """An input artifact: the folder that it was unpacked into, or the file that is no zip file.

        Args:
            name: may be left out where there is just one.
            max_bytes: how large it may be, unpacked.

        Raises:
            ConfigurationError: the action has no such artifact.
            ArtifactInvalid: it can't be unpacked, would be too large, or would leave its folder.
            RevisionUnavailable, PermissionError: it can't be had.
            AWSUnavailable, JobCancelled
        """
        artifact = self._artifact("input", self._inputs, name)
        with self._lock:
            key = artifact["name"]
            if key not in self._unpacked:
                self.check()
                self._unpacked[key] = self._fetch(artifact, max_bytes)
            return self._unpacked[key]

    def output(self, name: str | None, path: str | Path) -> None:
        """Upload an output artifact: a folder as a zip file, a file as it is.

        Args:
            name: may be None where there is just one.

        Raises:
            ConfigurationError: the action has no such artifact.
            ArtifactInvalid: there is nothing at `path`, or it can't be packed.
            RevisionUnavailable, PermissionError: it can't be put.
            AWSUnavailable, JobCancelled
        """
        artifact = self._artifact("output", self._outputs, name)
        path = Path(path)
        self.check()
        if not path.exists():
            raise ArtifactInvalid(f"output artifact {artifact['name']}: there is no {path.name}")
        packed = path
        if path.is_dir():
            packed = self._artifacts / f"output-{self.outputs.index(artifact['name'])}.zip"
            packed.unlink(missing_ok=True)
            try:
                archive.pack(path, packed)
            except ArtifactInvalid as error:
                raise ArtifactInvalid(f"output artifact {artifact['name']}: {error}") from None
        self._services.upload(artifact, packed)

    def secret(self, name: str) -> str:
        """A configuration property's real value, which `configuration` masks.

        It is kept out of the job's failure and the log, whatever the function raises.

        Raises:
            ConfigurationError: the action's configuration has no such property.
            PermissionError, AWSUnavailable, JobCancelled
        """
        if name not in self.configuration:
            raise ConfigurationError(f"the action's configuration has no {name}")
        with self._lock:
            if self._details is None:
                self.check()
                data = self._services.details()
                self._details = data.get("actionConfiguration", {}).get("configuration", {})
            return str(self._details.get(name, self.configuration[name]))

    def progress(
        self,
        percent_complete: int | None = None,
        summary: str | None = None,
        external_execution_id: str | None = None,
    ) -> None:
        """Tell the pipeline how far the job is. What is left out stays as it was told before.

        Raises:
            JobCancelled
        """
        self.check()
        told = {
            "percentComplete": percent_complete,
            "summary": summary,
            "externalExecutionId": external_execution_id,
        }
        self._services.tell_progress(without_none(told))

    def wait(self, seconds: float) -> None:
        """Do nothing for a while.

        Raises:
            JobCancelled: at once when it is.
        """
        self.cancelled.wait(seconds)
        self.check()

    def check(self) -> None:
        """Go on only while the job is this worker's.

        Raises:
            JobCancelled
        """
        if self.cancelled.is_set():
            raise JobCancelled(self._reason)

    def cancel(self, reason: str) -> None:
        """Tell the function to stop. Called by the worker; a test may, too."""
        if not self.cancelled.is_set():
            self._reason = reason
            self.cancelled.set()

    def redact(self, text: str) -> str:
        """A text without the values of secret properties, once the function has asked for one."""
        return without(self._known_secrets(), text)

    def _known_secrets(self) -> list[str]:
        known = self._details or {}
        return [value for name, value in known.items() if self.configuration.get(name) == MASK]

    def _artifact(
        self, side: str, artifacts: Mapping[str, Mapping[str, Any]], name: str | None
    ) -> Mapping[str, Any]:
        if name is None and len(artifacts) == 1:
            return next(iter(artifacts.values()))
        if name is None or name not in artifacts:
            wanted = "exactly one" if name is None else f"an {side} artifact {name}"
            there_are = ", ".join(artifacts) or "none"
            raise ConfigurationError(
                f"the action must have {wanted}; its {side} artifacts: {there_are}"
            )
        return artifacts[name]

    def _fetch(self, artifact: Mapping[str, Any], max_bytes: int) -> Path:
        number = self.inputs.index(artifact["name"])
        fetched = self._artifacts / f"input-{number}.download"
        self._services.download(artifact, fetched)
        if not archive.is_archive(fetched):
            return fetched
        folder = self._artifacts / f"input-{number}"
        try:
            archive.unpack(fetched, folder, max_bytes)
        except ArtifactInvalid as error:
            raise ArtifactInvalid(f"input artifact {artifact['name']}: {error}") from None
        fetched.unlink()
        return folder


def parse(event: Any) -> Delivery:
    """A `Job In Progress` event as EventBridge delivers it.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    wrong = []
    if event.get("detail-type") != "Job In Progress":
        wrong.append("detail-type must be 'Job In Progress'")
    detail = event.get("detail")
    if not isinstance(detail, dict):
        raise EventInvalid("; ".join([*wrong, "detail must be an object"]))
    wrong += [
        f"detail.{name} must be a string"
        for name in ("jobId", "actionType", "taskToken")
        if not isinstance(detail.get(name), str)
    ]
    for name in ("heartbeatTimeoutSeconds", "jobTimeoutSeconds"):
        seconds = detail.get(name)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
            wrong.append(f"detail.{name} must be a number above 0")
    job = detail.get("job")
    if not isinstance(job, dict) or not isinstance(job.get("data"), dict):
        wrong.append("detail.job.data must be an object")
    if wrong:
        raise EventInvalid("; ".join(wrong))
    return Delivery(
        job_id=detail["jobId"],
        action_type=detail["actionType"],
        task_token=detail["taskToken"],
        heartbeat_timeout_seconds=detail["heartbeatTimeoutSeconds"],
        job_timeout_seconds=detail["jobTimeoutSeconds"],
        job=detail["job"],
    )


def without(secrets: Iterable[str], text: str) -> str:
    """A text with each secret masked, also as Python, JSON or an address would write it."""
    forms = {
        form
        for secret in secrets
        for form in (
            secret,
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote_plus(secret),
        )
        if form
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _by_name(artifacts: Iterable[Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    return {artifact["name"]: artifact for artifact in artifacts or ()}
