"""AWS's own actions on the local stack: a pipeline with a Lambda invoke action."""

from typing import Any

from local import acknowledger
from tests.local.fixtures.cloud import SECONDS, make_function
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


def test_a_function_is_given_a_job_and_reads_its_input():
    with acknowledger.empty(behaviour={"continuation_seconds": 0.2}) as cloud:
        make_function(cloud, "work", CODE, Timeout=30)
        configuration = {"FunctionName": "work", "UserParameters": "read"}
        stages = {"Work": [{"name": "Work", "configuration": configuration}]}
        acknowledger.create_pipeline(cloud, "own", "AWS/Invoke/Lambda/1", stages)
        service = cloud.client("codepipeline")
        service.start_pipeline_execution(name="own")

        def ended() -> Any:
            [_, stage] = service.get_pipeline_state(name="own")["stageStates"]
            latest = stage["actionStates"][0].get("latestExecution", {})
            return latest if latest.get("status") in ("Succeeded", "Failed") else None

        latest = wait_for(ended, "the function's result", SECONDS)
        assert latest["status"] == "Succeeded", latest
        [work, _] = service.list_action_executions(pipelineName="own")["actionExecutionDetails"]
        assert work["output"]["outputVariables"] == {"How": "read"}
