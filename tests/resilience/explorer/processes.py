"""Functions as processes that stop at every call to AWS, without threads.

What a function does depends on its event, on the answers that it gets, and on the time. So a
process *is* its event and its answers so far: to continue it, the function is run from its
beginning with these answers, up to its next call. A process is therefore a value: it can be kept,
compared, continued twice with two different answers, or forgotten, which is how it dies.

The functions are the real ones. Their clients, their clock, `uuid4` and `sleep` are replaced here;
Powertools' decorators for logs and metrics are left out, and thread pools run one task after the
other.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

import acknowledge
import intake
import report
import stop
from acknowledger import acknowledgment, job_api, job_table, moments, stopping, taking
from acknowledger.config import config
from acknowledger.errors import AcknowledgerError
from acknowledger.log import logger
from tests.support import FUNCTIONS_ENVIRONMENT

#: What a process does next: `("call", service, operation, request)`, `("sleep", seconds)`,
#: `("wait", token, until)`, `("return", value)` or `("raise", error, message)`; JSON as strings.
Act = tuple[Any, ...]

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class Broken(AssertionError):
    """A promise was broken."""


class Suspended(BaseException):
    """The process has used up its answers."""

    def __init__(self, act: Act) -> None:
        super().__init__(act)
        self.act = act


def dumps(value: Any) -> str:
    """A value as JSON, always in the same form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Program(NamedTuple):
    """What a process runs.

    name: its name in printed schedules.
    run: the function, which gets the argument (JSON) parsed anew each time.
    environment: changes of the functions' environment variables.
    """

    name: str
    run: Callable[[Any], Any]
    argument: str
    environment: tuple[tuple[str, str], ...] = ()


class Process:
    """A program that has run up to some point.

    Attributes:
        answers: to its calls; each `(clock, serial, answer)`, the first two only if it read them.
        digest: identifies it, in every run of this explorer.
        newest: the highest serial that it read.
    """

    def __init__(self, program: Program, answers: tuple[Any, ...], digest: str) -> None:
        self.program, self.answers, self.digest = program, answers, digest
        self.newest = max((serial for _, serial, _ in answers if serial), default=0)
        self.reads_clock = self.reads_serial = False
        self._acts: dict[Any, Act] = {}
        self._next: dict[Any, Process] = {}

    def act(self, clock: float, serial: int) -> Act:
        """What it does next, at that time; `serial` makes its new ids unique."""
        found = self._acts.get(self._read(clock, serial))
        if found is None:
            found = _Run(self, clock, serial).go()
            self._acts[self._read(clock, serial)] = found
        return found

    def answered(self, clock: float, serial: int, answer: str) -> Process:
        """The process after the answer to its call."""
        entry = (*self._read(clock, serial), answer)
        found = self._next.get(entry)
        if found is None:
            digest = hashlib.blake2b(f"{self.digest}{entry}".encode(), digest_size=8).hexdigest()
            found = self._next[entry] = Process(self.program, (*self.answers, entry), digest)
        return found

    def _read(self, clock: float, serial: int) -> tuple[float | None, int | None]:
        return clock if self.reads_clock else None, serial if self.reads_serial else None


@functools.cache
def process(
    name: str, run: Callable[[Any], Any], argument: str, environment: tuple[Any, ...] = ()
) -> Process:
    """A process at its beginning."""
    digest = hashlib.blake2b(f"{name}{argument}{environment}".encode(), digest_size=8).hexdigest()
    return Process(Program(name, run, argument, environment), (), digest)


class _Run:
    """One run of a process from its beginning to its next act."""

    present: _Run

    def __init__(self, process: Process, clock: float, serial: int) -> None:
        self.process = process
        self._segments = [*process.answers, (clock, serial, None)]
        self._at = 0

    def go(self) -> Act:
        program = self.process.program
        _Run.present = self
        set_environment(program.environment)
        try:
            returned = program.run(json.loads(program.argument))
        except Suspended as suspended:
            return suspended.act
        except (AcknowledgerError, BotoCoreError, ClientError) as error:
            return ("raise", type(error).__name__, str(error))
        except Exception as error:
            raise Broken(f"{program.name} raised {error!r}") from error
        return ("return", dumps(returned))

    def do(self, act: Act) -> str:
        """The answer to an act of the process, or the end of this run."""
        if self._at == len(self.process.answers):
            raise Suspended(act)
        self._at += 1
        return str(self._segments[self._at - 1][2])

    def clock(self) -> float:
        if self._at == len(self.process.answers):
            self.process.reads_clock = True
        return float(self._segments[self._at][0])

    def serial(self) -> int:
        if self._at == len(self.process.answers):
            self.process.reads_serial = True
        return int(self._segments[self._at][1])


# -- The processes' environment --------------------------------------------------------------------


def clock() -> float:
    """The time, in seconds since EPOCH."""
    return _Run.present.clock()


