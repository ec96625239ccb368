"""The questions. The first line of a question's function says how it is asked, also in the table.

A question with a fixed set of answers is tried twice, and must have the same answer both times.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from itertools import chain
from operator import and_
from typing import Any

from .calls import THROTTLED, Answer, LostError, ProbeError, UnansweredError
from .facts import FACTS, GROUPS, SWITCHES, find, plain, told
from .measure import HORIZON, Interval, look, narrowed
from .trials import UNKNOWN_JOB, Probe, Trial, claim, duration, error_of, jobs

RUNS, JOBS_OF_RUN, BURST, FREE, BURSTS, STARTS = 3, 35, 200, 4, 40, 5
JOBS = RUNS * JOBS_OF_RUN
ROUNDED = 0.0011
"""AWS's own times are in thousandths of a second."""
DAY, CONTINUED_AFTER = 26 * 3600.0, 1800.0


@dataclass(frozen=True)
class Found:
    """An answer: a switch's value, or the text of a fact without a switch."""

    name: str
    value: Any
    sure: str
    fact: bool = False


@dataclass(frozen=True)
class Unanswered:
    """A switch whose value can't be determined here, and why."""

    name: str
    why: str


Findings = Iterator[Found | Unanswered]


@dataclass(frozen=True)
class Question:
    """A question about switches or groups of facts. ``words`` has the text for each of them, and
    ``facts`` the names of the groups' facts. Long questions are asked only on request."""

    words: dict[str, str]
    ask: Callable[[Probe], Findings]
    takes: str
    long: bool

    @property
    def facts(self) -> list[str]:
        return [name for name, fact in FACTS.items() if fact["group"] in self.words]

    @property
    def how(self) -> str:
        return str(self.ask.__doc__).partition("\n")[0].rstrip(".")


QUESTIONS: list[Question] = []
NOT_ASKED = {
    "events_seed": "Only the local CodePipeline has it",
    "lambda_silence_seconds": "It is documented",
    "lambda_timeout_seconds": "It is documented",
}


def question(
    takes: str, *, long: bool = False, **words: str
) -> Callable[[Callable[[Probe], Findings]], None]:
    """Register a function that asks a question."""
    return lambda ask: QUESTIONS.append(Question(words, ask, takes, long))


def world(name: str, question: str, how: str, takes: str, cases: dict[str, Any]) -> None:
    """Register a question whose answer is shown by how the text of its steps begins."""

    def ask(probe: Probe) -> Findings:
        def once() -> Any:
            text = find(probe, SWITCHES[name])
            for beginning, value in cases.items():
                if text.startswith(beginning):
                    return value
            raise UnansweredError(f"It was answered {text}")

        yield Found(name, probe.agreed(once), "the same twice")

    ask.__doc__ = how
    QUESTIONS.append(Question({name: question}, ask, takes, long=False))


def measured(name: str, known: Interval) -> Found:
    """The answer for a measured time."""
    number = known.roundest()
    return Found(name, int(number) if number == int(number) else number, str(known))


def lasted(name: str, seconds: float) -> Found:
    """The answer for a time that AWS's own clock has measured, to a thousandth."""
    return measured(name, Interval(seconds, seconds).widened(ROUNDED))


@question(
    "2 min", started_before_queued_seconds="How long after its action's start can a job be polled?"
)
def started(probe: Probe) -> Findings:
    """Polled from an action's startTime until its job was offered."""

    def round_of(known: Interval) -> Interval:
        with probe.trial() as trial:
            while not (action := probe.actions(trial).get("Work-1")):
                if probe.calls.clock.now() - trial.start.sent > HORIZON:
                    raise UnansweredError("The action did not start")
                probe.calls.clock.wait(0.2)
            pages = probe.do("list_pipeline_executions", pipelineName=probe.place.pipeline_name)
            [run] = [
                each
                for each in pages.value["pipelineExecutionSummaries"]
                if each["pipelineExecutionId"] == trial.execution_id
            ]
            # AWS's clock has the start of both, and ours has the execution's.
            later = (action["startTime"] - run["startTime"]).total_seconds()
            return probe.until_job(trial, trial.start.later(later), known)[0].widened(ROUNDED)

    yield measured("started_before_queued_seconds", narrowed(round_of))


