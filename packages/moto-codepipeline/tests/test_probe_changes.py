"""The probe at a CodePipeline that has been changed: it finds every fact as it is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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

#: The questions about facts, with those whose answers they need.
ALL = [
    each
    for each in QUESTIONS
    if each.facts or {"update_under_way", "continuation_seconds"} & set(each.words)
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

# Each of these functions changes the CodePipeline, and returns the facts that are then others.


def refuse_polls_for_100(patch: Patch) -> dict[str, str]:
    poll = JobBackend.poll_for_jobs

    def refusing(self: Any, type_id: Any, number: int | None, query: Any) -> Any:
        if number and number > 10:
            raise ValidationError("No more than 10")
        return poll(self, type_id, number, query)

    patch.setattr(JobBackend, "poll_for_jobs", refusing)
    return {"poll_for_100": "ValidationException: No more than 10"}


def leave_out_empty_lists(patch: Patch) -> dict[str, str]:
    respond = JobResponse.poll_for_jobs

    def shorter(self: Any) -> str:
        body = respond(self)
        return body if json.loads(body)["jobs"] else "{}"

    patch.setattr(JobResponse, "poll_for_jobs", shorter)
    return {"empty_poll_body": "{}"}


def count_bytes(patch: Patch) -> dict[str, str]:
    put = JobBackend.put_job_success_result

    def counting(self: Any, job_id: str, result: dict[str, Any]) -> None:
        if len(result.get("executionDetails", {}).get("summary", "").encode()) > 2048:
            raise ValidationError("Too long")
        put(self, job_id, result)

    patch.setattr(JobBackend, "put_job_success_result", counting)
    return {"summary_of_2048_characters_of_2_bytes": "ValidationException: Too long"}


def set_other_quotas(patch: Patch) -> dict[str, str]:
    patch.setattr(executions, "EXECUTIONS", 40)
    patch.setattr(structure, "STAGES", 60)
    patch.setattr(structure, "ACTIONS_IN_STAGE", 40)
    fewer = ("executions_60", "executions_60_queued", "stage_without_actions")
    changed = {name: HERE[name].replace("50", "40") for name in (*fewer, "stage_of_51_actions")}
    return changed | {"stages_51": "accepted"}


def restore_no_types(patch: Patch) -> dict[str, str]:
    create = JobBackend.create_custom_action_type

    def creating(self: Any, request: dict[str, Any]) -> Any:
        names = (request["category"], "Custom", request["provider"], request["version"])
        if TypeKey(*names) in self.action_types:
            raise ValidationError("It has been used")
        return create(self, request)

    patch.setattr(JobBackend, "create_custom_action_type", creating)
    used = "ValidationException: It has been used"
    return dict.fromkeys(("deleted_type_again", "deleted_type_otherwise", "type_that_exists"), used)


def offer_the_newest_first(patch: Patch) -> dict[str, str]:
    init = JobBoard.__init__

    def with_ages_down(self: Any, *arguments: Any) -> None:
        init(self, *arguments)
        self._ages = count(0, -1)

    patch.setattr(JobBoard, "__init__", with_ages_down)
    return {"oldest_job_first": "jobs: second"}


def refuse_late_acknowledgments(patch: Patch) -> dict[str, str]:
    acknowledge = JobBoard.acknowledge

    def refusing(self: Any, job: Any, nonce: str) -> Any:
        if job.status is JobStatus.QUEUED:
            raise InvalidNonceError(job.id)
        return acknowledge(self, job, nonce)

    patch.setattr(JobBoard, "acknowledge", refusing)
    return {"late_acknowledgment": HERE["wrong_nonce"]}


def resolve_unknown_variables(patch: Patch) -> dict[str, str]:
    resolve = PipelineRun.resolve

    def resolving(self: Any, configuration: dict[str, str]) -> dict[str, str]:
        found = resolve(self, configuration)
        return {name: re.sub(r"#\{Source\.\w+}", "?", text) for name, text in found.items()}

    patch.setattr(PipelineRun, "resolve", resolving)
    return {"unknown_output_variable": "?"}


def offer_jobs_of_abandoned_actions(patch: Patch) -> dict[str, str]:
    withdraw = JobBoard.withdraw

    def withdrawing(self: Any, action: Any) -> None:
        if self._newest[action].nonce is None:
            self._close(action)
        else:
            withdraw(self, action)

    patch.setattr(JobBoard, "withdraw", withdrawing)
    names = ("poll_after_abandonment", "poll_after_abandonment_of_a_continued_job")
    return dict.fromkeys(names, "jobs: first")


def forget_abandoned_jobs(patch: Patch) -> dict[str, str]:
    details = JobBackend.get_job_details

    def forgetting(self: Any, job_id: str) -> Any:
        if self._job(job_id, "Custom").withdrawn:
            raise JobNotFoundError(job_id)
        return details(self, job_id)

    patch.setattr(JobBackend, "get_job_details", forgetting)
    return {"details_of_abandoned": HERE["unknown_job"]}


def fail_canceled_actions(patch: Patch) -> dict[str, str]:
    give_up, end_run = Engine._give_up, Engine._end_run

    def failing(self: Any, stage: Any, state: str) -> None:
        actions = list(stage.in_progress)
        give_up(self, stage, state)
        for action in actions if state == CANCELED else []:
            action.status = FAILED

    def superseding(self: Any, ended: Any, status: str) -> None:
        waits = status == CANCELLED and ended.stage and ended.stage.status is None
        end_run(self, ended, SUPERSEDED if waits else status)

    patch.setattr(Engine, "_give_up", failing)
    patch.setattr(Engine, "_end_run", superseding)
    waiting = {"status_of_a_waiting_execution_after_an_update": "Superseded"}
    return {"status_of_canceled": "Failed"} | waiting


def refuse_results_of_withdrawn_jobs(patch: Patch) -> dict[str, str]:
    succeed = JobBoard.succeed

    def refusing(self: Any, job: Any, result: Any) -> None:
        if job.withdrawn and job.status is JobStatus.IN_PROGRESS:
            raise JobNotFoundError(job.id)
        succeed(self, job, result)

    patch.setattr(JobBoard, "succeed", refusing)
    names = ("result_of_canceled", "partner_result_after_abandonment")
    return dict.fromkeys(names, HERE["unknown_job"])


def give_rejections_an_error(patch: Patch) -> dict[str, str]:
    answer = Engine.answer

    def answering(self: Any, action: Any, summary: str, approved: bool) -> None:
        if approved:
            answer(self, action, summary, approved)
        else:
            self.fail(action, "JobFailed", summary)

    patch.setattr(Engine, "answer", answering)
    return {"rejected_approval": 'Failed: {"code": "JobFailed", "message": "No"}'}


def begin_no_retries_in_disabled_stages(patch: Patch) -> dict[str, str]:
    retry = Engine.retry

    def retrying(self: Any, stage: Any, *, all_actions: bool) -> None:
        if stage.run.traffic.transition(stage.name)["enabled"]:
            retry(self, stage, all_actions=all_actions)

    patch.setattr(Engine, "retry", retrying)
    return {"job_of_a_disabled_stage": "jobs: none"}


def declare_a_timeout(patch: Patch) -> dict[str, str]:
    patch.setattr(ActionType, "declaration", lambda _: {"executor": {"jobTimeout": 600}})
    return {"job_timeout_of_the_partner_type": "600"}


def offer_partner_jobs_once(patch: Patch) -> dict[str, str]:
    queue, new_id = JobBoard._queue, JobBoard._new_id

    def queueing(self: Any, job: Any) -> None:
        if job.owner == "Custom" or job.nonce is None:
            queue(self, job)

    def keeping_ids(self: Any, action: Any) -> str:
        partner = action.type_id["owner"] == "ThirdParty"
        return (partner and action.job_id) or new_id(self, action)

    patch.setattr(JobBoard, "_queue", queueing)
    patch.setattr(JobBoard, "_new_id", keeping_ids)
    once = {"partner_job_offered_again": "jobs: none"}
    return once | {"partner_job_continued": "jobs: the same"}


def refuse_retries_in_disabled_stages(patch: Patch) -> dict[str, str]:
    retry = Engine.retry

    def refusing(self: Any, stage: Any, *, all_actions: bool) -> None:
        if not stage.run.traffic.transition(stage.name)["enabled"]:
            raise StageNotRetryableError("It is disabled")
        retry(self, stage, all_actions=all_actions)

    patch.setattr(Engine, "retry", refusing)
    return {"retry_of_a_disabled_stage": "StageNotRetryableException: It is disabled"}


CHANGES = [
    refuse_polls_for_100,
    leave_out_empty_lists,
    count_bytes,
    set_other_quotas,
    restore_no_types,
    offer_the_newest_first,
    refuse_late_acknowledgments,
    resolve_unknown_variables,
    offer_jobs_of_abandoned_actions,
    forget_abandoned_jobs,
    fail_canceled_actions,
    refuse_results_of_withdrawn_jobs,
    give_rejections_an_error,
    begin_no_retries_in_disabled_stages,
    declare_a_timeout,
    offer_partner_jobs_once,
]


def test_every_other_fact_is_found_if_it_is_another(tmp_path: Path, monkeypatch: Patch) -> None:
    changed = {name: text for change in CHANGES for name, text in change(monkeypatch).items()}
    with asked({}) as there:
        record = record_of(there, tmp_path, ALL, [])
    assert record.content["facts"] == HERE | changed
    assert record.content["differs"] == {name: HERE[name] for name in changed}


def test_a_refused_retry_of_a_disabled_stage_is_found(tmp_path: Path, monkeypatch: Patch) -> None:
    changed = refuse_retries_in_disabled_stages(monkeypatch)
    with asked({}) as there:
        record = record_of(there, tmp_path, [each for each in ALL if "retries" in each.words], [])
    assert record.content["differs"] == {name: HERE[name] for name in changed}
    assert record.content["facts"] | changed == record.content["facts"]
    assert "job_of_a_disabled_stage" in record.content["unanswered"]


def test_every_fact_is_changed_by_a_test() -> None:
    changed = {name for name in FACTS if with_another_text(name) != HERE[name]}
    for change in [*CHANGES, refuse_retries_in_disabled_stages]:
        with Patch.context() as patch:
            changed |= set(change(patch))
    assert changed == set(FACTS)
