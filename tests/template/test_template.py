"""What would be deployed, as SAM's own translator makes it from the template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.api import lint_file
from cfnlint.decode import cfn_yaml

from tests.support import ROOT

TEMPLATE: dict[str, Any] = cfn_yaml.load(str(ROOT / "template.yaml"))
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
ROLES = {
    name: [
        # What only a stack that serves partners is allowed counts as well.
        statement["Fn::If"][1] if "Fn::If" in statement else statement
        for policy in resource["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::IAM::Role"
}


def actions(statements):
    for statement in statements:
        found = statement["Action"]
        yield from [found] if isinstance(found, str) else found


def test_cfn_lint_finds_nothing():
    assert [str(problem) for problem in lint_file(Path(ROOT / "template.yaml"))] == []


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_has_a_default_and_says_what_it_is(name):
    parameter = TEMPLATE["Parameters"][name]
    assert "Default" in parameter
    assert len(parameter["Description"]) > 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_a_role_and_a_log_group_of_its_own(name):
    stem = name.removesuffix("Function")
    assert FUNCTIONS[name]["Handler"] == f"{stem.lower()}.handler"
    assert (ROOT / "functions" / f"{stem.lower()}.py").exists()
    assert FUNCTIONS[name]["Role"] == {"Fn::GetAtt": [f"{stem}Role", "Arn"]}
    assert FUNCTIONS[name]["LoggingConfig"]["LogGroup"] == {"Ref": f"{stem}LogGroup"}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (
            "IntakeRole",
            {
                "codepipeline:PollForJobs",
                "codepipeline:ListActionTypes",
                "codepipeline:PollForThirdPartyJobs",
                "codepipeline:GetThirdPartyJobDetails",
                "ssm:GetParameter",
                "kms:Decrypt",
                "states:StartExecution",
                "states:DescribeExecution",
                "dynamodb:Query",
            },
        ),
        (
            "AcknowledgeRole",
            {
                "codepipeline:AcknowledgeJob",
                "codepipeline:AcknowledgeThirdPartyJob",
                "ssm:GetParameter",
                "kms:Decrypt",
                "dynamodb:GetItem",
                "dynamodb:UpdateItem",
                "states:SendTaskSuccess",
                "states:SendTaskFailure",
            },
        ),
        (
            "ReportRole",
            {
                "codepipeline:AcknowledgeJob",
                "codepipeline:PutJobSuccessResult",
                "codepipeline:PutJobFailureResult",
                "codepipeline:AcknowledgeThirdPartyJob",
                "codepipeline:PutThirdPartyJobSuccessResult",
                "codepipeline:PutThirdPartyJobFailureResult",
                "ssm:GetParameter",
                "kms:Decrypt",
                "dynamodb:UpdateItem",
            },
        ),
        (
            "JobStateMachineRole",
            {
                "dynamodb:GetItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "events:PutEvents",
                "lambda:InvokeFunction",
            },
        ),
    ],
)
def test_a_role_may_do_what_its_owner_does_and_nothing_else(role, expected):
    own = {
        action
        for action in actions(ROLES[role])
        if action.split(":")[0] not in ("logs", "xray", "sqs")
    }
    assert own == expected


# Those for which IAM knows no resource: the service authorization reference says so.
WITHOUT_RESOURCE = re.compile(
    r"codepipeline:(AcknowledgeJob|ListActionTypes|PutJob(Success|Failure)Result|\w*ThirdParty\w+)"
    r"|xray:\w+|logs:(\w+LogDelivery|ListLogDeliveries|\w+ResourcePolic\w+|DescribeLogGroups)"
)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_a_wildcard_where_iam_knows_a_resource(role):
    for statement in ROLES[role]:
        for action in actions([statement]):
            assert "*" not in action
            if statement["Resource"] == "*":
                assert WITHOUT_RESOURCE.fullmatch(action)


def test_jobs_are_polled_only_for_the_providers_served():
    (statement,) = [s for s in ROLES["IntakeRole"] if s["Action"] == "codepipeline:PollForJobs"]
    assert len(statement["Resource"]) == 10
    for resource in statement["Resource"]:
        assert resource["Fn::Sub"][0].endswith(":action?ype:*/*/${Provider}/*")


def test_a_stack_that_serves_no_partners_is_not_allowed_what_they_need():
    assert TEMPLATE["Parameters"]["ClientTokenPrefix"]["Default"] == ""
    for name, resource in RESOURCES.items():
        if resource["Type"] == "AWS::IAM::Role":
            (policy,) = resource["Properties"]["Policies"]
            always = [s for s in policy["PolicyDocument"]["Statement"] if "Fn::If" not in s]
            for action in actions(always):
                assert "ThirdParty" not in action, name
                assert not action.startswith(("ssm:", "kms:")), name


def test_client_tokens_are_read_only_under_their_prefix():
    for statements in ROLES.values():
        for statement in statements:
            if statement["Action"] == "ssm:GetParameter":
                assert statement["Resource"]["Fn::Sub"].endswith(":parameter${ClientTokenPrefix}*")
            if statement["Action"] == "kms:Decrypt":
                (context,) = statement["Condition"]["StringLike"].values()
                assert context["Fn::Sub"].endswith(":parameter${ClientTokenPrefix}*")


def test_what_eventbridge_or_lambda_gives_up_on_goes_to_a_dead_letter_queue():
    for name, function in FUNCTIONS.items():
        events = function.get("Events", {})
        assert bool(events) == ("DeadLetterQueue" in function), name
        for event in events.values():
            queue = event["Properties"]["DeadLetterConfig"]["Arn"]
            assert queue == function["DeadLetterQueue"]["TargetArn"]


def test_a_job_dispatched_too_long_ago_is_not_acknowledged_any_more():
    """No execution waits for the answer then, and CodePipeline would not offer the job again."""
    function = FUNCTIONS["AcknowledgeFunction"]
    limit = {"Ref": "AcknowledgeTimeoutSeconds"}
    assert function["EventInvokeConfig"] == {"MaximumEventAgeInSeconds": limit}
    (event,) = function["Events"].values()
    assert event["Properties"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": limit}
    # The least that EventBridge and Lambda take.
    assert TEMPLATE["Parameters"]["AcknowledgeTimeoutSeconds"]["MinValue"] == 60


def test_the_next_sweep_is_intakes_retry():
    assert FUNCTIONS["IntakeFunction"]["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


def test_dead_letters_are_kept_as_long_as_sqs_keeps_anything():
    queues = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::SQS::Queue"]
    assert [queue["MessageRetentionPeriod"] for queue in queues] == [1209600, 1209600]


def test_every_log_group_forgets_after_the_time_given():
    groups = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == len(FUNCTIONS) + 1
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups)


def test_the_state_machine_logs_without_execution_data_and_is_traced():
    properties = RESOURCES["JobStateMachine"]["Properties"]
    assert properties["Logging"]["IncludeExecutionData"] is False
    assert properties["Tracing"] == {"Enabled": True}


def test_the_table_can_be_restored_and_forgets_ended_jobs():
    properties = RESOURCES["JobTable"]["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    indexes = [index["IndexName"] for index in properties["GlobalSecondaryIndexes"]]
    assert indexes == ["ByStatus", "ByActionExecution"]


def test_every_environment_variable_that_the_functions_read_is_given():
    code = "".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    read = set(re.findall(r'(?:required|_seconds)\((?:os\.)?environ, "(\w+)"\)', code))
    every = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    given = {name for f in FUNCTIONS.values() for name in f["Environment"]["Variables"]}
    given |= {name for name in every if not name.startswith(("POWERTOOLS_", "AWS_"))}
    assert read
    assert read == given


def test_a_worker_finds_what_it_needs_in_the_outputs():
    assert {"JobBusName", "JobStateMachineArn", "JobTableName"} <= set(TEMPLATE["Outputs"])
    assert all("Description" in output for output in TEMPLATE["Outputs"].values())


def test_it_is_plain_yaml_without_aliases():
    """CloudFormation reads none."""
    events = yaml.parse((ROOT / "template.yaml").read_text())
    assert not [event for event in events if isinstance(event, yaml.AliasEvent)]


def test_the_definition_in_the_template_is_the_one_in_the_repository():
    uri = RESOURCES["JobStateMachine"]["Properties"]["DefinitionUri"]
    assert json.loads((ROOT / uri).read_text())["QueryLanguage"] == "JSONata"
