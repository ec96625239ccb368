"""The stack is created from its own template, and names what can't be created."""

import functools
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from moto.events.models import EventBus

import moto_codepipeline  # noqa: F401 - knows AWS::CodePipeline::CustomActionType
from local.aws.cloudformation import resources
from local.aws.server import LocalCloud
from local.aws.stack import Stack, archive
from tests.local.fixtures.cloud import ACCOUNT, REGION, Queue, ended, running
from tests.support import ROOT

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
    return ended(states, execution)["output"]


# -- The product's template -----------------------------------------------------------------------


def test_everything_in_the_template_is_created_with_given_and_default_parameters(cloud, product):
    assert product.not_made == []
    assert product.name == "acknowledger"
    assert all(product.outputs.values())
    assert all(product.resources.values())
    assert product.parameters["JobTimeoutSeconds"] == "120"
    assert product.parameters["LogRetentionDays"] == "30"
    assert Templates(cloud).status(product.name) == "CREATE_COMPLETE"


def test_a_state_machine_is_logged_and_traced(cloud, product):
    machine = cloud.client("stepfunctions").describe_state_machine(
        stateMachineArn=product.outputs["JobStateMachineArn"]
    )
    assert machine["type"] == "STANDARD"
    assert machine["loggingConfiguration"]["level"] == "ALL"
    assert machine["tracingConfiguration"] == {"enabled": True}


