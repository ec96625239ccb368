"""The policies in docs/deployment.md allow what CloudFormation calls for the stack's resources.

The schema of a resource type, which AWS publishes and cfn-lint includes, lists the permissions
needed to create, read, update and delete a resource. tests/local/test_sam_deploy.py has the calls
of the SAM CLI, and its bucket.
"""

import fnmatch
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local import acknowledger
from local.arguments import TEMPLATE
from tests.documentation import texts_of

pytestmark = pytest.mark.slow

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
EVERYTHING = {
    "ActionTypes": "Custom/Test/Mine/7,ThirdParty/Deploy/Acknowledger/1",
    "RegisterActionType": "true",
    "ClientTokenPrefix": "/tokens/",
    "MaxJobsInFlight": "3",
    "KmsKeyArn": KEY,
    "PermissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess",
    "RoleNamePrefix": "team-",
}
#: Needed only for properties that the template doesn't have.
FOR_PROPERTIES = {
    r"(iam:CreateServiceLinkedRole|dynamodb:\w+TableReplica)": "Replicas",
    r"dynamodb:(BatchWriteItem|(Delete|Get|Put|Update)Item|Query|Scan)": "Replicas",
    r"(dynamodb:ImportTable|s3:(GetObjectMetadata|ListBucket)|logs:(Create|Describe)LogStreams?)": (
        "ImportSourceSpecification"
    ),
    r"logs:PutLogEvents": "ImportSourceSpecification",
    r"(dynamodb:(En|Dis)ableKinesis\w+|dynamodb:UpdateKinesis\w+|kinesis:\w+)": (
        "KinesisStreamSpecification"
    ),
    r"dynamodb:(Put|Delete)ResourcePolicy": "ResourcePolicy",
    r"dynamodb:UpdateContributorInsights": "ContributorInsightsSpecification",
    r"events:(Put|Remove)Permission": "Policy",
    r"iam:\w+Group\w*": "Groups",
    r"iam:\w+User\w*": "Users",
    r"(ec2|s3files):\w+": "VpcConfig",
    r"elasticfilesystem:\w+": "FileSystemConfigs",
    r"lambda:(Put|Delete)FunctionCodeSigningConfig": "CodeSigningConfigArn",
    r"lambda:(Put|Delete)FunctionConcurrency": "ReservedConcurrentExecutions",
    r"lambda:PutFunctionRecursionConfig": "RecursiveLoop",
    r"lambda:(PutFunctionScalingConfig|PublishVersion)": "FunctionScalingConfig",
    r"lambda:PassCapacityProvider": "CapacityProviderConfig",
    r"lambda:(PutRuntimeManagementConfig|AssociateRuntimeAlias)": "RuntimeManagementConfig",
    r"logs:(PutIndexPolicy|DeleteIndexPolicy)": "FieldIndexPolicies",
    r"(logs|sns):(Put|Delete)DataProtectionPolicy": "DataProtectionPolicy",
    r"logs:DeleteResourcePolicy": "ResourcePolicyDocument",
    r"logs:PutBearerTokenAuthentication": "BearerTokenAuthenticationEnabled",
    r"logs:PutLogGroupDeletionProtection": "DeletionProtectionEnabled",
    r"(firehose:TagDeliveryStream|s3:REST\.PUT\.OBJECT)": "DeliveryDestinationArn",
    r"s3:GetObjectVersion": "S3ObjectVersion",
    r"sns:(Subscribe|Unsubscribe)": "Subscription",
}
#: Permissions that are never needed here, and why.
NEVER = {
    r"codepipeline:DeleteCustomActionType": "the action type is retained",
    r"logs:DeleteRetentionPolicy": "there is always a retention",
}
#: Calls of the SAM CLI, and what its bucket needs.
OF_SAM = re.compile(r"(cloudformation|s3):.+")
#: The types that are encrypted with the key; other types use keys for other properties.
ENCRYPTED = {"DynamoDB::Table", "SQS::Queue", "SNS::Topic", "Logs::LogGroup"}


