"""What CreatePipeline and UpdatePipeline refuse, across actions and stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from codepipeline_fixtures import (
    ACCOUNT,
    APPROVAL,
    IDLE,
    PARTNER_TYPE,
    REGION,
    SIDE_BY_SIDE,
    TYPE,
    Service,
    action,
    action_type,
    client,
    code_of,
    configuration_property,
    refusal_of,
    running_service,
    source,
)

Pipeline = dict[str, Any]
Stages = list[list[dict[str, Any]]]
Change = Callable[[Pipeline], None]

STRICT = TYPE | {"provider": "Strict"}


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        free = configuration_property("Text", required=False)
        secret = configuration_property("Token", required=False, secret=True, key=False)
        running.register(configurationProperties=[free, secret])
        running.register(
            provider="Strict",
            configurationProperties=[configuration_property("Project", queryable=True)],
            inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
            outputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
        )
        running.backend.register_third_party_action_type(action_type())
        yield running


def refusal(service: Service, pipeline: Pipeline) -> tuple[str, str]:
    """The error of both CreatePipeline and UpdatePipeline for a pipeline."""
    created = refusal_of(service.api.create_pipeline, pipeline=pipeline)
    service.create()
    assert created == refusal_of(service.api.update_pipeline, pipeline=pipeline)
    return created


def build(name: str = "Build", **changes: Any) -> dict[str, Any]:
    return action(name, TYPE, **changes)


def strict(project: str = "p", **changes: Any) -> Stages:
    """A stage with an action of a type that needs an input artifact and a short project."""
    configuration = {"Project": project}
    return [[action("Build", STRICT, configuration=configuration, **changes)]]


def referring(reference: str) -> Stages:
    """A stage with an action that has a reference in its configuration."""
    return [[build(configuration={"Text": reference})]]


def two(**changes: Any) -> Stages:
    return [[build("First", **changes)], [build("Second", **changes)]]


def notifying(topic: str) -> Stages:
    return [[action("Ask", APPROVAL, configuration={"NotificationArn": topic})]]


def having(**members: Any) -> Change:
    return lambda pipeline: pipeline.update(members)


def on_stage(**members: Any) -> Change:
    return lambda pipeline: pipeline["stages"][1].update(members)


def two_stores(pipeline: Pipeline) -> None:
    store = pipeline.pop("artifactStore")
    pipeline["artifactStores"] = dict.fromkeys((REGION, "us-east-1"), store)


def work_first(pipeline: Pipeline) -> None:
    pipeline["stages"][0]["actions"].append(build())


def variable_in_source(pipeline: Pipeline) -> None:
    pipeline["variables"] = [{"name": "Key", "defaultValue": "k"}]
    configuration = {"S3Bucket": "code", "S3ObjectKey": "#{variables.Key}"}
    pipeline["stages"][0]["actions"] = [source(configuration=configuration)]


STRUCTURE, STAGE, ACTION = (
    f"Invalid{what}Exception" for what in ("Structure", "StageDeclaration", "ActionDeclaration")
)
VARIABLE = {"name": "Colour", "defaultValue": "red"}
ONE: Stages = [[build()]]
NOT_OF_THIS_FORM = (
    "Valid format for a pipeline execution variable reference is a namespace and a key separated "
    "by a period (.). The following pipeline execution variables are not of this form.\n"
    "StageName=[Stage2], ActionName=[Build], ActionConfigurationKey=[Text], "
    "VariableReferenceText=[{}]"
)
OF_COMMANDS: dict[str, Any] = {
    "commands": ["ls"],
    "environmentVariables": [{"name": "A", "value": "1"}],
    "outputVariables": ["A"],
}
RUN_ORDER = "actions.1.member.runOrder' failed to satisfy constraint: Member must have"
OF_STRUCTURE: dict[str, tuple[Any, ...]] = {
    "one stage": ("Pipeline has only 1 stage(s)", []),
    "a build action in the first stage": (
        "Pipeline should start with a stage that only contains source actions",
        ONE,
        work_first,
    ),
    "the namespace of the pipeline's variables": (
        "One or more of the chosen namespaces is reserved. Note that there is a namespace for "
        "variables at the pipeline level.\n",
        [[build(namespace="variables")]],
        having(variables=[VARIABLE]),
    ),
    "an unknown variable": (
        "The referenced variables haven't been declared.\n",
        referring("#{variables.None}"),
        having(variables=[VARIABLE]),
    ),
    "a source variable": (
        "Variables at the pipeline level cannot be used in source actions.\n"
        "StageName=[Source], ActionName=[Fetch], ActionConfigurationKey=[S3ObjectKey], "
        "VariableReferenceText=[variables.Key]",
        ONE,
        variable_in_source,
    ),
    "a repeated variable": (
        "Variable names must be unique. The following variable name is already in use: Colour",
        ONE,
        having(variables=[VARIABLE, VARIABLE]),
    ),
    "variables in a pipeline of type V1": (
        "Pipeline variable can only be used with V2 pipelines",
        ONE,
        having(pipelineType="V1", variables=[VARIABLE]),
    ),
    "triggers": ("no triggers", ONE, having(triggers=[])),
    "an unknown role": (
        "CodePipeline is not authorized to perform AssumeRole on role",
        ONE,
        having(roleArn=f"arn:aws:iam::{ACCOUNT}:role/none"),
    ),
}
OF_STAGE: dict[str, tuple[Any, ...]] = {
    **{
        f"{member} {value}": (
            f"{member}: this CodePipeline has no {what}",
            ONE,
            on_stage(**{member: value}),
        )
        for member, value, what in (
            ("onFailure", {"result": "ROLLBACK"}, "automatic retry, rollback"),
            ("onFailure", {"result": "RETRY"}, "automatic retry"),
            ("onFailure", {}, "automatic retry"),
            ("onSuccess", {"conditions": [{"result": "FAIL"}]}, "conditions"),
            ("beforeEntry", {"conditions": [{"result": "FAIL"}]}, "conditions"),
            ("blockers", [{"name": "Night", "type": "Schedule"}], "blockers"),
        )
    }
}
OF_ACTION: dict[str, tuple[Any, ...]] = {
    "an input of a later action": (
        "Input Artifact Bundle Late in action Build is not declared as Output Artifact Bundle in "
        "any of the preceding actions",
        [[build(inputArtifacts=["Late"]), build("Make", outputArtifacts=["Late"], runOrder=2)]],
    ),
    "an input of the same run order": (
        "Input Artifact Bundle Made in action Second",
        [[build("First", outputArtifacts=["Made"]), build("Second", inputArtifacts=["Made"])]],
    ),
    "a type that is not registered": (
        "ActionType (Category: 'Build', Provider: 'Builder', Owner: 'Custom', Version: '2') "
        "in action 'Build' is not available in region 'EU_WEST_1'",
        [[action("Build", TYPE | {"version": "2"})]],
    ),
    "a queryable value that is too long": (
        "Action configuration for action 'Build' has a value for the queryable configuration "
        "'Project' that is longer than 20 characters, or has characters other than letters, "
        "digits, '_' and '-'",
        strict("p" * 21, inputArtifacts=["SourceOutput"]),
    ),
    "too few input artifacts": (
        "Action Build declares 0 input artifacts which is less than the minimum count (1)",
        strict(inputArtifacts=[]),
    ),
    "too many output artifacts": (
        "Action Build declares 2 output artifacts which is more than the maximum count (1)",
        strict(inputArtifacts=["SourceOutput"], outputArtifacts=["one", "two"]),
    ),
    "a provider that AWS does not have": (
        "is not available in region 'EU_WEST_1'",
        [[action("Deploy", IDLE | {"provider": "Anything"})]],
    ),
    "a version that AWS does not have": (
        "is not available in region 'EU_WEST_1'",
        [[action("Deploy", IDLE | {"version": "2"})]],
    ),
    "a repeated namespace": (
        "Namespaces must be unique across the pipeline definition. The following occur more "
        "than once in the pipeline. StageName=[Stage3], ActionName=[Second], Namespace=[Same]",
        two(namespace="Same"),
    ),
    "an unknown namespace": (
        "StageName=[Stage2], ActionName=[Build], ActionConfigurationKey=[Text], "
        "VariableReferenceText=[No.One]",
        referring("#{No.One}"),
    ),
    **{
        f"the reference {each!r}": (NOT_OF_THIS_FORM.format(each), referring(f"a#{{{each}}}b"))
        for each in ("A", "", "A.b.c", "A b.c")
    },
    "a reference in an action that does nothing": (
        "ActionConfigurationKey=[ApplicationName], VariableReferenceText=[A]",
        [[action("Deploy", IDLE, configuration={"ApplicationName": "#{A}"})]],
    ),
    **{
        f"the reference {each!r} in a secret": (
            "ActionConfigurationKey=[Token], VariableReferenceText=[****]",
            [[build(configuration={"Token": f"#{{{each}}}"})]],
        )
        for each in ("A", "None.One")
    },
    "its own namespace": (
        "Own.One",
        [[build(namespace="Own", configuration={"Text": "#{Own.One}"})]],
    ),
    "a variable without any": (
        "VariableReferenceText=[variables.None]",
        referring("#{variables.None}"),
    ),
    "a partner action in another region": (
        "cross-region",
        [[action("Sold", PARTNER_TYPE, region="us-east-1")]],
        two_stores,
    ),
    **{
        member: (f"{member}: this CodePipeline", [[build(**{member: value})]])
        for member, value in OF_COMMANDS.items()
    },
    "a topic that is not an ARN": ("contains a format error.", notifying("topic")),
    "a topic that is a queue": (
        "cannot be used to send approval requests.",
        notifying("arn:aws:sqs:r:1:q"),
    ),
    "a topic in another region": (
        "not in the same region as the pipeline.",
        notifying("arn:aws:sns:r:1:t"),
    ),
}
OF_MODEL: dict[str, tuple[Any, ...]] = {
    "a run order of 0": (RUN_ORDER, [[build(runOrder=0)]]),
    "a run order of 1000": (RUN_ORDER, [[build(runOrder=1000)]]),
}
REFUSED = {
    **{name: (STRUCTURE, *row) for name, row in OF_STRUCTURE.items()},
    **{name: (STAGE, *row) for name, row in OF_STAGE.items()},
    **{name: (ACTION, *row) for name, row in OF_ACTION.items()},
    **{name: ("ValidationException", *row) for name, row in OF_MODEL.items()},
}
"""The code, a part of the message, the stages, and a further change of the pipeline."""


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_a_structure_is_refused(service: Service, row: tuple[Any, ...]) -> None:
    code, said, stages, *changes = row
    pipeline = deepcopy(service.structure(*stages))
    for change in changes:
        change(pipeline)
    found, message = refusal(service, pipeline)
    assert (found, said in message) == (code, True), message


@pytest.mark.parametrize("given", [{}, {"variables": []}])
@pytest.mark.parametrize("kind", ["V1", "V2"])
def test_the_namespace_variables_is_free_without_variables(
    service: Service, given: dict[str, Any], kind: str
) -> None:
    later = build("Later", configuration={"Text": "#{variables.Any}"})
    service.create([build(namespace="variables")], [later], pipelineType=kind, **given)


def test_a_pipeline_with_variables_is_of_type_v2(service: Service) -> None:
    pipeline = service.structure([build()])
    assert "pipelineType" not in service.api.create_pipeline(pipeline=pipeline)["pipeline"]
    updated = service.api.update_pipeline(pipeline=pipeline | {"variables": [VARIABLE]})
    assert updated["pipeline"]["pipelineType"] == "V2"


@pytest.mark.parametrize(
    ("trust", "accepted"),
    [
        ({"Service": ["lambda.amazonaws.com", "codepipeline.amazonaws.com"]}, True),
        ({"Service": "codepipeline.amazonaws.com"}, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False),
        ({"Service": "lambda.amazonaws.com"}, False),
    ],
)
def test_the_role_has_to_trust_codepipeline(
    service: Service, trust: dict[str, Any], *, accepted: bool
) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trust}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=policy)
    role = f"arn:aws:iam::{ACCOUNT}:role/other"
    pipeline = service.structure([build()]) | {"roleArn": role}
    if accepted:
        assert service.api.create_pipeline(pipeline=pipeline)
    else:
        assert refusal(service, pipeline)[0] == STRUCTURE


def test_there_are_no_more_than_1000_pipelines(service: Service) -> None:
    with patch("moto_codepipeline.models.PIPELINES", 1):
        service.create()
        assert code_of(service.create, name="second") == "LimitExceededException"


def test_the_same_action_name_in_two_stages_is_fine(service: Service) -> None:
    service.create([build()], [build()])


def test_a_pipeline_is_shown_as_it_was_in_a_version(service: Service) -> None:
    service.create([build(configuration={"Text": "one"})])
    pipeline = service.api.get_pipeline(name="release")["pipeline"]
    pipeline["stages"][1]["actions"][0]["configuration"]["Text"] = "two"
    assert service.api.update_pipeline(pipeline=pipeline)["pipeline"]["version"] == 2

    def text(**version: int) -> tuple[int, str]:
        shown = service.api.get_pipeline(name="release", **version)["pipeline"]
        return shown["version"], shown["stages"][1]["actions"][0]["configuration"]["Text"]

    assert [text(), text(version=2), text(version=1)] == [(2, "two"), (2, "two"), (1, "one")]
    for _ in range(9):
        service.api.update_pipeline(pipeline=pipeline)
    assert text(version=2) == (2, "two")
    for missing in (1, 12):
        assert code_of(text, version=missing) == "PipelineNotFoundException"


# Starts

TOO_MANY = "ConcurrentPipelineExecutionsLimitExceededException"


def test_without_a_variables_value_an_execution_fails(service: Service) -> None:
    service.create(variables=[VARIABLE | {"name": "Size"}, {"name": "Alpha"}])
    execution = service.execution(service.start())
    assert (execution["status"], execution["statusSummary"]) == (
        "Failed",
        "Values for required variables haven't been provided: Alpha",
    )
    assert "variables" not in execution
    assert service.action_executions() == []
    assert [state for _, _, state in service.events()] == ["STARTED", "FAILED"]


def test_values_for_other_variables_are_ignored(service: Service) -> None:
    service.create(variables=[VARIABLE | {"name": "Size"}, {"name": "Alpha"}])
    given = [{"name": "Other", "value": "o"}, {"name": "Alpha", "value": "a"}]
    started = service.api.start_pipeline_execution(name="release", variables=given)
    execution = service.execution(started["pipelineExecutionId"])
    assert execution["status"] == "InProgress"
    assert execution["variables"] == [
        {"name": "Size", "resolvedValue": "red"},
        {"name": "Alpha", "resolvedValue": "a"},
    ]


BUILD_REVISION = {
    "actionName": "Build",
    "revisionType": "S3_OBJECT_VERSION_ID",
    "revisionValue": "v",
}


@pytest.mark.parametrize(
    ("started_with", "said"),
    [
        (
            {"variables": [{"name": "Alpha", "value": each} for each in "ab"]},
            "Variable names must be unique. The following variable name is already in use: Alpha",
        ),
        (
            {"sourceRevisions": [BUILD_REVISION]},
            "The action name provided in the source revision is not valid. "
            "The action must be a source action in your pipeline.",
        ),
    ],
    ids=["a variable twice", "an unknown source"],
)
def test_a_refused_start_is_refused_with_a_known_token_too(
    service: Service, started_with: dict[str, Any], said: str
) -> None:
    service.create(variables=[{"name": "Alpha"}])
    start = partial(service.api.start_pipeline_execution, name="release")
    token = {"clientRequestToken": "token"}
    start(**token)
    for more in ({}, token):
        assert refusal_of(start, **started_with, **more) == ("ValidationException", said)
    assert len(service.summaries()) == 1


def test_a_revision_is_new_until_an_execution_could_start(service: Service) -> None:
    service.create(**SIDE_BY_SIDE)
    revision = {"revisionId": "r", "revisionChangeId": "c", "created": 1_800_000_000}
    where = {"pipelineName": "release", "stageName": "Source", "actionName": "Fetch"}
    request = where | {"actionRevision": revision}
    with patch("moto_codepipeline.executions.EXECUTIONS", 1):
        service.start()
        assert code_of(service.api.put_action_revision, **request) == TOO_MANY
    assert service.api.put_action_revision(**request)["newRevision"] is True


def test_a_retry_counts_as_an_execution(service: Service) -> None:
    failed = service.begin(**SIDE_BY_SIDE)
    service.fail(service.take())
    service.start()
    with patch("moto_codepipeline.executions.EXECUTIONS", 1):
        assert code_of(service.retry, failed) == TOO_MANY
        service.succeed(service.take())
        assert service.retry(failed) == failed
