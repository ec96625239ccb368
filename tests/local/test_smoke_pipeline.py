"""The smoke test's own pipeline and worker, without a stack."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

from moto_codepipeline import JobBackend, backend, switches
from moto_codepipeline.probe.place import Place
from tests.local.fixtures.cloud import ACCOUNT, REGION, running
from tests.support import wait_for
from tools import smoke

ACTION_TYPE = "Custom/Build/Mine/1"


@pytest.fixture
def without_a_stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[smoke.Smoke]:
    outputs = {"JobBusName": "default"}
    parameters = {"ActionTypes": ACTION_TYPE}
    monkeypatch.setattr(smoke.Smoke, "_stack", lambda *_: (outputs, parameters))
    with running() as cloud:
        options = [f"--region={REGION}", f"--endpoint-url={cloud.endpoint_url}"]
        yield smoke.Smoke(smoke.parser().parse_args(options))


def test_the_execution_that_aws_starts_by_itself_has_no_jobs(without_a_stack, monkeypatch):
    create: Callable[..., Any] = JobBackend.create_pipeline

    def as_aws_does(self: JobBackend, pipeline: dict[str, Any], tags: Any) -> Any:
        made = create(self, pipeline, tags)
        self.start_pipeline_execution(pipeline["name"], None)
        return made

    service = backend(ACCOUNT, REGION)
    switches.change(service.behaviour, {"update_under_way": "leave"})
    monkeypatch.setattr(JobBackend, "create_pipeline", as_aws_does)
    without_a_stack.make()
    codepipeline = without_a_stack.client("codepipeline")

    def actions() -> set[str]:
        named = {"pipelineName": without_a_stack.place.pipeline_name}
        found = codepipeline.list_action_executions(**named)["actionExecutionDetails"]
        return {each["actionName"] for each in found}

    wait_for(lambda: len(actions()) > 1, "the second stage", 30)
    assert actions() == {"Source", "Wait"}
    structure = codepipeline.get_pipeline(name=without_a_stack.place.pipeline_name)
    actions_now = structure["pipeline"]["stages"][1]["actions"]
    assert [each["name"] for each in actions_now] == [*smoke.OUTCOMES]


def test_what_is_left_of_the_test_of_one_stack_is_for_that_stacks_next_test(without_a_stack):
    events = without_a_stack.client("events")
    events.create_event_bus(Name="other")
    other = Place(without_a_stack.calls, smoke.PREFIX, "other")
    other.make_queue({"source": ["acknowledger"]})
    assert without_a_stack.place.remove() == []
    assert len(events.list_rules(EventBusName="other")["Rules"]) == 1
    assert other.remove() == [f"the queue {other.name}"]
    assert events.list_rules(EventBusName="other")["Rules"] == []


def test_a_job_whose_event_arrives_twice_is_answered_once(without_a_stack):
    action = {"data": {"pipelineContext": {"action": {"name": "Fail-1"}}}}
    body = json.dumps({"detail": {"taskToken": "a-token", "job": action}})
    clients = {"sqs": MagicMock(), "stepfunctions": MagicMock()}
    clients["sqs"].receive_message.return_value = {"Messages": [{"Body": body}]}
    without_a_stack.client = clients.__getitem__
    without_a_stack.work()
    without_a_stack.work()
    clients["stepfunctions"].send_task_failure.assert_called_once()
