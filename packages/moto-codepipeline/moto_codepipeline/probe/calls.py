"""Calls: which errors are temporary, and what is recorded of each call, without secrets."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

SECRETS = {"artifactCredentials", "clientToken"}
THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
}
PASSING = THROTTLED | {
    "OperationAborted",
    "ConcurrentModificationException",
    "QueueDeletedRecently",
    "AWS.SimpleQueueService.QueueDeletedRecently",
}
TRIES = 12


class ProbeError(Exception):
    """The probe can't go on. The message is for the user."""


class UnansweredError(Exception):
    """This question can't be answered here. The message says why."""


class LostError(Exception):
    """A call was lost: it is not known whether it was carried out."""


class Time:
    """The probe's only clock, and its only way to wait. In seconds."""

    def now(self) -> float:
        return time.time()  # the monotonic clock stands still while a computer sleeps

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Answer:
    """A call's response: ``code`` is an error's, or None. Times are by ``Time``."""

    value: dict[str, Any]
    code: str | None
    message: str
    sent: float
    answered: float

    def later(self, seconds: float) -> "Answer":
        """The same, as if the call was made so many seconds later."""
        return replace(self, sent=self.sent + seconds, answered=self.answered + seconds)

    def __str__(self) -> str:
        if self.code:
            return f"{self.code}: {self.message}"
        return json.dumps(self.value, default=str) if self.value else "accepted"


class Calls:
    """Makes calls to one endpoint, or to AWS if ``endpoint_url`` is None.

    ``note`` is called with a dictionary for each call, without secrets. ``question`` is the present
    question, and ``fact`` the present fact. ``throttled`` is whether a call was throttled, ``body``
    the last short body.
    """

    def __init__(
        self,
        region: str,
        endpoint_url: str | None,
        clock: Time,
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        if not re.fullmatch("[a-z]+(-[a-z]+)+-[0-9]+", region):
            raise ProbeError(f"--region must be a region, such as eu-west-1, not '{region}'")
        self.region, self.endpoint_url, self.clock = region, endpoint_url, clock
        self.question, self.fact, self.throttled, self.body = "", "", False, ""
        self._note, self._began, self._answered = note, clock.now(), False
        self._clients: dict[str, Any] = {}
        # A program on this machine must not see the user's credentials.
        here = urlsplit(endpoint_url or "").hostname in ("127.0.0.1", "localhost", "::1")
        self.session = _session(own=not here)

    def client(self, service: str, **credentials: str) -> Any:
        """A new client, which does not retry."""
        made = self.session.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            config=Config(
                retries={"total_max_attempts": 1},
                parameter_validation=False,
                s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            ),
            **credentials,
        )
        made.meta.events.register("response-received", self._keep_body)
        return made

    def once(self, service: str, operation: str, client: Any = None, **request: Any) -> Answer:
        """One call, also if it fails. Raises LostError, and ProbeError if it can't be made."""
        if client is None and service not in self._clients:
            self._clients[service] = self.client(service)
        sent, value, code, message, lost = self.clock.now(), {}, None, "", False
        try:
            value = getattr(client or self._clients[service], operation)(**request)
            value.pop("ResponseMetadata", None)
            if hasattr(value.get("Body"), "read"):
                value["Body"] = value["Body"].read()
        except ClientError as error:
            told = error.response["Error"]
            code, message = str(told.get("Code")), str(told.get("Message"))
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            lost = status >= 500 and code not in THROTTLED
        except BotoCoreError as error:
            passing = isinstance(error, HTTPClientError | NoConnectionError)
            if not passing or not self._answered:
                raise ProbeError(f"{service} can't be called: {error}") from error
            code, lost = type(error).__name__, True
        answer = Answer(value, code, message, sent, self.clock.now())
        self._write(f"{service}:{operation}", request, answer)
        if lost:
            raise LostError(f"{operation}: {answer}")
        self._answered = True
        self.throttled |= code in THROTTLED
        return answer

    def ask(self, service: str, operation: str, client: Any = None, **request: Any) -> Answer:
        """A call whose response or error is the answer. One that is refused only for now, and was
        not carried out, is repeated. Raises LostError, and UnansweredError if all are refused."""
        for number in range(TRIES):
            answer = self.once(service, operation, client, **request)
            if answer.code not in PASSING:
                return answer
            self.clock.wait(max(1, number - TRIES / 2))
        raise UnansweredError(f"{operation} was answered {answer.code} {TRIES} times")

    def do(
        self, service: str, operation: str, fine: tuple[str, ...] = (), /, **request: Any
    ) -> Answer:
        """A call that is repeated until it is carried out. ``sent`` is the time of the first
        attempt. ``fine`` are errors that mean it is not needed. Raises ProbeError."""
        began, told = self.clock.now(), ""
        for number in range(TRIES):
            try:
                answer = self.once(service, operation, **request)
            except LostError as error:
                told = str(error)
            else:
                if answer.code is None or answer.code in fine:
                    return replace(answer, sent=began)
                told = str(answer)
                if answer.code not in PASSING:
                    break
            self.clock.wait(min(2**number, 30))
        raise ProbeError(f"{service} {operation}: {told}")

    def _keep_body(self, response_dict: dict[str, Any] | None, **_: Any) -> None:
        body = (response_dict or {}).get("body")
        self.body = body.decode(errors="replace") if isinstance(body, bytes) else ""

    def _write(self, call: str, request: dict[str, Any], answer: Answer) -> None:
        line = {
            "question": self.question,
            "fact": self.fact,
            "at": round(answer.sent - self._began, 3),
            "seconds": round(answer.answered - answer.sent, 3),
            "call": call,
            "request": request,
            "answer": str(answer) if answer.code else answer.value,
        }
        self._note(masked(json.loads(json.dumps(line, default=_shown))))


@cache
def _session(*, own: bool) -> boto3.Session:
    """A session with the user's own credentials, or with dummy ones for an endpoint here."""
    return boto3.Session() if own else boto3.Session("probe", "probe")


def _shown(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def masked(value: Any) -> Any:
    """JSON with its secrets replaced."""
    if isinstance(value, dict):
        return {name: "****" if name in SECRETS else masked(each) for name, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value
