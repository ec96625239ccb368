"""Deploys the stack from its own template: SAM's translator in front of moto's CloudFormation.

`deploy` does what `sam build`, `sam package` and `sam deploy` do together: it zips the folders
that functions name, puts them and the definitions of state machines into a bucket, has SAM's own
translator make CloudFormation of the template, and creates the stack.

Where AWS differs: the zip holds the folder as it is, without installing its requirements (the
functions find them where this process does); managed policies are known by name only; resource
types that moto does not know are not made, and named in `Stack.not_made`.
"""

import base64
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import yaml  # type: ignore[import-untyped]
from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.awslambda.utils import get_backend as get_lambda_backend
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.events.models import EventBus, Rule
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.responses import get_backend as get_stepfunctions_backend
from moto.stepfunctions.utils import cfn_to_api_tags
from moto.utilities.utils import get_partition
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from local.patch import replace

DEFAULT_NAME = "acknowledger"

#: Where SAM says that something is a file or folder of ours.
LOCAL_PATHS = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}

#: Left out of what is zipped, since it has no meaning in Lambda.
IGNORED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}

EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Stack:
    """A deployed stack."""

    name: str
    parameters: dict[str, str]
    outputs: dict[str, str]
    resources: dict[str, str]
    """The physical id of every resource, by its logical id."""
    not_made: list[str] = field(default_factory=list)
    """What the template has and this process does not, as "AWS::X::Y (LogicalId)"."""


def deploy(
    template: Path, parameters: dict[str, str], *, name: str = DEFAULT_NAME, region: str
) -> Stack:
    """Create the stack of a SAM template. Raises what CloudFormation or SAM object to."""
    install()
    document = yaml_parse(template.read_text())
    package(document, template.parent, f"{name}-artifacts", region)
    defaults = {
        key: str(parameter["Default"])
        for key, parameter in document.get("Parameters", {}).items()
        if "Default" in parameter
    }
    # moto leaves the default of a list a string, so that all values are given.
    parameters = {**defaults, **parameters}
    translated = transform(document, dict(parameters), NoManagedPolicies())
    cloudformation = boto3.client("cloudformation", region_name=region)
    _placeholders.clear()
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(translated),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    [created] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return Stack(
        name=name,
        parameters=parameters,
        outputs={
            output["OutputKey"]: output["OutputValue"] for output in created.get("Outputs", [])
        },
        resources={
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["LogicalResourceId"]  # moto lists what a condition left out, without names
        },
        not_made=list(_placeholders),
    )


class NoManagedPolicies:
    """SAM asks IAM for the ARNs of AWS's managed policies; the names it has are enough here."""

    @staticmethod
    def load() -> dict[str, str]:
        return {}


# -- sam package ----------------------------------------------------------------------------------


def package(document: dict[str, Any], folder: Path, bucket: str, region: str) -> None:
    """Upload the local files that a template names, and have it name the uploads instead."""
    s3 = boto3.client("s3", region_name=region)
    elsewhere = {} if region == "us-east-1" else {"LocationConstraint": region}
    s3.create_bucket(
        Bucket=bucket, **({"CreateBucketConfiguration": elsewhere} if elsewhere else {})
    )
    for properties, path_property in local_paths(document):
        body = archive(folder / properties[path_property])
        key = sha256(body).hexdigest()
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        properties[path_property] = {"Bucket": bucket, "Key": key}


