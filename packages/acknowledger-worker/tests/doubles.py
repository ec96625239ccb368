"""Replacements for AWS in tests."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError


def refusal(code: str, operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "secret-in-aws-message"}}, operation)


@dataclass
class Context:
    """The part of Lambda's context that is used."""

    seconds: float = 900

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class Waiting:
    """A worker's function that does nothing until it may go on."""

    jobs: list[Any] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, job: Any) -> None:
        self.jobs.append(job)
        self.begun.set()
        assert self.go_on.wait(60)


@dataclass
class OneAtATime:
    """A client of moto's DynamoDB, in which other requests can come between condition and write."""

    client: Any
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            with self.lock:
                return getattr(self.client, operation)(**request)

        return call


def wait_for(condition: Callable[[], Any], what: str, seconds: float) -> None:
    """Wait until `condition` is true; fails after six times `seconds`, with what it waited for.

    Args:
        seconds: the most that it takes on an idle machine.
    """
    seconds *= 6
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} seconds for {what}"
        time.sleep(0.01)