def test_queues_have_their_policy_and_urls_work_at_the_endpoint(cloud, product):
    sqs = cloud.client("sqs")
    url = product.outputs["IntakeDeadLettersUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert attributes["MessageRetentionPeriod"] == "1209600"
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


def test_a_resource_that_is_not_created_is_named_and_can_be_referred_to(small):
    layer = "arn:aws:lambda:us-east-1:017000801446:layer:Unknown:1"
    assert sorted(small.not_made) == [
        "AWS::ResourceGroups::Group (Dashboard)",
        f"layer {layer} (Handled)",
    ]
    assert small.outputs["Group"] == "small-group"
    arn = "arn:aws:resourcegroups:us-east-1:123456789012:group/small-group"
    assert small.outputs["GroupArn"] == arn


def test_the_rule_delivers_events_and_its_ref_is_its_bus_and_name(cloud, small):
    queue = Queue(cloud, "told")
    events = cloud.client("events")
    bus, _, rule = small.outputs["Rule"].partition("|")
    assert bus == "small-bus"
    assert rule.startswith("small-HandledTold-")
    about = {"Rule": rule, "EventBusName": bus}
    [target] = events.list_targets_by_rule(**about)["Targets"]
    assert target["DeadLetterConfig"]["Arn"]
    events.put_targets(**about, Targets=[{"Id": "2", "Arn": queue.arn}])
    entry = {"Source": "test", "DetailType": "x", "Detail": "{}", "EventBusName": bus}
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


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


queue = functools.partial(resource, "SQS::Queue")
TRUST = {"Version": "2012-10-17", "Statement": []}
ANY_ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
FUNCTION = {
    "Runtime": "python3.13",
    "Handler": "index.handler",
    "Code": {"ZipFile": "def handler(event, context): return 1"},
}
role = functools.partial(resource, "IAM::Role", AssumeRolePolicyDocument=TRUST)


def allowing(action: str) -> dict[str, Any]:
    """A policy document."""
    return {**TRUST, "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}


def bus(name: str) -> dict[str, Any]:
    return resource("Events::EventBus", Name=name)


class Templates:
    """CloudFormation calls with a stack's resources."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.client = cloud.client("cloudformation")

    def create(self, name: str, resources: dict[str, Any], **more: Any) -> None:
        self.client.create_stack(**self.request(name, resources), **more)

    def update(self, name: str, resources: dict[str, Any], **more: Any) -> None:
        self.client.update_stack(**self.request(name, resources), **more)

    @staticmethod
    def request(name: str, resources: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"Resources": resources})
        return {"StackName": name, "TemplateBody": body, "Capabilities": ["CAPABILITY_IAM"]}

    def delete(self, name: str) -> None:
        self.client.delete_stack(StackName=name)

    def described(self, name: str) -> Any:
        return self.client.describe_stacks(StackName=name)["Stacks"][0]

    def status(self, name: str) -> str:
        return str(self.described(name)["StackStatus"])

    def resources(self, name: str) -> dict[str, str]:
        found = self.client.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def events(self, name: str) -> dict[tuple[str, str], str]:
        """The reasons of the events of the stack and its resources, the oldest first."""
        events = self.client.describe_stack_events(StackName=name)["StackEvents"]
        return {
            (each["LogicalResourceId"], each["ResourceStatus"]): each.get(
                "ResourceStatusReason", ""
            )
            for each in reversed(events)
        }


@pytest.fixture
def templates(cloud: LocalCloud) -> Iterator[Templates]:
    templates = Templates(cloud)
    before = {each["StackName"] for each in templates.client.describe_stacks()["Stacks"]}
    yield templates
    for each in templates.client.describe_stacks()["Stacks"]:
        if each["StackName"] not in before:
            templates.delete(each["StackName"])


def test_a_changed_resource_is_updated_in_place_or_replaced(cloud, templates):
    log = resource("Logs::LogGroup", LogGroupName={"Fn::GetAtt": ["Letters", "QueueName"]})
    templates.create("changing", {"Letters": queue(DelaySeconds=1), "Log": log, "Gone": queue()})
    before = templates.resources("changing")
    created = len(templates.events("changing"))
    templates.update("changing", {"Letters": queue(DelaySeconds="2"), "Log": log, "New": queue()})
    after = templates.resources("changing")
    assert set(after) == {"Letters", "Log", "New"}
    assert after["Letters"] == before["Letters"]
    assert after["Log"] == before["Log"]
    assert delay(cloud, after["Letters"]) == "2"
    assert list(templates.events("changing"))[created:] == [
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
    assert [url for url in urls if "/changing-" in url] == []


def delay(cloud: LocalCloud, url: str) -> str:
    answer = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
    return str(answer["Attributes"]["DelaySeconds"])


def test_a_failed_creation_leaves_only_a_stack_with_the_reason(cloud, templates):
    cloud.client("events").create_event_bus(Name="taken")
    wanted = {"First": queue(), "Taken": bus("taken")}
    with pytest.raises(ClientError, match="taken already exists"):
        templates.create("unlucky", wanted)
    assert templates.status("unlucky") == "ROLLBACK_COMPLETE"
    assert templates.resources("unlucky") == {}
    events = templates.events("unlucky")
    assert {("Taken", "CREATE_FAILED"), ("First", "DELETE_COMPLETE")} <= events.keys()
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        templates.update("unlucky", {"First": queue()})
    with pytest.raises(ClientError):
        templates.create("stuck", wanted, DisableRollback=True)
    assert templates.status("stuck") == "CREATE_FAILED"
    assert set(templates.resources("stuck")) == {"First"}
    cloud.client("events").delete_event_bus(Name="taken")


def test_a_failed_update_is_rolled_back(cloud, templates):
    cloud.client("events").create_event_bus(Name="taken")
    before = {"Letters": queue(DelaySeconds=1), "Old": queue(), "Bus": bus("mine")}
    wanted = {"Letters": queue(DelaySeconds=2), "New": queue(), "Bus": bus("taken")}
    templates.create("careful", before)
    made = templates.resources("careful")
    with pytest.raises(ClientError, match="taken already exists"):
        templates.update("careful", wanted)
    assert templates.status("careful") == "UPDATE_ROLLBACK_COMPLETE"
    assert templates.resources("careful") == made
    assert delay(cloud, made["Letters"]) == "1"
    cloud.client("events").delete_event_bus(Name="taken")
    after = {**before, "Bus": bus("taken")}
    templates.update("careful", after)
    assert templates.resources("careful")["Bus"] == "taken"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        templates.update("careful", after)


SERVERLESS = {"Transform": "AWS::Serverless-2016-10-31"}


def of(**resources: Any) -> dict[str, Any]:
    return {"Resources": resources}


def takes(**declared: Any) -> dict[str, Any]:
    return {"Parameters": {"B": declared}, **of(A=queue())}


@pytest.mark.parametrize(
    ("template", "parameters", "objection"),
    [
        (of(A=queue(QueueName={"Ref": "B"})), {}, r"dependencies \[B\]"),
        (of(A=queue()), {"B": "1"}, "do not exist in the template"),
        (takes(Type="String"), {}, "must have values"),
        (takes(Type="Number", MaxValue=3), {"B": "4"}, "not greater than 3"),
        (
            of(A={**queue(), "DependsOn": "B"}, B={**queue(), "DependsOn": "A"}),
            {},
            "Circular dependency",
        ),
        (
            SERVERLESS | of(A=resource("Serverless::Function")),
            {},
            "Invalid Serverless Application Specification document",
        ),
        (of(A=role()), {}, r"Requires capabilities : \[CAPABILITY_IAM\]"),
        ({"Description": "nothing"}, {}, "At least one Resources member must be defined"),
        (of(A={}), {}, r"\[/Resources/A\] Every Resources object must contain a Type"),
        (
            of(A=queue(), B=resource("Nope::B"), C={"Type": "Own::C::D"}),
            {},
            r"Template format error: Unrecognized resource types: \[AWS::Nope::B, Own::C::D\]",
        ),
        (of(A={**queue(), "Properties": []}), {}, "Any Properties member must be"),
        (of(A=queue(QueueName={"Ref": []})), {}, "Every Ref object must have a"),
        (of(A=queue(QueueName={"Fn::GetAtt": "B"})), {}, "every Fn::GetAtt object"),
        (of(A=queue(QueueName={"Fn::GetAtt": [1]})), {}, "every Fn::GetAtt object"),
        (of(A=queue(QueueName={"Fn::Sub": ["x"]})), {}, "or more Fn::Sub"),
        (
            of(A=resource("Serverless::Function")),
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
    with pytest.raises(ClientError, match=r"modifies resource type of .* resources: \[A\]"):
        templates.update("types", {"A": resource("SNS::Topic"), "B": queue(DelaySeconds=1)})
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
    wanted = templates.request("planned", {"Letters": queue(DelaySeconds=3), "New": queue()})
    about = {"StackName": "planned", "ChangeSetName": "one"}
    client.create_change_set(**wanted | about, ChangeSetType="UPDATE")
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
    about["ChangeSetName"] = "two"
    client.create_change_set(**wanted | about, ChangeSetType="UPDATE")
    told = client.describe_change_set(**about)
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


def test_policies_are_put_into_roles_and_attached_to_them(cloud, templates):
    iam = cloud.client("iam")
    iam.create_role(RoleName="outside", AssumeRolePolicyDocument=json.dumps(TRUST))
    one, two = {"Ref": "One"}, {"Ref": "Two"}

    def roles(inline: str, **of_two: str) -> dict[str, Any]:
        policies = [{"PolicyName": inline, "PolicyDocument": allowing("a:A")}]
        return {"One": role(Policies=policies), "Two": role(**of_two)}

    def shared(action: str, *roles: Any) -> dict[str, Any]:
        policy = {"PolicyDocument": allowing(action), "Roles": list(roles)}
        inline = resource("IAM::Policy", **policy, PolicyName="shared")
        return {"Inline": inline, "Managed": resource("IAM::ManagedPolicy", **policy)}

    def policies(role: str) -> list[str]:
        """A role's inline policies, and "managed" if it has the managed one."""
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert {each["PolicyArn"] for each in attached} <= {managed}
        inline = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return sorted(inline) + ["managed"] * len(attached)

    def check(*expected: list[str]) -> None:
        """Check the policies of both roles and of the one outside."""
        ids = templates.resources("policies")
        assert [policies(name) for name in (ids["One"], ids["Two"], "outside")] == [*expected]

    first = roles("own") | shared("a:B", one, "outside")
    templates.create("policies", first)
    made = templates.resources("policies")
    managed = made["Managed"]
    both = ["shared", "managed"]
    check(["own", *both], [], both)

    templates.update("policies", roles("own") | shared("a:C", one, two))
    assert templates.resources("policies") == made
    check(["own", *both], both, [])
    for name in (made["One"], made["Two"]):
        found = iam.get_role_policy(RoleName=name, PolicyName="shared")["PolicyDocument"]
        assert found == allowing("a:C")
    version = iam.get_policy(PolicyArn=managed)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=managed, VersionId=version)["PolicyVersion"]
    assert found["Document"] == allowing("a:C")

    # An updated role keeps the policies of other resources.
    templates.update("policies", roles("other") | shared("a:C", one, two))
    assert templates.resources("policies") == made
    check(["other", *both], both, [])

    # A replaced role still has them.
    templates.update("policies", roles("other", Path="/elsewhere/") | shared("a:C", one, two))
    assert templates.resources("policies")["Two"] != made["Two"]
    check(["other", *both], both, [])

    templates.update("policies", roles("other", Path="/elsewhere/"))
    check(["other"], [], [])
    templates.update("policies", first)
    managed = templates.resources("policies")["Managed"]
    check(["own", *both], [], both)
    templates.delete("policies")
    assert policies("outside") == []
    names = [each["RoleName"] for each in iam.list_roles()["Roles"]]
    assert [name for name in names if name.startswith("policies-")] == []
    with pytest.raises(ClientError, match="does not exist"):
        templates.status("policies")


def test_a_second_table_is_created_updated_and_deleted(cloud, templates):
    dynamodb = cloud.client("dynamodb")
    backups = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}

    def update(key: str, **properties: Any) -> dict[str, str]:
        two = resource("DynamoDB::Table", **keyed_by(key), **backups, **properties)
        templates.update("tables", {"One": one, "Two": two})
        return templates.resources("tables")

    one = resource("DynamoDB::Table", **keyed_by("id"), **backups)
    templates.create("tables", {"One": one})
    first = templates.resources("tables")["One"]
    dynamodb.put_item(TableName=first, Item={"id": {"S": "kept"}})
    expiry = {"AttributeName": "expiresAt", "Enabled": True}
    names = update("type", TimeToLiveSpecification=expiry)
    assert len(set(names.values())) == 2
    dynamodb.put_item(TableName=names["Two"], Item={"type": {"S": "kept"}})
    told = dynamodb.describe_time_to_live(TableName=names["Two"])["TimeToLiveDescription"]
    assert told == {"AttributeName": "expiresAt", "TimeToLiveStatus": "ENABLED"}
    told = dynamodb.describe_continuous_backups(TableName=names["Two"])
    recovery = told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    assert update("type") == names
    assert dynamodb.scan(TableName=first)["Count"] == 1
    assert dynamodb.scan(TableName=names["Two"])["Count"] == 1
    assert update("other")["Two"] != names["Two"]
    templates.delete("tables")
    left = dynamodb.list_tables()["TableNames"]
    assert [name for name in left if name.startswith("tables-")] == []