def local_paths(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every place in a template that names a local path, in its globals too."""
    places = [
        (global_properties, path_property)
        for kind, path_property in LOCAL_PATHS.items()
        if (global_properties := document.get("Globals", {}).get(kind.split("::")[-1]))
    ]
    places += [
        (resource["Properties"], LOCAL_PATHS[resource["Type"]])
        for resource in document["Resources"].values()
        if resource["Type"] in LOCAL_PATHS
    ]
    for properties, path_property in places:
        path = properties.get(path_property)
        if isinstance(path, str) and not path.startswith("s3://"):
            yield properties, path_property


def archive(path: Path) -> bytes:
    """Return a file's content, or a folder's as a zip that is the same for the same content."""
    if path.is_file():
        return path.read_bytes()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in sorted(path.rglob("*")):
            relative = file.relative_to(path)
            if file.is_file() and not IGNORED.intersection(relative.parts):
                info = zipfile.ZipInfo(relative.as_posix(), EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (0o100755 if file.stat().st_mode & 0o100 else 0o100644) << 16
                zipped.writestr(info, file.read_bytes())
    return content.getvalue()


# -- Resource types that moto lacks ---------------------------------------------------------------


class Resource(CloudFormationModel):
    """A resource that is made by doing something to others, and has no more than an id."""

    kind = ""

    def __init__(self, physical_resource_id: str) -> None:
        self.physical_resource_id = physical_resource_id

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.kind

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:  # noqa: ARG003 - moto's signature
        return True

    def get_cfn_attribute(self, attribute: str) -> str:
        return f"{self.physical_resource_id}.{attribute}"

    def is_created(self) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "Resource":
        cls.make(cloudformation_json["Properties"], account_id, region_name)
        return cls(resource_name)

    @classmethod
    def make(cls, properties: dict[str, Any], account_id: str, region_name: str) -> None:
        raise NotImplementedError

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,  # noqa: ARG003 - moto's signature
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> "Resource":
        return cls.create_from_cloudformation_json(
            original_resource.physical_resource_id, cloudformation_json, account_id, region_name
        )

    def delete(self, account_id: str, region_name: str) -> None:
        """What it was done to goes with the stack, too."""


class QueuePolicy(Resource):
    kind = "AWS::SQS::QueuePolicy"

    @classmethod
    def make(cls, properties: dict[str, Any], account_id: str, region_name: str) -> None:
        policy = json.dumps(properties["PolicyDocument"])
        for url in properties["Queues"]:
            name = url.rpartition("/")[2]
            sqs_backends[account_id][region_name].set_queue_attributes(name, {"Policy": policy})


class Permission(Resource):
    kind = "AWS::Lambda::Permission"

    @classmethod
    def make(cls, properties: dict[str, Any], account_id: str, region_name: str) -> None:
        function = get_lambda_backend(account_id, region_name).get_function(
            properties["FunctionName"]
        )
        function.policy.add_statement(json.dumps(properties))


class EventInvokeConfig(Resource):
    kind = "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def make(cls, properties: dict[str, Any], account_id: str, region_name: str) -> None:
        names = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
        config = {name: properties[name] for name in names if name in properties}
        lambda_backends[account_id][region_name].put_function_event_invoke_config(
            properties["FunctionName"], config
        )


class Placeholder(Resource):
    """Stands in for a resource that can't be made here, so that others can refer to it."""

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],  # noqa: ARG003 - moto's signature
        account_id: str,  # noqa: ARG003
        region_name: str,  # noqa: ARG003
        **about: Any,
    ) -> Resource:
        not_made(about["ResourceType"], about["LogicalId"])
        return cls(resource_name)


KINDS: dict[str, type[CloudFormationModel]] = {
    model.kind: model for model in (QueuePolicy, Permission, EventInvokeConfig)
}

_placeholders: list[str] = []


def not_made(kind: str, logical_id: str) -> None:
    name = f"{kind} ({logical_id})"
    if name not in _placeholders:
        _placeholders.append(name)


# -- Resource types that moto makes by halves -----------------------------------------------------


def create_function(
    resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
    **about: Any,
) -> Any:
    """Make a Lambda function of all its properties."""
    properties = cloudformation_json["Properties"]
    backend = get_lambda_backend(account_id, region_name)
    layers = properties.get("Layers", [])
    known = [layer for layer in layers if backend.layers_versions_by_arn(layer)]
    for layer in layers:
        if layer not in known:
            not_made(f"layer {layer}", about["LogicalId"])
    code = dict(properties["Code"])
    if "ZipFile" in code:  # in a template, this is source code
        code["ZipFile"] = base64.b64encode(
            LambdaFunction._create_zipfile_from_plaintext_code(code["ZipFile"])
        )
    return backend.create_function(
        {
            **properties,
            "FunctionName": resource_name,
            "Code": code,
            "Layers": known,
            "Tags": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])},
        }
    )


