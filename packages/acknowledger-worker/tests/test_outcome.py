from __future__ import annotations

import json
from datetime import UTC, datetime

import botocore.session
import pytest

from acknowledger_worker import (
    Continuation,
    JobFailed,
    Revision,
    Success,
    errors,
    outcome,
)


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
def test_what_is_returned_is_told_as_a_job_result(returned, told):
    assert json.loads(outcome.output(outcome.checked(returned))) == told


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"summary": "Built"}, "must return None, Success or Continuation, not dict"),
        (Success(output_variables={"A": {1}}), "Success can't be written as JSON"),
        (Success(output_variables={"A": "x" * 130_000}), "at most 130000 characters"),
    ],
)
def test_what_can_not_be_told_fails_the_job(returned, words):
    with pytest.raises(JobFailed, match=words):
        outcome.checked(returned)


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


def test_a_secret_is_masked_before_a_message_is_cut():
    message = "x" * 4990 + "secret-word"
    made = outcome.failure(JobFailed(message), lambda text: text.replace("secret-word", "****"))
    assert made.message == "x" * 4990 + "****"
    assert len(outcome.failure(JobFailed("x" * 6000)).message) == 5000
