"""The example that sends a message about each job that fails or times out."""

import json

import pytest

from local.aws.stack import deploy
from tests.support import ROOT, wait_for


@pytest.fixture(scope="module")
def sent(running):
    """A function that returns the messages sent to the example's topic so far."""
    parameters = {"Email": "you@example.com", "JobBusName": running.stack.outputs["JobBusName"]}
    template = ROOT / "examples" / "notify" / "template.yaml"
    stack = deploy(template, parameters, name="job-failures", region=running.cloud.region)
    sqs = running.client("sqs")
    url = sqs.create_queue(QueueName="sent")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    running.client("sns").subscribe(
        TopicArn=stack.outputs["TopicArn"], Protocol="sqs", Endpoint=arn["QueueArn"]
    )
    messages: list[str] = []

    def all_of_them() -> list[str]:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            messages.append(json.loads(message["Body"])["Message"])
        return messages

    return all_of_them


@pytest.mark.parametrize(
    ("configuration", "status", "detail_type"),
    [
        ({"Outcome": "Fail"}, "Failed", "Job Failed"),
        ({"Outcome": "Hang", "JobTimeoutSeconds": "1"}, "TimedOut", "Job Timed Out"),
    ],
)
def test_a_message_is_sent_for_a_job_that_fails_or_times_out(
    world, sent, configuration, status, detail_type
):
    row = world.row(world.start(configuration), status)
    said = f'"{detail_type}: Work of {row["pipelineName"]["S"]} ({row["error"]["S"]}): '
    message = wait_for(
        lambda: next((one for one in sent() if row["jobId"]["S"] in one), None),
        "the message",
        seconds=10,
    )
    assert message.startswith(said)
    assert row["cause"]["S"] in message


def test_no_message_is_sent_for_a_job_that_succeeds(world, sent):
    row = world.row(world.start({"Outcome": "Succeed"}), "Succeeded")
    assert world.heard("Job Succeeded", row)
    assert not [one for one in sent() if row["jobId"]["S"] in one]
