from __future__ import annotations

import pytest

import intake
from acknowledger import errors
from acknowledger.events import SHAPES
from tests.support import load_event
from tests.unit.conftest import metrics_in


def test_every_event_that_has_a_shape_for_intake_is_handled():
    assert {*intake.HANDLED, "Pause Intake"} == set(SHAPES["Intake"])


def test_an_error_names_some_of_many_problems_and_counts_the_rest():
    assert intake.told(["a", "b"]) == "a; b"
    assert intake.told(list("abcdefghij")) == "a; b; c; d; e; f; g; h; i; j"
    assert intake.told(list("abcdefghijkl")).endswith("i; j; and 2 more")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ("bad/intake-not-ours", "detail-type"),
        ("bad/intake-several-fields", "detail.state"),
        ("bad/intake-pause", "detail.actionTypes"),
        ("bad/intake-execution-running", "detail.status"),
    ],
)
def test_bad_input_is_refused_before_any_call(event, field, aws_calls, context):
    with pytest.raises(errors.EventInvalid, match=field):
        intake.handler(load_event(event), context)


def test_who_pauses_counts_nothing(tables, other_calls, context, capsys):
    intake.handler(load_event("intake-pause"), context)
    assert metrics_in(capsys.readouterr().out) == {}


def test_an_action_of_a_type_that_is_not_served_is_counted_with_no_call(aws_calls, context, capsys):
    event = load_event("intake-action-type-not-served")
    assert intake.handler(event, context) == {"offered": 0, "taken": 0}
    assert metrics_in(capsys.readouterr().out)["EventsNotServed"] == (1, "Count")
