"""Runs Lambda functions, whose code and configuration moto stores.

Each function runs in *sandboxes*: Python processes that inherit nothing from this one. A sandbox
has the function's code and configuration, and the endpoint of the local stack. It handles one event
at a time and stays warm for the next. While events wait, more sandboxes are started, up to a limit.

Asynchronous invocation works as on AWS: an event is queued and retried up to twice. An event that
still fails goes to the function's dead-letter queue and its on-failure destination.

docs/local.md lists where AWS differs. `Runner(retry_delays=...)` sets other times between retries;
`sleep_scale` multiplies the time that a function and the SDK in it sleep. The permissions of the
role are checked only on request: see `permissions`.
"""

import atexit
import base64
import contextlib
import functools
import hashlib
import heapq
import io
import itertools
import json
import logging
import os
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from moto.awslambda import models
from moto.awslambda.exceptions import LambdaClientError, UnknownFunctionException
from moto.logs.models import logs_backends
from moto.sqs.models import sqs_backends
from moto.utilities.arns import parse_arn

from local.aws import isolation, metrics, permissions

logger = logging.getLogger(__name__)

RUNTIME = Path(__file__).with_name("lambda_runtime.py")
COMMAND = (sys.executable, "-P", "-u", "-X", "utf8", str(RUNTIME))

#: As on AWS, a longer init counts as part of the first invocation.
INIT_SECONDS = 10
#: The time for a function's process to start, even on a busy machine.
START_SECONDS = 60
#: The time for invocations whose process was killed to be logged.
CLOSE_SECONDS = 10

#: If two sandboxes created the same log group at once, one log would be lost.
_logging = threading.Lock()

DEFAULT_EVENT_AGE = 6 * 60 * 60
DEFAULT_RETRIES = 2


class TooManyRequestsError(LambdaClientError):
    """All of the function's reserved concurrency is in use."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class InvalidRequestContentError(LambdaClientError):
    """The event is not JSON."""

    def __init__(self, error: ValueError) -> None:
        super().__init__(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}"
        )


@dataclass(frozen=True)
class Result:
    """The result of an invocation."""

    request_id: str
    payload: str
    failed: bool
    log: str
    version: str

    @property
    def error_message(self) -> str:
        return str(json.loads(self.payload).get("errorMessage", "")) if self.failed else ""


class Starter:
    """Forks sandboxes from a process that has imported the SDK, which takes most of a cold start.

    That process has no state of any function, so one serves all of them. It ends with this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._processes: dict[int, Forked] = {}
        self._socket, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [*COMMAND, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LANG": "en_US.UTF-8",
                    **isolation.NO_HOME,
                },
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self, fds: list[int], folder: Path, environment: dict[str, str]) -> "Forked":
        """Start a process with these descriptors: standard input, output, requests and answers."""
        settings_end, settings_fd = os.pipe()
        with os.fdopen(settings_fd, "w") as file:
            json.dump({"folder": str(folder), "environment": environment}, file)
        with self._lock:
            socket.send_fds(self._socket, [b"+"], [*fds, settings_end])
            os.close(settings_end)
            try:
                return self._processes[self._started.get(timeout=START_SECONDS)]
            except queue.Empty:
                raise RuntimeError("the process that starts functions does not answer") from None

    def close(self) -> None:
        """End the process. Sandboxes end when their pipes to this process are closed."""
        self._socket.shutdown(socket.SHUT_WR)
        self._process.wait()
        self._listener.join()
        self._socket.close()

    def _listen(self) -> None:
        with self._socket.makefile(encoding="utf-8") as lines:
            for line in lines:
                told = json.loads(line)
                if pid := told.get("started"):
                    self._processes[pid] = Forked(pid)
                    self._started.put(pid)
                else:
                    self._processes.pop(told["ended"]).end(told["status"])
        for process in self._processes.values():
            process.end(signal.SIGKILL)


