"""The S3 source action: it reads an object's version, and uploads it as the output artifact.

Documented: the bucket must be versioned; ``PollForSourceChanges`` enables change detection; the
output variables. Recorded: the revision's id and summary, the failure without an object, and a
check for changes every 120 seconds. Here only the values ``"true"`` and ``"True"`` enable it,
although AWS's default is true: otherwise a test would have executions that it did not start.
"""

import logging
from typing import Any

from .action_types import S3_SOURCE, TypeKey
from .runs import ActionFailedError, ActionRun

LOOK_SECONDS = 120
"""The time between checks of a source for changes (recorded)."""

VERSION_ID = "S3_OBJECT_VERSION_ID"

logger = logging.getLogger(__name__)


def polls(action: dict[str, Any]) -> bool:
    """Whether a declared action is an S3 source that asks for change detection."""
    asked = action.get("configuration", {}).get("PollForSourceChanges")
    return asked in ("true", "True") and TypeKey.of(action["actionTypeId"]) == S3_SOURCE


def version_of(action: dict[str, Any]) -> str | None:
    """The present version of a declared S3 source's object, if there is one."""
    configuration = action.get("configuration", {})
    found = _object(configuration.get("S3Bucket", ""), configuration.get("S3ObjectKey", ""))
    return None if found is None else str(found.version_id)


def run_source(action: ActionRun, without_version: str) -> dict[str, Any]:
    """Run an S3 source action: its result, like a job's.

    Raises ActionFailedError if there is no version to read, or no bucket for the artifact,
    unless ``without_version``, as in ``behaviour``, lets it succeed.
    """
    bucket = action.configuration.get("S3Bucket", "")
    key = action.configuration.get("S3ObjectKey", "")
    wanted = action.run.source_revisions.get(action.name)
    found = _object(bucket, key, wanted)
    problem = None
    if found is None:
        # Recorded.
        problem = (
            f'Could not access the Amazon S3 object: "{bucket}/{key}". '
            "Make sure that the names of the bucket and object are both correct."
        )
    elif found.version_id in (None, "null"):
        problem = f'The Amazon S3 bucket "{bucket}" of the source is not versioned.'
    elif lost := [each.bucket for each in action.outputs if _bucket(each.bucket) is None]:
        problem = f'There is no Amazon S3 bucket "{lost[0]}" for the artifacts.'
    if problem and without_version == "ConfigurationError":
        raise ActionFailedError("ConfigurationError", problem)
    if problem:
        logger.warning("%s in %s: %s", action.name, action.run.pipeline_name, problem)
    if found is None:
        return {"executionDetails": {"summary": f"Succeeded without an artifact: {problem}"}}
    for artifact in action.outputs:
        if (store := _bucket(artifact.bucket)) is not None:
            store.put_object(artifact.bucket, artifact.key, found.value)
    version = str(found.version_id)
    summary = f"Amazon S3 version id: {version}"
    return {
        "currentRevision": {"revision": version, "revisionSummary": summary},
        "executionDetails": {"summary": summary, "externalExecutionId": version},
        "outputVariables": {
            "BucketName": bucket,
            "ETag": found.etag.strip('"'),
            "ObjectKey": key,
            "VersionId": version,
        },
    }


def _bucket(name: str) -> Any:
    """The backend of moto's S3 that has a bucket; None if there is no such bucket."""
    from moto.s3.models import s3_backends  # noqa: PLC0415 - slow, and not always needed

    owner = s3_backends.bucket_accounts.get(name)
    return None if owner is None else s3_backends[owner[1]][owner[0]]


def _object(bucket: str, key: str, version_id: str | None = None) -> Any:
    where = _bucket(bucket)
    found = where and where.get_object(bucket, key, version_id=version_id)
    # A delete marker has no value.
    return found if hasattr(found, "value") else None
