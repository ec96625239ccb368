"""A CDK application with an action type of Acknowledger's, and a pipeline with such an action."""

import aws_cdk as cdk
import jsii
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_s3 as s3

ANY = codepipeline.ActionArtifactBounds(min_inputs=0, max_inputs=5, min_outputs=0, max_outputs=5)


@jsii.implements(codepipeline.IAction)
class CustomAction:
    """An action of the type Custom/Build/Acknowledger/1."""

    def __init__(self, name, inputs=(), outputs=(), **configuration):
        self.configuration = configuration
        self._properties = codepipeline.ActionProperties(
            action_name=name,
            category=codepipeline.ActionCategory.BUILD,
            owner="Custom",
            provider="Acknowledger",
            artifact_bounds=ANY,
            inputs=list(inputs),
            outputs=list(outputs),
        )

    @property
    @jsii.member(jsii_name="actionProperties")
    def action_properties(self):
        return self._properties

    @jsii.member(jsii_name="bind")
    def bind(self, *_, **__):
        return codepipeline.ActionConfig(configuration=self.configuration)

    @jsii.member(jsii_name="onStateChange")
    def on_state_change(self, *_, **__):
        raise NotImplementedError


class Release(cdk.Stack):
    def __init__(self, scope, name):
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
