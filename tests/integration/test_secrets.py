"""No secret is written anywhere: the search at the end of each module would find it."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from acknowledger_worker import Job, Runner, Success, Worker
from local.worker import feed
from moto_codepipeline import CREDENTIAL_MARKS
from tests.integration.conftest import CLIENT_TOKEN, PASSWORD
from tests.support import load_event, wait_for

PLANTED = "planted-secret"


@pytest.fixture
def written(world):
    return world.written


def plant_in_log(world):
    world.invoke("Intake", {"detail-type": "Scheduled Event", "detail": PLANTED})
    logs = world.client("logs")
    group = logs.describe_log_groups()["logGroups"][0]["logGroupName"]
    logs.create_log_stream(logGroupName=group, logStreamName="planted")
    logs.put_log_events(
        logGroupName=group,
        logStreamName="planted",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": PLANTED}],
    )


def plant_in_execution(world):
    world.client("stepfunctions").start_execution(
        stateMachineArn=world.stack.outputs["JobStateMachineArn"], input=json.dumps({"a": PLANTED})
    )


def plant_in_event(world):
    entry = {"Source": "x", "DetailType": "x", "Detail": json.dumps({"a": PLANTED})}
    world.client("events").put_events(
        Entries=[{**entry, "EventBusName": world.stack.outputs["JobBusName"]}]
    )


def plant_in_table(world):
    world.client("dynamodb").put_item(
        TableName=world.stack.outputs["JobTableName"],
        Item={"jobId": {"S": PLANTED}, "pipelineName": {"S": ""}, "status": {"S": "x"}},
    )


def plant_in_answer(world):
    world.invoke("Acknowledge", {"jobId": "x", "nonce": "3", PLANTED: 1})


def plant_in_dead_letter(world):
    world.client("sqs").send_message(
        QueueUrl=world.stack.outputs["IntakeDeadLettersUrl"], MessageBody=PLANTED
    )


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (plant_in_log, "log"),
        (plant_in_execution, "execution"),
        (plant_in_execution, "history"),
        (plant_in_event, "event"),
        (plant_in_table, "table"),
        (plant_in_dead_letter, "dead letter"),
        (plant_in_answer, "answer"),
    ],
)
def test_a_secret_that_was_written_is_found(world, written, plant, place):
    plant(world)
    found = wait_for(lambda: written.secrets([PLANTED]), f"the {place}", seconds=10)
    assert place in {text.split(": ")[0] for text in found}


def test_no_secret_of_a_job_is_written_anywhere(owners_world, written):
    world = owners_world
    names = [
        world.start({"Outcome": outcome, "JobTimeoutSeconds": "1"})
        for outcome in ("Succeed", "Fail", "Hang")
    ]
    for name in names:
        world.pipeline_ended(name)
    world.invoke("Acknowledge", load_event("bad/acknowledge-several-fields"), kind="Event")
    bad_token = {"jobId": "x", "nonce": "3", "clientToken": CLIENT_TOKEN}
    answer = world.invoke("Acknowledge", bad_token)
    assert answer["errorType"] in ("JobNotFoundException", "InvalidClientTokenException")
    assert CLIENT_TOKEN not in json.dumps(answer)
    wait_for(lambda: "dead letter" in written.kinds(), "a dead letter", seconds=20)
    assert written.kinds() >= {"log", "execution", "history", "event", "table"}
    logged = [text for where, text in written.everything() if where == "log"]
    assert any('"AWS called"' in text for text in logged)
    assert written.secrets([CLIENT_TOKEN, PASSWORD]) == []


def leak(job: Job) -> Success:
    """Write a secret everywhere that a worker can write."""
    secret = job.secret("Password")
    logging.getLogger("leaking").warning("password %s", secret)
    job.progress(1, f"password {secret}", secret)
    variables = {} if job.client_id else {"Leaked": f"password {secret}"}
    return Success(f"password {secret}", secret, 1, variables, allow_missing_outputs=True)


@contextmanager
def every_second(call: Callable[[], object]) -> Iterator[None]:
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(1):
            call()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_secret_that_a_worker_reports_is_masked_everywhere(owners_world, written, caplog):
    world = owners_world
    queue, outputs = f"leaking-{world.owner.lower()}", world.stack.outputs
    worker = Worker(
        leak,
        job_table_name=outputs["JobTableName"],
        job_bus_name=outputs["JobBusName"],
        client_token_prefix=world.stack.parameters["ClientTokenPrefix"],
        client=world.client,
    )
    url = world.client("sqs").create_queue(QueueName=queue)["QueueUrl"]
    feed(world.client, outputs["JobBusName"], queue, {"Outcome": ["Hang"]})
    runner = Runner(worker, url, wait_seconds=1, stop_seconds=0, client=world.client)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        name = world.start({"Outcome": "Hang"})
        # Without an event about the job that continues the work after the progress, a sweep finds it.
        with every_second(world.cloud.schedule.fire):
            assert world.pipeline_ended(name) == "Succeeded"
    finally:
        runner.stop()
        thread.join()
    assert "password ****" in caplog.text
    told = [where for where, text in written.everything() if "password ****" in text]
    assert set(told) >= {"event", "history", "result"}
    assert written.secrets([CLIENT_TOKEN, PASSWORD]) == []
    assert PASSWORD not in caplog.text


def test_the_search_would_find_the_artifact_credentials(world):
    world.intake_quiet()
    world.start({"Outcome": "Succeed"})
    request = world.poll()
    details = world.client("codepipeline").get_job_details(jobId=request["jobId"])["jobDetails"]
    for value in details["data"]["artifactCredentials"].values():
        assert any(mark in value for mark in CREDENTIAL_MARKS)
    world.acknowledge(request)
    world.succeed(request)
