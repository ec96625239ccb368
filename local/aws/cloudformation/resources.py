"""The CloudFormation resource types that moto lacks, creates incompletely, or can't update.

As in CloudFormation, a change of one of the properties in `FIXED` replaces the resource; a change
of any other property is made in place, by `update`. With `allow_not_made`, a resource that can't be
created here becomes a placeholder, which `lacking` names.
"""

import base64
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import boto3
import yaml  # type: ignore[import-untyped]
from botocore import xform_name
from moto.awslambda.exceptions import UnknownFunctionException, UnknownPolicyException
from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.awslambda.utils import get_backend as get_lambda_backend
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudwatch.models import Dashboard, cloudwatch_backends
from moto.codebuild.models import codebuild_backends
from moto.core.common_models import CloudFormationModel
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.events.models import EventBus, Rule, events_backends
from moto.iam.models import InlinePolicy, ManagedPolicy, Role, iam_backends
from moto.logs.models import LogGroup, logs_backends
from moto.resourcegroupstaggingapi.models import resourcegroupstaggingapi_backends
from moto.s3.exceptions import BucketNotEmpty, MissingBucket
from moto.s3.models import FakeBucket, s3_backends
from moto.sns.models import Topic, sns_backends
from moto.sqs.exceptions import QueueDoesNotExist
from moto.sqs.models import Queue, sqs_backends
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.responses import get_backend as get_stepfunctions_backend
from moto.stepfunctions.utils import cfn_to_api_tags
from moto.utilities.utils import get_partition

from local.aws import logs
from local.aws.parameters import text

Properties = dict[str, Any]


def s3_of(account_id: str, region: str) -> Any:
    """S3 in moto."""
    return s3_backends[account_id][get_partition(region)]


def iam_of(account_id: str, region: str) -> Any:
    """IAM in moto."""
    return iam_backends[account_id][get_partition(region)]


# -- Resource types that moto lacks ---------------------------------------------------------------


class Resource(CloudFormationModel):
    """A resource that moto lacks: often settings of other resources, with nothing but an id.

    name_property: the property that names it, if there is one.
    place: its ARN after the partition, for `format_map`; empty if it has none.
    """

    kind = name_property = place = ""

    def __init__(self, physical_resource_id: str, properties: Properties, *where: str) -> None:
        self.physical_resource_id = physical_resource_id
        self.properties = properties
        self.account_id, self.region = where

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.name_property

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.kind

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:  # noqa: ARG003 - moto's signature
        return True

    def get_cfn_attribute(self, attribute: str) -> str:
        if attribute == "Arn" and self.place:
            partition = get_partition(self.region)
            return f"arn:{partition}:{self.place.format_map(vars(self))}"
        return f"{self.physical_resource_id}.{attribute}"

    def of(self, backends: Any) -> Any:
        """The backend of this resource's account and region."""
        return backends[self.account_id][self.region]

    def client(self, service: str) -> Any:
        """A client of a service in this resource's region."""
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, region_name=self.region, **keys)

    def is_created(self) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], *where: str, **about: Any
    ) -> "Resource":
        properties = cloudformation_json.get("Properties", {})
        resource = cls(properties.get(cls.name_property, resource_name), properties, *where)
        resource.kind = about["ResourceType"]
        resource.make()
        return resource

    def update(self, properties: Properties) -> None:
        self.undo()
        self.properties = properties
        self.make()

    def delete(self, account_id: str, region_name: str) -> None:  # noqa: ARG002
        self.undo()

    def make(self) -> None:
        """Apply the settings."""

    def undo(self) -> None:
        """Remove the settings that `make` applied, if the other resources still exist."""


class QueuePolicy(Resource):
    kind = "AWS::SQS::QueuePolicy"

    def make(self) -> None:
        self.put(json.dumps(self.properties["PolicyDocument"]))

    def undo(self) -> None:
        self.put(None)

    def put(self, policy: str | None) -> None:
        for url in self.properties["Queues"]:
            with suppress(QueueDoesNotExist):
                self.of(sqs_backends).set_queue_attributes(
                    url.rpartition("/")[2], {"Policy": policy}
                )