class Forked:
    """A process that the starter has forked, with the methods of Popen that a sandbox needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._ended = threading.Event()

    def end(self, status: int) -> None:
        self._status = os.waitstatus_to_exitcode(status)
        self._ended.set()

    def poll(self) -> int | None:
        return self._status

    def wait(self) -> int:
        self._ended.wait()
        return cast(int, self._status)


@functools.cache
def starter() -> Starter:
    made = Starter()
    atexit.register(made.close)
    return made


class Sandbox:
    """One process that runs one function, and the log stream that goes with it."""

    def __init__(
        self,
        function: Any,
        revision: str,
        task_root: Path,
        endpoint_url: str,
        sleep_scale: float = 1.0,
    ) -> None:
        self.revision = revision
        self._function = function
        today = datetime.now(UTC).strftime("%Y/%m/%d")
        name = secrets.token_hex(16)
        self._log_stream = f"{today}/[{function.version}]{name}"
        #: The session token of the sandbox's calls, by which the endpoint recognizes the sandbox.
        self.session = f"{function.function_name}/{name}"
        #: The last event, and the number of invocations.
        self.event = ""
        self.invocations = 0
        self._lines: deque[str] = deque()
        self._printed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._marker = secrets.token_hex(16)
        self._init_seconds: float | None = None
        self._started = time.monotonic()
        stdin_end, stdin = os.pipe()
        output, output_end = os.pipe()
        requests_fd, requests_end = os.pipe()
        answers_end, answers_fd = os.pipe()
        self._requests = os.fdopen(requests_end, "w", encoding="utf-8")
        theirs = [stdin_end, output_end, requests_fd, answers_fd]
        variables = environment(function, self._log_stream, task_root, endpoint_url) | {
            "AWS_SESSION_TOKEN": self.session,
            "LOCAL_SLEEP_SCALE": str(sleep_scale),
        }
        self._process: Forked | subprocess.Popen[bytes]
        # On macOS a forked process can't ask the system for its proxies, as the SDK does.
        if sys.platform == "linux":
            self._process = starter().start(theirs, task_root, variables)
        else:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [*COMMAND, str(requests_fd), str(answers_fd)],
                stdin=stdin_end,
                stdout=output_end,
                stderr=subprocess.STDOUT,
                cwd=task_root,
                env=variables,
                pass_fds=(requests_fd, answers_fd),
                start_new_session=True,  # it gets no Ctrl-C, and its children end with it
            )
        for fd in theirs:
            os.close(fd)
        with os.fdopen(stdin, "w") as file, contextlib.suppress(BrokenPipeError):
            file.write(self._marker + "\n")
        for target, fd in ((self._read_answers, answers_end), (self._read_output, output)):
            threading.Thread(target=target, args=(fd,), daemon=True).start()

    @property
    def function_name(self) -> str:
        return str(self._function.function_name)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process, as if it had crashed; `invoke` then reports that it exited."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read_answers(self, fd: int) -> None:
        with os.fdopen(fd, encoding="utf-8") as answers:
            for line in answers:
                self._answers.put(json.loads(line))
        self._answers.put(None)

    def _read_output(self, fd: int) -> None:
        with os.fdopen(fd, encoding="utf-8", errors="replace") as output:
            for line in output:
                if line.rstrip("\n") == self._marker:
                    self._printed.put(True)
                else:
                    self._lines.append(line.rstrip("\n"))
        self._printed.put(False)

    def invoke(self, event: str, request_id: str) -> Result:
        """Handle one event; the process may have ended afterwards."""
        function = self._function
        self.event = event
        self.invocations += 1
        timeout = int(function.timeout)
        answer: dict[str, Any] | None = {}
        timed_out = False
        if self._init_seconds is None:
            answer, timed_out = self._answer(max(INIT_SECONDS, timeout))
            self._init_seconds = init = time.monotonic() - self._started
        else:
            init = None
        began = time.monotonic()
        if answer is not None and not answer.get("error") and not timed_out:
            request = {
                "event": event,
                "requestId": request_id,
                "functionArn": function.function_arn,
                "timeout": timeout,
                "traceId": f"Root=1-{int(time.time()):x}-{secrets.token_hex(12)};Sampled=0",
            }
            with contextlib.suppress(OSError):  # the process has died, as `_answer` will find
                print(json.dumps(request), file=self._requests, flush=True)
            answer, timed_out = self._answer(timeout)
        seconds = time.monotonic() - began
        if timed_out:
            self.close()
            message = f"Task timed out after {timeout:.2f} seconds"
            payload = self._crash("Sandbox.Timedout", request_id, message)
            self._lines.append(f"{_now()} {request_id} {message}")
        elif answer is None:
            status = self._process.wait()
            how = f"signal: {signal.strsignal(-status)}" if status < 0 else f"exit status {status}"
            reason = f"exited with error: {how}" if status else "exited without providing a reason"
            payload = self._crash("Runtime.ExitError", request_id, f"Runtime {reason}")
            self._lines.append(f"RequestId: {request_id} Error: Runtime {reason}")
        else:
            payload = answer["payload"]
        max_memory = (answer or {}).get("maxMemory", 0)
        failed = answer is None or timed_out or bool(answer.get("error"))
        log = self._write_log(request_id, seconds, max_memory, init, failed=failed)
        metrics.of_invocation(function, seconds, failed=failed)
        return Result(request_id, payload, failed, log, str(function.version))

    def _answer(self, timeout: float) -> tuple[dict[str, Any] | None, bool]:
        """Wait for the process's answer (None if it died), and return whether it timed out."""
        try:
            answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            return None, True
        # Before the log is written, read everything that was printed before the answer. Processes
        # that the function has started may keep the output open, so don't wait long.
        with contextlib.suppress(queue.Empty):
            self._printed.get(timeout=1)
        return answer, False

    @staticmethod
    def _crash(error_type: str, request_id: str, message: str) -> str:
        error_message = f"RequestId: {request_id} Error: {message}"
        return json.dumps({"errorType": error_type, "errorMessage": error_message})

    def _write_log(
        self, request_id: str, seconds: float, max_memory: int, init: float | None, *, failed: bool
    ) -> str:
        function = self._function
        printed = [self._lines.popleft() for _ in range(len(self._lines))]
        tell = platform_json if is_json(function) else platform_text
        figures = {
            "durationMs": round(seconds * 1000, 2),
            "billedDurationMs": int(seconds * 1000) + 1,
            "memorySizeMB": int(function.memory_size),
            "maxMemoryUsedMB": max_memory,
        }
        if init is not None:
            figures["initDurationMs"] = round(init * 1000, 2)
        before, after = tell(request_id, str(function.version), figures, failed=failed)
        lines = [*before, *printed, *after]
        logs = logs_backends[function.account_id][function.region]
        group = log_group(function)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line]
        with _logging:
            logs.ensure_log_group(group)
            logs.ensure_log_stream(group, self._log_stream)
            logs.put_log_events(group, self._log_stream, events)
        metrics.of_printed(function, printed)
        return "\n".join(lines) + "\n"

    def close(self) -> None:
        """End the process, and what it started."""
        self.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # a request was not sent
            self._requests.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_json(function: Any) -> bool:
    return bool(function.logging_config.get("LogFormat") == "JSON")


