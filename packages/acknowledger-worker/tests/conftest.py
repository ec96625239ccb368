"""Tests without AWS: a Step Functions that knows task tokens, and other calls recorded."""

import copy
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from acknowledger_worker import Worker
from doubles import refusal

EVENT = json.loads(Path(__file__).with_name("job-in-progress.json").read_text())


@dataclass
class StepFunctions:
    """`told` has the calls for the task; after the task's end, its token is no longer valid."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    error: str = ""
    beaten: threading.Event = field(default_factory=threading.Event)

    def _tell(self, what: str, request: dict[str, Any]) -> None:
        self.asked.add(what)
        if self.error:
            raise refusal(self.error)
        if any(each != "heartbeat" for each, _ in self.told):
            raise refusal("TaskTimedOut")
        self.told.append((what, request))
        if len(self.told) > 1:
            self.beaten.set()

    def send_task_heartbeat(self, **request: Any) -> None:
        self._tell("heartbeat", request)

    def send_task_success(self, **request: Any) -> None:
        self._tell("success", request)

    def send_task_failure(self, **request: Any) -> None:
        self._tell("failure", request)

    @property
    def end(self) -> tuple[str, dict[str, Any]]:
        """The one call that ended the task."""
        (end,) = [each for each in self.told if each[0] != "heartbeat"]
        return end


@dataclass
class Aws:
    """Clients by service; others must not be used."""

    clients: dict[str, Any] = field(default_factory=dict)

    def __call__(self, service: str) -> Any:
        return self.clients[service]

    def worker(self, function: Any, **settings: Any) -> Worker:
        return Worker(function, client=self, **settings)


@pytest.fixture
def step_functions() -> StepFunctions:
    return StepFunctions()


@pytest.fixture
def aws(step_functions: StepFunctions) -> Aws:
    return Aws({"stepfunctions": step_functions})


@pytest.fixture
def whole_event() -> dict[str, Any]:
    return copy.deepcopy(EVENT)


@pytest.fixture
def event(whole_event: dict[str, Any]) -> dict[str, Any]:
    """An event of a job without output artifacts, so that its function needn't upload any."""
    del whole_event["detail"]["job"]["data"]["outputArtifacts"]
    return whole_event