class BucketPolicy(Resource):
    kind = "AWS::S3::BucketPolicy"

    def make(self) -> None:
        document = self.properties["PolicyDocument"]
        statements = [each for each in document["Statement"] if "Condition" not in each]
        policy = {**document, "Statement": statements}
        self.s3.put_bucket_policy(self.properties["Bucket"], json.dumps(policy).encode())

    def undo(self) -> None:
        with suppress(MissingBucket):
            self.s3.delete_bucket_policy(self.properties["Bucket"])

    @property
    def s3(self) -> Any:
        return s3_of(self.account_id, self.region)


class Permission(Resource):
    kind = "AWS::Lambda::Permission"

    def make(self) -> None:
        statement = {**self.properties, "StatementId": self.physical_resource_id}
        self.policy.add_statement(json.dumps(statement))

    def undo(self) -> None:
        with suppress(UnknownFunctionException, UnknownPolicyException):
            self.policy.del_statement(self.physical_resource_id)

    @property
    def policy(self) -> Any:
        backend = get_lambda_backend(self.account_id, self.region)
        return backend.get_function(self.properties["FunctionName"]).policy


class EventInvokeConfig(Resource):
    kind = "AWS::Lambda::EventInvokeConfig"

    def make(self) -> None:
        names = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
        config = {name: self.properties[name] for name in names if name in self.properties}
        functions = self.of(lambda_backends)
        functions.put_function_event_invoke_config(self.properties["FunctionName"], config)

    def undo(self) -> None:
        functions = self.of(lambda_backends)
        with suppress(UnknownFunctionException):
            functions.delete_function_event_invoke_config(self.properties["FunctionName"])


class Alarm(Resource):
    """An alarm; its properties are the parameters of PutMetricAlarm."""

    kind, name_property = "AWS::CloudWatch::Alarm", "AlarmName"
    place = "cloudwatch:{region}:{account_id}:alarm:{physical_resource_id}"

    def make(self) -> None:
        settings = {**self.properties, "AlarmName": self.physical_resource_id}
        self.client("cloudwatch").put_metric_alarm(**settings)

    def undo(self) -> None:
        self.client("cloudwatch").delete_alarms(AlarmNames=[self.physical_resource_id])


class QueryDefinition(Resource):
    """A saved query, whose id is the physical id."""

    kind = "AWS::Logs::QueryDefinition"

    def get_cfn_attribute(self, attribute: str) -> str:  # noqa: ARG002 - there is only one
        return self.physical_resource_id

    def make(self) -> None:
        self.physical_resource_id = self.save()

    def update(self, properties: Properties) -> None:
        self.properties = properties
        self.save(queryDefinitionId=self.physical_resource_id)

    def undo(self) -> None:
        logs.definitions(self.of(logs_backends)).pop(self.physical_resource_id, None)

    def save(self, **about: str) -> str:
        return logs.save(self.of(logs_backends), {**api_names(self.properties), **about})


class Placeholder(Resource):
    """Stands for a resource that can't be created here, so that others can refer to it."""

    name_property = "Name"

    def make(self) -> None:
        if not allow_not_made:
            raise ValidationError(message=refusal(self.kind))
        service, _, kind = self.kind.removeprefix("AWS::").lower().partition("::")
        self.place = f"{service}:{{region}}:{{account_id}}:{kind}/{{physical_resource_id}}"


class Nothing(Resource):
    """A resource that does nothing on AWS either."""

    kind = "AWS::CDK::Metadata"


