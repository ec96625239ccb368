"""The examples of README and docs/testing.md run as they are written, in their own processes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from botocore import xform_name
from moto import mock_aws

from codepipeline_fixtures import ACCOUNT, REGION, TYPE, action_type, running_service
from moto_codepipeline import Behaviour, backend
from moto_codepipeline.http import serve
from moto_codepipeline.responses import JobResponse
from moto_codepipeline.validation import service_model


def blocks(text: str, language: str = "python") -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = blocks(README)
PEERS = (Path(__file__).parents[1] / "docs" / "peers.md").read_text()
PAGE = (Path(__file__).parents[1] / "docs" / "testing.md").read_text()
TESTS = [example for example in EXAMPLES if "def test_" in example]
PAGE_TESTS = blocks(PAGE)
BEHAVIOUR = (Path(__file__).parents[1] / "docs" / "behaviour.md").read_text()
REQUESTS = blocks(BEHAVIOUR, "sh")
FRAGMENTS = blocks(BEHAVIOUR)
PROGRAMS = [*(example for example in EXAMPLES if "def test_" not in example), *blocks(PEERS)]


def test_the_table_of_operations_says_which_are_served() -> None:
    page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| ([A-Z]\w+) \| ?([\d.]*) \|$", page, re.MULTILINE))
    served = {
        name for name in service_model().operation_names if hasattr(JobResponse, xform_name(name))
    }
    assert sorted(rows) == sorted(service_model().operation_names)
    assert {name for name, since in rows.items() if since} == served


def test_each_peer_is_named_with_its_revision_and_what_it_did() -> None:
    rows = re.findall(
        r"^\| \[([\w.-]+/[\w.-]+)\]\(https://github\.com/\1\) \| ([0-9a-f]{7}) \(\d{4}\) \| .+ \| .+ \|$",
        PEERS,
        re.MULTILINE,
    )
    assert len(rows) >= 5
    assert len(rows) == PEERS.count("\n| [")


def run(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_first_example_is_a_workers_test_of_at_most_fifteen_lines() -> None:
    assert EXAMPLES[0] == TESTS[0]
    assert len(TESTS[0].splitlines()) <= 15


@pytest.mark.parametrize(
    "example",
    [TESTS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in TESTS[1:] + PAGE_TESTS)],
    ids=range(len(TESTS + PAGE_TESTS)),
)
def test_an_example_test_passes(tmp_path: Path, example: str) -> None:
    (tmp_path / "test_example.py").write_text(example)
    said = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py")
    assert "1 passed" in said


@pytest.mark.slow
@pytest.mark.parametrize("example", PROGRAMS, ids=range(len(PROGRAMS)))
def test_an_example_program_runs(tmp_path: Path, example: str) -> None:
    (tmp_path / "example.py").write_text(example)
    run(tmp_path, "example.py")


@pytest.mark.parametrize("fragment", FRAGMENTS[:1])
def test_the_page_of_behavior_has_a_test_that_passes(fragment: str) -> None:
    with running_service() as service:
        service.backend.behaviour = Behaviour()
        left_out = {
            "create_custom_action_type(...)": "create_custom_action_type(**action_type())",
            "create_pipeline(...)": "create_pipeline(pipeline=structure)",
            "actionTypeId=...": "actionTypeId=TYPE",
        }
        for dots, code in left_out.items():
            assert dots in fragment
            fragment = fragment.replace(dots, code)
        structure = service.structure([service.action("Build")])
        names = {"action_type": action_type, "structure": structure, "TYPE": TYPE}
        exec(fragment, names)  # noqa: S102 - the page's own
        names["test_a_slow_worker_loses_its_job"]()  # type: ignore[operator]


@pytest.mark.parametrize("fragment", FRAGMENTS[1:])
def test_the_page_of_behavior_changes_a_switch(fragment: str) -> None:
    with running_service() as service:
        before = service.backend.behaviour.nonce_rotates
        exec(fragment, {"backend": service.backend})  # noqa: S102 - the page's own
        assert service.backend.behaviour.nonce_rotates != before


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("requests", REQUESTS, ids=range(len(REQUESTS)))
def test_the_requests_of_the_page_of_behavior_are_answered(requests: str) -> None:
    with mock_aws(), serve(REGION) as url:
        script = requests.replace("http://127.0.0.1:4566", url).replace("curl ", "curl -sSf ")
        ended = subprocess.run(
            ["/bin/sh", "-ec", script], check=False, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, ended.stderr
        service = backend(ACCOUNT, REGION)
        told = (service.behaviour.nonce_rotates, len(service.next_jobs))
    assert told == ((False, 0) if "behaviour" in requests else (True, 2))
