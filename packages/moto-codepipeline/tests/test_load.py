"""Many jobs, and many workers at once."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from codepipeline_fixtures import SIDE_BY_SIDE, TYPE, Service, action
from moto_codepipeline.exceptions import InvalidJobStateError, InvalidNonceError


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Threads that switch a thousand times more often than usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless_threads")
def test_concurrent_workers_neither_lose_nor_repeat_a_job(service: Service) -> None:
    """Offers expire at once, and acknowledgments and results are repeated."""
    service.behaviour.acknowledge_seconds = 0
    service.register()
    service.create([action(f"Build{number}") for number in range(40)], **SIDE_BY_SIDE)
    for _ in range(5):
        service.start()
    acknowledged: list[str] = []
    seen: list[str] = []

    def work(_: int) -> None:
        while jobs := service.backend.poll_for_jobs(TYPE, 7, None):
            seen.extend(job["id"] for job in jobs)
            for job in jobs:
                claim(job)

    def claim(job: dict[str, Any]) -> None:
        try:
            service.backend.acknowledge_job(job["id"], job["nonce"])
        except InvalidNonceError:
            return
        acknowledged.append(job["id"])
        with pytest.raises(InvalidNonceError):
            service.backend.acknowledge_job(job["id"], job["nonce"])
        for _ in range(2):
            service.backend.put_job_success_result(job["id"], {})
        with pytest.raises(InvalidJobStateError):
            service.backend.put_job_success_result(job["id"], {"outputVariables": {"a": "1"}})

    with ThreadPoolExecutor(16) as workers:
        list(workers.map(work, range(16)))
    assert len(set(seen)) == 200 < len(seen)
    assert sorted(acknowledged) == sorted(set(seen))
    ended = [state for kind, name, state in service.events() if name.startswith("Build")]
    assert Counter(ended) == {"STARTED": 200, "SUCCEEDED": 200}
    summaries = service.api.list_pipeline_executions(pipelineName="release")
    assert [each["status"] for each in summaries["pipelineExecutionSummaries"]] == ["Succeeded"] * 5
