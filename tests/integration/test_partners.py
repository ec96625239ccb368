"""Partner actions in the whole stack."""

import uuid
from dataclasses import replace

import pytest

from tests.integration.conftest import CLIENT_TOKEN
from tests.support import wait_for


@pytest.fixture
def partner(world):
    return replace(world, owner="ThirdParty")


@pytest.mark.parametrize("token", [None, f"{CLIENT_TOKEN}-that-is-wrong"])
def test_a_client_with_a_missing_or_wrong_token_does_not_affect_other_clients(partner, token):
    other, theirs = str(uuid.uuid4()), "wrong" if token else "missing"
    partner.emulator.put_client(other, f"{CLIENT_TOKEN}-other")
    if token:
        partner.put_token(other, token)
    name = partner.start({"Outcome": "Succeed"}, sweep=False)
    partner.emulator.bind_client(other, theirs)
    partner.start({"Outcome": "Succeed"}, name=theirs)
    partner.row(name, "Succeeded")
    assert partner.rows(theirs) == []
    logs = partner.client("logs")
    said, *_ = wait_for(
        lambda: [
            event
            for event in logs.filter_log_events(
                logGroupName="/aws/lambda/acknowledger-intake", filterPattern=f'"{other}"'
            )["events"]
            if "Client token refused" in event["message"]
        ],
        "Intake's error to name the client",
        seconds=20,
    )
    parameter = partner.stack.parameters["ClientTokenPrefix"] + other
    assert token or parameter in said["message"]
    partner.put_token(other, f"{CLIENT_TOKEN}-other")
    partner.emulator.clock.advance(seconds=61)
    partner.cloud.schedule.fire()
    partner.row(theirs, "Succeeded")


@pytest.mark.parametrize(
    "job_id",
    ["a/b c", "a-b c", "ünïcödé/日本 #1 🚀", "x" * 512, "'; DROP TABLE jobs; -- {% $job %} ${x}"],
)
def test_a_job_id_may_be_any_string(partner, job_id):
    ids = iter([job_id])
    partner.emulator.behaviour.third_party_job_ids = lambda: next(ids)
    name = partner.start({"Outcome": "Succeed"})
    row = partner.row(name, "Succeeded")
    assert row["jobId"]["S"] == job_id
    assert partner.pipeline_ended(name) == "Succeeded"