class Project(Resource):
    """A CodeBuild project, which can be described."""

    kind, name_property = "AWS::CodeBuild::Project", "Name"
    place = "codebuild:{region}:{account_id}:project/{physical_resource_id}"
    #: In the order of moto's arguments.
    optional = (
        *("tags", "cache", "timeoutInMinutes", "queuedTimeoutInMinutes", "sourceVersion"),
        *("logsConfig", "vpcConfig"),
    )

    def make(self) -> None:
        given = api_names(self.properties)
        source = {name.replace("buildSpec", "buildspec"): v for name, v in given["source"].items()}
        self.of(codebuild_backends).create_project(
            self.physical_resource_id,
            given.get("description"),
            source,
            *(given[name] for name in ("artifacts", "environment", "serviceRole")),
            *(given.get(name) for name in self.optional),
        )

    def undo(self) -> None:
        self.of(codebuild_backends).delete_project(self.physical_resource_id)


class TopicPolicy(Resource):
    kind = "AWS::SNS::TopicPolicy"

    def make(self) -> None:
        for arn in self.properties["Topics"]:
            topic = self.of(sns_backends).get_topic(arn)
            topic.policy = json.dumps(self.properties["PolicyDocument"])

    def undo(self) -> None:
        for arn in self.properties["Topics"]:
            if topic := self.of(sns_backends).topics.get(arn):
                default = topic._create_default_topic_policy
                topic.policy = json.dumps(default(self.region, self.account_id, topic.name))


class OfEvents(Resource):
    """A resource of EventBridge that nothing uses here; its properties are the API's parameters."""

    name_property = "Name"
    defaults: ClassVar[Properties] = {}

    @property
    def type_name(self) -> str:
        return self.kind.rpartition(":")[2]

    def call(self, verb: str, **given: Any) -> Any:
        call = getattr(self.client("events"), xform_name(verb + self.type_name))
        return call(**given | {"Name": self.physical_resource_id})

    def get_cfn_attribute(self, attribute: str) -> str:
        told = self.call("Describe")
        return str(told.get(f"{self.type_name}{attribute}") or told[attribute])

    def make(self) -> None:
        self.call("Create", **self.defaults | self.properties)

    def update(self, properties: Properties) -> None:
        self.properties = properties
        self.call("Update", **self.defaults | properties)

    def undo(self) -> None:
        self.call("Delete")


class Connection(OfEvents):
    kind = "AWS::Events::Connection"


class ApiDestination(OfEvents):
    kind = "AWS::Events::ApiDestination"
    defaults: ClassVar[Properties] = {"InvocationRateLimitPerSecond": 300}


KINDS: dict[str, type[CloudFormationModel]] = {
    model.kind: model
    for model in (
        *(ApiDestination, Connection, Nothing, Project, QueuePolicy, BucketPolicy, Permission),
        *(EventInvokeConfig, Alarm, QueryDefinition, TopicPolicy),
    )
}

#: moto's can't have an event pattern, so none is created.
LACKING = "AWS::Events::Archive"

#: Whether a stack may lack resources that can't be created here.
allow_not_made = False


def refusal(*what: str) -> str:
    return (
        f"The local stack can't create {', '.join(what)}. With ALLOW_NOT_MADE=1, it creates stacks "
        "without such resources."
    )


def is_refused(kind: str) -> bool:
    return resource_class(kind) is Placeholder and not allow_not_made


def is_known(kind: str) -> bool:
    """Return whether AWS has a resource type."""
    if resource_class(kind) is not Placeholder:
        return True
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 - a slow import

    is_macro = kind.startswith("AWS::Serverless::")
    return not is_macro and kind in PROVIDER_SCHEMA_MANAGER.get_resource_types("us-east-1")


def missing(logical_id: str, declared: dict[str, Any]) -> str | None:
    """Return CloudFormation's message for missing required properties of a resource, if any."""
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 - a slow import
    from cfnlint.schema import ResourceNotFoundError as UnknownError  # noqa: PLC0415

    try:
        found = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", declared["Type"])
    except (KeyError, UnknownError):
        return None
    given = declared.get("Properties", {})
    lacking = [name for name in found.schema.get("required", []) if name not in given]
    told = "".join(f"\n#: required key [{name}] not found" for name in lacking)
    return told and f"Properties validation failed for resource {logical_id} with message:{told}"


