"""The local stack reports the action types that are not served, and why."""

from typing import Any

import pytest

import moto_codepipeline
from local import acknowledger, unserved
from local.unserved import QUEUED_SECONDS, look, misfits
from tests.support import wait_for

KIND, MISSPELLED = "Custom/Build/MyTool/1", "Custom/Test/Misspelled/1"
ELSEWHERE = "Custom/Test/Elsewhere/1"


UNREGISTERED = "it is not registered, or misspelled in ActionTypes."


@pytest.mark.parametrize(
    ("query", "queryable", "told"),
    [
        ("", {KIND: None}, ""),
        ("Project=x", {KIND: "Project"}, ""),
        ("", {}, UNREGISTERED),
        (
            *("", {KIND: "Project"}),
            "its property Project is queryable, so Queries must have a value for it, such as "
            f"{KIND}?Project=MyProject.",
        ),
        (
            *("Name=x", {KIND: "Project"}),
            "Queries has Name=x, but its queryable property is Project.",
        ),
        ("Name=x", {KIND: None}, "Queries has Name=x, but it has no queryable property."),
    ],
)
def test_an_action_type_that_cannot_be_polled_is_reported_with_the_reason(query, queryable, told):
    queries = [f"{KIND}?{query}"] if query else []
    expected = {KIND: f"{KIND} is not served: {told}"} if told else {}
    assert dict(misfits([KIND], queries, queryable)) == expected


def test_a_partners_action_type_need_not_be_registered_but_needs_client_tokens():
    kind = acknowledger.PARTNER_ACTION_TYPE
    assert dict(misfits([kind], [], {})) == {}
    stacks = [{"ActionTypes": [kind], "ClientTokenPrefix": prefix} for prefix in ("", "/tokens/")]
    told = f"{kind} is not served: a partner's jobs need the parameter ClientTokenPrefix."
    assert [dict(look("123456789012", "us-east-1", [one])) for one in stacks] == [{kind: told}, {}]
    assert dict(look("123456789012", "us-east-1", stacks)) == {}


def start(cloud: Any, name: str, kind: str, project: str = "") -> None:
    asked = {"Outcome": "Hang"} | ({"Project": project} if project else {})
    action = {"name": "Work", "configuration": asked}
    acknowledger.create_pipeline(cloud, name, kind, {"Build": [action]})
    cloud.client("codepipeline").start_pipeline_execution(name=name)


@pytest.mark.slow
def test_nothing_is_reported_before_the_stacks_action_types_are_registered(monkeypatch, capfd):
    looked: list[Any] = []
    register = acknowledger.register

    def late(cloud: Any, *about: Any, **more: Any) -> None:
        before = len(looked)
        wait_for(lambda: len(looked) > before + 5, "the local stack to look", seconds=20)
        register(cloud, *about, **more)

    tick = lambda: looked.append(None)  # noqa: E731
    monkeypatch.setattr(unserved, "LOOK_SECONDS", 0)
    monkeypatch.setattr(moto_codepipeline, "tick_all", tick)
    monkeypatch.setattr(acknowledger, "register", late)
    with acknowledger.running(worker=False) as (cloud, _):
        assert cloud.notices == {}
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_jobs_that_are_not_polled_are_reported_while_they_wait(capfd):
    parameters = {
        "ActionTypes": f"{acknowledger.CUSTOM_ACTION_TYPE},{KIND},{MISSPELLED}",
        "Queries": f"{KIND}?Project=x",
    }
    with acknowledger.running(parameters=parameters, worker=False) as (cloud, stack):
        emulator = moto_codepipeline.backend(cloud.account_id, cloud.region)
        acknowledger.register(cloud, stack, KIND, queryable="Project")
        acknowledger.register(cloud, stack, ELSEWHERE)
        start(cloud, "served", KIND, "x")
        start(cloud, "other-value", KIND, "y")
        start(cloud, "other-type", ELSEWHERE)
        unregistered = f"{MISSPELLED} is not served: {UNREGISTERED}"
        wait_for(lambda: unregistered in cloud.notices.values(), "a notice", seconds=20)
        emulator.clock.advance(QUEUED_SECONDS)
        waiting = {
            unregistered,
            f"{KIND}?Project=y is not served, but has a waiting job: add it to Queries.",
            f"{ELSEWHERE} is not served, but has a waiting job: add it to ActionTypes.",
        }
        wait_for(lambda: set(cloud.notices.values()) == waiting, "the notices", seconds=20)
        # A poll takes the job.
        cloud.client("codepipeline").poll_for_jobs(
            actionTypeId=acknowledger.action_type_id(ELSEWHERE)
        )
        wait_for(lambda: len(cloud.notices) == 2, "one notice to disappear", seconds=20)
        said = capfd.readouterr().err
        assert [said.count(sentence) for sentence in waiting] == [1, 1, 1]