def platform_text(
    request_id: str, version: str, figures: dict[str, float], **_: bool
) -> tuple[list[str], list[str]]:
    """Return what Lambda logs before and after an invocation, as text."""
    init = (
        "\tInit Duration: {:.2f} ms".format(figures["initDurationMs"])
        if "initDurationMs" in figures
        else ""
    )
    return [f"START RequestId: {request_id} Version: {version}"], [
        f"END RequestId: {request_id}",
        f"REPORT RequestId: {request_id}\tDuration: {figures['durationMs']:.2f} ms\t"
        f"Billed Duration: {figures['billedDurationMs']} ms\t"
        f"Memory Size: {figures['memorySizeMB']} MB\t"
        f"Max Memory Used: {figures['maxMemoryUsedMB']} MB{init}",
    ]


def platform_json(
    request_id: str, version: str, figures: dict[str, float], *, failed: bool
) -> tuple[list[str], list[str]]:
    """Return what Lambda logs before and after an invocation, as JSON.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
    """
    known = {"requestId": request_id}
    start = {"time": _now(), "type": "platform.start", "record": {**known, "version": version}}
    record = {**known, "metrics": figures, "status": "error" if failed else "success"}
    report = {"time": _now(), "type": "platform.report", "record": record}
    return [json.dumps(start)], [json.dumps(report)]


def log_group(function: Any) -> str:
    return str(function.logging_config.get("LogGroup") or function.logs_group_name)


def log_level(function: Any) -> dict[str, str]:
    """Return the environment variable with the level of a JSON log."""
    if not is_json(function):
        return {}
    return {"AWS_LAMBDA_LOG_LEVEL": function.logging_config.get("ApplicationLogLevel") or "INFO"}


