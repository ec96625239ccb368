"""`make event`: a waiting job on a running local stack, and the event that acknowledges it."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import acknowledger
from local.arguments import WrongStartError
from local.aws import isolation

ACTION_TYPE = "Custom/Test/ByHand/1"
"""No stack serves it, so its jobs wait."""
POLLS = 50


def files(port: int) -> Path:
    """The folder of files for `sam local invoke` against the server at a port."""
    return Path(".aws-sam") / f"local-{port}"


def main(port: int) -> int:
    """Write the event for a new job; return the exit status.

    Raises:
        WrongStartError: no local stack answers at the port.
    """
    try:
        event = waiting_job(port)
    except (BotoCoreError, ClientError) as error:
        raise WrongStartError(f"No local stack answers at port {port} ({error})") from error
    path = files(port) / "acknowledge.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(event, indent=2) + "\n")
    print(f"A job of {ACTION_TYPE} is waiting. Acknowledge it with {path}")
    return 0


def waiting_job(port: int) -> dict[str, str]:
    """Start a pipeline whose job no worker takes; return the job's `{jobId, nonce}`."""
    session = boto3.Session("local", "local", region_name=isolation.region())
    client = partial(
        session.client,
        endpoint_url=f"http://127.0.0.1:{port}",
        config=Config(retries={"total_max_attempts": 1}),
    )
    codepipeline = client("codepipeline")
    kind = acknowledger.action_type_id(ACTION_TYPE)
    known = codepipeline.list_action_types(actionOwnerFilter="Custom")["actionTypes"]
    if kind not in [one["id"] for one in known]:
        kept = {name: kind[name] for name in ("category", "provider", "version")}
        counts = {"minimumCount": 0, "maximumCount": 5}
        codepipeline.create_custom_action_type(
            **kept, inputArtifactDetails=counts, outputArtifactDetails=counts
        )
    name = f"by-hand-{len(codepipeline.list_pipelines()['pipelines'])}"
    role = client("iam").get_role(RoleName=acknowledger.PIPELINE_ROLE)["Role"]["Arn"]
    stages: dict[str, list[dict[str, Any]]] = {"Test": [{"name": "ByHand"}]}
    codepipeline.create_pipeline(pipeline=acknowledger.pipeline(name, ACTION_TYPE, stages, role))
    codepipeline.start_pipeline_execution(name=name)
    for _ in range(POLLS):
        for job in codepipeline.poll_for_jobs(actionTypeId=kind, maxBatchSize=1)["jobs"]:
            return {"jobId": job["id"], "nonce": job["nonce"]}
        time.sleep(0.2)
    raise WrongStartError(f"The pipeline {name} did not create a job of {ACTION_TYPE}")