@question(
    "6 times the answer",
    acknowledge_seconds="After how long is an unacknowledged job offered again?",
    nonce_rotates="Does it then have a new nonce?",
)
def offers(probe: Probe) -> Findings:
    """Polled until an offered job was offered again, and compared its nonces."""
    with probe.trial() as trial:
        polls = [probe.until_job(trial, trial.start)[1]]

        def round_of(known: Interval) -> Interval:
            known, poll = probe.until_job(trial, polls[-1], known)
            polls.append(poll)
            return known

        known = narrowed(round_of)
        offered = [jobs(poll)[0] for poll in polls]
        old = probe.ask("acknowledge_job", jobId=offered[-1]["id"], nonce=offered[0]["nonce"])
    text = plain(probe, told(old))
    yield Found("acknowledgment_with_the_first_nonce", text, "once", fact=True)
    yield measured("acknowledge_seconds", known)
    nonces = [job["nonce"] for job in offered]
    if 1 < len(set(nonces)) < len(nonces):
        raise UnansweredError(f"{len(nonces)} offers had {len(set(nonces))} nonces")
    yield Found("nonce_rotates", len(set(nonces)) > 1, f"the same in {len(nonces)} offers")


for each, table in SWITCHES.items():
    world(each, *(table[member] for member in ("question", "how", "takes", "cases")))


@question(
    "6 times the answer",
    continuation_seconds="How long after a continuation token can the next job be polled?",
)
def continuation(probe: Probe) -> Findings:
    """Polled after a continuation token until the next job was offered."""
    with probe.trial() as trial:
        held = [probe.held(trial)]

        def round_of(known: Interval) -> Interval:
            token = {"jobId": held[-1]["id"], "continuationToken": "next"}
            known, poll = probe.until_job(trial, probe.do("put_job_success_result", **token), known)
            held.extend(jobs(poll))
            probe.do("acknowledge_job", "InvalidNonceException", **claim(held[-1]))
            return known

        yield measured("continuation_seconds", narrowed(round_of))


@question(
    "6 min",
    batch_cap="What is the largest number of jobs that a poll returns?",
    default_batch_size="How many jobs does a poll without maxBatchSize return?",
)
def batches(probe: Probe) -> Findings:
    """Polled for as many jobs as it accepts while 105 waited, then without a number."""
    empty = {"actionTypeId": probe.place.type_id, "queryParam": {"Trial": "none"}}

    def refused(number: int) -> bool:
        return probe.ask("poll_for_jobs", maxBatchSize=number, **empty).code is not None

    def accepted() -> int:
        return 1 + bisect_left(range(2, JOBS + 1), x=True, key=refused)

    def polled(**limit: int) -> tuple[int, int]:
        with ExitStack() as stack:
            trial = stack.enter_context(probe.trial(JOBS_OF_RUN))
            for _ in range(RUNS - 1):
                stack.enter_context(probe.execution(trial.value))
            probe.wait_for_jobs()
            first = probe.poll(trial, **limit)
            return len(jobs(first)), len(jobs(probe.poll(trial, maxBatchSize=largest)))

    largest = probe.clean(accepted)
    most, rest = probe.agreed(lambda: polled(maxBatchSize=largest))
    if most < JOBS and not rest:
        raise UnansweredError(f"Only {most} of {JOBS} jobs were offered")
    sure = f"{most} of {JOBS} twice, when asked for {largest}"
    yield Found("batch_cap", most if most < JOBS else None, sure)
    count, _ = probe.agreed(polled)
    if count == most:
        raise UnansweredError(f"{count} were offered, and no poll returns more")
    yield Found("default_batch_size", count, f"{count} twice")


@question("1 to 15 min", throttle="How many calls of an operation are accepted in a second?")
def throttle(probe: Probe) -> Findings:
    """Called GetJobDetails 200 times in a row, as fast as possible."""
    clock, seconds, known, free, bursts, most = probe.calls.clock, HORIZON, Interval(), 0, 0, 2
    while bursts < 2 or (known.low < known.high and bursts < most):
        clock.wait(3)
        began = clock.now()
        counted = burst(probe)
        seconds = min(seconds, clock.now() - began)
        bursts += 1
        free += counted is None
        known &= counted or Interval()
        most = BURSTS if free < bursts else FREE if seconds > 1 else 2
    if free == bursts:
        raise UnansweredError(f"None of {BURST} calls in {seconds:.3g} s was throttled")
    if known.low != known.high:
        raise UnansweredError(f"The number was not the same in {bursts} bursts")
    yield Found("throttle", int(known.high), f"in {bursts} bursts")


