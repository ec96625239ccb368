"""A CDK application with an action type for Acknowledger, and a pipeline that uses it."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

ANY = codepipeline.ActionArtifactBounds(min_inputs=0, max_inputs=5, min_outputs=0, max_outputs=5)


class CustomAction(actions.Action):
    """An action of the type Custom/Build/Acknowledger/1."""

    def __init__(
        self,
        name: str,
        inputs: Sequence[codepipeline.Artifact] = (),
        outputs: Sequence[codepipeline.Artifact] = (),
        **configuration: str,
    ) -> None:
        super().__init__(
            action_name=name,
            category=codepipeline.ActionCategory.BUILD,
            owner="Custom",
            provider="Acknowledger",
            artifact_bounds=ANY,
            inputs=list(inputs),
            outputs=list(outputs),
        )
        self._configuration = configuration

    def _bound(
        self, scope: Construct, stage: codepipeline.IStage, *, bucket: s3.IBucket, role: iam.IRole
    ) -> codepipeline.ActionConfig:
        return codepipeline.ActionConfig(configuration=self._configuration)


class Release(cdk.Stack):
    """A custom action type, and a pipeline whose second stage has such an action."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        action_type = codepipeline.CustomActionRegistration(
            self,
            "ActionType",
            category=codepipeline.ActionCategory.BUILD,
            provider="Acknowledger",
            version="1",
            artifact_bounds=ANY,
            action_properties=[codepipeline.CustomActionProperty(name="Input", required=False)],
        )
        bucket = s3.Bucket(self, "Source", versioned=True)
        app, report = codepipeline.Artifact("App"), codepipeline.Artifact("Report")
        source = actions.S3SourceAction(
            action_name="Source", bucket=bucket, bucket_key="app.zip", output=app
        )
        count = CustomAction("Count", inputs=[app], outputs=[report], Input="*.py")
        pipeline = codepipeline.Pipeline(
            self,
            "Pipeline",
            stages=[
                codepipeline.StageProps(stage_name="Source", actions=[source]),
                codepipeline.StageProps(stage_name="Build", actions=[count]),
            ],
        )
        pipeline.node.add_dependency(action_type)


app = cdk.App()
Release(app, "release")
app.synth()
