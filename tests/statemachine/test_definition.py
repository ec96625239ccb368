"""The rules that the definition keeps, whatever it does."""

from __future__ import annotations

import json
import re

import pytest
from cfnlint.api import lint
from jsonata.jsonata import Jsonata

from acknowledger import errors
from local.aws.jsonata import FUNCTIONS
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


def test_every_status_is_a_state_of_its_name():
    assert set(STATUSES) <= set(STATES)
    assert {STATES[status]["Type"] for status in STATUSES[-2:]} == {"Fail"}


def test_it_is_small():
    text = (ROOT / "statemachine" / "job.asl.json").read_text()
    assert len(STATES) <= 18
    assert len(text.splitlines()) <= 600


def test_no_variable_has_the_name_of_a_jsonata_function():
    assigned = {
        name
        for state in STATES.values()
        for rule in [state, *rules(state)]
        for name in rule.get("Assign", {})
    }
    functions = set(Jsonata.static_frame.bindings) | set(FUNCTIONS)
    assert assigned
    assert not assigned & functions
    assert "error" in functions


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


def test_no_expression_needs_a_workers_error_or_cause_to_be_there():
    """A worker may give neither, and what an expression makes of null is for Report to say."""
    for name, state in STATES.items():
        for catch in state.get("Catch", []):
            bare = re.findall(r"errorOutput\.(?:Error|Cause)", json.dumps(catch))
            assert not bare or not {"States.ALL", "States.TaskFailed"} & set(
                catch["ErrorEquals"]
            ), name


def test_no_secret_and_no_credentials_are_in_it():
    text = json.dumps(DEFINITION)
    for word in ("artifactCredentials", "clientToken", "arn:aws:", "123456789012"):
        assert word not in text


def test_it_substitutes_what_the_template_gives():
    template = (ROOT / "template.yaml").read_text()
    substituted = set(re.findall(r"\$\{(\w+)\}", json.dumps(DEFINITION)))
    block = template.split("DefinitionSubstitutions:")[1].split("Role:")[0]
    assert substituted == set(re.findall(r"^\s+(\w+): !", block, re.MULTILINE))


def test_it_is_states_language_to_cfn_lint():
    # Its schema takes numbers alone where Step Functions also takes JSONata.
    text = json.dumps(DEFINITION).replace("${Partition}", "aws")
    text = re.sub(r'("(?:Timeout|Heartbeat)Seconds": )"{%.*?%}"', r"\g<1>1", text)
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


@pytest.mark.parametrize(
    ("decisions", "way"),
    [
        (
            {"Reported": "Succeeded"},
            "Created Queued Dispatched InProgress Report Reported Succeeded",
        ),
        (
            {"Queued": "WaitForRoom", "Reported": "Failed"},
            "Created Queued WaitForRoom Dispatched InProgress Report Reported Failed",
        ),
        ({"Dispatched": "StandDown"}, "Created Queued Dispatched StandDown"),
    ],
)
def test_a_jobs_way_has_as_many_states_however_long_it_takes(decisions, way):
    """What costs money per job; the waits cost none, nor does a limit with room left."""
    path, name = [], DEFINITION["StartAt"]
    while name:
        path.append(name)
        before = STATES[name]
        name = decisions.get(name) or before.get("Next") or before.get("Default")
        assert name is None or name in following(before)
    assert path == way.split()