def create_state_machine(
    resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
    **_: Any,
) -> Any:
    """Make a state machine that runs, of a definition in the template or in S3."""
    properties = cloudformation_json["Properties"]
    logging = properties.get("LoggingConfiguration")
    tracing = properties.get("TracingConfiguration")
    return get_stepfunctions_backend(account_id, region_name).create_state_machine(
        name=properties.get("StateMachineName", resource_name),
        definition=definition(properties, account_id, region_name),
        roleArn=properties["RoleArn"],
        tags=cfn_to_api_tags(properties.get("Tags", [])),
        loggingConfiguration=logging and api_names(logging),
        tracingConfiguration=tracing and api_names(tracing),
        sm_type=properties.get("StateMachineType"),
    )


def definition(properties: dict[str, Any], account_id: str, region_name: str) -> str:
    """Return a state machine's definition as JSON, with its substitutions made."""
    if place := properties.get("DefinitionS3Location"):
        s3 = s3_backends[account_id][get_partition(region_name)]
        stored: Any = s3.get_object(place["Bucket"], place["Key"])
        text = stored.value.decode()
    else:
        text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
    substitutions = properties.get("DefinitionSubstitutions", {})

    def substitute(match: re.Match[str]) -> str:
        value = substitutions.get(match[1], match[0])
        return str(value).lower() if isinstance(value, bool) else str(value)

    text = re.sub(r"\$\{(\w+)\}", substitute, text)
    # A definition may be YAML, which JSON nearly is: it stays as it was written.
    return text if text.lstrip().startswith("{") else json.dumps(yaml.safe_load(text))


def api_names(value: Any) -> Any:
    """Return a CloudFormation value with the names that Step Functions' API has for its members."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: api_names(member) for name, member in value.items()}
    return [api_names(member) for member in value] if isinstance(value, list) else value


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    if parsing.resource_class_from_type is resource_class:
        return
    # moto drops resources of types that it does not know, and then fails on references to them.
    replace(parsing, "resource_class_from_type", resource_class)
    # moto drops most properties of a function.
    replace(LambdaFunction, "create_from_cloudformation_json", staticmethod(create_function))
    # moto makes state machines where nothing runs them, and only of a DefinitionString.
    replace(StateMachine, "create_from_cloudformation_json", staticmethod(create_state_machine))
    # moto knows no GetAtt Arn of a state machine.
    attribute = StateMachine.get_cfn_attribute
    replace(StateMachine, "has_cfn_attr", staticmethod(lambda _: True))
    replace(
        StateMachine,
        "get_cfn_attribute",
        lambda self, name: self.arn if name == "Arn" else attribute(self, name),
    )
    # moto drops a table's time to live and its backups.
    moto_create_table = Table.create_from_cloudformation_json

    def create_table(
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **about: Any,
    ) -> Any:
        properties = cloudformation_json["Properties"]
        table = moto_create_table(
            resource_name, cloudformation_json, account_id, region_name, **about
        )
        backend = dynamodb_backends[account_id][region_name]
        if ttl := properties.get("TimeToLiveSpecification"):
            backend.update_time_to_live(resource_name, ttl)
        if backups := properties.get("PointInTimeRecoverySpecification"):
            backend.update_continuous_backups(resource_name, backups)
        return table

    replace(Table, "create_from_cloudformation_json", staticmethod(create_table))
    # moto knows no Ref of an event bus, and a wrong one of a rule that is not on the default bus.
    replace(EventBus, "physical_resource_id", property(lambda self: self.name))
    replace(Rule, "physical_resource_id", property(rule_id))


def rule_id(rule: Any) -> str:
    bus = rule.event_bus_name.rpartition("/")[2]
    return str(rule.name) if bus == "default" else f"{bus}|{rule.name}"


moto_resource_class = parsing.resource_class_from_type


def resource_class(resource_type: str) -> type[CloudFormationModel]:
    if resource_type in KINDS:
        return KINDS[resource_type]
    if resource_type in parsing.get_model_map() or resource_type in parsing.NULL_MODELS:
        return moto_resource_class(resource_type)
    return Placeholder
