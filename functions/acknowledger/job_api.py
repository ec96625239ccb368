"""CodePipeline's job operations, with its errors as ours.

The operations for partner jobs take a client token and are otherwise the same. A request here has
`clientId` for a partner job; the token takes its place at the last moment.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_Operations.html
"""

import functools
import threading
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

# Published workers ask for this many, which CodePipeline accepts.
SMALLEST_BATCH = 10
# By owner of the action type: the largest batch that was accepted, once one was refused.
_largest_batch: dict[str, int] = {}
_remembering = threading.Lock()


@dataclass(frozen=True)
class Properties:
    """What we need to know of an action type's configuration properties.

    secret: the names of the secret properties.
    queryable: the name of the queryable property, whose value a poll must name; "" for none, as
        for a partner's action type: PollForThirdPartyJobs takes no value.
    """

    secret: frozenset[str]
    queryable: str


def poll(action_type: ActionType, at_most: int, query: Query | None = None) -> list[dict[str, Any]]:
    """The next jobs offered for an action type; [] if there are none.

    The largest allowed batch is not published: a refused batch is halved, down to SMALLEST_BATCH,
    and the accepted size is kept.

    Args:
        query: the value of the queryable property, if the type has one.

    Returns:
        for a custom action type, jobs with their secrets, `{id, nonce, accountId, data}`; for a
        partner's, `{clientId, jobId}`, to be completed by `details`.

    Raises:
        ActionTypeNotFoundException, CodePipelineThrottled, CodePipelineUnavailable
        ValidationException: with any batch size.
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
        with _remembering:
            if largest < largest_batch(action_type):
                _largest_batch[action_type.owner] = largest
                logger.warning("CodePipeline accepts no larger batches", max_batch_size=largest)
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
            # botocore relies on its model of the response.
            why = f"the response is not as documented: {type(error).__name__}"
            raise errors.CodePipelineUnavailable(why) from None


def details(offer: dict[str, Any]) -> dict[str, Any]:
    """The job of an offer, with its secrets: `{id, nonce, data}` and more.

    A custom job is complete as polled; for a partner job, GetThirdPartyJobDetails is called.

    Raises:
        ClientTokenMissing, InvalidClientTokenException: this client's jobs are not available.
        JobNotFoundException, InvalidJobException: this job is not available.
        CodePipelineThrottled, CodePipelineUnavailable, ParameterStoreUnavailable
    """
    if "jobId" not in offer:
        return offer
    answer = _with_token("GetJobDetails", offer)
    return {**answer["jobDetails"], "clientId": offer["clientId"]}


@functools.cache
def properties(action_type: ActionType) -> Properties:
    """What the action type declares about its configuration properties.

    A version of an action type can't be changed, so the result is cached.

    Raises:
        ActionTypeNotFoundException: it isn't registered (yet), or isn't listed for this account.
        CodePipelineThrottled, CodePipelineUnavailable
    """
    with errors.codepipeline_errors():
        pages = client("codepipeline").get_paginator("list_action_types")
        for page in pages.paginate(actionOwnerFilter=action_type.owner):
            for listed in page["actionTypes"]:
                if listed["id"] == action_type.as_id():
                    declared = listed.get("actionConfigurationProperties", [])
                    secret = frozenset(each["name"] for each in declared if each.get("secret"))
                    polled = declared if action_type.owner == "Custom" else []
                    queryable = (each["name"] for each in polled if each.get("queryable"))
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
            also.append(("clientToken", "Member must not be set beside clientId"))
    _check("AcknowledgeJob", request, also)


def acknowledge(request: Mapping[str, Any]) -> str:
    """Acknowledge a job once and return its status: InProgress means that it is ours.

    Args:
        request: as `check_acknowledgment` takes it.

    Raises:
        CodePipelineUnavailable: the call may have taken effect.
        every other AcknowledgerError: it has not.
    """
    return str(_with_token("AcknowledgeJob", request, retrying=False)["status"])


def check_success(request: Mapping[str, Any]) -> None:
    """Raise ValidationException, naming every member of a `put_success` that breaks a limit."""
    _check("PutJobSuccessResult", request)


def put_success(request: Mapping[str, Any]) -> None:
    """Report a job's success; reporting the same again is accepted.

    Args:
        request: `{jobId, clientId, executionDetails, currentRevision, continuationToken}` and for a
            custom job `outputVariables`; all but the first are optional.

    Raises:
        ValidationException, OutputVariablesSizeExceededException: the result breaks a limit.
        InvalidJobStateException, JobNotFoundException: the job has ended with another result.
        CodePipelineThrottled, CodePipelineUnavailable: worth another try.
        ClientTokenMissing, InvalidClientTokenException, ParameterStoreUnavailable: partner jobs.
    """
    check_success(request)
    _with_token("PutJobSuccessResult", request)


def put_failure(request: Mapping[str, Any]) -> None:
    """Report a job's failure likewise: `{jobId, clientId, failureDetails: {type, message}}`."""
    _check("PutJobFailureResult", request)
    _with_token("PutJobFailureResult", request)


def _for_owner(operation: str, request: Mapping[str, Any]) -> str:
    """The operation for a request's job: each has a variant for partner jobs."""
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
    """Call an operation with the client's token for its id; reread the token if it was rotated."""
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
