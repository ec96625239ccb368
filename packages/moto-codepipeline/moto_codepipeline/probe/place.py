"""What the probe creates, under one prefix, and how it is removed.

Names begin with the prefix and six characters that are a hash of it, the account, the region and
the event bus, so nobody else has them. Nothing else is ever changed. The action type has a new name
each time, since a deleted one may not be usable again.
"""

import hashlib
import io
import json
import re
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .calls import Calls, ProbeError

RIGHTS = ["s3:GetObject*", "s3:PutObject", "s3:GetBucket*", "s3:ListBucket"]
RIGHTS += ["lambda:InvokeFunction"]
GONE = (
    "NoSuchBucket",
    "NoSuchEntity",
    "NoSuchEntityException",
    "ResourceNotFoundException",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
)
STOPPED = ("PipelineExecutionNotStoppableException", "DuplicatedStopRequestException")


class Place:
    """The probe's resources: ``make`` creates and ``remove`` removes them, also an earlier run's.

    The custom action type has the queryable property Trial, so a poll gets the jobs of one trial.
    ``name`` is that of all or its beginning. ``bus`` is the event bus whose events go to the queue.
    """

    def __init__(self, calls: Calls, prefix: str, bus: str = "default") -> None:
        self.do, self.calls, self.bus = calls.do, calls, bus
        self.account = str(calls.do("sts", "get_caller_identity").value["Account"])
        own = hashlib.sha256(f"{prefix} {self.account} {calls.region} {bus}".encode())
        self.name = f"{prefix}-{own.hexdigest()[:6]}"
        self.bucket = f"{self.name}-{self.account}-{calls.region}"
        self.plain_bucket = f"{self.bucket}-plain"
        self.pipeline_name = f"{self.name}-pipeline"
        provider = f"{self.name}-{secrets.token_hex(2)}"
        self.type_name = {"category": "Test", "provider": provider, "version": "1"}
        self.type_id = self.type_name | {"owner": "Custom"}
        self.role_arn = self.queue_url = ""

    def plan(self) -> list[str]:
        """What will be created, in words."""
        return [
            f"the S3 bucket {self.bucket}, with a small object and its artifacts",
            f"the S3 bucket {self.plain_bucket}, which is not versioned",
            f"the IAM role {self.name}, which CodePipeline may assume for these buckets alone",
            f"custom action types Custom/Test/{self.name}-…/1",
            f"the pipeline {self.pipeline_name}, and some 200 executions of it",
            f"the SQS queue {self.name}, and its EventBridge rule {self.name}",
        ]

    def type_request(self, **changes: Any) -> dict[str, Any]:
        """A CreateCustomActionType request."""
        optional = {"type": "String", "required": False, "key": False}
        trial = {"name": "Trial", "type": "String", "required": True, "key": True, "secret": False}
        text, secret = {"name": "Text", "secret": False}, {"name": "Secret", "secret": True}
        return {
            **self.type_name,
            "configurationProperties": [
                trial | {"queryable": True},
                optional | text,
                optional | secret,
            ],
            "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
            "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 0},
        } | changes

    def pipeline(
        self, stage: list[dict[str, Any]], key: str = "source.zip", bucket: str = "", **changes: Any
    ) -> dict[str, Any]:
        """The pipeline's structure: a source, and a stage of actions."""
        source = {"S3Bucket": bucket or self.bucket, "S3ObjectKey": key}
        source["PollForSourceChanges"] = "false"
        s3 = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
        action = {"name": "Source", "actionTypeId": s3, "configuration": source}
        action |= {"namespace": "Source"}
        stages = {"Source": [action | {"outputArtifacts": [{"name": "Source"}]}], "Work": stage}
        return {
            "name": self.pipeline_name,
            "roleArn": self.role_arn,
            "artifactStore": {"type": "S3", "location": self.bucket},
            "stages": [{"name": name, "actions": actions} for name, actions in stages.items()],
            "executionMode": "PARALLEL",
            "pipelineType": "V2",
        } | changes

    def actions(self, trial: str, count: int = 1, **configuration: str) -> list[dict[str, Any]]:
        """Actions of the custom type, whose jobs are polled for by this trial."""
        work: dict[str, Any] = {"actionTypeId": self.type_id}
        work["configuration"] = {"Trial": trial} | configuration
        work["inputArtifacts"] = [{"name": "Source"}]
        return [{"name": f"Work-{number}", **work} for number in range(1, count + 1)]

    def make(self) -> None:
        """Create everything except the queue. A repeated call may get an "exists" error."""
        self.make_source()
        kind, exists = self.type_request(), ("ValidationException",)
        self.do("codepipeline", "create_custom_action_type", exists, **kind)
        self.create(self.pipeline(self.actions("none")))

    def make_source(self) -> None:
        """Create the bucket with the source, and the role of the pipeline."""
        do, region = self.do, self.calls.region
        self.make_bucket(self.bucket, {"Status": "Enabled"})
        role = {"RoleName": self.name}
        trust = policy("sts:AssumeRole", Principal={"Service": "codepipeline.amazonaws.com"})
        exists = ("EntityAlreadyExists",)
        do("iam", "create_role", exists, AssumeRolePolicyDocument=trust, **role)
        self.role_arn = do("iam", "get_role", **role).value["Role"]["Arn"]
        aws = f"arn:{self.role_arn.split(':')[1]}"
        arn, function = f"{aws}:s3:::{self.bucket}", f"function:{self.name}-none"
        function = f"{aws}:lambda:{region}:{self.account}:{function}"
        rights = policy(RIGHTS, Resource=[f"{arn}*", function])
        do("iam", "put_role_policy", PolicyName="probe", PolicyDocument=rights, **role)

    def make_bucket(self, name: str, versioning: dict[str, str] | None = None) -> None:
        """Create a bucket with the source."""
        region, bucket = self.calls.region, {"Bucket": name}
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        more = {} if region == "us-east-1" else where
        self.do("s3", "create_bucket", ("BucketAlreadyOwnedByYou",), **bucket, **more)
        if versioning:
            self.do("s3", "put_bucket_versioning", VersioningConfiguration=versioning, **bucket)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("README", "The source of a probe's pipeline.\n")
        self.do("s3", "put_object", Key="source.zip", Body=archive.getvalue(), **bucket)

    def create(self, structure: dict[str, Any]) -> None:
        """Create the pipeline, once its role can be assumed. AWS starts it automatically."""
        for _ in range(8):
            try:
                self.do("codepipeline", "create_pipeline", pipeline=structure)
            except ProbeError as error:
                told = str(error)
            else:
                return
            if "already exists" in told or "PipelineNameInUse" in told:
                return
            if "AssumeRole" not in told:
                break
            self.calls.clock.wait(8)
        raise ProbeError(told)

    def make_queue(self, pattern: dict[str, Any]) -> None:
        """Create the queue, and send the bus's events that match a pattern to it."""
        do, bus = self.do, {"EventBusName": self.bus}
        made = do("sqs", "create_queue", QueueName=self.name).value
        queue = {"QueueUrl": made["QueueUrl"]}
        self.queue_url = queue["QueueUrl"]
        about = do("sqs", "get_queue_attributes", AttributeNames=["QueueArn"], **queue).value
        arn = about["Attributes"]["QueueArn"]
        service = {"Service": "events.amazonaws.com"}
        rights = policy("sqs:SendMessage", Principal=service, Resource=arn)
        # A received message must not be received again while the probe runs.
        attributes = {"Policy": rights, "VisibilityTimeout": "43200"}
        do("sqs", "set_queue_attributes", Attributes=attributes, **queue)
        do("events", "put_rule", Name=self.name, EventPattern=json.dumps(pattern), **bus)
        do("events", "put_targets", Rule=self.name, Targets=[{"Id": "1", "Arn": arn}], **bus)

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Remove everything at the end, whatever happens. An error of that hides no other one."""
        try:
            yield
        except BaseException as error:
            try:
                self.remove()
            except ProbeError as left:
                raise ProbeError(f"{str(error) or 'Interrupted'}. {left}") from error
            raise
        self.remove()

    def remove(self) -> list[str]:
        """Remove everything that is the probe's; return that in words. Raises ProbeError at the end
        if something could not be removed."""
        removed: list[str] = []
        refused: list[str] = []
        kinds = (self._pipelines, self._types, self._rules)
        for each in (*kinds, self._queues, self._roles, self._buckets):
            try:
                removed.extend(each())
            except ProbeError as error:
                refused.append(str(error))
        if refused:
            raise ProbeError(f"Not everything could be removed: {'; '.join(refused)}")
        return removed

    def _pipelines(self) -> Iterator[str]:
        named = {"pipelineName": self.pipeline_name}
        found = [each["name"] for each in self._pages("list_pipelines", "pipelines")]
        if self.pipeline_name in found:
            member = "pipelineExecutionSummaries"
            for run in self._pages("list_pipeline_executions", member, **named):
                if run["status"] in ("InProgress", "Stopping"):
                    self.stop(run["pipelineExecutionId"])
            self.do("codepipeline", "delete_pipeline", name=self.pipeline_name)
            yield f"the pipeline {self.pipeline_name}"

    def _types(self) -> Iterator[str]:
        refused = ""
        for each in self._pages("list_action_types", "actionTypes", actionOwnerFilter="Custom"):
            kind = {name: each["id"][name] for name in self.type_name}
            own = re.fullmatch(f"{self.name}-[0-9a-f]{{4}}(-[0-9a-f]{{4}})?", kind["provider"])
            if own and kind == self.type_name | {"provider": kind["provider"]}:
                try:
                    self.do("codepipeline", "delete_custom_action_type", **kind)
                    yield f"the action type {kind['provider']}"
                except ProbeError as error:
                    refused = str(error)
        if refused:
            raise ProbeError(refused)

    def _rules(self) -> Iterator[str]:
        rule = {"EventBusName": self.bus}
        self.do("events", "remove_targets", GONE, Rule=self.name, Ids=["1"], **rule)
        self.do("events", "delete_rule", GONE, Name=self.name, **rule)
        yield from ()

    def _queues(self) -> Iterator[str]:
        if queue := self.do("sqs", "get_queue_url", GONE, QueueName=self.name).value:
            self.do("sqs", "delete_queue", GONE, QueueUrl=queue["QueueUrl"])
            yield f"the queue {self.name}"

    def _roles(self) -> Iterator[str]:
        role = {"RoleName": self.name}
        self.do("iam", "delete_role_policy", GONE, PolicyName="probe", **role)
        if self.do("iam", "delete_role", GONE, **role).code is None:
            yield f"the role {self.name}"

    def _buckets(self) -> Iterator[str]:
        for name in (self.plain_bucket, self.bucket):
            do, bucket = self.do, {"Bucket": name}
            while page := do("s3", "list_object_versions", GONE, **bucket).value:
                found = page.get("Versions", []) + page.get("DeleteMarkers", [])
                objects = [{name: each[name] for name in ("Key", "VersionId")} for each in found]
                if not objects:
                    do("s3", "delete_bucket", GONE, **bucket)
                    yield f"the bucket {name}"
                    break
                do("s3", "delete_objects", GONE, Delete={"Objects": objects}, **bucket)

    def stop(self, execution_id: str) -> None:
        """Abandon an execution, if it can be stopped."""
        named = {"pipelineName": self.pipeline_name, "pipelineExecutionId": execution_id}
        self.do("codepipeline", "stop_pipeline_execution", STOPPED, abandon=True, **named)

    def _pages(self, operation: str, member: str, **request: Any) -> Iterator[dict[str, Any]]:
        page = self.do("codepipeline", operation, **request).value
        yield from page[member]
        while token := page.get("nextToken"):
            page = self.do("codepipeline", operation, nextToken=token, **request).value
            yield from page[member]


def policy(action: str | list[str], **more: Any) -> str:
    """A policy of one statement that allows something."""
    statement = {"Effect": "Allow", "Action": action, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