def burst(probe: Probe) -> Interval | None:
    """The least and the most calls that were accepted in a second before one was throttled.

    A call counts as throttled if four immediate repetitions are throttled too.
    """
    calls: list[tuple[float, float, bool]] = []
    clock = probe.calls.clock
    for _ in range(BURST):
        for refused in range(5):
            sent, certain = clock.now(), True
            try:
                answer = probe.calls.once("codepipeline", "get_job_details", jobId=UNKNOWN_JOB)
            except LostError:
                certain = False
            if not certain or answer.code not in THROTTLED:
                calls.append((sent, clock.now(), certain))
                break
            if refused == 4:
                since = sent - 1
                least = sum(certain and sent > since for sent, _, certain in calls)
                return Interval(least, sum(answered > since for _, answered, _ in calls))
    return None


@question(
    "6 times the answer", artifact_credentials_seconds="How long are artifact credentials valid?"
)
def credentials(probe: Probe) -> Findings:
    """Downloaded the source artifact with a job's credentials until they had expired."""
    with probe.trial() as trial:
        job = probe.held(trial)

        def round_of(known: Interval) -> Interval:
            issued = probe.do("get_job_details", jobId=job["id"])
            data = issued.value["jobDetails"]["data"]
            place = data["inputArtifacts"][0]["location"]["s3Location"]
            where = {"Bucket": place["bucketName"], "Key": place["objectKey"]}
            keys = data["artifactCredentials"]
            client = probe.calls.client(
                "s3",
                aws_access_key_id=keys["accessKeyId"],
                aws_secret_access_key=keys["secretAccessKey"],
                aws_session_token=keys["sessionToken"],
            )

            def get() -> Answer:
                answer = probe.calls.ask("s3", "get_object", client, **where)
                if answer.code not in (None, "ExpiredToken"):
                    raise UnansweredError(f"It was answered {answer}")
                return answer

            return look(probe.calls.clock, issued, known, get, lambda got: bool(got.code))[0]

        yield measured("artifact_credentials_seconds", narrowed(round_of))


def group(name: str, question: str, how: str, takes: str) -> None:
    """Register the question of a group of facts."""

    def ask(probe: Probe) -> Findings:
        missing = ""
        for each in asked.facts:
            probe.calls.fact = each
            try:
                text = plain(probe, probe.clean(partial(find, probe, FACTS[each])))
            except (UnansweredError, ProbeError) as error:
                missing = each
                yield Unanswered(each, plain(probe, str(error)))
            else:
                yield Found(each, text, "once", fact=True)
        if missing:
            raise UnansweredError(f"Some facts are unanswered, for example {missing}")

    ask.__doc__ = how
    asked = Question({name: question}, ask, takes, long=False)
    QUESTIONS.append(asked)


for each in GROUPS:
    group(each, **GROUPS[each])


@question(
    "5 min",
    event_lag_seconds="How long do events take to arrive?",
    events_shuffled="Can a later event arrive first?",
    events_twice="Do events arrive twice?",
)
def events(probe: Probe) -> Findings:
    """Measured when the 5 STARTED events of each execution arrived in a queue."""
    own = {"pipeline": [probe.place.pipeline_name]}
    probe.place.make_queue({"source": ["aws.codepipeline"], "detail": own})
    probe.calls.clock.wait(30)  # a new rule does not take effect at once
    lags: list[Interval] = []
    copies: list[int] = []

    def round_of(known: Interval) -> Interval:
        for each in probe.clean(lambda: lags_of(probe, known)):
            copies.append(len(each))
            lags.extend(each)
        return reduce(and_, lags, known)

    def apart() -> bool:
        return min(lag.high for lag in lags) < max(lag.low for lag in lags)

    try:
        yield measured("event_lag_seconds", narrowed(round_of))
    except UnansweredError as error:
        if not lags or not apart():
            raise
        low, high = min(lag.high for lag in lags), max(lag.low for lag in lags)
        why = f"{error}: less than {low:.3g} s, and more than {high:.3g} s"
        yield Unanswered("event_lag_seconds", why)
    if apart() or min(lag.high for lag in lags) >= 0.1:
        yield Found("events_shuffled", apart(), f"of {len(lags)} events")
    else:
        yield Unanswered("events_shuffled", "All arrive at once, so none can arrive first")
    if len(set(copies)) > 1 or copies[0] > 2:
        raise UnansweredError(f"Of {len(copies)} events some arrived twice, others did not")
    yield Found("events_twice", copies[0] == 2, f"each of {len(copies)} events")


