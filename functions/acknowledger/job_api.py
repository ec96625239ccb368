"""CodePipeline's job operations as this project calls them, with its errors as ours.

A partner's job has a client id, and its operations take the client's token; apart from that they
are the same. A request here has `clientId` for a partner's job, and the token is put in its place
at the last moment.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_Operations.html
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore import xform_name

from acknowledger import errors
from acknowledger.aws import client, operation_model
from acknowledger.client_tokens import client_token
from acknowledger.config import ActionType, Query
from acknowledger.log import logger
from acknowledger.room import BATCH_SIZE
from acknowledger.validation import validate, violations

# Public workers ask for so many, and get them.
SMALLEST_BATCH = 10
# By owner of an action type the largest batch that was not refused, once one was.
_largest_batch: dict[str, int] = {}


@dataclass(frozen=True)
class Properties:
    """What an action type's configuration properties mean to us.

    secret: the names of those whose values are secret.
    queryable: the name of the one whose value a poll must give, "" for none.
    """

    secret: frozenset[str]
    queryable: str


def poll(action_type: ActionType, at_most: int, query: Query | None = None) -> list[dict[str, Any]]:
    """What is offered next for an action type; [] when nothing is.

    Nobody has published how large a batch may be: what is refused is asked for by halves, down to
    SMALLEST_BATCH, and what is taken then is kept to.

    Args:
        query: which value of its queryable property, if it has one.

    Returns:
        for a custom action type jobs with their secrets, `{id, nonce, accountId, data}`; for a
        partner's `{clientId, jobId}`, whose `details` are yet to be asked for.

    Raises:
        ActionTypeNotFoundException, CodePipelineThrottled, CodePipelineUnavailable
        ValidationException: whatever the batch.
    """
    largest = largest_batch(action_type)
    size = min(at_most, largest)
    while True:
        try:
            jobs = _poll(action_type, size, query)
        except errors.ValidationException:
            if size <= SMALLEST_BATCH:
                raise
            largest = size = max(SMALLEST_BATCH, size // 2)
            continue
        if largest < largest_batch(action_type):
            _largest_batch[action_type.owner] = largest
            logger.warning("CodePipeline takes no larger batches", max_batch_size=largest)
        return jobs


def largest_batch(action_type: ActionType) -> int:
    """The largest batch that CodePipeline is not known to refuse."""
    return _largest_batch.get(action_type.owner, BATCH_SIZE)


def _poll(action_type: ActionType, size: int, query: Query | None) -> list[dict[str, Any]]:
    partner = action_type.owner == "ThirdParty"
    name = "poll_for_third_party_jobs" if partner else "poll_for_jobs"
    operation = getattr(client("codepipeline"), name)
    asked = {"queryParam": {query.property: query.value}} if query else {}
    with errors.codepipeline_errors():
        try:
            answer = operation(actionTypeId=action_type.as_id(), maxBatchSize=size, **asked)
            return list(answer.get("jobs", []))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # botocore takes for granted that answers are as they are modelled.
            why = f"an answer that is not as documented: {type(error).__name__}"
            raise errors.CodePipelineUnavailable(why) from None


def details(offer: dict[str, Any]) -> dict[str, Any]:
    """An offer as the job that it is, with its secrets: `{id, nonce, data}` and more.

    A custom job is complete as it was polled; a partner's is asked for and gets its `clientId`.

    Raises:
        ClientTokenMissing, InvalidClientTokenException: this client's jobs can't be had.
        JobNotFoundException, InvalidJobException: this job can't be had.
        CodePipelineThrottled, CodePipelineUnavailable, ParameterStoreUnavailable
    """
    if "jobId" not in offer:
        return offer
    answer = _with_token("GetJobDetails", offer)
    return {**answer["jobDetails"], "clientId": offer["clientId"]}


@functools.cache
def properties(action_type: ActionType) -> Properties:
    """What the action type declares of its configuration properties.

    An action type cannot be changed under its version, so the answer is kept.

    Raises:
        ActionTypeNotFoundException: it isn't registered (yet), or not listed for us.
        CodePipelineThrottled, CodePipelineUnavailable
    """
    with errors.codepipeline_errors():
        pages = client("codepipeline").get_paginator("list_action_types")
        for page in pages.paginate(actionOwnerFilter=action_type.owner):
            for listed in page["actionTypes"]:
                if listed["id"] == action_type.as_id():
                    declared = listed.get("actionConfigurationProperties", [])
                    secret = frozenset(each["name"] for each in declared if each.get("secret"))
                    queryable = (each["name"] for each in declared if each.get("queryable"))
                    return Properties(secret, next(queryable, ""))
    missing = f"{action_type} is not registered in this account and region"
    raise errors.ActionTypeNotFoundException(missing)


def check_acknowledgment(request: Mapping[str, Any]) -> None:
    """Check an acknowledgment: `{jobId, nonce}`, with `clientId` or `clientToken` for a partner's.

    Raises:
        ValidationException: naming every member that breaks a limit.
    """
    also: list[tuple[str, str]] = []
    if "clientId" in request:
        jobs = operation_model("codepipeline", "PollForThirdPartyJobs").output_shape.members["jobs"]
        client_id = jobs.member.members["clientId"]
        also += violations(client_id, request["clientId"], "clientId")
        if "clientToken" in request:
            also.append(("clientToken", "Member must not stand beside clientId"))
    _check("AcknowledgeJob", request, also)


def acknowledge(request: Mapping[str, Any]) -> str:
    """Acknowledge a job once and return its status: InProgress means that it is ours.

    Args:
        request: as `check_acknowledgment` takes it.

    Raises:
        CodePipelineUnavailable: perhaps with effect.
        every other AcknowledgerError: without.
    """
    return str(_with_token("AcknowledgeJob", request, retrying=False)["status"])


def check_success(request: Mapping[str, Any]) -> None:
    """Raise ValidationException, naming all, if members of a `put_success` break limits."""
    _check("PutJobSuccessResult", request)


def put_success(request: Mapping[str, Any]) -> None:
    """Report a job's success; saying the same again is accepted.

    Args:
        request: `{jobId, clientId, executionDetails, currentRevision, continuationToken}` and for a
            custom job `outputVariables`; all but the first optional.

    Raises:
        ValidationException, OutputVariablesSizeExceededException: the result breaks a limit.
        InvalidJobStateException, JobNotFoundException: CodePipeline has ended the job otherwise.
        CodePipelineThrottled, CodePipelineUnavailable: worth another try.
        ClientTokenMissing, InvalidClientTokenException, ParameterStoreUnavailable: a partner's.
    """
    check_success(request)
    _with_token("PutJobSuccessResult", request)


def put_failure(request: Mapping[str, Any]) -> None:
    """Report a job's failure, `{jobId, clientId, failureDetails: {type, message}}`, likewise."""
    _check("PutJobFailureResult", request)
    _with_token("PutJobFailureResult", request)


