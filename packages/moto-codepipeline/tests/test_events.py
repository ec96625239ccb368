"""The EventBridge events of an execution, and how they are delivered."""

import json
from threading import Thread
from typing import Any

import pytest

from codepipeline_fixtures import ACCOUNT, REGION, TYPE, Service, client, context
from moto_codepipeline import JobBackend
from moto_codepipeline.events import put_on_default_bus

ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:release"


def test_an_execution_announces_each_step_in_order(service: Service) -> None:
    service.register()
    service.begin()
    begun = [
        ("Pipeline", "release", "STARTED"),
        ("Stage", "Source", "STARTED"),
        ("Action", "Fetch", "STARTED"),
        ("Action", "Fetch", "SUCCEEDED"),
        ("Stage", "Source", "SUCCEEDED"),
        ("Stage", "Stage2", "STARTED"),
        ("Action", "Build", "STARTED"),
    ]
    assert service.events() == begun
    service.succeed(service.take())
    assert service.events() == [
        *begun,
        ("Action", "Build", "SUCCEEDED"),
        ("Stage", "Stage2", "SUCCEEDED"),
        ("Pipeline", "release", "SUCCEEDED"),
    ]


def test_an_entry_has_the_members_that_codepipeline_puts(service: Service) -> None:
    job = service.job()
    entry = service.entries[-1]
    assert entry["Source"] == "aws.codepipeline"
    assert entry["DetailType"] == "CodePipeline Action Execution State Change"
    assert entry["Resources"] == [ARN]
    assert entry["Time"] == service.clock.now()
    assert json.loads(entry["Detail"]) == {
        "pipeline": "release",
        "execution-id": context(job)["pipelineExecutionId"],
        "start-time": "2027-01-15T08:00:00.000Z",
        "stage": "Stage2",
        "action-execution-id": context(job)["action"]["actionExecutionId"],
        "action": "Build",
        "state": "STARTED",
        "region": REGION,
        "type": TYPE,
        "version": 1.0,
        "pipeline-execution-attempt": 1.0,
    }
    assert '"version": 1.0' in entry["Detail"]
    assert '"pipeline-execution-attempt": 1.0' in entry["Detail"]
    assert job["id"] not in str(service.entries)


def test_stage_and_pipeline_details(service: Service) -> None:
    execution_id = service.job()["data"]["pipelineContext"]["pipelineExecutionId"]
    common = {
        "pipeline": "release",
        "execution-id": execution_id,
        "start-time": "2027-01-15T08:00:00.000Z",
        "state": "STARTED",
        "version": 1.0,
    }
    trigger = {
        "trigger-type": "StartPipelineExecution",
        "trigger-detail": f"arn:aws:iam::{ACCOUNT}:root",
    }
    assert service.details("Pipeline", "STARTED") == [
        common | {"execution-trigger": trigger, "pipeline-execution-attempt": 1.0}
    ]
    assert service.details("Stage", "STARTED")[1] == common | {
        "stage": "Stage2",
        "pipeline-execution-attempt": 0.0,
    }


def test_events_can_be_late_and_are_sent_by_a_tick(service: Service) -> None:
    service.behaviour.event_lag_seconds = 10
    service.job()
    assert service.entries == []
    assert service.backend.next_due() == service.clock.now() + 10
    service.clock.advance(10)
    assert service.entries == []
    service.backend.tick()
    assert service.events()[-1] == ("Action", "Build", "STARTED")
    assert service.entries[-1]["Time"] == service.clock.now() - 10


def test_events_can_arrive_twice(service: Service) -> None:
    service.behaviour.events_twice = True
    service.job()
    assert service.events()[:2] == [("Pipeline", "release", "STARTED")] * 2


