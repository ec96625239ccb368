"""Deploys the stack from its own template, as the SAM CLI does.

`deploy` does what `sam build`, `sam package` and `sam deploy` do together: it zips the folders
that functions name, puts them and the definitions of state machines into a bucket, and has
CloudFormation create the stack (see cloudformation/, which is what the SAM CLI meets, too).

Where AWS differs: the zip holds the folder as it is, without installing its requirements (the
functions find them where this process does); managed policies are known by name only; what a stack
may lack is named in `Stack.not_made`.
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

#: Where SAM says that something is a file or folder of ours.
LOCAL_PATHS = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}

#: Left out of the zip file, since it has no meaning in Lambda.
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


def deploy(template: Path, parameters: dict[str, str], *, name: str, region: str) -> Stack:
    """Create the stack of a SAM template, or update it if it is there.

    Raises what CloudFormation or SAM object to.
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
    """Return what CloudFormation tells of a stack that is there, however it was deployed."""
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
    """Upload the local files that a template names, and have it name the uploads instead."""
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
    """Put a template into the bucket, since it may be too long for a request; its address."""
    key = f"{sha256(template.encode()).hexdigest()}.template"
    boto3.client("s3", region_name=region).put_object(Bucket=bucket, Key=key, Body=template)
    return f"https://s3.{region}.amazonaws.com/{bucket}/{key}"


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
