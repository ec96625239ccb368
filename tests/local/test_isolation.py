"""Of the user's AWS settings, only the region is used.

test_demo shows that the commands never call the user's endpoint.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import boto3
import pytest

from local.aws import isolation
from tests.local.fixtures import programs
from tests.local.fixtures.foreign import REGION, Foreign, foreign, settings

FOREIGN_URL = "http://foreign.invalid"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[None]:
    """Gives this process the foreign environment, and restores its own afterwards."""
    with patch.dict(os.environ, settings(tmp_path, FOREIGN_URL)):
        yield


@pytest.mark.usefixtures("environment")
def test_only_the_region_and_the_proxies_are_kept():
    given = {name for name, value in os.environ.items() if FOREIGN_URL in value}
    isolation.isolate()
    left = {name for name, value in os.environ.items() if FOREIGN_URL in value}
    assert left == {name for name in given if name.upper().endswith("_PROXY")}
    of_aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    assert of_aws == {**isolation.NO_FILES, "AWS_DEFAULT_REGION": REGION}
    assert os.environ["BOTO_CONFIG"] == os.devnull
    assert "REQUESTS_CA_BUNDLE" not in os.environ
    boto3.session.Session().client("sqs")


@pytest.mark.usefixtures("environment")
def test_the_region_can_be_removed_too():
    isolation.isolate(region=False)
    assert boto3.session.Session().region_name is None


@pytest.mark.parametrize(
    ("lower", "upper", "exempt"),
    [
        (None, None, "localhost,127.0.0.1,::1"),
        ("", "b.example", "b.example,localhost,127.0.0.1,::1"),
        ("a.example, ::1", "b.example", "a.example,::1,localhost,127.0.0.1"),
        ("*", None, "*"),
    ],
)
def test_this_machine_is_reached_without_a_proxy(lower, upper, exempt):
    with patch.dict(os.environ):
        for name, value in {"no_proxy": lower, "NO_PROXY": upper}.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        isolation.isolate()
        assert os.environ["no_proxy"] == exempt


@pytest.fixture
def astray(tmp_path: Path) -> Iterator[Foreign]:
    with foreign(tmp_path) as made:
        yield made


# The command, and a part of its output by which its first calls to AWS are under way.
STARTS = {
    "tests": (("pytest", "-p", "no:cacheprovider", "tests/local/test_logs.py"), " passed in "),
    "benchmarks": (("benchmarks", "poll"), "poll …"),
    "chaos": (("tests.resilience", "--jobs=2"), "jobs started"),
    "explorer": (("tests.resilience.explorer", "--scenario=one job", "--bound=1,0"), "schedules"),
}


@pytest.mark.slow
def test_tests_benchmarks_chaos_and_explorer_never_call_the_users_endpoint(astray):
    environment = {
        name: value for name, value in astray.environment.items() if "PYTEST" not in name
    }
    environment["PYTHONPATH"] = "functions"
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                programs.start(
                    *(sys.executable, "-m", *command), env=environment, stderr=subprocess.STDOUT
                )
            )
            for command, _ in STARTS.values()
        ]
        for process, (command, mark) in zip(started, STARTS.values(), strict=True):
            assert process.stdout
            said = ""
            while mark not in said:
                line = process.stdout.readline()
                assert line, f"{command} ended: {said}"
                said += line
            process.terminate()
    assert astray.requests == []