BLOCKS = texts_of("docs/deployment.md", "json")


def actions(statements: list[dict[str, Any]]) -> set[str]:
    return {action for one in statements for action in one["Action"]}


# The page's policies: to deploy, for the key's services, and to deploy with a key.
POLICY, OF_KEY, WITH_KEY = map(json.loads, BLOCKS)
DEPLOYING = POLICY["Statement"]
EVERY = DEPLOYING + WITH_KEY
ALLOWED = actions(EVERY)


def needed(kind: str) -> set[str]:
    """The permissions that CloudFormation needs for a resource type."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    return {
        permission
        for what in ("create", "read", "update", "delete")
        for permission in handlers.get(what, {}).get("permissions", [])
        if not permission.startswith("kms:") or kind.removeprefix("AWS::") in ENCRYPTED
    }


def is_allowed(permission: str, allowed: set[str]) -> bool:
    return any(fnmatch.fnmatchcase(permission, each) for each in allowed)


def is_allowed_on(permission: str, arn: str, statements: list[dict[str, Any]]) -> bool:
    """Whether a statement allows a permission on a resource, also by patterns."""
    for one in statements:
        resources = [one["Resource"]] if isinstance(one["Resource"], str) else one["Resource"]
        if is_allowed(permission, {*one["Action"]}) and is_allowed(arn, {*resources}):
            return True
    return False


#: The ARN of a resource, after the account, by its type; the other types have none of their own.
ARNS = {
    "AWS::CloudWatch::Alarm": "cloudwatch:us-east-1:123456789012:alarm:{}",
    "AWS::CloudWatch::Dashboard": "cloudwatch::123456789012:dashboard/{}",
    "AWS::DynamoDB::Table": "dynamodb:us-east-1:123456789012:table/{}",
    "AWS::Events::EventBus": "events:us-east-1:123456789012:event-bus/{}",
    "AWS::Events::Rule": "events:us-east-1:123456789012:rule/{}",
    "AWS::IAM::Role": "iam::123456789012:role/{}",
    "AWS::Lambda::Function": "lambda:us-east-1:123456789012:function:{}",
    "AWS::Logs::LogGroup": "logs:us-east-1:123456789012:log-group:{}",
    "AWS::SQS::Queue": "sqs:us-east-1:123456789012:{}",
}


def arns_of(resources: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The ARNs of a stack's resources, by service."""
    # CloudFormation names a state machine without the stack's name.
    found = {"states": {"arn:aws:states:us-east-1:123456789012:stateMachine:JobStateMachine-A1b2"}}
    for each in resources:
        kind, name = each["ResourceType"], each["PhysicalResourceId"]
        if kind in ARNS:
            name = name.rpartition("/")[2] if kind == "AWS::SQS::Queue" else name.replace("|", "/")
            arn = f"arn:aws:{ARNS[kind].format(name)}"
        elif name.startswith("arn:") and not name.startswith("arn:aws:codepipeline:"):
            arn = name
        else:
            continue
        found.setdefault(arn.split(":")[2], set()).add(arn)
    return found


@dataclass
class Made:
    """What was deployed.

    listed: what the schemas list for the types of the resources created, updated and deleted.
    needed: the permissions of these that are needed here.
    template: the processed template.
    arns: the ARNs of the resources, by service.
    """

    listed: set[str]
    needed: set[str]
    template: str
    arns: dict[str, set[str]]


