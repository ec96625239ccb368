"""Any sequence of workers' calls and passing time, in every world that ``Behaviour`` allows.

The machine keeps its own small model of each job's expected state, and compares it with every
response, and with every job's status after each step.
"""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from codepipeline_fixtures import BOUNDED, TYPE, Service, action, action_type, running_service
from moto_codepipeline.exceptions import CodePipelineError

SWITCHES: dict[str, tuple[Any, Any]] = {
    "nonce_rotates": (True, False),
    "repeated_acknowledgment": ("InvalidNonceException", "status"),
    "acknowledge_of_ended": ("InvalidNonceException", "status"),
    "result_before_acknowledgment": ("InvalidJobStateException", "accept"),
    "third_party_details_of_ended": ("InvalidJobException", "details"),
    "result_after_abandonment": ("accept", "InvalidJobStateException"),
}
DELAYS: dict[str, tuple[Any, Any]] = {
    "started_before_queued_seconds": (0, 5),
    "continuation_seconds": (30, 0),
    "batch_cap": (None, 1),
    "timeout_counts": ("action", "job"),
}
WORLDS = [
    dict(zip(SWITCHES, values, strict=True)) for values in itertools.product(*SWITCHES.values())
]

ACKNOWLEDGE_SECONDS = 60
TIME_LIMITS = {"Custom": 400, "ThirdParty": 250}
WORKERS = ("ada", "bob", "cyd")
SUCCESSES: tuple[dict[str, Any], ...] = (
    {},
    {"executionDetails": {"summary": "Built"}},
    {"continuationToken": "more"},
)
FAILURES: tuple[dict[str, Any], ...] = tuple(
    {"failureDetails": {"type": "JobFailed", "message": text}} for text in ("no", "never")
)
ENDED = ("Succeeded", "Failed", "TimedOut")


@dataclass(eq=False)
class Job:
    """A job's expected state. It has no id before it is offered.

    ``withdrawn`` is its status when its action was abandoned, which it keeps until its result.
    """

    pipeline: str
    owner: str
    age: int
    queued_at: float
    times_out_at: float
    id: str | None = None
    nonce: str | None = None
    offered_at: float | None = None
    claimed: bool = False
    result: dict[str, Any] | None = None
    withdrawn: str | None = None
    status_seen: str | None = None
    claims: list[tuple[str, str]] = field(default_factory=list)

    def status(self, now: float) -> str:
        if self.result is not None:
            return "Failed" if "failureDetails" in self.result else "Succeeded"
        if self.withdrawn is not None:
            return self.withdrawn
        if now >= self.times_out_at:
            return "TimedOut"
        if self.claimed:
            return "InProgress"
        if self.offered_at is not None and now < self.offered_at + ACKNOWLEDGE_SECONDS:
            return "Dispatched"
        return "Queued" if now >= self.queued_at else "Created"

    def told(self, now: float) -> str:
        """The status that workers get."""
        status = self.status(now)
        return "Failed" if self.withdrawn is not None and status not in ENDED else status


@dataclass(eq=False)
class Offer:
    """What a worker remembers of an offered job."""

    job: Job
    nonce: str


