"""Clients are created once, also by many threads; those always needed, while Lambda starts."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import MagicMock

import pytest
from botocore.session import get_session

from acknowledger import aws
from tests.support import ROOT

SESSION = aws._session

READY = """
import gc, sys, {function}
from acknowledger import aws
print(aws._made.cache_info().currsize, gc.isenabled(), "boto3" in sys.modules)
"""


def test_many_threads_at_once_make_one_client(monkeypatch):
    made: list[str] = []
    begin = threading.Barrier(4)

    class Session:
        def create_client(self, service: str, **_: Any) -> object:
            made.append(service)
            time.sleep(0.01)
            return MagicMock()

    def ask(_: int) -> Any:
        begin.wait()
        return aws.client("events")

    monkeypatch.setattr(aws, "_session", Session)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1
    assert made == ["events"]


@pytest.mark.parametrize(
    ("function", "clients"), [("acknowledge", 3), ("intake", 3), ("report", 3), ("stop", 2)]
)
def test_a_function_that_lambda_has_started_has_its_clients(function, clients):
    done = subprocess.run(
        [sys.executable, "-c", READY.format(function=function)],
        cwd=ROOT / "functions",
        env={**os.environ, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.split() == [str(clients), "True", "False"]


def test_other_sessions_of_the_process_know_all_services():
    ours = SESSION()
    assert ours.get_available_services() == list(aws.SERVICES)
    assert "sns" in get_session().get_available_services()
