"""What each operation returns in each state: one table, for all clients.

Codes and texts are written here again, and not taken from the code under test. Requests that break
a constraint of the service model are those of ``constraints``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from codepipeline_fixtures import PARTNER_TYPE as PARTNER
from codepipeline_fixtures import TYPE as CUSTOM
from codepipeline_fixtures import UNKNOWN_JOB, action_type
from conformance.clients import Answer
from conformance.service import (
    FAILURE,
    PIPELINE_ARN,
    QUERYABLE,
    REVISION,
    TAGS,
    TYPE_ARN,
    Job,
    State,
    abandoned,
    abandoned_unclaimed,
    answered,
    asked,
    claimed,
    closed,
    continued,
    crowded,
    deleted,
    failed,
    idle,
    nothing,
    of_the_other_kind,
    offered,
    offered_to_another,
    queryable,
    queued,
    revised,
    stopping,
    succeeded,
    tagged,
    timed_out,
    where,
    with_a_wrong_token,
)

Params = Callable[[Job], dict[str, Any]]
Row = tuple[Any, ...]
"""The members of a ``Case`` from ``what`` on, or from ``operation`` on but for the type."""

TYPE_REQUEST = action_type()


def filled(text: str, job: Job) -> str:
    """``text`` with the job's id, its pipeline's name and its execution's id filled in."""
    known = {"id": job.id} | job.execution
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@dataclass
class Error:
    """An expected error: its code, and its text, for ``filled``."""

    code: str
    text: str

    def check(self, answer: Answer, job: Job) -> None:
        assert (answer.code, answer.message) == (self.code, filled(self.text, job))
        assert answer.status in (400, None)


@dataclass
class Output:
    """An expected output, of which ``look`` returns what matters."""

    look: Callable[[dict[str, Any]], Any]
    expected: Any

    def check(self, answer: Answer, job: Job) -> None:
        assert answer.code is None, answer.message
        known = isinstance(self.expected, str)
        expected = filled(self.expected, job) if known else self.expected
        assert self.look(answer.output) == expected
        assert answer.status in (200, None)


@dataclass
class Case:
    """A call in a state, what it returns, and the job's status afterwards."""

    operation: str
    type_id: dict[str, str]
    what: str
    state: State
    params: Params
    answer: Error | Output
    leaves: str | None = None

    def __str__(self) -> str:
        return f"{self.operation}-{self.what}".replace(" ", "_")


EMPTY = Output(lambda output: output, {})
DATA = {
    "actionTypeId",
    "actionConfiguration",
    "pipelineContext",
    "inputArtifacts",
    "outputArtifacts",
    "artifactCredentials",
}
CONTEXT = {"pipelineName", "stage", "action"}
CUSTOM_CONTEXT = CONTEXT | {"pipelineArn", "pipelineExecutionId"}


def forbidden(text: str) -> Error:
    return Error("ValidationException", text)


COUNTS = forbidden("The minimumCount of inputArtifactDetails is larger than its maximumCount")


def returns(member: str, value: Any) -> Output:
    return Output(lambda output: output[member], value)


def keys(*path: str | int) -> Callable[[dict[str, Any]], set[str]]:
    """The names of the members of a structure inside an output."""

    def look(output: Any) -> set[str]:
        for step in path:
            output = output[step]
        return set(output)

    return look