class Workers(RuleBasedStateMachine):
    """Three workers, and pipelines of one custom or partner action each."""

    world: dict[str, Any] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.service: Service = self.stack.enter_context(running_service())
        self.backend = self.service.backend
        self.behaviour: dict[str, Any] = {}
        self.jobs: list[Job] = []
        self.newest: dict[str, Job] = {}
        self.executions: dict[str, str] = {}
        self.offers: dict[str, list[Offer]] = {name: [] for name in WORKERS}
        self.token = self.backend.client_token(self.backend.default_client_id)

    def teardown(self) -> None:
        self.stack.close()

    # The world

    @initialize(
        world=st.sampled_from(WORLDS),
        delays=st.fixed_dictionaries(
            {name: st.sampled_from(values) for name, values in DELAYS.items()}
        ),
    )
    def begin(self, world: dict[str, Any], delays: dict[str, Any]) -> None:
        self.behaviour = (self.world or world) | delays
        fixed = {
            "acknowledge_seconds": ACKNOWLEDGE_SECONDS,
            "action_timeout_seconds": TIME_LIMITS["Custom"],
            "third_party_timeout_seconds": TIME_LIMITS["ThirdParty"],
        }
        for name, value in (self.behaviour | fixed).items():
            assert hasattr(self.backend.behaviour, name), name
            setattr(self.backend.behaviour, name, value)
        self.backend.create_custom_action_type(action_type())
        self.backend.register_third_party_action_type(action_type())

    @property
    def now(self) -> float:
        return self.service.clock.now()

    @rule(owner=st.sampled_from(sorted(TIME_LIMITS)))
    def start_a_pipeline(self, owner: str) -> None:
        name = f"release-{len(self.newest)}"
        work = action("Work", TYPE | {"owner": owner})
        self.backend.create_pipeline(self.service.structure([work], name=name), [])
        self.executions[name] = self.backend.start_pipeline_execution(name, None)
        delay = self.behaviour["started_before_queued_seconds"]
        self._add(Job(name, owner, len(self.jobs), self.now + delay, self.now + TIME_LIMITS[owner]))

    @rule(seconds=st.sampled_from([1, 5, 29, 30, 59, 60, 61, 200]))
    def let_time_pass(self, seconds: int) -> None:
        self.service.clock.advance(seconds)

    # Workers

    @rule(
        worker=st.sampled_from(WORKERS),
        owner=st.sampled_from(sorted(TIME_LIMITS)),
        limit=st.sampled_from([None, 1, 2, 100]),
    )
    def poll(self, worker: str, owner: str, limit: int | None) -> None:
        """Only queued jobs are offered, the oldest first."""
        expected = [
            job for job in self.jobs if job.owner == owner and job.told(self.now) == "Queued"
        ]
        expected = expected[: self.behaviour["batch_cap"] or limit or 1]
        offered = self._poll(owner, limit)
        pipelines = [each["data"]["pipelineContext"]["pipelineName"] for each in offered]
        assert pipelines == [job.pipeline for job in expected]
        for job, each in zip(expected, offered, strict=True):
            assert job.id in (None, each["id"]), "a job has a different id at its second offer"
            if job.nonce is not None:
                assert (job.nonce != each["nonce"]) == self.behaviour["nonce_rotates"]
            job.id, job.nonce, job.offered_at = each["id"], each["nonce"], self.now
            self.offers[worker].append(Offer(job, each["nonce"]))

    def _poll(self, owner: str, limit: int | None) -> list[dict[str, Any]]:
        type_id = TYPE | {"owner": owner}
        if owner == "Custom":
            return self.backend.poll_for_jobs(type_id, limit, None)
        listed = self.backend.poll_for_third_party_jobs(type_id, limit)
        return [
            self.backend.get_third_party_job_details(each["jobId"], self.token) for each in listed
        ]

    @precondition(lambda self: self._any_offer())
    @rule(data=st.data(), wrong=st.sampled_from([False, False, False, True]))
    def acknowledge(self, data: st.DataObject, wrong: bool) -> None:
        """Only the newest nonce is accepted, once, unless the world allows more."""
        worker, offer = self._some_offer(data)
        job, nonce = offer.job, "not-a-nonce" if wrong else offer.nonce
        status = job.told(self.now)
        switch = "acknowledge_of_ended" if status in ENDED else "repeated_acknowledgment"
        taken = status in (*ENDED, "InProgress")
        refused = nonce != job.nonce or (taken and self.behaviour[switch] != "status")
        answer = self._call(job, "acknowledge_job", nonce=nonce)
        if refused:
            assert answer == "InvalidNonceException"
            return
        assert answer == (status if status in ENDED else "InProgress")
        if status not in ENDED:
            job.claimed = True
            job.claims.append((worker, nonce))

    @precondition(lambda self: self._any_offer())
    @rule(data=st.data(), result=st.sampled_from(SUCCESSES + FAILURES), repeat=st.booleans())
    def put_a_result(self, data: st.DataObject, result: dict[str, Any], repeat: bool) -> None:
        """The first result ends the job, an identical one changes nothing, others are refused."""
        job = self._some_offer(data)[1].job
        if repeat and job.result is not None:
            result = job.result
        status = job.status(self.now)
        accepted = status == "InProgress" or (
            status not in ENDED and self.behaviour["result_before_acknowledgment"] == "accept"
        )
        late = job.withdrawn is not None
        accepted &= not late or self.behaviour["result_after_abandonment"] == "accept"
        identical = job.result == result
        answer = self._put(job, result)
        assert answer == (None if accepted or identical else "InvalidJobStateException")
        if accepted:
            job.result = result
            if "continuationToken" in result and not late:
                queued_at = self.now + self.behaviour["continuation_seconds"]
                age, times_out_at = len(self.jobs), job.times_out_at
                if self.behaviour["timeout_counts"] == "job":
                    times_out_at = self.now + TIME_LIMITS[job.owner]
                self._add(Job(job.pipeline, job.owner, age, queued_at, times_out_at))

    @precondition(lambda self: self.newest)
    @rule(data=st.data())
    def stop_and_abandon(self, data: st.DataObject) -> None:
        """Only an execution in progress can be abandoned."""
        name = data.draw(st.sampled_from(sorted(self.newest)))
        job = self.newest[name]
        status = job.status(self.now)
        execution_id = self.executions[name]
        stop = self.backend.stop_pipeline_execution
        answer = _outcome(lambda: stop(name, execution_id, abandon=True))
        if status in ENDED or job.withdrawn is not None:
            assert answer == "PipelineExecutionNotStoppableException"
        else:
            assert answer == execution_id
            job.withdrawn = status

    @precondition(lambda self: self._any_offer())
    @rule(data=st.data())
    def put_a_token_with_variables(self, data: st.DataObject) -> None:
        job = self._some_offer(data)[1].job
        result = {"continuationToken": "more", "outputVariables": {"a": "1"}}
        assert self._put(job, result) == "ValidationException"

    @precondition(lambda self: self._any_offer())
    @rule(data=st.data())
    def use_a_wrong_token(self, data: st.DataObject) -> None:
        """Without the client's token, nothing can change a partner's job."""
        job = self._some_offer(data)[1].job
        job_id, nonce = job.id or "", job.nonce or ""
        for call in (
            lambda: self.backend.acknowledge_third_party_job(job_id, nonce, "wrong"),
            lambda: self.backend.put_third_party_job_success_result(job_id, {}, "wrong"),
        ):
            codes = {"ThirdParty": "InvalidClientTokenException", "Custom": "JobNotFoundException"}
            assert _outcome(call) == codes[job.owner]

    @precondition(lambda self: self._any_offer())
    @rule(data=st.data())
    def get_details(self, data: st.DataObject) -> None:
        job = self._some_offer(data)[1].job
        ended = job.told(self.now) in ENDED
        answer = self._call(job, "get_job_details")
        if job.owner == "ThirdParty" and ended:
            refusal = self.behaviour["third_party_details_of_ended"]
            if refusal != "details":
                assert answer == refusal
                return
        assert answer["id"] == job.id
        assert answer["data"]["pipelineContext"]["pipelineName"] == job.pipeline
        assert answer.get("nonce") == (job.nonce if job.owner == "ThirdParty" else None)

    @rule(worker=st.sampled_from(WORKERS))
    def crash(self, worker: str) -> None:
        """A worker forgets its jobs; they are offered again, or time out if it had acknowledged them."""
        self.offers[worker].clear()

    @rule()
    def wait_and_offer_everything(self) -> None:
        """No unacknowledged job is lost: each is offered again within the limit."""
        self.service.clock.advance(ACKNOWLEDGE_SECONDS)
        waiting = {
            job.pipeline for job in self.jobs if job.told(self.now) not in ENDED and not job.claimed
        }
        offered: set[str] = set()
        for owner, worker in itertools.product(TIME_LIMITS, WORKERS):
            before = len(self.offers[worker])
            for _ in self.jobs:
                self.poll(worker, owner, 100)
            offered |= {offer.job.pipeline for offer in self.offers[worker][before:]}
        assert offered == waiting

    # Invariants

    @invariant()
    def every_job_has_its_expected_status_and_never_goes_back(self) -> None:
        if not self.behaviour:
            return
        self.backend.tick()
        order = ("Created", "Queued", "Dispatched", "InProgress", "ended")
        for job in self.jobs:
            if job.id is None:
                continue
            found = self.backend._board.find(job.id)
            assert found is not None
            status = str(found.status)
            assert status == job.status(self.now)
            if job.status_seen in ENDED:
                assert status == job.status_seen
            elif job.status_seen is not None and status not in ENDED:
                # Only an unacknowledged offer is undone.
                assert order.index(status) >= order.index(job.status_seen) or (
                    (job.status_seen, status) == ("Dispatched", "Queued")
                )
            job.status_seen = status

    @invariant()
    def a_job_has_one_owner(self) -> None:
        for job in self.jobs:
            nonces = {nonce for _, nonce in job.claims}
            assert len(nonces) <= 1
            if self.behaviour["repeated_acknowledgment"] != "status":
                assert len(job.claims) <= 1
            elif self.behaviour["nonce_rotates"] and job.owner == "Custom":
                assert len({worker for worker, _ in job.claims}) <= 1

    @invariant()
    def a_pipeline_has_the_status_of_its_job(self) -> None:
        for name, job in self.newest.items():
            status = job.status(self.now)
            expected = {"Succeeded": "Succeeded", "Failed": "Failed", "TimedOut": "Failed"}
            found = expected.get(status, "InProgress"), expected.get(status, "InProgress")
            if job.withdrawn is not None:
                found = "Stopped", "Abandoned"
            execution = self.backend.describe_pipeline_execution(name, self.executions[name])
            [_, stage] = self.backend.get_pipeline_state(name)["stageStates"]
            [shown] = stage["actionStates"]
            assert (execution["status"], shown["latestExecution"]["status"]) == found
            assert stage["latestExecution"]["status"] == execution["status"]

    # Helpers

    def _add(self, job: Job) -> None:
        self.jobs.append(job)
        self.newest[job.pipeline] = job

    def _any_offer(self) -> bool:
        return any(self.offers.values())

    def _some_offer(self, data: st.DataObject) -> tuple[str, Offer]:
        every = [(worker, offer) for worker, offers in self.offers.items() for offer in offers]
        index = data.draw(st.integers(0, len(every) - 1))
        return every[len(every) - 1 - index]

    def _put(self, job: Job, result: dict[str, Any]) -> Any:
        kind = "failure" if "failureDetails" in result else "success"
        # The service keeps its argument; a worker's next result is another object.
        return self._call(job, f"put_job_{kind}_result", result=deepcopy(result))

    def _call(self, job: Job, operation: str, **given: Any) -> Any:
        """What a custom job's operation, or the same of a partner's job, returns."""
        if job.owner == "ThirdParty":
            operation = operation.replace("job", "third_party_job")
            given["client_token"] = self.token
        method = getattr(self.backend, operation)
        return _outcome(lambda: method(job_id=job.id or "", **given))


def _outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or its error's code."""
    try:
        return call()
    except CodePipelineError as error:
        return error.error_type


def test_responses_and_statuses_match_the_model_in_any_world() -> None:
    bounded = settings(BOUNDED, max_examples=30, stateful_step_count=40)
    run_state_machine_as_test(Workers, settings=bounded)


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    "world", WORLDS, ids=lambda world: "-".join(str(value) for value in world.values())
)
def test_responses_and_statuses_match_the_model_in_each_world(world: dict[str, Any]) -> None:
    machine = type("WorkersInOneWorld", (Workers,), {"world": world})
    run_state_machine_as_test(
        machine, settings=settings(BOUNDED, max_examples=5, stateful_step_count=30)
    )
