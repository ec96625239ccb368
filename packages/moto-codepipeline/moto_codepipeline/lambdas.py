"""Lambda invoke actions: a function gets a job, and puts its result as a job worker does.

Documented: the event, the asynchronous invocation, the 30 seconds before an invocation with a
continuation token, 20 minutes for each result and 24 hours in all. Recorded: ``expirationTime``,
the null for an artifact without a revision, the text for a missing function.
"""

import json
from collections.abc import Mapping
from typing import Any

from .runs import ActionFailedError

NO_RESULT = (
    "The AWS Lambda function {} failed to return a result. Check the function to verify that it "
    "has permission to call the PutJobSuccessResult action and that it made a call to "
    "PutJobSuccessResult."
)
"""The error of a Lambda action whose function puts no result in time (reported)."""


def event(job_id: str, account_id: str, data: Mapping[str, Any], expires: float) -> str:
    """The function's event, as JSON: a job's data without the members for job workers only.

    ``expires`` is when the artifact credentials expire, in seconds since the epoch.
    """
    kept = {
        name: member
        for name, member in data.items()
        if name not in ("actionTypeId", "pipelineContext")
    }
    credentials = {**data["artifactCredentials"], "expirationTime": round(expires * 1000)}
    kept |= {"artifactCredentials": credentials}
    for side in ("inputArtifacts", "outputArtifacts"):
        kept[side] = [{"revision": None} | artifact for artifact in data[side]]
    return json.dumps({"CodePipeline.job": {"id": job_id, "accountId": account_id, "data": kept}})


def check_function(account_id: str, region_name: str, name: str) -> None:
    """Raise ActionFailedError unless moto has the function."""
    try:
        from moto.awslambda.exceptions import UnknownFunctionException  # noqa: PLC0415
        from moto.awslambda.utils import get_backend  # noqa: PLC0415 - slow, seldom needed
    except ImportError as error:
        message = "There are no Lambda functions here: install moto[awslambda]"
        raise ActionFailedError("ConfigurationError", message) from error
    try:
        get_backend(account_id, region_name).get_function(name)
    except (UnknownFunctionException, KeyError) as error:  # KeyError: moto has no such Region
        message = f"The AWS Lambda function {name} does not exist."  # recorded
        raise ActionFailedError("ConfigurationError", message) from error


def invoke_in_moto(account_id: str, region_name: str, name: str, payload: str) -> None:
    """Invoke one of moto's functions with an event, in this process."""
    from moto.awslambda.utils import get_backend  # noqa: PLC0415 - as above

    headers = {"X-Amz-Invocation-Type": "Event"}
    get_backend(account_id, region_name).invoke(name, None, payload, headers, {})