NONCE = Error("InvalidNonceException", "The nonce is not valid for the job with id {id}")
UNKNOWN = Error("JobNotFoundException", "Job with id '{id}' does not exist")
TOKEN = Error(
    "InvalidClientTokenException", "The client token is not valid for the job with id {id}"
)
TERMINATED = Error("InvalidJobStateException", "Job with id {id} has already terminated")
DIFFERS = Error(
    "InvalidJobStateException",
    "The status of job with id {id} is already set to the desired value. It cannot be updated with "
    "the same status, but different result or output variables.",
)
NOT_ACKNOWLEDGED = Error(
    "InvalidJobStateException",
    "The job with id {id} has not been acknowledged, its status is Dispatched",
)
NOT_STOPPABLE = Error(
    "PipelineExecutionNotStoppableException",
    "The pipeline execution with ID '{pipelineExecutionId}' in '{pipelineName}' can't be stopped "
    "now. Either it does not exist in the pipeline, or the pipeline execution has no action "
    "executions in progress.",
)
STOPPING_ALREADY = Error(
    "DuplicatedStopRequestException",
    "The execution with ID {pipelineExecutionId} in {pipelineName} is already in a stopping state. "
    "If you already chose to stop and wait, you cannot make that request again. You can choose to "
    "stop and abandon now, but be aware that this option can lead to failed actions. If you already "
    "chose to stop and abandon, you cannot make that request again.",
)
SYSTEM_TAGS = [{"key": "aws:team", "value": "build"}]
MANY_TAGS = [{"key": f"k{number}", "value": ""} for number in range(51)]
SYSTEM = Error("InvalidTagsException", "Not allowed to modify system tags: aws:team")
THROTTLED = Error("ThrottlingException", "Rate exceeded")


def unavailable(job_status: str) -> Error:
    text = f"The job with id {{id}} is not available, its status is {job_status}"
    return Error("InvalidJobException", text)


def unsupported(owner: str) -> Error:
    return forbidden(f"ActionType with owner '{owner}' is not supported")


@dataclass
class Kind:
    """Custom or partner jobs, whose equivalent operations have different names."""

    type_id: dict[str, str]
    poll: str
    acknowledge: str
    details: str
    success: str
    failure: str


KINDS = tuple(
    Kind(
        type_id,
        f"PollFor{job}s",
        f"Acknowledge{job}",
        f"Get{job}Details",
        f"Put{job}SuccessResult",
        f"Put{job}FailureResult",
    )
    for type_id, job in ((CUSTOM, "Job"), (PARTNER, "ThirdPartyJob"))
)


def naming(**more: Any) -> Params:
    """Parameters that name the job, and more."""
    return lambda job: job.named | more


def acknowledging(job: Job) -> dict[str, Any]:
    return job.named | {"nonce": job.nonce}


