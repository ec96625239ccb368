"""Templates: loading, validation and transformation."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml  # type: ignore[import-untyped]
from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import intrinsics_multi_constructor

from local.aws.cloudformation import resources
from local.aws.parameters import constraint_problem, text

SERVERLESS = "AWS::Serverless-2016-10-31"
SERVERLESS_TYPES = "AWS::Serverless::"

#: The maximum size of a template in S3.
STORED_BYTES = 1_000_000

#: The properties that name an IAM resource.
IAM_NAMES = {
    *("GroupName", "InstanceProfileName", "ManagedPolicyName", "PolicyName", "RoleName"),
    "UserName",
}


class InsufficientCapabilitiesError(CloudFormationError):
    code = "InsufficientCapabilitiesException"


@dataclass(frozen=True)
class Submission:
    """A template and its parameters, and the template after transforms."""

    body: str
    parameters: dict[str, str]
    tags: dict[str, str]
    processed: dict[str, Any]


class NoManagedPolicies:
    """Replaces SAM's request to IAM for the ARNs of AWS managed policies, which are not needed."""

    @staticmethod
    def load() -> dict[str, str]:
        return {}


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads YAML like CloudFormation, for which a date such as 2010-09-09 is a string."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's
        first: [(tag, what) for tag, what in each if tag != "tag:yaml.org,2002:timestamp"]
        for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def from_text(body: str) -> Any:
    try:
        return json.loads(body)  # YAML includes JSON, but its parser is much slower
    except ValueError:
        return yaml.load(body, Loader)  # noqa: S506 - a safe one


def parse(body: str) -> dict[str, Any]:
    try:
        document = from_text(body)
    except yaml.YAMLError as error:
        raise ValidationError(message=f"Template format error: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise ValidationError(
            message="Template format error: At least one Resources member must be defined."
        )
    # In YAML, a name may be a number.
    document["Resources"] = {str(name): each for name, each in document["Resources"].items()}
    check_types(document)
    return document


def check_types(document: dict[str, Any]) -> None:
    """Refuse resource types that AWS does not have, and properties that are no object."""
    named: dict[str, None] = {}
    for logical_id, resource in document["Resources"].items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise ValidationError(
                message=f"Template format error: [/Resources/{logical_id}] Every Resources object "
                "must contain a Type member."
            )
        if not isinstance(resource.get("Properties"), dict | None):
            raise ValidationError(
                message="Template format error: Any Properties member must be an object."
            )
        named[resource["Type"]] = None
    macros = SERVERLESS_TYPES if SERVERLESS in transforms(document) else ()
    unknown = [kind for kind in named if not (kind.startswith(macros) or resources.is_known(kind))]
    if unknown:
        raise ValidationError(
            message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]"
        )


def transforms(document: dict[str, Any]) -> list[str]:
    named = document.get("Transform", [])
    return named if isinstance(named, list) else [named]


def submit(body: str, given: dict[str, str], tags: dict[str, str]) -> Submission:
    """Check and transform a template. Raises CloudFormation's errors."""
    document = parse(body)
    parameters = all_parameters(document.get("Parameters") or {}, given)
    if unknown := [name for name in transforms(document) if name != SERVERLESS]:
        raise ValidationError(message=f"No transform named {unknown[0]} found.")
    if transforms(document):
        try:
            document = transform(document, dict(parameters), NoManagedPolicies())
        except InvalidDocumentException as error:
            causes = " ".join([error.message, *(cause.message for cause in error.causes)])
            message = f"Transform {SERVERLESS} failed with: {causes}"
            raise ValidationError(message=message) from error
    check_references(document)
    return Submission(body, parameters, tags, json.loads(json.dumps(document)))


def check_references(document: dict[str, Any]) -> None:
    known = {*document["Resources"], *(document.get("Parameters") or {})}
    for block in ("Resources", "Outputs"):
        named = references(document.get(block) or {})
        if unknown := sorted({n for n in named if n not in known and not n.startswith("AWS::")}):
            raise ValidationError(
                message=f"Template format error: Unresolved resource dependencies "
                f"[{', '.join(unknown)}] in the {block} block of the template"
            )


