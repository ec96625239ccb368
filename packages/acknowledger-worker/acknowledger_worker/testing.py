"""For tests of workers: runs a function on a made-up job, with artifacts, without AWS.

ended = run(count_lines, inputs={"App": {"main.py": "print()\\n"}}, outputs=["Report"])
assert ended.outcome == Success(summary="1 lines")
assert (ended.outputs["Report"] / "report.txt").read_text() == "1"
"""

import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Generic, TypeVar, cast

from acknowledger_worker import archive
from acknowledger_worker.job import Delivery, Job
from acknowledger_worker.masking import MASK
from acknowledger_worker.outcome import Failure, Outcome
from acknowledger_worker.worker import work

Artifact = str | bytes | Path | Mapping[str, str | bytes]
"""The path of a folder or file, a file's content, or the content of each path in a folder."""


Returned = TypeVar("Returned", bound=Outcome | None)


@dataclass(frozen=True)
class Ended(Generic[Returned]):
    """The result of a job.

    Args:
        outcome: what the function returned, or a `Success` if it returned None; a `Failure` if it
            raised an exception; None for a cancelled job. Its type is the function's return type,
            so use `failure` for failures.
        outputs: each output artifact that was uploaded: an unpacked folder, or a file.
        progress: the reported progress, as `{percentComplete, summary, externalExecutionId}`.
    """

    outcome: Returned
    outputs: Mapping[str, Path]
    progress: list[Mapping[str, Any]]

    @property
    def failure(self) -> Failure | None:
        """The failure, or None."""
        return self.outcome if isinstance(self.outcome, Failure) else None


def run(
    function: Callable[[Job], Returned],
    *,
    configuration: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    inputs: Mapping[str, Artifact] | None = None,
    outputs: Iterable[str] = (),
    continuation_token: str | None = None,
    client_id: str | None = None,
    cancelled: bool = False,
    folder: Path | None = None,
) -> Ended[Returned]:
    """Run a function on a job. Artifacts are packed and unpacked as they are in AWS.

    Args:
        configuration: the action's configuration, without its secret properties.
        secrets: its secret properties.
        inputs: the input artifacts by name.
        outputs: the names of the output artifacts.
        continuation_token: the token with which the previous job was continued.
        client_id: makes it a partner's job.
        cancelled: whether the job is cancelled before the function begins.
        folder: an empty folder for all files, such as pytest's `tmp_path`; by default a new one.
    """
    root = Path(folder or mkdtemp(prefix="job-"))
    services = _Services(root / "store", configuration or {}, secrets or {})
    for name, artifact in (inputs or {}).items():
        services.give(name, artifact)
    data = {
        "actionConfiguration": {
            "configuration": {**(configuration or {}), **dict.fromkeys(secrets or {}, MASK)}
        },
        "pipelineContext": {
            "pipelineName": "pipeline",
            "stage": {"name": "Stage"},
            "action": {"name": "Action", "actionExecutionId": str(uuid.uuid4())},
        },
        "inputArtifacts": [{"name": name} for name in inputs or {}],
        "outputArtifacts": [{"name": name} for name in outputs],
    }
    if continuation_token is not None:
        data["continuationToken"] = continuation_token
    job_id = str(uuid.uuid4())
    job = {"id": job_id, "accountId": "123456789012", "data": data}
    if client_id:
        job["clientId"] = client_id
    owner = "ThirdParty" if client_id else "Custom"
    given = Job(Delivery(job_id, f"Build/{owner}/Test/1", "token", 60, job), services, root)
    if cancelled:
        given.cancel("the test says so")
    outcome = work(function, given)
    return Ended(
        cast(Returned, None if cancelled else outcome), services.taken(), services.progress
    )


class _Services:
    """Artifacts in a folder instead of AWS."""

    def __init__(
        self, folder: Path, configuration: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        self.progress: list[Mapping[str, Any]] = []
        self._folder = folder
        self._configuration = {**configuration, **secrets}
        self._taken: list[str] = []
        for each in ("given", "taken"):
            (folder / each).mkdir(parents=True)

    def give(self, name: str, artifact: Artifact) -> None:
        stored = self._folder / "given" / name
        if isinstance(artifact, Path) and artifact.is_file():
            shutil.copy(artifact, stored)
        elif isinstance(artifact, Path):
            archive.pack(artifact, stored)
        elif isinstance(artifact, Mapping):
            source = self._folder / "source" / name
            source.mkdir(parents=True)
            for path, content in artifact.items():
                _write(source / path, content)
            archive.pack(source, stored)
        else:
            _write(stored, artifact)

    def taken(self) -> dict[str, Path]:
        found = {}
        for name in self._taken:
            stored = self._folder / "taken" / name
            found[name] = stored
            if archive.is_archive(stored):
                found[name] = self._folder / "outputs" / name
                shutil.rmtree(found[name], ignore_errors=True)
                found[name].parent.mkdir(exist_ok=True)
                archive.unpack(stored, found[name])
        return found

    def details(self) -> Mapping[str, Any]:
        return {"actionConfiguration": {"configuration": self._configuration}}

    def download(self, artifact: Mapping[str, Any], path: Path, check: Callable[[], None]) -> None:
        check()
        shutil.copy(self._folder / "given" / artifact["name"], path)

    def upload(self, artifact: Mapping[str, Any], path: Path, check: Callable[[], None]) -> None:
        check()
        shutil.copy(path, self._folder / "taken" / artifact["name"])
        self._taken.append(artifact["name"])

    def tell_progress(self, progress: Mapping[str, Any]) -> None:
        self.progress.append(progress)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
