"""The job operations, for custom and partner jobs."""

from collections.abc import Callable
from typing import Any, ClassVar

from .action_types import APPROVAL, LAMBDA, S3_SOURCE, ActionType, TypeKey
from .approvals import Approvals
from .clients import ClientOperations
from .credentials import ArtifactCredentials, S3Request
from .engine import Engine, OwnAction
from .events import publish_in_moto
from .exceptions import ActionTypeNotFoundError, JobNotFoundError, ValidationError
from .jobs import Job, JobBoard, NextJob
from .lambdas import check_function, event, invoke_in_moto
from .runs import ActionRun
from .sources import run_source
from .steps import operation


class JobOperations(ClientOperations):
    """The jobs of an account and region.

    Both kinds of jobs are on one board and follow the same rules. Operations on one kind do not
    find jobs of the other. For partner jobs the order of checks (unknown) is: validation, the job
    exists, the client token, the nonce or status. ``invoke_function`` sends a Lambda action's job,
    and ``publish_notice`` an approval's notification, as ``deliver_event`` sends events.
    """

    invoke_function: ClassVar[Callable[[str, str, str, str], None]] = staticmethod(invoke_in_moto)
    publish_notice: ClassVar[Callable[[str, str, str, str, str], None]] = staticmethod(
        publish_in_moto
    )

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.action_types: dict[TypeKey, ActionType] = {}
        self.next_jobs: list[NextJob] = []
        self._credentials = ArtifactCredentials(self._timeline, lambda: self.behaviour)
        own_actions: dict[TypeKey, OwnAction] = {
            S3_SOURCE: self._run_source,
            LAMBDA: self._open_function_job,
        }
        self._engine = Engine(
            self._timeline,
            self.action_types,
            self._announce,
            self._open_job,
            self._withdraw_job,
            own_actions,
        )
        self._board = JobBoard(
            self._timeline,
            lambda: self.behaviour,
            self._engine.succeed,
            self._engine.fail,
            self._invoke,
        )
        self._approvals = Approvals(
            self._timeline, self._engine.answer, self._engine.fail, self._publish
        )
        own_actions[APPROVAL] = self._approvals

    # Jobs. Operations on a partner's job take its client's token.

    @operation
    def poll_for_jobs(
        self, type_id: dict[str, str], max_batch_size: int | None, query: dict[str, str] | None
    ) -> list[dict[str, Any]]:
        """Offer queued jobs of a custom type, as the API's ``Job``.

        Raises ValidationError for another owner (text reported by users) or a wrong query parameter
        (rule documented, text unknown), and ActionTypeNotFoundError.
        """
        account = {"accountId": self.account_id}
        return [
            {"id": job.id, "data": self._data(job), "nonce": job.nonce} | account
            for job in self._offer("Custom", type_id, max_batch_size, query)
        ]

    @operation
    def poll_for_third_party_jobs(
        self, type_id: dict[str, str], max_batch_size: int | None
    ) -> list[dict[str, Any]]:
        """Offer queued jobs of a partner's type, of all clients, as the API's ``ThirdPartyJob``.

        That is ``{clientId, jobId}``: get_third_party_job_details returns the nonce. Raises
        ValidationError for another owner (text reported by users of PollForJobs) and
        ActionTypeNotFoundError.
        """
        jobs = self._offer("ThirdParty", type_id, max_batch_size, None)
        return [{"clientId": job.action.client_id, "jobId": job.id} for job in jobs]

    @operation
    def get_job_details(self, job_id: str) -> dict[str, Any]:
        """The API's ``JobDetails`` of a custom job, in any status. It has no nonce."""
        job = self._job(job_id)
        return {"id": job.id, "data": self._data(job), "accountId": self.account_id}

    @operation
    def get_third_party_job_details(self, job_id: str, client_token: str) -> dict[str, Any]:
        """The API's ``ThirdPartyJobDetails``, with the nonce of the job's present offer.

        The nonce changes when the job is offered, not when its details are requested (unknown); the
        credentials are new each time. Raises JobNotFoundError, InvalidClientTokenError, and
        InvalidJobError for a job that was never offered or has ended (unknown: see Behaviour).
        """
        job = self._job(job_id, client_token)
        nonce = self._board.nonce(job)
        return {"id": job.id, "data": self._data(job), "nonce": nonce}

    @operation
    def acknowledge_job(self, job_id: str, nonce: str, client_token: str | None = None) -> str:
        """Acknowledge an offered job; return its status.

        Raises JobNotFoundError, InvalidClientTokenError and InvalidNonceError. Which comes first is
        unknown, and so is the response to a second acknowledgment: see Behaviour.
        """
        return self._board.acknowledge(self._job(job_id, client_token), nonce)

    @operation
    def put_job_success_result(
        self, job_id: str, result: dict[str, Any], client_token: str | None = None
    ) -> None:
        """Take a success. ``result`` is the request without job id and client token.

        An identical repeat is accepted, also after a change of the client's token. Raises
        JobNotFoundError, InvalidClientTokenError, InvalidJobStateError (texts recorded),
        ValidationError for a token together with variables (text recorded) and
        OutputVariablesSizeExceededError. A partner job has no output variables (documented).
        """
        self._board.succeed(self._job(job_id, client_token), result)

    @operation
    def put_job_failure_result(
        self, job_id: str, result: dict[str, Any], client_token: str | None = None
    ) -> None:
        """Take a failure. ``result`` is the request without job id and client token."""
        self._board.fail(self._job(job_id, client_token), result)

    acknowledge_third_party_job = acknowledge_job
    put_third_party_job_success_result = put_job_success_result
    put_third_party_job_failure_result = put_job_failure_result

    @operation
    def check_artifact_credentials(self, access_key: str, request: S3Request | None) -> None:
        """Raise ExpiredTokenError or AccessDeniedError if a job's credentials don't allow it.

        Not an AWS operation: an endpoint calls it before it serves a request. ``request`` is None
        if it is to a service other than S3.
        """
        self._credentials.check(access_key, request)

    @operation
    def job_state(self, job_id: str) -> dict[str, Any] | None:
        """What is known here of a job of either kind: not an AWS operation.

        Its ``status``, whether it is ``withdrawn``, and ``action``, the API's ``ActionExecution``.
        """
        job = self._board.find(job_id)
        if job is None:
            return None
        return {"status": job.status, "withdrawn": job.withdrawn, "action": job.action.state()}

    @operation
    def waiting(self) -> list[tuple[TypeKey, str | None, float]]:
        """How many seconds the oldest job of each action type, and of each value of its queryable
        property, has waited to be polled: not an AWS operation."""
        return self._board.waiting()

    def _data(self, job: Job) -> dict[str, Any]:
        return job.data(self._credentials.issue(job.action))

    def _open_job(self, action: ActionRun) -> None:
        if action.type_id["owner"] == "ThirdParty":
            action.client_id = self._client_of(action.run.pipeline_name, action.name)
        wish = self._wish(action)
        action.configuration = action.configuration | wish.configuration
        self._board.open(action).offer_twice = wish.offer_twice

    def _wish(self, action: ActionRun) -> NextJob:
        """Take the oldest settings for a next job whose properties the action's type has."""
        properties = action.action_type.properties if action.action_type else []
        known = {each["name"] for each in properties}
        for wish in self.next_jobs:
            if known.issuperset(wish.configuration):
                self.next_jobs.remove(wish)
                return wish
        return NextJob({})

    def _withdraw_job(self, action: ActionRun) -> None:
        if action.type_key == APPROVAL:
            self._approvals.withdraw(action)
        else:
            self._board.withdraw(action)

    def _run_source(self, action: ActionRun) -> dict[str, Any]:
        return run_source(action, self.behaviour.source_without_version)

    def _open_function_job(self, action: ActionRun) -> None:
        name = action.configuration["FunctionName"]
        check_function(self.account_id, action.region, name)
        action.external_id = name  # recorded: only if there is such a function
        self._board.open(action)

    def _invoke(self, job: Job) -> None:
        expires = self._timeline.now() + self.behaviour.artifact_credentials_seconds
        payload = event(job.id, self.account_id, self._data(job), expires)
        name = job.action.configuration["FunctionName"]
        invoke, where = type(self).invoke_function, (self.account_id, job.action.region)
        self._send_later(f"the job of {name}", lambda *_: invoke(*where, name, payload))

    def _publish(self, topic: str, subject: str, message: str) -> None:
        notice = (topic, subject, message)
        self._send_later("an approval's notification", type(self).publish_notice, *notice)

    def _job(self, job_id: str, client_token: str | None = None) -> Job:
        """A partner's job if there is a client token, or else one of another owner."""
        job = self._board.find(job_id)
        if job is None or (job.owner == "ThirdParty") != (client_token is not None):
            raise JobNotFoundError(job_id)
        if client_token is not None:
            self._check_client_token(job.action.client_id, client_token, job_id)
        return job

    def _available_type(self, type_id: dict[str, str]) -> ActionType:
        action_type = self.action_types.get(TypeKey.of(type_id))
        if action_type is None or action_type.deleted:
            raise ActionTypeNotFoundError(type_id)
        return action_type

    def _offer(
        self, owner: str, type_id: dict[str, str], size: int | None, query: dict[str, str] | None
    ) -> list[Job]:
        if type_id["owner"] != owner:
            raise ValidationError(f"ActionType with owner '{type_id['owner']}' is not supported")
        action_type = self._available_type(type_id)
        if not action_type.may_be_polled_in(self.account_id):
            raise ActionTypeNotFoundError(type_id)
        limit = size or self.behaviour.default_batch_size
        if self.behaviour.batch_cap is not None:
            limit = min(limit, self.behaviour.batch_cap)
        return self._board.offer(action_type.key, _query_value(action_type, query or {}), limit)


def _query_value(action_type: ActionType, query: dict[str, str]) -> str | None:
    """The value by which a poll selects jobs. Rules documented, texts unknown."""
    queryable, problem = action_type.queryable, f"The action type {named(action_type.key)} has"
    if queryable is None and query:
        raise ValidationError(f"{problem} no queryable property, so queryParam must be empty")
    if queryable is not None and queryable not in query:
        raise ValidationError(
            f"{problem} a queryable property, so queryParam must have the key '{queryable}'"
        )
    return query[queryable] if queryable else None


def named(key: TypeKey) -> str:
    """An action type, as messages name it."""
    return (
        f"(Category: '{key.category}', Owner: '{key.owner}', "
        f"Provider: '{key.provider}', Version: '{key.version}')"
    )