def environment(
    function: Any, log_stream: str, task_root: Path, endpoint_url: str
) -> dict[str, str]:
    """Return the environment of a function: its own variables, Lambda's, and the endpoint.

    Of this process's environment, the function gets only the PATH.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        **{name: str(value) for name, value in function.environment_vars.items()},
        "_HANDLER": function.handler,
        "LAMBDA_TASK_ROOT": str(task_root),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": str(function.logging_config.get("LogFormat", "Text")),
        **log_level(function),
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group(function),
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        # The endpoint recognizes the function's role by this key.
        "AWS_ACCESS_KEY_ID": permissions.record.access_key(function.role),
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        # These come last, so the function's own variables can't lead its calls elsewhere.
        "AWS_ENDPOINT_URL": endpoint_url,
        **isolation.NO_HOME,
    }


class Pool:
    """The sandboxes of one function."""

    def __init__(self, limit: int, folder: Path) -> None:
        self._limit = limit
        self._folder = folder
        self._idle: list[Sandbox] = []
        self._all: set[Sandbox] = set()
        self._busy = 0
        self._changed = threading.Condition()
        self._closed = False

    def unpack(self, function: Any) -> Path:
        """Unpack the function's code, once for each version of it."""
        task_root = self._folder / hashlib.sha256(function.code_bytes).hexdigest()[:16]
        with self._changed:
            if not task_root.exists():
                with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                    archive.extractall(task_root)
        return task_root

    def acquire(self, reserved: int | None, revision: str) -> Sandbox | None:
        """Return a warm sandbox, or None if a new one may be started.

        Waits while all sandboxes are busy, and throttles beyond the reserved concurrency.
        """
        with self._changed:
            if reserved is not None and self._busy >= reserved:
                raise TooManyRequestsError
            self._changed.wait_for(lambda: self._busy < self._limit or self._closed)
            if self._closed:
                raise TooManyRequestsError
            self._busy += 1
            while self._idle:
                sandbox = self._idle.pop()
                if sandbox.revision == revision and sandbox.alive:
                    return sandbox
                self._discard(sandbox)
            return None

    def started(self, sandbox: Sandbox) -> None:
        with self._changed:
            self._all.add(sandbox)
            if self._closed:
                sandbox.close()

    def release(self, sandbox: Sandbox | None) -> None:
        with self._changed:
            self._busy -= 1
            if sandbox:
                if sandbox.alive and not self._closed:
                    self._idle.append(sandbox)
                else:
                    self._discard(sandbox)
            self._remove_if_unused()
            self._changed.notify_all()

    def find(self, session: str) -> Sandbox | None:
        with self._changed:
            return next((one for one in self._all if one.session == session), None)

    def cool(self) -> None:
        """End the idle sandboxes, so that the next event starts a new one."""
        with self._changed:
            while self._idle:
                self._discard(self._idle.pop())

    def _discard(self, sandbox: Sandbox) -> None:
        self._all.discard(sandbox)
        sandbox.close()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for sandbox in list(self._all):
                self._discard(sandbox)
            self._remove_if_unused()
            self._changed.notify_all()

    def _remove_if_unused(self) -> None:
        if self._closed and not self._busy:
            shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(order=True)
class QueuedEvent:
    """A queued event for a function, ordered by its due time."""

    due: float
    number: int
    function: Any = field(compare=False)
    payload: str = field(compare=False)
    queued: float = field(compare=False)
    request_id: str = field(compare=False)
    attempts: int = field(compare=False, default=0)
    throttles: int = field(compare=False, default=0)