def order_of_arrival(service: Service, seed: int) -> list[tuple[float, tuple[str, str, str]]]:
    """Run an execution with shuffled events; return when each arrived, in whole seconds."""
    service.behaviour.events_seed = seed
    execution_id = service.start()
    service.succeed(service.take())
    assert service.status(execution_id) == "Succeeded"
    service.entries.clear()
    arrivals: list[tuple[float, tuple[str, str, str]]] = []
    for second in range(11):
        arrivals += [(second, each) for each in service.events()[len(arrivals) :]]
        service.clock.advance(1)
        service.backend.tick()
    return arrivals


def test_events_can_arrive_out_of_order_as_the_seed_decides(service: Service) -> None:
    service.register()
    service.begin()
    service.succeed(service.take())
    in_order = service.events()
    service.behaviour.event_lag_seconds = 10
    service.behaviour.events_shuffled = True
    first, other, again = (order_of_arrival(service, seed) for seed in (1, 2, 1))
    assert first == again
    assert [event for _, event in first] != [event for _, event in other]
    for arrivals in (first, other):
        assert [event for _, event in arrivals] != in_order
        assert sorted(event for _, event in arrivals) == sorted(in_order)
        assert len({second for second, _ in arrivals}) > 3


def test_both_deliveries_of_a_shuffled_event_have_the_time_when_it_happened(
    service: Service,
) -> None:
    service.behaviour.event_lag_seconds = 10
    service.behaviour.events_shuffled = service.behaviour.events_twice = True
    service.job()
    happened = service.clock.now()
    service.clock.advance(10)
    service.backend.tick()
    assert {entry["Time"] for entry in service.entries} == {happened}
    events = service.events()
    assert {events.count(each) for each in events} == {2}
    # They have arrived at different times.
    assert events[::2] != events[1::2]


def test_a_target_that_fails_does_not_fail_the_call(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(JobBackend, "deliver_event", refuse)
    service.succeed(service.job())
    assert service.action_statuses() == {"Build": "Succeeded"}
    assert "could not be delivered" in caplog.text


def test_a_target_may_call_the_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like a function that an event invokes: no lock is held, and the job can be polled."""
    found: list[dict[str, Any]] = []

    def work(account_id: str, region_name: str, entry: dict[str, Any]) -> None:
        detail = json.loads(entry["Detail"])
        if (detail.get("action"), detail["state"]) == ("Build", "STARTED"):
            job = service.take()
            found.append(job)
            service.succeed(job)

    monkeypatch.setattr(JobBackend, "deliver_event", work)
    service.register()
    execution_id = service.begin()
    assert len(found) == 1
    assert service.status(execution_id) == "Succeeded"


def test_events_of_several_threads_arrive_in_order(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second thread announces events while the first one delivers."""
    job = service.job()
    second = Thread(target=service.start)
    arrived: list[str] = []

    def slowly(account_id: str, region_name: str, entry: dict[str, Any]) -> None:
        if not arrived and not second.ident:
            second.start()
            second.join()
        arrived.append(json.loads(entry["Detail"])["execution-id"])

    monkeypatch.setattr(JobBackend, "deliver_event", slowly)
    service.succeed(job)
    [first, last] = dict.fromkeys(arrived)
    assert arrived == [first] * 3 + [last] * 7


def test_events_reach_rules_of_the_default_bus(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobBackend, "deliver_event", staticmethod(put_on_default_bus))
    sqs, events = client("sqs"), client("events")
    url = sqs.create_queue(QueueName="seen")["QueueUrl"]
    pattern = {
        "source": ["aws.codepipeline"],
        "detail-type": ["CodePipeline Action Execution State Change"],
        "detail": {"state": ["STARTED"], "type": {"owner": ["Custom"]}},
    }
    events.put_rule(Name="started", EventPattern=json.dumps(pattern))
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:seen"
    events.put_targets(Rule="started", Targets=[{"Id": "queue", "Arn": arn}])
    service.job()
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    event = json.loads(message["Body"])
    assert event["source"] == "aws.codepipeline"
    assert event["resources"] == [ARN]
    assert event["detail"]["action"] == "Build"
    assert isinstance(event["detail"]["version"], float)
