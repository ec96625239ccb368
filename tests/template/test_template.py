"""What the template would deploy."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from cfnlint.decode import cfn_yaml
from moto.events.models import EventPattern

from acknowledger.config import MOST_JOBS_IN_FLIGHT, Config
from tests.support import ROOT, load_event

TEMPLATE: dict[str, Any] = cfn_yaml.load(str(ROOT / "template.yaml"))
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
QUEUES = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::SQS::Queue"]


def policies_of(role):
    """A role's inline policies, and those attached to it."""
    own = RESOURCES[role]["Properties"]
    yield from (policy["PolicyDocument"] for policy in own["Policies"])
    for managed in own.get("ManagedPolicyArns", []):
        yield RESOURCES[managed["Ref"]]["Properties"]["PolicyDocument"]
    for resource in RESOURCES.values():
        attached = resource["Type"] == "AWS::IAM::Policy"
        if attached and {"Ref": role} in resource["Properties"]["Roles"]:
            yield resource["Properties"]["PolicyDocument"]


ROLES = {
    name: [
        # This includes what only a stack that serves partners is allowed.
        statement["Fn::If"][1] if "Fn::If" in statement else statement
        for policy in policies_of(name)
        for statement in policy["Statement"]
    ]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::IAM::Role"
}


def test_the_functions_are_compiled_for_their_runtime():
    (compiled_for,) = re.findall(
        r"^RUNTIME := (.+)$", (ROOT / "functions" / "Makefile").read_text(), re.M
    )
    assert compiled_for == TEMPLATE["Globals"]["Function"]["Runtime"]
    methods = {RESOURCES[name].get("Metadata", {}).get("BuildMethod") for name in FUNCTIONS}
    assert methods == {"makefile"}


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_has_a_default_and_a_description(name):
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