def all_parameters(declared: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """Return the values of all parameters as strings, checked against their declarations."""
    defaults = {
        name: text(parameter["Default"])
        for name, parameter in declared.items()
        if "Default" in parameter
    }
    if unknown := [name for name in given if name not in declared]:
        message = f"Parameters: [{', '.join(unknown)}] do not exist in the template"
        raise ValidationError(message=message)
    values = {**defaults, **given}
    if missing := [name for name in declared if name not in values]:
        raise ValidationError(message=f"Parameters: [{', '.join(missing)}] must have values")
    for name, parameter in declared.items():
        if problem := constraint_problem(parameter, values[name]):
            told = parameter.get("ConstraintDescription", problem)
            raise ValidationError(message=f"Parameter '{name}' {told}")
    return {name: values[name] for name in declared}


def required_capability(processed: dict[str, Any]) -> str | None:
    """Return the capability that the IAM resources of a template require."""
    iam = [
        resource
        for resource in processed["Resources"].values()
        if resource["Type"].startswith("AWS::IAM::")
    ]
    if any(
        resource["Type"] != "AWS::IAM::Policy" and IAM_NAMES & set(resource.get("Properties", {}))
        for resource in iam
    ):
        return "CAPABILITY_NAMED_IAM"
    return "CAPABILITY_IAM" if iam else None


def check_capabilities(submission: Submission, given: list[str]) -> None:
    required = required_capability(submission.processed)
    enough = {required, "CAPABILITY_NAMED_IAM"}
    if required and not enough.intersection(given):
        raise InsufficientCapabilitiesError(f"Requires capabilities : [{required}]")


def template_at(template_url: str, account_id: str, partition: str) -> str:
    """Return the template at an S3 URL, on AWS or on this endpoint.

    The bucket is the first part of the path or of the host name.
    """
    address = urlsplit(template_url)
    host, path = address.hostname or "", unquote(address.path).lstrip("/")
    s3 = s3_backends[account_id][partition]
    first, _, rest = path.partition("/")
    in_host = re.match(r"(.+?)\.s3[.-][a-z0-9.-]*amazonaws\.com", host)
    if in_host:
        bucket, key = in_host[1], path
    elif first not in s3.buckets and host.partition(".")[0] in s3.buckets:
        bucket, key = host.partition(".")[0], path
    else:
        bucket, key = first, rest
    [version] = parse_qs(address.query).get("versionId", [None])
    try:
        stored: Any = s3.get_object(bucket, key, version_id=version)
    except S3ClientError as error:
        raise ValidationError(message=f"S3 error: {error.message}") from error
    if stored is None:
        raise ValidationError(message=f"S3 error: The specified key does not exist: {key}")
    body: bytes = stored.value
    if len(body) > STORED_BYTES:
        raise ValidationError(message=f"Template may not exceed {STORED_BYTES} bytes in size.")
    return body.decode()


#: CloudFormation's errors for functions with arguments of a wrong shape.
MALFORMED = {
    "Ref": "Template format error: Every Ref object must have a single String value.",
    "Fn::GetAtt": "Template error: every Fn::GetAtt object requires two non-empty parameters, the "
    "resource name and the resource attribute",
    "Fn::Sub": "Template error: One or more Fn::Sub intrinsic functions don't specify expected "
    "arguments. Specify a string as first argument, and an optional second argument to specify a "
    "mapping of values to replace in the string",
}


def references(value: Any) -> Iterator[str]:
    """Yield the names to which a part of a template refers. Raises CloudFormation's errors."""
    if isinstance(value, list):
        for member in value:
            yield from references(member)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from referred(name, member)


def referred(name: str, member: Any) -> Iterator[str]:
    """Yield the names to which a function, or any other member, refers."""
    match name, member:
        case "Ref", str() | int():
            yield str(member)
        case "Fn::GetAtt", [str(resource), _] if resource:
            yield resource
        case "Fn::GetAtt", str() if "." in member:
            yield member.partition(".")[0]
        case "DependsOn", str():
            yield member
        case "DependsOn", list():
            yield from (each for each in member if isinstance(each, str))
        case "Fn::Sub", str():
            yield from substituted(member, {})
        case "Fn::Sub", [str(template), dict(own)]:
            yield from substituted(template, own)
            yield from references(own)
        case (("Ref" | "Fn::GetAtt" | "Fn::Sub"), _):
            raise ValidationError(message=MALFORMED[name])
        case _:
            yield from references(member)


def substituted(template: str, own: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the stack that Fn::Sub puts into a template."""
    for inner in re.findall(r"\$\{([^!][^}]*)\}", template):
        if (name := inner.partition(".")[0]) not in own:
            yield name
