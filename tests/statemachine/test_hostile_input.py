"""Hostile answers of workers, and hostile jobs: text stays text, and every execution ends."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.hostile import fits, mutated, settled, texts, values
from tests.statemachine.conftest import DEFINITION, PATIENT, Ended, Script, as_sent
from tests.support import load_event

STATES = json.loads(DEFINITION)["States"]
RESULT = load_event("report-succeeded")["outcome"]["result"]
UNCAUGHT = ("States.Runtime", "States.DataLimitExceeded")
MOST_ERROR, MOST_CAUSE, MOST_OUTPUT = 256, 32_768, 262_144

Job = Callable[..., dict[str, Any]]


def sayable(value: Any) -> bool:
    """Whether Step Functions takes a value: its JSON has no infinity and no lone surrogate."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, UnicodeEncodeError):
        return False
    return len(text.encode()) < MOST_OUTPUT and fits(value)


def said(most: int) -> st.SearchStrategy[str]:
    return texts().map(lambda text: text[:most]).filter(sayable)


def is_not_step_functions(error: str) -> bool:
    """Whether it is an error that Acknowledge may raise, not one of Step Functions' own."""
    return not error.startswith("States.")


def is_end(state: str) -> bool:
    return STATES[state]["Type"] in ("Fail", "Succeed") or STATES[state].get("End", False)


def check(ended: Ended) -> None:
    """Check what must hold for every input."""
    last = ended.path[-1]
    assert is_end(last), (ended.path, ended.error, ended.cause)
    assert ended.status in ("SUCCEEDED", "FAILED")
    for text in (ended.error, ended.cause):
        assert "QueryEvaluation" not in (text or ""), (ended.error, ended.cause)
        assert "States.Runtime" not in (ended.error or "")
    assert (STATES[last]["Type"] == "Fail") == (ended.status == "FAILED")


@pytest.mark.slow
@settled(4)
@given(
    result=st.one_of(
        mutated({"result": RESULT}).map(
            lambda one: one.get("result") if isinstance(one, dict) else one
        ),
        values(),
    ).filter(sayable)
)
def test_a_workers_answer_reaches_report_unchanged(machine, job, result):
    ended = machine.run(job(), Script(work=[result]))
    check(ended)
    (told,) = ended.reports
    if told["outcome"] == {"tooLong": True}:
        assert len(json.dumps(result)) > 60_000
    else:
        assert told["outcome"] == {"result": result}


@settled(4)
@given(error=said(MOST_ERROR), cause=said(MOST_CAUSE))
def test_a_workers_failure_reaches_report_unchanged(machine, job, error, cause):
    ended = machine.run(job(), Script(work=[(error, cause)]))
    if error in UNCAUGHT:
        # Stop fails the job of an execution that ended like this.
        assert (ended.status, ended.error, ended.path[-1]) == ("FAILED", error, "InProgress")
        return
    check(ended)
    (told,) = ended.reports
    assert told["outcome"]["failure"] == {"Error": error, "Cause": cause}
    assert ended.cause == (cause or "?")


@settled(4)
@given(error=said(MOST_ERROR).filter(is_not_step_functions), cause=said(MOST_CAUSE))
def test_a_refused_acknowledgment_keeps_its_error_and_cause(machine, job, error, cause):
    ended = machine.run(job(), Script(acknowledge=[(error, cause)] * 20))
    assert "QueryEvaluation" not in f"{ended.error} {ended.cause}".replace(error, "")
    if ended.path[-1] == "StandDown":
        assert ended.output is not None
        assert (ended.output["reason"], ended.output["cause"]) == (error, cause)
    else:
        (told,) = ended.reports
        assert told["outcome"]["failure"] == {"Error": error, "Cause": cause}


@settled(4)
@given(
    names=st.lists(said(2000), min_size=9, max_size=9),
    more=st.dictionaries(said(200), values().filter(sayable), max_size=3).filter(sayable),
)
def test_texts_in_a_job_stay_text(machine, job, names, more):
    """The names and values in a job from CodePipeline may be any strings."""
    pipeline, stage, action, config, value, nonce, problem, artifact, token = names
    own = job(
        pipelineContext={
            "pipelineName": pipeline,
            "stage": {"name": stage},
            "action": {"name": action},
        },
        actionConfiguration={"configuration": {config: value, **more}},
        inputArtifacts=[{"name": artifact}],
        continuationToken=token,
    )
    own["nonce"] = nonce
    # The job must leave space for what Intake adds to the execution's input.
    assume(len(as_sent(own).encode()) < MOST_OUTPUT - 10_000)
    changes = {"configurationError": problem} if problem else {}
    ended = machine.run(own, Script(), **changes)
    check(ended)
    assert ended.row is not None
    for column, text in (("pipelineName", pipeline), ("stageName", stage), ("actionName", action)):
        assert ended.row[column]["S"] == text
    (dispatched,) = ended.details("Job Dispatched")
    assert dispatched["nonce"] == nonce
    shown = {name: member for name, member in own.items() if name != "nonce"}
    assert dispatched["offer"].get("configurationError", "") == problem
    assert [detail["job"] for detail in ended.details("Job In Progress")] == [shown]
    assert [told["offer"]["job"] for told in ended.reports] == [own]


@settled(4)
@given(data=st.data())
def test_an_execution_that_was_started_by_hand_ends(machine, job, data):
    """It never hangs, whatever its input is; in the worst case a state fails."""
    whole = {
        "job": job(),
        "actionType": "Custom/Build/Acknowledger/1",
        "offeredAt": "2026-01-01T00:00:00.000Z",
        "timeouts": PATIENT,
        "room": True,
        "continues": "",
        "configurationError": "",
    }
    odd = data.draw(mutated(whole, keep=("timeouts",)).filter(sayable))
    own = odd.get("job") if isinstance(odd, dict) else None
    job_id = own.get("id") if isinstance(own, dict) else None
    known = isinstance(job_id, str) and 1 <= len(job_id.encode()) <= 2048

    def start(_job: Any, **_: Any) -> str:
        answer = machine.step_functions.start_execution(
            stateMachineArn=machine.arn, name=str(uuid.uuid4()), input=as_sent(odd)
        )
        return str(answer["executionArn"])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(machine, "start", start)
        ended = machine.run({"id": job_id if known else "none"}, Script())
    assert ended.status in ("SUCCEEDED", "FAILED")
    assert is_end(ended.path[-1]), (ended.path, ended.error, ended.cause)