def test_report_may_answer_executions_of_its_own_state_machine_only():
    (statement,) = RESOURCES["ReportToJobStateMachine"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "states:SendTaskSuccess"
    assert statement["Resource"] == {"Ref": "JobStateMachine"}
    # In the role it would be circular: the state machine needs Report, and Report needs its role.
    own = json.dumps(RESOURCES["ReportRole"])
    assert '"JobStateMachine"' not in own


def test_jobs_can_be_polled_only_for_exactly_the_action_types_served():
    (statement,) = [s for s in ROLES["IntakeRole"] if s["Action"] == "codepipeline:PollForJobs"]
    separator, joined = statement["Resource"]["Fn::Split"]
    begins, rest = joined["Fn::Join"][1]
    between, types = rest["Fn::Join"]
    assert (separator + begins, types) == (between, {"Ref": "ActionTypes"})
    assert begins == "arn:*:codepipeline:*:*:action?ype:"
    here = {"aws:RequestedRegion": {"Ref": "AWS::Region"}}
    assert statement["Condition"] == {"StringEquals": here}


def test_the_template_is_small_enough_to_be_given_inline():
    """CloudFormation takes 51,200 bytes at most."""
    written = (ROOT / "template.yaml").read_bytes()
    assert len(written) < 51_200
    assert written.count(b"\n") < 1_000


def test_a_registered_action_type_outlives_the_stack():
    resource = RESOURCES["CustomActionType"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_stack_may_have_a_key_a_permissions_boundary_and_role_names():
    key = {"Ref": "KmsKeyArn"}
    nothing = {"Ref": "AWS::NoValue"}
    for name, resource in RESOURCES.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::Role":
            boundary = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundaryArn"}, nothing]}
            assert properties["PermissionsBoundary"] == boundary, name
            assert properties["RoleName"]["Fn::If"][0] == "NamesRoles", name
        encrypted = {
            "AWS::DynamoDB::Table": "SSESpecification",
            "AWS::Logs::LogGroup": "KmsKeyId",
            "AWS::SNS::Topic": "KmsMasterKeyId",
            "AWS::SQS::Queue": "KmsMasterKeyId",
        }
        if resource["Type"] in encrypted:
            condition, with_key, without = properties[encrypted[resource["Type"]]]["Fn::If"]
            assert (condition, without) == ("HasKey", nothing), name
            assert key in (with_key, with_key.get("KMSMasterKeyId")), name
    for parameter in ("KmsKeyArn", "PermissionsBoundaryArn", "RoleNamePrefix"):
        assert TEMPLATE["Parameters"][parameter]["Default"] == ""


def test_client_tokens_are_read_only_under_their_prefix():
    for statements in ROLES.values():
        for statement in statements:
            if statement["Action"] == "ssm:GetParameter":
                assert statement["Resource"]["Fn::Sub"].endswith(":parameter${ClientTokenPrefix}*")
            if statement["Action"] == "kms:Decrypt" and statement["Resource"] != {
                "Ref": "KmsKeyArn"
            }:
                (context,) = statement["Condition"]["StringLike"].values()
                assert context["Fn::Sub"].endswith(":parameter${ClientTokenPrefix}*")


def test_events_that_eventbridge_or_lambda_gives_up_go_to_a_dead_letter_queue():
    for name, function in FUNCTIONS.items():
        events = function.get("Events", {})
        assert bool(events) == ("DeadLetterQueue" in function), name
        for event in events.values():
            queue = event["Properties"]["DeadLetterConfig"]["Arn"]
            assert queue == function["DeadLetterQueue"]["TargetArn"]
            assert queue == {"Fn::GetAtt": [name.removesuffix("Function") + "DeadLetters", "Arn"]}


def test_each_source_may_send_to_its_dead_letter_queue():
    properties = RESOURCES["DeadLettersPolicy"]["Properties"]
    (statement,) = properties["PolicyDocument"]["Statement"]
    assert properties["Queues"] == [{"Ref": queue} for queue in QUEUES]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    for queue in QUEUES:
        (own,) = [
            statement
            for statement in ROLES[queue.replace("DeadLetters", "Role")]
            if statement["Action"] == "sqs:SendMessage"
        ]
        assert own["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert {"Ref": queue} in [output["Value"] for output in TEMPLATE["Outputs"].values()]


def test_a_job_dispatched_too_long_ago_is_no_longer_acknowledged():
    """No execution would wait for the answer, and CodePipeline would not offer the job again."""
    function = FUNCTIONS["AcknowledgeFunction"]
    limit = {"Ref": "AcknowledgeTimeoutSeconds"}
    assert function["EventInvokeConfig"] == {"MaximumEventAgeInSeconds": limit}
    (event,) = function["Events"].values()
    assert event["Properties"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": limit}
    # The minimum that EventBridge and Lambda take.
    assert TEMPLATE["Parameters"]["AcknowledgeTimeoutSeconds"]["MinValue"] == 60


def test_the_next_sweep_is_intakes_retry():
    assert FUNCTIONS["IntakeFunction"]["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


def test_dead_letters_are_kept_for_the_longest_time_that_sqs_allows():
    assert len(QUEUES) == len(FUNCTIONS)
    for queue in QUEUES:
        assert RESOURCES[queue]["Properties"] == {
            "MessageRetentionPeriod": 1209600,
            "SqsManagedSseEnabled": {"Fn::If": ["HasKey", False, True]},
            "KmsMasterKeyId": {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]},
        }


def test_every_log_group_has_the_retention_parameter():
    groups = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == len(FUNCTIONS) + 1
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups)


def test_the_state_machine_logs_without_execution_data_and_is_traced():
    properties = RESOURCES["JobStateMachine"]["Properties"]
    assert properties["Logging"]["IncludeExecutionData"] is False
    assert properties["Tracing"] == {"Enabled": True}


@pytest.mark.parametrize("table", ["JobTable", "IntakeTable"])
def test_a_table_can_be_restored_expires_only_ended_jobs_and_declares_only_its_keys(table):
    properties = RESOURCES[table]["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    expires = {"AttributeName": "expiresAt", "Enabled": True} if table == "JobTable" else None
    assert properties.get("TimeToLiveSpecification") == expires
    declared = [one["AttributeName"] for one in properties["AttributeDefinitions"]]
    keys = [properties, *properties.get("GlobalSecondaryIndexes", [])]
    used = {key["AttributeName"] for one in keys for key in one["KeySchema"]}
    assert sorted(declared) == sorted(used)


RULES = {
    f"{function}.{name}": event["Properties"]
    for function, properties in FUNCTIONS.items()
    for name, event in properties.get("Events", {}).items()
    if event["Type"] == "EventBridgeRule"
}


def matches(rule, event):
    """Whether a rule's pattern matches an event, with the references that a deployment fills in."""
    text = json.dumps(RULES[rule]["Pattern"])
    pattern = json.loads(
        text.replace(
            '{"Ref": "JobStateMachine"}', json.dumps(event["detail"].get("stateMachineArn"))
        )
    )
    return EventPattern.load(json.dumps(pattern)).matches_event(event)


@pytest.mark.parametrize(
    ("event", "rules"),
    [
        ("intake-action-started", {"IntakeFunction.ActionStarted"}),
        ("intake-action-started-older", {"IntakeFunction.ActionStarted"}),
        ("intake-action-type-not-served", {"IntakeFunction.ActionStarted"}),
        ("bad/intake-several-fields", set()),
        ("bad/intake-not-ours", set()),
        ("intake-schedule", set()),
        ("intake-execution-ended", {"IntakeFunction.ExecutionEnded"}),
        ("bad/intake-execution-running", set()),
        ("acknowledge-job-dispatched", {"AcknowledgeFunction.JobDispatched"}),
        ("report-job-progress", {"ReportFunction.JobProgress"}),
        ("stop-action-abandoned", {"StopFunction.ActionEnded"}),
        ("stop-action-failed", {"StopFunction.ActionEnded"}),
        ("bad/stop-action-state", set()),
        ("stop-job-due", {"StopFunction.JobDue"}),
        (
            "stop-execution-aborted",
            {"StopFunction.ExecutionStopped", "IntakeFunction.ExecutionEnded"},
        ),
    ],
)
def test_an_event_is_matched_by_the_rules_of_its_functions(event, rules):
    assert {rule for rule in RULES if matches(rule, load_event(event))} == rules


@pytest.mark.parametrize(
    ("status", "error", "stops"),
    [
        ("FAILED", "States.Runtime", True),
        ("FAILED", "States.DataLimitExceeded", True),
        ("FAILED", "JobFailed", False),
        ("FAILED", "Unreported", True),
        ("FAILED", "NotDispatched", True),
        ("SUCCEEDED", None, False),
        ("TIMED_OUT", None, True),
        ("ABORTED", None, True),
    ],
)
def test_stop_gets_the_executions_whose_jobs_were_not_reported(status, error, stops):
    event = load_event("stop-execution-aborted")
    event["detail"] |= {"status": status, "error": error}
    found = {rule for rule in RULES if rule.startswith("Stop") and matches(rule, event)}
    assert bool(found) is stops


@pytest.mark.parametrize("state", ["ABANDONED", "CANCELED", "FAILED"])
@pytest.mark.parametrize(("owner", "told"), [("Custom", 1), ("ThirdParty", 1), ("AWS", 0)])
def test_stop_gets_ended_custom_and_partner_actions(state, owner, told):
    event = load_event("stop-action-abandoned")
    event["detail"]["state"] = state
    event["detail"]["type"]["owner"] = owner
    assert len([rule for rule in RULES if matches(rule, event)]) == told


def test_only_the_rule_for_progress_accepts_any_source():
    for name, rule in RULES.items():
        assert ("source" in rule["Pattern"]) is (name != "ReportFunction.JobProgress")
        ours = rule["Pattern"].get("source", ["acknowledger"]) == ["acknowledger"]
        bus = {"Fn::GetAtt": ["JobBus", "Name"]}
        assert rule.get("EventBusName") == (bus if ours else None)


def test_the_rule_for_ended_executions_is_enabled_only_with_a_limit():
    state = RULES["IntakeFunction.ExecutionEnded"]["State"]
    assert state == {"Fn::If": ["LimitsJobs", "ENABLED", "DISABLED"]}
    none = {"Fn::Equals": [{"Ref": "MaxJobsInFlight"}, "0"]}
    assert TEMPLATE["Conditions"]["LimitsJobs"] == {"Fn::Not": [none]}
    assert TEMPLATE["Parameters"]["MaxJobsInFlight"]["Default"] == "0"
    assert [name for name, rule in RULES.items() if "State" in rule] == [
        "IntakeFunction.ExecutionEnded"
    ]


LIMITS = TEMPLATE["Parameters"]["MaxJobsInFlight"]


@pytest.mark.parametrize(
    "given",
    [
        *("0", "1", "20", "100", "199", "3,200", str(MOST_JOBS_IN_FLIGHT), "3,0,10"),
        "1,1,1,1,1,1,1,1,1,1",
    ],
)
def test_a_limit_of_jobs_in_flight_is_one_number_or_several(given):
    assert re.fullmatch(LIMITS["AllowedPattern"], given)
    names = ",".join(f"Custom/Build/A/{number}" for number in range(given.count(",") + 1))
    assert Config({"ACTION_TYPES": names, "MAX_JOBS_IN_FLIGHT": given}).max_jobs_in_flight


@pytest.mark.parametrize(
    "given",
    [
        *("", "-1", "1.5", "many", ",", "1,", ",1", "1,,2", "1;2", "10000", "1,10000", "1\n"),
        *("999", "0200", str(MOST_JOBS_IN_FLIGHT + 1), "1,9999", "300,1"),
    ],
)
def test_a_limit_that_intake_cannot_use_is_refused_at_deployment(given):
    assert not re.fullmatch(LIMITS["AllowedPattern"], given)


@pytest.mark.parametrize(
    ("name", "least", "default", "most"),
    [
        ("ProgressIntervalSeconds", 1, 3_600, 3_600),
        # Well before CodePipeline's timeout: a custom action's job times out after a day.
        ("ContinueAfterSeconds", 60, 86_400 - 3_600, 604_800),
    ],
)
def test_a_number_of_seconds_has_bounds(name, least, default, most):
    parameter = TEMPLATE["Parameters"][name]
    assert (parameter["Type"], parameter["MinValue"]) == ("Number", least)
    assert parameter["MaxValue"] == most
    assert least <= parameter["Default"] <= default


def test_work_of_more_than_a_day_needs_its_own_parameter():
    parameters = TEMPLATE["Parameters"]
    assert parameters["JobTimeoutSeconds"]["MaxValue"] == 86_400
    assert parameters["LongJobTimeoutSeconds"]["Default"] == 0
    assert parameters["LongJobTimeoutSeconds"]["MaxValue"] > 86_400
    given = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["JOB_TIMEOUT_SECONDS"]
    limits = [{"Ref": "LongJobTimeoutSeconds"}, {"Ref": "JobTimeoutSeconds"}]
    assert given == {"Fn::If": ["HasLongJobs", *limits]}


def test_every_function_gets_exactly_the_settings_that_config_reads():
    """Only Intake gets the state machine's ARN: the state machine itself refers to Report."""
    read = Reading(dict.fromkeys(given_to("IntakeFunction"), "1"))
    read["ACTION_TYPES"], read["QUERIES"] = "Custom/Build/A/1", ""
    settings = Config(read)
    settings.check()
    assert settings.client_token_prefix
    for function in FUNCTIONS:
        own = set() if function == "IntakeFunction" else {"STATE_MACHINE_ARN"}
        assert given_to(function) == read.names - own


def given_to(function):
    every = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = FUNCTIONS[function]["Environment"]["Variables"]
    return {name for name in {**every, **own} if not name.startswith(("POWERTOOLS_", "AWS_"))}


def test_only_config_reads_settings():
    """The one exception is a variable that Lambda itself sets."""
    code = [path for path in (ROOT / "functions").rglob("*.py") if path.name != "config.py"]
    read = {
        found
        for path in code
        for found in re.findall(r".*os\.environ.*|.*getenv.*", path.read_text())
    }
    assert read == {'STARTING = "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ'}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_logs_and_emits_metrics_under_its_own_name(name):
    """The name is set there only: the logger and each function's metrics read it."""
    variables = FUNCTIONS[name]["Environment"]["Variables"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == name.removesuffix("Function")
    handler = ROOT / "functions" / f"{FUNCTIONS[name]['Handler'].partition('.')[0]}.py"
    assert re.findall(r"(Logger|Metrics)\((.*)\)$", handler.read_text(), re.MULTILINE) == [
        ("Metrics", "")
    ]


def test_all_functions_log_with_one_logger():
    modules = (ROOT / "functions" / "acknowledger").glob("*.py")
    code = "".join(path.read_text() for path in modules)
    assert re.findall(r"^logger = (.+)$", code, re.MULTILINE) == ["Logger(json_serializer=as_json)"]
    assert "Metrics(" not in code


def test_lambda_drops_no_log_line_of_a_function():
    """Otherwise sampled invocations would log no more than the others."""
    config = TEMPLATE["Globals"]["Function"]["LoggingConfig"]
    assert config == {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"}


def test_tracing_needs_no_import():
    """Lambda and Step Functions trace without X-Ray's SDK, which is slow to import."""
    assert TEMPLATE["Globals"]["Function"]["Tracing"] == "Active"
    modules = ", ".join(one["Handler"].partition(".")[0] for one in FUNCTIONS.values())
    printed = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "functions"), "AWS_DEFAULT_REGION": "us-east-1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "report" in printed
    assert not any(name.startswith("aws_xray_sdk") for name in printed)


class Reading(dict[str, str]):
    """An environment that records which variables were read."""

    def __init__(self, values):
        super().__init__(values)
        self.names = set()

    def get(self, name, *default):
        self.names.add(name)
        return super().get(name, *default)


def test_the_outputs_have_what_a_worker_needs():
    assert {"JobBusName", "JobStateMachineArn", "JobTableName", "IntakeTableName"} <= set(
        TEMPLATE["Outputs"]
    )
    for function in FUNCTIONS:
        assert TEMPLATE["Outputs"][f"{function}Name"]["Value"] == {"Ref": function}
    assert all("Description" in output for output in TEMPLATE["Outputs"].values())


def test_the_template_has_no_yaml_aliases():
    """CloudFormation doesn't support them."""
    events = yaml.parse((ROOT / "template.yaml").read_text())
    assert not [event for event in events if isinstance(event, yaml.AliasEvent)]


def test_the_definition_in_the_template_is_the_one_in_the_repository():
    uri = RESOURCES["JobStateMachine"]["Properties"]["DefinitionUri"]
    assert json.loads((ROOT / uri).read_text())["QueryLanguage"] == "JSONata"
