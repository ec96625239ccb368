"""The rules that the definition must keep."""

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


def test_every_status_is_a_state_of_the_same_name():
    assert set(STATUSES) <= set(STATES)
    assert {STATES[status]["Type"] for status in STATUSES[-2:]} == {"Fail"}


def test_the_definition_is_small():
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
def test_every_state_has_a_comment(name):
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


def test_every_state_is_reached_and_every_loop_waits_for_a_task_token():
    """No state loops in order to wait: every loop has a state that waits for a task token."""
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


def test_every_fail_state_has_an_error_and_a_cause():
    for name, state in STATES.items():
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["Cause"], name


def test_every_error_of_ours_that_is_caught_or_retried_is_defined():
    caught = {
        error
        for state in STATES.values()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
        if "." not in error
    }
    assert caught <= OUR_ERRORS


def test_an_execution_stands_down_at_every_error_that_says_so():
    catch, _ = STATES["Dispatched"]["Catch"]
    assert catch["Next"] == "StandDown"
    assert set(catch["ErrorEquals"]) == {
        kind.__name__ for kind in errors.StandDown.__subclasses__()
    }


def test_no_expression_requires_a_workers_error_or_cause():
    """A worker may give neither, and Report decides what null means."""
    for name, state in STATES.items():
        for catch in state.get("Catch", []):
            bare = re.findall(r"errorOutput\.(?:Error|Cause)", json.dumps(catch))
            assert not bare or not {"States.ALL", "States.TaskFailed"} & set(
                catch["ErrorEquals"]
            ), name


def test_no_secret_or_fixed_arn_is_in_the_definition():
    text = json.dumps(DEFINITION)
    for word in ("artifactCredentials", "clientToken", "arn:aws:", "123456789012"):
        assert word not in text


def test_the_substitutions_are_those_that_the_template_gives():
    template = (ROOT / "template.yaml").read_text()
    substituted = set(re.findall(r"\$\{(\w+)\}", json.dumps(DEFINITION)))
    block = template.split("DefinitionSubstitutions:")[1].split("Role:")[0]
    assert substituted == set(re.findall(r"^\s+(\w+): !", block, re.MULTILINE))


def test_cfn_lint_accepts_the_definition():
    # cfn-lint's schema takes only numbers where Step Functions also takes JSONata.
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
def test_the_number_of_states_does_not_depend_on_the_jobs_length(decisions, way):
    """Transitions cost money. Waiting doesn't, and neither does a limit that isn't reached."""
    path, name = [], DEFINITION["StartAt"]
    while name:
        path.append(name)
        before = STATES[name]
        name = decisions.get(name) or before.get("Next") or before.get("Default")
        assert name is None or name in following(before)
    assert path == way.split()
