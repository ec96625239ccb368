"""The stack is created from its own template, and names what can't be created."""

import functools
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from moto.events.models import EventBus
from samtranslator.yaml_helper import yaml_parse

import moto_codepipeline  # noqa: F401 - knows AWS::CodePipeline::CustomActionType
from local.aws.cloudformation import resources
from local.aws.server import LocalCloud
from local.aws.stack import Stack, archive
from tests.local.fixtures.cloud import ACCOUNT, REGION, SECONDS, Queue, running
from tests.support import ROOT, wait_for

SMALL = Path(__file__).parent / "fixtures" / "small" / "template.yaml"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running(functools.partial(LocalCloud, allow_not_made=True)) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def product(cloud: LocalCloud) -> Stack:
    parameters = {"RegisterActionType": "true", "JobTimeoutSeconds": "120"}
    return cloud.deploy(ROOT / "template.yaml", parameters, name="acknowledger")


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


def test_everything_in_the_template_is_created(product):
    assert product.not_made == []
    assert product.name == "acknowledger"
    assert all(product.outputs.values())
    assert all(product.resources.values())


def test_parameters_are_given_values_or_defaults(cloud, product):
    assert product.parameters["JobTimeoutSeconds"] == "120"
    assert product.parameters["LogRetentionDays"] == "30"
    described = cloud.client("cloudformation").describe_stacks(StackName=product.name)
    assert described["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_functions_have_all_their_properties(cloud, product):
    function = cloud.client("lambda").get_function_configuration(
        FunctionName=product.outputs["IntakeFunctionName"]
    )
    variables = function["Environment"]["Variables"]
    assert variables["ACTION_TYPES"] == "Custom/Build/Acknowledger/1"
    assert variables["STATE_MACHINE_ARN"] == product.outputs["JobStateMachineArn"]
    assert function["LoggingConfig"]["LogGroup"] == "/aws/lambda/acknowledger-intake"
    queue = product.outputs["IntakeDeadLettersUrl"].rpartition("/")[2]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    assert function["DeadLetterConfig"] == {"TargetArn": arn}
    assert (function["Timeout"], function["MemorySize"]) == (60, 256)
    assert function["TracingConfig"] == {"Mode": "Active"}


def test_rules_reach_the_functions_on_both_buses(cloud, product):
    events = cloud.client("events")
    targets = {}
    for bus in ("default", product.outputs["JobBusName"]):
        for rule in events.list_rules(EventBusName=bus)["Rules"]:
            [target] = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus)["Targets"]
            assert target["DeadLetterConfig"]["Arn"]
            targets[rule["Name"].split("-")[1]] = target["Arn"].rpartition(":")[2]
    template = yaml_parse((ROOT / "template.yaml").read_text())
    assert targets == {
        f"{name}{event}": product.resources[name]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function" and name in product.resources
        for event in resource["Properties"].get("Events", {})
    }
    assert targets["IntakeFunctionSweep"] == product.outputs["IntakeFunctionName"]


def test_the_definition_has_its_substitutions(cloud, product):
    machine = cloud.client("stepfunctions").describe_state_machine(
        stateMachineArn=product.outputs["JobStateMachineArn"]
    )
    assert "${" not in machine["definition"]
    assert product.outputs["JobTableName"] in machine["definition"]
    assert machine["type"] == "STANDARD"
    assert machine["loggingConfiguration"]["level"] == "ALL"
    assert machine["tracingConfiguration"] == {"enabled": True}


def test_the_table_expires_rows_and_has_backups_and_its_index(cloud, product):
    dynamodb = cloud.client("dynamodb")
    name = product.outputs["JobTableName"]
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expiresAt")
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    indexes = dynamodb.describe_table(TableName=name)["Table"]["GlobalSecondaryIndexes"]
    assert "ByStatus" in [index["IndexName"] for index in indexes]


