"""tools/redrive.py redrives every dead letter, and nothing is done twice."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

import pytest

from local.aws import functions, isolation, permissions
from tests.support import ROOT, load_event, wait_for
from tests.warm import Run, warm

pytestmark = pytest.mark.slow

PARAMETERS = {"ProgressIntervalSeconds": "1"}
# Acknowledge waits long for the answer to another call.
SLEEP_SCALE = 0.05
SCRIPT = ROOT / "tools" / "redrive.py"


# Functions that run the command, by the endpoint of their world.
RUNS: dict[str, Run] = {}


@pytest.fixture(scope="module", autouse=True)
def script(running):
    with warm(sys.executable, ["boto3"], environment_of(running), ROOT) as run:
        RUNS[running.cloud.endpoint_url] = run
        yield


def environment_of(world):
    return {
        "PATH": os.environ["PATH"],
        **isolation.NO_HOME,
        "AWS_ENDPOINT_URL": world.cloud.endpoint_url,
        "AWS_DEFAULT_REGION": world.cloud.region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }


def redrive(world, *arguments, status=0):
    """What the command prints."""
    done = RUNS[world.cloud.endpoint_url](str(SCRIPT), *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def redrive_anew(world, *arguments):
    """What the command prints in a separate process, as a user runs it."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env=environment_of(world),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    ).stdout


def idle():
    assert functions.runner().wait_until_idle(120)


def lay(world, function, event, **attributes):
    """Send a dead letter, by default with the attributes that Lambda sets."""
    attributes = attributes or {"ErrorMessage": "It broke", "RequestID": "1"}
    world.client("sqs").send_message(
        QueueUrl=world.stack.outputs[f"{function}DeadLettersUrl"],
        MessageBody=event if isinstance(event, str) else json.dumps(event),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )
    # The command ignores messages that come while it runs, and SQS's clock has whole seconds.
    idle()


@pytest.fixture(autouse=True)
def empty(world):
    """Empty all dead-letter queues of what other tests left."""
    idle()
    for function in ("Intake", "Acknowledge", "Report", "Stop"):
        world.written.letters(function)


# -- What the command prints ----------------------------------------------------------------------