class Runner:
    """Runs the functions of the local stack. There is one runner at a time: see `start`."""

    def __init__(
        self,
        endpoint_url: str,
        *,
        sandboxes: int = 4,
        retry_delays: tuple[float, float] = (1.0, 2.0),
        sleep_scale: float = 1.0,
    ) -> None:
        self.endpoint_url = endpoint_url
        self.retry_delays = retry_delays
        self.sleep_scale = sleep_scale
        self._sandboxes = sandboxes
        self._pools: dict[str, Pool] = {}
        self._code = Path(tempfile.mkdtemp(prefix="functions-"))
        self._events: dict[str, list[QueuedEvent]] = {}
        self._workers: dict[str, int] = {}
        self._unfinished: dict[int, QueuedEvent] = {}
        self._running = 0
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closed = False

    # -- Running one event --------------------------------------------------------------------

    def invoke(self, function: Any, payload: str, request_id: str | None = None) -> Result:
        """Run one event and wait for the answer.

        Raises TooManyRequestsError if the function's reserved concurrency is used up, or the stack
        stops, and UnknownFunctionException if the function was deleted.
        """
        arn = function.function_arn
        with self._changed:
            if self._closed:
                raise TooManyRequestsError
            if not _exists(function):
                raise UnknownFunctionException(arn)
            if arn not in self._pools:
                folder = Path(tempfile.mkdtemp(prefix=f"{function.function_name}-", dir=self._code))
                self._pools[arn] = Pool(self._sandboxes, folder)
            pool = self._pools[arn]
            self._running += 1
        try:
            return self._run(pool, function, payload, request_id)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _run(self, pool: Pool, function: Any, payload: str, request_id: str | None) -> Result:
        revision = _revision(function)
        reserved = function.reserved_concurrency
        try:
            sandbox = pool.acquire(None if reserved is None else int(reserved), revision)
        except TooManyRequestsError:
            metrics.of_function(function, Throttles=1)
            raise
        try:
            if sandbox is None:
                sandbox = Sandbox(
                    function, revision, pool.unpack(function), self.endpoint_url, self.sleep_scale
                )
                pool.started(sandbox)
            return sandbox.invoke(payload, request_id or str(uuid.uuid4()))
        finally:
            pool.release(sandbox)

    def sandbox(self, session: str) -> Sandbox | None:
        """Return the sandbox with this session token."""
        with self._lock:
            pools = list(self._pools.values())
        return next((found for pool in pools if (found := pool.find(session))), None)

    def cool(self) -> None:
        """Make each function's next event a cold start, as happens on AWS after a while."""
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.cool()

    def forget(self, arn: str) -> None:
        """Remove the sandboxes, code and queued events of a deleted function or version."""
        with self._changed:
            gone = [one for one in self._pools if one == arn or one.startswith(f"{arn}:")]
            pools = [self._pools.pop(one) for one in gone]
            for one in {*gone, arn}:
                self._workers.pop(one, None)
                for event in self._events.pop(one, []):
                    self._unfinished.pop(event.number, None)
            self._changed.notify_all()
        for pool in pools:
            pool.close()

    # -- Asynchronous invocation --------------------------------------------------------------

    def invoke_async(self, function: Any, payload: str) -> str:
        """Queue one event, and return its request id.

        Raises UnknownFunctionException if the function was deleted.
        """
        now = time.monotonic()
        request_id = str(uuid.uuid4())
        event = QueuedEvent(now, next(self._numbers), function, payload, now, request_id)
        arn = function.function_arn
        with self._changed:
            if not _exists(function):
                raise UnknownFunctionException(arn)
            self._unfinished[event.number] = event
            self._put(event)
            if self._workers.get(arn, 0) < self._sandboxes:
                self._workers[arn] = self._workers.get(arn, 0) + 1
                threading.Thread(target=self._work, args=(arn,), daemon=True).start()
        return request_id

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until no asynchronous event is queued, running or waiting for a retry."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished, timeout)

    def unfinished(self) -> list[str]:
        """Return the asynchronous events that are queued, running or waiting for a retry."""
        with self._lock:
            return [event.payload for event in self._unfinished.values()]

    def _put(self, event: QueuedEvent) -> None:
        heapq.heappush(self._events.setdefault(event.function.function_arn, []), event)
        self._changed.notify_all()

    def _work(self, arn: str) -> None:
        while event := self._next(arn):
            again = self._attempt(event)
            with self._changed:
                if again is None or arn not in self._events:
                    self._unfinished.pop(event.number, None)
                    self._changed.notify_all()
                else:
                    event.due = time.monotonic() + again
                    self._put(event)

    def _next(self, arn: str) -> QueuedEvent | None:
        """Wait for the next due event; None if the function was deleted or the runner closed."""
        with self._changed:
            while not self._closed and (events := self._events.get(arn)) is not None:
                now = time.monotonic()
                if events and events[0].due <= now:
                    return heapq.heappop(events)
                self._changed.wait(events[0].due - now if events else None)
        return None

    def _attempt(self, event: QueuedEvent) -> float | None:
        """Run a queued event; return the seconds until it is tried again, or None."""
        function = event.function
        config = function.event_invoke_config[-1].config if function.event_invoke_config else {}
        max_age = config.get("MaximumEventAgeInSeconds", DEFAULT_EVENT_AGE)
        retries = config.get("MaximumRetryAttempts", DEFAULT_RETRIES)
        result = None
        error = "Rate Exceeded."
        try:
            result = self.invoke(function, event.payload, event.request_id)
            event.attempts += 1
            error = result.error_message
        except TooManyRequestsError:
            event.throttles += 1
        except UnknownFunctionException:
            return None
        except Exception as failure:  # an event must not end the thread that serves the queue
            logger.exception("%s could not be run", function.function_name)
            event.attempts += 1
            error = str(failure)
        if self._closed:
            return None
        if result and not result.failed:
            self._send_record(event, config, "OnSuccess", "Success", result)
            return None
        if event.attempts > retries:
            self._give_up(event, config, "RetriesExhausted", result, error)
            return None
        if result is None and event.throttles:  # these retries are limited only by the event's age
            delay: float = self.retry_delays[0] * min(2 ** (event.throttles - 1), 300)
        else:
            delay = self.retry_delays[event.attempts - 1]
        if time.monotonic() + delay - event.queued > max_age:
            self._give_up(event, config, "EventAgeExceeded", result, error)
            return None
        return delay

    def _give_up(
        self,
        event: QueuedEvent,
        config: dict[str, Any],
        condition: str,
        result: Result | None,
        error: str,
    ) -> None:
        self._send_record(event, config, "OnFailure", condition, result)
        target = event.function.dead_letter_config.get("TargetArn")
        attributes = {
            "RequestID": event.request_id,
            "ErrorCode": 200 if result else 429,
            "ErrorMessage": error[:1024],
        }
        if target and permissions.may_send(event.function.role, target):
            send_to_queue(target, event.payload, attributes)

    @staticmethod
    def _send_record(
        event: QueuedEvent, config: dict[str, Any], on: str, condition: str, result: Result | None
    ) -> None:
        """Send the invocation record to a destination, which must be an SQS queue."""
        target = config.get("DestinationConfig", {}).get(on, {}).get("Destination")
        if not target:
            return
        function = event.function
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": _now(),
            "requestContext": {
                "requestId": event.request_id,
                "functionArn": f"{function.function_arn}:{function.version}",
                "condition": condition,
                "approximateInvokeCount": event.attempts,
            },
            "requestPayload": json.loads(event.payload),
        }
        if result:
            context = {"statusCode": 200, "executedVersion": result.version}
            if result.failed:
                context["functionError"] = "Unhandled"
            record["responseContext"] = context
            record["responsePayload"] = json.loads(result.payload)
        send_to_queue(target, json.dumps(record), {})

    # -- The end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Drop queued events, end every sandbox, and wait until running invocations are logged."""
        with self._changed:
            self._closed = True
            pools = list(self._pools.values())
            self._changed.notify_all()
        for pool in pools:
            pool.close()
        # Otherwise they would be logged in the log groups of the next stack.
        with self._changed:
            self._changed.wait_for(lambda: not self._running, CLOSE_SECONDS)
        shutil.rmtree(self._code, ignore_errors=True)