def test_queues_have_their_policy(cloud, product):
    attributes = cloud.client("sqs").get_queue_attributes(
        QueueUrl=product.outputs["IntakeDeadLettersUrl"], AttributeNames=["All"]
    )["Attributes"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert attributes["MessageRetentionPeriod"] == "1209600"


def test_a_queue_url_of_the_stack_works_at_the_endpoint(cloud, product):
    sqs = cloud.client("sqs")
    url = product.outputs["IntakeDeadLettersUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hello"


# -- Other templates ------------------------------------------------------------------------------


def test_the_default_of_a_list_parameter_is_a_list(cloud, small):
    answer = cloud.client("lambda").invoke(FunctionName=small.resources["Handled"])
    given = json.loads(answer["Payload"].read())
    assert given == {
        "names": ["two", "small-bus", small.resources["Inline"]],
        "is": "from the package",
    }


def test_a_function_has_its_concurrency_and_invoke_config(cloud, small):
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


def test_definitions_may_be_in_the_template_or_in_yaml(cloud, small):
    assert outcome(cloud, small.resources["Inline"]) == 7
    assert outcome(cloud, small.outputs["Machine"]) == "of small"


def test_the_ref_of_a_rule_is_its_bus_and_name(small):
    assert small.outputs["Rule"].startswith("small-bus|small-HandledTold-")


def test_a_resource_that_is_not_created_is_named_and_can_be_referred_to(small):
    layer = "arn:aws:lambda:us-east-1:017000801446:layer:Unknown:1"
    assert sorted(small.not_made) == [
        "AWS::ResourceGroups::Group (Dashboard)",
        f"layer {layer} (Handled)",
    ]
    assert small.outputs["Group"] == "small-group"
    arn = "arn:aws:resourcegroups:us-east-1:123456789012:group/small-group"
    assert small.outputs["GroupArn"] == arn


def test_the_rule_delivers_events(cloud, small):
    queue = Queue(cloud, "told")
    events = cloud.client("events")
    targets = [{"Id": "2", "Arn": queue.arn}]
    rule = small.outputs["Rule"].partition("|")[2]
    events.put_targets(Rule=rule, EventBusName="small-bus", Targets=targets)
    entry = {"Source": "test", "DetailType": "x", "Detail": "{}", "EventBusName": "small-bus"}
    events.put_events(Entries=[entry])
    assert queue.body()["source"] == "test"


# -- Packaging ------------------------------------------------------------------------------------


def test_the_same_code_makes_the_same_zip(tmp_path):
    for name in ("b.py", "a/__init__.py", "a/__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    first = archive(tmp_path)
    os.utime(tmp_path / "b.py", (0, 0))
    assert archive(tmp_path) == first
    with zipfile.ZipFile(io.BytesIO(first)) as zipped:
        assert zipped.namelist() == ["a/__init__.py", "b.py"]


# -- Creation, updates and deletion ---------------------------------------------------------------


def queue(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def bus(name: str) -> dict[str, Any]:
    return {"Type": "AWS::Events::EventBus", "Properties": {"Name": name}}


class Templates:
    """CloudFormation calls with a stack's resources."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.client = cloud.client("cloudformation")

    def create(self, name: str, resources: dict[str, Any], **more: Any) -> None:
        body = json.dumps({"Resources": resources})
        self.client.create_stack(StackName=name, TemplateBody=body, **more)

    def update(self, name: str, resources: dict[str, Any], **more: Any) -> None:
        body = json.dumps({"Resources": resources})
        self.client.update_stack(StackName=name, TemplateBody=body, **more)

    def status(self, name: str) -> str:
        return str(self.client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    def resources(self, name: str) -> dict[str, str]:
        found = self.client.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def events(self, name: str) -> list[tuple[str, str]]:
        """The events of the stack and its resources, oldest first."""
        events = self.client.describe_stack_events(StackName=name)["StackEvents"]
        return [(each["LogicalResourceId"], each["ResourceStatus"]) for each in reversed(events)]


@pytest.fixture
def templates(cloud: LocalCloud) -> Iterator[Templates]:
    templates = Templates(cloud)
    before = {each["StackName"] for each in templates.client.describe_stacks()["Stacks"]}
    yield templates
    for each in templates.client.describe_stacks()["Stacks"]:
        if each["StackName"] not in before:
            templates.client.delete_stack(StackName=each["StackName"])


def test_a_changed_resource_is_updated_in_place_or_replaced(cloud, templates):
    letters = {"Fn::GetAtt": ["Letters", "QueueName"]}
    log = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": letters}}
    templates.create("changing", {"Letters": queue(DelaySeconds=1), "Log": log, "Gone": queue()})
    before = templates.resources("changing")
    templates.update("changing", {"Letters": queue(DelaySeconds="2"), "Log": log, "New": queue()})
    after = templates.resources("changing")
    assert set(after) == {"Letters", "Log", "New"}
    assert after["Letters"] == before["Letters"]
    assert after["Log"] == before["Log"]
    attributes = cloud.client("sqs").get_queue_attributes(
        QueueUrl=after["Letters"], AttributeNames=["DelaySeconds"]
    )
    assert attributes["Attributes"] == {"DelaySeconds": "2"}
    assert templates.events("changing")[-8:] == [
        ("changing", "UPDATE_IN_PROGRESS"),
        ("Letters", "UPDATE_IN_PROGRESS"),
        ("Letters", "UPDATE_COMPLETE"),
        ("New", "CREATE_IN_PROGRESS"),
        ("New", "CREATE_COMPLETE"),
        ("Gone", "DELETE_IN_PROGRESS"),
        ("Gone", "DELETE_COMPLETE"),
        ("changing", "UPDATE_COMPLETE"),
    ]
    # A new name replaces the queue, and also the log group that is named after the queue.
    templates.update("changing", {"Letters": queue(QueueName="renamed"), "Log": log})
    assert templates.resources("changing")["Letters"].endswith("/renamed")
    assert templates.resources("changing")["Log"] == "renamed"
    urls = cloud.client("sqs").list_queues()["QueueUrls"]
    names = [url.rpartition("/")[2] for url in urls]
    assert [name for name in names if name.startswith("changing-")] == []


def test_a_failed_creation_leaves_only_a_stack_with_the_reason(cloud, templates):
    cloud.client("events").create_event_bus(Name="taken")
    with pytest.raises(ClientError, match="taken already exists"):
        templates.create("unlucky", {"First": queue(), "Taken": bus("taken")})
    assert templates.status("unlucky") == "ROLLBACK_COMPLETE"
    assert templates.resources("unlucky") == {}
    assert ("Taken", "CREATE_FAILED") in templates.events("unlucky")
    assert ("First", "DELETE_COMPLETE") in templates.events("unlucky")
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        templates.update("unlucky", {"First": queue()})
    with pytest.raises(ClientError):
        templates.create("stuck", {"First": queue(), "Taken": bus("taken")}, DisableRollback=True)
    assert templates.status("stuck") == "CREATE_FAILED"
    assert set(templates.resources("stuck")) == {"First"}
    cloud.client("events").delete_event_bus(Name="taken")


def test_a_failed_update_is_rolled_back(cloud, templates):
    cloud.client("events").create_event_bus(Name="taken")
    before = {"Letters": queue(DelaySeconds=1), "Old": queue(), "Bus": bus("mine")}
    templates.create("careful", before)
    made = templates.resources("careful")
    with pytest.raises(ClientError, match="taken already exists"):
        templates.update(
            "careful", {"Letters": queue(DelaySeconds=2), "New": queue(), "Bus": bus("taken")}
        )
    assert templates.status("careful") == "UPDATE_ROLLBACK_COMPLETE"
    assert templates.resources("careful") == made
    attributes = cloud.client("sqs").get_queue_attributes(
        QueueUrl=made["Letters"], AttributeNames=["DelaySeconds"]
    )
    assert attributes["Attributes"] == {"DelaySeconds": "1"}
    cloud.client("events").delete_event_bus(Name="taken")
    templates.update("careful", {**before, "Bus": bus("taken")})
    assert templates.resources("careful")["Bus"] == "taken"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        templates.update("careful", {**before, "Bus": bus("taken")})


@pytest.mark.parametrize(
    ("template", "parameters", "objection"),
    [
        ({"Resources": {"A": queue(QueueName={"Ref": "B"})}}, {}, r"dependencies \[B\]"),
        ({"Resources": {"A": queue()}}, {"B": "1"}, "do not exist in the template"),
        (
            {"Parameters": {"B": {"Type": "String"}}, "Resources": {"A": queue()}},
            {},
            "must have values",
        ),
        (
            {
                "Parameters": {"B": {"Type": "Number", "MaxValue": 3}},
                "Resources": {"A": queue()},
            },
            {"B": "4"},
            "not greater than 3",
        ),
        (
            {"Resources": {"A": {**queue(), "DependsOn": "B"}, "B": {**queue(), "DependsOn": "A"}}},
            {},
            "Circular dependency",
        ),
        (
            {
                "Transform": "AWS::Serverless-2016-10-31",
                "Resources": {"A": {"Type": "AWS::Serverless::Function", "Properties": {}}},
            },
            {},
            "Invalid Serverless Application Specification document",
        ),
        (
            {
                "Resources": {
                    "A": {
                        "Type": "AWS::IAM::Role",
                        "Properties": {"AssumeRolePolicyDocument": {"Statement": []}},
                    }
                }
            },
            {},
            r"Requires capabilities : \[CAPABILITY_IAM\]",
        ),
        ({"Description": "nothing"}, {}, "At least one Resources member must be defined"),
        (
            {"Resources": {"A": {}}},
            {},
            r"\[/Resources/A\] Every Resources object must contain a Type",
        ),
        (
            {
                "Resources": {
                    "A": queue(),
                    "B": {"Type": "AWS::Nope::B"},
                    "C": {"Type": "Own::C::D"},
                }
            },
            {},
            r"Template format error: Unrecognized resource types: \[AWS::Nope::B, Own::C::D\]",
        ),
        ({"Resources": {"A": {**queue(), "Properties": []}}}, {}, "Any Properties member must be"),
        ({"Resources": {"A": queue(QueueName={"Ref": []})}}, {}, "Every Ref object must have a"),
        ({"Resources": {"A": queue(QueueName={"Fn::GetAtt": "B"})}}, {}, "every Fn::GetAtt object"),
        ({"Resources": {"A": queue(QueueName={"Fn::GetAtt": [1]})}}, {}, "every Fn::GetAtt object"),
        ({"Resources": {"A": queue(QueueName={"Fn::Sub": ["x"]})}}, {}, "or more Fn::Sub"),
        (
            {"Resources": {"A": {"Type": "AWS::Serverless::Function"}}},
            {},
            r"Unrecognized resource types: \[AWS::Serverless::Function\]",
        ),
    ],
)
def test_an_invalid_template_is_refused(templates, template, parameters, objection):
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    with pytest.raises(ClientError, match=objection):
        templates.client.create_stack(
            StackName="refused", TemplateBody=json.dumps(template), Parameters=given
        )
    with pytest.raises(ClientError, match="does not exist"):
        templates.status("refused")


def test_the_type_of_a_resource_can_not_be_changed(templates):
    templates.create("types", {"A": queue(), "B": queue()})
    changed = {"A": {"Type": "AWS::SNS::Topic"}, "B": queue(DelaySeconds=1)}
    with pytest.raises(ClientError, match=r"modifies resource type of .* resources: \[A\]"):
        templates.client.update_stack(
            StackName="types", TemplateBody=json.dumps({"Resources": changed})
        )
    assert templates.status("types") == "CREATE_COMPLETE"


def test_a_template_too_long_for_a_request_is_accepted_only_from_s3(cloud, templates):
    long = json.dumps({"Description": "é" * 30_000, "Resources": {"Letters": queue()}})
    for body in (long, json.dumps(json.loads(long), ensure_ascii=False)):
        with pytest.raises(ClientError, match="less than or equal to 51200"):
            templates.client.create_stack(StackName="long", TemplateBody=body)
    cloud.client("s3").create_bucket(Bucket="long-ones")
    cloud.client("s3").put_object(Bucket="long-ones", Key="a.json", Body=long)
    url = f"{cloud.endpoint_url}/long-ones/a.json"
    templates.client.create_stack(StackName="long", TemplateURL=url)
    assert templates.status("long") == "CREATE_COMPLETE"


def test_a_change_set_lists_its_changes_and_can_be_executed_once(templates):
    client = templates.client
    templates.create("planned", {"Letters": queue(), "Gone": queue()})
    body = json.dumps({"Resources": {"Letters": queue(DelaySeconds=3), "New": queue()}})
    about = {"StackName": "planned", "ChangeSetName": "one"}
    client.create_change_set(**about, TemplateBody=body, ChangeSetType="UPDATE")
    told = client.describe_change_set(**about)
    assert (told["Status"], told["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    changes = [change["ResourceChange"] for change in told["Changes"]]
    assert [
        (change["Action"], change["LogicalResourceId"], change.get("Replacement"))
        for change in changes
    ] == [("Modify", "Letters", "False"), ("Add", "New", None), ("Remove", "Gone", None)]
    assert set(templates.resources("planned")) == {"Letters", "Gone"}
    client.execute_change_set(**about)
    assert set(templates.resources("planned")) == {"Letters", "New"}
    with pytest.raises(ClientError, match="cannot be executed"):
        client.execute_change_set(**about)
    again = {**about, "ChangeSetName": "two"}
    client.create_change_set(**again, TemplateBody=body, ChangeSetType="UPDATE")
    told = client.describe_change_set(**again)
    assert told["Status"] == "FAILED"
    assert told["StatusReason"].startswith("The submitted information didn't contain changes.")


@pytest.mark.parametrize(
    "address",
    [
        "{endpoint}/templates/a/b.json",
        "https://s3.us-east-1.amazonaws.com/templates/a/b.json",
        "https://s3.amazonaws.com/templates/a/b.json",
        "https://templates.s3.us-east-1.amazonaws.com/a/b.json",
        "https://templates.s3.amazonaws.com/a/b.json",
        "http://templates.localhost:4566/a/b.json",
    ],
)
def test_a_template_is_found_in_s3(cloud, templates, address):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="templates")
    body = json.dumps({"Description": "Found", "Resources": {"Letters": queue()}})
    s3.put_object(Bucket="templates", Key="a/b.json", Body=body)
    url = address.format(endpoint=cloud.endpoint_url)
    assert templates.client.validate_template(TemplateURL=url)["Description"] == "Found"
    templates.client.create_stack(StackName="found", TemplateURL=url)
    told = templates.client.get_template(StackName="found")
    assert told["TemplateBody"] == json.loads(body)
    with pytest.raises(ClientError, match="S3 error"):
        templates.client.validate_template(TemplateURL=url.replace("b.json", "c.json"))


def test_a_bucket_that_is_not_empty_is_not_deleted(cloud, templates):
    templates.create("full", {"Bucket": {"Type": "AWS::S3::Bucket"}, "Letters": queue()})
    s3, bucket = cloud.client("s3"), templates.resources("full")["Bucket"]
    s3.put_object(Bucket=bucket, Key="a")
    templates.client.delete_stack(StackName="full")
    assert templates.status("full") == "DELETE_FAILED"
    assert set(templates.resources("full")) == {"Bucket"}
    s3.delete_object(Bucket=bucket, Key="a")
    templates.client.delete_stack(StackName="full")
    with pytest.raises(ClientError, match="does not exist"):
        templates.status("full")


def test_a_policy_is_put_into_roles_by_their_names(cloud, templates):
    iam = cloud.client("iam")

    def document(action: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        return {"Version": "2012-10-17", "Statement": [statement]}

    def role(*policies: str, **properties: Any) -> dict[str, Any]:
        trust = {"Version": "2012-10-17", "Statement": []}
        own = [{"PolicyName": name, "PolicyDocument": document("a:A")} for name in policies]
        properties |= {"AssumeRolePolicyDocument": trust, "Policies": own}
        return {"Type": "AWS::IAM::Role", "Properties": properties}

    def policy(action: str, *roles: str) -> dict[str, Any]:
        properties = {
            "PolicyName": "shared",
            "PolicyDocument": document(action),
            "Roles": [{"Ref": name} for name in roles],
        }
        return {"Type": "AWS::IAM::Policy", "Properties": properties}

    def policies(logical_id: str) -> list[str]:
        name = templates.resources("policies")[logical_id]
        return sorted(iam.list_role_policies(RoleName=name)["PolicyNames"])

    def update(resources: dict[str, Any]) -> None:
        templates.update("policies", resources, Capabilities=["CAPABILITY_IAM"])

    roles = {"One": role("own"), "Two": role()}
    first = {**roles, "Shared": policy("a:B", "One")}
    templates.create("policies", first, Capabilities=["CAPABILITY_IAM"])
    made = templates.resources("policies")
    assert (policies("One"), policies("Two")) == (["own", "shared"], [])

    update({**roles, "Shared": policy("a:C", "One", "Two")})
    assert templates.resources("policies") == made
    assert (policies("One"), policies("Two")) == (["own", "shared"], ["shared"])
    for name in (made["One"], made["Two"]):
        found = iam.get_role_policy(RoleName=name, PolicyName="shared")["PolicyDocument"]
        assert found == document("a:C")

    # An updated role keeps the policies of other resources.
    update({"One": role("other"), "Two": role(), "Shared": policy("a:C", "One", "Two")})
    assert templates.resources("policies") == made
    assert (policies("One"), policies("Two")) == (["other", "shared"], ["shared"])

    # A replaced role still has the policy.
    roles = {"One": role("other"), "Two": role(Path="/elsewhere/")}
    update({**roles, "Shared": policy("a:C", "One", "Two")})
    assert templates.resources("policies")["Two"] != made["Two"]
    assert (policies("One"), policies("Two")) == (["other", "shared"], ["shared"])

    update(roles)
    assert (policies("One"), policies("Two")) == (["other"], [])
    update(first)
    templates.client.delete_stack(StackName="policies")
    names = [each["RoleName"] for each in iam.list_roles()["Roles"]]
    assert [name for name in names if name.startswith("policies-")] == []


def test_a_second_table_is_created_updated_and_deleted(cloud, templates):
    dynamodb = cloud.client("dynamodb")

    def table(key: str, **properties: Any) -> dict[str, Any]:
        return {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
                **properties,
            },
        }

    one = table("id")
    templates.create("tables", {"One": one})
    names = templates.resources("tables")
    dynamodb.put_item(TableName=names["One"], Item={"id": {"S": "kept"}})
    expiry = {"TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True}}
    templates.update("tables", {"One": one, "Two": table("type", **expiry)})
    names = templates.resources("tables")
    assert len(set(names.values())) == 2
    dynamodb.put_item(TableName=names["Two"], Item={"type": {"S": "kept"}})
    told = dynamodb.describe_time_to_live(TableName=names["Two"])["TimeToLiveDescription"]
    assert told == {"AttributeName": "expiresAt", "TimeToLiveStatus": "ENABLED"}
    templates.update("tables", {"One": one, "Two": table("type")})
    assert templates.resources("tables") == names
    assert dynamodb.scan(TableName=names["One"])["Count"] == 1
    assert dynamodb.scan(TableName=names["Two"])["Count"] == 1
    templates.update("tables", {"One": one, "Two": table("other")})
    assert templates.resources("tables")["Two"] != names["Two"]
    templates.client.delete_stack(StackName="tables")
    left = dynamodb.list_tables()["TableNames"]
    assert [name for name in left if name.startswith("tables-")] == []


def test_the_events_of_a_function_are_created_updated_and_deleted(cloud, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): return event")

    def deploy(limited: str, *events: str, attempts: int = 1) -> Stack:
        letters = {"Fn::GetAtt": ["Letters", "Arn"]}
        limit = {"Fn::If": ["Limited", ["FAILED"], {"Ref": "AWS::NoValue"}]}
        kinds: dict[str, Any] = {
            "Default": {
                "Pattern": {
                    "source": ["aws.states"],
                    "detail": {"status": limit, "stateMachineArn": [{"prefix": "arn:"}]},
                },
                "DeadLetterConfig": {"Arn": letters},
            },
            "Named": {
                "EventBusName": {"Fn::GetAtt": ["Bus", "Name"]},
                "Pattern": {
                    "detail-type": [
                        {"Fn::If": ["Limited", "One", "Two"]},
                        {"Fn::If": ["Limited", {"Ref": "AWS::NoValue"}, "Three"]},
                    ]
                },
                "RetryPolicy": {"MaximumEventAgeInSeconds": 60},
            },
            "Either": {
                "Pattern": {"Fn::If": ["Limited", {"source": ["a"]}, {"source": ["a", "b"]}]}
            },
        }
        function = {
            "Handler": "app.handler",
            "Runtime": "python3.13",
            "CodeUri": "code/",
            "DeadLetterQueue": {"Type": "SQS", "TargetArn": letters},
            "EventInvokeConfig": {
                "MaximumRetryAttempts": attempts,
                "DestinationConfig": {"OnFailure": {"Type": "SQS", "Destination": letters}},
            },
            "Events": {
                name: {"Type": "EventBridgeRule", "Properties": kinds[name]} for name in events
            },
        }
        document = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Parameters": {"Limit": {"Type": "String"}},
            "Conditions": {"Limited": {"Fn::Equals": [{"Ref": "Limit"}, "true"]}},
            "Resources": {
                "Bus": bus("eventful-bus"),
                "Letters": queue(),
                "Function": {"Type": "AWS::Serverless::Function", "Properties": function},
            },
        }
        (tmp_path / "template.json").write_text(json.dumps(document))
        return cloud.deploy(tmp_path / "template.json", {"Limit": limited}, name="eventful")

    client, functions = cloud.client("events"), cloud.client("lambda")

    def patterns() -> dict[str, Any]:
        """The patterns of the function's rules, by event name; each rule has one target."""
        found = {}
        for name in ("default", "eventful-bus"):
            for rule in client.list_rules(EventBusName=name)["Rules"]:
                if rule["Name"].startswith("eventful-"):
                    targets = client.list_targets_by_rule(Rule=rule["Name"], EventBusName=name)
                    [target] = targets["Targets"]
                    assert target["Arn"].endswith(f":{stack.resources['Function']}")
                    event = rule["Name"].split("-")[1].removeprefix("Function")
                    found[event] = json.loads(rule["EventPattern"])
        return found

    stack = deploy("false", "Default", "Named", "Either")
    assert stack.not_made == []
    assert patterns() == {
        "Default": {
            "source": ["aws.states"],
            "detail": {"stateMachineArn": [{"prefix": "arn:"}]},
        },
        "Named": {"detail-type": ["Two", "Three"]},
        "Either": {"source": ["a", "b"]},
    }
    name = stack.resources["Function"]
    policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    assert len(policy["Statement"]) == 3

    before = stack.resources
    stack = deploy("true", "Default", "Named", "Either", attempts=0)
    assert stack.resources == before
    assert patterns() == {
        "Default": {
            "source": ["aws.states"],
            "detail": {"status": ["FAILED"], "stateMachineArn": [{"prefix": "arn:"}]},
        },
        "Named": {"detail-type": ["One"]},
        "Either": {"source": ["a"]},
    }
    config = functions.get_function_event_invoke_config(FunctionName=name)
    assert config["MaximumRetryAttempts"] == 0

    stack = deploy("true", "Named")
    assert patterns() == {"Named": {"detail-type": ["One"]}}
    assert len(json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]) == 1
    cloud.client("cloudformation").delete_stack(StackName="eventful")
    assert "eventful-bus" not in [each["Name"] for each in client.list_event_buses()["EventBuses"]]
    rules = [rule["Name"] for rule in client.list_rules()["Rules"]]
    assert [rule for rule in rules if rule.startswith("eventful-")] == []


def test_a_dashboard_and_a_saved_query_are_created_updated_and_deleted(cloud, templates):
    cloudwatch, logs = cloud.client("cloudwatch"), cloud.client("logs")

    def declared(text: str) -> dict[str, Any]:
        body = json.dumps({"widgets": [{"type": "text", "properties": {"markdown": text}}]})
        query = {"Name": "watched/query", "QueryString": text, "LogGroupNames": ["/app"]}
        return {
            "Dashboard": {
                "Type": "AWS::CloudWatch::Dashboard",
                "Properties": {"DashboardName": "watched", "DashboardBody": body},
            },
            "Query": {"Type": "AWS::Logs::QueryDefinition", "Properties": query},
        }

    def found() -> tuple[list[str], list[tuple[str, str]]]:
        boards = [
            json.loads(
                cloudwatch.get_dashboard(DashboardName=one["DashboardName"])["DashboardBody"]
            )
            for one in cloudwatch.list_dashboards()["DashboardEntries"]
            if one["DashboardName"] == "watched"
        ]
        queries = logs.describe_query_definitions(queryDefinitionNamePrefix="watched/")
        return [board["widgets"][0]["properties"]["markdown"] for board in boards], [
            (one["queryDefinitionId"], one["queryString"]) for one in queries["queryDefinitions"]
        ]

    templates.create("watched", declared("fields a"))
    made = templates.resources("watched")
    assert made["Dashboard"] == "watched"
    assert found() == (["fields a"], [(made["Query"], "fields a")])
    templates.update("watched", declared("fields b"))
    assert templates.resources("watched") == made
    assert found() == (["fields b"], [(made["Query"], "fields b")])
    templates.client.delete_stack(StackName="watched")
    assert found() == ([], [])


def test_deploying_again_updates_the_stack(cloud):
    first = cloud.deploy(SMALL, name="again")
    second = cloud.deploy(SMALL, {"Limit": "9"}, name="again")
    assert second.resources == first.resources
    assert outcome(cloud, second.resources["Inline"]) == 9
    assert cloud.deploy(SMALL, {"Limit": "9"}, name="again") == second
    cloud.client("cloudformation").delete_stack(StackName="again")


# -- Refusals and reports -------------------------------------------------------------------------

THING = {"Type": "AWS::ResourceGroups::Group", "Properties": {"Name": "things"}}
ARCHIVE = {"Type": "AWS::Events::Archive", "Properties": {"SourceArn": "arn:aws:events:::a"}}


@pytest.fixture
def strict(cloud: LocalCloud) -> Iterator[Templates]:
    """CloudFormation without ALLOW_NOT_MADE."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "allow_not_made", False)
        yield Templates(cloud)


def reasons(templates: Templates, name: str) -> dict[tuple[str, str], str]:
    events = templates.client.describe_stack_events(StackName=name)["StackEvents"]
    return {
        (each["LogicalResourceId"], each["ResourceStatus"]): each.get("ResourceStatusReason", "")
        for each in events
    }


@pytest.mark.parametrize("thing", [THING, ARCHIVE], ids=lambda thing: thing["Type"])
def test_a_resource_that_cannot_be_created_fails_by_name(strict, thing):
    told = f"The local stack can't create {thing['Type']}. With ALLOW_NOT_MADE=1"
    with pytest.raises(ClientError, match=told):
        strict.create("lacking", {"Letters": queue(), "Thing": thing})
    assert strict.status("lacking") == "ROLLBACK_COMPLETE"
    assert reasons(strict, "lacking")["Thing", "CREATE_FAILED"].startswith(told)
    strict.client.delete_stack(StackName="lacking")
    body = json.dumps({"Resources": {"Letters": queue(), "Thing": thing}})
    about = {"StackName": "lacking", "ChangeSetName": "one"}
    strict.client.create_change_set(**about, TemplateBody=body, ChangeSetType="CREATE")
    described = strict.client.describe_change_set(**about)
    assert described["Status"] == "FAILED"
    assert described["StatusReason"].startswith(told)
    assert reasons(strict, "lacking")["Thing", "CREATE_FAILED"].startswith(told)
    strict.client.delete_stack(StackName="lacking")


def test_a_function_with_a_layer_that_does_not_exist_fails_with_its_name(strict):
    layered = {
        "Code": {"ZipFile": "def handler(event, context): return 1"},
        "Handler": "index.handler",
        "Role": f"arn:aws:iam::{ACCOUNT}:role/none",
        "Runtime": "python3.13",
        "Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:Unknown:1"],
    }
    with pytest.raises(ClientError, match=r"can't create layer arn:aws:lambda:.*:layer:Unknown:1"):
        strict.create("lacking", {"F": {"Type": "AWS::Lambda::Function", "Properties": layered}})
    strict.client.delete_stack(StackName="lacking")


def test_the_stack_names_what_is_missing(templates):
    templates.create("lacking", {"Letters": queue(), "Thing": THING})
    told = "Not created: the local stack has no AWS::ResourceGroups::Group"
    assert reasons(templates, "lacking")["Thing", "CREATE_COMPLETE"] == told
    [stack] = templates.client.describe_stacks(StackName="lacking")["Stacks"]
    [output] = stack["Outputs"]
    assert output["OutputKey"] == "NotMadeLocally"
    assert output["OutputValue"] == "AWS::ResourceGroups::Group (Thing)"
    # The output disappears when the template no longer has the resource.
    templates.update("lacking", {"Letters": queue()})
    assert "Outputs" not in templates.client.describe_stacks(StackName="lacking")["Stacks"][0]


def test_a_codebuild_project_is_created_and_changed(cloud, strict):
    def project(image: str) -> dict[str, Any]:
        properties = {
            "Name": "built",
            "ServiceRole": f"arn:aws:iam::{ACCOUNT}:role/any",
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": image,
                "EnvironmentVariables": [{"Name": "A", "Value": "1"}],
            },
            "Source": {"Type": "NO_SOURCE", "BuildSpec": "version: 0.2"},
        }
        return {"Type": "AWS::CodeBuild::Project", "Properties": properties}

    def found() -> list[Any]:
        return list(cloud.client("codebuild").batch_get_projects(names=["built"])["projects"])

    log = {"LogGroupName": {"Fn::Select": [5, {"Fn::Split": [":", {"Fn::GetAtt": ["P", "Arn"]}]}]}}
    group = {"Type": "AWS::Logs::LogGroup", "Properties": log}
    strict.create("builds", {"P": project("one"), "Log": group})
    assert strict.resources("builds") == {"P": "built", "Log": "project/built"}
    [made] = found()
    assert made["source"]["buildspec"] == "version: 0.2"
    strict.update("builds", {"P": project("two"), "Log": group})
    [made] = found()
    assert made["environment"]["image"] == "two"
    assert made["environment"]["environmentVariables"] == [{"name": "A", "value": "1"}]
    strict.client.delete_stack(StackName="builds")
    assert found() == []


def test_an_api_destination_and_its_connection_are_created(cloud, strict):
    def declared(key: str, method: str) -> dict[str, Any]:
        auth = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": key}}
        destination = {
            "ConnectionArn": {"Fn::GetAtt": ["C", "Arn"]},
            "HttpMethod": method,
            "InvocationEndpoint": "https://example.com/hook",
        }
        return {
            "C": {
                "Type": "AWS::Events::Connection",
                "Properties": {"AuthorizationType": "API_KEY", "AuthParameters": auth},
            },
            "D": {"Type": "AWS::Events::ApiDestination", "Properties": destination},
        }

    events = cloud.client("events")
    strict.create("hooks", declared("one", "POST"))
    [connection] = events.list_connections()["Connections"]
    [made] = events.list_api_destinations()["ApiDestinations"]
    assert made["ConnectionArn"] == connection["ConnectionArn"]
    strict.update("hooks", declared("two", "PUT"))
    [changed] = events.list_api_destinations()["ApiDestinations"]
    assert (changed["HttpMethod"], changed["ConnectionArn"]) == ("PUT", made["ConnectionArn"])
    strict.client.delete_stack(StackName="hooks")
    assert events.list_connections()["Connections"] == []
    assert events.list_api_destinations()["ApiDestinations"] == []


def test_a_topic_policy_is_created_updated_and_deleted(cloud, strict):
    def declared(action: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        properties = {"Topics": [{"Ref": "T"}], "PolicyDocument": document}
        return {
            "T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "ruled"}},
            "P": {"Type": "AWS::SNS::TopicPolicy", "Properties": properties},
        }

    def policy() -> str:
        arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:ruled"
        attributes = cloud.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
        return str(attributes["Policy"])

    strict.create("topics", declared("sns:Publish"))
    assert '"sns:Publish"' in policy()
    strict.update("topics", declared("sns:Subscribe"))
    assert '"sns:Publish"' not in policy()
    strict.update("topics", {"T": declared("")["T"]})
    assert "__default_policy_ID" in policy()


@pytest.mark.parametrize("transform", ["", "Transform: AWS::Serverless-2016-10-31\n"])
def test_dates_are_strings_and_event_patterns_may_be_strings(cloud, templates, transform):
    body = f"""AWSTemplateFormatVersion: 2010-09-09
{transform}Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {{Version: 2012-10-17, Statement: []}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: of-text
      EventPattern: '{{"source": ["a"]}}'
"""
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    templates.client.create_stack(StackName="dated", TemplateBody=body, Capabilities=capabilities)
    events = cloud.client("events")
    assert json.loads(events.describe_rule(Name="of-text")["EventPattern"]) == {"source": ["a"]}
    role = cloud.client("iam").get_role(RoleName=templates.resources("dated")["Role"])["Role"]
    assert role["AssumeRolePolicyDocument"]["Version"] == "2012-10-17"
    pattern = {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": "nonsense"}}
    with pytest.raises(ClientError, match="Value of property EventPattern must be an object"):
        templates.create("patternless", {"Rule": pattern})


def test_a_stack_can_not_be_updated_after_a_failed_rollback_or_deletion(cloud, templates):
    s3 = cloud.client("s3")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "rolling"}}
    create = EventBus.create_from_cloudformation_json

    def meanwhile(*arguments: Any, **about: Any) -> Any:
        s3.put_object(Bucket="rolling", Key="a")
        return create(*arguments, **about)

    with (
        patch.object(EventBus, "create_from_cloudformation_json", meanwhile),
        pytest.raises(ClientError),
    ):
        templates.create("rolling", {"Bucket": bucket, "Taken": bus("default")})
    assert templates.status("rolling") == "ROLLBACK_FAILED"
    for call in (
        lambda: templates.update("rolling", {"Letters": queue()}),
        lambda: templates.client.create_change_set(
            StackName="rolling",
            ChangeSetName="a",
            TemplateBody=json.dumps({"Resources": {"Letters": queue()}}),
        ),
    ):
        with pytest.raises(ClientError, match="ROLLBACK_FAILED state and can not be updated"):
            call()
    templates.client.delete_stack(StackName="rolling")
    assert templates.status("rolling") == "DELETE_FAILED"
    with pytest.raises(ClientError, match="DELETE_FAILED state and can not be updated"):
        templates.update("rolling", {"Letters": queue()})
    s3.delete_object(Bucket="rolling", Key="a")
    templates.client.delete_stack(StackName="rolling")


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (
            {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"DefinitionString": "{}"}},
            "Properties validation failed for resource A with message:\n"
            "#: required key [RoleArn] not found",
        ),
        (
            {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/a",
                    "DefinitionString": "{}",
                },
            },
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: These fields are required: ",
        ),
        ({"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": 1}}, "required key [Policy"),
        (
            {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": 1, "PolicyDocument": {}}},
            "Internal Failure",
        ),
    ],
)
def test_a_python_error_is_never_a_status_reason(templates, resource, reason):
    with pytest.raises(ClientError):
        templates.create("unreasonable", {"A": resource})
    assert reason in reasons(templates, "unreasonable")["A", "CREATE_FAILED"]


def test_policies_are_attached_and_detached(cloud, templates):
    iam = cloud.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    for name in ("outside", "other"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)

    def declared(action: str, *roles: Any) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        policy = {"PolicyDocument": document, "Roles": list(roles)}
        return {
            "Managed": {"Type": "AWS::IAM::ManagedPolicy", "Properties": policy},
            "Inline": {
                "Type": "AWS::IAM::Policy",
                "Properties": {**policy, "PolicyName": "inline"},
            },
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": trust},
            },
        }

    def attached(role: str) -> tuple[list[str], list[str]]:
        policies = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        inline = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return [each["PolicyArn"] for each in policies], inline

    capable = {"Capabilities": ["CAPABILITY_IAM"]}
    templates.create("attached", declared("a:A", "outside", {"Ref": "Role"}), **capable)
    made = templates.resources("attached")
    both = ([made["Managed"]], ["inline"])
    assert attached("outside") == attached(made["Role"]) == both
    templates.update("attached", declared("a:B", "other", {"Ref": "Role"}), **capable)
    assert templates.resources("attached") == made
    assert attached("outside") == ([], [])
    assert attached("other") == attached(made["Role"]) == both
    policy = iam.get_policy(PolicyArn=made["Managed"])["Policy"]
    version = iam.get_policy_version(
        PolicyArn=made["Managed"], VersionId=policy["DefaultVersionId"]
    )
    assert version["PolicyVersion"]["Document"]["Statement"][0]["Action"] == "a:B"
    templates.client.delete_stack(StackName="attached")
    assert attached("other") == ([], [])
    with pytest.raises(ClientError, match="does not exist"):
        templates.status("attached")


ALARM = {
    "MetricName": "m",
    "Namespace": "n",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "Period": 60,
    "Threshold": 1,
    "Statistic": "Sum",
}
CODE = {"ZipFile": "def handler(event, context): return 1"}
MACHINE = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'
TABLE = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
}
TRUST = {"Version": "2012-10-17", "Statement": []}
#: A resource's properties, the call that returns its tags, and the call's argument, in which {} is
#: the physical id.
TAGGED: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "AWS::CloudWatch::Alarm": (
        ALARM,
        "cloudwatch.list_tags_for_resource",
        {"ResourceARN": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{}}"},
    ),
    "AWS::DynamoDB::Table": (
        TABLE,
        "dynamodb.list_tags_of_resource",
        {"ResourceArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{}}"},
    ),
    "AWS::Events::EventBus": (
        {"Name": "tagged"},
        "events.list_tags_for_resource",
        {"ResourceARN": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{{}}"},
    ),
    "AWS::Events::Rule": (
        {"EventPattern": {"source": ["a"]}},
        "events.list_tags_for_resource",
        {"ResourceARN": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{}}"},
    ),
    "AWS::IAM::ManagedPolicy": (
        {
            "PolicyDocument": {
                **TRUST,
                "Statement": {"Effect": "Allow", "Action": "a:B", "Resource": "*"},
            }
        },
        "iam.list_policy_tags",
        {"PolicyArn": "{}"},
    ),
    "AWS::IAM::Role": (
        {"AssumeRolePolicyDocument": TRUST},
        "iam.list_role_tags",
        {"RoleName": "{}"},
    ),
    "AWS::Lambda::Function": (
        {
            "Role": {"Fn::GetAtt": ["Any", "Arn"]},
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Code": CODE,
        },
        "lambda.list_tags",
        {"Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}"},
    ),
    "AWS::Logs::LogGroup": (
        {},
        "logs.list_tags_for_resource",
        {"resourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}"},
    ),
    "AWS::S3::Bucket": ({}, "s3.get_bucket_tagging", {"Bucket": "{}"}),
    "AWS::SNS::Topic": ({}, "sns.list_tags_for_resource", {"ResourceArn": "{}"}),
    "AWS::SQS::Queue": ({}, "sqs.list_queue_tags", {"QueueUrl": "{}"}),
    "AWS::StepFunctions::StateMachine": (
        {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/any", "DefinitionString": MACHINE},
        "stepfunctions.list_tags_for_resource",
        {"resourceArn": "{}"},
    ),
}


@pytest.mark.parametrize("kind", TAGGED)
def test_tags_are_those_of_the_template(cloud, templates, kind):
    properties, call, asked = TAGGED[kind]
    service, _, operation = call.partition(".")

    def declared(tags: dict[str, str]) -> dict[str, Any]:
        listed = [{"Key": name, "Value": value} for name, value in tags.items()]
        assumed = {
            **TRUST,
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        return {
            "Any": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": assumed}},
            "One": {"Type": kind, "Properties": {**properties, "Tags": listed}},
        }

    def found() -> tuple[str, dict[str, str]]:
        made = templates.resources("tagged")["One"]
        request = {name: value.format(made) for name, value in asked.items()}
        answer = getattr(cloud.client(service), operation)(**request)
        [tags] = [value for name, value in answer.items() if name.lower() in ("tags", "tagset")]
        if isinstance(tags, dict):
            return made, tags
        lower = [{name.lower(): value for name, value in tag.items()} for tag in tags]
        return made, {tag["key"]: tag["value"] for tag in lower}

    capable = {"Capabilities": ["CAPABILITY_IAM"]}
    templates.create("tagged", declared({"a": "1", "b": "2"}), **capable)
    made, tags = found()
    assert tags == {"a": "1", "b": "2"}
    templates.update("tagged", declared({"a": "9", "c": "3"}), **capable)
    assert found() == (made, {"a": "9", "c": "3"})
