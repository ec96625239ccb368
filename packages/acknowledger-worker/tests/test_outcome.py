import copy
import json
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import botocore.session
import pytest

from acknowledger_worker import Continuation, JobFailed, Revision, Success, errors, outcome


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, {}),
        (Success(), {}),
        (
            Success(
                summary="Built",
                external_execution_id="17",
                percent_complete=0,
                output_variables={"Version": "1.2"},
                revision=Revision("abc", "1", datetime(2026, 1, 2, tzinfo=UTC), "Fixes"),
            ),
            {
                "executionDetails": {
                    "summary": "Built",
                    "externalExecutionId": "17",
                    "percentComplete": 0,
                },
                "outputVariables": {"Version": "1.2"},
                "currentRevision": {
                    "revision": "abc",
                    "changeIdentifier": "1",
                    "created": "2026-01-02T00:00:00+00:00",
                    "revisionSummary": "Fixes",
                },
            },
        ),
        (
            Continuation("later", summary="Waiting"),
            {"continuationToken": "later", "executionDetails": {"summary": "Waiting"}},
        ),
    ],
)
def test_the_returned_outcome_becomes_a_job_result(returned, told):
    assert json.loads(outcome.output(outcome.checked(returned))) == told


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"summary": "Built"}, "must return None, Success or Continuation, not dict"),
        (Success(output_variables={"A": "x" * 130_000}), "at most 130000 characters"),
        (
            Success("x" * 5000),
            "executionDetails.summary must have at most 2048 characters, not 5000",
        ),
        (Success(cast(Any, 5)), "executionDetails.summary must be a string, not int"),
        (Success(percent_complete=101), "percentComplete must be a whole number from 0 to 100"),
        (
            Success(output_variables=cast(Any, {"A": {1}, "B": 1})),
            "A must be a string, not set; .*B must be a",
        ),
        (
            Success(output_variables={"a b": "x"}),
            "outputVariables.a b: a name may have only letters",
        ),
        (Success(output_variables=cast(Any, ["A"])), "outputVariables must be a mapping"),
        (Success(revision=Revision("", "1")), "revision must have 1 to 1500 characters, not 0"),
        (Success(revision=Revision("1", "1", cast(Any, "now"))), "created must be a datetime"),
        (Continuation(""), "continuationToken must have 1 to 2048 characters, not 0"),
    ],
)
def test_an_outcome_that_breaks_a_limit_fails_the_job(returned, words):
    with pytest.raises(JobFailed, match=words):
        outcome.checked(returned)


@pytest.mark.parametrize(
    "returned",
    [
        Success("", "", revision=Revision("abc", "1", summary=""), output_variables={"V": ""}),
        Success(revision=Revision("abc", "1"), output_variables={"V": ""}),
    ],
)
def test_an_empty_text_that_may_be_left_out_counts_as_not_given(returned):
    assert json.loads(outcome.output(outcome.checked(returned))) == {
        "outputVariables": {"V": ""},
        "currentRevision": {"revision": "abc", "changeIdentifier": "1"},
    }


@pytest.mark.parametrize("kind", [Success, partial(Continuation, "later")])
def test_a_summary_is_cut_if_the_author_allows_it(kind):
    cut = outcome.checked(kind(summary="x" * 5000, cut_summary=True))
    assert cut.summary == "x" * 2047 + "…"
    assert outcome.checked(kind(summary="x" * 2048, cut_summary=True)).summary == "x" * 2048


def test_each_failure_type_of_codepipeline_has_an_exception_of_its_name():
    types = {
        each.type: each.__name__
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, JobFailed) and each.__name__ == each.type
    }
    model = botocore.session.get_session().get_service_model("codepipeline")
    assert set(types) == set(model.shape_for("FailureType").enum)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (errors.ConfigurationError("Input is missing"), "ConfigurationError", "Input is missing"),
        (errors.ArtifactInvalid("App: no"), "JobFailed", "App: no"),
        (errors.AWSUnavailable("S3"), "SystemUnavailable", "S3"),
        (ValueError("no number"), "JobFailed", "ValueError: no number"),
        (PermissionError("EACCES"), "JobFailed", "PermissionError: EACCES"),
        (SystemExit(2), "JobFailed", "SystemExit: 2"),
        (ValueError(), "JobFailed", "ValueError"),
        (ValueError("\ud800"), "JobFailed", "ValueError: ?"),
    ],
)
def test_an_exception_becomes_a_failure_with_its_message(error, kind, message):
    assert outcome.failure(error) == outcome.Failure(kind, message)


def test_a_failure_can_be_copied():
    failure = outcome.Failure("JobFailed", "no")
    assert copy.deepcopy(failure) == failure


def test_a_secret_is_masked_before_a_message_is_cut():
    message = "x" * 4990 + "secret-word"
    made = outcome.failure(JobFailed(message), lambda text: text.replace("secret-word", "****"))
    assert made.message == "x" * 4990 + "****"
    assert len(outcome.failure(JobFailed("x" * 6000)).message) == 5000
