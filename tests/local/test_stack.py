"""The stack is made of its own template, and nothing of it goes missing unnamed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local.codepipeline  # noqa: F401 - knows AWS::CodePipeline::CustomActionType
from local.server import LocalCloud
from local.stack import Stack, archive
from tests.local.fixtures.cloud import ACCOUNT, REGION, SECONDS, Queue, running
from tests.support import ROOT, wait_for

SMALL = Path(__file__).parent / "fixtures" / "small" / "template.yaml"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def product(cloud: LocalCloud) -> Stack:
    parameters = {"RegisterActionType": "true", "JobTimeoutSeconds": "120"}
    return cloud.deploy(ROOT / "template.yaml", parameters)


@pytest.fixture(scope="module")
def small(cloud: LocalCloud) -> Stack:
    return cloud.deploy(SMALL, name="small")


def outcome(cloud: LocalCloud, machine: str) -> Any:
    states = cloud.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]

    def ended() -> Any:
        described = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return json.loads(wait_for(ended, "the execution to end", SECONDS)["output"])


# -- The product's template -----------------------------------------------------------------------


def test_everything_in_the_template_is_made(product: Stack) -> None:
    assert product.not_made == []
    assert product.name == "acknowledger"
    assert all(product.outputs.values())
    assert all(product.resources.values())


def test_parameters_are_the_given_ones_and_the_defaults(cloud: LocalCloud, product: Stack) -> None:
    assert product.parameters["JobTimeoutSeconds"] == "120"
    assert product.parameters["LogRetentionDays"] == "30"
    described = cloud.client("cloudformation").describe_stacks(StackName=product.name)
    assert described["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_functions_have_all_their_properties(cloud: LocalCloud, product: Stack) -> None:
    function = cloud.client("lambda").get_function_configuration(
        FunctionName=product.outputs["IntakeFunctionName"]
    )
    variables = function["Environment"]["Variables"]
    assert variables["ACTION_TYPES"] == "Build/Custom/Acknowledger/1"
    assert variables["STATE_MACHINE_ARN"] == product.outputs["JobStateMachineArn"]
    assert function["LoggingConfig"]["LogGroup"] == "/aws/lambda/acknowledger-intake"
    queue = product.outputs["IntakeDeadLettersUrl"].rpartition("/")[2]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    assert function["DeadLetterConfig"] == {"TargetArn": arn}
    assert (function["Timeout"], function["MemorySize"]) == (60, 256)
    assert function["TracingConfig"] == {"Mode": "Active"}


def test_rules_reach_the_functions_on_both_buses(cloud: LocalCloud, product: Stack) -> None:
    events = cloud.client("events")
    targets = {}
    for bus in ("default", product.outputs["JobBusName"]):
        for rule in events.list_rules(EventBusName=bus)["Rules"]:
            [target] = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus)["Targets"]
            assert target["DeadLetterConfig"]["Arn"]
            targets[rule["Name"].split("-")[1]] = target["Arn"].rpartition(":")[2]
    assert targets == {
        "IntakeFunctionActionStarted": product.outputs["IntakeFunctionName"],
        "IntakeFunctionSweep": product.outputs["IntakeFunctionName"],
        "AcknowledgeFunctionJobDispatched": product.outputs["AcknowledgeFunctionName"],
    }


def test_the_definition_has_its_substitutions(cloud: LocalCloud, product: Stack) -> None:
    machine = cloud.client("stepfunctions").describe_state_machine(
        stateMachineArn=product.outputs["JobStateMachineArn"]
    )
    assert "${" not in machine["definition"]
    assert product.outputs["JobTableName"] in machine["definition"]
    assert machine["type"] == "STANDARD"
    assert machine["loggingConfiguration"]["level"] == "ALL"
    assert machine["tracingConfiguration"] == {"enabled": True}


def test_the_table_expires_rows_and_has_backups_and_its_index(
    cloud: LocalCloud, product: Stack
) -> None:
    dynamodb = cloud.client("dynamodb")
    name = product.outputs["JobTableName"]
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expiresAt")
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    indexes = dynamodb.describe_table(TableName=name)["Table"]["GlobalSecondaryIndexes"]
    assert "ByStatus" in [index["IndexName"] for index in indexes]


def test_queues_have_their_policy(cloud: LocalCloud, product: Stack) -> None:
    attributes = cloud.client("sqs").get_queue_attributes(
        QueueUrl=product.outputs["IntakeDeadLettersUrl"], AttributeNames=["All"]
    )["Attributes"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert attributes["MessageRetentionPeriod"] == "1209600"


def test_a_queue_url_of_the_stack_works_at_the_endpoint(cloud: LocalCloud, product: Stack) -> None:
    sqs = cloud.client("sqs")
    url = product.outputs["IntakeDeadLettersUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hello"


def test_the_functions_run(cloud: LocalCloud, product: Stack) -> None:
    answer = cloud.client("lambda").invoke(
        FunctionName=product.outputs["IntakeFunctionName"],
        Payload=json.dumps({"detail-type": "Scheduled Event"}),
    )
    assert "FunctionError" not in answer, answer["Payload"].read()


# -- What other templates have --------------------------------------------------------------------


def test_a_list_keeps_being_a_list_by_default(cloud: LocalCloud, small: Stack) -> None:
    answer = cloud.client("lambda").invoke(FunctionName=small.resources["Handled"])
    given = json.loads(answer["Payload"].read())
    assert given == {
        "names": ["two", "small-bus", small.resources["Inline"]],
        "is": "from the package",
    }


def test_a_function_has_its_concurrency_and_invoke_config(cloud: LocalCloud, small: Stack) -> None:
    client = cloud.client("lambda")
    name = small.resources["Handled"]
    assert client.get_function_configuration(FunctionName=name)["Timeout"] == 7
    concurrency = client.get_function_concurrency(FunctionName=name)
    assert concurrency["ReservedConcurrentExecutions"] == 1
    config = client.get_function_event_invoke_config(FunctionName=name)
    assert config["MaximumRetryAttempts"] == 1
    queue = small.resources["Letters"].rpartition("/")[2]
    destination = {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"}
    assert config["DestinationConfig"]["OnFailure"] == destination
    policy = json.loads(client.get_policy(FunctionName=name)["Policy"])
    assert policy["Statement"][0]["Principal"] == {"Service": "events.amazonaws.com"}


def test_definitions_may_be_in_the_template_or_in_yaml(cloud: LocalCloud, small: Stack) -> None:
    assert outcome(cloud, small.resources["Inline"]) == 7
    assert outcome(cloud, small.outputs["Machine"]) == "of small"


def test_a_rule_is_referred_to_by_its_bus_and_name(small: Stack) -> None:
    assert small.outputs["Rule"].startswith("small-bus|small-HandledTold-")


def test_what_is_not_made_is_named_and_can_be_referred_to(small: Stack) -> None:
    layer = "arn:aws:lambda:us-east-1:017000801446:layer:Unknown:1"
    assert sorted(small.not_made) == [
        "AWS::ResourceGroups::Group (Dashboard)",
        f"layer {layer} (Handled)",
    ]
    assert small.outputs["Group"]


def test_the_rule_delivers(cloud: LocalCloud, small: Stack) -> None:
    queue = Queue(cloud, "told")
    events = cloud.client("events")
    targets = [{"Id": "2", "Arn": queue.arn}]
    rule = small.outputs["Rule"].partition("|")[2]
    events.put_targets(Rule=rule, EventBusName="small-bus", Targets=targets)
    entry = {"Source": "test", "DetailType": "x", "Detail": "{}", "EventBusName": "small-bus"}
    events.put_events(Entries=[entry])
    assert queue.body()["source"] == "test"


# -- Packaging ------------------------------------------------------------------------------------


def test_the_same_code_makes_the_same_zip(tmp_path: Path) -> None:
    for name in ("b.py", "a/__init__.py", "a/__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    first = archive(tmp_path)
    os.utime(tmp_path / "b.py", (0, 0))
    assert archive(tmp_path) == first
    with zipfile.ZipFile(io.BytesIO(first)) as zipped:
        assert zipped.namelist() == ["a/__init__.py", "b.py"]
