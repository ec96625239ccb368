"""From a worker in a file to its result, as in the tutorial."""

import io
import json
import re
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from local import acknowledger, by_hand
from local.arguments import WrongStartError
from local.serve import write_sam_environment
from tests.documentation import blocks_of
from tests.local.fixtures.checkout import ENDPOINT, Checkout, said_until
from tests.support import wait_for

PAGE = "docs/tutorial-laptop.md"


@pytest.mark.parametrize("page", ["README.md", PAGE])
def test_a_first_worker_has_fewer_than_fifteen_lines(page):
    (worker,) = (each for each in blocks_of(page) if "handler = Worker(" in each.text)
    assert sum(1 for line in worker.text.splitlines() if line.strip()) < 15


def test_the_readmes_worker_runs_the_sample_pipelines_job(blocks, tmp_path, monkeypatch):
    worker, its_test = blocks.take_all()
    (tmp_path / "tested.py").write_text(worker + its_test)
    subprocess.run([sys.executable, "tested.py"], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "count.py").write_text(worker)
    monkeypatch.chdir(tmp_path)
    parameters = {"RegisterActionType": "true"}
    with acknowledger.running(worker="count:handler", parameters=parameters) as (cloud, stack):
        [first, *_] = acknowledger.action_types(stack)
        acknowledger.create_sample_pipeline(cloud, first, sample_worker=False)
        codepipeline = cloud.client("codepipeline")
        codepipeline.start_pipeline_execution(name="sample")

        def ended() -> dict[str, object] | None:
            answer = codepipeline.list_action_executions(pipelineName="sample")
            for action in answer["actionExecutionDetails"]:
                if action["actionName"] == "Work" and action["status"] != "InProgress":
                    return dict(action)
            return None

        action = wait_for(ended, "the action to end", 120)
        assert action["status"] == "Succeeded"
        output = action["output"]
        assert output["executionResult"]["externalExecutionSummary"] == "1 lines"
        assert output["outputVariables"] == {"Lines": "1"}
        [report] = output["outputArtifacts"]
        where = report["s3location"]
        found = cloud.client("s3").get_object(Bucket=where["bucket"], Key=where["key"])
        with zipfile.ZipFile(io.BytesIO(found["Body"].read())) as unpacked:
            assert unpacked.read("report.txt") == b"1 lines in 1 files\n"


@pytest.mark.slow
def test_the_laptop_tutorial_works_as_typed_within_five_minutes(blocks, tmp_path):
    checkout = Checkout(tmp_path)
    began = time.monotonic()
    assert "✓ 16 jobs" in checkout.run(blocks.take("make demo"))
    worker, its_test = blocks.take('"""'), blocks.take("from acknowledger_worker.testing")
    file = checkout.folder / "count.py"
    file.write_text(worker + its_test)
    assert checkout.run(".venv/bin/python count.py") == ""
    file.write_text(worker)
    with checkout.start(blocks.take("make local"), PORT="0") as server:
        said = said_until(server, "count:handler takes jobs")
        if "Serving on" not in said:
            said += said_until(server, "Serving on")
        (endpoint,) = re.findall(r"Serving on (\S+)", said)
        commands = blocks.take("export").replace(ENDPOINT, endpoint)
        # "If it shows InProgress, the job is still running: run the command again."
        first, second, _, again = commands.splitlines()

        def shown(words: str) -> bool:
            return words in checkout.run("\n".join([first, second, again]))

        checkout.run(commands)
        wait_for(lambda: shown('"Lines": "1"'), "the job to succeed", seconds=60)
        file.write_text(worker.replace('job.input("App")', 'job.input("Ap")'))
        said_until(server, "count:handler takes jobs")
        checkout.run(commands)
        wait_for(lambda: shown('"Failed"'), "the job to fail", seconds=60)
    assert time.monotonic() - began < 300


def test_each_local_server_has_its_own_settings_for_sam(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stack = MagicMock(outputs=defaultdict(str), parameters=defaultdict(str))
    for port in (4566, 4567):
        path = write_sam_environment(MagicMock(endpoint_url=f"http://127.0.0.1:{port}"), stack)
        assert str(path) == f".aws-sam/local-{port}/env.json"
    for port in (4566, 4567):
        written = Path(f".aws-sam/local-{port}/env.json").read_text()
        url = json.loads(written)["Parameters"]["AWS_ENDPOINT_URL"]
        assert url == f"http://host.docker.internal:{port}"


def test_make_event_writes_an_event_that_acknowledges_the_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with acknowledger.running(worker=False) as (cloud, stack):
        port = int(cloud.endpoint_url.rpartition(":")[2])
        for _ in range(2):
            assert by_hand.main(port) == 0
            answer = cloud.client("lambda").invoke(
                FunctionName=stack.outputs["AcknowledgeFunctionName"],
                Payload=(by_hand.files(port) / "acknowledge.json").read_bytes(),
            )
            assert json.load(answer["Payload"]) == {"status": "InProgress"}
    with pytest.raises(WrongStartError, match=f"^No local stack answers at port {port} "):
        by_hand.main(port)