def _exists(function: Any) -> bool:
    backend = models.lambda_backends[function.account_id][function.region]
    try:
        return backend.get_function(function.function_arn) is function
    except UnknownFunctionException:
        return False


def _revision(function: Any) -> str:
    """Return the function's code and configuration as a text; a sandbox is for one revision."""
    configuration = [
        function.code_sha_256,
        function.handler,
        function.role,
        function.memory_size,
        function.timeout,
        function.environment_vars,
        function.logging_config,
    ]
    return json.dumps(configuration, sort_keys=True, default=str)


def send_to_queue(arn: str, body: str, attributes: Mapping[str, str | int]) -> None:
    """Send a message to an SQS queue; if it can't be sent, the log says so."""
    queue_arn = parse_arn(arn)
    if queue_arn.service != "sqs":
        logger.warning("not sent: %s is not an SQS queue", arn)
        return
    message_attributes = {
        name: {
            "DataType": "Number" if isinstance(value, int) else "String",
            "StringValue": str(value),
        }
        for name, value in attributes.items()
        if value != ""
    }
    try:
        sqs_backends[queue_arn.account][queue_arn.region].send_message(
            queue_arn.resource_id, body, message_attributes=message_attributes
        )
    except Exception:  # an error of the queue must not reach the sender of the event
        logger.exception("not sent to %s", arn)


# -- Replacements in moto -------------------------------------------------------------------------

_runner: Runner | None = None


