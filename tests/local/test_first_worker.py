"""From a worker in a file to its result, as in the tutorial."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from local import acknowledger, by_hand
from local.arguments import WrongStartError
from tests.support import ROOT, wait_for

WORKER = ROOT / "examples" / "count_lines" / "worker.py"


def test_the_readmes_worker_has_at_most_fifteen_lines() -> None:
    assert sum(1 for line in WORKER.read_text().splitlines() if line.strip()) <= 15


def test_your_own_worker_runs_the_sample_pipelines_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "count.py").write_text(WORKER.read_text())
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
            assert unpacked.read("report.txt") == b"      1 main.py\n"


def test_make_event_writes_an_event_that_acknowledges_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
