"""The processor seconds of calls to unchanged moto: `python -m benchmarks.bare_moto GetItem=4 …`

It runs in a separate process, in which nothing of moto is replaced.
"""

import json
import sys
import time

import boto3
from moto import mock_aws

ROUNDS = 100


@mock_aws
def seconds(counts: dict[str, float]) -> float:
    """The time for this many calls of each operation, from the mean of some rounds."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    table, events = boto3.client("dynamodb", **keys), boto3.client("events", **keys)
    table.create_table(
        TableName="jobs",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    events.put_rule(Name="jobs", EventPattern=json.dumps({"source": ["jobs"]}))
    about = {"TableName": "jobs", "Key": {"id": {"S": "1"}}}
    calls = {
        "UpdateItem": lambda: table.update_item(
            **about,
            UpdateExpression="SET #s = :s, times.#s = :t",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues={":s": {"S": "InProgress"}, ":t": {"S": "now"}},
        ),
        "GetItem": lambda: table.get_item(**about),
        "PutEvents": lambda: events.put_events(
            Entries=[{"Source": "jobs", "DetailType": "Job", "Detail": json.dumps({"id": "1"})}]
        ),
    }
    table.put_item(TableName="jobs", Item={"id": {"S": "1"}, "times": {"M": {}}})
    total = 0.0
    for name, count in counts.items():
        calls[name]()
        begun = time.process_time()
        for _ in range(ROUNDS):
            calls[name]()
        total += count * (time.process_time() - begun) / ROUNDS
    return total


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[1:])
    sys.stdout.write(f"{seconds({name: float(count) for name, _, count in pairs})}\n")