def lags_of(probe: Probe, known: Interval) -> list[list[Interval]]:
    """How long each copy of each STARTED event of one execution took to arrive."""
    clock, came = probe.calls.clock, dict[str, list[tuple[float, float, float]]]()
    with probe.trial() as trial:
        since = trial.start.sent
        # First look shortly before they are due, so that varying lags are not taken for one.
        points = chain([known.low * 0.9], known.points())
        while len(came) < STARTS:
            elapsed = clock.now() - trial.start.sent
            if elapsed > 300:
                raise UnansweredError(f"{len(came)} of {STARTS} events arrived in 300 s")
            clock.wait(max(0.0, next(points) - elapsed))
            since = receive(probe, trial, since, came)
        clock.wait(20)  # copies may be later
        receive(probe, trial, since, came)
    [began] = [copies[0][0] for name, copies in came.items() if "Pipeline Execution" in name]
    return [
        [
            Interval(
                low - trial.start.later(at - began).answered,
                high - trial.start.later(at - began).sent,
            ).widened(ROUNDED)
            for at, low, high in copies
        ]
        for copies in came.values()
    ]


def receive(
    probe: Probe, trial: Trial, since: float, came: dict[str, list[tuple[float, float, float]]]
) -> float:
    """Receive all messages in the queue; return a time at which it was certainly empty.

    ``came`` gets for each copy of an event when its subject started, by AWS's clock, and between
    which times it arrived.
    """
    queue = {"QueueUrl": probe.place.queue_url, "MaxNumberOfMessages": 10}
    # Only long polling queries all servers of an SQS queue.
    queue["WaitTimeSeconds"] = 0 if probe.calls.endpoint_url else 1
    while True:
        answer = probe.calls.ask("sqs", "receive_message", **queue)
        messages = answer.value.get("Messages", [])
        for each in messages:
            event = json.loads(each["Body"])
            detail = event["detail"]
            if (detail["execution-id"], detail["state"]) == (trial.execution_id, "STARTED"):
                name = f"{event['detail-type']} {detail.get('stage')} {detail.get('action')}"
                at = datetime.fromisoformat(detail["start-time"]).timestamp()
                came.setdefault(name, []).append((at, since, answer.answered))
        if not messages:
            return answer.sent


@question(
    "a day and a half",
    long=True,
    action_timeout_seconds="How long can a custom action wait for its job?",
    timeout_counts="Is that limit for all jobs of an action together, or for each?",
)
def timeouts(probe: Probe) -> Findings:
    """Took two actions' jobs, left one alone and continued the other, until both had failed."""
    clock = probe.calls.clock
    with probe.trial(2) as trial:
        held = [probe.held(trial) for _ in range(2)]
        ids = {job["data"]["pipelineContext"]["action"]["name"]: job["id"] for job in held}
        clock.wait(max(0.0, trial.start.sent + CONTINUED_AFTER - clock.now()))
        after = clock.now() - trial.start.sent
        early = probe.actions(trial)["Work-2"]["status"] != "InProgress"
        if not early:
            token = {"jobId": ids["Work-2"], "continuationToken": "next"}
            probe.do("put_job_success_result", **token)
        silent = probe.ended(trial, "Work-1", DAY)
        yield Found("timed_out_action", json.dumps(error_of(silent)), "once", fact=True)
        yield lasted("action_timeout_seconds", duration(silent))
        if early:
            raise UnansweredError(f"The action failed before it was {after:g} s old")
        later = duration(probe.ended(trial, "Work-2", 2 * DAY)) - duration(silent)
    sure = f"a job continued after {after:.0f} s failed {later:.0f} s later"
    for counts, difference in (("action", 0.0), ("job", after)):
        if abs(later - difference) < after / 10:
            yield Found("timeout_counts", counts, sure)
            return
    raise UnansweredError(sure)


@question(
    "the answer",
    long=True,
    third_party_timeout_seconds="How long can a partner action wait for its job?",
)
def partner_timeout(probe: Probe) -> Findings:
    """Left a partner job alone until its action had failed."""
    with probe.partner_job() as (trial, _):
        seconds = duration(probe.ended(trial, "Work-1", DAY))
    yield lasted("third_party_timeout_seconds", seconds)