def start(endpoint_url: str, **settings: Any) -> Runner:
    """Start the runner, which is needed to invoke functions."""
    global _runner  # noqa: PLW0603 - as global as moto's backends
    stop()
    _runner = Runner(endpoint_url, **settings)
    return _runner


def stop() -> None:
    """Close the runner."""
    global _runner  # noqa: PLW0603
    if _runner:
        _runner.close()
    _runner = None


def sandbox(session: str) -> Sandbox | None:
    """Return the sandbox with a session token; None if it is not a sandbox's token."""
    return _runner.sandbox(session) if _runner and "/" in session else None


def runner() -> Runner:
    if _runner is None:
        raise RuntimeError("can't run functions before functions.start() is called")
    return _runner


def invoke(
    self: Any, body: bytes | str, request_headers: Mapping[str, str], response_headers: Any
) -> bytes:
    """Replace LambdaFunction.invoke, which needs Docker."""
    payload = (body.decode() if isinstance(body, bytes) else body) or "{}"
    try:
        json.loads(payload)
    except ValueError as error:
        raise InvalidRequestContentError(error) from error
    headers = {name.lower(): value for name, value in request_headers.items()}
    kind = headers.get("x-amz-invocation-type", "RequestResponse")
    if kind == "DryRun":
        return b""
    if kind == "Event":
        response_headers["x-amzn-requestid"] = runner().invoke_async(self, payload)
        return b""
    result = runner().invoke(self, payload)
    response_headers["x-amzn-requestid"] = result.request_id
    response_headers["x-amz-executed-version"] = result.version
    response_headers["x-amz-log-result"] = base64.b64encode(result.log.encode()[-4096:]).decode()
    if result.failed:
        response_headers["x-amz-function-error"] = "Unhandled"
    return result.payload.encode()


def delete_function(moto_delete: Callable[..., None]) -> Callable[..., None]:
    """Also end the processes of a deleted function."""

    def delete(backend: Any, function_name: str, qualifier: str | None = None) -> None:
        arn = backend.get_function(function_name, qualifier).function_arn
        moto_delete(backend, function_name, qualifier)
        backend._lambdas._aliases.pop(arn, None)
        if _runner:
            _runner.forget(arn)

    return delete


def put_event_invoke_config(
    self: Any, function_name: str, config: dict[str, Any]
) -> dict[str, Any]:
    """Replace a function's event invoke config."""
    function = self.get_function(function_name)
    function.event_invoke_config = [
        models.EventInvokeConfig(function.function_arn, function.last_modified, config)
    ]
    response: dict[str, Any] = function.event_invoke_config[0].response()
    return response


def _keep(function: Any, spec: Mapping[str, Any]) -> None:
    if "DeadLetterConfig" in spec:
        function.dead_letter_config = spec["DeadLetterConfig"]
    if "LoggingConfig" in spec:
        function.logging_config = spec["LoggingConfig"]


def init_and_keep(init: Callable[..., None]) -> Callable[..., None]:
    def init_all(self: Any, account_id: str, spec: Any, *args: Any, **kwargs: Any) -> None:
        self.dead_letter_config = {}
        self.logging_config = {}
        init(self, account_id, spec, *args, **kwargs)
        _keep(self, spec)

    return init_all


def get_all_configuration(get: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def get_all(self: Any, on_create: bool = False) -> dict[str, Any]:
        configuration = get(self, on_create)
        configuration["LoggingConfig"] = {
            "LogFormat": "Text",
            "LogGroup": log_group(self),
            **self.logging_config,
        }
        if self.dead_letter_config:
            configuration["DeadLetterConfig"] = self.dead_letter_config
        return configuration

    return get_all


def update_all_configuration(
    update: Callable[..., dict[str, Any]],
) -> Callable[..., dict[str, Any]]:
    def update_all(self: Any, updates: dict[str, Any]) -> dict[str, Any]:
        _keep(self, updates)
        return update(self, updates)

    return update_all


def keep_request_id(enrich: Callable[..., Any]) -> Callable[..., Any]:
    def enrich_and_keep(headers: dict[str, str], body: Any) -> tuple[dict[str, str], Any]:
        of_invocation = headers.get("x-amzn-requestid")
        headers, body = enrich(headers, body)
        if of_invocation:
            headers["x-amzn-requestid"] = of_invocation
        return headers, body

    return enrich_and_keep
