"""The probe at a CodePipeline that has been changed: it finds every fact as it is there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError

from codepipeline_fixtures import REGION
from moto_codepipeline import executions, structure
from moto_codepipeline.action_types import ActionType, TypeKey
from moto_codepipeline.engine import Engine
from moto_codepipeline.events import CANCELED
from moto_codepipeline.exceptions import (
    InvalidNonceError,
    JobNotFoundError,
    StageNotRetryableError,
    ValidationError,
)
from moto_codepipeline.jobs import JobBoard, JobStatus
from moto_codepipeline.models import JobBackend
from moto_codepipeline.probe.facts import FACTS
from moto_codepipeline.probe.questions import QUESTIONS, Question
from moto_codepipeline.probe.run import Record, run
from moto_codepipeline.responses import JobResponse
from moto_codepipeline.runs import CANCELLED, FAILED, SUPERSEDED, PipelineRun
from probing import Asked, asked

Patch = pytest.MonkeyPatch

#: The questions about facts, with those whose answers they need, and one that a change answers.
ALL = [
    each
    for each in QUESTIONS
    if each.facts or {"update_under_way", "continuation_seconds", "batch_cap"} & set(each.words)
]
HERE = {name: fact["here"] for name, fact in FACTS.items()}
ERROR = re.compile(r"\w+Exception: ")


@pytest.fixture
def there() -> Iterator[Asked]:
    with asked({}) as made:
        yield made


def record_of(there: Asked, folder: Path, questions: list[Question], said: list[str]) -> Record:
    record = Record(folder / "behaviour.toml", there.url, REGION)
    there.note = record.note
    run(there.probe(), record, questions, said.append)
    return record


# -- Errors ---------------------------------------------------------------------------------------

ADDED = " It was changed."


def with_another_text(name: str) -> str:
    """A fact if all errors of the endpoint have another text."""
    here: str = HERE[name]
    if ERROR.search(here):
        return here + ADDED
    status, brace, error = here.partition("{")
    if '"message"' not in error:
        return here
    told = json.loads(brace + error)
    return status + json.dumps(told | {"message": told["message"] + ADDED})


def test_every_fact_that_is_an_error_is_found_if_its_text_is_another(
    there: Asked, tmp_path: Path, monkeypatch: Patch
) -> None:
    made, mark_failed = JsonRESTError.__init__, Engine._mark_failed

    def make(self: Any, code: str, message: str, *more: Any, **others: Any) -> None:
        made(self, code, message + ADDED, *more, **others)

    def fail(self: Any, action: Any, code: str, message: str) -> None:
        mark_failed(self, action, code, message + ADDED)

    monkeypatch.setattr(JsonRESTError, "__init__", make)
    monkeypatch.setattr(Engine, "_mark_failed", fail)
    said: list[str] = []
    record = record_of(there, tmp_path, ALL, said)
    wanted = {name: with_another_text(name) for name in FACTS}
    assert record.content["facts"] == wanted
    differing = {name: HERE[name] for name in FACTS if wanted[name] != HERE[name]}
    assert record.content["differs"] == differing
    for lines in (said, list(record.table(ALL))):
        told = "\n".join(lines)
        assert [
            name for name in differing if f"differs from the emulator: {HERE[name]}" not in told
        ] == []


# -- Other facts ----------------------------------------------------------------------------------

# Each of these functions is used instead of a method of the CodePipeline, which it gets first. Some
# facts are then others.

Patching = Callable[[Patch], None]
CHANGES: list[tuple[Patching, dict[str, str]]] = []


def wrapped(owner: type, name: str, around: Callable[..., Any]) -> Patching:
    original = getattr(owner, name)

    def replacement(self: Any, *arguments: Any, **named: Any) -> Any:
        return around(original, self, *arguments, **named)

    return lambda patch: patch.setattr(owner, name, replacement)


def changed(owner: type, name: str, **facts: str) -> Callable[[Callable[..., Any]], Patching]:
    def register(around: Callable[..., Any]) -> Patching:
        patching = wrapped(owner, name, around)
        CHANGES.append((patching, facts))
        return patching

    return register


@changed(JobBackend, "poll_for_jobs", poll_for_100="ValidationException: No more than 10")
def refuse_polls_for_100(poll: Any, self: Any, type_id: Any, number: int | None, query: Any) -> Any:
    if number and number > 10:
        raise ValidationError("No more than 10")
    return poll(self, type_id, number, query)


@changed(JobResponse, "poll_for_jobs", empty_poll_body="{}")
def leave_out_empty_lists(respond: Any, self: Any) -> str:
    body: str = respond(self)
    return body if json.loads(body)["jobs"] else "{}"


@changed(
    JobBackend,
    "put_job_success_result",
    summary_of_2048_characters_of_2_bytes="ValidationException: Too long",
)
def count_bytes(put: Any, self: Any, job_id: str, result: dict[str, Any]) -> None:
    if len(result.get("executionDetails", {}).get("summary", "").encode()) > 2048:
        raise ValidationError("Too long")
    put(self, job_id, result)


def set_other_quotas(patch: Patch) -> None:
    patch.setattr(executions, "EXECUTIONS", 40)
    patch.setattr(structure, "STAGES", 60)
    patch.setattr(structure, "ACTIONS_IN_STAGE", 40)


FEWER = ("executions_60", "executions_60_queued", "stage_without_actions", "stage_of_51_actions")
QUOTAS = {name: HERE[name].replace("50", "40") for name in FEWER} | {"stages_51": "accepted"}
CHANGES.append((set_other_quotas, QUOTAS))

USED = "ValidationException: It has been used"
OF_USED = ("deleted_type_again", "deleted_type_otherwise", "type_that_exists")


@changed(JobBackend, "create_custom_action_type", **dict.fromkeys(OF_USED, USED))
def restore_no_types(create: Any, self: Any, request: dict[str, Any]) -> Any:
    names = (request["category"], "Custom", request["provider"], request["version"])
    if TypeKey(*names) in self.action_types:
        raise ValidationError("It has been used")
    return create(self, request)


@changed(JobBoard, "__init__", oldest_job_first="jobs: second")
def offer_the_newest_first(init: Any, self: Any, *arguments: Any) -> None:
    init(self, *arguments)
    self._ages = count(0, -1)


@changed(JobBoard, "acknowledge", late_acknowledgment=HERE["wrong_nonce"])
def refuse_late_acknowledgments(acknowledge: Any, self: Any, job: Any, nonce: str) -> Any:
    if job.status is JobStatus.QUEUED:
        raise InvalidNonceError(job.id)
    return acknowledge(self, job, nonce)


@changed(PipelineRun, "resolve", unknown_output_variable="?")
def resolve_unknown_variables(resolve: Any, self: Any, configuration: Any) -> dict[str, str]:
    found = resolve(self, configuration)
    return {name: re.sub(r"#\{Source\.\w+}", "?", text) for name, text in found.items()}


@changed(
    JobBoard,
    "withdraw",
    poll_after_abandonment="jobs: first",
    poll_after_abandonment_of_a_continued_job="jobs: first",
)
def offer_jobs_of_abandoned_actions(withdraw: Any, self: Any, action: Any) -> None:
    if self._newest[action].nonce is None:
        self._close(action)
    else:
        withdraw(self, action)


@changed(JobBackend, "get_job_details", details_of_abandoned=HERE["unknown_job"])
def forget_abandoned_jobs(details: Any, self: Any, job_id: str) -> Any:
    if self._job(job_id, "Custom").withdrawn:
        raise JobNotFoundError(job_id)
    return details(self, job_id)


@changed(Engine, "_give_up", status_of_canceled="Failed")
def fail_canceled_actions(give_up: Any, self: Any, stage: Any, state: str) -> None:
    actions = list(stage.in_progress)
    give_up(self, stage, state)
    for action in actions if state == CANCELED else []:
        action.status = FAILED


@changed(Engine, "_end_run", status_of_a_waiting_execution_after_an_update="Superseded")
def supersede_instead_of_canceling(end_run: Any, self: Any, ended: Any, status: str) -> None:
    waits = status == CANCELLED and ended.stage and ended.stage.status is None
    end_run(self, ended, SUPERSEDED if waits else status)


@changed(
    JobBoard,
    "succeed",
    result_of_canceled=HERE["unknown_job"],
    partner_result_after_abandonment=HERE["unknown_job"],
)
def refuse_results_of_withdrawn_jobs(succeed: Any, self: Any, job: Any, result: Any) -> None:
    if job.withdrawn and job.status is JobStatus.IN_PROGRESS:
        raise JobNotFoundError(job.id)
    succeed(self, job, result)


@changed(Engine, "answer", rejected_approval='Failed: {"code": "JobFailed", "message": "No"}')
def give_rejections_an_error(
    answer: Any, self: Any, action: Any, summary: str, approved: bool
) -> None:
    if approved:
        answer(self, action, summary, approved)
    else:
        self.fail(action, "JobFailed", summary)


@changed(Engine, "retry", job_of_a_disabled_stage="jobs: none")
def begin_no_retries_in_disabled_stages(retry: Any, self: Any, stage: Any, **how: bool) -> None:
    if stage.run.traffic.transition(stage.name)["enabled"]:
        retry(self, stage, **how)


@changed(ActionType, "declaration", job_timeout_of_the_partner_type="600")
def declare_a_timeout(declaration: Any, self: Any) -> dict[str, Any]:
    return {"executor": {"jobTimeout": 600}}


@changed(JobBoard, "_queue", partner_job_offered_again="jobs: none")
def offer_partner_jobs_once(queue: Any, self: Any, job: Any) -> None:
    if job.owner == "Custom" or job.nonce is None:
        queue(self, job)


@changed(JobBoard, "_new_id", partner_job_continued="jobs: the same")
def keep_partner_jobs_ids(new_id: Any, self: Any, action: Any) -> str:
    partner = action.type_id["owner"] == "ThirdParty"
    return str((partner and action.job_id) or new_id(self, action))


def refuse_in_disabled_stages(retry: Any, self: Any, stage: Any, **how: bool) -> None:
    if not stage.run.traffic.transition(stage.name)["enabled"]:
        raise StageNotRetryableError("It is disabled")
    retry(self, stage, **how)


REFUSED_RETRY = {"retry_of_a_disabled_stage": "StageNotRetryableException: It is disabled"}


def test_every_other_fact_is_found_if_it_is_another(tmp_path: Path, monkeypatch: Patch) -> None:
    for patching, _ in CHANGES:
        patching(monkeypatch)
    other = {name: text for _, facts in CHANGES for name, text in facts.items()}
    with asked({}) as there:
        record = record_of(there, tmp_path, ALL, [])
    assert record.content["facts"] == HERE | other
    assert record.content["differs"] == {name: HERE[name] for name in other}
    assert record.content["switches"]["batch_cap"] == 10
    assert record.content["switches"]["default_batch_size"] == 1


def test_a_refused_retry_of_a_disabled_stage_is_found(tmp_path: Path, monkeypatch: Patch) -> None:
    wrapped(Engine, "retry", refuse_in_disabled_stages)(monkeypatch)
    with asked({}) as there:
        record = record_of(there, tmp_path, [each for each in ALL if "retries" in each.words], [])
    assert record.content["differs"] == {name: HERE[name] for name in REFUSED_RETRY}
    assert record.content["facts"] | REFUSED_RETRY == record.content["facts"]
    assert "job_of_a_disabled_stage" in record.content["unanswered"]


def test_every_fact_is_changed_by_a_test() -> None:
    texts = {name for name in FACTS if with_another_text(name) != HERE[name]}
    others = {name for _, facts in CHANGES for name in facts}
    assert texts | others | set(REFUSED_RETRY) == set(FACTS)
