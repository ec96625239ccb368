from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from moto import mock_aws

from local import dynamodb


@pytest.fixture
def client():
    dynamodb.install()
    with mock_aws():
        made = boto3.client("dynamodb", region_name="us-east-1")
        made.create_table(
            TableName="T",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        yield made


def claim(client, item, worker):
    try:
        client.update_item(
            TableName="T",
            Key={"id": {"S": item}},
            UpdateExpression="SET worker = :worker",
            ConditionExpression="attribute_not_exists(id)",
            ExpressionAttributeValues={":worker": {"S": str(worker)}},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def test_of_many_that_claim_an_item_at_once_one_gets_it(client):
    with ThreadPoolExecutor(16) as pool:
        for number in range(20):
            item = str(number)
            claims = pool.map(lambda worker, item=item: claim(client, item, worker), range(16))
            assert sum(claims) == 1


def test_nobody_sees_half_an_item(client):
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(claim, client, str(number), 0) for number in range(200)]
        while not all(done.done() for done in writing):
            for item in client.scan(TableName="T")["Items"]:
                assert "worker" in item
