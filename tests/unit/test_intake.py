import pytest

import intake
from acknowledger import errors
from acknowledger.events import SHAPES
from tests.support import load_event
from tests.unit.conftest import Context, metrics_in


def test_every_event_with_a_shape_for_intake_is_handled():
    assert {*intake.HANDLED, "Pause Intake"} == set(SHAPES["Intake"])


@pytest.mark.parametrize(
    ("problems", "told"),
    [
        ("ab", "a; b"),
        ("abcdefghij", "a; b; c; d; e; f; g; h; i; j"),
        ("abcdefghijkl", "a; b; c; d; e; f; g; h; i; j; and 2 more"),
    ],
)
def test_an_error_names_the_first_problems_and_counts_the_rest(problems, told, monkeypatch):
    monkeypatch.setitem(
        intake.HANDLED, "Scheduled Event", lambda sweep, _: sweep.problems.extend(problems)
    )
    with pytest.raises(errors.IntakeIncomplete) as caught:
        intake.handler(load_event("intake-schedule"), Context())
    assert str(caught.value) == told


def test_bad_input_is_refused_before_any_call(aws_calls):
    with pytest.raises(errors.EventInvalid, match=r"detail\.state"):
        intake.handler(load_event("bad/intake-several-fields"), Context())


@pytest.mark.parametrize("kind", ["Pause Intake", "Resume Intake"])
@pytest.mark.parametrize("chosen", [["Custom/Build/NotServed/1"], "all", [1], None])
def test_an_invalid_pause_or_resume_is_answered_with_one_sentence(kind, chosen, aws_calls):
    event = {"detail-type": kind, "detail": {"actionTypes": chosen}}
    [[name, sentence]] = intake.handler(event, Context()).items()
    assert name == "refused"
    assert sentence.startswith("detail.actionTypes")


def test_a_pause_emits_no_metrics(cloud, capsys):
    intake.handler(load_event("intake-pause"), Context())
    assert metrics_in(capsys.readouterr().out) == {}


def test_an_event_of_an_action_type_that_is_not_served_is_counted_without_any_call(
    aws_calls, capsys
):
    event = load_event("intake-action-type-not-served")
    assert intake.handler(event, Context()) == {"offered": 0, "taken": 0}
    assert metrics_in(capsys.readouterr().out)["EventsNotServed"] == (1, "Count")
