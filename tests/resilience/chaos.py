"""`make chaos`: many jobs in the whole stack while things fail at random.

Pipelines of custom and partner actions run while calls fail (see `tests.resilience.faults`),
processes die, events come twice and late, functions are invoked again with events that they have
handled, sweeps overlap, and another worker polls the same action types: it takes some jobs for
itself and drops others, which are then offered again.

In the end every promise must have been kept: see `Chaos.broken`. A fault depends on the seed and on
what it happens to (this job's second such call), not on a sequence of random numbers, so that the
same seed does the same to the same job, however threads are scheduled.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ClientError

import moto_codepipeline
from local import acknowledger
from local.aws import events, functions
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from moto_codepipeline.jobs import Job, JobStatus
from tests.resilience.faults import WITHOUT_PROCESS, Call, Fault, Faults
from tests.resilience.witness import IN_FLIGHT, CarefulWorker, Execution, Witness, ids_in, names

SECOND = "Custom/Test/Second/2"
KINDS = (acknowledger.CUSTOM_ACTION_TYPE, SECOND, acknowledger.PARTNER_ACTION_TYPE)
ACTIONS = 4
AT_ONCE = 60
#: Much longer than an acknowledgment takes, even with faults.
OFFERED_AGAIN_SECONDS = 40.0
#: The maximum number of rounds; in each, time passes so that unacknowledged jobs are offered again.
ROUNDS = 30
#: If no job ends for so long, no more jobs are started. This machine may be busy.
STUCK_SECONDS = 300.0
#: Faults are injected in the first rounds only.
TROUBLED_ROUNDS = 10
#: After a fault in these calls it can't be known whether our acknowledgment succeeded or another
#: worker's.
ACKNOWLEDGING = ("UpdateItem JobTable", "Acknowledge", "GetParameter")
#: A process takes half a second to start again, so that processes die less often than calls fail.
OF_FUNCTION: tuple[Fault, ...] = (
    *("error", "answer lost", "throttled") * 2,
    "dies before",
    "dies after",
)
#: How many consecutive tries fail: one, more than the SDK makes, or more than a state makes.
BURSTS = (1, 1, 1, 1, 1, 5, 5, 5, 30)


@dataclass
class Report:
    """The result of a run: what to print, and the jobs for which a promise was broken."""

    seed: int
    counts: dict[str, Any]
    broken: dict[str, list[str]]
    stories: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"  {name:28} {count}" for name, count in self.counts.items()]
        for job_id, wrong in list(self.broken.items())[:10]:
            lines.append(f"✗ {job_id}: {', '.join(wrong)}")
        lines += self.stories
        if self.broken:
            lines.append(f"✗ Promises were broken for {len(self.broken)} jobs: SEED={self.seed}")
        else:
            lines.append("✓ No job was lost, worked on twice or reported with a wrong result.")
        return "\n".join(lines)


class ForeignWorker:
    """Another worker for the same action types, which knows nothing about us.

    It acknowledges about half of the jobs that it is offered, and reports them a little later; it
    drops the others. `held` has the jobs that it has acknowledged, `dropped` how often it dropped
    others.
    """

    def __init__(self, cloud: LocalCloud, chaos: Chaos) -> None:
        self.held: dict[str, str] = {}
        self.dropped: Counter[str] = Counter()
        self._client = cloud.client("codepipeline")
        self._chaos = chaos
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling, and report the jobs that it has."""
        self._stopped.set()
        self._thread.join()
        for job_id in [job_id for job_id, told in self.held.items() if not told]:
            self._answer(job_id)

    def _run(self) -> None:
        turn = 0
        while not self._stopped.wait(0.2):
            turn += 1
            kind = KINDS[turn % len(KINDS)]
            with suppress(ClientError):
                self._poll(kind)
            for job_id in [job_id for job_id, told in self.held.items() if not told][3:]:
                self._answer(job_id)

    def _poll(self, kind: str) -> None:
        client, type_id = self._client, acknowledger.action_type_id(kind)
        if kind.startswith("ThirdParty/"):
            for job in client.poll_for_third_party_jobs(actionTypeId=type_id).get("jobs", []):
                request = self._about(job["jobId"])
                nonce = client.get_third_party_job_details(**request)["jobDetails"]["nonce"]
                self._take(client.acknowledge_third_party_job, job["jobId"], nonce)
        else:
            for job in client.poll_for_jobs(actionTypeId=type_id).get("jobs", []):
                self._take(client.acknowledge_job, job["id"], job["nonce"])

    def _about(self, job_id: str) -> dict[str, str]:
        """The members of a request that name a job."""
        action = self._chaos.job(job_id).action
        if action.type_id["owner"] != "ThirdParty":
            return {"jobId": job_id}
        token = self._chaos.emulator.client_token(str(action.client_id))
        return {"jobId": job_id, "clientToken": token}

    def _take(self, acknowledge: Any, job_id: str, nonce: str) -> None:
        if self._chaos.chance("foreign", self._chaos.name_of(job_id)) < 0.5:
            self.dropped[job_id] += 1
            self._chaos.note(job_id, "another worker polled it, and dropped it")
            return
        if acknowledge(nonce=nonce, **self._about(job_id))["status"] == "InProgress":
            self.held[job_id] = ""
            self._chaos.note(job_id, "another worker acknowledged it")

    def _answer(self, job_id: str) -> None:
        self.held[job_id] = "Succeed"
        request = self._about(job_id)
        third = "third_party_" if "clientToken" in request else ""
        report = getattr(self._client, f"put_{third}job_success_result")
        try:
            report(executionDetails={"externalExecutionId": f"foreign {job_id}"}, **request)
            self._chaos.note(job_id, "the other worker reported it")
        except ClientError as error:
            self._chaos.note(job_id, f"the other worker could not report it: {error}")


