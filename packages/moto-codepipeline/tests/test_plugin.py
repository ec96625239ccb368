"""The pytest fixture."""

import asyncio
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from moto_codepipeline.testing import CodePipeline


def test_each_test_begins_empty(codepipeline: CodePipeline) -> None:
    assert codepipeline.client.list_pipelines()["pipelines"] == []
    codepipeline.start("Lint")


test_what_another_test_created_is_gone = test_each_test_begins_empty


def test_two_actions_of_a_type_have_two_jobs(codepipeline: CodePipeline) -> None:
    first, second = (codepipeline.start("Lint", configuration={"N": n}) for n in "12")
    jobs = codepipeline.client.poll_for_jobs(actionTypeId=first.type_id, maxBatchSize=5)["jobs"]
    assert [each["data"]["actionConfiguration"]["configuration"] for each in jobs] == [
        {"N": "1"},
        {"N": "2"},
    ]
    assert {first.status, second.status} == {"InProgress"}


def test_a_partner_worker_uses_the_client_token(codepipeline: CodePipeline) -> None:
    action = codepipeline.start("Lint", owner="ThirdParty")
    client = codepipeline.client
    [offer] = client.poll_for_third_party_jobs(actionTypeId=action.type_id)["jobs"]
    assert offer["clientId"] == codepipeline.backend.default_client_id
    job = {"jobId": offer["jobId"], "clientToken": codepipeline.client_token}
    with pytest.raises(client.exceptions.InvalidClientTokenException):
        client.get_third_party_job_details(**job | {"clientToken": "another"})
    details = client.get_third_party_job_details(**job)["jobDetails"]
    client.acknowledge_third_party_job(**job, nonce=details["nonce"])
    failure = {"type": "JobFailed", "message": "It broke"}
    client.put_third_party_job_failure_result(**job, failureDetails=failure)
    assert action.status == "Failed"
    assert action.error == {"code": "JobFailed", "message": "It broke"}


def test_artifacts_are_where_the_job_says(codepipeline: CodePipeline) -> None:
    action = codepipeline.start("Lint")
    [job] = codepipeline.client.poll_for_jobs(actionTypeId=action.type_id)["jobs"]
    [told] = job["data"]["outputArtifacts"]
    place = told["location"]["s3Location"]
    boto3.client("s3").put_object(Bucket=place["bucketName"], Key=place["objectKey"], Body=b"made")
    [output] = action.outputs
    made = boto3.client("s3").get_object(Bucket=output.bucket, Key=output.key)["Body"].read()
    assert made == b"made"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.mark.usefixtures("elsewhere")
def test_the_fixture_uses_the_region_of_the_environment(codepipeline: CodePipeline) -> None:
    assert codepipeline.backend.region_name == "eu-west-1"
    assert codepipeline.start("Lint").run.region == "eu-west-1"


def test_the_plugin_alone_does_not_import_moto() -> None:
    code = "import sys, pytest_moto_codepipeline; sys.exit('moto' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def run_with(folder: Path, setting: str, switches: str, seconds: int) -> tuple[int, str]:
    """The status and the output of a test that expects these seconds to acknowledge."""
    (folder / "pytest.ini").write_text(setting)
    (folder / "behaviour.toml").write_text(switches)
    expected = f"codepipeline.behaviour.acknowledge_seconds == {seconds}"
    (folder / "test_it.py").write_text(f"def test_it(codepipeline):\n    assert {expected}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ("[switches]\nacknowledge_seconds = 45\n", 0, "1 passed"),
        ("[switches]\nacknowledge = 45\n", 1, "behaviour.toml: There is no switch 'acknowledge'"),
    ],
)
def test_each_test_begins_with_the_file_of_switches(
    text: str, status: int, told: str, tmp_path: Path
) -> None:
    setting = "[pytest]\ncodepipeline_behaviour_file = behaviour.toml\n"
    ended, output = run_with(tmp_path, setting, text, 45)
    assert (ended, told in output, "Traceback" in output) == (status, True, False), output


