"""The policies in docs/deployment.md allow what CloudFormation calls for the stack's resources.

The schema of a resource type, which AWS publishes and cfn-lint includes, lists the permissions
needed to create, read, update and delete a resource.
"""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local import acknowledger
from local.arguments import TEMPLATE
from tests.documentation import blocks_of

pytestmark = pytest.mark.slow

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
EVERYTHING = {
    "ActionTypes": "Custom/Test/Mine/7,ThirdParty/Deploy/Acknowledger/1",
    "RegisterActionType": "true",
    "ClientTokenPrefix": "/tokens/",
    "MaxJobsInFlight": "3",
    "KmsKeyArn": KEY,
    "PermissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess",
    "RoleNamePrefix": "acknowledger-",
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
#: Calls that the person who deploys makes, not CloudFormation.
BY_HAND = re.compile(r"cloudformation:\w+|s3:PutObject")
#: The types that are encrypted with the key; other types use keys for other properties.
ENCRYPTED = {"DynamoDB::Table", "SQS::Queue", "SNS::Topic", "Logs::LogGroup"}


BLOCKS = [block.text for block in blocks_of("docs/deployment.md") if block.language == "json"]


def statements(blocks: list[str] = BLOCKS) -> list[list[dict[str, Any]]]:
    """The page's policies: to deploy, for the key's services, and to deploy with a key."""
    found = [json.loads(block) for block in blocks]
    return [each["Statement"] if isinstance(each, dict) else each for each in found]


def actions(statements: list[dict[str, Any]]) -> set[str]:
    return {action for one in statements for action in one["Action"]}


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


@pytest.fixture(scope="module")
def made() -> tuple[set[str], str]:
    """The types of the resources created, updated and deleted, and the processed template."""
    with acknowledger.empty() as cloud:
        client = cloud.client("cloudformation")
        cloud.deploy(TEMPLATE, {}, name="acknowledger")
        cloud.deploy(TEMPLATE, EVERYTHING, name="acknowledger")
        body = client.get_template(StackName="acknowledger", TemplateStage="Processed")
        stack_id = client.describe_stacks(StackName="acknowledger")["Stacks"][0]["StackId"]
        client.delete_stack(StackName="acknowledger")
        pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        events = [event for page in pages for event in page["StackEvents"]]
    done = {(event["ResourceType"], event["ResourceStatus"]) for event in events}
    assert not [each for each in done if each[1].endswith("FAILED")]
    kinds = {kind for kind, _ in done} - {"AWS::CloudFormation::Stack"}
    assert {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"} <= {how for _, how in done}
    return kinds, json.dumps(body["TemplateBody"])


def test_everything_that_cloudformation_calls_is_allowed(made, blocks):
    kinds, _ = made
    deploying, _, with_key = statements(blocks.take_all())
    allowed = actions(deploying) | actions(with_key)
    left_out = [*FOR_PROPERTIES, *NEVER]
    for kind in kinds:
        lacking = {each for each in needed(kind) if not is_allowed(each, allowed)}
        unexplained = {e for e in lacking if not any(re.fullmatch(one, e) for one in left_out)}
        assert unexplained == set(), kind


def test_permissions_are_left_out_only_for_properties_that_the_template_does_not_have(made):
    kinds, template = made
    everything = {permission for kind in kinds for permission in needed(kind)}
    for pattern, name in FOR_PROPERTIES.items():
        assert f'"{name}":' not in template, name
        assert any(re.fullmatch(pattern, each) for each in everything), pattern
    for pattern in NEVER:
        assert any(re.fullmatch(pattern, each) for each in everything), pattern


def test_only_a_stack_with_a_key_needs_permissions_for_it(made):
    deploying, _, with_key = statements()
    assert not [each for each in actions(deploying) if each.startswith("kms:")]
    kinds, _ = made
    of_keys = {each for kind in kinds for each in needed(kind) if each.startswith("kms:")}
    assert of_keys == {each for each in actions(with_key) if each.startswith("kms:")}


def test_only_what_is_needed_is_allowed(made):
    kinds, _ = made
    deploying, _, with_key = statements()
    allowed = actions(deploying) | actions(with_key)
    left_out = [*FOR_PROPERTIES, *NEVER]
    for action in allowed:
        if BY_HAND.fullmatch(action):
            continue
        gone = {
            each
            for kind in kinds
            for each in needed(kind)
            if not is_allowed(each, allowed - {action})
            and not any(re.fullmatch(one, each) for one in left_out)
        }
        assert gone, action