def lacking(made: dict[str, Any]) -> list[str]:
    """Return what was not created for a stack, as "AWS::X::Y (LogicalId)"."""
    found = []
    for logical_id, one in made.items():
        if isinstance(one.resource, Placeholder):
            found.append(f"{one.declared['Type']} ({logical_id})")
        elif isinstance(one.resource, LambdaFunction):
            where = one.resource.account_id, one.resource.region
            layers = unknown_layers(one.properties, *where)
            found += [f"layer {layer} ({logical_id})" for layer in layers]
    return found


def unknown_layers(properties: Properties, *where: str) -> list[str]:
    known = get_lambda_backend(*where).layers_versions_by_arn
    return [layer for layer in properties.get("Layers", []) if not known(layer)]


moto_resource_class = parsing.resource_class_from_type


def resource_class(resource_type: str) -> type[CloudFormationModel]:
    if resource_type in KINDS:
        return KINDS[resource_type]
    is_motos = resource_type in parsing.get_model_map() and resource_type != LACKING
    if is_motos or resource_type.startswith("Custom::"):
        return moto_resource_class(resource_type)
    return Placeholder


#: Properties that are numbers. SAM writes a parameter's value as a string.
NUMBERS = {
    *("DelaySeconds", "MaximumEventAgeInSeconds", "MaximumRetryAttempts"),
    *("MaxSessionDuration", "MemorySize", "MessageRetentionPeriod"),
    *("ReceiveMessageWaitTimeSeconds", "ReservedConcurrentExecutions", "RetentionInDays"),
    *("Size", "Timeout", "VisibilityTimeout"),
}


#: Properties that are objects, but may be written as JSON strings.
OBJECTS = {"AssumeRolePolicyDocument", "EventPattern", "PolicyDocument"}


def typed(value: Any, kind: str = "") -> Any:
    """Return resolved properties with their values converted to CloudFormation's types."""
    if isinstance(value, list):
        return [typed(member, kind) for member in value]
    if not isinstance(value, dict):
        return value
    return {name: typed_member(name, member, kind) for name, member in value.items()}


def typed_member(name: str, member: Any, kind: str) -> Any:
    if name == "Variables":
        return member
    if isinstance(member, str):
        if name in NUMBERS and member.isdecimal():
            return int(member)
        # A resource policy of CloudWatch Logs really is a string.
        if name in OBJECTS and kind != "AWS::Logs::ResourcePolicy":
            try:
                return json.loads(member)
            except ValueError:
                message = f"Value of property {name} must be an object"
                raise ValidationError(message=message) from None
    return typed(member, kind)


moto_parse_resource = parsing.parse_resource


def parse_resource(declared: dict[str, Any], having: Any) -> Any:
    model, resolved, kind = moto_parse_resource(declared, having)
    return model, typed(resolved, kind), kind


# -- Lambda functions -----------------------------------------------------------------------------


def function_spec(properties: Properties, *where: str) -> Properties:
    """Return the properties of a function in the shape of Lambda's API."""
    unknown = unknown_layers(properties, *where)
    if unknown and not allow_not_made:
        raise ValidationError(message=refusal(*(f"layer {layer}" for layer in unknown)))
    code = dict(properties["Code"])
    if "ZipFile" in code:  # in a template, ZipFile is source code
        code["ZipFile"] = base64.b64encode(
            LambdaFunction._create_zipfile_from_plaintext_code(code["ZipFile"])
        )
    variables = properties.get("Environment", {}).get("Variables", {})
    return {
        **properties,
        "Code": code,
        "Layers": [each for each in properties.get("Layers", []) if each not in unknown],
        "Environment": {"Variables": {name: text(value) for name, value in variables.items()}},
        "Tags": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])},
    }


