"""The wire format: JSON 1.1, checked against the service model before anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore import xform_name
from moto.codepipeline.responses import CodePipelineResponse
from moto.core.request import Request

from .exceptions import CONTENT_TYPE, CodePipelineError, UnknownOperationError, ValidationError
from .models import JobBackend, backend
from .validation import read_request

LIST_PAGE = 100
REST = "*"

Wire = tuple[int, dict[str, Any], str | bytes]


def _returns(member: str, *names: str, of: str | None = None) -> Callable[[Any], str]:
    """An operation whose backend method takes these members, and returns one, or nothing.

    The method has the operation's name, unless it is given.
    """

    def respond(self: JobResponse) -> str:
        method = getattr(self.codepipeline_backend, of or xform_name(self._get_action()))
        found = method(*self._given(*names))
        return json.dumps({member: found}) if member else ""

    return respond


class JobResponse(CodePipelineResponse):
    """One request to CodePipeline."""

    use_raw_body = True

    def __init__(self) -> None:
        super().__init__()
        self._request: dict[str, Any] = {}

    @property
    def codepipeline_backend(self) -> JobBackend:
        return backend(self.current_account, self.region)

    def _dispatch(self, request: Request, full_url: str | None = None, headers: Any = None) -> Wire:
        if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
            return _cbor_refusal()
        self.setup_class(request, full_url, headers)
        return self.call_action()

    def call_action(self) -> Wire:
        operation = self._get_action()
        try:
            if "Job" in str(operation):
                self.codepipeline_backend.admit(operation)
            self._request = read_request(operation, self.body)
            if not hasattr(self, xform_name(operation)):
                raise UnknownOperationError(f"{operation} is not emulated by this CodePipeline.")
        except CodePipelineError as error:
            headers, body = self._enrich_response(
                self.response_headers | dict(error.get_headers()), error.get_body()
            )
            return error.code, headers, body
        status, headers, body = super().call_action()
        headers.pop("status", None)
        headers["Content-Type"] = CONTENT_TYPE
        return status, headers, body

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        return self._request.get(param_name, if_none)

    def _given(self, *names: str) -> list[Any]:
        """These members of the request; ``REST`` stands for the others."""
        rest = {name: each for name, each in self._request.items() if name not in names}
        return [rest if name == REST else self._request.get(name) for name in names]

    # Action types

    def create_custom_action_type(self) -> str:
        action_type = self.codepipeline_backend.create_custom_action_type(self._request)
        return json.dumps({"actionType": action_type.shown(), "tags": action_type.tags})

    def get_action_type(self) -> str:
        return json.dumps({"actionType": self.codepipeline_backend.get_action_type(self._request)})

    delete_custom_action_type = _returns("", "category", "provider", "version")
    list_action_types = _returns("actionTypes", "actionOwnerFilter")
    update_action_type = _returns("", "actionType")

    # Pipelines: moto's responses, with timestamps as numbers, as in JSON 1.1

    def get_pipeline(self) -> str:
        pipeline, metadata = self.codepipeline_backend.get_pipeline(*self._given("name", "version"))
        return json.dumps({"pipeline": pipeline, "metadata": _with_numbers(metadata)})

    def list_pipelines(self) -> str:
        pipelines = self.codepipeline_backend.list_pipelines()
        return json.dumps({"pipelines": [_with_numbers(each) for each in pipelines]})

    # Executions

    start_pipeline_execution = _returns(
        "pipelineExecutionId", "name", "variables", "clientRequestToken", "sourceRevisions"
    )
    retry_stage_execution = _returns(
        "pipelineExecutionId", "pipelineName", "stageName", "pipelineExecutionId", "retryMode"
    )
    stop_pipeline_execution = _returns(
        "pipelineExecutionId", "pipelineName", "pipelineExecutionId", "abandon", "reason"
    )
    put_approval_result = _returns(
        "approvedAt", "pipelineName", "stageName", "actionName", "result", "token"
    )

    get_pipeline_execution = _returns(
        *("pipelineExecution", "pipelineName", "pipelineExecutionId"),
        of="describe_pipeline_execution",
    )
    disable_stage_transition = enable_stage_transition = _returns(
        *("", "pipelineName", "stageName", "transitionType", "reason"), of="set_stage_transition"
    )

    def put_action_revision(self) -> str:
        new, execution_id = self.codepipeline_backend.put_action_revision(
            *self._given("pipelineName", "stageName", "actionName", "actionRevision")
        )
        return json.dumps({"newRevision": new, "pipelineExecutionId": execution_id})

    def list_pipeline_executions(self) -> str:
        filters = self._get_param("filter", {})
        summaries, next_token = self.codepipeline_backend.summarize_pipeline_executions(
            self._get_param("pipelineName"),
            filters.get("succeededInStage", {}).get("stageName"),
            self._get_param("maxResults", LIST_PAGE),
            self._get_param("nextToken"),
        )
        return _page("pipelineExecutionSummaries", summaries, next_token)

    def get_pipeline_state(self) -> str:
        state = self.codepipeline_backend.get_pipeline_state(self._get_param("name"))
        return json.dumps(_with_numbers(state))

    def list_action_executions(self) -> str:
        filters = self._get_param("filter", {})
        latest = filters.get("latestInPipelineExecution", {})
        if latest.get("startTimeRange") == "Latest":
            raise ValidationError("This CodePipeline has no startTimeRange Latest: use All")
        details, next_token = self.codepipeline_backend.list_action_executions(
            self._get_param("pipelineName"),
            filters.get("pipelineExecutionId", latest.get("pipelineExecutionId")),
            self._get_param("maxResults", LIST_PAGE),
            self._get_param("nextToken"),
        )
        return _page("actionExecutionDetails", details, next_token)

    # Jobs

    poll_for_jobs = _returns("jobs", "actionTypeId", "maxBatchSize", "queryParam")
    acknowledge_job = _returns("status", "jobId", "nonce")
    get_job_details = _returns("jobDetails", "jobId")
    put_job_success_result = _returns("", "jobId", REST)
    put_job_failure_result = _returns("", "jobId", REST)
    poll_for_third_party_jobs = _returns("jobs", "actionTypeId", "maxBatchSize")
    acknowledge_third_party_job = _returns("status", "jobId", "nonce", "clientToken")
    get_third_party_job_details = _returns("jobDetails", "jobId", "clientToken")
    put_third_party_job_success_result = _returns("", "jobId", REST, "clientToken")
    put_third_party_job_failure_result = _returns("", "jobId", REST, "clientToken")


def _page(name: str, items: list[dict[str, Any]], next_token: str | None) -> str:
    return json.dumps({name: items} | ({"nextToken": next_token} if next_token else {}))


def _with_numbers(shape: dict[str, Any]) -> dict[str, Any]:
    return shape | {
        name: datetime.fromisoformat(shape[name]).timestamp()
        for name in ("created", "updated")
        if name in shape
    }


def _cbor_refusal() -> Wire:
    """The error, in CBOR, for a client that uses RPC v2 CBOR."""
    error = {
        "__type": "UnsupportedProtocolException",
        "message": "This local CodePipeline speaks JSON 1.1 only, not RPC v2 CBOR.",
    }
    body = bytes([0xA0 + len(error)])
    for text in (text for member in error.items() for text in member):
        encoded = text.encode()
        # Major type 3, text, with its length in one byte.
        body += bytes([0x78, len(encoded)]) + encoded
    return 400, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, body
