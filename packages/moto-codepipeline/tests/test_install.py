"""The replacement of moto's CodePipeline, also after moto was used."""

import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from moto.codepipeline.models import codepipeline_backends

import moto_codepipeline
from codepipeline_fixtures import ACCOUNT, REGION, running_service
from moto_codepipeline import JobBackend, backend, install


def test_importing_installs_it() -> None:
    with mock_aws(config={"core": {"reset_boto3_session": True}}):
        client = boto3.client("codepipeline", region_name=REGION)
        assert client.list_action_types(actionOwnerFilter="Custom")["actionTypes"] == []
        assert isinstance(codepipeline_backends[ACCOUNT][REGION], JobBackend)


def test_installing_again_changes_nothing() -> None:
    with running_service() as service:
        service.job()
        install()
        assert backend(ACCOUNT, REGION) is service.backend
        assert service.action_statuses() == {"Build": "InProgress"}


def test_each_mock_begins_empty() -> None:
    with running_service() as service:
        service.job()
        service.behaviour.nonce_rotates = False
    with running_service() as service:
        assert service.behaviour.nonce_rotates
        assert service.api.list_pipelines()["pipelines"] == []
        assert backend(ACCOUNT, REGION).action_types == {}


def test_accounts_and_regions_are_separate() -> None:
    with running_service() as service:
        service.register()
        assert backend(ACCOUNT, "us-east-1").action_types == {}
        assert backend("111122223333", REGION).action_types == {}
        assert {each.region_name for each in moto_codepipeline.backends()} >= {REGION, "us-east-1"}


USED_BEFORE = """
import os
os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
import json
import boto3
from moto import mock_aws
from moto.cloudformation.parsing import get_model_map
from moto.moto_server.werkzeug_app import create_backend_app
from moto.codepipeline.models import codepipeline_backends
from codepipeline_role import TRUST

with mock_aws():
    get_model_map()
    app = create_backend_app("codepipeline")
    client = boto3.client("codepipeline", region_name="eu-west-1")
    client.list_pipelines()
    boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    stage = {"actions": [{"name": "A", "actionTypeId": {
        "category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}}]}
    client.create_pipeline(pipeline={
        "name": "kept", "roleArn": "arn:aws:iam::123456789012:role/r",
        "stages": [stage | {"name": "S1"}, stage | {"name": "S2"}]})
    import moto_codepipeline
    assert client.list_action_types()["actionTypes"]
    assert [each["name"] for each in client.list_pipelines()["pipelines"]] == ["kept"]
    assert client.start_pipeline_execution(name="kept")["pipelineExecutionId"]
    assert "AWS::CodePipeline::CustomActionType" in get_model_map()
    answer = app.test_client().post("/", data="{}", headers={
        "X-Amz-Target": "CodePipeline_20150709.ListActionTypes"})
    assert answer.status_code == 200, answer.data
    assert json.loads(answer.data)["actionTypes"]
print("installed")
"""


@pytest.mark.slow
def test_it_can_be_installed_after_moto_was_used() -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", USED_BEFORE],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parent,
    )
    assert answer.stdout == "installed\n", answer.stderr