def create_function(name: str, declared: dict[str, Any], *where: str, **_: Any) -> Any:
    """Create a Lambda function with all its properties."""
    spec = function_spec(declared["Properties"], *where)
    return get_lambda_backend(*where).create_function({**spec, "FunctionName": name})


def update_function(function: Any, properties: Properties, *where: str) -> Any:
    spec = function_spec(properties, *where)
    defaults = {
        "Description": "",
        "MemorySize": 128,
        "Timeout": 3,
        "VpcConfig": None,
        "DeadLetterConfig": {},
        "LoggingConfig": {},
    }
    function.update_configuration(defaults | spec)
    function.architectures = spec.get("Architectures", ["x86_64"])
    function.tracing_config = spec.get("TracingConfig") or {"Mode": "PassThrough"}
    function.ephemeral_storage = spec.get("EphemeralStorage", {}).get("Size", 512)
    function.reserved_concurrency = spec.get("ReservedConcurrentExecutions")
    function.tags = spec["Tags"]
    function.update_function_code(spec["Code"])
    return function


# -- State machines -------------------------------------------------------------------------------


def create_state_machine(name: str, declared: dict[str, Any], *where: str, **_: Any) -> Any:
    """Create a state machine that runs, from a definition in the template or in S3."""
    properties = declared["Properties"]
    return get_stepfunctions_backend(*where).create_state_machine(
        name=properties.get("StateMachineName", name),
        definition=definition(properties, *where),
        roleArn=properties["RoleArn"],
        tags=cfn_to_api_tags(properties.get("Tags", [])),
        sm_type=properties.get("StateMachineType"),
        **settings_of(properties),
    )


def update_state_machine(machine: Any, properties: Properties, *where: str) -> Any:
    """Update a state machine; running executions keep the definition with which they started."""
    changed = definition(properties, *where)
    backend = get_stepfunctions_backend(*where)
    backend.update_state_machine(machine.arn, changed, properties["RoleArn"])
    vars(machine).update(settings_of(properties))
    return machine


def settings_of(properties: Properties) -> dict[str, Any]:
    """Return the logging and tracing of a state machine, in the shape of Step Functions' API."""
    names = ("loggingConfiguration", "tracingConfiguration")
    return {name: api_names(properties.get(name[0].upper() + name[1:])) for name in names}


def delete_state_machine(machine: Any, *where: str) -> None:
    get_stepfunctions_backend(*where).delete_state_machine(machine.arn)


def definition(properties: Properties, *where: str) -> str:
    """Return a state machine's definition as JSON, after substitutions."""
    if place := properties.get("DefinitionS3Location"):
        source = s3_of(*where).get_object(place["Bucket"], place["Key"]).value.decode()
    else:
        source = properties.get("DefinitionString") or json.dumps(properties["Definition"])
    substitutions = properties.get("DefinitionSubstitutions", {})

    def substitute(match: re.Match[str]) -> str:
        return text(substitutions.get(match[1], match[0]))

    source = re.sub(r"\$\{(\w+)\}", substitute, source)
    # The definition may be YAML; JSON is kept as it is written.
    return source if source.lstrip().startswith("{") else json.dumps(yaml.safe_load(source))


def api_names(value: Any) -> Any:
    """Return a CloudFormation value with member names that begin with a lower-case letter."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: api_names(member) for name, member in value.items()}
    return [api_names(member) for member in value] if isinstance(value, list) else value


# -- Tables ---------------------------------------------------------------------------------------


def configure_table(table: Any, properties: Properties, account_id: str, region: str) -> Any:
    """Set a table's time to live and point-in-time recovery."""
    backend = dynamodb_backends[account_id][region]
    if expiry := properties.get("TimeToLiveSpecification"):
        backend.update_time_to_live(table.name, expiry)
    else:
        table.ttl["TimeToLiveStatus"] = "DISABLED"
    backups = properties.get("PointInTimeRecoverySpecification")
    backend.update_continuous_backups(table.name, backups or {"PointInTimeRecoveryEnabled": False})
    return table