@pytest.fixture(scope="module")
def made() -> Made:
    with acknowledger.empty() as cloud:
        client = cloud.client("cloudformation")
        cloud.deploy(TEMPLATE, {}, name="acknowledger")
        cloud.deploy(TEMPLATE, EVERYTHING, name="acknowledger")
        listed = client.get_paginator("list_stack_resources").paginate(StackName="acknowledger")
        resources = [each for page in listed for each in page["StackResourceSummaries"]]
        body = client.get_template(StackName="acknowledger", TemplateStage="Processed")
        stack_id = client.describe_stacks(StackName="acknowledger")["Stacks"][0]["StackId"]
        client.delete_stack(StackName="acknowledger")
        pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        events = [event for page in pages for event in page["StackEvents"]]
    done = {(event["ResourceType"], event["ResourceStatus"]) for event in events}
    assert not [each for each in done if each[1].endswith("FAILED")]
    kinds = {kind for kind, _ in done} - {"AWS::CloudFormation::Stack"}
    listed = {permission for kind in kinds for permission in needed(kind)}
    left_out = re.compile("|".join([*FOR_PROPERTIES, *NEVER]))
    here = {permission for permission in listed if not left_out.fullmatch(permission)}
    assert {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"} <= {how for _, how in done}
    return Made(listed, here, json.dumps(body["TemplateBody"]), arns_of(resources))


def test_everything_that_cloudformation_calls_is_allowed(made, blocks):
    assert blocks.take_all() == BLOCKS
    assert {each for each in made.needed if not is_allowed(each, ALLOWED)} == set()


def test_it_is_allowed_on_the_stacks_resources_and_on_no_others(made):
    assert made.arns.keys() == {
        *("cloudwatch", "dynamodb", "events", "iam", "lambda", "logs", "sns", "sqs", "states")
    }
    anywhere = {one for s in DEPLOYING if s["Resource"] == "*" for one in s["Action"]}
    of_services = {each for each in made.needed if each.partition(":")[0] in made.arns}
    assert len(of_services) > 100
    for permission in of_services:
        for arn in made.arns[permission.partition(":")[0]]:
            assert is_allowed_on(permission, arn, EVERY), (permission, arn)
            other = arn.replace("acknowledger", "other").replace("JobStateMachine", "Other")
            allowed = is_allowed_on(permission, other, EVERY)
            assert allowed == is_allowed(permission, anywhere), (permission, other)


def test_permissions_are_left_out_only_for_properties_that_the_template_does_not_have(made):
    for name in FOR_PROPERTIES.values():
        assert f'"{name}":' not in made.template, name
    for pattern in (*FOR_PROPERTIES, *NEVER):
        assert any(re.fullmatch(pattern, each) for each in made.listed), pattern


def test_only_a_stack_with_a_key_needs_permissions_for_it(made):
    def of_keys(permissions: set[str]) -> set[str]:
        return {each for each in permissions if each.startswith("kms:")}

    assert of_keys(actions(DEPLOYING)) == set()
    assert of_keys(actions(WITH_KEY)) == of_keys(made.listed)


def test_the_policy_of_the_key_is_for_the_services_that_use_it(made):
    found = {}
    for one in OF_KEY:
        services = one["Principal"]["Service"]
        for service in [services] if isinstance(services, str) else services:
            found[service] = {*one["Action"]}

    by_type: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(made.template)["Resources"].values():
        by_type.setdefault(each["Type"], []).append(each["Properties"])
    # What SQS, SNS and CloudWatch Logs document for services that use their encrypted resources.
    to_send = {"kms:GenerateDataKey*", "kms:Decrypt"}
    to_log = {f"kms:{each}*" for each in ("Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey")}
    used = {
        statement["Principal"]["Service"]: to_send
        for policy in by_type["AWS::SQS::QueuePolicy"]
        for statement in policy["PolicyDocument"]["Statement"]
    }
    (topic,) = by_type["AWS::SNS::Topic"]
    if "KmsMasterKeyId" in topic and by_type["AWS::CloudWatch::Alarm"][0]["AlarmActions"]:
        used["cloudwatch.amazonaws.com"] = to_send
    if "KmsKeyId" in by_type["AWS::Logs::LogGroup"][0]:
        used["logs.us-east-1.amazonaws.com"] = {*to_log, "kms:Describe*"}
    assert found == used


def test_only_what_is_needed_is_allowed(made):
    for action in ALLOWED:
        others = ALLOWED - {action}
        is_needed = not all(is_allowed(each, others) for each in made.needed)
        assert is_needed or OF_SAM.fullmatch(action), action
