"""Claims in a table: of two deliveries at once, only one is processed."""

import threading

import boto3
import pytest
from moto import mock_aws

import acknowledger_worker.worker
from acknowledger_worker import AWSUnavailable, JobHeld
from acknowledger_worker.aws import Claim
from doubles import Context, OneAtATime, Waiting, refusal, wait_for

TABLE = "JobTable"


@pytest.fixture(scope="module")
def dynamodb():
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
        )
        yield OneAtATime(client)


@pytest.fixture
def claims(dynamodb):
    """Two deliveries' claims to the same job."""
    dynamodb.put_item(TableName=TABLE, Item={"jobId": {"S": "job"}, "status": {"S": "InProgress"}})
    return [Claim("job", lambda service: dynamodb, TABLE) for _ in range(2)]


def row(dynamodb, job_id="job"):
    found = dynamodb.get_item(TableName=TABLE, Key={"jobId": {"S": job_id}}).get("Item", {})
    return {name: value["S"] for name, value in found.items()}


def test_only_one_of_two_deliveries_gets_the_job(dynamodb, claims):
    first, second = claims
    first.take()
    with pytest.raises(JobHeld, match="job job is being processed"):
        second.take()
    first.keep()
    with pytest.raises(JobHeld):
        second.keep()
    assert row(dynamodb)["status"] == "InProgress"


def test_only_one_of_many_deliveries_at_once_gets_the_job(dynamodb, claims):
    many = [Claim("job", lambda service: dynamodb, TABLE) for _ in range(8)]
    line, taken = threading.Barrier(len(many)), []

    def take(claim):
        line.wait(60)
        try:
            claim.take()
        except JobHeld:
            return
        taken.append(claim)

    threads = [threading.Thread(target=take, args=(claim,)) for claim in many]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(taken) == 1


def test_a_claim_expires_when_its_worker_stops_renewing_it(claims):
    first, second = claims
    first._update("attribute_exists(jobId)", seconds=-1)
    second.take()
    with pytest.raises(JobHeld, match="taken over by another delivery"):
        first.keep()


def test_a_claim_that_is_released_can_be_taken_at_once(claims):
    first, second = claims
    first.take()
    first.release()
    second.take()


def test_a_job_that_is_not_in_the_table_gets_no_row(dynamodb):
    with pytest.raises(JobHeld, match="has no row"):
        Claim("unknown", lambda service: dynamodb, TABLE).take()
    assert row(dynamodb, "unknown") == {}


def test_a_claim_that_can_not_be_renewed_is_valid_until_it_expires(dynamodb, claims, monkeypatch):
    class Broken:
        def update_item(self, **request):
            raise refusal("InternalServerError")

    claim = claims[0]
    claim.take()
    monkeypatch.setattr(claim, "client", lambda service: Broken())
    with pytest.raises(AWSUnavailable):
        claim.keep()
    monkeypatch.setattr(claim, "_lapses", 0)
    with pytest.raises(JobHeld):
        claim.keep()


def test_the_job_that_continues_this_one_is_read_from_the_row(dynamodb, claims):
    claim = claims[0]
    assert claim.current_job_id() == "job"
    dynamodb.update_item(
        TableName=TABLE,
        Key={"jobId": {"S": "job"}},
        UpdateExpression="SET currentJobId = :id",
        ExpressionAttributeValues={":id": {"S": "next"}},
    )
    assert claim.current_job_id() == "next"
    assert Claim("job", lambda service: None, None).current_job_id() == "job"


def test_a_job_delivered_to_two_processes_is_processed_once(aws, step_functions, event, dynamodb):
    """Two separate workers stand for two processes."""
    aws.clients["dynamodb"] = dynamodb
    dynamodb.put_item(TableName=TABLE, Item={"jobId": {"S": event["detail"]["jobId"]}})
    function = Waiting()
    one, other = (aws.worker(function, job_table_name=TABLE) for _ in range(2))
    thread = threading.Thread(target=one, args=(event, Context()))
    thread.start()
    assert function.begun.wait(60)
    with pytest.raises(JobHeld):
        other(event, Context())
    function.go_on.set()
    thread.join(60)
    other(event, Context())
    assert len(function.jobs) == 1
    assert step_functions.end[0] == "success"


def test_a_job_that_another_delivery_has_taken_over_is_stopped_and_not_answered(
    aws, step_functions, event, dynamodb, monkeypatch
):
    monkeypatch.setattr(acknowledger_worker.worker, "CLAIM_SECONDS", 0.1)
    aws.clients["dynamodb"] = dynamodb
    job_id = event["detail"]["jobId"]
    dynamodb.put_item(TableName=TABLE, Item={"jobId": {"S": job_id}})

    def function(job):
        dynamodb.put_item(TableName=TABLE, Item={"jobId": {"S": job_id}, "worker": {"S": "x"}})
        wait_for(job.cancelled.is_set, "the job to be cancelled", seconds=10)

    with pytest.raises(JobHeld, match="taken over by another delivery"):
        aws.worker(function, job_table_name=TABLE)(event, Context())
    assert {what for what, _ in step_functions.told} == {"heartbeat"}


def test_frequent_heartbeats_do_not_renew_the_claim_more_often(
    aws, event, dynamodb, step_functions
):
    written = []

    class Counting:
        def update_item(self, **request):
            written.append(request)
            return dynamodb.update_item(**request)

    aws.clients["dynamodb"] = Counting()
    dynamodb.put_item(TableName=TABLE, Item={"jobId": {"S": event["detail"]["jobId"]}})
    event["detail"]["heartbeatTimeoutSeconds"] = 0.03

    def function(job):
        wait_for(lambda: len(step_functions.told) > 5, "five heartbeats", seconds=20)

    aws.worker(function, job_table_name=TABLE)(event, Context())
    assert len(written) == 1
