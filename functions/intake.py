"""Intake: takes every job that CodePipeline offers and starts its execution."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from acknowledger import bus, executions, intake_table, job_api, job_table, offers
from acknowledger.aws import client, prepare
from acknowledger.config import ActionType, IntakeConfig
from acknowledger.continuation import continued
from acknowledger.errors import (
    AcknowledgerError,
    ActionTypeNotFoundException,
    ClientTokenMissing,
    ContinuedElsewhere,
    IntakeIncomplete,
    InvalidClientTokenException,
)
from acknowledger.log import about, logger, printable
from acknowledger.moments import ago, seconds_since
from acknowledger.room_keeping import execution_arn, make_room
from acknowledger.rooms import AWAITED, BATCH_SIZE, GIVEN, Room

metrics = Metrics()
prepare("codepipeline", "dynamodb", "stepfunctions")

# STARTED may come before its job can be polled: then Intake looks again after these pauses.
LOOK_AGAIN_SECONDS = (0.5, 1, 2, 3, 4, 5)
# What is still offered when an invocation ends is found by the next one.
TIME_TO_FINISH_MS = 10_000
STARTS_AT_ONCE = 50
# Of what failed an error names so many.
PROBLEMS_NAMED = 10
# After so many batches of which nothing could be taken it is the other action types' turn.
FRUITLESS_BATCHES = 10
# The metrics of an invocation. A sweep is an action type looked through without a failure.
COUNTED = ("Sweeps", "Polls", "EmptyPolls", "PollFailures", "OffersSeen", "OffersTaken")


@functools.cache
def config() -> IntakeConfig:
    """The deployment's settings, read once."""
    return IntakeConfig.from_environment(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Poll until nothing more is offered, or there is no more room, and start an execution each.

    Args:
        event: one of
            "CodePipeline Action Execution State Change" with state STARTED, which polls its
            action type until its very job has come or a bounded while has passed;
            "Scheduled Event", which polls every action type once through and heals what went
            wrong before;
            "Step Functions Execution Status Change" of an execution that has ended, which gives
            its room to the next;
            "Pause Intake" and "Resume Intake", with the detail `{actionTypes: [...]}` or for all.

    Returns:
        `{"offered": jobs that CodePipeline offered, "taken": those that an execution follows}`;
        for a pause or its end `{"paused": the action types that are paused now}`.

    Raises:
        EventInvalid: the event is none of these, or names an action type that is not served.
        IntakeIncomplete: after all the rest was done; names what failed. Nothing is lost by it:
            CodePipeline offers again what is not acknowledged.
    """
    kind, detail = offers.detail_of(event, HANDLED.keys())
    with ThreadPoolExecutor(STARTS_AT_ONCE) as starters:
        sweep = Sweep(lambda: context.get_remaining_time_in_millis() > TIME_TO_FINISH_MS, starters)
        answer = HANDLED[kind](sweep, detail)
    if answer is not None:
        return answer
    for name, count in sweep.counts.items():
        metrics.add_metric(name, MetricUnit.Count, count)
    if sweep.problems:
        raise IntakeIncomplete(printable(told(sweep.problems)))
    return {"offered": sweep.counts["OffersSeen"], "taken": sweep.counts["OffersTaken"]}


def on_schedule(sweep: Sweep, _detail: dict[str, Any]) -> None:
    """Take what is offered for every action type, and heal what went wrong before.

    All at once, so that none waits until another with much to do is through.
    """
    action_types = config().action_types
    with ThreadPoolExecutor(len(action_types)) as pollers:
        list(pollers.map(functools.partial(sweep.take, heal=True), action_types))
    sweep.look_after()


def on_started(sweep: Sweep, detail: dict[str, Any]) -> None:
    """Take the job that a STARTED event tells of, and what else is offered."""
    action_type = offers.started_action(detail, set(config().action_types))
    logger.append_keys(
        action_type=str(action_type), action_execution_id=detail.get("action-execution-id")
    )
    sweep.take_until_found(action_type, detail)


def on_ended(sweep: Sweep, detail: dict[str, Any]) -> None:
    """Give an ended execution's room to the next."""
    execution, ended_type = offers.ended_execution(detail)
    for action_type in config().action_types:
        if ended_type in (str(action_type), None) and config().max_jobs_in_flight[action_type]:
            intake_table.give_back(str(action_type), execution)
            sweep.take(action_type)


def on_pause(_sweep: Sweep, detail: dict[str, Any]) -> dict[str, list[str]]:
    """Take no more jobs; those in flight go on."""
    return pause(detail, paused=True)


def on_resume(_sweep: Sweep, detail: dict[str, Any]) -> dict[str, list[str]]:
    """Take jobs again, from the next event or sweep on."""
    return pause(detail, paused=False)


def told(problems: list[str]) -> str:
    """What failed, in as many words as an error may have."""
    more = len(problems) - PROBLEMS_NAMED
    return "; ".join(problems[:PROBLEMS_NAMED]) + (f"; and {more} more" if more > 0 else "")


def pause(detail: dict[str, Any], *, paused: bool) -> dict[str, list[str]]:
    """Pause or resume intake; the action types that are paused then."""
    chosen = offers.chosen_types(detail, set(config().action_types))
    for action_type in chosen:
        intake_table.pause(str(action_type), paused=paused)
    logger.info(
        "Intake paused" if paused else "Intake resumed", action_types=[str(one) for one in chosen]
    )
    rooms = (intake_table.read(str(one), 0) for one in config().action_types)
    return {"paused": [room.action_type for room in rooms if room.paused]}


HANDLED: dict[str, Callable[[Sweep, dict[str, Any]], dict[str, Any] | None]] = {
    "Scheduled Event": on_schedule,
    "CodePipeline Action Execution State Change": on_started,
    "Step Functions Execution Status Change": on_ended,
    "Pause Intake": on_pause,
    "Resume Intake": on_resume,
}


class Sweep:
    """One invocation's polling: what it took, and what went wrong on the way."""

    def __init__(self, has_time: Callable[[], bool], starters: ThreadPoolExecutor) -> None:
        self.has_time = has_time
        self._starters = starters
        self._counting = threading.Lock()
        self.counts = dict.fromkeys(COUNTED, 0)
        self.problems: list[str] = []
        self.may_look_again = True

    def take(
        self,
        action_type: ActionType,
        *,
        heal: bool = False,
        looked_for: dict[str, Any] | None = None,
    ) -> bool:
        """Take everything offered for an action type that there is room for.

        Args:
            heal: also give back the room of executions that ended unnoticed.
            looked_for: the detail of a STARTED event.

        Returns:
            whether the job of that event was among what was taken.
        """
        found = False
        try:
            secret = secret_properties(action_type)
            limit = config().max_jobs_in_flight[action_type]
            room = make_room(str(action_type), limit, config().state_machine_arn, heal=heal)
            wanted, fruitless = room.to_ask_for, 0
            while (
                self.has_time()
                and fruitless < FRUITLESS_BATCHES
                and wanted
                and (batch := self._poll(action_type, wanted))
            ):
                started = self._start(batch, action_type, secret, room)
                if looked_for:
                    found = found or any(offers.is_for(one["job"], looked_for) for one in started)
                fruitless = 0 if started else fruitless + 1
                if not room.unlimited:
                    room = intake_table.read(str(action_type), limit)
                if room.left:
                    wanted = room.to_ask_for
                else:
                    more = room.to_ask_for and len(batch) == wanted
                    wanted = min(BATCH_SIZE, wanted * 2) if more else 0
            self.may_look_again = bool(room.to_ask_for)
            if heal:
                self._remind({"jobId": job_id} for job_id in room.unshown)
            self._count(Sweeps=1)
        except AcknowledgerError as error:
            self.problems.append(f"polling {action_type}: {type(error).__name__}: {error}")
        return found

    def take_until_found(self, action_type: ActionType, detail: dict[str, Any]) -> None:
        """Take everything offered, again for a while, until the job of `detail` was there."""
        for wait in (0, *LOOK_AGAIN_SECONDS):
            time.sleep(wait)
            found = self.take(action_type, looked_for=detail)
            if found or self.problems or not self.may_look_again or not self.has_time():
                return
            try:
                if taken_before(detail):
                    return
            except AcknowledgerError as error:
                self.problems.append(str(error))
                return
        logger.info("The job of this event was not offered in time: it is left to the sweep")

    def look_after(self) -> None:
        """Count the jobs in flight, and have those looked after of whose end no event told."""
        if not self.has_time():
            return
        try:
            found = job_table.survey()
            bus.put(config().bus_name, "Job Due", *({"jobId": job_id} for job_id in found.due))
        except AcknowledgerError as error:
            self.problems.append(f"looking after the jobs in flight: {error}")
            return
        oldest = seconds_since(found.oldest) if found.oldest else 0
        metrics.add_metric("JobsInFlight", MetricUnit.Count, found.in_flight)
        metrics.add_metric("OldestJobAge", MetricUnit.Seconds, oldest)

    def _remind(self, details: Iterable[dict[str, Any]]) -> None:
        """Ask Report to show what it knows of the progress of jobs."""
        bus.put(config().bus_name, "Job Progress", *details)

    def _poll(self, action_type: ActionType, at_most: int) -> list[dict[str, Any]]:
        """What is offered next, counted."""
        try:
            batch = job_api.poll(action_type, at_most)
        except AcknowledgerError:
            self._count(Polls=1, PollFailures=1)
            raise
        self._count(Polls=1, EmptyPolls=not batch, OffersSeen=len(batch))
        return batch

    def _start(
        self,
        batch: list[dict[str, Any]],
        action_type: ActionType,
        secret: frozenset[str] | None,
        room: Room,
    ) -> list[dict[str, Any]]:
        """Start an execution for each offer of a batch; their inputs."""
        start_one = functools.partial(
            self._start_one,
            room=room,
            action_type=action_type,
            timeouts=config().timeouts,
            secret_properties=secret,
            offered_at=ago(0),
        )

        def start(offer: dict[str, Any]) -> Any:
            if self.has_time():
                return start_one(offer)
            # Step Functions took long over the others of the batch.
            logger.warning(
                "Offer left alone",
                job_id=job_id_of(offer),
                action_type=room.action_type,
                reason="no time is left",
            )
            return None

        taken = [start_input for start_input in self._starters.map(start, batch) if start_input]
        self._count(OffersTaken=len(taken))
        return taken

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, count in more.items():
                self.counts[name] += count

    def _start_one(self, offer: dict[str, Any], *, room: Room, **known: Any) -> Any:
        """Start one offer's execution; its input, or None if this offer can't be taken."""
        try:
            offer = job_api.details(offer)
            continues = continued(
                offer["data"].get("continuationToken"), config().state_machine_arn
            )
            if continues is None and not room.left:
                # It came with one that was awaited, and is offered again when there is room.
                return None
            start_input = offers.execution_input(offer, continues=continues, **known)
            job = start_input["job"]
            arn = start_execution(start_input, room)
            if continues and continues["jobId"] in room.awaiting:
                since = room.awaiting[continues["jobId"]]
                intake_table.expect_no_more(room.action_type, continues["jobId"], since)
        except ContinuedElsewhere as error:
            logger.warning(
                "Offer left alone",
                job_id=offer["id"],
                action_type=room.action_type,
                reason=str(error),
            )
            return None
        except (ClientTokenMissing, InvalidClientTokenException) as error:
            # It costs only that client's jobs. The message says all; a trace would add nothing.
            logger.error(
                "Client token refused",
                job_id=offer["jobId"],
                client_id=offer["clientId"],
                action_type=room.action_type,
                error=str(error),
            )
            metrics.add_metric("ClientTokensRefused", MetricUnit.Count, 1)
            return None
        except (AcknowledgerError, ClientError, BotoCoreError) as error:
            self._give_up(offer, room, f"{type(error).__name__}: {error}")
            return None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            # No job of CodePipeline's looks like that; its neighbours in the batch may.
            self._give_up(offer, room, f"not as documented: {type(error).__name__} {error}")
            return None
        pipeline = job["data"].get("pipelineContext", {}).get("pipelineName")
        row = {**start_input, **job, "jobId": job["id"], "execution": arn, "pipelineName": pipeline}
        logger.info("Offer taken", **about(row))
        return start_input

    def _give_up(self, offer: Any, room: Room, why: str) -> None:
        logger.warning(
            "Offer not taken",
            job_id=job_id_of(offer),
            action_type=room.action_type,
            reason=why,
        )
        self.problems.append(f"starting job {job_id_of(offer)}: {why}")


def job_id_of(offer: Any) -> Any:
    """What an offer calls its job, if it does."""
    named = offer if isinstance(offer, dict) else {}
    return named.get("id") or named.get("jobId")


def taken_before(detail: dict[str, Any]) -> bool:
    """Whether another invocation has taken the job of a STARTED event: the table knows it then."""
    if "action-execution-id" not in detail:
        return False
    known = job_table.find_by(
        "ByActionExecution", "actionExecutionId", detail["action-execution-id"]
    )
    return next(known, None) is not None


def secret_properties(action_type: ActionType) -> frozenset[str] | None:
    """The names of the secret properties, or None where a partner's action type isn't listed."""
    try:
        return job_api.secret_properties(action_type)
    except ActionTypeNotFoundException:
        if action_type.owner == "Custom":
            raise
        return None


def start_execution(start_input: dict[str, Any], room: Room) -> str:
    """Start an offer's execution, or find it running; its ARN.

    Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html

    Where CodePipeline offers a job again under the same nonce, the execution's name is taken: by
    one still running, which goes on, or by one that has ended without an acknowledgment, which is
    followed by another. Another also acknowledges again what the running one has acknowledged.
    """
    job, at = start_input["job"], start_input["offeredAt"]
    name = offers.execution_name(job["id"], job["nonce"])
    try:
        return start_as(name, start_input, room)
    except client("stepfunctions").exceptions.ExecutionAlreadyExists:
        arn = execution_arn(config().state_machine_arn, name)
        running = executions.is_running(arn)
        if running and not in_progress(job["id"]):
            return arn
    if not (room.unlimited or running):
        intake_table.give_back(room.action_type, name)
    return start_as(offers.execution_name_again(job["id"], job["nonce"], at), start_input, room)


def in_progress(job_id: str) -> bool:
    """Whether the table says that a job was acknowledged and has not ended."""
    row = job_table.find(job_id)
    return row is not None and row["status"] == "InProgress"


def start_as(name: str, start_input: dict[str, Any], room: Room) -> str:
    """Start an execution under a name, with room or a place among the waiting; its ARN.

    A job that continues one in flight has that one's room.
    """
    if not room.unlimited and "continues" not in start_input:
        has_room = intake_table.take(room, name, start_input["job"]["id"], start_input["offeredAt"])
        start_input = {**start_input, "room": GIVEN if has_room else AWAITED}
    answer = client("stepfunctions").start_execution(
        stateMachineArn=config().state_machine_arn, name=name, input=json.dumps(start_input)
    )
    return str(answer["executionArn"])
