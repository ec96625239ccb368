"""CodePipeline's job operations as this project calls them, with its errors as ours.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from acknowledger.aws import client, input_shape
from acknowledger.config import ActionType
from acknowledger.errors import ActionTypeNotFoundException, codepipeline_errors
from acknowledger.validation import validate

# PollForJobs has no documented maximum; what it gives back beyond a batch comes with the next.
BATCH_SIZE = 100


def poll(action_type: ActionType) -> list[dict[str, Any]]:
    """The next jobs offered for an action type, with their secrets; [] when none are."""
    with codepipeline_errors():
        answer = client("codepipeline").poll_for_jobs(
            actionTypeId=action_type.as_id(), maxBatchSize=BATCH_SIZE
        )
    return list(answer.get("jobs", []))


@functools.cache
def secret_properties(action_type: ActionType) -> frozenset[str]:
    """The names of the configuration properties that the action type declares secret.

    An action type cannot be changed under its version, so the answer is kept.

    Raises:
        ActionTypeNotFoundException: it isn't registered (yet).
        CodePipelineUnavailable: worth another try.
    """
    with codepipeline_errors():
        pages = client("codepipeline").get_paginator("list_action_types")
        for page in pages.paginate(actionOwnerFilter=action_type.owner):
            for listed in page["actionTypes"]:
                if listed["id"] == action_type.as_id():
                    properties = listed.get("actionConfigurationProperties", [])
                    return frozenset(item["name"] for item in properties if item.get("secret"))
    raise ActionTypeNotFoundException(f"{action_type} is not registered in this account and region")


def acknowledge(request: Mapping[str, Any]) -> str:
    """Acknowledge a job once and return its status: InProgress means that it is ours.

    Args:
        request: `{jobId, nonce}`.

    Raises:
        ValidationException, InvalidNonceException, JobNotFoundException: final.
        CodePipelineThrottled: without effect, worth another try.
        CodePipelineUnavailable: perhaps with effect.
    """
    with codepipeline_errors():
        answer = client("codepipeline", retrying=False).acknowledge_job(**request)
    return str(answer["status"])


def put_success(request: Mapping[str, Any]) -> None:
    """Report a job's success; saying the same again is accepted.

    Args:
        request: `{jobId, outputVariables, executionDetails, currentRevision, continuationToken}`,
            all but the first optional.

    Raises:
        ValidationException, OutputVariablesSizeExceededException: the result breaks a limit.
        InvalidJobStateException, JobNotFoundException: CodePipeline has ended the job otherwise.
        CodePipelineUnavailable: worth another try.
    """
    validate(input_shape("codepipeline", "PutJobSuccessResult"), request)
    with codepipeline_errors():
        client("codepipeline").put_job_success_result(**request)


def put_failure(request: Mapping[str, Any]) -> None:
    """Report a job's failure; saying the same again is accepted.

    Args:
        request: `{jobId, failureDetails: {type, message}}`.

    Raises:
        ValidationException: the request breaks a limit.
        InvalidJobStateException, JobNotFoundException: CodePipeline has ended the job otherwise.
        CodePipelineUnavailable: worth another try.
    """
    validate(input_shape("codepipeline", "PutJobFailureResult"), request)
    with codepipeline_errors():
        client("codepipeline").put_job_failure_result(**request)
