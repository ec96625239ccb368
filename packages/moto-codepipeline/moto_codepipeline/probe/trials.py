"""Trials: executions whose jobs are offered only to their own polls.

A trial in which a call was lost proves nothing, and is repeated.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .calls import Answer, Calls, LostError, UnansweredError
from .measure import HORIZON, Interval, look
from .place import Place

Outcome = TypeVar("Outcome")

UNKNOWN_JOB = "00000000-0000-0000-0000-000000000000"
LOST = 20


@dataclass(frozen=True)
class Trial:
    """An execution, with the call that started it."""

    value: str
    execution_id: str
    start: Answer


@dataclass
class Probe:
    """Makes trials. ``partner`` is the id of an action type of yours, and ``client_token`` its
    client's token; ``known`` has the answers so far, by switch."""

    calls: Calls
    place: Place
    partner: dict[str, str] | None = None
    client_token: str = ""
    known: dict[str, Any] = field(default_factory=dict)
    _trials: int = 0

    def ask(self, operation: str, **request: Any) -> Answer:
        return self.calls.ask("codepipeline", operation, **request)

    def do(self, operation: str, *fine: str, **request: Any) -> Answer:
        return self.calls.do("codepipeline", operation, fine, **request)

    @contextmanager
    def trial(
        self,
        count: int = 1,
        stage: Any = None,
        configuration: dict[str, str] | None = None,
        **changes: Any,
    ) -> Iterator[Trial]:
        """Start an execution of ``count`` actions, or of another stage; abandon it at the end."""
        if self.calls.throttled:
            self.calls.clock.wait(1)
        self._trials += 1
        value = f"t{self._trials}"
        stage = stage or self.place.actions(value, count, **configuration or {})
        self.do("update_pipeline", pipeline=self.place.pipeline(stage, **changes))
        with self.execution(value) as trial:
            yield trial

    @contextmanager
    def execution(self, value: str) -> Iterator[Trial]:
        """Start an execution of the pipeline as it is, and abandon it at the end."""
        named = {"name": self.place.pipeline_name, "clientRequestToken": str(uuid.uuid4())}
        start = self.do("start_pipeline_execution", **named)
        execution_id = start.value["pipelineExecutionId"]
        try:
            yield Trial(value, execution_id, start)
        finally:
            self.place.stop(execution_id)

    @contextmanager
    def partner_job(self) -> Iterator[tuple[Trial, dict[str, str]]]:
        """An execution with a partner's action, and the job's id and client token."""
        kind = self.own_partner()
        with self.trial(stage=[{"name": "Work-1", "actionTypeId": kind}]) as trial:
            poll = self.first(
                trial, lambda: self.ask("poll_for_third_party_jobs", actionTypeId=kind)
            )
            if poll.code:
                raise UnansweredError(f"PollForThirdPartyJobs: {poll}")
            yield trial, {"jobId": jobs(poll)[0]["jobId"], "clientToken": self.client_token}

    def own_partner(self) -> dict[str, str]:
        """The partner's action type. Raises UnansweredError if there is none."""
        if self.partner is None:
            raise UnansweredError("It needs a partner's own action type: --partner-type")
        return self.partner

    def clean(self, trial: Callable[[], Outcome]) -> Outcome:
        """The result of a trial in which no call was lost."""
        told = ""
        for _ in range(LOST):
            try:
                return trial()
            except LostError as error:
                told = str(error)
        raise UnansweredError(f"Calls were lost in {LOST} trials: {told}")

    def agreed(self, trial: Callable[[], Outcome]) -> Outcome:
        """The result of two trials. Raises UnansweredError if they differ."""
        first, second = self.clean(trial), self.clean(trial)
        if first != second:
            raise UnansweredError(f"It differs: {first}, then {second}")
        return first

    def poll(self, trial: Trial, **limit: int) -> Answer:
        """Poll for a trial's jobs. Raises UnansweredError if the poll is refused."""
        query, type_id = {"Trial": trial.value}, self.place.type_id
        answer = self.ask("poll_for_jobs", actionTypeId=type_id, queryParam=query, **limit)
        if answer.code:
            raise UnansweredError(f"PollForJobs: {answer}")
        return answer

    def until_job(
        self, trial: Trial, began: Answer, known: Interval | None = None
    ) -> tuple[Interval, Answer]:
        """How long after a call a trial's job is offered, and the poll that got it."""
        return look(
            self.calls.clock,
            began,
            known or Interval(),
            lambda: self.poll(trial, maxBatchSize=1),
            lambda answer: bool(jobs(answer)),
        )

    def wait_for_jobs(self) -> None:
        """Wait until all jobs can certainly be polled: some may be queued later than others."""
        self.calls.clock.wait(60 + 2 * self.known.get("started_before_queued_seconds", 30))

    def first(self, trial: Trial, poll: Callable[[], Answer]) -> Answer:
        """The first poll that is refused or gets a job. No poll is made before there can be any."""
        clock, queued = self.calls.clock, self.known.get("started_before_queued_seconds", 0)
        clock.wait(max(0.0, trial.start.sent + queued - clock.now()))
        return look(clock, trial.start, Interval(), poll, lambda it: bool(jobs(it) or it.code))[1]

    def offered(self, trial: Trial) -> dict[str, Any]:
        """A trial's job, once it is offered."""
        return jobs(self.first(trial, lambda: self.poll(trial, maxBatchSize=1)))[0]

    def held(self, trial: Trial) -> dict[str, Any]:
        """A trial's job, acknowledged in as many calls as needed."""
        job = self.offered(trial)
        self.do("acknowledge_job", "InvalidNonceException", **claim(job))
        return job

    def actions(self, trial: Trial) -> dict[str, dict[str, Any]]:
        """The API's ActionExecutionDetail of a trial's actions, by name."""
        only = {"filter": {"pipelineExecutionId": trial.execution_id}, "maxResults": 100}
        page = self.do("list_action_executions", pipelineName=self.place.pipeline_name, **only)
        return {each["actionName"]: each for each in page.value["actionExecutionDetails"]}

    def ended(self, trial: Trial, name: str, horizon: float = HORIZON) -> dict[str, Any]:
        """An action that is no longer in progress. Raises UnansweredError after ``horizon``."""
        while (elapsed := self.calls.clock.now() - trial.start.sent) < horizon:
            found = self.actions(trial).get(name, {})
            if found.get("status", "InProgress") != "InProgress":
                return found
            self.calls.clock.wait(min(max(elapsed / 2, 1), 1800))
        raise UnansweredError(f"{name} was still in progress after {horizon:g} s")


def jobs(poll: Answer) -> list[dict[str, Any]]:
    """The jobs that a poll got."""
    return list(poll.value.get("jobs", []))


def claim(job: dict[str, Any]) -> dict[str, str]:
    """The parameters that acknowledge a job."""
    return {"jobId": job["id"], "nonce": job["nonce"]}


def duration(action: dict[str, Any]) -> float:
    """For how long an action that has ended was in progress, by AWS's clock."""
    return float((action["lastUpdateTime"] - action["startTime"]).total_seconds())


def error_of(action: dict[str, Any]) -> dict[str, str]:
    """The ErrorDetails of an action that has failed."""
    result: dict[str, Any] = action.get("output", {}).get("executionResult", {})
    error: dict[str, str] = result.get("errorDetails", {})
    text = result.get("externalExecutionSummary", error.get("message", ""))  # recorded: only there
    return error and error | {"message": text}
