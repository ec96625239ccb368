"""Deploys a stack from its SAM template, as the SAM CLI does.

`deploy` does the work of `sam build`, `sam package` and `sam deploy`: it zips the functions'
folders, puts them and the definitions of state machines into a bucket, and calls CloudFormation to
create the stack. That is cloudformation/, which the SAM CLI uses too.

Where AWS differs: the zip has the folder as it is, without its requirements (functions import those
that this Python has); AWS managed policies are known by name only; `Stack.not_made` names what the
stack lacks.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.aws.cloudformation.deployment import NOT_MADE
from local.aws.cloudformation.templates import from_text

#: The properties that SAM uses for a local file or folder.
LOCAL_PATHS = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}

#: Left out of the zip file, since Lambda has no use for them.
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
    """What is in the template but not in the stack, as "AWS::X::Y (LogicalId)"."""


def deploy(template: Path, parameters: dict[str, str], *, name: str, region: str) -> Stack:
    """Create the stack of a SAM template, or update it if it exists.

    Raises the errors of CloudFormation and SAM.
    """
    document = from_text(template.read_text())
    bucket = f"{name}-artifacts"
    package(document, template.parent, bucket, region)
    client = boto3.client("cloudformation", region_name=region)
    request = {
        "StackName": name,
        "TemplateURL": uploaded(json.dumps(document), bucket, region),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    if name in [stack["StackName"] for stack in client.describe_stacks()["Stacks"]]:
        try:
            client.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
    else:
        client.create_stack(**request)
    return described(client, name)


def described(client: Any, name: str) -> Stack:
    """Describe an existing stack, however it was deployed."""
    [deployed] = client.describe_stacks(StackName=name)["Stacks"]
    pages = client.get_paginator("list_stack_resources").paginate(StackName=name)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in deployed.get("Outputs", [])}
    not_made = outputs.pop(NOT_MADE, "")
    return Stack(
        name=name,
        parameters={
            parameter["ParameterKey"]: parameter["ParameterValue"]
            for parameter in deployed.get("Parameters", [])
        },
        outputs=outputs,
        resources={
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
        },
        not_made=not_made.split(", ") if not_made else [],
    )


# -- sam package ----------------------------------------------------------------------------------


def package(document: dict[str, Any], folder: Path, bucket: str, region: str) -> None:
    """Upload a template's local files, and replace their paths by the uploads."""
    s3 = boto3.client("s3", region_name=region)
    elsewhere = {} if region == "us-east-1" else {"LocationConstraint": region}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=bucket, **({"CreateBucketConfiguration": elsewhere} if elsewhere else {})
        )
    for properties, path_property in local_paths(document):
        body = archive(folder / properties[path_property])
        key = sha256(body).hexdigest()
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        properties[path_property] = {"Bucket": bucket, "Key": key}


def uploaded(template: str, bucket: str, region: str) -> str:
    """Upload a template, which may be too long for a request; return its URL."""
    key = f"{sha256(template.encode()).hexdigest()}.template"
    boto3.client("s3", region_name=region).put_object(Bucket=bucket, Key=key, Body=template)
    return f"https://s3.{region}.amazonaws.com/{bucket}/{key}"


def local_paths(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the properties and property name of every local path in a template and its globals."""
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
    """Return a file's content, or a folder as a zip, which is reproducible."""
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
