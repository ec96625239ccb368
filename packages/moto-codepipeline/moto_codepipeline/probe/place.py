"""What the probe creates, under one prefix, and how it is removed.

Names are the prefix itself, or begin with it and a hyphen. Nothing else is ever changed. The action
type has a new name each time, since a deleted one may not be usable again.
"""

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
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
    ``bus`` is the event bus whose events go to the queue.
    """

    def __init__(self, calls: Calls, prefix: str, bus: str = "default") -> None:
        self.do, self.calls, self.prefix, self.bus = calls.do, calls, prefix, bus
        self.account = str(calls.do("sts", "get_caller_identity").value["Account"])
        self.bucket = f"{prefix}-{self.account}-{calls.region}"
        self.pipeline_name = f"{prefix}-pipeline"
        provider = f"{prefix}-{secrets.token_hex(3)}"
        self.type_name = {"category": "Test", "provider": provider, "version": "1"}
        self.type_id = self.type_name | {"owner": "Custom"}
        self.role_arn = self.queue_url = ""

    def plan(self) -> list[str]:
        """What will be created, in words."""
        return [
            f"the S3 bucket {self.bucket}, with a small object and its artifacts",
            f"the IAM role {self.prefix}, which CodePipeline may assume for this bucket alone",
            f"custom action types Custom/Test/{self.prefix}-…/1",
            f"the pipeline {self.pipeline_name}, and some 200 executions of it",
            f"the SQS queue {self.prefix}, and its EventBridge rule {self.prefix}",
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
        self, stage: list[dict[str, Any]], key: str = "source.zip", **changes: Any
    ) -> dict[str, Any]:
        """The pipeline's structure: a source, and a stage of actions."""
        source = {"S3Bucket": self.bucket, "S3ObjectKey": key, "PollForSourceChanges": "false"}
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
        do, region, bucket = self.do, self.calls.region, {"Bucket": self.bucket}
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        more = {} if region == "us-east-1" else where
        do("s3", "create_bucket", ("BucketAlreadyOwnedByYou",), **bucket, **more)
        versions = {"VersioningConfiguration": {"Status": "Enabled"}}
        do("s3", "put_bucket_versioning", **bucket, **versions)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("README", "The source of a probe's pipeline.\n")
        do("s3", "put_object", Key="source.zip", Body=archive.getvalue(), **bucket)
        role = {"RoleName": self.prefix}
        trust = policy("sts:AssumeRole", Principal={"Service": "codepipeline.amazonaws.com"})
        exists = ("EntityAlreadyExists",)
        do("iam", "create_role", exists, AssumeRolePolicyDocument=trust, **role)
        self.role_arn = do("iam", "get_role", **role).value["Role"]["Arn"]
        aws = f"arn:{self.role_arn.split(':')[1]}"
        arn, function = f"{aws}:s3:::{self.bucket}", f"function:{self.prefix}-none"
        function = f"{aws}:lambda:{region}:{self.account}:{function}"
        rights = policy(RIGHTS, Resource=[arn, f"{arn}/*", function])
        do("iam", "put_role_policy", PolicyName="probe", PolicyDocument=rights, **role)

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
        made = do("sqs", "create_queue", QueueName=self.prefix).value
        queue = {"QueueUrl": made["QueueUrl"]}
        self.queue_url = queue["QueueUrl"]
        about = do("sqs", "get_queue_attributes", AttributeNames=["QueueArn"], **queue).value
        arn = about["Attributes"]["QueueArn"]
        service = {"Service": "events.amazonaws.com"}
        rights = policy("sqs:SendMessage", Principal=service, Resource=arn)
        # A received message must not be received again while the probe runs.
        attributes = {"Policy": rights, "VisibilityTimeout": "43200"}
        do("sqs", "set_queue_attributes", Attributes=attributes, **queue)
        do("events", "put_rule", Name=self.prefix, EventPattern=json.dumps(pattern), **bus)
        do("events", "put_targets", Rule=self.prefix, Targets=[{"Id": "1", "Arn": arn}], **bus)

    def remove(self) -> list[str]:
        """Remove everything with the prefix; return that in words. Raises ProbeError."""
        do, prefix, removed = self.do, self.prefix, []
        for each in self._pages("list_pipelines", "pipelines"):
            if each["name"] == self.pipeline_name:
                for run in self._pages(
                    "list_pipeline_executions",
                    "pipelineExecutionSummaries",
                    pipelineName=self.pipeline_name,
                ):
                    if run["status"] in ("InProgress", "Stopping"):
                        self.stop(run["pipelineExecutionId"])
                do("codepipeline", "delete_pipeline", name=self.pipeline_name)
                removed.append(f"the pipeline {self.pipeline_name}")
        for each in self._pages("list_action_types", "actionTypes", actionOwnerFilter="Custom"):
            kind = {name: each["id"][name] for name in self.type_name}
            if kind["provider"].startswith(f"{prefix}-"):
                do("codepipeline", "delete_custom_action_type", **kind)
                removed.append(f"the action type {kind['provider']}")
        bus = {"EventBusName": self.bus}
        do("events", "remove_targets", GONE, Rule=prefix, Ids=["1"], **bus)
        do("events", "delete_rule", GONE, Name=prefix, **bus)
        if queue := do("sqs", "get_queue_url", GONE, QueueName=prefix).value:
            do("sqs", "delete_queue", GONE, QueueUrl=queue["QueueUrl"])
            removed.append(f"the queue {prefix}")
        do("iam", "delete_role_policy", GONE, RoleName=prefix, PolicyName="probe")
        if do("iam", "delete_role", GONE, RoleName=prefix).code is None:
            removed.append(f"the role {prefix}")
        bucket = {"Bucket": self.bucket}
        while page := do("s3", "list_object_versions", GONE, **bucket).value:
            found = page.get("Versions", []) + page.get("DeleteMarkers", [])
            objects = [{name: each[name] for name in ("Key", "VersionId")} for each in found]
            if not objects:
                do("s3", "delete_bucket", GONE, **bucket)
                removed.append(f"the bucket {self.bucket}")
                break
            do("s3", "delete_objects", GONE, Delete={"Objects": objects}, **bucket)
        return removed

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
