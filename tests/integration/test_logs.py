"""What the functions log of a job: each fact once, and whose job it is about."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support import wait_for


@pytest.mark.parametrize("owner", ["Custom", "ThirdParty"])
@pytest.mark.parametrize(("outcome", "status"), [("Succeed", "Succeeded"), ("Fail", "Failed")])
def test_each_fact_about_a_job_is_one_line_that_names_the_job(world, owner, outcome, status):
    world = replace(world, owner=owner)
    row = world.row(world.start({"Outcome": outcome}), status)
    about = {
        "job_id": row["jobId"]["S"],
        "action_type": world.action_type,
        "execution_arn": row["execution"]["S"],
        "pipeline_name": row["pipelineName"]["S"],
        **({"client_id": row["clientId"]["S"]} if owner == "ThirdParty" else {}),
    }

    def lines():
        found = [json.loads(text) for text in world.written.logs() if about["job_id"] in text]
        told = [line for line in found if line.get("level") not in (None, "DEBUG")]
        # A function's are read when its invocation is over.
        return told if {"Intake", "Report"} <= {line["service"] for line in told} else None

    told = sorted(wait_for(lines, "all lines", seconds=20), key=lambda line: line["timestamp"])
    assert [(line["service"], line["level"], line["message"]) for line in told] == [
        ("Intake", "INFO", "Offer taken"),
        ("Acknowledge", "INFO", "Acknowledged"),
        ("Report", "INFO", "Reported"),
    ]
    for line in told:
        assert about.items() <= line.items()
    assert told[2]["status"] == status
    assert (told[2].get("cause"), told[2].get("error")) == tuple(
        row[name]["S"] if name in row else None for name in ("cause", "error")
    )
