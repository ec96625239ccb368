"""What CreatePipeline and UpdatePipeline refuse, across actions and stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    ACCOUNT,
    REGION,
    SIDE_BY_SIDE,
    SOURCE,
    TYPE,
    Service,
    action,
    action_type,
    client,
    configuration_property,
    error_of,
    running_service,
    source,
)

Pipeline = dict[str, Any]
APPROVAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
DEPLOY = {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"}


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        free = configuration_property("Text", required=False)
        secret = configuration_property("Token", required=False, secret=True, key=False)
        running.register(configurationProperties=[free, secret])
        running.register(category="Source", provider="Repository")
        running.backend.register_third_party_action_type(action_type())
        yield running


def refusal(service: Service, pipeline: Pipeline) -> tuple[str, str]:
    """The error of both CreatePipeline and UpdatePipeline for a pipeline."""
    with pytest.raises(ClientError) as created:
        service.api.create_pipeline(pipeline=pipeline)
    service.create()
    with pytest.raises(ClientError) as updated:
        service.api.update_pipeline(pipeline=pipeline)
    assert error_of(created.value) == error_of(updated.value)
    return error_of(created.value)


def build(name: str = "Build", **changes: Any) -> dict[str, Any]:
    return action(name, TYPE, **changes)


def two(**changes: Any) -> list[list[dict[str, Any]]]:
    return [[build("First", **changes)], [build("Second", **changes)]]


def set_member(name: str, value: Any) -> Callable[[Pipeline], None]:
    return lambda pipeline: pipeline.update({name: value})


def set_on_stage(name: str, value: Any) -> Callable[[Pipeline], None]:
    return lambda pipeline: pipeline["stages"][1].update({name: value})


def same_stage_name(pipeline: Pipeline) -> None:
    pipeline["stages"][2]["name"] = pipeline["stages"][1]["name"]


def stores(*regions: str) -> Callable[[Pipeline], None]:
    def change(pipeline: Pipeline) -> None:
        store = pipeline.pop("artifactStore")
        pipeline["artifactStores"] = dict.fromkeys(regions, store)

    return change


def both_stores(pipeline: Pipeline) -> None:
    pipeline["artifactStores"] = {REGION: pipeline["artifactStore"]}


def no_store(pipeline: Pipeline) -> None:
    del pipeline["artifactStore"]


def source_elsewhere(kind: dict[str, str]) -> Callable[[Pipeline], None]:
    """A source action of a type in another region, which has an artifact store."""

    def change(pipeline: Pipeline) -> None:
        stores(REGION, "us-east-1")(pipeline)
        elsewhere = source(actionTypeId=kind, region="us-east-1")
        if kind["owner"] != "AWS":
            del elsewhere["configuration"]
        pipeline["stages"][0]["actions"] = [elsewhere]

    return change


def source_later(pipeline: Pipeline) -> None:
    pipeline["stages"][1]["actions"].append(source(outputArtifacts=["Again"]))


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


def keep(_: Pipeline) -> None:
    """Change nothing: the stages are already invalid."""


@pytest.mark.parametrize(
    ("stages", "change", "code", "said"),
    [
        pytest.param(two(), same_stage_name, STAGE, "Stage2", id="a repeated stage name"),
        pytest.param([[build(), build()]], keep, STAGE, "Build", id="a repeated action name"),
        pytest.param([[]], keep, STAGE, "Stage2", id="a stage without actions"),
        pytest.param(
            [[build(f"B{number}") for number in range(51)]], keep, STAGE, "50", id="51 actions"
        ),
        pytest.param([[build()] for _ in range(50)], keep, STRUCTURE, "50 stages", id="51 stages"),
        pytest.param(
            [[build(f"B{number}") for number in range(50)] for _ in range(20)],
            keep,
            STRUCTURE,
            "1000 actions",
            id="1001 actions",
        ),
        pytest.param([], keep, STRUCTURE, "Pipeline has only 1 stage(s)", id="one stage"),
        pytest.param(
            [[build()]],
            work_first,
            STRUCTURE,
            "Pipeline should start with a stage that only contains source actions",
            id="a build action in the first stage",
        ),
        pytest.param([[build()]], source_later, STRUCTURE, "Stage2", id="a later source"),
        pytest.param(
            two(outputArtifacts=["Made"]), keep, ACTION, "Made", id="a repeated output artifact"
        ),
        pytest.param(
            [[build(inputArtifacts=["Late"]), build("Make", outputArtifacts=["Late"], runOrder=2)]],
            keep,
            ACTION,
            "Input Artifact Bundle Late in action Build is not declared as Output Artifact Bundle",
            id="an input of a later action",
        ),
        pytest.param(
            two(namespace="Same"),
            keep,
            ACTION,
            "Namespaces must be unique across the pipeline definition. The following occur more "
            "than once in the pipeline. StageName=[Stage3], ActionName=[Second], Namespace=[Same]",
            id="a repeated namespace",
        ),
        pytest.param(
            [[build(namespace="codepipeline")]],
            keep,
            ACTION,
            "Namespaces",
            id="AWS's own namespace",
        ),
        pytest.param(
            [[build(namespace="variables")]],
            set_member("variables", [VARIABLE]),
            STRUCTURE,
            "One or more of the chosen namespaces is reserved. Note that there is a namespace for "
            "variables at the pipeline level.\n",
            id="the namespace of the pipeline's variables",
        ),
        pytest.param(
            [[build(configuration={"Text": "#{No.One}"})]],
            keep,
            ACTION,
            "StageName=[Stage2], ActionName=[Build], ActionConfigurationKey=[Text], "
            "VariableReferenceText=[No.One]",
            id="an unknown namespace",
        ),
        *(
            pytest.param(
                [[build(configuration={"Text": f"a#{{{reference}}}b"})]],
                keep,
                ACTION,
                "Valid format for a pipeline execution variable reference is a namespace and a key "
                "separated by a period (.). The following pipeline execution variables are not of "
                "this form.\nStageName=[Stage2], ActionName=[Build], "
                f"ActionConfigurationKey=[Text], VariableReferenceText=[{reference}]",
                id=f"the reference {reference!r}",
            )
            for reference in ("A", "", "A.b.c", "A b.c")
        ),
        pytest.param(
            [[action("Deploy", DEPLOY, configuration={"ApplicationName": "#{A}"})]],
            keep,
            ACTION,
            "ActionConfigurationKey=[ApplicationName], VariableReferenceText=[A]",
            id="a reference in an action that does nothing",
        ),
        *(
            pytest.param(
                [[build(configuration={"Token": f"#{{{reference}}}"})]],
                keep,
                ACTION,
                "ActionConfigurationKey=[Token], VariableReferenceText=[****]",
                id=f"the reference {reference!r} in a secret",
            )
            for reference in ("A", "None.One")
        ),
        pytest.param(
            [[build(namespace="Own", configuration={"Text": "#{Own.One}"})]],
            keep,
            ACTION,
            "Own.One",
            id="its own namespace",
        ),
        pytest.param(
            [[build(configuration={"Text": "#{variables.None}"})]],
            keep,
            ACTION,
            "VariableReferenceText=[variables.None]",
            id="a variable without any",
        ),
        pytest.param(
            [[build(configuration={"Text": "#{variables.None}"})]],
            set_member("variables", [VARIABLE]),
            STRUCTURE,
            "The referenced variables haven't been declared.\n",
            id="an unknown variable",
        ),
        pytest.param(
            [[build()]],
            variable_in_source,
            STRUCTURE,
            "Variables at the pipeline level cannot be used in source actions.\n"
            "StageName=[Source], ActionName=[Fetch], ActionConfigurationKey=[S3ObjectKey], "
            "VariableReferenceText=[variables.Key]",
            id="a source variable",
        ),
        pytest.param(
            [[build()]],
            set_member("variables", [VARIABLE, VARIABLE]),
            STRUCTURE,
            "Variable names must be unique. The following variable name is already in use: Colour",
            id="a repeated variable",
        ),
        pytest.param([[build()]], both_stores, STRUCTURE, "not both", id="both stores"),
        pytest.param([[build()]], no_store, STRUCTURE, "artifactStore", id="no store"),
        pytest.param(
            [[build()]], stores("us-east-1"), STRUCTURE, REGION, id="no store for its region"
        ),
        pytest.param(
            [[build(region="us-east-1")]],
            stores(REGION, "us-east-1"),
            ACTION,
            "cross-region",
            id="a custom action in another region",
        ),
        pytest.param(
            [[action("Sold", TYPE | {"owner": "ThirdParty"}, region="us-east-1")]],
            stores(REGION, "us-east-1"),
            ACTION,
            "cross-region",
            id="a partner action in another region",
        ),
        pytest.param(
            [[build()]],
            source_elsewhere(SOURCE),
            ACTION,
            "cross-region",
            id="a source action in another region",
        ),
        pytest.param(
            [[build()]],
            source_elsewhere(TYPE | {"category": "Source", "provider": "Repository"}),
            ACTION,
            "cross-region",
            id="a custom source action in another region",
        ),
        pytest.param(
            [[action("Deploy", DEPLOY, region="us-east-1")]],
            keep,
            ACTION,
            "no artifact store",
            id="an action in a region without a store",
        ),
        pytest.param(
            [[build(configuration={"Token": "****"})]], keep, ACTION, "Token", id="a mask"
        ),
        pytest.param(
            [[build(timeoutInMinutes=5)]], keep, ACTION, "manual approvals", id="a timeout"
        ),
        pytest.param(
            [[build()]], set_member("triggers", []), STRUCTURE, "no triggers", id="triggers"
        ),
        pytest.param(
            [[build()]],
            set_on_stage("onFailure", {"result": "ROLLBACK"}),
            STAGE,
            "rollback",
            id="rollback",
        ),
        pytest.param(
            [[build()]],
            set_on_stage("onFailure", {"result": "RETRY"}),
            STAGE,
            "onFailure: this CodePipeline has no automatic retry",
            id="automatic retry",
        ),
        pytest.param(
            [[build()]],
            set_on_stage("onFailure", {}),
            STAGE,
            "onFailure: this CodePipeline has no automatic retry",
            id="an empty onFailure",
        ),
        pytest.param(
            [[build()]],
            set_on_stage("onSuccess", {"conditions": [{"result": "FAIL"}]}),
            STAGE,
            "onSuccess: this CodePipeline has no conditions",
            id="conditions on success",
        ),
        pytest.param(
            [[build()]],
            set_on_stage("blockers", [{"name": "Night", "type": "Schedule"}]),
            STAGE,
            "blockers: this CodePipeline has no blockers",
            id="blockers",
        ),
        pytest.param(
            [[build(commands=["ls"])]], keep, ACTION, "commands: this CodePipeline", id="commands"
        ),
        pytest.param(
            [[build(environmentVariables=[{"name": "A", "value": "1"}])]],
            keep,
            ACTION,
            "environmentVariables: this CodePipeline",
            id="environment variables",
        ),
        pytest.param(
            [[build(outputVariables=["A"])]],
            keep,
            ACTION,
            "outputVariables: this CodePipeline",
            id="declared output variables",
        ),
        pytest.param(
            [[build()]],
            set_on_stage("beforeEntry", {"conditions": [{"result": "FAIL"}]}),
            STAGE,
            "conditions",
            id="conditions",
        ),
        pytest.param(
            [[action("Ask", APPROVAL, configuration={"NotificationArn": "topic"})]],
            keep,
            ACTION,
            "contains a format error.",
            id="a topic that is not an ARN",
        ),
        pytest.param(
            [[action("Ask", APPROVAL, configuration={"NotificationArn": "arn:aws:sqs:r:1:q"})]],
            keep,
            ACTION,
            "cannot be used to send approval requests.",
            id="a topic that is a queue",
        ),
        pytest.param(
            [[action("Ask", APPROVAL, configuration={"NotificationArn": "arn:aws:sns:r:1:t"})]],
            keep,
            ACTION,
            "not in the same region as the pipeline.",
            id="a topic in another region",
        ),
        pytest.param(
            [[build()]],
            set_member("roleArn", f"arn:aws:iam::{ACCOUNT}:role/none"),
            STRUCTURE,
            "CodePipeline is not authorized to perform AssumeRole on role",
            id="an unknown role",
        ),
    ],
)
def test_a_structure_is_refused(
    service: Service,
    stages: list[list[dict[str, Any]]],
    change: Callable[[Pipeline], None],
    code: str,
    said: str,
) -> None:
    pipeline = service.structure(*stages)
    change(pipeline)
    found, message = refusal(service, pipeline)
    assert (found, said in message) == (code, True), message


@pytest.mark.parametrize("mode", ["QUEUED", "PARALLEL"])
def test_a_v1_pipeline_has_only_the_superseded_mode(service: Service, mode: str) -> None:
    pipeline = service.structure([build()]) | {"pipelineType": "V1", "executionMode": mode}
    assert refusal(service, pipeline)[0] == STRUCTURE


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


def test_a_name_in_use_is_refused(service: Service) -> None:
    service.create()
    with pytest.raises(ClientError) as caught:
        service.create()
    assert error_of(caught.value) == (
        "PipelineNameInUseException",
        f"A pipeline with the name 'release' already exists in account '{ACCOUNT}'",
    )


@pytest.mark.parametrize("order", [0, 1000])
def test_a_run_order_is_from_1_to_999(service: Service, order: int) -> None:
    code, message = refusal(service, service.structure([build(runOrder=order)]))
    assert code == "ValidationException"
    assert "actions.1.member.runOrder' failed to satisfy constraint: Member must have" in message
    service.api.update_pipeline(pipeline=service.structure([build(runOrder=999)]))


def test_a_v1_pipeline_has_no_variables(service: Service) -> None:
    pipeline = service.structure([build()]) | {"pipelineType": "V1", "variables": [VARIABLE]}
    assert refusal(service, pipeline) == (
        STRUCTURE,
        "Pipeline variable can only be used with V2 pipelines",
    )


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
        with pytest.raises(ClientError) as caught:
            service.create(name="second")
    assert error_of(caught.value)[0] == "LimitExceededException"


def test_the_same_action_name_in_two_stages_is_fine(service: Service) -> None:
    service.create([build()], [build()])


def test_a_mask_for_a_secret_without_a_value_is_refused(service: Service) -> None:
    service.create([build(configuration={"Text": "t"})])
    pipeline = service.api.get_pipeline(name="release")["pipeline"]
    pipeline["stages"][1]["actions"][0]["configuration"]["Token"] = "****"
    with pytest.raises(ClientError) as caught:
        service.api.update_pipeline(pipeline=pipeline)
    assert error_of(caught.value)[0] == ACTION


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
        with pytest.raises(ClientError) as caught:
            text(version=missing)
        assert error_of(caught.value)[0] == "PipelineNotFoundException"


def test_a_value_may_be_longer_than_the_model_says(service: Service) -> None:
    service.create([build(configuration={"Text": "x" * 50_000})])
    service.start()
    [job] = service.poll()
    assert len(job["data"]["actionConfiguration"]["configuration"]["Text"]) == 50_000


def test_the_error_for_an_empty_value_has_every_constraint(service: Service) -> None:
    with pytest.raises(ClientError) as caught:
        service.create([build(configuration={"Text": ""})])
    assert error_of(caught.value) == (
        "ValidationException",
        "1 validation error detected: Value at "
        "'pipeline.stages.2.member.actions.1.member.configuration' failed to satisfy constraint: "
        "Map value must satisfy constraint: [Member must have length less than or equal to 50000, "
        "Member must have length greater than or equal to 1]",
    )


class TestStart:
    def start(self, service: Service, **request: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            service.api.start_pipeline_execution(name="release", **request)
        return error_of(caught.value)

    def test_without_a_variables_value_an_execution_fails(self, service: Service) -> None:
        service.create(variables=[VARIABLE | {"name": "Size"}, {"name": "Alpha"}])
        execution = service.execution(service.start())
        assert (execution["status"], execution["statusSummary"]) == (
            "Failed",
            "Values for required variables haven't been provided: Alpha",
        )
        assert "variables" not in execution
        listed = service.api.list_action_executions(pipelineName="release")
        assert listed["actionExecutionDetails"] == []
        assert [state for _, _, state in service.events()] == ["STARTED", "FAILED"]

    def test_values_for_other_variables_are_ignored(self, service: Service) -> None:
        service.create(variables=[VARIABLE | {"name": "Size"}, {"name": "Alpha"}])
        given = [{"name": "Other", "value": "o"}, {"name": "Alpha", "value": "a"}]
        started = service.api.start_pipeline_execution(name="release", variables=given)
        execution = service.execution(started["pipelineExecutionId"])
        assert execution["status"] == "InProgress"
        assert execution["variables"] == [
            {"name": "Size", "resolvedValue": "red"},
            {"name": "Alpha", "resolvedValue": "a"},
        ]

    @pytest.mark.parametrize(
        ("started_with", "said"),
        [
            (
                {"variables": [{"name": "Alpha", "value": each} for each in "ab"]},
                "Variable names must be unique. "
                "The following variable name is already in use: Alpha",
            ),
            (
                {
                    "sourceRevisions": [
                        {
                            "actionName": "Build",
                            "revisionType": "S3_OBJECT_VERSION_ID",
                            "revisionValue": "v",
                        }
                    ]
                },
                "The action name provided in the source revision is not valid. "
                "The action must be a source action in your pipeline.",
            ),
        ],
        ids=["a variable twice", "an unknown source"],
    )
    def test_a_refused_start_is_refused_with_a_known_token_too(
        self, service: Service, started_with: dict[str, Any], said: str
    ) -> None:
        service.create(variables=[{"name": "Alpha"}])
        token = {"clientRequestToken": "token"}
        service.api.start_pipeline_execution(name="release", **token)
        for more in ({}, token):
            assert self.start(service, **started_with, **more) == ("ValidationException", said)
        assert len(service.summaries()) == 1

    @pytest.mark.parametrize("mode", ["QUEUED", "PARALLEL"])
    def test_there_are_no_more_than_50_executions(self, service: Service, mode: str) -> None:
        service.create(pipelineType="V2", executionMode=mode)
        for _ in range(50):
            service.start()
        assert self.start(service)[0] == "ConcurrentPipelineExecutionsLimitExceededException"
        [job, *_] = service.poll(limit=1)
        service.acknowledge(job)
        service.succeed(job)
        assert service.start()

    def test_a_revision_is_new_until_an_execution_could_start(self, service: Service) -> None:
        service.create(**SIDE_BY_SIDE)
        revision = {"revisionId": "r", "revisionChangeId": "c", "created": 1_800_000_000}
        where = {"pipelineName": "release", "stageName": "Source", "actionName": "Fetch"}
        request = where | {"actionRevision": revision}
        with patch("moto_codepipeline.executions.EXECUTIONS", 1):
            service.start()
            with pytest.raises(ClientError) as caught:
                service.api.put_action_revision(**request)
        assert error_of(caught.value)[0] == "ConcurrentPipelineExecutionsLimitExceededException"
        assert service.api.put_action_revision(**request)["newRevision"] is True

    def test_a_retry_counts_as_an_execution(self, service: Service) -> None:
        service.create(**SIDE_BY_SIDE)
        failed = service.start()
        service.fail(service.take())
        service.start()
        with patch("moto_codepipeline.executions.EXECUTIONS", 1):
            with pytest.raises(ClientError) as caught:
                service.retry(failed)
            code = "ConcurrentPipelineExecutionsLimitExceededException"
            assert error_of(caught.value)[0] == code
            service.succeed(service.take())
            assert service.retry(failed) == failed
