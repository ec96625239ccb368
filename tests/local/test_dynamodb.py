from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from local.aws import replaced


@pytest.fixture
def client():
    replaced.install("dynamodb")
    with mock_aws():
        made = boto3.client("dynamodb", region_name="us-east-1")
        create_table(made, "T", id="S")
        yield made


def create_table(client, name, *indexed, ranged=None, **kinds):
    """Create a table; of these attributes with their types, the first is its key."""

    def keyed_by(*names):
        kinds = zip(names, ("HASH", "RANGE"), strict=False)
        return [{"AttributeName": name, "KeyType": kind} for name, kind in kinds if name]

    everything = {"Projection": {"ProjectionType": "ALL"}}
    indexes = [
        {"IndexName": f"By{each.title()}", "KeySchema": keyed_by(each), **everything}
        for each in indexed
    ]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=keyed_by(next(iter(kinds)), ranged),
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()
        ],
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    )


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


@pytest.mark.slow
def test_only_one_of_many_concurrent_claims_of_an_item_succeeds(client):
    with ThreadPoolExecutor(16) as pool:
        for number in range(20):
            item = str(number)
            claims = pool.map(lambda worker, item=item: claim(client, item, worker), range(16))
            assert sum(claims) == 1


@pytest.mark.slow
def test_no_reader_sees_an_incomplete_item(client):
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(claim, client, str(number), 0) for number in range(200)]
        while not all(done.done() for done in writing):
            for item in client.scan(TableName="T")["Items"]:
                assert "worker" in item


ITEM = {
    "id": {"S": "1"},
    "n": {"N": "1"},
    "list": {"L": [{"S": "a"}]},
    "map": {"M": {"x": {"S": "old"}, "y": {"S": "kept"}}},
    "gone": {"S": "soon"},
}
ONE, TEXT = {":one": {"N": "1"}}, {":text": {"S": "new"}}


@pytest.mark.parametrize(
    ("expression", "request_", "changed"),
    [
        ("SET n = n + :one", {"values": ONE}, {"n": {"N": "2"}}),
        ("ADD n :one", {"values": ONE}, {"n": {"N": "2"}}),
        ("SET a = if_not_exists(a, :text)", {"values": TEXT}, {"a": {"S": "new"}}),
        ("SET gone = if_not_exists(gone, :text)", {"values": TEXT}, {}),
        (
            "SET #l = list_append(#l, :more)",
            {"names": {"#l": "list"}, "values": {":more": {"L": [{"S": "b"}]}}},
            {"list": {"L": [{"S": "a"}, {"S": "b"}]}},
        ),
        (
            "SET #m.#x = :text, a = :one REMOVE gone",
            {"names": {"#m": "map", "#x": "x"}, "values": TEXT | ONE},
            {
                "map": {"M": {"x": {"S": "new"}, "y": {"S": "kept"}}},
                "a": {"N": "1"},
                "gone": None,
            },
        ),
        ("SET a = :one, a = :one", {"values": ONE}, "overlap"),
        ("SET #m.x = :one, #m.x = :one", {"names": {"#m": "map"}, "values": ONE}, "overlap"),
        ("SET a = :one SET b = :one", {"values": ONE}, "only be used once"),
        ("SET id = :text", {"values": TEXT}, "part of the key"),
        ("SET a = :other", {"values": {}}, ":other"),
        ("SET nowhere.x = :one", {"values": ONE}, "document path"),
        ("SET n = n + :text", {"values": TEXT}, "operand type"),
    ],
)
def test_an_expression_has_the_same_effect_each_time(client, expression, request_, changed):
    update = {"Key": {"id": ITEM["id"]}, "TableName": "T", "UpdateExpression": expression}
    for name in [name for name in ("names", "values") if request_.get(name)]:
        update[f"ExpressionAttribute{name.title()}"] = request_[name]
    for _ in range(3):
        client.put_item(TableName="T", Item=ITEM)
        if isinstance(changed, str):
            with pytest.raises(ClientError, match=changed) as refused:
                client.update_item(**update)
            assert refused.value.response["Error"]["Code"] == "ValidationException"
            expected = ITEM
        else:
            client.update_item(**update)
            expected = {name: value for name, value in (ITEM | changed).items() if value}
        assert client.get_item(TableName="T", Key={"id": ITEM["id"]})["Item"] == expected


def test_an_expression_is_checked_for_each_table_and_its_names(client):
    create_table(client, "Other", other="S")
    update = {"UpdateExpression": "SET #name = :text", "ExpressionAttributeValues": TEXT}
    for table, key, name in [("T", "id", "other"), ("Other", "other", "id")]:
        update |= {"TableName": table, "Key": {key: {"S": "1"}}}
        client.update_item(**update, ExpressionAttributeNames={"#name": name})
        with pytest.raises(ClientError, match="part of the key"):
            client.update_item(**update, ExpressionAttributeNames={"#name": key})


@pytest.mark.parametrize(("index", "name"), [(None, "id"), ("ByKind", "kind"), ("BySize", "size")])
def test_a_query_returns_the_items_with_its_key_and_no_others(client, index, name):
    create_table(client, "Indexed", "kind", "size", id="S", kind="S", size="N")
    items = [
        {"id": {"S": f"{number}"}, "kind": {"S": kind}, "size": {"N": size}}
        for number, (kind, size) in enumerate([("a", "1"), ("b", "2"), ("a", "1.0"), ("1", "10")])
    ]
    for item in [*items, {"id": {"S": "a"}}]:
        client.put_item(TableName="Indexed", Item=item)
    found = client.query(
        TableName="Indexed",
        **({"IndexName": index} if index else {}),
        KeyConditionExpression="#key = :key",
        ExpressionAttributeNames={"#key": name},
        ExpressionAttributeValues={":key": items[0][name]},
    )
    expected = [items[0]] if name == "id" else [items[0], items[2]]
    assert [item["id"] for item in found["Items"]] == [item["id"] for item in expected]


def test_items_are_listed_in_the_order_of_their_keys(client):
    create_table(client, "Ranged", ranged="n", id="S", n="N")
    keys = [(name, number) for name in "ba" for number in (10, 9, 1)]
    for name, number in keys:
        item = {"id": {"S": name}, "n": {"N": str(number)}}
        client.put_item(TableName="Ranged", Item=item)
    listed = client.scan(TableName="Ranged")["Items"]
    assert [(item["id"]["S"], int(item["n"]["N"])) for item in listed] == sorted(keys)