def test_a_list_names_the_job_and_the_reason_and_changes_nothing(world):
    event = load_event("acknowledge-job-dispatched")
    world.invoke("Acknowledge", event, kind="Event")
    wait_for(lambda: world.letters_left("Acknowledge"), "the dead letter", seconds=20)
    for run in (redrive_anew, redrive):
        said = run(world, "Acknowledge", "--list")
        assert f"job {event['detail']['jobId']}" in said
        assert "taskToken: Step Functions does not know it" in said
        assert "queues: 1" in said
        assert re.search(r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", said)
    assert world.letters_left("Acknowledge") == 1


def test_a_list_says_why_eventbridge_could_not_deliver(world):
    event = load_event("stop-execution-aborted")
    lay(
        world,
        "Stop",
        event,
        RULE_ARN="arn:aws:events:us-east-1:123456789012:rule/stack-Stopped",
        TARGET_ARN="arn:aws:lambda:us-east-1:123456789012:function:stop",
        ERROR_CODE="NO_PERMISSIONS",
        ERROR_MESSAGE="Lambda does not allow it",
        EXHAUSTED_RETRY_CONDITION="MaximumEventAgeInSeconds",
    )
    said = redrive(world, "--list")
    assert f"job {json.loads(event['detail']['input'])['job']['id']}" in said
    assert "rule stack-Stopped could not deliver it" in said
    assert "NO_PERMISSIONS: Lambda does not allow it (MaximumEventAgeInSeconds)" in said


def test_a_list_reads_the_attributes_that_eventbridge_sets(world):
    """A rule whose target is gone."""
    events, bus = world.client("events"), world.stack.outputs["JobBusName"]
    url = world.stack.outputs["ReportDeadLettersUrl"]
    queue = world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    target = {
        "Id": "1",
        "Arn": f"arn:aws:lambda:{world.cloud.region}:{world.cloud.account_id}:function:gone",
        "DeadLetterConfig": {"Arn": queue["Attributes"]["QueueArn"]},
    }
    events.put_rule(Name="lost", EventBusName=bus, EventPattern='{"detail-type": ["Job Lost"]}')
    events.put_targets(Rule="lost", EventBusName=bus, Targets=[target])
    try:
        detail = json.dumps({"jobId": "lost-job"})
        entry = {"EventBusName": bus, "Source": "x", "DetailType": "Job Lost", "Detail": detail}
        events.put_events(Entries=[entry])
        wait_for(lambda: world.letters_left("Report"), "the dead letter", seconds=20)
    finally:
        events.remove_targets(Rule="lost", EventBusName=bus, Ids=["1"])
        events.delete_rule(Name="lost", EventBusName=bus)
    said = redrive(world, "Report", "--list")
    assert "Job Lost: job lost-job" in said
    assert "rule lost could not deliver it: NO_RESOURCE" in said


def test_control_characters_in_messages_are_escaped(world):
    lay(world, "Report", {"jobId": "a\x1b[2Jb\nc"}, ErrorMessage="x\r\x1b]0;y\x07")
    said = redrive(world, "Report", "--list")
    assert "job a\\u001b[2Jb\\u000ac" in said
    assert "\x1b" not in said


def test_an_event_that_cannot_be_redriven_stays_and_the_others_are_redriven(world):
    lay(world, "Report", "this is no JSON")
    lay(world, "Report", load_event("report-job-progress"))
    said = redrive(world, "Report", status=1)
    assert "NOT REDRIVEN" in said
    assert "1 redriven, 0 dropped, 1 not redriven" in said
    idle()
    assert world.letters_left("Report") == 1


def test_an_event_that_fails_again_is_reported_with_its_new_reason(world):
    lay(world, "Report", {"jobId": "fails-again"}, ErrorMessage="The first reason")
    said = redrive(world, "Report", "--wait", "60", status=1)
    before, again = said.split("Failed again:")
    assert "The first reason" in before
    assert re.match(r" Report  [0-9a-f-]{36}  since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", again)
    assert "job fails-again" in again
    assert "outcome must not be null" in again
    assert "1 redriven, 0 dropped, 0 not redriven, 1 failed again" in again
    assert world.letters_left("Report") == 1


def test_the_wait_ends_if_no_event_fails_again(world):
    lay(world, "Stop", load_event("stop-job-due"))
    assert "1 redriven, 0 dropped, 0 not redriven, 0 failed again" in redrive(
        world, "Stop", "--wait", "1"
    )


def test_one_message_can_be_chosen(world):
    for number in range(2):
        lay(world, "Report", {"jobId": f"job-{number}"})
    chosen = redrive(world, "Report", "--list").split()[1]
    assert "1 redriven" in redrive(world, "Report", "--message", chosen)
    idle()
    # It is no valid event, so that it is back with another reason.
    said = redrive(world, "Report", "--list")
    assert "queues: 2" in said
    assert chosen not in said
    assert "outcome must not be null" in said


def test_a_missing_stack_is_reported(world):
    assert redrive(world, "--stack", "nowhere", status=1) == ""


# -- What a redrive does --------------------------------------------------------------------------


@contextmanager
def without(world, role, action):
    """Take an action from a role for a while."""
    grants, arn_ends = permissions.grants, f"/{world.stack.resources[role]}"

    def fewer(arn):
        gone = action if arn.endswith(arn_ends) else None
        return [grant for grant in grants(arn) if grant.action != gone]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permissions, "grants", fewer)
        yield


def test_a_job_whose_event_intake_could_not_handle_is_taken(world):
    with without(world, "IntakeRole", "codepipeline:PollForJobs"):
        name = world.start({"Outcome": "Succeed"})
        wait_for(lambda: world.letters_left("Intake"), "the dead letter", seconds=30)
    said = redrive(world, "Intake")
    assert f"pipeline {name}" in said
    assert "is not authorized to perform: codepipeline:PollForJobs" in said
    world.row(name, "Succeeded")
    idle()
    assert world.letters_left("Intake") == 0


def test_a_job_that_stop_could_not_fail_is_failed(owners_world):
    world = owners_world
    name, row = world.hang()
    partner = "ThirdParty" if world.owner == "ThirdParty" else ""
    with without(world, "StopRole", f"codepipeline:Put{partner}JobFailureResult"):
        world.stop(row)
        wait_for(lambda: world.letters_left("Stop"), "the dead letter", seconds=30)
    assert world.pipeline_status(name) == "InProgress"
    assert f"job {row['jobId']['S']}" in redrive(world, "Stop")
    assert world.pipeline_ended(name) == "Failed"
    world.row(name, "Failed")


def test_progress_that_report_could_not_show_is_shown(world):
    name, row = world.hang()
    with without(world, "ReportRole", "dynamodb:GetItem"):
        world.tell_progress(row["jobId"]["S"], percentComplete=30)
        wait_for(lambda: world.letters_left("Report"), "the dead letter", seconds=30)
    redrive(world, "Report")
    wait_for(
        lambda: world.action(name).get("percentComplete") == 30, "progress to show", seconds=20
    )
    world.stop(row)


