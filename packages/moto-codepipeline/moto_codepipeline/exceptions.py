"""The errors that this service returns, and the only place where their texts are written.

Each is a CodePipelineError: HTTP 400 with {"__type": "<Name>Exception", "message": "..."}.
A class is called ``...Error`` here and ``...Exception`` on the wire; ``text`` is the message, with
placeholders for the values that the error is made with. Texts are recorded from CodePipeline or
reported by its users where a docstring says so; the others are this module's own.
"""

from __future__ import annotations

from typing import Any, ClassVar

from moto.core.exceptions import JsonRESTError

CONTENT_TYPE = "application/x-amz-json-1.1"


class CodePipelineError(JsonRESTError):
    """An error as CodePipeline sends it: HTTP 400 with the short name and a lower-case message."""

    code = 400
    text: ClassVar[str] = "{}"

    def __init__(self, *values: Any) -> None:
        name = type(self).__name__.removesuffix("Error")
        super().__init__(f"{name}Exception", self.text.format(*values))
        self.content_type = CONTENT_TYPE


class ValidationError(CodePipelineError):
    """A member breaks a constraint, or members contradict each other."""


class SerializationError(CodePipelineError):
    """The body cannot be read as this operation's JSON."""


class UnknownOperationError(CodePipelineError):
    """The operation is not in CodePipeline's API, or is not emulated here."""


class ThrottlingError(CodePipelineError):
    """Too many calls. Reported: "Rate exceeded" for other operations of the service."""

    text = "Rate exceeded"


class ActionTypeNotFoundError(CodePipelineError):
    """The action type was never created, or is deleted. Text reported by users."""

    text = (
        "ActionType (Category: '{0[category]}', Owner: '{0[owner]}', "
        "Provider: '{0[provider]}', Version: '{0[version]}') is not available"
    )


class JobNotFoundError(CodePipelineError):
    """No such job in this account and region. Text recorded."""

    text = "Job with id '{0}' does not exist"


class InvalidJobError(CodePipelineError):
    """The partner job has no offer to show. When it is raised, and its text, are unknown."""

    text = "The job with id {0} is not available, its status is {1}"


class InvalidClientTokenError(CodePipelineError):
    """The client token is not that of the partner job's client. Text unknown."""

    text = "The client token is not valid for the job with id {0}"


class InvalidNonceError(CodePipelineError):
    """The nonce is not the job's newest, or the job is already acknowledged. Text unknown."""

    text = "The nonce is not valid for the job with id {0}"


class InvalidJobStateError(CodePipelineError):
    """The job cannot take this result now."""

    @classmethod
    def terminated(cls, job_id: str) -> InvalidJobStateError:
        """The job ended the other way. Text recorded."""
        return cls(f"Job with id {job_id} has already terminated")

    @classmethod
    def differs(cls, job_id: str) -> InvalidJobStateError:
        """The job ended the same way with another result. Text recorded."""
        return cls(
            f"The status of job with id {job_id} is already set to the desired value. It cannot be "
            "updated with the same status, but different result or output variables."
        )

    @classmethod
    def not_acknowledged(cls, job_id: str, status: str) -> InvalidJobStateError:
        """The job is not InProgress yet. Text unknown."""
        return cls(f"The job with id {job_id} has not been acknowledged, its status is {status}")


class OutputVariablesSizeExceededError(CodePipelineError):
    """Keys and values are larger than 122880 bytes together. Text unknown."""

    text = "Exceeded the total size limit for all variables in the pipeline."


class LimitExceededError(CodePipelineError):
    """A quota of the account and region is used up. Text unknown."""


class InvalidActionDeclarationError(CodePipelineError):
    """An action in a pipeline's structure is invalid: its type, configuration or artifacts."""


class InvalidStructureError(CodePipelineError):
    """A pipeline's structure is invalid as a whole."""


class InvalidStageDeclarationError(CodePipelineError):
    """A stage in a pipeline's structure is invalid."""


class PipelineNameInUseError(CodePipelineError):
    """Another pipeline has the name. moto's text."""

    text = "A pipeline with the name '{0}' already exists in account '{1}'"


class ConcurrentPipelineExecutionsLimitExceededError(CodePipelineError):
    """The largest number of executions is in progress. Text unknown."""

    text = "Pipeline '{0}' has {1} executions in progress"


class InvalidApprovalTokenError(CodePipelineError):
    """No waiting approval has this token. Two texts recorded."""


class ApprovalAlreadyCompletedError(CodePipelineError):
    """The approval was already answered. Text unknown."""

    text = "The approval has already been completed"


class ActionNotFoundError(CodePipelineError):
    """The stage has no such action. Text unknown."""

    text = "Stage '{0}' does not have an action with name '{1}'"


class InvalidNextTokenError(CodePipelineError):
    """This service did not return such a token. Text unknown."""

    text = "The next token was specified in an invalid format."


class StageNotFoundError(CodePipelineError):
    """The pipeline has no such stage. Text unknown."""

    text = "Pipeline '{0}' does not have a stage with name '{1}'"


class StageNotRetryableError(CodePipelineError):
    """The stage has no failed actions, or something else forbids its retry. Texts unknown."""


class PipelineExecutionNotStoppableError(CodePipelineError):
    """No such execution, or none of its actions is in progress. Text recorded."""

    text = (
        "The pipeline execution with ID '{1}' in '{0}' can't be stopped "
        "now. Either it does not exist in the pipeline, or the pipeline execution has no "
        "action executions in progress."
    )


class DuplicatedStopRequestError(CodePipelineError):
    """The execution already waits for its actions to end. Text recorded."""

    text = (
        "The execution with ID {1} in {0} is already in a stopping state. "
        "If you already chose to stop and wait, you cannot make that request again. You can "
        "choose to stop and abandon now, but be aware that this option can lead to failed "
        "actions. If you already chose to stop and abandon, you cannot make that request again."
    )


class NotLatestPipelineExecutionError(CodePipelineError):
    """A later execution is in the stage, or the execution does not exist. Text unknown."""

    text = "Execution '{1}' is not the latest in stage '{0}'"
