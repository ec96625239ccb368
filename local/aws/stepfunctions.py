"""Step Functions on moto's interpreter, close enough to AWS for workflows that wait and retry.

moto can run state machines with its own interpreter. This module adds what the interpreter lacks
(JSONata) and corrects what differs from AWS; `replaced` lists what is replaced, and why. As on AWS:

- JSONata expressions get variables and `$states` as values, which never become part of the
  expression's text. `Assign` and `Output` both see the variables as they were when the state was
  entered.
- A task token is used up by its first result, its timeout or the end of its execution; later calls
  with it get TaskTimedOut. A retry has a new token.
- A missed heartbeat ends the task with the error States.Timeout, as AWS records it. Retriers and
  catchers match it as States.HeartbeatTimeout or as States.Timeout.
- StopExecution ends the execution at once, whatever it is waiting for.
- EventBridge gets an event for the start and the end of every execution, on the default bus.

docs/local.md lists where AWS differs. Permissions are checked only on request: see `permissions`.
"""

import base64
import copy
import functools
import json
import logging
import pickle
import secrets
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.core.base_backend import BackendDict
from moto.core.exceptions import AWSError
from moto.core.models import botocore_stubber
from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions import exceptions
from moto.stepfunctions.parser import models
from moto.stepfunctions.parser.api import (
    ExecutionStatus,
    HistoryEventType,
    InvalidToken,
)
from moto.stepfunctions.parser.asl.component.common.catch.catch_outcome import CatchOutcome
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.retry.retry_outcome import RetryOutcome
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (  # noqa: E501
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_dynamodb import (  # noqa: E501
    StateTaskServiceDynamoDB,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_events import (  # noqa: E501
    SfnFailedEntryCountException,
    StateTaskServiceEvents,
)
from moto.stepfunctions.parser.asl.eval.callback import callback
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.event.logging import (
    CloudWatchLoggingConfiguration,
    CloudWatchLoggingSession,
)
from moto.stepfunctions.parser.asl.eval.program_state import (
    ProgramEnded,
    ProgramError,
    ProgramStopped,
)
from moto.stepfunctions.parser.asl.eval.states import TaskData
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.backend.execution import (
    BaseExecutionWorkerCommunication,
    Execution,
)
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.utilities.utils import get_partition

from local.aws import definitions, events, jsonata, metrics, permissions

# The interpreter's type annotations are too inaccurate to check against.
MotoBackend: Any = models.StepFunctionsParserBackend
MotoCallbackEndpoint: Any = callback.CallbackEndpoint
MotoCommunication: Any = BaseExecutionWorkerCommunication
MotoExecution: Any = Execution
MotoWorker: Any = ExecutionWorker

logger = logging.getLogger(__name__)

MAX_INPUT = 262144
MAX_ERROR = 256
MAX_CAUSE = 32768
STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")
DEFAULT_PAGE = 100
MAX_PAGE = 1000
#: The most bytes of input and output in an event, as they are escaped in it.
MAX_EVENT_DATA = 248 * 1024

#: The settings of Step Functions' own calls. Only S3 checks signatures here, so the calls to other
#: services are unsigned; a fixed user agent and no signature save botocore time.
AGENT = Config(user_agent="states.amazonaws.com")
UNSIGNED_AGENT = AGENT.merge(Config(signature_version=UNSIGNED))

QUERY_EVALUATION_ERROR = "States.QueryEvaluationError"

#: The factor for the waits of every Retry; tests make it small.
retry_scale = 1.0

#: Sees every call that a state makes, and may make it fail; see `watched`.
watcher: Any = None

#: The state that runs in this thread.
_state: ContextVar[str] = ContextVar("state", default="")


# -- Expressions -----------------------------------------------------------------------------------


@functools.lru_cache(1000)
def aws_time(when: datetime | str) -> str:
    """Return a time as it is written in the context object."""
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def states_variable(env: Any) -> dict[str, Any]:
    """Return the value of `$states`; `result` and `errorOutput` only if they are set."""
    states = {name: value for name, value in env.states._states_data.items() if value is not None}
    context = dict(env.states.context_object.context_object_data)
    context["Execution"] = {
        **context["Execution"],
        "StartTime": aws_time(context["Execution"]["StartTime"]),
    }
    if context.get("State"):
        entered = aws_time(context["State"]["EnteredTime"])
        context["State"] = {**context["State"], "EnteredTime": entered}
    return {**states, "input": env.states._states_data["input"], "context": context}


def variables(env: Any) -> dict[str, Any]:
    """Return the workflow variables, as they were when the running state was entered."""
    store = env.variable_store
    now = {**store._outer_scope, **store._inner_scope}
    return getattr(store, "at_entry", now)


def eval_jsonata(self: Any, env: Any) -> None:
    try:
        value = jsonata.evaluate(
            self.expression, {**variables(env), "states": states_variable(env)}
        )
    except jsonata.EvaluationError as error:
        raise query_evaluation_error(
            env, f"The JSONata expression '{self.expression}' {error}"
        ) from error
    env.stack.append(value)


def eval_variable_sample(self: Any, env: Any) -> None:
    """Evaluate `$name.path` in a JSONPath state, in which an undefined value is null."""
    try:
        value = jsonata.evaluate(self.expression, variables(env))
    except jsonata.UndefinedError:
        value = None
    env.stack.append(value)


def query_evaluation_error(env: Any, cause: str) -> FailureEventException:
    kind = HistoryEventType.EvaluationFailed
    error = FailureEventException(failure(env, kind, ErrorName(QUERY_EVALUATION_ERROR), cause))
    details = {"evaluationFailedEventDetails": error.get_evaluation_failed_event_details()}
    env.event_manager.add_event(
        context=env.event_history_context, event_type=kind, event_details=details
    )
    return error


def failure(
    env: Any, kind: HistoryEventType, error: ErrorName, cause: str | None, **details: str
) -> FailureEvent:
    """Return a failure, with its event for the history."""
    name = kind.value[0].lower() + kind.value[1:] + "EventDetails"
    event_details: Any = {name: {"error": error.error_name, "cause": cause, **details}}
    return FailureEvent(env=env, error_name=error, event_type=kind, event_details=event_details)


# -- Task tokens ----------------------------------------------------------------------------------


class TaskToken(MotoCallbackEndpoint):  # type: ignore[misc]
    """A task token, which is used up by its first result or by the end of its task."""

    def __init__(self, callback_id: str) -> None:
        super().__init__(callback_id)
        self._changed = threading.Condition()
        self._closed = False
        self._outcome: Any = None
        self._heartbeat_seconds: float | None = None
        self._last_heartbeat = time.monotonic()

    def notify(self, outcome: callback.CallbackOutcome) -> None:
        with self._changed:
            self._check_open()
            self._outcome = outcome
            self._closed = True
            self._changed.notify_all()

    def notify_heartbeat(self) -> bool:
        with self._changed:
            self._check_open()
            self._last_heartbeat = time.monotonic()
        return True

    def _check_open(self) -> None:
        if self._closed:
            message = "Task Timed Out: 'Provided task does not exist anymore'"
            raise AWSError(message, "TaskTimedOut", 400)

    def setup_heartbeat_endpoint(self, heartbeat_seconds: float) -> "TaskToken":
        self._heartbeat_seconds = heartbeat_seconds
        return self

    def close(self) -> bool:
        """Accept no more results; return whether there is none."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._outcome is None

    interrupt_all = close

    def wait_in(self, env: Any) -> Any:
        """Wait for the outcome: a result, a missed heartbeat, or the end of the task."""
        with self._changed, waking(env, self._wake):
            while self._outcome is None and env.is_running():
                left = None
                if self._heartbeat_seconds is not None:
                    left = self._last_heartbeat + self._heartbeat_seconds - time.monotonic()
                    if left <= 0:
                        self._closed = True
                        return callback.HeartbeatTimedOut()
                self._changed.wait(left)
            return self._outcome or callback.CallbackOutcomeTimedOut(self.callback_id)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


#: Stands for every token whose execution has ended.
USED_UP = TaskToken("")
USED_UP.close()

#: All tokens, so that a result finds its task without a search through the executions.
_tokens: dict[str, TaskToken] = {}


def add_token(self: Any, callback_id: str) -> TaskToken:
    token = TaskToken(callback_id)
    self._pool[callback_id] = _tokens[callback_id] = token
    return token


def update_task_token(self: Any) -> str:
    """Make a token with the length and characters of AWS's tokens."""
    token = "AQC" + base64.b64encode(secrets.token_bytes(480)).decode()
    self.context_object_data["Task"] = TaskData(Token=token)
    permissions.record.token_made(token, self.context_object_data["StateMachine"]["Id"])
    return token


def close_tokens(env: Any) -> None:
    """Accept no more results for an execution's tokens."""
    for token in list(env.callback_pool_manager._pool.values()):
        token.close()
        if token.callback_id in _tokens:
            _tokens[token.callback_id] = USED_UP


def find_token(task_token: str) -> TaskToken:
    try:
        return _tokens[task_token]
    except KeyError:
        raise InvalidToken from None


# -- Interrupting what waits ----------------------------------------------------------------------


@contextmanager
def waking(env: Any, wake: Callable[[], None]) -> Iterator[None]:
    """Call `wake` when the environment's program ends for any reason."""
    wakers = env.__dict__.setdefault("wakers", [])
    wakers.append(wake)
    if not env.is_running():  # it ended before `wake` was registered
        wake()
    try:
        yield
    finally:
        wakers.remove(wake)


def end_once(moto_method: Callable[..., None]) -> Callable[..., None]:
    """Make a method that ends a program take effect only once, and call the program's wakers."""

    @functools.wraps(moto_method)
    def end(self: Any, *args: Any, **kwargs: Any) -> None:
        with self._state_mutex:
            if self.is_running():
                moto_method(self, *args, **kwargs)
        for wake in list(self.__dict__.get("wakers", ())):
            wake()

    return end


def sleep(env: Any, seconds: float) -> None:
    """Wait, but no longer than the environment's program runs."""
    ended = threading.Event()
    with waking(env, ended.set):
        ended.wait(seconds)


def wait_interval(_: Any, env: Any, wait_seconds: float) -> None:
    sleep(env, wait_seconds)


# -- Running a state ------------------------------------------------------------------------------


class HeartbeatTimeout(ErrorName):
    """The error of a missed heartbeat, which AWS records as States.Timeout."""

    def __init__(self) -> None:
        super().__init__("States.Timeout")


def error_equals(self: Any, env: Any) -> None:
    """Find out whether an ErrorEquals matches an error, as Step Functions documents it."""
    error = env.stack.pop()
    names = {name.error_name for name in self.error_names}
    name = error.error_name
    if name == "States.Runtime":
        found = False
    elif (
        name in names
        or (isinstance(error, HeartbeatTimeout) and "States.HeartbeatTimeout" in names)
        or "States.ALL" in names
    ):
        found = True
    else:
        found = "States.TaskFailed" in names and name not in (
            "States.Timeout",
            "States.DataLimitExceeded",
        )
    env.stack.append(found)


def begin_to_parse(self: Any) -> None:
    self._query_language_per_scope = []


def name_error(self: Any, error_name: str | None) -> None:
    ErrorName.__init__(self, error_name)


def wait_for_retry(moto_eval: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(moto_eval)
    def evaluate(self: Any, env: Any) -> None:
        """Wait as long as moto would wait next, but no longer than the execution runs."""
        moto_eval(self, env)
        sleep(env, env.stack.pop() * retry_scale)
        env.stack.append(0)

    return evaluate


def enter_state(moto_eval: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(moto_eval)
    def enter(self: Any, env: Any) -> None:
        store = env.variable_store
        store.at_entry = {**store._outer_scope, **store._inner_scope}
        moto_eval(self, env)

    return enter


#: Tasks that make one quick request take turns, so that a thousand concurrent executions don't slow
#: each other down until they time out. Waiting for a turn does not count towards the timeout.
_turns = threading.BoundedSemaphore(2)


class Turn:
    """A task's turn. It ends with the task, or when the task begins to wait for its result."""

    def __init__(self, state: Any) -> None:
        self._is_taken = isinstance(state, StateTaskServiceDynamoDB | StateTaskServiceEvents) or (
            isinstance(state, StateTaskServiceAwsSdk) and state.resource.api_name == "dynamodb"
        )
        self._ended = threading.Lock()

    def __enter__(self) -> "Turn":
        if self._is_taken:
            _turns.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        if self._is_taken and self._ended.acquire(blocking=False):
            _turns.release()


def run_state(self: Any, env: Any) -> None:
    """Attempt a state until it succeeds, is caught, or fails the execution."""
    state = env.states.context_object.context_object_data["State"]
    state["RetryCount"] = 0
    while env.is_running():
        try:
            check_partition(self, env)
            with Turn(self) as turn:
                attempt(self, env, turn)
        except Exception as error:  # noqa: BLE001 - any error is a failure of the state
            if not env.is_running():  # the execution was stopped or timed out
                return
            failed = failure_event(self, env, error)
        else:
            return
        if failed.event_type != HistoryEventType.EvaluationFailed:  # it is in the history
            [(name, about)] = cast(dict[str, Any], failed.event_details).items()
            details: Any = {name: {key: of for key, of in about.items() if of is not None}}
            env.event_manager.add_event(
                context=env.event_history_context,
                event_type=failed.event_type,
                event_details=details,
            )
        env.states.set_error_output(self._construct_error_output_value(failure_event=failed))
        if self.retry and self._handle_retry(env, failed) == RetryOutcome.CanRetry:
            continue
        if self.catch:
            self._handle_catch(env=env, failure_event=failed)
            if env.stack[-1] == CatchOutcome.Caught:
                return
        raise FailureEventException(failed)


def error_output(failure_event: FailureEvent) -> dict[str, str | None]:
    """Return the error output for a Catch; Error is null if the error has no name."""
    [details] = cast(dict[str, Any], failure_event.event_details).values()
    error = details.get("error")
    return {"Error": error, "Cause": details.get("cause", "" if error else None)}


def check_partition(self: Any, env: Any) -> None:
    """Fail for a resource of another partition, with an error that can't be caught."""
    resource = getattr(self, "resource", None)
    if resource and resource.partition != get_partition(env.aws_execution_details.region):
        cause = (
            f"The resource provided {resource.resource_arn} is not recognized. The value is not a "
            "valid resource ARN, or the resource is not available in this region."
        )
        kind = HistoryEventType.TaskFailed
        raise FailureEventException(failure(env, kind, ErrorName("States.Runtime"), cause))


def attempt(self: Any, env: Any, turn: Turn) -> None:
    """Attempt a state once, within its timeout."""
    self.timeout.eval(env=env)
    seconds = env.stack.pop()
    if self.timeout.is_default_value():
        seconds = None
    env.states.set_error_output(None)
    context = env.states.context_object
    if "Task" in context.context_object_data and context.context_object_data["State"]["RetryCount"]:
        env.callback_pool_manager.add(context.update_task_token())

    frame = env.open_frame()
    frame.states.reset(input_value=env.states.get_input())
    frame.stack = copy.deepcopy(env.stack)
    frame.turn = turn
    errors: list[Exception] = []
    done, ended = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with permissions.acting(frame.aws_execution_details.role_arn):
                _state.set(self.name)
                self._eval_execution(frame)
        except Exception as error:  # noqa: BLE001 - raised again in the execution's thread
            errors.append(error)
        done.set()
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    with waking(env, ended.set):
        in_time = ended.wait(seconds)
    task = frame.states.context_object.context_object_data.get("Task")
    token = env.callback_pool_manager.get(task["Token"]) if task else None
    if not in_time and token and not token.close():  # the result came at the last moment
        done.wait()
        in_time = True
    frame.set_ended()
    env.close_frame(frame)
    if not in_time or not done.is_set():
        raise EvalTimeoutError
    if errors:
        if token:  # also if the request failed, so that nothing waits for a result
            token.close()
        raise errors[0]
    take_output(self, env, frame.stack[-1])


def take_output(self: Any, env: Any, output: Any) -> None:
    """Turn the result of a task into the output of its state."""
    env.stack.append(output)
    if not self._is_language_query_jsonpath():
        env.states.set_result(output)
        if output is None:  # the result is null, which moto takes for no result
            env.states._states_data["result"] = jsonata.NULL
    if self.assign_decl:
        self.assign_decl.eval(env=env)
    if self.result_selector:
        self.result_selector.eval(env=env)
    if self.result_path:
        self.result_path.eval(env)
    else:
        env.states.reset(input_value=env.stack.pop())


def failure_event(self: Any, env: Any, error: Exception) -> FailureEvent:
    """Return an error as the state's failure; some errors are corrected."""
    if isinstance(error, FailureEventException):
        return error.failure_event
    if isinstance(error, TimeoutError) and hasattr(self, "_get_timed_out_failure_event"):
        timed_out: Any = self._get_timed_out_failure_event(env)
        if isinstance(error, callback.HeartbeatTimeoutError):
            timed_out.error_name = HeartbeatTimeout()
        return cast(FailureEvent, timed_out)
    if isinstance(error, callback.CallbackOutcomeFailureError):
        outcome = error.callback_outcome_failure
        # Each may be None, which is null for a Catch.
        return task_failed(self, env, outcome.error, outcome.cause)
    if isinstance(self, StateTaskServiceEvents):
        if isinstance(error, SfnFailedEntryCountException):
            return task_failed(self, env, "EventBridge.FailedEntry", json.dumps(error.cause))
        if isinstance(error, ClientError):
            code = error.response["Error"]["Code"]
            name = code if code.endswith("Exception") else "AmazonEventBridgeException"
            return task_failed(self, env, f"EventBridge.{name}", error.response["Error"]["Message"])
    return cast(FailureEvent, self._from_error(env=env, ex=error))


def task_failed(self: Any, env: Any, error: str | None, cause: str | None) -> FailureEvent:
    return failure(
        env,
        HistoryEventType.TaskFailed,
        ErrorName(error),
        cause,
        resource=self._get_sfn_resource(),
        resourceType=self._get_sfn_resource_type(),
    )


def condition(self: Any, env: Any) -> None:
    self.string_jsonata.eval(env)
    if not isinstance(env.stack[-1], bool):
        expression = self.string_jsonata.expression
        raise query_evaluation_error(
            env,
            f"The JSONata expression '{expression}' returned an unexpected result type. "
            "Expected 'boolean'.",
        )


class Default(str):
    """The next state of a Choice state, if it is the state's Default."""

    __slots__ = ()


def choose(self: Any, env: Any) -> None:
    for rule in self.choices_decl.rules:
        rule.eval(env)
        if env.stack.pop():
            env.stack.append(rule.next_stmt.name)
            return
    if self.default_state is None:
        kind, name = HistoryEventType.ExecutionFailed, ErrorName("States.NoChoiceMatched")
        cause = f"No choice of '{self.name}' matches, and it has no Default"
        raise FailureEventException(failure(env, kind, name, cause))
    env.stack.append(Default(self.default_state.state_name))


def choice_output(self: Any, env: Any) -> None:
    next_state_name = env.stack.pop()
    if isinstance(next_state_name, Default):
        if self.assign_decl:
            self.assign_decl.eval(env=env)
        if self.output:
            self.output.eval(env=env)
    if self._is_language_query_jsonpath():
        self.output_path.eval(env=env)
    env.next_state_name = str(next_state_name)


def name_parameters(self: Any, parameters: dict[str, Any], *_: Any) -> None:
    """Rename parameters of an AWS SDK task that botocore writes with a lower-case first letter.

    In definitions, all names begin with a capital letter, whatever the API's names are.
    """
    api_action = self.resource.api_action
    service = boto_client.boto3.client(  # type: ignore[attr-defined]
        service_name=self._get_boto_service_name(), region_name="us-east-1"
    )
    model = service.meta.service_model.operation_model(api_action[0].upper() + api_action[1:])
    for name in [name for name in parameters if name not in model.input_shape.members]:
        small = name[0].lower() + name[1:]
        if small in model.input_shape.members:
            parameters[small] = parameters.pop(name)


def wait_for_task_token(_: Any, env: Any, callback_endpoint: TaskToken, **__: Any) -> Any:
    env.turn.end()
    return callback_endpoint.wait_in(env)


# -- The log of a state machine -------------------------------------------------------------------

#: Members that a log without execution data does not have. Whether AWS leaves out `parameters` is
#: not documented. https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
EXECUTION_DATA = {"input", "inputDetails", "output", "outputDetails", "parameters"}

#: If two executions created the same log stream at once, one log would be lost.
_logging = threading.Lock()


class LogSession(CloudWatchLoggingSession):
    """Writes one execution's history to the log group of its state machine."""

    def write(
        self,
        kind: str,
        *,
        event_id: int,
        source_event_id: int,
        timestamp: str,
        event_details: Any,
    ) -> None:
        """Write an event; it is dropped if the log group does not exist."""
        about: dict[str, Any] = next(iter((event_details or {}).values()), {})
        if not self.configuration.include_execution_data:
            about = {name: about[name] for name in about if name not in EXECUTION_DATA}
        at = milliseconds(datetime.fromisoformat(timestamp))
        line = {
            "id": str(event_id),
            "type": kind,
            "details": about,
            "previous_event_id": str(source_event_id),
            "event_timestamp": str(at),
            "execution_arn": self.execution_arn,
        }
        message = json.dumps(line, separators=(",", ":"))
        where = self.configuration
        group = self._logs_client.groups.get(where.log_group_name)
        if group is None:
            logger.warning("there is no log group %s", where.log_group_name)
            return
        name = f"states/{where.state_machine_arn.rpartition(':')[2]}"
        with _logging:
            if name not in group.streams:
                group.create_log_stream(name)
            group.streams[name].put_log_events([{"timestamp": at, "message": message}])


def log_session(state_machine: Any, execution_arn: str) -> LogSession | None:
    """Return the log session of an execution; None if its state machine has no log."""
    configuration: Any = {
        "includeExecutionData": False,
        **(state_machine.loggingConfiguration or {}),
    }
    parsed = CloudWatchLoggingConfiguration.from_logging_configuration(
        state_machine.arn, configuration
    )
    return LogSession(execution_arn, parsed) if parsed else None


def publish_history_log(self: Any, *, event_type: HistoryEventType, **event: Any) -> None:
    session = self._cloud_watch_logging_session
    if session and session.log_level_filter(event_type):
        session.write(event_type, **event)


# -- Executions -----------------------------------------------------------------------------------


class Worker(MotoWorker):  # type: ignore[misc]
    """Runs one execution. Its environment exists from the start, so it can be stopped any time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.env = self._get_evaluation_environment()
        self.env.next_state_name = ""

    def start(self) -> None:
        details = self._evaluation_details
        self.env.event_manager.add_event(
            context=self.env.event_history_context,
            event_type=HistoryEventType.ExecutionStarted,
            event_details={
                "executionStartedEventDetails": {
                    "input": json.dumps(details.execution_details.inpt, separators=(",", ":")),
                    "inputDetails": {"truncated": False},
                    "roleArn": details.aws_execution_details.role_arn,
                }
            },
            update_source_event_id=False,
        )
        threading.Thread(target=self._execution_logic, daemon=True).start()

    def _execution_logic(self) -> None:
        env, program = self.env, self._get_evaluation_entrypoint()
        with env._state_mutex:
            if env.is_running():
                env.next_state_name = program.start_at.start_at_name
        if program.timeout_seconds:
            states = threading.Thread(target=program._eval_body, args=(env,), daemon=True)
            states.start()
            states.join(program.timeout_seconds.timeout_seconds)
            if states.is_alive():
                env.set_timed_out()
                states.join(5)  # the thread writes the end of the history
        else:
            program._eval_body(env)
        self._execution_communication.terminated()


class Communication(MotoCommunication):  # type: ignore[misc]
    def terminated(self) -> None:
        execution, env = self.execution, self.execution.exec_worker.env
        state = env.program_state()
        # Before the status changes, since a caller who sees the end reads or uses these next.
        if isinstance(state, ProgramStopped):
            execution.error, execution.cause = state.error, state.cause
        elif isinstance(state, ProgramError):
            failed: Any = state.error
            execution.error, execution.cause = failed.get("error"), failed.get("cause")
        elif isinstance(state, ProgramEnded):
            execution.output = env.states.get_input()
        close_tokens(env)
        super().terminated()
        execution.ended()


class LocalExecution(MotoExecution):  # type: ignore[misc]
    """One execution, which sends events to EventBridge when it starts and ends, as on AWS.

    After its end, only what the API can still return is kept.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._ended = threading.Event()
        self._packed: bytes | None = None
        self.exec_status = ExecutionStatus.RUNNING
        self.exec_worker: Any = self._get_start_execution_worker()

    def _get_start_execution_worker_comm(self) -> Communication:
        return Communication(self)

    def start(self) -> None:
        metrics.of_execution(self, ExecutionsStarted=1)
        self._tell()
        self.exec_worker.start()

    def ended(self) -> None:
        metrics.of_end(self)
        try:
            self._tell()
        finally:
            self._pack(self.exec_worker.env)
            self._ended.set()

    def _pack(self, env: Any) -> None:
        self._packed = zlib.compress(pickle.dumps(env.event_manager._history_event_list))
        kept = SimpleNamespace(map_run_record_pool_manager=env.map_run_record_pool_manager)
        self.exec_worker = SimpleNamespace(env=kept)

    @property
    def history(self) -> list[Any]:
        """The events so far."""
        env = self.exec_worker.env
        if self._packed is not None:
            events: list[Any] = pickle.loads(zlib.decompress(self._packed))  # noqa: S301 - ours
        else:
            events = env.event_manager.get_event_history()
        return events

    def to_history_output(self) -> Any:
        return {"events": self.history}

    def stop(self, stop_date: datetime, error: str | None, cause: str | None) -> None:
        """End the execution at once; the history has its end before this returns."""
        # Before the tokens are closed: a running task whose token is closed would time out.
        worker = self.exec_worker
        if self._packed is None:
            worker.stop(stop_date=stop_date, cause=cause, error=error)
            close_tokens(worker.env)
        self._ended.wait(timeout=5)

    @property
    def result(self) -> str | None:
        """The output, as JSON."""
        return json.dumps(self.output) if self.status == ExecutionStatus.SUCCEEDED else None

    @property
    def redrive(self) -> dict[str, Any]:
        """The members about redriving, which is not possible here."""
        told: dict[str, Any] = {"redriveCount": 0, "redriveDate": None}
        if self.status in (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED):
            reason = f"Execution is {self.status} and cannot be redriven"
            return {**told, "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}
        return {**told, "redriveStatus": "REDRIVABLE", "redriveStatusReason": None}

    def _tell(self) -> None:
        """Put a "Step Functions Execution Status Change" on the default bus."""
        events.put_from_service(
            self.account_id,
            self.region_name,
            source="aws.states",
            detail_type="Step Functions Execution Status Change",
            resources=[self.exec_arn],
            detail=self._detail,
        )

    def _detail(self) -> dict[str, Any]:
        given, result = self.execution_input, self.result
        size = 0 if result is None else escaped_size(result)
        output_included = size <= MAX_EVENT_DATA
        input_included = size + escaped_size(given) <= MAX_EVENT_DATA
        return {
            "executionArn": self.exec_arn,
            "stateMachineArn": self.state_machine.arn,
            "name": self.name,
            "status": self.status,
            "startDate": milliseconds(self.start_date),
            "stopDate": milliseconds(self.stop_date) if self.stop_date else None,
            "input": given if input_included else None,
            "output": result if output_included else None,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            **self.redrive,
            "inputDetails": {"included": input_included},
            "outputDetails": None if result is None else {"included": output_included},
            "error": self.error,
            "cause": self.cause,
        }


def milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def escaped_size(text: str) -> int:
    """Return the size in bytes of a text as a member of an event."""
    return len(json.dumps(text, ensure_ascii=False).encode())


class Backend(MotoBackend):  # type: ignore[misc]
    """moto's backend, with executions indexed by ARN and tokens by value."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._executions: dict[str, LocalExecution] = {}
        self._starting = threading.Lock()

    @staticmethod
    def _validate_definition(definition: str, kind: str = "STANDARD") -> None:
        if found := definitions.problems(definition, kind):
            told = ", ".join(map(str, found))
            raise AWSError(f"Invalid State Machine Definition: '{told}'", "InvalidDefinition", 400)

    def create_state_machine(self, name: str, definition: str, **settings: Any) -> Any:
        kind = settings.get("sm_type") or "STANDARD"
        check_one_of("type", kind, ("STANDARD", "EXPRESS"))
        self._validate_definition(definition, kind)
        present = self._revision_by_name(name)
        made = super().create_state_machine(name=name, definition=definition, **settings)
        if present and any(
            getattr(present, member) != value
            for member, value in {
                "definition": definition,
                "type": kind,
                "loggingConfiguration": settings.get("loggingConfiguration") or {"level": "OFF"},
                "tracingConfiguration": settings.get("tracingConfiguration") or {"enabled": False},
            }.items()
        ):
            message = f"State Machine Already Exists: '{present.arn}'"
            raise AWSError(message, "StateMachineAlreadyExists", 400)
        return made

    def start_execution(
        self,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: str | None = None,
    ) -> LocalExecution:
        name = name or str(uuid.uuid4())
        self._validate_name(name)
        execution_input = "{}" if execution_input is None else execution_input
        check_length("input", execution_input, MAX_INPUT)
        try:
            json.loads(execution_input)
        except ValueError as error:
            raise exceptions.InvalidExecutionInput(
                f"Invalid State Machine Execution Input: '{error}'"
            ) from error
        state_machine = self.describe_state_machine(state_machine_arn)
        arn = (
            f"arn:{self.partition}:states:{self.region_name}:{self.account_id}"
            f":execution:{state_machine.name}:{name}"
        )
        with self._starting:
            if existing := self._executions.get(arn):
                same = existing.execution_input == execution_input
                if same and existing.status == ExecutionStatus.RUNNING:
                    return existing
                raise exceptions.ExecutionAlreadyExists(f"Execution Already Exists: '{arn}'")
            execution = LocalExecution(
                name=name,
                sm_type=state_machine.sm_type,
                role_arn=state_machine.roleArn,
                exec_arn=arn,
                account_id=self.account_id,
                region_name=self.region_name,
                # A copy, since an update affects later executions only.
                state_machine=copy.copy(state_machine),
                start_date=datetime.now(UTC),
                cloud_watch_logging_session=log_session(state_machine, arn),
                input_data=execution_input,
                trace_header=trace_header,
                activity_store={},
            )
            self._executions[arn] = execution
            state_machine.executions.append(execution)
        execution.start()
        return execution

    def describe_execution(self, execution_arn: str) -> LocalExecution:
        self._validate_execution_arn(execution_arn)
        try:
            return self._executions[execution_arn]
        except KeyError:
            raise exceptions.ExecutionDoesNotExist(
                f"Execution Does Not Exist: '{execution_arn}'"
            ) from None

    def list_executions(
        self, state_machine_arn: str, status_filter: str | None = None
    ) -> list[LocalExecution]:
        if status_filter is not None:
            check_one_of("statusFilter", status_filter, STATUSES)
        executions = list(self.describe_state_machine(state_machine_arn).executions)
        return [one for one in executions if status_filter in (None, one.status)]

    def describe_state_machine_for_execution(self, execution_arn: str) -> Any:
        return self.describe_execution(execution_arn).state_machine

    def stop_execution(
        self, execution_arn: str, error: str | None = None, cause: str | None = None
    ) -> LocalExecution:
        check_length("error", error, MAX_ERROR)
        check_length("cause", cause, MAX_CAUSE)
        execution = self.describe_execution(execution_arn)
        if execution.status == ExecutionStatus.RUNNING:
            execution.stop(datetime.now(UTC), error, cause)
        return execution

    def stop_all(self) -> None:
        for execution in list(self._executions.values()):
            if execution.status == ExecutionStatus.RUNNING:
                execution.stop(datetime.now(UTC), None, None)

    def send_task_success(self, task_token: str, outcome: str) -> None:
        check_length("output", outcome, MAX_INPUT)
        token = find_token(task_token)
        try:
            json.loads(outcome)
        except ValueError as error:
            raise AWSError(f"Invalid Output: '{error}'", "InvalidOutput", 400) from error
        token.notify(callback.CallbackOutcomeSuccess(task_token, outcome))

    def send_task_failure(
        self, task_token: str, error: str | None = None, cause: str | None = None
    ) -> None:
        check_length("error", error, MAX_ERROR)
        check_length("cause", cause, MAX_CAUSE)
        find_token(task_token).notify(callback.CallbackOutcomeFailure(task_token, error, cause))

    def send_task_heartbeat(self, task_token: str) -> None:
        find_token(task_token).notify_heartbeat()


def check(member: str, fits: bool, rule: str, value: str | int | None = None) -> None:
    if not fits:
        shown = "" if value is None else f" '{value}'"
        raise exceptions.ValidationException(
            f"1 validation error detected: Value{shown} at '{member}' failed to satisfy "
            f"constraint: Member must {rule}"
        )


def check_length(member: str, value: str | None, limit: int) -> None:
    fits = len(value or "") <= limit
    check(member, fits, f"have length less than or equal to {limit}")


def check_one_of(member: str, value: str, allowed: Iterable[str]) -> None:
    rule = f"satisfy enum value set: [{', '.join(allowed)}]"
    check(member, value in allowed, rule, value)


# -- Answers --------------------------------------------------------------------------------------


def answer_send_task_failure(self: Any) -> ActionResult:
    self.stepfunction_backend.send_task_failure(
        self._get_param("taskToken"), self._get_param("error"), self._get_param("cause")
    )
    return EmptyResult()


def answer_stop_execution(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.stop_execution(
        self._get_param("executionArn"), self._get_param("error"), self._get_param("cause")
    )
    return ActionResult({"stopDate": execution.stop_date})


def answer_describe_execution(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    result = execution.result
    answer: dict[str, Any] = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "output": result,
        "outputDetails": None if result is None else {"included": True},
        "error": execution.error,
        "cause": execution.cause,
        **execution.redrive,
    }
    return ActionResult(answer)


def answer_list_executions(self: Any) -> ActionResult:
    executions = self.stepfunction_backend.list_executions(
        self._get_param("stateMachineArn"), self._get_param("statusFilter")
    )
    return ActionResult(
        page(
            self,
            "executions",
            executions,
            place=lambda execution: [execution.start_date.timestamp(), execution.exec_arn],
            told=lambda execution: {
                "executionArn": execution.exec_arn,
                "stateMachineArn": execution.state_machine.arn,
                "name": execution.name,
                "status": execution.status,
                "startDate": execution.start_date,
                "stopDate": execution.stop_date,
                "redriveCount": 0,
            },
            newest_first=True,
        )
    )


def answer_list_state_machine_versions(self: Any) -> ActionResult:
    machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
    return ActionResult(
        page(
            self,
            "stateMachineVersions",
            list(machine.versions.values()),
            place=lambda version: version.version,
            told=lambda version: {
                "stateMachineVersionArn": version.arn,
                "creationDate": version.creation_date,
            },
            newest_first=True,
        )
    )


def answer_validate_state_machine_definition(self: Any) -> ActionResult:
    kind = self._get_param("type", "STANDARD")
    found = definitions.problems(self._get_param("definition"), kind)
    diagnostics = [
        {"severity": "ERROR", **vars(each), "location": each.location or None} for each in found
    ]
    result = "FAIL" if found else "OK"
    return ActionResult({"result": result, "diagnostics": diagnostics, "truncated": False})


def answer_get_execution_history(self: Any) -> ActionResult:
    history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))

    def told(event: dict[str, Any]) -> dict[str, Any]:
        if self._get_param("includeExecutionData") is False:
            for details in event.values():
                if isinstance(details, dict):
                    EventManager._remove_data_from_history_log(details)
        return event

    return ActionResult(
        page(
            self,
            "events",
            history["events"],
            place=lambda event: event["id"],
            told=told,
            newest_first=bool(self._get_param("reverseOrder")),
        )
    )


def page(
    request: Any,
    name: str,
    items: list[Any],
    *,
    place: Callable[[Any], Any],
    told: Callable[[Any], dict[str, Any]],
    newest_first: bool,
) -> dict[str, Any]:
    """Return the requested page of a list.

    The token says where the page ends, so the next page continues there even if items were added
    or removed.
    """
    size = request._get_param("maxResults") or DEFAULT_PAGE
    check("maxResults", size <= MAX_PAGE, f"have value less than or equal to {MAX_PAGE}", size)
    items = sorted(items, key=place, reverse=newest_first)
    if token := request._get_param("nextToken"):
        try:
            last = json.loads(base64.b64decode(token, validate=True))
            items = [
                item
                for item in items
                if (place(item) < last if newest_first else place(item) > last)
            ]
        except (ValueError, TypeError):
            raise exceptions.InvalidToken(f"'{token}'") from None
    answer: dict[str, Any] = {name: [told(item) for item in items[:size]]}
    if len(items) > size:
        end = json.dumps(place(items[size - 1]))
        answer["nextToken"] = base64.b64encode(end.encode()).decode()
    return answer


# -- Replacements in moto -------------------------------------------------------------------------


def watched(client: Any) -> Any:
    """Let the watcher, if there is one, see a client's calls and their responses."""

    def before(model: Any, params: Any, context: Any, **_: Any) -> Any:
        state = _state.get()
        return watcher.before(state, model.name, params, context) if watcher and state else None

    def after(context: dict[str, Any], http_response: Any, parsed: Any, **_: Any) -> None:
        if watcher:
            watcher.after(context, http_response, parsed)

    def send_nothing_to_aws(request: Any, **_: Any) -> None:
        if not botocore_stubber.enabled:  # the stack has ended
            raise EndpointConnectionError(endpoint_url=request.url)

    client.meta.events.register("before-send", send_nothing_to_aws)
    client.meta.events.register("before-call", before)
    client.meta.events.register("after-call", after)
    return client


class Clients:
    """Keeps one client per service and region, since creating one takes longer than most tasks."""

    def __init__(self) -> None:
        self._session = boto3.Session()
        self._clients: dict[tuple[str, str, str | None], Any] = {}
        self._lock = threading.Lock()

    def client(
        self,
        service_name: str,
        *,
        region_name: str,
        config: Config = Config(),  # noqa: B008 - it is never changed
        **settings: Any,
    ) -> Any:
        key = (service_name, region_name, settings.get("endpoint_url"))
        with self._lock:
            if key not in self._clients:
                made = self._session.client(
                    service_name,
                    region_name=region_name,
                    config=config.merge(AGENT if service_name == "s3" else UNSIGNED_AGENT),
                    **settings,
                )
                self._clients[key] = watched(permissions.watch(made))
            return self._clients[key]


def counted(data: Any) -> str:
    """The JSON that counts for the size of a state's data: UTF-8, without spaces."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode(errors="replace").decode()


def stop_all() -> None:
    """Stop every running execution, so that none outlives its stack."""
    for account in list(models.stepfunctions_parser_backends.values()):
        for backend in list(account.values()):
            cast(Any, backend).stop_all()
    _tokens.clear()


backends = BackendDict(Backend, "stepfunctions")
clients = Clients()
parsed = functools.lru_cache(maxsize=64)
own_id = property(lambda self: str(id(self)))

# moto logs every failed state as an error on standard error.
logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
