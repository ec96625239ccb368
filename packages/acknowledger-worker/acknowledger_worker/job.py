"""The job that a worker's function gets."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
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
from acknowledger_worker.masking import MASK, without
from acknowledger_worker.outcome import without_none

logger = logging.getLogger(__package__)


class Services(Protocol):
    """The calls of a job to AWS, or to a test's replacement."""

    def details(self) -> Mapping[str, Any]:
        """The job's data with the values of its secret configuration properties."""

    def download(self, artifact: Mapping[str, Any], path: Path, check: Callable[[], None]) -> None:
        """Download an input artifact's object to a file. An exception of `check` ends it."""

    def upload(self, artifact: Mapping[str, Any], path: Path, check: Callable[[], None]) -> None:
        """Upload a file as an output artifact's object. An exception of `check` ends it."""

    def tell_progress(self, progress: Mapping[str, Any]) -> None:
        """Put a `Job Progress` event."""


@dataclass(frozen=True)
class Delivery:
    """A `Job In Progress` event's detail."""

    job_id: str
    action_type: str
    task_token: str
    heartbeat_timeout_seconds: float
    job: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Delivery of {self.job_id}>"


@dataclass(frozen=True)
class Pipeline:
    """The place of the job in a pipeline. A partner's job has no `execution_id`."""

    name: str
    stage: str
    action: str
    execution_id: str | None
    action_execution_id: str | None


class Job:
    """A job as its function sees it.

    Every method raises `JobCancelled` once this worker no longer has the job.

    Attributes:
        id: the job's id, a UUID; a partner's is any string.
        account_id: the account of the pipeline, if known.
        client_id: the client of a partner's job; None for others.
        action_type: such as "Custom/Build/MyTool/1".
        pipeline: its place in a pipeline.
        configuration: the action's configuration; the values of secret properties are "****".
        inputs, outputs: the names of the artifacts.
        missing: the output artifacts that have not been uploaded yet.
        continuation_token: the token of the `Continuation` that the previous job returned, or None.
        folder: an empty folder for this job, which is removed when the function ends.
        cancelled: set when this worker no longer has the job.
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
        self._fetched: dict[tuple[str, bool | None], Path] = {}
        self._put: set[str] = set()
        self._masked: set[str] = set()
        self._services = services
        self._details: Mapping[str, str] | None = None
        self._reason = ""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.pipeline.name}/{self.pipeline.action}>"

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in self.outputs if name not in self._put)

    def input(
        self,
        name: str | None = None,
        *,
        unpack: bool | None = None,
        max_bytes: int = archive.MAX_BYTES,
    ) -> Path:
        """An input artifact: the folder where it is unpacked, or the file if it isn't a zip file.

        Args:
            name: may be left out if there is only one.
            unpack: False for the file as it is, such as a jar, which is a zip file too; True to
                unpack tar and tar.gz files as well, so that the result is always a folder.
            max_bytes: how large it may be, unpacked.

        Raises:
            ConfigurationError: the action has no such artifact.
            ArtifactInvalid: it can't be unpacked, would be too large, or would leave its folder.
            RevisionUnavailable, PermissionError: it can't be downloaded.
            AWSUnavailable, JobCancelled
        """
        artifact = self._artifact("input", self._inputs, name)
        with self._lock:
            key = artifact["name"], unpack
            if key not in self._fetched:
                self.check()
                self._fetched[key] = self._fetch(artifact, unpack, max_bytes)
            return self._fetched[key]

    def output(
        self,
        name: str | None,
        path: str | Path,
        *,
        files: Iterable[str] | None = None,
        links: archive.Links = "refuse",
        format: archive.Format | None = None,  # noqa: A002
    ) -> None:
        """Upload an output artifact: a folder as a zip file, a file as it is.

        Args:
            name: may be None if there is only one.
            files: which of the folder's files and folders, as patterns such as "dist/*.whl"; by
                default all.
            links: what to do with links that lead out of the folder: "refuse" them, "keep" them
                as they are (`input` refuses them), "follow" them to their targets, or "skip" them.
            format: "zip" or "tar.gz", for a file as well.

        Raises:
            ConfigurationError: the action has no such artifact.
            ArtifactInvalid: there is nothing at `path`, or it can't be packed.
            RevisionUnavailable, PermissionError: it can't be uploaded.
            AWSUnavailable, JobCancelled
        """
        artifact = self._artifact("output", self._outputs, name)
        path = Path(path)
        self.check()
        if not path.exists():
            raise ArtifactInvalid(f"output artifact {artifact['name']}: there is no {path.name}")
        packed = path
        if path.is_dir() or format:
            packed = self._artifacts / f"output-{self.outputs.index(artifact['name'])}"
            packed.unlink(missing_ok=True)
            try:
                archive.pack(
                    path, packed, files=files, links=links, format=format or "zip", check=self.check
                )
            except ArtifactInvalid as error:
                raise ArtifactInvalid(f"output artifact {artifact['name']}: {error}") from None
        self._services.upload(artifact, packed, self.check)
        self._put.add(artifact["name"])

    def secret(self, name: str) -> str:
        """A configuration property's real value, which `configuration` masks.

        It is masked in the job's outcome and progress, and in everything that is logged while the
        function works, but not in what the function prints or writes elsewhere.

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
        """Report progress to the pipeline. Members that are left out or empty keep their values.

        Raises:
            JobCancelled
        """
        self.check()
        told = {
            "percentComplete": percent_complete,
            "summary": self.mask(summary or "", "its progress") or None,
            "externalExecutionId": self.mask(external_execution_id or "", "its progress") or None,
        }
        if told := without_none(told):
            self._services.tell_progress(told)

    def wait(self, seconds: float) -> None:
        """Wait, as long as the job is not cancelled.

        Raises:
            JobCancelled: as soon as it is.
        """
        self.cancelled.wait(seconds)
        self.check()

    def check(self) -> None:
        """Check that this worker still has the job.

        Raises:
            JobCancelled
        """
        if self.cancelled.is_set():
            raise JobCancelled(self._reason)

    def cancel(self, reason: str) -> None:
        """Tell the function to stop. Called by the worker, and possibly by tests."""
        if not self.cancelled.is_set():
            self._reason = reason
            self.cancelled.set()

    def mask(self, text: str, where: str) -> str:
        """A text with the values of secret properties masked, once the function has read one.

        Args:
            where: the place of the text; the first masking there is logged.
        """
        known = self._details or {}
        secrets = [value for name, value in known.items() if self.configuration.get(name) == MASK]
        masked = without(secrets, text)
        if masked != text and where not in self._masked:
            self._masked.add(where)
            logger.warning("job %s: a secret is masked in %s", self.id, where)
        return masked

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

    def _fetch(self, artifact: Mapping[str, Any], unpack: bool | None, max_bytes: int) -> Path:
        folder = self._artifacts / f"input-{self.inputs.index(artifact['name'])}-{unpack}"
        fetched = folder.with_suffix(".download")
        self._services.download(artifact, fetched, self.check)
        if unpack is False or (unpack is None and not archive.is_archive(fetched)):
            return fetched
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
        try:
            archive.unpack(fetched, folder, max_bytes, self.check)
        except ArtifactInvalid as error:
            raise ArtifactInvalid(f"input artifact {artifact['name']}: {error}") from None
        fetched.unlink()
        return folder


