"""Pipelines and jobs over HTTP, through moto's server, as the AWS CLI or an SDK uses it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from moto import mock_aws
from moto.server import ThreadedMotoServer

from codepipeline_fixtures import (
    ACCOUNT,
    REGION,
    TYPE,
    action_type,
    at_once,
    client,
    source,
)
from codepipeline_role import TRUST
from codepipeline_stacks import Stack, stack_pipeline, stack_type
from moto_codepipeline import backend
from moto_codepipeline.http import serve
from moto_codepipeline.testing import make_bucket, put_source

PAGE = (Path(__file__).parents[1] / "docs" / "behaviour.md").read_text()
REQUESTS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
AUTHORIZATION = f"AWS4-HMAC-SHA256 Credential=none/20260101/{REGION}/codepipeline/aws4_request, a=b"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    backend(ACCOUNT, REGION).behaviour = at_once()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def post(url: str, body: bytes, **headers: str) -> tuple[int, Any, bytes]:
    request = Request(url, data=body, method="POST")  # noqa: S310 - our own server
    usual = {"Authorization": AUTHORIZATION, "Content_Type": "application/x-amz-json-1.1"}
    for name, value in (usual | headers).items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture(scope="module")
def pipeline(url: str) -> str:
    """A pipeline with one custom action; returns its name."""
    client("iam", url).create_role(RoleName="pipeline", AssumeRolePolicyDocument=json.dumps(TRUST))
    pipelines = client("codepipeline", url)
    pipelines.create_custom_action_type(**action_type())
    put_source(client("s3", url), "code", "code.zip", {"main.py": b"print()"})
    make_bucket(client("s3", url), "artifacts")
    pipelines.create_pipeline(
        pipeline={
            "name": "release",
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [
                {"name": "Source", "actions": [source()]},
                {"name": "Build", "actions": [{"name": "Build", "actionTypeId": TYPE}]},
            ],
        }
    )
    return "release"


def test_a_pipeline_runs_over_http(url: str, pipeline: str) -> None:
    pipelines = client("codepipeline", url)
    execution_id = pipelines.start_pipeline_execution(name=pipeline)["pipelineExecutionId"]
    [job] = pipelines.poll_for_jobs(actionTypeId=TYPE, maxBatchSize=10)["jobs"]
    assert pipelines.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"] == "InProgress"
    body = json.dumps({"jobId": job["id"], "outputVariables": {"a": "1"}}).encode()
    status, _, answer = post(url, body, X_Amz_Target="CodePipeline_20150709.PutJobSuccessResult")
    assert (status, answer) == (200, b"")
    execution = pipelines.get_pipeline_execution(
        pipelineName=pipeline, pipelineExecutionId=execution_id
    )
    assert execution["pipelineExecution"]["status"] == "Succeeded"


@pytest.mark.usefixtures("pipeline")
def test_a_stack_is_updated_over_http(url: str) -> None:
    stack, pipelines = Stack(client("cloudformation", url)), client("codepipeline", url)

    def template(version: str) -> dict[str, Any]:
        kind, pipeline = stack_type(Version=version), stack_pipeline(Name="stacked")
        [declared] = pipeline["Resources"].values()
        declared["DependsOn"] = "BuilderType"
        declared["Properties"]["Stages"][1]["Actions"][0]["ActionTypeId"]["Version"] = version
        return {name: kind[name] | pipeline[name] for name in kind}

    stack.create(template("2"))
    first = stack.outputs["Id"]
    assert stack.outputs["Version"] == "1"
    stack.update(template("3"))
    assert stack.outputs["Id"] != first
    assert stack.outputs["Version"] == "2"
    assert pipelines.get_pipeline(name="stacked")["pipeline"]["version"] == 2
    stack.delete()
    assert "stacked" not in [each["name"] for each in pipelines.list_pipelines()["pipelines"]]


def test_timestamps_are_numbers(url: str, pipeline: str) -> None:
    for operation, body in (
        ("ListPipelines", {}),
        ("GetPipeline", {"name": pipeline}),
        ("GetPipelineState", {"name": pipeline}),
        ("ListPipelineExecutions", {"pipelineName": pipeline}),
        ("ListActionExecutions", {"pipelineName": pipeline}),
    ):
        target = f"CodePipeline_20150709.{operation}"
        status, _, answer = post(url, json.dumps(body).encode(), X_Amz_Target=target)
        assert status == 200
        assert not re.search(rb'"\d{4}-\d\d-\d\dT', answer), answer


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("requests", REQUESTS, ids=range(len(REQUESTS)))
def test_the_requests_of_the_page_of_behavior_are_answered(requests: str) -> None:
    with mock_aws(), serve(REGION) as url:
        script = requests.replace("http://127.0.0.1:4566", url).replace("curl ", "curl -sSf ")
        ended = subprocess.run(
            ["/bin/sh", "-ec", script], check=False, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, ended.stderr
        service = backend(ACCOUNT, REGION)
        told = (service.behaviour.nonce_rotates, len(service.next_jobs))
    assert told == ((False, 0) if "behaviour" in requests else (True, 2))
