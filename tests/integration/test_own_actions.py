"""AWS's own actions on the local stack: a pipeline with a Lambda invoke action."""

import io
import json
import zipfile
from typing import Any

from local import acknowledger
from tests.support import wait_for

CODE = """
import boto3

def handler(event, context):
    job = event["CodePipeline.job"]
    service = boto3.client("codepipeline")
    if "continuationToken" not in job["data"]:
        service.put_job_success_result(jobId=job["id"], continuationToken="again")
        return
    place = job["data"]["inputArtifacts"][0]["location"]["s3Location"]
    keys = job["data"]["artifactCredentials"]
    s3 = boto3.client(
        "s3",
        aws_access_key_id=keys["accessKeyId"],
        aws_secret_access_key=keys["secretAccessKey"],
        aws_session_token=keys["sessionToken"],
    )
    s3.get_object(Bucket=place["bucketName"], Key=place["objectKey"])["Body"].read()
    parameters = job["data"]["actionConfiguration"]["configuration"]["UserParameters"]
    service.put_job_success_result(jobId=job["id"], outputVariables={"How": parameters})
"""
SECONDS = 60


def function_role(iam: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return str(iam.create_role(RoleName="work", AssumeRolePolicyDocument=trust)["Role"]["Arn"])


def test_a_function_is_given_a_job_and_reads_its_input():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("work.py", CODE)
    with acknowledger.empty(behaviour={"continuation_seconds": 0.2}) as cloud:
        cloud.client("lambda").create_function(
            FunctionName="work",
            Runtime="python3.13",
            Handler="work.handler",
            Role=function_role(cloud.client("iam")),
            Code={"ZipFile": archive.getvalue()},
            Timeout=30,
        )
        action = {
            "name": "Work",
            "configuration": {"FunctionName": "work", "UserParameters": "read"},
        }
        role = f"arn:aws:iam::{cloud.account_id}:role/{acknowledger.PIPELINE_ROLE}"
        service = cloud.client("codepipeline")
        declared = acknowledger.pipeline("own", "AWS/Invoke/Lambda/1", {"Work": [action]}, role)
        service.create_pipeline(pipeline=declared)
        service.start_pipeline_execution(name="own")

        def ended() -> Any:
            [_, stage] = service.get_pipeline_state(name="own")["stageStates"]
            latest = stage["actionStates"][0].get("latestExecution", {})
            return latest if latest.get("status") in ("Succeeded", "Failed") else None

        latest = wait_for(ended, "the function's result", SECONDS)
        assert latest["status"] == "Succeeded", latest
        [work, _] = service.list_action_executions(pipelineName="own")["actionExecutionDetails"]
        assert work["output"]["outputVariables"] == {"How": "read"}
