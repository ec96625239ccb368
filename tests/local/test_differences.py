"""The differences from AWS: docs/local.md names a test for each of its lines."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import acknowledger
from local.aws import functions
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    REGION,
    SECONDS,
    Queue,
    attributes_of,
    ended,
    invoke,
    make_function,
    make_machine,
    make_rule,
    make_table,
    role,
    running,
    zipped,
)
from tests.support import ROOT, wait_for

PASS = {"Type": "Pass", "End": True}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running(acknowledger.cloud_with_codepipeline) as cloud:
        acknowledger.create_source(cloud)
        acknowledger.create_pipeline_role(cloud)
        yield cloud


def history(cloud: LocalCloud, name: str, definition: dict[str, Any]) -> list[dict[str, Any]]:
    """The history of an execution that fails."""
    states = cloud.client("stepfunctions")
    arn = make_machine(cloud, name, definition)
    execution = states.start_execution(stateMachineArn=arn)["executionArn"]
    assert ended(states, execution)["status"] == "FAILED"
    return list(states.get_execution_history(executionArn=execution)["events"])


def answer(cloud: LocalCloud, name: str, source: str, **settings: Any) -> Any:
    make_function(cloud, name, source, **settings)
    return invoke(cloud, name)


def machine_of(**states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


def test_every_line_of_the_page_names_an_existing_test():
    page = (ROOT / "docs" / "local.md").read_text()
    rows = re.findall(r"^\| (.+) \| `(\S+)::(\w+)` \|$", page, re.MULTILINE)
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == len(lines) - page.count("| Difference | Shown by |")
    for _, file, test in rows:
        assert f"\ndef {test}(" in (ROOT / file).read_text(), (file, test)
    named = {test for _, file, test in rows if file == "tests/local/test_differences.py"}
    own = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text(), re.MULTILINE))
    assert own - named == {"test_every_line_of_the_page_names_an_existing_test"}


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("cloudformation", "detect_stack_drift", {"StackName": "a"}),
        ("cloudformation", "continue_update_rollback", {"StackName": "a"}),
        ("stepfunctions", "redrive_execution", {"executionArn": "a"}),
        ("stepfunctions", "get_activity_task", {"activityArn": "a"}),
        ("stepfunctions", "start_sync_execution", {"stateMachineArn": "a"}),
        ("stepfunctions", "publish_state_machine_version", {"stateMachineArn": "a"}),
        ("stepfunctions", "test_state", {"definition": "{}"}),
    ],
)
def test_missing_operations_are_refused(cloud, service, operation, request_):
    client = cloud.client(service)
    client.meta.config.inject_host_prefix = False
    with pytest.raises(ClientError, match="is not implemented here") as caught:
        getattr(client, operation)(**request_)
    code = caught.value.response["Error"]["Code"]
    assert code in ("UnknownOperationException", "InvalidAction")


# -- Lambda ---------------------------------------------------------------------------------------


def test_retries_come_after_one_and_two_seconds():
    runner = functions.Runner("")
    runner.close()
    assert runner.retry_delays == (1.0, 2.0)


def test_a_function_may_import_what_is_installed_here(cloud):
    source = "import moto\ndef handler(event, context): return moto.__name__"
    assert answer(cloud, "imports", source) == "moto"


def test_every_runtime_is_this_python(cloud):
    source = "import sys\ndef handler(event, context): return sys.version_info.major"
    assert answer(cloud, "runtime", source, Runtime="nodejs22.x") == 3


def test_layers_are_not_unpacked(cloud):
    layer = cloud.client("lambda").publish_layer_version(
        LayerName="own", Content={"ZipFile": zipped("x = 1", "python/of_layer")}
    )["LayerVersionArn"]
    source = "import of_layer\ndef handler(event, context): return 1"
    said = answer(cloud, "layered", source, Layers=[layer])
    assert said["errorType"] == "Runtime.ImportModuleError"


def test_output_below_the_log_level_is_logged(cloud):
    level = {"LogFormat": "JSON", "ApplicationLogLevel": "ERROR"}
    source = """
        def handler(event, context): print('{"level": "DEBUG", "message": "quiet"}')
    """
    answer(cloud, "levels", source, LoggingConfig=level)
    events = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/levels")["events"]
    assert any("quiet" in event["message"] for event in events)


def test_a_role_may_do_everything(cloud):
    cloud.client("sqs").create_queue(QueueName="anybodys")
    source = """
        import boto3
        def handler(event, context): return len(boto3.client("sqs").list_queues()["QueueUrls"])
    """
    assert cloud.client("iam").list_role_policies(RoleName=role(cloud)[-3:])["PolicyNames"] == []
    assert answer(cloud, "unlimited", source, Timeout=30) > 0


# -- EventBridge ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    ["codebuild:project/a", "ecs:cluster/a", "batch:job-queue/a", "events:api-destination/a/1"],
)
def test_unsupported_targets_get_no_event(cloud, resource):
    name = f"target-{uuid.uuid4()}"
    letters = Queue(cloud, name)
    arn = f"arn:aws:{resource.replace(':', f':{REGION}:{ACCOUNT}:')}"
    target = {"Arn": arn, "DeadLetterConfig": {"Arn": letters.arn}}
    make_rule(cloud, name, {"source": [name]}, target)
    entry = {"Source": name, "DetailType": "t", "Detail": "{}"}
    cloud.client("events").put_events(Entries=[entry])
    assert attributes_of(letters.message())["TARGET_ARN"] == arn


# -- Step Functions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "inner"),
    [
        ({"ItemBatcher": {"MaxItemsPerBatch": 2}}, PASS),
        ({"QueryLanguage": "JSONata"}, {**PASS, "QueryLanguage": "JSONPath"}),
    ],
    ids=["ItemBatcher", "JSONPath in JSONata"],
)
def test_unsupported_definitions_are_refused(cloud, state, inner):
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, **machine_of(B=inner)}
    every = {"Type": "Map", "ItemProcessor": processor, "End": True, **state}
    told = cloud.client("stepfunctions").validate_state_machine_definition(
        definition=json.dumps(machine_of(A=every))
    )
    assert told["result"] == "FAIL"


def test_the_end_of_a_branch_has_fewer_history_events(cloud):
    branch = machine_of(B={"Type": "Fail", "Error": "E"})
    parallel = {"Type": "Parallel", "Branches": [branch], "End": True}
    types = [each["type"] for each in history(cloud, "branch", machine_of(A=parallel))]
    assert not [name for name in types if name.endswith("Aborted")]


def test_task_results_have_no_metadata_except_the_capacity_of_an_update(cloud):
    make_table(cloud, "capacity")
    update = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:updateItem",
        "Arguments": {
            "TableName": "capacity",
            "Key": {"id": {"S": "1"}},
            "UpdateExpression": "SET a = :a",
            "ExpressionAttributeValues": {":a": {"S": "1"}},
        },
        "Next": "B",
    }
    undefined = {**PASS, "Output": "{% $nothing %}"}
    definition = machine_of(A=update, B=undefined) | {"QueryLanguage": "JSONata"}
    events = {each["type"]: each for each in history(cloud, "capacity", definition)}
    result = json.loads(events["TaskSucceeded"]["taskSucceededEventDetails"]["output"])
    assert result.keys() == {"ConsumedCapacity"}
    # On AWS, it is the event before PassStateEntered.
    failed, entered = events["EvaluationFailed"], events["PassStateEntered"]
    assert failed["previousEventId"] == entered["id"]
    assert "field" not in failed["evaluationFailedEventDetails"]["cause"]


# -- CloudFormation -------------------------------------------------------------------------------


def test_a_stack_is_complete_when_the_operation_returns(cloud):
    client = cloud.client("cloudformation")
    body = json.dumps({"Resources": {"A": {"Type": "AWS::SQS::Queue"}}})
    client.create_stack(StackName="done", TemplateBody=body)
    assert client.describe_stacks(StackName="done")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    # A stack policy has no effect.
    statement = {"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    policy = json.dumps({"Statement": [statement]})
    client.set_stack_policy(StackName="done", StackPolicyBody=policy)
    body = json.dumps({"Resources": {"B": {"Type": "AWS::SQS::Queue"}}})
    client.update_stack(StackName="done", TemplateBody=body)
    [made] = client.list_stack_resources(StackName="done")["StackResourceSummaries"]
    assert made["LogicalResourceId"] == "B"


def test_there_is_one_macro(cloud):
    resources = {"A": {"Type": "AWS::SQS::Queue"}}
    body = json.dumps({"Transform": "AWS::Include", "Resources": resources})
    with pytest.raises(ClientError, match="No transform named AWS::Include found"):
        cloud.client("cloudformation").create_stack(StackName="macro", TemplateBody=body)


def test_statements_with_a_condition_are_left_out_of_a_buckets_policy(cloud):
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
    conditional = {**statement, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
    document = {"Version": "2012-10-17", "Statement": [statement, conditional]}
    policy = {"Bucket": {"Ref": "B"}, "PolicyDocument": document}
    resources = {
        "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "conditional"}},
        "P": {"Type": "AWS::S3::BucketPolicy", "Properties": policy},
    }
    cloud.client("cloudformation").create_stack(
        StackName="conditional", TemplateBody=json.dumps({"Resources": resources})
    )
    kept = json.loads(cloud.client("s3").get_bucket_policy(Bucket="conditional")["Policy"])
    assert kept["Statement"] == [statement]


# -- Others ---------------------------------------------------------------------------------------


def test_alarms_call_no_action(cloud):
    cloudwatch, sns = cloud.client("cloudwatch"), cloud.client("sns")
    queue, topic = Queue(cloud, "alarmed"), sns.create_topic(Name="alarmed")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    cloudwatch.put_metric_alarm(
        AlarmName="a",
        Namespace="n",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="breaching",
        AlarmActions=[topic],
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
    assert queue.receive() is None


def test_a_build_succeeds_without_running_anything(cloud):
    codebuild = cloud.client("codebuild")
    commands = "{phases: {build: {commands: [exit 1]}}}"
    compute = {"image": "none", "computeType": "BUILD_GENERAL1_SMALL"}
    codebuild.create_project(
        name="idle-builds",
        source={"type": "NO_SOURCE", "location": "-", "buildspec": commands},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", **compute},
        serviceRole=role(cloud),
    )
    build = codebuild.start_build(projectName="idle-builds")["build"]["id"]
    [told] = codebuild.batch_get_builds(ids=[build])["builds"]
    assert told["buildStatus"] == "SUCCEEDED"


def test_a_pipeline_does_not_start_by_itself_and_most_aws_actions_do_nothing(cloud):
    client = cloud.client("codepipeline")
    action = {"name": "Build", "configuration": {"ProjectName": "none"}}
    acknowledger.create_pipeline(cloud, "idle", "AWS/Build/CodeBuild/1", {"Build": [action]})
    assert client.list_pipeline_executions(pipelineName="idle")["pipelineExecutionSummaries"] == []
    client.start_pipeline_execution(name="idle")

    def built() -> Any:
        [_, stage] = client.get_pipeline_state(name="idle")["stageStates"]
        found = stage["actionStates"][0].get("latestExecution", {})
        return found if found.get("status") == "Succeeded" else None

    assert "without doing anything" in wait_for(built, "the action to end", SECONDS)["summary"]