def update_table(table: Any, properties: Properties, account_id: str, region: str) -> Any:
    """Update a table, and keep its items. CloudFormation changes only one index at a time."""
    backend = dynamodb_backends[account_id][region]
    before = {index.name: index.describe() for index in table.global_indexes}
    after = {index["IndexName"]: index for index in properties.get("GlobalSecondaryIndexes", [])}

    def same(name: str) -> bool:
        return name in before and all(
            before[name].get(member) == after[name].get(member)
            for member in ("KeySchema", "Projection")
        )

    kept = [name for name in after if same(name)]
    changes = [{"Delete": {"IndexName": name}} for name in before if name not in kept]
    changes += [{"Create": index} for name, index in after.items() if name not in kept]
    on_demand = properties.get("BillingMode") == "PAY_PER_REQUEST"
    backend.update_table(
        name=table.name,
        attr_definitions=properties.get("AttributeDefinitions", []),
        global_index=changes,
        throughput=properties.get("ProvisionedThroughput") or {},
        billing_mode="PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        stream_spec={},
        deletion_protection_enabled=properties.get("DeletionProtectionEnabled", False),
        warm_throughput=None,
    )
    stream = properties.get("StreamSpecification") or {}
    if stream.get("StreamViewType") != table.stream_specification.get("StreamViewType"):
        table.set_stream_specification(stream)
    return configure_table(table, properties, account_id, region)


# -- Others that moto can't change in place -------------------------------------------------------


def update_rule(rule: Any, properties: Properties, account_id: str, region: str) -> Any:
    """Put a rule and its targets again, under the same name."""
    bus = properties.get("EventBusName", "default")
    kept = {target["Id"] for target in properties.get("Targets", [])}
    gone = [target["Id"] for target in rule.targets if target["Id"] not in kept]
    events_backends[account_id][region].remove_targets(rule.name, bus, gone)
    declared = {"Properties": properties}
    return Rule.create_from_cloudformation_json(rule.name, declared, account_id, region)


def configure_bus(bus: Any, properties: Properties, *_: str) -> Any:
    bus.description = properties.get("Description")
    return bus


def update_dashboard(board: Any, properties: Properties, account_id: str, region: str) -> Any:
    backend = cloudwatch_backends[account_id][region]
    return backend.put_dashboard(board.name, properties["DashboardBody"])


def update_log_group(group: Any, properties: Properties, *_: str) -> Any:
    group.set_retention_policy(properties.get("RetentionInDays"))
    return group


def configure_role(role: Any, properties: Properties, *where: str) -> Any:
    trust = properties["AssumeRolePolicyDocument"]
    role.assume_role_policy_document = trust if isinstance(trust, str) else json.dumps(trust)
    role.description = properties.get("Description", "")
    role.max_session_duration = properties.get("MaxSessionDuration", 3600)
    own = {
        policy["PolicyName"]: json.dumps(policy["PolicyDocument"])
        for policy in properties.get("Policies", [])
    }
    role.tags = properties.get("Tags", [])
    before = vars(role).get("own_policies", role.policies)
    # The other policies are separate resources.
    others = {name: policy for name, policy in role.policies.items() if name not in before}
    role.policies, role.own_policies = own | others, own
    known = {one.arn: one for one in iam_of(*where).managed_policies.values()}
    wanted = {arn for arn in properties.get("ManagedPolicyArns", []) if arn in known}
    for arn in vars(role).get("own_managed", set()) - wanted:
        known[arn].detach_from(role)
    for arn in wanted - role.managed_policies.keys():
        known[arn].attach_to(role)
    role.own_managed = wanted
    return role


def update_policy(policy: Any, properties: Properties, *where: str) -> Any:
    """Change the document or the roles of an inline policy, and keep its id."""
    declared = {"Properties": properties}
    return InlinePolicy.update_from_cloudformation_json(policy, policy.name, declared, *where)


