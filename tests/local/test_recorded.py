"""State machines behave as recorded on AWS.

`fixtures/recorded.json` has a row for each behavior that our definition, the examples or the
documentation use: a definition, its input, the result for its task token, and the outcome. The
source is a snapshot of LocalStack's tests, which were run on AWS: localstack/localstack at 8b9a79f,
tests/aws/services/stepfunctions/v2/ (Apache-2.0). An event has its type, the id of the previous
event, and its details. "*" matches any text, such as the end of an SDK's message, which AWS has
changed. Differences that are listed in docs/local.md are left out. Waits are shorter than in the
recordings, and names are those of this test.
"""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.local.fixtures.cloud import Queue, ended, make_function, make_machine, make_table

pytestmark = pytest.mark.sampled(2)

ROWS = json.loads((Path(__file__).parent / "fixtures" / "recorded.json").read_text())
#: The details of an event that are compared.
COMPARED = (
    *("name", "error", "cause", "output", "resource", "resourceType", "index", "length"),
    *("timeoutInSeconds", "heartbeatInSeconds", "assignedVariables"),
)


def matches(found: Any, recorded: Any) -> bool:
    """Whether a value is as recorded; JSON text may be recorded as its value."""
    match (found, recorded):
        case (str(), str()):
            return bool(re.fullmatch(re.escape(recorded).replace(r"\*", ".*"), found, re.DOTALL))
        case (str(), dict() | list()):
            return matches(json.loads(found), recorded)
        case (dict(), dict()):
            return found.keys() - {"ConsumedCapacity"} == recorded.keys() and all(
                matches(found[name], recorded[name]) for name in recorded
            )
        case (list(), list()):
            return len(found) == len(recorded) and all(map(matches, found, recorded))
    return bool(recorded in ("*", found))


def comparable(event: dict[str, Any]) -> list[Any]:
    details: dict[str, Any] = next(
        (each for name, each in event.items() if name.endswith("Details")), {}
    )
    kept = {name: details[name] for name in COMPARED if name in details}
    if "output" in kept:
        kept["output"] = json.loads(kept["output"])
    if "assignedVariables" in kept:
        assigned = kept["assignedVariables"]
        kept["assignedVariables"] = {name: json.loads(text) for name, text in assigned.items()}
    return [event["type"], event["previousEventId"], kept]


@pytest.mark.parametrize("row", ROWS, ids=[row["source"].split()[-1] for row in ROWS])
def test_an_execution_is_as_recorded_on_aws(cloud, row):
    states, name = cloud.client("stepfunctions"), f"recorded-{uuid.uuid4()}"
    queue = Queue(cloud, name)
    if "function" in row:
        make_function(cloud, name, row["function"], Timeout=120)
    if "table" in row:
        make_table(cloud, name, row["table"])
    definition, given = (
        json.dumps(row[each])
        .replace('"FUNCTION"', f'"{name}"')
        .replace('"TABLE"', f'"{name}"')
        .replace('"QUEUE"', f'"{queue.url}"')
        for each in ("definition", "input")
    )
    arn = make_machine(cloud, name, json.loads(definition))
    execution = states.start_execution(stateMachineArn=arn, input=given)
    about = {"executionArn": execution["executionArn"]}
    if "answer" in row:
        send = states.send_task_success if "output" in row["answer"] else states.send_task_failure
        send(taskToken=queue.body()["TaskToken"], **row["answer"])
    described = ended(states, execution["executionArn"])
    found = [comparable(each) for each in states.get_execution_history(**about)["events"]]
    assert described["status"] == row["status"], found[-1]
    if "events" in row:
        assert [each[0] for each in found] == [each[0] for each in row["events"]]
        for here, recorded in zip(found, row["events"], strict=True):
            assert matches(here, recorded), (here, recorded)
    if "error" in row:
        assert described["error"] == row["error"]
    if "output" in row:
        assert matches(described["output"], row["output"])