#: What each member of a `Job In Progress` event must be, and whether a value is.
_MEMBERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "detail-type": ("'Job In Progress'", lambda value: bool(value == "Job In Progress")),
    **dict.fromkeys(
        ("detail.jobId", "detail.actionType", "detail.taskToken"),
        ("a string", lambda value: isinstance(value, str)),
    ),
    **dict.fromkeys(
        ("detail.heartbeatTimeoutSeconds", "detail.jobTimeoutSeconds"),
        ("a number above 0", lambda value: type(value) in (int, float) and value > 0),
    ),
    "detail.job.data": ("an object", lambda value: isinstance(value, dict)),
}


def parse(event: Any) -> Delivery:
    """A `Job In Progress` event as EventBridge delivers it.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    wrong = [
        f"{path} must be {what}"
        for path, (what, holds) in _MEMBERS.items()
        if not holds(_member(event, path))
    ]
    if wrong:
        raise EventInvalid("; ".join(wrong))
    detail = event["detail"]
    return Delivery(
        job_id=detail["jobId"],
        action_type=detail["actionType"],
        task_token=detail["taskToken"],
        heartbeat_timeout_seconds=detail["heartbeatTimeoutSeconds"],
        job=detail["job"],
    )


def _member(event: Any, path: str) -> Any:
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def _by_name(artifacts: Iterable[Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    return {artifact["name"]: artifact for artifact in artifacts or ()}
