"""Each operation in each state, as boto3, the AWS CLI and the AWS SDK for JavaScript see it."""

import subprocess

import pytest

from codepipeline_fixtures import REGION, UNKNOWN_JOB, Service
from conformance import clients, installs
from conformance.cases import CASES, REPRESENTATIVE, Case
from conformance.conftest import Client
from conformance.service import new_service, status_of

# A call of the AWS CLI takes a tenth of a second, so it makes only some of the calls.
ASKED = {"boto3": CASES, "javascript": CASES, "aws-cli": REPRESENTATIVE}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(
            name, case, id=f"{name}-{case}", marks=[] if name == "boto3" else pytest.mark.slow
        )
        for name, cases in ASKED.items()
        for case in cases
    ],
)
def test_an_operation_returns_what_it_should(client: Client, name: str, case: Case) -> None:
    call, service = client(name), new_service(case.type_id["owner"])
    job = case.state(service)
    case.answer.check(call(case.operation, case.params(job)), job)
    if case.leaves is not None:
        assert status_of(service, job) == case.leaves


@pytest.mark.slow
def test_the_aws_cli_as_it_is_run_in_a_shell(url: str, service: Service) -> None:
    try:
        program = installs.aws_cli() / "aws"
    except installs.NotInstalled as error:
        pytest.skip(f"aws-cli cannot be installed: {error}")
    arguments = ("--endpoint-url", url, "--job-id", UNKNOWN_JOB)
    run = subprocess.run(
        [program, "codepipeline", "get-job-details", *arguments],
        env=clients.cli_environment(REGION),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    answer = clients.cli_answer(run.returncode, run.stdout, run.stderr)
    assert answer.code == "JobNotFoundException"
    assert run.returncode != 0