class Chaos:
    """The running stack, and the faults injected into it.

    Args:
        jobs: how many jobs to run.
        seed: decides which faults occur.
        rate: the share of calls, invocations and events with a fault.
        events: whether the events of CodePipeline and Step Functions are delivered. If all are
            lost, half of the executions whose worker hangs are also stopped by hand.
    """

    def __init__(self, jobs: int, seed: int, rate: float, *, events: bool = True) -> None:
        self.jobs, self.seed, self.rate, self.events = jobs, seed, rate, events
        #: What happened to each job, and when.
        self.story: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self._began = time.monotonic()
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._bursts: dict[tuple[str, ...], tuple[Fault, int]] = {}
        #: All jobs, and all dead letters of each function, once the run is over.
        self.ended: dict[str, Job] = {}
        self.letters: dict[str, list[tuple[str, str]]] = {}
        self._doubtful: set[str] = set()
        self._lock = threading.Lock()
        self._timers: list[threading.Timer] = []
        self._over = False
        self.emulator: moto_codepipeline.JobBackend
        self.witness: Witness
        self.worker: CarefulWorker
        self.foreign: ForeignWorker

    # -- Faults -------------------------------------------------------------------------------

    def chance(self, *what: object) -> float:
        """A number from 0 to 1, always the same for the same seed and arguments."""
        text = json.dumps([self.seed, *map(str, what)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48

    def choose(self, call: Call) -> Fault | None:
        job = self._job_in(call.body) or self._job_in(call.event)
        name = self.name_of(job.id) if job else "nobody"
        of_what = (name, call.caller, call.name)
        with self._lock:
            fault, left = self._bursts.pop(of_what, (None, 0))
            if fault is not None:
                if left > 1:
                    self._bursts[of_what] = (fault, left - 1)
            elif call.attempt == 1 and not self._over:
                self._calls[of_what] += 1
                fault = self.new_fault(of_what, self._calls[of_what], call)
        if job:
            went = f" ({fault})" if fault else ""
            self.note(job.id, f"{call.caller}: {call.name}{went}")
        if fault:
            self.counts[f"faults: {fault}"] += 1
            if job and call.of_function and call.name.startswith(ACKNOWLEDGING):
                self._doubtful.add(job.id)
        return fault

    def new_fault(self, of_what: tuple[str, ...], number: int, call: Call) -> Fault | None:
        """The fault, if any, of a call that is made for the nth time."""
        if self.chance("fault", *of_what, number) >= self.rate:
            return None
        kinds = OF_FUNCTION if call.of_function else WITHOUT_PROCESS
        kind = kinds[int(self.chance("kind", *of_what, number) * len(kinds))]
        if kind in ("error", "throttled"):
            burst = BURSTS[int(self.chance("burst", *of_what, number) * len(BURSTS))]
            if burst > 1:
                self._bursts[of_what] = (kind, burst - 1)
        return kind

    def invoke_again(self) -> None:
        """Make some functions run twice with the same event."""
        runner = functions.runner()
        invoke = runner.invoke_async

        def invoke_async(function: Any, payload: str) -> str:
            request_id = invoke(function, payload)
            name = str(function.function_name)
            job = self._job_in(payload)
            with self._lock:
                of_what = ("invoked", self.name_of(job.id) if job else "nobody", name)
                self._calls[of_what] += 1
                number = self._calls[of_what]
            if not self._over and self.chance(*of_what, number) < self.rate:
                self.counts["invocations repeated"] += 1
                if job and "AcknowledgeFunction" in of_what[-1]:
                    self._doubtful.add(job.id)
                seconds = 2 * self.chance("when", *of_what, number)
                timer = threading.Timer(seconds, invoke, (function, payload))
                self._timers.append(timer)
                timer.start()
            return request_id

        runner.invoke_async = invoke_async  # type: ignore[method-assign]

    # -- Jobs ---------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        job = self._find(job_id)
        if job is None:
            raise LookupError(job_id)
        return job

    def name_of(self, job_id: str) -> str:
        """A job's name, the same in every run: its pipeline and action."""
        job = self.job(job_id)
        return f"{job.action.run.pipeline_name} {job.action.name}"

    def note(self, job_id: str, what: str) -> None:
        self.story[job_id].append((self._seconds(), what))

    def _job_in(self, text: str) -> Job | None:
        for found in ids_in(text):
            if job := self._find(found):
                return job
        return None

    def _find(self, job_id: str) -> Job | None:
        found: Job | None = self.ended.get(job_id) or self.emulator._board.find(job_id)
        return found

    def configuration(self, name: str) -> dict[str, str]:
        """The configuration of a job's action, which decides how its worker ends it."""
        chance = self.chance("outcome", name)
        configuration = {"Outcome": "Succeed", "AcknowledgeTimeoutSeconds": "30"}
        if chance < 0.05:
            configuration |= {"Outcome": "Hang", "JobTimeoutSeconds": "2"}
        elif chance < 0.2:
            configuration["Outcome"] = "Fail"
        return configuration

    def start_pipeline(self, number: int, count: int) -> None:
        name = f"pipeline-{number}"
        actions = []
        for index in range(count):
            kind = KINDS[int(self.chance("type", name, index) * len(KINDS))]
            actions.append(
                {
                    "name": f"Work{index}",
                    "actionTypeId": acknowledger.action_type_id(kind),
                    "configuration": self.configuration(f"{name} Work{index}"),
                }
            )
        self.witness.start(name, KINDS[0], actions)

    # -- The run ------------------------------------------------------------------------------

    def run(self, *, say: bool = False) -> Report:
        """Run all jobs, and report how they ended."""
        faults = Faults(self.choose)
        lost = patch.object(events, "put_from_service", lambda *_, **__: None)
        with nullcontext() if self.events else lost, running(faults, self.seed) as (cloud, stack):
            self.witness = Witness(cloud, stack)
            self.emulator = self.witness.emulator
            if not self.events:
                self.emulator.deliver_event = lambda *_: None  # type: ignore[misc,method-assign]
            self.worker = CarefulWorker(cloud, stack)
            self.foreign = ForeignWorker(cloud, self)
            self.invoke_again()
            try:
                self._start_all(cloud, say=say)
                self._finish(cloud, say=say)
            finally:
                self._over = True
                self.worker.stop()
            return self.report()

    def _stop_by_hand(self, cloud: LocalCloud) -> None:
        """Stop executions whose worker hangs; the events about that are lost."""
        machine = self.witness.stack.outputs["JobStateMachineArn"]
        for one in self.witness.running_executions():
            # Indexing the defaultdict would add a job that the worker hasn't seen.
            work = self.worker.jobs.get(one.job_id)
            hangs = work is not None and work.answer == "Hang"
            if hangs and one.waits and self.chance("by hand", self.name_of(one.job_id)) < 0.5:
                self.counts["executions stopped by hand"] += 1
                arn = f"{machine.replace(':stateMachine:', ':execution:')}:{one.name}"
                cloud.client("stepfunctions").stop_execution(executionArn=arn, error="Operator")

    def _start_all(self, cloud: LocalCloud, *, say: bool) -> None:
        started = number = ended = 0
        swept, moved = 0.0, time.monotonic()
        while started < self.jobs and time.monotonic() - moved < STUCK_SECONDS:
            if started - self._open() > ended:
                ended, moved = started - self._open(), time.monotonic()
            if self._open() < AT_ONCE:
                number += 1
                count = min(ACTIONS, self.jobs - started)
                self.start_pipeline(number, count)
                started += count
                if say and started % 200 < ACTIONS:
                    print(f"{self._seconds():6.0f} s  {started} jobs started", flush=True)
            else:
                time.sleep(0.05)
            if time.monotonic() - swept > 2:
                swept = time.monotonic()
                if not self.events:
                    self._stop_by_hand(cloud)
                for _ in range(1 + int(2 * self.chance("sweeps", int(self._seconds() // 2)))):
                    cloud.schedule.fire()

    def _finish(self, cloud: LocalCloud, *, say: bool) -> None:
        """Let time pass until every job that can end has ended."""
        for turn in range(ROUNDS):
            if turn == 1:
                self.foreign.stop()
            if turn == TROUBLED_ROUNDS:
                self._end_trouble()
            self.witness.make_due()
            cloud.schedule.fire()
            self.witness.settle(60)
            open_jobs = self._open()
            if say:
                print(f"{self._seconds():6.0f} s  {open_jobs} jobs open", flush=True)
            if turn > 1 and not self._waiting() and not self.witness.in_flight():
                break
            self.emulator.clock.advance(OFFERED_AGAIN_SECONDS + 1)
        for timer in self._timers:
            timer.join()
        self.witness.settle(60)

    def _end_trouble(self) -> None:
        """Stop injecting faults: jobs that CodePipeline still offers must end now."""
        with self._lock:
            self._over = True
            self._bursts.clear()

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _open(self) -> int:
        return sum(1 for job in self.witness.jobs() if not job.status.ended)

    @property
    def _gives_one_job_to_two(self) -> bool:
        """Whether CodePipeline can tell two workers that they have the same job."""
        behaviour = self.emulator.behaviour
        return not behaviour.nonce_rotates and behaviour.repeated_acknowledgment == "status"

    def _waiting(self) -> int:
        """How many jobs are not acknowledged."""
        early = (JobStatus.CREATED, JobStatus.QUEUED, JobStatus.DISPATCHED)
        return sum(1 for job in self.witness.jobs() if job.status in early)

    # -- The report ---------------------------------------------------------------------------

    def report(self) -> Report:
        """Check every job, and count."""
        executions, rows = self.witness.executions(), self.witness.rows()
        self.letters = letters = self.witness.letters()
        jobs = self.witness.jobs()
        self.ended = {job.id: job for job in jobs}
        broken, limits = {}, []
        for job in jobs:
            row = rows.get(job.id, {}).get("status", {}).get("S", "none")
            mine = executions.get(job.id, [])
            lies = [
                name
                for name, all_of in letters.items()
                if any(job.id in text for text, _ in all_of)
            ]
            wrong = self.broken(job, row, mine, lies)
            if wrong and self.ambiguous(job.id, mine, wrong):
                limits.append(job.id)
            elif wrong:
                broken[job.id] = wrong
        ends = Counter(str(job.status.value) for job in jobs)
        offers = [int(row.get("offers", {}).get("N", "0")) for row in rows.values()]
        counts: dict[str, Any] = {
            "jobs": len(jobs),
            **{f"jobs {name}": count for name, count in sorted(ends.items())},
            "jobs of partners": sum(job.owner == "ThirdParty" for job in jobs),
            "jobs of the other worker": len(self.foreign.held),
            "offers dropped by it": self.foreign.dropped.total(),
            "ambiguous acknowledgments": len(limits),
            "jobs offered to us again": sum(count > 1 for count in offers),
            "executions": sum(map(len, executions.values())),
            "jobs sent to a worker again": sum(
                len(w.tokens) > 1 for w in self.worker.jobs.values()
            ),
            **dict(sorted(self.counts.items())),
            **{f"dead letters of {name}": len(all_of) for name, all_of in letters.items()},
            "seconds": round(self._seconds()),
        }
        errors = Counter(one.error for mine in executions.values() for one in mine if one.error)
        counts |= {f"executions: {error}": count for error, count in sorted(errors.items())}
        stories = [self.tell(job_id, rows, executions) for job_id in list(broken)[:3]]
        if len(jobs) < self.jobs:
            broken["all"] = [f"only {len(jobs)} of {self.jobs} jobs were started: no job ended"]
        return Report(self.seed, counts, broken, stories)

    def ambiguous(self, job_id: str, executions: list[Execution], wrong: list[str]) -> bool:
        """Whether what is wrong follows from an acknowledgment that seemed to be ours.

        It seems so if its response was lost, and another worker got the next offer. If that worker
        drops the job, our execution has worked for nothing, and another one works again.
        """
        wasted = any(one.error == "EndedElsewhere" for one in executions) and all(
            each.startswith(("worked on by two executions", "reported as failed")) for each in wrong
        )
        others = job_id in self.foreign.held or (job_id in self.foreign.dropped and wasted)
        return others and (job_id in self._doubtful or self._gives_one_job_to_two)

    def broken(
        self, job: Job, row: str, executions: list[Execution], letters: list[str]
    ) -> list[str]:
        """The promises that were broken for a job."""
        wrong = []
        work = self.worker.jobs.get(job.id)
        if work and work.times > 1:
            wrong.append("worked on twice by the worker")
        if sum("InProgress" in one.path for one in executions) > 1:
            wrong.append("worked on by two executions")
        if any(one.status == "RUNNING" for one in executions):
            wrong.append("its execution still runs")
        result = json.loads(job.result or "{}")
        by_whom = str(result.get("executionDetails", {}).get("externalExecutionId", ""))
        if job.id in self.foreign.held:
            if work or by_whom != f"foreign {job.id}":
                wrong.append("worked on or reported, although the other worker has it")
            return wrong
        if not job.status.ended and not letters:
            wrong.append("lost: it has not ended, and no dead letter is about it")
        if row in IN_FLIGHT and not letters:
            wrong.append("its row is still in flight")
        succeeded = job.status is JobStatus.SUCCEEDED
        if succeeded and (not work or work.answer != "Succeed" or by_whom != job.id):
            wrong.append("reported as succeeded, although it did not succeed")
        if job.status is JobStatus.FAILED and work and work.accepted:
            message = result["failureDetails"]["message"]
            if work.answer != "Fail" or job.id not in message:
                wrong.append(f"reported as failed, although its worker's answer was {work.answer}")
        if row not in (*IN_FLIGHT, "none") and (row == "Succeeded") != succeeded:
            wrong.append(f"its row says {row}, CodePipeline {job.status.value}")
        return wrong

    def tell(
        self, job_id: str, rows: dict[str, Any], executions: dict[str, list[Execution]]
    ) -> str:
        """A job's whole history."""
        job = self.job(job_id)
        lines = [f"\n{job_id}, {self.name_of(job_id)}, {job.owner}: {job.status.value}"]
        lines += [f"  {at:8.2f} s  {what}" for at, what in self.story[job_id]]
        lines += [
            f"  execution {one.name}: {' > '.join(names(one.path))}: {one.status}"
            f" {one.error or ''} {one.cause or ''} {one.output or ''}"
            for one in executions.get(job_id, [])
        ]
        lines.append(f"  row: {json.dumps(rows.get(job_id))}")
        lines.append(f"  result: {job.result}")
        work = self.worker.jobs.get(job_id)
        if work:
            lines.append(f"  worker: {work.times} times, {work.answer}, {len(work.tokens)} tokens")
        for function, letters in self.letters.items():
            lines += [
                f"  dead letter of {function}: {why}" for text, why in letters if job_id in text
            ]
        return "\n".join(lines)


@contextmanager
def running(faults: Faults, seed: int) -> Iterator[tuple[LocalCloud, Stack]]:
    """The stack with CodePipeline's behavior as the seed decides, and with short waits in AWS."""
    types = ",".join(KINDS)
    with acknowledger.running(
        parameters={"ActionTypes": types},
        worker=False,
        retry_delays=(0.1, 0.2),
        retry_scale=0.002,
        sleep_scale=0.05,
        layers=(faults.layer,),
    ) as (cloud, stack):
        acknowledger.register(cloud, stack, SECOND)
        emulator = moto_codepipeline.backend(cloud.account_id, cloud.region)
        emulator.behaviour = moto_codepipeline.Behaviour(
            acknowledge_seconds=OFFERED_AGAIN_SECONDS,
            nonce_rotates=seed % 2 == 1,
            repeated_acknowledgment="status" if seed // 2 % 2 else "InvalidNonceException",
            events_twice=True,
            events_shuffled=True,
            events_seed=seed,
            event_lag_seconds=2,
        )
        yield cloud, stack
