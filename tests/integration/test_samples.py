"""The sample events, and the functions' answers to them in the table of events/README.md."""

import json
import re

import pytest

from local import acknowledger
from tests.support import ROOT

EVENTS = ROOT / "events"
SAMPLES = [
    (function, name, answer)
    for function, rows in re.findall(
        r"^## (\w+)Function\n(.*?)(?=^## |\Z)",
        (EVENTS / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    for name, answer in re.findall(r"^\| \[`(.+?)`\].*\| `(.*)` \|$", rows, re.MULTILINE)
]


@pytest.fixture(scope="module")
def answers():
    """The answers of the functions of a new stack, invoked in the order of the table."""
    found = {}
    with acknowledger.running(worker=False, sleep_scale=0.01) as (cloud, stack):
        for function, name, _ in SAMPLES:
            answer = cloud.client("lambda").invoke(
                FunctionName=stack.outputs[f"{function}FunctionName"],
                Payload=(EVENTS / f"{name}.json").read_bytes(),
            )
            found[name] = json.load(answer["Payload"])
    return found


def test_every_sample_event_is_in_the_table():
    there = {str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.rglob("*.json")}
    assert {name for _, name, _ in SAMPLES} == there


@pytest.mark.parametrize(("name", "said"), [sample[1:] for sample in SAMPLES])
def test_a_sample_event_is_answered_as_the_table_says(name, said, answers):
    answer = answers[name]
    given = (
        f"{answer['errorType']}: {answer['errorMessage']}"
        if "errorType" in answer
        else json.dumps(answer)
    )
    begins, more, _ = said.partition(" …")
    assert given.startswith(begins) if more else given == said
