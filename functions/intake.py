"""Intake: takes every job that CodePipeline offers and starts its execution."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from acknowledger import job_api, offers
from acknowledger.aws import client
from acknowledger.config import ActionType, IntakeConfig
from acknowledger.errors import (
    AcknowledgerError,
    ActionTypeNotFoundException,
    ClientTokenMissing,
    IntakeIncomplete,
    InvalidClientTokenException,
    table_errors,
)

logger = Logger(service="Intake")
metrics = Metrics(service="Intake")

# STARTED may come before its job can be polled: then Intake looks again after these pauses.
LOOK_AGAIN_SECONDS = (0.5, 1, 2, 3, 4, 5)
# What is still offered when an invocation ends is found by the next one.
TIME_TO_FINISH_MS = 10_000
STARTS_AT_ONCE = 16


@functools.cache
def config() -> IntakeConfig:
    """The deployment's settings, read once."""
    return IntakeConfig.from_environment(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Poll until nothing more is offered, and start one execution per offer.

    Args:
        event: "CodePipeline Action Execution State Change" with state STARTED, which polls its
            action type until its very job has come or a bounded while has passed; or
            "Scheduled Event", which polls every action type once through.

    Returns:
        `{"offered": jobs that CodePipeline offered, "taken": those that an execution follows}`.

    Raises:
        EventInvalid: the event is neither, or names an action type that is not served.
        IntakeIncomplete: after all the rest was done; names what failed. Nothing is lost by it:
            CodePipeline offers again what is not acknowledged.
    """
    started = offers.started_action(event, set(config().action_types))
    sweep = Sweep(lambda: context.get_remaining_time_in_millis() > TIME_TO_FINISH_MS)
    if started is None:
        for action_type in config().action_types:
            sweep.take(action_type)
    else:
        action_type, detail = started
        logger.append_keys(
            action_type=str(action_type), action_execution_id=detail.get("action-execution-id")
        )
        sweep.take_until_found(action_type, detail)
    metrics.add_metric("OffersSeen", MetricUnit.Count, sweep.offered)
    metrics.add_metric("OffersTaken", MetricUnit.Count, sweep.taken)
    if sweep.problems:
        raise IntakeIncomplete("; ".join(sweep.problems))
    return {"offered": sweep.offered, "taken": sweep.taken}


class Sweep:
    """One invocation's polling: what it took, and what went wrong on the way."""

    def __init__(self, has_time: Callable[[], bool]) -> None:
        self.has_time = has_time
        self.offered = 0
        self.taken = 0
        self.problems: list[str] = []

    def take(self, action_type: ActionType) -> list[dict[str, Any]]:
        """Take everything offered for an action type; the inputs of the executions started."""
        taken = []
        try:
            secret = secret_properties(action_type)
            while self.has_time() and (batch := job_api.poll(action_type)):
                self.offered += len(batch)
                taken += self._start(batch, action_type, secret)
        except AcknowledgerError as error:
            self.problems.append(f"polling {action_type}: {type(error).__name__}: {error}")
        return taken

    def take_until_found(self, action_type: ActionType, detail: dict[str, Any]) -> None:
        """Take everything offered, again for a while, until the job of `detail` was there."""
        for pause in (0, *LOOK_AGAIN_SECONDS):
            time.sleep(pause)
            taken = self.take(action_type)
            found = any(offers.is_for(start_input["job"], detail) for start_input in taken)
            if found or self.problems or not self.has_time():
                return
            try:
                if taken_before(detail):
                    return
            except AcknowledgerError as error:
                self.problems.append(str(error))
                return
        logger.info("The job of this event was not offered in time: it is left to the sweep")

    def _start(
        self, batch: list[dict[str, Any]], action_type: ActionType, secret: frozenset[str] | None
    ) -> list[dict[str, Any]]:
        """Start an execution for each offer of a batch; their inputs."""
        start = functools.partial(
            self._start_one,
            action_type=action_type,
            timeouts=config().timeouts,
            secret_properties=secret,
            offered_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            taken = [start_input for start_input in pool.map(start, batch) if start_input]
        self.taken += len(taken)
        return taken

    def _start_one(self, offer: dict[str, Any], **known: Any) -> dict[str, Any] | None:
        """Start one offer's execution; its input, or None if this offer can't be taken."""
        try:
            start_input = offers.execution_input(job_api.details(offer), **known)
            job = start_input["job"]
            arn = start_execution(start_input)
        except (ClientTokenMissing, InvalidClientTokenException) as error:
            # It costs only that client's jobs. The message says all; a trace would add nothing.
            logger.error(  # noqa: TRY400
                "Client token refused", job_id=offer["jobId"], error=str(error)
            )
            metrics.add_metric("ClientTokensRefused", MetricUnit.Count, 1)
            return None
        except (AcknowledgerError, ClientError, BotoCoreError) as error:
            self._give_up(offer, f"{type(error).__name__}: {error}")
            return None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            # No job of CodePipeline's looks like that; its neighbours in the batch may.
            self._give_up(offer, f"not as documented: {type(error).__name__} {error}")
            return None
        logger.info(
            "Offer taken",
            job_id=job["id"],
            action_type=start_input["actionType"],
            execution_arn=arn,
        )
        return start_input

    def _give_up(self, offer: dict[str, Any], why: str) -> None:
        job_id = offer.get("id") or offer.get("jobId")
        self.problems.append(f"starting job {job_id}: {why}")


def taken_before(detail: dict[str, Any]) -> bool:
    """Whether another invocation has taken the job of a STARTED event: the table knows it then."""
    if "action-execution-id" not in detail:
        return False
    with table_errors():
        answer = client("dynamodb").query(
            TableName=config().table_name,
            IndexName="ByActionExecution",
            KeyConditionExpression="actionExecutionId = :id",
            ExpressionAttributeValues={":id": {"S": detail["action-execution-id"]}},
            Limit=1,
        )
    return bool(answer["Items"])


def secret_properties(action_type: ActionType) -> frozenset[str] | None:
    """The names of the secret properties, or None where a partner's action type isn't listed."""
    try:
        return job_api.secret_properties(action_type)
    except ActionTypeNotFoundException:
        if action_type.owner == "Custom":
            raise
        return None


def start_execution(start_input: dict[str, Any]) -> str:
    """Start an offer's execution, or find it running; its ARN.

    Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html

    Where CodePipeline offers a job again under the same nonce, the execution's name is taken: by
    one still running, which goes on, or by one that has ended without an acknowledgment, which is
    followed by another.
    """
    step_functions = client("stepfunctions")
    machine = config().state_machine_arn
    job, at = start_input["job"], start_input["offeredAt"]
    start = functools.partial(
        step_functions.start_execution, stateMachineArn=machine, input=json.dumps(start_input)
    )
    name = offers.execution_name(job["id"], job["nonce"])
    try:
        return str(start(name=name)["executionArn"])
    except step_functions.exceptions.ExecutionAlreadyExists:
        arn = machine.replace(":stateMachine:", ":execution:") + f":{name}"
        if step_functions.describe_execution(executionArn=arn)["status"] == "RUNNING":
            return arn
    again = offers.execution_name_again(job["id"], job["nonce"], at)
    return str(start(name=again)["executionArn"])