def update_managed_policy(policy: Any, properties: Properties, *where: str) -> Any:
    """Change the document or the attachments of a managed policy, and keep its ARN."""
    iam = iam_of(*where)
    for version in [each for each in policy.versions if not each.is_default]:
        iam.delete_policy_version(policy.arn, version.version_id)
    document = json.dumps(properties["PolicyDocument"])
    iam.create_policy_version(policy.arn, document, set_as_default=True)
    policy.tags = iam._tag_verification(properties.get("Tags", []))
    for owner in (*iam.roles.values(), *iam.users.values()):
        wanted = owner.name in properties.get("Roles" if isinstance(owner, Role) else "Users", [])
        if wanted and policy.arn not in owner.managed_policies:
            policy.attach_to(owner)
        elif not wanted and policy.arn in owner.managed_policies:
            policy.detach_from(owner)
    return policy


def delete_managed_policy(policy: Any, *where: str) -> None:
    iam = iam_of(*where)
    for owner in (*iam.roles.values(), *iam.users.values(), *iam.groups.values()):
        if policy.arn in owner.managed_policies:
            policy.detach_from(owner)
    iam.delete_policy(policy.arn)


def update_topic(topic: Any, properties: Properties, *_: str) -> Any:
    topic.display_name = properties.get("DisplayName", "")
    topic.kms_master_key_id = properties.get("KmsMasterKeyId", "")
    return topic


def update_queue(queue: Any, properties: Properties, *_: str) -> Any:
    defaults = {
        "DelaySeconds": 0,
        "MessageRetentionPeriod": 345600,
        "ReceiveMessageWaitTimeSeconds": 0,
        "VisibilityTimeout": 30,
    }
    wanted = {name: value for name, value in properties.items() if name != "Tags"}
    queue.tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    # The policy is a separate resource.
    queue._set_attributes({**defaults, **wanted, "Policy": queue.policy})
    return queue