def keyed_by(key: str) -> dict[str, Any]:
    """The properties of a table."""
    return {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
    }


def test_the_events_of_a_function_are_created_updated_and_deleted(cloud, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").touch()
    nothing = {"Ref": "AWS::NoValue"}

    def if_limited(value: Any, otherwise: Any) -> dict[str, Any]:
        return {"Fn::If": ["Limited", value, otherwise]}

    machine = {"stateMachineArn": [{"prefix": "arn:"}]}
    detail = {"status": if_limited(["FAILED"], nothing), **machine}
    kinds: dict[str, Any] = {
        "Default": {"Pattern": {"source": ["aws.states"], "detail": detail}},
        "Named": {
            "EventBusName": {"Fn::GetAtt": ["Bus", "Name"]},
            "Pattern": {"detail-type": [if_limited("One", "Two"), if_limited(nothing, "Three")]},
        },
        "Either": {"Pattern": if_limited({"source": ["a"]}, {"source": ["a", "b"]})},
    }

    def deploy(limited: str, attempts: int, *events: str) -> Stack:
        function = {
            "Handler": "app.handler",
            "Runtime": "python3.13",
            "CodeUri": "code/",
            "EventInvokeConfig": {"MaximumRetryAttempts": attempts},
            "Events": {
                name: {"Type": "EventBridgeRule", "Properties": kinds[name]} for name in events
            },
        }
        document = {
            **SERVERLESS,
            "Parameters": {"Limit": {"Type": "String"}},
            "Conditions": {"Limited": {"Fn::Equals": [{"Ref": "Limit"}, "true"]}},
            **of(Bus=bus("eventful-bus"), Function=resource("Serverless::Function", **function)),
        }
        (tmp_path / "template.json").write_text(json.dumps(document))
        return cloud.deploy(tmp_path / "template.json", {"Limit": limited}, name="eventful")

    client, functions = cloud.client("events"), cloud.client("lambda")

    def check(attempts: int, **expected: Any) -> None:
        """Check the rules' patterns, by event name; each has one target and one permission."""
        found = {}
        name = stack.resources["Function"]
        for place in ("default", "eventful-bus"):
            for rule in client.list_rules(EventBusName=place)["Rules"]:
                if rule["Name"].startswith("eventful-"):
                    targets = client.list_targets_by_rule(Rule=rule["Name"], EventBusName=place)
                    [target] = targets["Targets"]
                    assert target["Arn"].endswith(f":{name}")
                    event = rule["Name"].split("-")[1].removeprefix("Function")
                    found[event] = json.loads(rule["EventPattern"])
        assert found == expected
        policy = functions.get_policy(FunctionName=name)["Policy"]
        assert len(json.loads(policy)["Statement"]) == len(expected)
        config = functions.get_function_event_invoke_config(FunctionName=name)
        assert config["MaximumRetryAttempts"] == attempts

    stack = deploy("false", 1, *kinds)
    assert stack.not_made == []
    default: dict[str, Any] = {"source": ["aws.states"], "detail": machine}
    check(
        1, Default=default, Named={"detail-type": ["Two", "Three"]}, Either={"source": ["a", "b"]}
    )
    before = stack.resources
    stack = deploy("true", 0, *kinds)
    assert stack.resources == before
    default["detail"] = {"status": ["FAILED"], **machine}
    check(0, Default=default, Named={"detail-type": ["One"]}, Either={"source": ["a"]})
    stack = deploy("true", 0, "Named")
    check(0, Named={"detail-type": ["One"]})
    Templates(cloud).delete("eventful")
    assert "eventful-bus" not in [each["Name"] for each in client.list_event_buses()["EventBuses"]]
    rules = [rule["Name"] for rule in client.list_rules()["Rules"]]
    assert [rule for rule in rules if rule.startswith("eventful-")] == []


def test_deploying_again_updates_the_stack(cloud):
    first = cloud.deploy(SMALL, name="again")
    second = cloud.deploy(SMALL, {"Limit": "9"}, name="again")
    assert second.resources == first.resources
    assert outcome(cloud, second.resources["Inline"]) == 9
    assert cloud.deploy(SMALL, {"Limit": "9"}, name="again") == second
    Templates(cloud).delete("again")


# -- Refusals and reports -------------------------------------------------------------------------

THINGS = [
    resource("ResourceGroups::Group", Name="things"),
    resource("Events::Archive", SourceArn="arn:aws:events:::a"),
]


@pytest.fixture
def strict(cloud: LocalCloud) -> Iterator[Templates]:
    """CloudFormation without ALLOW_NOT_MADE."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "allow_not_made", False)
        yield Templates(cloud)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing["Type"])
def test_a_resource_that_cannot_be_created_fails_by_name(strict, thing):
    told = f"The local stack can't create {thing['Type']}. With ALLOW_NOT_MADE=1"
    wanted = {"Letters": queue(), "Thing": thing}
    with pytest.raises(ClientError, match=told):
        strict.create("lacking", wanted)
    assert strict.status("lacking") == "ROLLBACK_COMPLETE"
    assert strict.events("lacking")["Thing", "CREATE_FAILED"].startswith(told)
    strict.delete("lacking")
    about = {"StackName": "lacking", "ChangeSetName": "one"}
    request = about | strict.request("lacking", wanted)
    strict.client.create_change_set(**request, ChangeSetType="CREATE")
    described = strict.client.describe_change_set(**about)
    assert described["Status"] == "FAILED"
    assert described["StatusReason"].startswith(told)
    assert strict.events("lacking")["Thing", "CREATE_FAILED"].startswith(told)
    strict.delete("lacking")


def test_a_function_with_a_layer_that_does_not_exist_fails_with_its_name(strict):
    layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:Unknown:1"
    layered = FUNCTION | {"Role": f"arn:aws:iam::{ACCOUNT}:role/none", "Layers": [layer]}
    with pytest.raises(ClientError, match=f"can't create layer {layer}"):
        strict.create("lacking", {"F": resource("Lambda::Function", **layered)})
    strict.delete("lacking")


def test_the_stack_names_what_is_missing(templates):
    templates.create("lacking", {"Letters": queue(), "Thing": THINGS[0]})
    told = "Not created: the local stack has no AWS::ResourceGroups::Group"
    assert templates.events("lacking")["Thing", "CREATE_COMPLETE"] == told
    [output] = templates.described("lacking")["Outputs"]
    assert output["OutputKey"] == "NotMadeLocally"
    assert output["OutputValue"] == "AWS::ResourceGroups::Group (Thing)"
    # The output disappears when the template no longer has the resource.
    templates.update("lacking", {"Letters": queue()})
    assert "Outputs" not in templates.described("lacking")


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
    with pytest.raises(ClientError, match="Value of property EventPattern must be an object"):
        templates.create("patternless", {"Rule": resource("Events::Rule", EventPattern="nonsense")})


def test_a_full_bucket_is_not_deleted_and_then_its_stack_can_not_be_updated(cloud, templates):
    s3 = cloud.client("s3")
    bucket = resource("S3::Bucket", BucketName="rolling")
    create = EventBus.create_from_cloudformation_json

    def meanwhile(*arguments: Any, **about: Any) -> Any:
        s3.put_object(Bucket="rolling", Key="a")
        return create(*arguments, **about)

    meddled = patch.object(EventBus, "create_from_cloudformation_json", meanwhile)
    with meddled, pytest.raises(ClientError):
        templates.create("rolling", {"Bucket": bucket, "Taken": bus("default")})
    assert templates.status("rolling") == "ROLLBACK_FAILED"
    change = templates.request("rolling", {"Letters": queue()})
    with pytest.raises(ClientError, match="ROLLBACK_FAILED state and can not be updated"):
        templates.client.update_stack(**change)
    with pytest.raises(ClientError, match="ROLLBACK_FAILED state and can not be updated"):
        templates.client.create_change_set(**change, ChangeSetName="a")
    templates.delete("rolling")
    assert templates.status("rolling") == "DELETE_FAILED"
    assert set(templates.resources("rolling")) == {"Bucket"}
    with pytest.raises(ClientError, match="DELETE_FAILED state and can not be updated"):
        templates.client.update_stack(**change)
    s3.delete_object(Bucket="rolling", Key="a")
    templates.delete("rolling")
    with pytest.raises(ClientError, match="does not exist"):
        templates.status("rolling")


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (
            resource("StepFunctions::StateMachine", DefinitionString="{}"),
            "Properties validation failed for resource A with message:\n"
            "#: required key [RoleArn] not found",
        ),
        (
            resource("StepFunctions::StateMachine", RoleArn=ANY_ROLE, DefinitionString="{}"),
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: These fields are required: ",
        ),
        (resource("SQS::QueuePolicy", Queues=1), "required key [Policy"),
        (resource("SQS::QueuePolicy", Queues=1, PolicyDocument={}), "Internal Failure"),
    ],
)
def test_a_python_error_is_never_a_status_reason(templates, resource, reason):
    with pytest.raises(ClientError):
        templates.create("unreasonable", {"A": resource})
    assert reason in templates.events("unreasonable")["A", "CREATE_FAILED"]


ALARM = {
    "MetricName": "m",
    "Namespace": "n",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "Period": 60,
    "Threshold": 1,
    "Statistic": "Sum",
}
STATE_MACHINE = "StepFunctions::StateMachine"
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
MACHINE = {"RoleArn": ANY_ROLE, "DefinitionString": json.dumps(PASS)}
ASSUMED_BY_LAMBDA = {
    "Effect": "Allow",
    "Principal": {"Service": "lambda.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
LIST_EVENTS_TAGS = "events.list_tags_for_resource"
PATTERN = {"source": ["a"]}
POLICY = {"PolicyDocument": allowing("a:B")}
OF_ROLE_ANY = {**FUNCTION, "Role": {"Fn::GetAtt": ["Any", "Arn"]}}
ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}ONE"
#: A type, properties, the call that returns the tags, the name of the call's argument, and what is
#: before the physical id in the ARN that is the argument; None if the argument is the physical id.
TAGGED: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    ("CloudWatch::Alarm", ALARM, "cloudwatch.list_tags_for_resource", "ResourceARN", "alarm:"),
    ("DynamoDB::Table", keyed_by("a"), "dynamodb.list_tags_of_resource", "ResourceArn", "table/"),
    ("Events::EventBus", {"Name": "tagged"}, LIST_EVENTS_TAGS, "ResourceARN", "event-bus/"),
    ("Events::Rule", {"EventPattern": PATTERN}, LIST_EVENTS_TAGS, "ResourceARN", "rule/"),
    ("IAM::ManagedPolicy", POLICY, "iam.list_policy_tags", "PolicyArn", None),
    ("IAM::Role", {"AssumeRolePolicyDocument": TRUST}, "iam.list_role_tags", "RoleName", None),
    ("Lambda::Function", OF_ROLE_ANY, "lambda.list_tags", "Resource", "function:"),
    ("Logs::LogGroup", {}, "logs.list_tags_for_resource", "resourceArn", "log-group:"),
    ("S3::Bucket", {}, "s3.get_bucket_tagging", "Bucket", None),
    ("SNS::Topic", {}, "sns.list_tags_for_resource", "ResourceArn", None),
    ("SQS::Queue", {}, "sqs.list_queue_tags", "QueueUrl", None),
    (STATE_MACHINE, MACHINE, "stepfunctions.list_tags_for_resource", "resourceArn", None),
]
TAGS = {"Tags": [{"Key": "a", "Value": "VALUE"}, {"Key": "VALUE", "Value": "1"}]}
#: Resources that the others need.
NEEDED = {
    "Any": role(AssumeRolePolicyDocument={**TRUST, "Statement": [ASSUMED_BY_LAMBDA]}),
    "Topic": resource("SNS::Topic", TopicName="watched"),
    "Connection": resource(
        "Events::Connection",
        AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "VALUE"}},
    ),
}
PROJECT = {
    "Name": "watched",
    "ServiceRole": ANY_ROLE,
    "Artifacts": {"Type": "NO_ARTIFACTS"},
    "Environment": {
        "Type": "LINUX_CONTAINER",
        "ComputeType": "BUILD_GENERAL1_SMALL",
        "Image": "VALUE",
        "EnvironmentVariables": [{"Name": "VALUE", "Value": "1"}],
    },
    "Source": {"Type": "NO_SOURCE", "BuildSpec": "version: VALUE"},
}
DESTINATION = {
    "ConnectionArn": {"Fn::GetAtt": ["Connection", "Arn"]},
    "HttpMethod": "VALUE",
    "InvocationEndpoint": "https://example.com/hook",
}
TOPIC_POLICY = {"Topics": [{"Ref": "Topic"}], "PolicyDocument": allowing("sns:VALUE")}
WIDGET = {"type": "text", "properties": {"markdown": "VALUE"}}
DASHBOARD = {"DashboardName": "watched", "DashboardBody": json.dumps({"widgets": [WIDGET]})}
QUERY = {"Name": "watched/query", "QueryString": "VALUE", "LogGroupNames": ["/app"]}
QUERIES = {"queryDefinitionNamePrefix": "watched/"}
TOPIC = {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:watched"}
#: A type, properties with VALUE, a call, and its request, in which ONE stands for the physical id.
#: The answer has the value as often as the properties.
CHANGED: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("CodeBuild::Project", PROJECT, "codebuild.batch_get_projects", {"names": ["watched"]}),
    ("Events::ApiDestination", DESTINATION, "events.list_api_destinations", {}),
    ("SNS::TopicPolicy", TOPIC_POLICY, "sns.get_topic_attributes", TOPIC),
    ("CloudWatch::Dashboard", DASHBOARD, "cloudwatch.get_dashboard", {"DashboardName": "watched"}),
    ("Logs::QueryDefinition", QUERY, "logs.describe_query_definitions", QUERIES),
    *(
        (
            *(kind, properties | TAGS, call),
            {argument: "ONE" if place is None else ARN.format(call.partition(".")[0], place)},
        )
        for kind, properties, call, argument, place in TAGGED
    ),
]


@pytest.mark.parametrize(("kind", "properties", "call", "request_"), CHANGED)
def test_a_resource_is_created_changed_in_place_and_deleted(
    cloud, strict, kind, properties, call, request_
):
    service, _, operation = call.partition(".")
    one = json.dumps({**NEEDED, "One": resource(kind, **properties)})

    def put(put_stack: Callable[..., Any], value: str) -> dict[str, str]:
        put_stack("changed", json.loads(one.replace("VALUE", value)))
        return strict.resources("changed")

    def counts() -> list[int]:
        """How often each value is in the answer; a refusal has none."""
        given = json.loads(json.dumps(request_).replace("ONE", made["One"]))
        try:
            answer = getattr(cloud.client(service), operation)(**given)
        except ClientError:
            return [0, 0]
        del answer["ResponseMetadata"]
        return [json.dumps(answer, default=str).count(value) for value in ("POST", "PUT")]

    count = json.dumps(properties).count("VALUE")
    made = put(strict.create, "POST")
    assert counts() == [count, 0]
    assert put(strict.update, "PUT") == made
    assert counts() == [0, count]
    strict.delete("changed")
    if "Tags" not in properties:  # moto keeps some
        assert counts() == [0, 0]


def test_projects_and_connections_can_be_referred_to(cloud, strict):
    name = {"Fn::Select": [5, {"Fn::Split": [":", {"Fn::GetAtt": ["Project", "Arn"]}]}]}
    wanted = {
        **NEEDED,
        "Project": resource("CodeBuild::Project", **PROJECT),
        "Log": resource("Logs::LogGroup", LogGroupName=name),
        "Destination": resource("Events::ApiDestination", **DESTINATION | {"HttpMethod": "PUT"}),
    }
    strict.create("referring", wanted)
    assert strict.resources("referring")["Log"] == "project/watched"
    [connection] = cloud.client("events").list_connections()["Connections"]
    [destination] = cloud.client("events").list_api_destinations()["ApiDestinations"]
    assert destination["ConnectionArn"] == connection["ConnectionArn"]
    strict.delete("referring")


def test_a_topic_without_its_policy_has_the_default_policy(cloud, strict):
    strict.create("topics", {**NEEDED, "P": resource("SNS::TopicPolicy", **TOPIC_POLICY)})
    strict.update("topics", NEEDED)
    attributes = cloud.client("sns").get_topic_attributes(**TOPIC)["Attributes"]
    assert "__default_policy_ID" in attributes["Policy"]
    strict.delete("topics")