def test_an_acknowledgment_that_could_not_be_sent_to_the_execution_is_sent(owners_world):
    world = owners_world
    with without(world, "AcknowledgeRole", "states:SendTaskSuccess"):
        name = world.start({"Outcome": "Succeed"})
        wait_for(lambda: world.letters_left("Acknowledge"), "the dead letter", seconds=30)
    row = world.row(name, "InProgress")
    assert f"job {row['jobId']['S']}" in redrive(world, "Acknowledge")
    assert world.pipeline_ended(name) == "Succeeded"
    assert len(world.announced("Job In Progress", row["jobId"]["S"])) == 1


# -- What isn't done twice ------------------------------------------------------------------------


def everything_about(world, row) -> dict[str, Any]:
    """Everything that can be seen of a job, from CodePipeline's side and ours."""
    job_id = row["jobId"]["S"]
    kinds = ("Job Dispatched", "Job In Progress", "Job Succeeded", "Job Failed", "Job Timed Out")
    state = world.client("codepipeline").get_pipeline_state(name=row["pipelineName"]["S"])
    return {
        "rows": world.rows(row["pipelineName"]["S"]),
        "executions": [each["executionArn"] for each in world.executions(job_id)],
        "announced": {kind: world.announced(kind, job_id) for kind in kinds},
        "pipeline": state["stageStates"],
    }


def of_execution(world, row, **changes):
    (found,) = wait_for(
        lambda: [
            event
            for event in world.bus_events("Step Functions Execution Status Change")
            if event["detail"]["executionArn"] == row["execution"]["S"]
            and event["detail"]["status"] != "RUNNING"
        ],
        "the event",
        seconds=10,
    )
    return {**found, "detail": {**found["detail"], **changes}}


def progress(row):
    event = load_event("report-job-progress")
    return {**event, "detail": {**event["detail"], "jobId": row["jobId"]["S"]}}


def letters_of(world, row):
    """Each kind of event about a job that a function gets, as (function, event)."""
    yield "Intake", of_execution(world, row)
    yield "Intake", load_event("intake-schedule")
    if world.owner == "Custom":  # there are no events about partners' jobs
        yield "Intake", world.action_event(row["pipelineName"]["S"], "STARTED")
    yield "Acknowledge", world.dispatched(row["jobId"]["S"])
    yield "Report", progress(row)
    yield "Stop", world.action_event(row["pipelineName"]["S"], "FAILED")
    yield "Stop", of_execution(world, row, status="ABORTED")


@pytest.mark.parametrize("repeated", ["status", "InvalidNonceException"])
def test_redriving_events_that_were_handled_changes_nothing(repeated, owners_world):
    world = owners_world
    world.emulator.behaviour.repeated_acknowledgment = repeated
    world.emulator.behaviour.acknowledge_of_ended = repeated
    world.emulator.behaviour.nonce_rotates = repeated == "status"
    row = world.row(world.start({"Outcome": "Fail"}), "Failed")
    world.execution(row["execution"]["S"])
    assert world.pipeline_ended(row["pipelineName"]["S"]) == "Failed"
    assert world.heard("Job Failed", row)
    before = everything_about(world, row)
    letters = list(letters_of(world, row))
    for function, event in letters:
        lay(world, function, event)
    counts = re.search(r"(\d+) redriven, (\d+) dropped, 0 not redriven", redrive(world))
    assert sum(int(each) for each in counts.groups()) == len(letters)
    idle()
    after = everything_about(world, row)
    for one in (*before["rows"], *after["rows"]):
        # There is one more call, with the same answer as the first.
        one.pop("acknowledgeCalls")
    assert after == before
    assert [world.letters_left(function) for function, _ in letters] == [0] * len(letters)


def test_a_job_that_its_execution_gave_back_is_not_acknowledged(world):
    """The offer is still valid, but no execution would work on it; CodePipeline offers it again."""
    let_go = world.hold_back_acknowledge()
    name = world.start({"Outcome": "Succeed"})
    row = world.row(name, "Created")
    dispatched = world.dispatched(row["jobId"]["S"])
    world.fail(row, error="ClientTokenMissing", cause="as it was then")
    assert world.execution(row["execution"]["S"])["status"] == "FAILED"
    let_go()
    lay(world, "Acknowledge", dispatched)
    assert "dropped: no execution waits for it any more" in redrive(world, "Acknowledge")
    idle()
    assert world.letters_left("Acknowledge") == 0
    world.emulator.clock.advance(seconds=61)
    world.cloud.schedule.fire()
    assert world.pipeline_ended(name) == "Succeeded"