def configure_bucket(bucket: Any, properties: Properties, *where: str) -> Any:
    s3 = s3_of(*where)
    if versioning := properties.get("VersioningConfiguration"):
        s3.put_bucket_versioning(bucket.name, versioning["Status"])
    elif bucket.versioning_status:
        s3.put_bucket_versioning(bucket.name, "Suspended")
    if block := properties.get("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(bucket.name, {name: text(on) for name, on in block.items()})
    else:
        bucket.public_access_block = None
    return bucket


def update_bucket(bucket: Any, properties: Properties, *where: str) -> Any:
    declared = {"Properties": {**properties, "BucketName": bucket.name}}
    moto_update_bucket(bucket, bucket.name, declared, *where)
    return configure_bucket(bucket, properties, *where)


def delete_bucket(bucket: Any, *where: str) -> None:
    if bucket.keys:
        raise BucketNotEmpty(bucket.name)
    s3_of(*where).delete_bucket(bucket.name)


moto_update_bucket = FakeBucket.update_from_cloudformation_json

#: The properties that CloudFormation can't change without replacing the resource.
FIXED = {
    "AWS::CloudWatch::Dashboard": {"DashboardName"},
    "AWS::CodeBuild::Project": {"Name"},
    "AWS::DynamoDB::Table": {"TableName", "KeySchema", "LocalSecondaryIndexes"},
    "AWS::Events::ApiDestination": {"Name"},
    "AWS::Events::Connection": {"Name"},
    "AWS::Events::EventBus": {"Name"},
    "AWS::Events::Rule": {"Name", "EventBusName"},
    "AWS::IAM::ManagedPolicy": {"ManagedPolicyName", "Path", "Description"},
    "AWS::IAM::Role": {"RoleName", "Path"},
    "AWS::Lambda::EventInvokeConfig": {"FunctionName", "Qualifier"},
    "AWS::Lambda::Function": {"FunctionName", "PackageType"},
    "AWS::Lambda::Permission": {
        *("Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType", "Principal"),
        *("PrincipalOrgID", "SourceAccount", "SourceArn"),
    },
    "AWS::Logs::LogGroup": {"LogGroupName"},
    "AWS::S3::Bucket": {"BucketName"},
    "AWS::S3::BucketPolicy": {"Bucket"},
    "AWS::SNS::Topic": {"TopicName", "FifoTopic", "Subscription"},
    "AWS::SNS::TopicPolicy": set[str](),
    "AWS::SQS::Queue": {"QueueName", "FifoQueue"},
    "AWS::SQS::QueuePolicy": set[str](),
    "AWS::StepFunctions::StateMachine": {"StateMachineName", "StateMachineType"},
}

_UPDATES: dict[type, Callable[..., Any]] = {
    Dashboard: update_dashboard,
    EventBus: configure_bus,
    FakeBucket: update_bucket,
    InlinePolicy: update_policy,
    LambdaFunction: update_function,
    LogGroup: update_log_group,
    ManagedPolicy: update_managed_policy,
    Queue: update_queue,
    Role: configure_role,
    Rule: update_rule,
    StateMachine: update_state_machine,
    Table: update_table,
    Topic: update_topic,
}


def tag(resource: Any, old: dict[str, Any], new: dict[str, Any], account: str, region: str) -> None:
    """Set the tags in a resource's properties with the Resource Groups Tagging API."""
    before, after = (
        {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags") or [] if len(tag) == 2}
        for properties in (old, new)
    )
    names = ("arn", "table_arn", "queue_arn", "function_arn")
    arn = next((found for name in names if (found := getattr(resource, name, None))), None)
    if isinstance(resource, Resource):
        arn = resource.get_cfn_attribute("Arn")
    if arn and (before or after):
        api = resourcegroupstaggingapi_backends[account][region]
        api.untag_resources([arn], [*before, *after])
        api.tag_resources([arn], after)


def can_update(resource: Any) -> bool:
    """Return whether a resource can be updated in place at all."""
    return isinstance(resource, (Resource, *_UPDATES))


def update(resource: Any, properties: Properties, *where: str) -> Any:
    """Update a resource in place; returns the object that represents it from now on."""
    if isinstance(resource, Resource):
        resource.update(properties)
        return resource
    change = next(change for kind, change in _UPDATES.items() if isinstance(resource, kind))
    return change(resource, properties, *where)


# -- Replacements in moto -------------------------------------------------------------------------


def and_configure(configure: Callable[..., Any]) -> Any:
    """Wrap moto's function that creates a resource, and then configure the resource."""

    def around(create: Callable[..., Any]) -> Callable[..., Any]:
        def make(name: str, declared: dict[str, Any], *where: str, **about: Any) -> Any:
            made = create(name, declared, *where, **about)
            return configure(made, declared["Properties"], *where)

        return make

    return around


def detaching(delete: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap moto's function that deletes a role, and detach the role's policies first."""

    def detach_and_delete(name: str, declared: dict[str, Any], *where: str) -> Any:
        for role in iam_of(*where).roles.values():
            if role.name == name:
                for policy in list(role.managed_policies.values()):
                    policy.detach_from(role)
        return delete(name, declared, *where)

    return detach_and_delete


def rule_id(rule: Any) -> str:
    bus = rule.event_bus_name.rpartition("/")[2]
    return str(rule.name) if bus == "default" else f"{bus}|{rule.name}"


def with_arn(moto_attribute: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda machine, name: machine.arn if name == "Arn" else moto_attribute(machine, name)


def has_any_attribute(_: str) -> bool:
    return True


table_as_declared = and_configure(configure_table)
bucket_as_declared = and_configure(configure_bucket)
role_as_declared = and_configure(configure_role)
bus_as_declared = and_configure(configure_bus)
bus_name = property(lambda bus: bus.name)
rule_name = property(rule_id)
