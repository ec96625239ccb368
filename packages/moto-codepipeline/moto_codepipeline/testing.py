"""A CodePipeline for one test: pipelines of one action, whose job is for the worker under test."""

import asyncio
import inspect
import io
import json
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID

from .action_types import TypeKey
from .behaviour import Behaviour
from .clock import Clock, ManualClock
from .models import SERVICE, JobBackend, backend
from .runs import IN_PROGRESS, ActionRun, PipelineRun

BUCKET = "artifacts"
SOURCE_BUCKET, SOURCE_KEY = "source", "source.zip"
SOURCE = {
    "name": "Source",
    "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
    "configuration": {"S3Bucket": SOURCE_BUCKET, "S3ObjectKey": SOURCE_KEY},
    "outputArtifacts": [{"name": "Source"}],
}
STATEMENT = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": SERVICE}}


def make_bucket(s3: Any, name: str) -> None:
    """Create a bucket in the client's region, unless it exists."""
    region = s3.meta.region_name
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with suppress(s3.exceptions.BucketAlreadyExists, s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, **({} if region == "us-east-1" else elsewhere))


def put_source(s3: Any, bucket: str, key: str, files: Mapping[str, bytes]) -> None:
    """Upload a zip of ``files`` for an S3 source action; create the bucket if it doesn't exist.

    ``s3`` is boto3's client. The bucket is versioned, as the action requires.
    """
    make_bucket(s3, bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    s3.put_object(Bucket=bucket, Key=key, Body=archive.getvalue())


class CodePipeline:
    """CodePipeline in one region, while moto mocks AWS. Its clock stands still until advanced.

    ``client`` is boto3's client, and ``backend`` is the backend behind it. ``artifact_store`` is
    used by pipelines that are started later.
    """

    def __init__(self, region: str) -> None:
        self.client: Any = boto3.client("codepipeline", region_name=region)
        self.backend: JobBackend = backend(DEFAULT_ACCOUNT_ID, region)
        self.backend.clock = ManualClock()
        role = boto3.client("iam", region_name=region).create_role(
            RoleName="pipeline", AssumeRolePolicyDocument=json.dumps({"Statement": STATEMENT})
        )
        self.artifact_store: dict[str, Any] = {"type": "S3", "location": BUCKET}
        self._role_arn = role["Role"]["Arn"]
        self._s3 = boto3.client("s3", region_name=region)
        make_bucket(self._s3, BUCKET)
        self.put_source({"README": b"The source of the pipeline"})

    @property
    def clock(self) -> Clock:
        """The clock: ``clock.advance(60)``."""
        return self.backend.clock

    @property
    def behaviour(self) -> Behaviour:
        """The switches: ``behaviour.nonce_rotates = False``."""
        return self.backend.behaviour

    @property
    def client_token(self) -> str:
        """The client token that a partner's worker needs for its jobs."""
        return self.backend.client_token(self.backend.default_client_id)

    def put_source(self, files: Mapping[str, bytes]) -> None:
        """Upload a zip of ``files``, which is the pipelines' source from now on.

        Its bucket is ``source``, and its key ``source.zip``.
        """
        put_source(self._s3, SOURCE_BUCKET, SOURCE_KEY, files)

    def start(
        self,
        provider: str,
        *,
        category: str = "Build",
        owner: str = "Custom",
        version: str = "1",
        configuration: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> ActionRun:
        """Start a pipeline of one action, whose job can then be polled; return the action.

        The action shows the result of its job: ``status``, ``summary``, ``error``,
        ``output_variables``. It has the input artifact ``Source`` and the output artifact
        ``Output``; their locations in S3 are in ``inputs`` and ``outputs``. Its type is registered
        at its first use, with the properties of ``configuration`` and, as secret ones, of
        ``secrets``. ``owner`` may be ThirdParty.
        """
        type_id = {"category": category, "owner": owner, "provider": provider, "version": version}
        if TypeKey.of(type_id) not in self.backend.action_types:
            self._register(type_id, configuration or {}, secrets or {})
        action = {
            "name": provider,
            "actionTypeId": type_id,
            "configuration": {**(configuration or {}), **(secrets or {})},
            "inputArtifacts": [{"name": "Source"}],
            "outputArtifacts": [{"name": "Output"}],
        }
        name = f"{provider}-{len(self.backend.pipelines) + 1}"
        self.client.create_pipeline(
            pipeline={
                "name": name,
                "roleArn": self._role_arn,
                "artifactStore": self.artifact_store,
                "stages": [
                    {"name": "Source", "actions": [SOURCE]},
                    {"name": "Work", "actions": [action]},
                ],
            }
        )
        started = self.client.start_pipeline_execution(name=name)["pipelineExecutionId"]
        self.clock.advance(self.behaviour.started_before_queued_seconds)
        run = self.backend.pipelines[name].executions[started]
        assert isinstance(run, PipelineRun)  # noqa: S101 - this package starts no others
        return run.stages[-1].actions[-1]

    def run_to_end(self, work: Callable[[], Any], action: ActionRun) -> None:
        """Call ``work`` until an action has ended, and move the clock when nothing happens.

        ``work`` is one round of a worker, and can be a coroutine function; a test that is one too
        awaits ``run_to_end_async``. What ``work`` starts in threads must end before it returns.
        Raises AssertionError if nothing is left that could end the action.
        """
        for _ in self._rounds(action):
            done = work()
            if inspect.iscoroutine(done):
                with closing(done):
                    asyncio.run(done)

    async def run_to_end_async(self, work: Callable[[], Awaitable[Any]], action: ActionRun) -> None:
        """``run_to_end`` in the present event loop."""
        for _ in self._rounds(action):
            await work()

    def _rounds(self, action: ActionRun) -> Iterator[None]:
        while action.status == IN_PROGRESS:
            yield
            due = self.backend.next_due()
            if action.status == IN_PROGRESS:
                assert due is not None, self.story(action)  # noqa: S101 - a test's
                self.clock.advance(max(0.0, due - self.clock.now()))
                self.backend.tick()

    def assert_status(self, action: ActionRun, status: str) -> None:
        """Fail with the action's history unless it has the status, such as ``Succeeded``."""
        assert action.status == status, self.story(action)  # noqa: S101 - a test's

    def story(self, action: ActionRun) -> str:
        """The history of an action and its jobs, one line for each change."""
        lines = [f"The action {action.name} is {action.status}"]
        if action.error:
            lines[0] += ": {code}: {message}".format(**action.error)
        for number, job in enumerate(self.backend._board.of(action), start=1):
            lines += [
                f"  {at - action.started:10.3f} s  job {number} is {status}"
                for at, status in job.story
            ]
        return "\n".join(lines)

    def _register(
        self, type_id: dict[str, str], plain: Mapping[str, str], secret: Mapping[str, str]
    ) -> None:
        request = {
            **{name: text for name, text in type_id.items() if name != "owner"},
            "configurationProperties": [
                {"name": name, "required": True, "key": name in plain, "secret": name in secret}
                for name in (*plain, *secret)
            ],
            "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
            "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
        }
        if type_id["owner"] == "ThirdParty":
            self.backend.register_third_party_action_type(request)
        else:
            self.client.create_custom_action_type(**request)
