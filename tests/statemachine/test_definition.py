"""The rules that the definition keeps, whatever it does."""

from __future__ import annotations

import json
import re

import pytest
from cfnlint.api import lint

from acknowledger import errors
from tests.support import ROOT

DEFINITION = json.loads((ROOT / "statemachine" / "job.asl.json").read_text())
STATES = DEFINITION["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
STATUSES = ["Created", "Queued", "Dispatched", "InProgress", "Succeeded", "Failed", "TimedOut"]
OUR_ERRORS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and name[0].isupper()
}


def rules(state):
    return [*state.get("Choices", []), *state.get("Catch", [])]


def following(state):
    found = [state.get("Next"), state.get("Default"), *(rule["Next"] for rule in rules(state))]
    return {name for name in found if name}


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_state_of_its_name_that_writes_it_to_the_table(status):
    arguments = STATES[status]["Arguments"]
    assert STATES[status]["Resource"] == "arn:aws:states:::dynamodb:updateItem"
    assert {"S": status} in arguments["ExpressionAttributeValues"].values()


@pytest.mark.parametrize("name", STATES)
def test_every_state_says_why(name):
    assert len(STATES[name]["Comment"]) > 20


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_timeout_and_catches_everything(name):
    assert TASKS[name]["TimeoutSeconds"]
    assert TASKS[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize("name", TASKS)
def test_every_retry_names_its_errors_and_has_jitter_and_a_cap(name):
    assert TASKS[name]["Retry"]
    for retry in TASKS[name]["Retry"]:
        assert "States.ALL" not in retry["ErrorEquals"]
        if retry["MaxAttempts"]:
            assert retry["JitterStrategy"] == "FULL"
            assert retry["MaxDelaySeconds"] <= 300


def test_every_state_is_reached_and_no_path_comes_back_without_being_waited_for():
    """Nothing loops to wait: where a path comes back, somebody has answered a task token on it."""
    reached: set[str] = set()

    def walk(name, path):
        if name in path:
            loop = path[path.index(name) :]
            assert any(
                STATES[state].get("Resource", "").endswith(".waitForTaskToken") for state in loop
            ), f"{' → '.join(loop)} comes back to {name}"
            return
        reached.add(name)
        for after in following(STATES[name]):
            walk(after, [*path, name])

    walk(DEFINITION["StartAt"], [])
    assert reached == set(STATES)


def test_every_failure_ends_in_a_fail_with_error_and_cause():
    for name, state in STATES.items():
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["Cause"], name


def test_every_error_of_ours_that_is_caught_or_retried_exists():
    caught = {
        error
        for state in STATES.values()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
        if "." not in error
    }
    assert caught <= OUR_ERRORS


def test_no_expression_needs_an_error_or_a_cause_to_be_there():
    """A worker may give neither, and a Catch whose expression fails can't be caught."""
    bare = [
        text
        for text in re.findall(r'"{% [^"]*%}"', json.dumps(DEFINITION))
        if re.search(r"\$states\.errorOutput\.(Error|Cause)(?! =)", text)
        and not re.search(r"& \$states\.errorOutput\.(Error|Cause)", text)
    ]
    assert bare == []


def test_no_secret_and_no_credentials_are_in_it():
    text = json.dumps(DEFINITION)
    for word in ("artifactCredentials", "clientToken", "arn:aws:lambda", "123456789012"):
        assert word not in text


def test_it_substitutes_what_the_template_gives():
    template = (ROOT / "template.yaml").read_text()
    substituted = set(re.findall(r"\$\{(\w+)\}", json.dumps(DEFINITION)))
    block = template.split("DefinitionSubstitutions:")[1].split("Role:")[0]
    assert substituted == set(re.findall(r"^\s+(\w+): !", block, re.MULTILINE))


def test_it_is_states_language_to_cfn_lint():
    # Its schema takes numbers alone where Step Functions also takes JSONata.
    text = re.sub(r'("(?:Timeout|Heartbeat)Seconds": )"{%.*?%}"', r"\g<1>1", json.dumps(DEFINITION))
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            "JobStateMachine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/Job",
                    "Definition": json.loads(text),
                },
            }
        },
    }
    problems = lint(json.dumps(template), regions=["us-east-1"])
    assert [str(problem) for problem in problems] == []


def test_a_jobs_way_has_as_many_states_however_long_it_takes():
    """What costs money per job; the wait in Work costs none, nor does a limit with room left."""
    path, name = [], DEFINITION["StartAt"]
    decisions = {"Acknowledged": "InProgress"}
    while name:
        path.append(name)
        name = decisions.get(name) or STATES[name].get("Next")
    assert path == [
        "Created",
        "Queued",
        "Dispatched",
        "Acknowledge",
        "Acknowledged",
        "InProgress",
        "Work",
        "ReportSuccess",
        "Succeeded",
        "AnnounceSucceeded",
    ]
