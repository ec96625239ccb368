"""Many jobs, and many workers at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.codepipeline.exceptions import InvalidNonceError
from tests.local.codepipeline_fixtures import TYPE, Service, action, running_service


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


def test_polling_does_not_slow_down_with_the_number_of_jobs(service: Service) -> None:
    service.register()
    service.create([action(f"Build{number}") for number in range(50)])
    for _ in range(200):
        service.backend.start_pipeline_execution("release", None)
    begun = time.perf_counter()
    jobs = []
    for _ in range(100):
        jobs += service.backend.poll_for_jobs(TYPE, 1, None)
    assert len({job["id"] for job in jobs}) == 100
    assert (time.perf_counter() - begun) / 100 < 0.005


def test_each_job_is_claimed_by_one_worker(service: Service) -> None:
    service.behaviour.acknowledge_seconds = 0
    service.register()
    service.create([action(f"Build{number}") for number in range(40)])
    service.start()
    claimed: list[str] = []

    def work(_: int) -> None:
        while jobs := service.backend.poll_for_jobs(TYPE, 3, None):
            for job in jobs:
                claim(job)

    def claim(job: dict[str, Any]) -> None:
        try:
            service.backend.acknowledge_job(job["id"], job["nonce"])
        except InvalidNonceError:
            return
        claimed.append(job["id"])
        service.backend.put_job_success_result(job["id"], {})

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(work, range(8)))
    assert len(claimed) == 40
    assert set(Counter(claimed).values()) == {1}
    assert service.events()[-1] == ("Pipeline", "release", "SUCCEEDED")