PAGE = (Path(__file__).parents[1] / "docs" / "probe.md").read_text()
ANSWERS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SETTINGS = re.findall(r"^```ini\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("setting", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("answers", ANSWERS, ids=range(len(ANSWERS)))
def test_the_answers_and_the_setting_of_the_probes_page_are_used(
    answers: str, setting: str, tmp_path: Path
) -> None:
    changed = answers.replace("acknowledge_seconds = 60", "acknowledge_seconds = 61")
    assert changed != answers
    status, output = run_with(tmp_path, setting, changed, 61)
    assert status == 0, output


LINT = {"category": "Test", "owner": "Custom", "provider": "Lint", "version": "1"}


def round_of_work(codepipeline: CodePipeline, **result: Any) -> None:
    client = codepipeline.client
    for job in client.poll_for_jobs(actionTypeId=LINT)["jobs"]:
        client.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
        token = {} if "continuationToken" in job["data"] else result
        client.put_job_success_result(jobId=job["id"], **token)


def test_an_action_is_run_to_its_end_through_continuations(codepipeline: CodePipeline) -> None:
    action = codepipeline.start("Lint", category="Test")
    codepipeline.run_to_end(lambda: round_of_work(codepipeline, continuationToken="t"), action)
    codepipeline.assert_status(action, "Succeeded")


def test_a_worker_may_be_asynchronous(codepipeline: CodePipeline) -> None:
    async def work() -> None:
        round_of_work(codepipeline)

    action = codepipeline.start("Lint", category="Test")
    codepipeline.run_to_end(work, action)
    codepipeline.assert_status(action, "Succeeded")


def test_a_test_may_be_asynchronous(codepipeline: CodePipeline) -> None:
    async def scenario() -> None:
        own_loop = asyncio.get_running_loop()

        async def work() -> None:
            assert asyncio.get_running_loop() is own_loop
            await asyncio.to_thread(round_of_work, codepipeline, continuationToken="t")

        action = codepipeline.start("Lint", category="Test")
        await codepipeline.run_to_end_async(work, action)
        codepipeline.assert_status(action, "Succeeded")

    asyncio.run(scenario())


def test_run_to_end_in_a_coroutine_takes_a_function_but_refuses_a_coroutine(
    codepipeline: CodePipeline,
) -> None:
    async def coroutine() -> None:
        round_of_work(codepipeline)

    async def scenario() -> None:
        action = codepipeline.start("Lint", category="Test")
        with pytest.raises(RuntimeError, match="running event loop"):
            codepipeline.run_to_end(coroutine, action)
        codepipeline.run_to_end(lambda: round_of_work(codepipeline), action)
        codepipeline.assert_status(action, "Succeeded")

    asyncio.run(scenario())


def test_workers_in_several_threads_share_the_jobs(codepipeline: CodePipeline) -> None:
    actions = [codepipeline.start("Lint", category="Test") for _ in range(12)]
    done: list[str] = []
    together = threading.Barrier(4, timeout=60)

    def worker(_: int) -> None:
        together.wait()
        while jobs := codepipeline.client.poll_for_jobs(actionTypeId=LINT)["jobs"]:
            for job in jobs:
                codepipeline.client.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
                token = {} if "continuationToken" in job["data"] else {"continuationToken": "t"}
                codepipeline.client.put_job_success_result(jobId=job["id"], **token)
                done.append(job["id"])

    def work() -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(worker, range(4)))

    for action in actions:
        codepipeline.run_to_end(work, action)
        codepipeline.assert_status(action, "Succeeded")
    assert len(done) == len(set(done)) == 2 * len(actions)


def test_without_a_worker_the_action_times_out(codepipeline: CodePipeline) -> None:
    action = codepipeline.start("Lint", category="Test")
    codepipeline.run_to_end(lambda: None, action)
    codepipeline.assert_status(action, "Failed")


def test_a_wrong_status_is_reported_with_the_jobs_history(codepipeline: CodePipeline) -> None:
    action = codepipeline.start("Lint", category="Test")
    [job] = codepipeline.client.poll_for_jobs(actionTypeId=LINT)["jobs"]
    codepipeline.clock.advance(5)
    codepipeline.client.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
    with pytest.raises(AssertionError) as caught:
        codepipeline.assert_status(action, "Succeeded")
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("The action Lint is InProgress")
    assert [line.split()[-1] for line in rest[:3]] == ["Queued", "Dispatched", "InProgress"]
    assert rest[2].split()[0] == "5.300"