def _for_owner(operation: str, request: Mapping[str, Any]) -> str:
    """The operation for a request's job: a partner's has one of its own for each."""
    partner = "clientId" in request or "clientToken" in request
    return operation.replace("Job", "ThirdPartyJob", 1) if partner else operation


def _check(
    operation: str, request: Mapping[str, Any], also: Iterable[tuple[str, str]] = ()
) -> None:
    known = {"clientToken": "-"} if "clientId" in request else {}
    rest = {name: value for name, value in request.items() if name != "clientId"}
    shape = operation_model("codepipeline", _for_owner(operation, request)).input_shape
    validate(shape, rest | known, also)


def _with_token(operation: str, request: Mapping[str, Any], *, retrying: bool = True) -> Any:
    """Call an operation, with the client's token in place of its id; a rotated one is reread."""
    method = xform_name(_for_owner(operation, request))
    call = getattr(client("codepipeline", retrying=retrying), method)
    if "clientId" not in request:
        with errors.codepipeline_errors():
            return call(**request)
    client_id = request["clientId"]
    rest = {name: value for name, value in request.items() if name != "clientId"}
    token = client_token(client_id)
    try:
        with errors.codepipeline_errors():
            return call(**rest, clientToken=token)
    except errors.InvalidClientTokenException:
        rotated = client_token(client_id, anew=True)
        if rotated == token:
            raise
    with errors.codepipeline_errors():
        return call(**rest, clientToken=rotated)