def _poll_cases(kind: Kind) -> Iterator[Row]:
    def polling(**more: Any) -> Params:
        return lambda job: {"actionTypeId": kind.type_id} | more

    def of_type(**changes: Any) -> Params:
        return polling(actionTypeId=kind.type_id | changes)

    other = "ThirdParty" if kind.type_id["owner"] == "Custom" else "Custom"
    missing = Error(
        "ActionTypeNotFoundException",
        f"ActionType (Category: 'Build', Owner: '{kind.type_id['owner']}', Provider: 'Builder', "
        "Version: '1') is not available",
    )
    member = "id" if kind.type_id["owner"] == "Custom" else "jobId"
    job_id = Output(lambda output: output["jobs"][0][member], "{id}")
    yield "a job that waits is offered", queued, polling(maxBatchSize=5), job_id
    yield "one job is offered if no number is given", queued, polling(), job_id
    yield "no job waits", idle, polling(), returns("jobs", [])
    yield "an offered job is not offered to others", offered, polling(), returns("jobs", [])
    yield "a claimed job is not offered", claimed, polling(), returns("jobs", [])
    yield "a job of an abandoned action", abandoned_unclaimed, polling(), returns("jobs", [])
    yield "a type that was never created", nothing, polling(), missing
    yield "a type that was deleted", deleted, polling(), missing
    yield "a type of AWS", idle, of_type(owner="AWS"), unsupported("AWS")
    yield "a type of the other kind", idle, of_type(owner=other), unsupported(other)
    minimum = forbidden(
        "1 validation error detected: Value at 'maxBatchSize' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )
    yield "no jobs are requested", idle, polling(maxBatchSize=0), minimum
    yield "too many calls", where(queued, throttle=0), polling(), THROTTLED


def _custom_poll_cases() -> Iterator[Row]:
    def polling(query: dict[str, str]) -> Params:
        return lambda job: {"actionTypeId": CUSTOM, "maxBatchSize": 9, "queryParam": query}

    named = "(Category: 'Build', Owner: 'Custom', Provider: 'Builder', Version: '1')"
    needless = f"The action type {named} has no queryable property, so queryParam must be empty"
    needed = (
        f"The action type {named} has a queryable property, so queryParam must have the key "
        "'Project'"
    )
    job = Output(keys("jobs", 0), {"id", "nonce", "accountId", "data"})
    yield "a job has a nonce", queued, polling({}), job
    yield "a job has its data", queued, polling({}), Output(keys("jobs", 0, "data"), DATA)
    context = Output(keys("jobs", 0, "data", "pipelineContext"), CUSTOM_CONTEXT)
    yield "a job has its pipeline", queued, polling({}), context
    projects = Output(
        lambda output: [
            job["data"]["actionConfiguration"]["configuration"]["Project"] for job in output["jobs"]
        ],
        ["app"],
    )
    yield "jobs are selected by their property", queryable, polling({"Project": "app"}), projects
    yield "a query without a property", queued, polling({"Project": "app"}), forbidden(needless)
    yield "a property without a query", queryable, polling({}), forbidden(needed)


def _acknowledge_cases() -> Iterator[Row]:
    repeats = {"repeated_acknowledgment": "status"}
    ended = {"acknowledge_of_ended": "status"}
    started = returns("status", "InProgress")
    yield "the job is claimed", offered, acknowledging, started, "InProgress"
    yield "a wrong nonce", offered, naming(nonce="1"), NONCE, "Dispatched"
    yield "the nonce of an earlier offer", offered_to_another, acknowledging, NONCE, "Dispatched"
    yield "no offer yet", queued, naming(nonce="1"), NONCE, "Queued"
    yield "a repeat", claimed, acknowledging, NONCE, "InProgress"
    yield "an accepted repeat", where(claimed, **repeats), acknowledging, started, "InProgress"
    yield "a job that has ended", succeeded, acknowledging, NONCE, "Succeeded"
    for state, status in ((succeeded, "Succeeded"), (failed, "Failed"), (timed_out, "TimedOut")):
        told = returns("status", status)
        yield f"a job that is {status}", where(state, **ended), acknowledging, told, status
    for state in (abandoned, abandoned_unclaimed):
        where_told, told = where(state, **ended), returns("status", "Failed")
        what = f"a job that is {state.__name__}"
        yield what, state, acknowledging, NONCE, None
        yield f"{what} is shown as Failed", where_told, acknowledging, told, None


def _result_cases(*, success: bool) -> Iterator[Row]:
    built = {"executionDetails": {"summary": "Built"}}
    result = built if success else FAILURE
    status, opposite = ("Succeeded", "Failed") if success else ("Failed", "Succeeded")
    same, other = (succeeded, failed) if success else (failed, succeeded)
    different: dict[str, Any] = (
        {} if success else {"failureDetails": {"type": "JobFailed", "message": "It broke again"}}
    )
    accepting = where(offered, result_before_acknowledgment="accept")
    yield "the job ends", claimed, naming(**result), EMPTY, status
    yield "an identical repeat", same, naming(**result), EMPTY, status
    yield "a different repeat", same, naming(**different), DIFFERS, status
    yield "the opposite result afterwards", other, naming(**result), TERMINATED, opposite
    yield "too late", timed_out, naming(**result), TERMINATED, "TimedOut"
    yield "no acknowledgment", offered, naming(**result), NOT_ACKNOWLEDGED, "Dispatched"
    yield "no acknowledgment, which is accepted", accepting, naming(**result), EMPTY, status
    refusing = where(abandoned, result_after_abandonment="InvalidJobStateException")
    yield "the action was abandoned", abandoned, naming(**result), EMPTY, status
    yield "the action was abandoned, which is refused", refusing, naming(**result), TERMINATED, None
    if success:
        token = {"continuationToken": "second-half"}
        yield "the action goes on in another job", claimed, naming(**token), EMPTY, "Succeeded"
        yield "another result after a continuation", continued, naming(), DIFFERS, "Succeeded"
    else:
        what = "a failure after a continuation"
        yield what, continued, naming(**FAILURE), TERMINATED, "Succeeded"


def _custom_success_cases() -> Iterator[Row]:
    variables = {"outputVariables": {"Version": "1.2"}}
    revision = {"currentRevision": {"revision": "r1", "changeIdentifier": "c1"}}
    yield "output variables are accepted", claimed, naming(**variables), EMPTY, "Succeeded"
    yield "a revision is accepted", claimed, naming(**revision), EMPTY, "Succeeded"
    both = forbidden("A job can not contain both a continuation token and output variables.")
    token = {"continuationToken": "second-half"}
    yield "a token and variables", claimed, naming(**variables, **token), both, "InProgress"
    # The size is in bytes of keys and values: 4 for the keys, 2 for each é.
    allowed, large = (
        {"outputVariables": {"k1": "é" * 1000, "k2": "x" * (size - 2004)}}
        for size in (122880, 122881)
    )
    exceeded = Error(
        "OutputVariablesSizeExceededException",
        "Exceeded the total size limit for all variables in the pipeline.",
    )
    yield "variables of the largest size", claimed, naming(**allowed), EMPTY, "Succeeded"
    yield "variables that are too large", claimed, naming(**large), exceeded, "InProgress"


def _details_cases() -> Iterator[Row]:
    told = Output(keys("jobDetails"), {"id", "data", "accountId"})
    for state in (queued, offered, claimed, succeeded, abandoned):
        yield f"a job that is {state.__name__}, without nonce", state, naming(), told
    data = Output(keys("jobDetails", "data"), DATA)
    yield "the job has its data", claimed, naming(), data


def _partner_details_cases() -> Iterator[Row]:
    told = Output(keys("jobDetails"), {"id", "data", "nonce"})
    for state in (offered, claimed):
        yield f"a job that is {state.__name__}, with its nonce", state, naming(), told
    yield "the job has its data", offered, naming(), Output(keys("jobDetails", "data"), DATA)
    context = Output(keys("jobDetails", "data", "pipelineContext"), CONTEXT)
    yield "the job has no execution", offered, naming(), context
    yield "no offer yet", queued, naming(), unavailable("Queued")
    yield "a job that has ended", succeeded, naming(), unavailable("Succeeded")
    yield "a job that is abandoned", abandoned, naming(), unavailable("Failed")
    lenient = where(succeeded, third_party_details_of_ended="details")
    yield "a job that has ended and has details", lenient, naming(), told


def _named_job_cases(kind: Kind) -> Iterator[Case]:
    """The cases that all operations on a job have."""
    partner = kind.type_id["owner"] == "ThirdParty"
    calls: dict[str, dict[str, Any]] = {
        kind.acknowledge: {"nonce": "1"},
        kind.details: {},
        kind.success: {},
        kind.failure: FAILURE,
    }
    for operation, more in calls.items():
        case = partial(Case, operation, kind.type_id)
        named = naming(**more)
        yield case("no such job", nothing, named, UNKNOWN)
        yield case("a job of the other kind", of_the_other_kind, named, UNKNOWN, "Dispatched")
        yield case("too many calls", where(claimed, throttle=0), named, THROTTLED, "InProgress")
        if partner:
            state = with_a_wrong_token(offered)
            yield case("a wrong client token", state, named, TOKEN, "Dispatched")
            what, state = "a wrong client token for an ended job", with_a_wrong_token(succeeded)
            yield case(what, state, named, TOKEN, "Succeeded")


def _action_type_cases() -> Iterator[Row]:
    named = "(Category: 'Build', Owner: 'Custom', Provider: 'Builder', Version: '1')"
    create, delete, every = "CreateCustomActionType", "DeleteCustomActionType", "ListActionTypes"
    identity = {name: TYPE_REQUEST[name] for name in ("category", "provider", "version")}
    created = Output(lambda output: output["actionType"]["id"], CUSTOM)
    yield create, "a new type", nothing, TYPE_REQUEST, created
    shown = Output(lambda out: out["actionType"]["actionConfigurationProperties"], [QUERYABLE])
    with_one = action_type(configurationProperties=[QUERYABLE])
    yield create, "a type with properties", nothing, with_one, shown
    yield create, "a type with tags", nothing, action_type(tags=TAGS), returns("tags", TAGS)
    yield create, "a type with a system tag", nothing, action_type(tags=SYSTEM_TAGS), SYSTEM
    too_many = Error(
        "TooManyTagsException", "Tag limit exceeded for resource [Custom/Build/Builder/1]."
    )
    yield create, "a type with too many tags", nothing, action_type(tags=MANY_TAGS), too_many
    yield create, "a deleted type as it was", deleted, TYPE_REQUEST, created
    exists = forbidden(f"The action type {named} already exists")
    yield create, "a type that exists", idle, TYPE_REQUEST, exists
    settings = {"entityUrlTemplate": "https://example.com"}
    otherwise = forbidden(
        f"The action type {named} was deleted, and can only be restored as it was: use a version "
        "that has never been used"
    )
    other_form = action_type(settings=settings)
    yield create, "a deleted type in another form", deleted, other_form, otherwise
    limit = Error("LimitExceededException", "There can be no more than 50 custom actions")
    yield create, "the fifty-first type", crowded, TYPE_REQUEST, limit
    two = [QUERYABLE, QUERYABLE | {"name": "Team"}]
    one = forbidden("An action type can have only one queryable configuration property")
    yield create, "two queryable properties", nothing, action_type(configurationProperties=two), one
    secret = forbidden(
        "The queryable configuration property 'Project' must be required, and must not be secret"
    )
    for change in ({"secret": True}, {"required": False}):
        with_one = action_type(configurationProperties=[QUERYABLE | change])
        yield create, f"a queryable property with {change}", nothing, with_one, secret
    reverse = {"minimumCount": 2, "maximumCount": 1}
    reversed_counts = action_type(inputArtifactDetails=reverse)
    yield create, "counts the wrong way round", nothing, reversed_counts, COUNTS
    yield delete, "a type that exists", idle, identity, EMPTY
    yield delete, "a type that does not exist", nothing, identity, EMPTY

    def owners(*expected: str) -> Output:
        return Output(lambda out: {each["id"]["owner"] for each in out["actionTypes"]}, {*expected})

    yield every, "without registered types", nothing, {}, owners("AWS")
    yield every, "the types of all owners", idle, {}, owners("AWS", "Custom")
    yield every, "the types of AWS", idle, {"actionOwnerFilter": "AWS"}, owners("AWS")
    ids = Output(lambda output: [each["id"] for each in output["actionTypes"]], [CUSTOM])
    yield every, "the types of one owner", idle, {"actionOwnerFilter": "Custom"}, ids


def _stop_cases() -> Iterator[Row]:
    def stop(**more: Any) -> Params:
        return lambda job: job.execution | more

    stopped = returns("pipelineExecutionId", "{pipelineExecutionId}")
    abandon = stop(abandon=True, reason="Too late")
    yield "actions in progress run to their end", claimed, stop(), stopped, "InProgress"
    yield "actions in progress are abandoned", claimed, abandon, stopped, "InProgress"
    yield "a second stop that waits", stopping, stop(abandon=False), STOPPING_ALREADY, "InProgress"
    yield "a stop that waits and then one that abandons", stopping, abandon, stopped, "InProgress"
    for state in (succeeded, failed, timed_out, abandoned):
        for how, request in (("stop", stop()), ("stop that abandons", abandon)):
            what = f"a {how}, and the action is {state.__name__}"
            yield what, state, request, NOT_STOPPABLE, None
    unknown = Error(
        NOT_STOPPABLE.code, NOT_STOPPABLE.text.replace("{pipelineExecutionId}", UNKNOWN_JOB)
    )
    yield "no such execution", claimed, stop(pipelineExecutionId=UNKNOWN_JOB), unknown, "InProgress"
    yield "no such pipeline", claimed, stop(pipelineName="other"), MISSING, "InProgress"


MISSING = Error(
    "PipelineNotFoundException", "Account '123456789012' does not have a pipeline with name 'other'"
)
NO_STAGE = Error(
    "StageNotFoundException", "Pipeline '{pipelineName}' does not have a stage with name 'Other'"
)


def _approval_cases() -> Iterator[Row]:
    def answer(status: str = "Approved", **more: Any) -> Params:
        def params(job: Job) -> dict[str, Any]:
            place = {"stageName": "Stage2", "actionName": "Ask", "token": job.nonce}
            result = {"summary": "Looks good", "status": status}
            return {"pipelineName": job.execution["pipelineName"], "result": result} | place | more

        return params

    for status in ("Approved", "Rejected"):
        yield f"an approval is {status}", asked, answer(status), Output(sorted, ["approvedAt"])
    over = Error("ApprovalAlreadyCompletedException", "The approval has already been completed")
    yield "a second answer", answered, answer("Rejected"), over
    wrong = Error("InvalidApprovalTokenException", "The approval token is not valid")
    yield "another token", asked, answer(token=UNKNOWN_JOB), wrong
    yield "no such pipeline", asked, answer(pipelineName="other"), MISSING
    yield "no such stage", asked, answer(stageName="Other"), NO_STAGE
    text = "Stage 'Stage2' does not have an action with name 'Other'"
    no_action = Error("ActionNotFoundException", text)
    yield "no such action", asked, answer(actionName="Other"), no_action


def _transition_cases() -> Iterator[Row]:
    enable, disable = "EnableStageTransition", "DisableStageTransition"

    def transition(**more: Any) -> Params:
        place = {"stageName": "Stage2", "transitionType": "Inbound"}
        return lambda job: {"pipelineName": job.execution["pipelineName"]} | place | more

    for operation, state, more in (
        (disable, queued, {"reason": "Closed"}),
        (disable, closed, {"reason": "Still closed"}),
        (enable, closed, {}),
        (enable, queued, {}),
    ):
        what = f"a transition that is {state.__name__}"
        yield operation, what, state, transition(**more), EMPTY
    for operation, given in ((disable, {"reason": "Closed"}), (enable, {})):
        out = transition(transitionType="Outbound", stageName="Source", **given)
        yield operation, "out of the previous stage", queued, out, EMPTY
        yield operation, "no such stage", queued, transition(stageName="Other", **given), NO_STAGE
        other = transition(pipelineName="other", **given)
        yield operation, "no such pipeline", queued, other, MISSING


def _revision_cases() -> Iterator[Row]:
    def put(**more: Any) -> Params:
        place = {"stageName": "Source", "actionName": "Fetch", "actionRevision": REVISION}
        return lambda job: {"pipelineName": job.execution["pipelineName"]} | place | more

    yield "a revision that is new", queued, put(), returns("newRevision", True)
    yield "the same revision again", revised, put(), returns("newRevision", False)
    other = put(actionRevision=REVISION | {"revisionId": "r2"})
    yield "the next revision", revised, other, returns("newRevision", True)
    yield "no such pipeline", queued, put(pipelineName="other"), MISSING
    text = "Stage 'Source' does not have an action with name 'Other'"
    no_action = Error("ActionNotFoundException", text)
    yield "no such action", queued, put(actionName="Other"), no_action


def _tag_cases() -> Iterator[Row]:
    listed, tag, untag = "ListTagsForResource", "TagResource", "UntagResource"

    def of_type(**more: Any) -> Params:
        return lambda _: {"resourceArn": TYPE_ARN} | more

    def of_pipeline(**more: Any) -> Params:
        return lambda job: {"resourceArn": PIPELINE_ARN + job.execution["pipelineName"]} | more

    for what, of in (("an action type", of_type), ("a pipeline", of_pipeline)):
        yield listed, f"{what} with a tag", tagged, of(), returns("tags", TAGS)
        yield listed, f"{what} without tags", queued, of(), returns("tags", [])
        yield tag, f"{what} gets a tag", queued, of(tags=TAGS), EMPTY
        yield untag, f"{what} loses a tag", tagged, of(tagKeys=["team"]), EMPTY
        yield untag, f"{what} has no such tag", tagged, of(tagKeys=["other"]), EMPTY
    unknown = Error(
        "ResourceNotFoundException",
        "The account with id '123456789012' does not include an action type 'Custom/Build/Builder/1'",
    )
    yield listed, "an action type that does not exist", nothing, of_type(), unknown
    yield tag, "an action type that does not exist", nothing, of_type(tags=TAGS), unknown
    yield untag, "an action type that does not exist", nothing, of_type(tagKeys=["team"]), unknown
    yield tag, "a system tag", queued, of_type(tags=SYSTEM_TAGS), SYSTEM
    text = f"Tag limit exceeded for resource [{TYPE_ARN}]."
    yield tag, "too many tags", queued, of_type(tags=MANY_TAGS), Error("TooManyTagsException", text)


DECLARATION: dict[str, Any] = {
    "id": PARTNER,
    "description": "Builds",
    "executor": {
        "type": "JobWorker",
        "configuration": {"jobWorkerExecutorConfiguration": {"pollingAccounts": ["123456789012"]}},
        "jobTimeout": 600,
    },
    "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    "permissions": {"allowedAccounts": ["*"]},
    "properties": [
        {"name": "Project", "optional": False, "key": True, "noEcho": False, "queryable": False}
    ],
    "urls": {"configurationUrl": "https://partner.example"},
}


def _partner_type_cases() -> Iterator[Row]:
    get, update = "GetActionType", "UpdateActionType"
    missing = Error(
        "ActionTypeNotFoundException",
        "ActionType (Category: 'Build', Owner: 'ThirdParty', Provider: 'Builder', Version: '1') "
        "is not available",
    )
    worker = {"type": "JobWorker", "configuration": {}}
    yield get, "a type", idle, PARTNER, Output(lambda out: out["actionType"]["executor"], worker)
    yield get, "a type that was never created", nothing, PARTNER, missing
    yield get, "a type that was deleted", deleted, PARTNER, missing

    def declared(**changes: Any) -> dict[str, Any]:
        return {"actionType": DECLARATION | changes}

    yield update, "a type", idle, declared(), EMPTY
    yield update, "a type that was never created", nothing, declared(), missing
    yield update, "a type that was deleted", deleted, declared(), missing
    function = "arn:aws:lambda:eu-west-1:123456789012:function:build"
    configuration = {"lambdaExecutorConfiguration": {"lambdaFunctionArn": function}}
    executor = {"type": "Lambda", "configuration": configuration}
    refused = forbidden("This CodePipeline has only executors of type JobWorker")
    yield update, "a Lambda executor", idle, declared(executor=executor), refused
    reverse = {"minimumCount": 2, "maximumCount": 1}
    yield update, "counts the wrong way round", idle, declared(inputArtifactDetails=reverse), COUNTS


def _cases() -> Iterator[Case]:
    for kind in KINDS:
        custom = kind.type_id == CUSTOM
        partner_job = Output(keys("jobs", 0), {"clientId", "jobId"})
        no_nonce = ("a job has no nonce", queued, lambda _: {"actionTypeId": PARTNER}, partner_job)
        for operation, rows in (
            (kind.poll, _poll_cases(kind)),
            (kind.poll, _custom_poll_cases() if custom else [no_nonce]),
            (kind.acknowledge, _acknowledge_cases()),
            (kind.details, _details_cases() if custom else _partner_details_cases()),
            (kind.success, _result_cases(success=True)),
            (kind.success, _custom_success_cases() if custom else []),
            (kind.failure, _result_cases(success=False)),
        ):
            for row in rows:
                yield Case(operation, kind.type_id, *row)
        yield from _named_job_cases(kind)
        for what, *values in _stop_cases():
            owner = kind.type_id["owner"]
            yield Case("StopPipelineExecution", kind.type_id, f"{owner} {what}", *values)
    for type_id, types in ((PARTNER, _partner_type_cases()), (CUSTOM, _action_type_cases())):
        for operation, what, state, params, answer in types:
            given = partial(lambda given, _: given, params)
            yield Case(operation, type_id, what, state, given, answer)
    for row in _approval_cases():
        yield Case("PutApprovalResult", CUSTOM, *row)
    for row in _revision_cases():
        yield Case("PutActionRevision", CUSTOM, *row)
    for operation, *values in (*_transition_cases(), *_tag_cases()):
        yield Case(operation, CUSTOM, *values)


def _representative(cases: list[Case]) -> Iterator[Case]:
    """The first case of each operation with each error, and with an output."""
    seen = set()
    for case in cases:
        code = case.answer.code if isinstance(case.answer, Error) else None
        if (case.operation, code) not in seen:
            seen.add((case.operation, code))
            yield case


CASES = list(_cases())
REPRESENTATIVE = list(_representative(CASES))