@functools.lru_cache(100_000)
def moment(seconds: float) -> str:
    """A time as AWS writes it."""
    return (EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")[:-6] + "Z"


def sleep(seconds: float) -> None:
    """Let a process sleep."""
    if seconds:
        _Run.present.do(("sleep", seconds))


def wait(token: str, until: float) -> Any:
    """Wait for the answer to a task token; None after a timeout."""
    return json.loads(_Run.present.do(("wait", token, until)))


class Now(datetime):
    """The time of the current process."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return EPOCH + timedelta(seconds=clock())


@functools.cache
def error_type(name: str) -> type[ClientError]:
    """The type of a service's error."""
    return type(name, (ClientError,), {})


class Errors:
    """A client's `exceptions`."""

    def __getattr__(self, name: str) -> type[ClientError]:
        return error_type(name)


class Silent:
    """Accepts every call, and does nothing."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Client:
    """A client whose every call is an act of the current process."""

    exceptions = Errors()

    def __init__(self, service: str, *, single: bool = False) -> None:
        self.service, self.single = service, single

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        return functools.partial(self.call, operation)

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        act = ("call", self.service, operation, dumps(request))
        answer = json.loads(_Run.present.do(act))
        if "lost" in answer:
            raise ConnectionClosedError(endpoint_url=self.service)
        if "code" in answer:
            told = {
                "Error": {"Code": answer["code"], "Message": answer.get("message", "No.")},
                "ResponseMetadata": {"HTTPStatusCode": answer.get("status", 400)},
                "Item": answer.get("item", {}),
            }
            raise error_type(answer["code"])(told, operation)
        return dict(answer["ok"])

    def get_paginator(self, operation: str) -> SimpleNamespace:
        def paginate(**request: Any) -> Iterator[dict[str, Any]]:
            yield self.call(operation, **request)

        return SimpleNamespace(paginate=paginate)


class Pool:
    """Replaces a thread pool."""

    def __init__(self, _workers: int) -> None: ...

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, function: Callable[[Any], Any], things: Iterable[Any]) -> list[Any]:
        return [function(thing) for thing in things]


@functools.cache
def client(service: str, *, retrying: bool = True) -> Client:
    return Client(service, single=not retrying)


_environment: tuple[tuple[str, str], ...] | None = None


def set_environment(changes: tuple[tuple[str, str], ...]) -> None:
    """Set the environment that the template gives the functions, with some changes."""
    global _environment  # noqa: PLW0603 - as os.environ is
    if changes != _environment:
        os.environ.update({**ENVIRONMENT, **dict(changes)})
        config.cache_clear()
        _environment = changes


ENVIRONMENT = {
    **FUNCTIONS_ENVIRONMENT,
    "ACTION_TYPES": "Custom/Build/Acknowledger/1",
    "HEARTBEAT_TIMEOUT_SECONDS": "100",
    "JOB_TIMEOUT_SECONDS": "200",
    "POWERTOOLS_SERVICE_NAME": "explorer",
    "POWERTOOLS_METRICS_NAMESPACE": "explorer",
}

FUNCTIONS = {"Intake": intake, "Acknowledge": acknowledge, "Report": report, "Stop": stop}
CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)


def handle(name: str, event: Any) -> Any:
    """Invoke a function."""
    return inspect.unwrap(FUNCTIONS[name].handler)(event, CONTEXT)


RUN = {name: functools.partial(handle, name) for name in FUNCTIONS}


@contextmanager
def installed() -> Iterator[None]:
    """Replace what the functions use by what processes have."""
    global _environment  # noqa: PLW0603
    times = SimpleNamespace(sleep=sleep, time=lambda: EPOCH.timestamp() + clock())
    ids = SimpleNamespace(uuid4=lambda: f"call-{_Run.present.serial():04}")
    silent = Silent()
    replaced: Mapping[str, Any] = {
        "client": client,
        "time": times,
        "uuid": ids,
        "ThreadPoolExecutor": Pool,
        "metrics": silent,
        "client_token": lambda _client_id, **_: "token",
        "prepare": lambda *_, **__: None,
    }
    modules = [*FUNCTIONS.values(), acknowledgment, job_api, job_table, stopping, taking]
    modules += [
        importlib.import_module(f"acknowledger.{name}") for name in ("bus", "executions", "table")
    ]
    patches = [
        mock.patch.object(module, name, replacement)
        for module in modules
        for name, replacement in replaced.items()
        if name in vars(module)
    ]
    patches += [
        mock.patch.object(moments, "datetime", Now),
        mock.patch.object(job_api, "properties", return_value=job_api.Properties(frozenset(), "")),
        mock.patch.object(logger, "append_keys", silent.append_keys),
    ]
    with ExitStack() as stack, mock.patch.dict(os.environ):
        for patch in patches:
            stack.enter_context(patch)
        _environment = None
        level = logger.log_level
        logger.setLevel("CRITICAL")
        try:
            yield
        finally:
            logger.setLevel(level)
            config.cache_clear()
