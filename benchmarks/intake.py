"""How many offers one invocation of Intake takes per second if every AWS call takes 50 ms."""

import json
import os
import re
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import endpoint
from benchmarks.figures import Figure

DELAY = 0.05
WAITING = (100, 1000, 5000)
ROUNDS = 3
# As many as Intake's.
THREADS = 50
BATCH_SIZE = 100


def measure() -> list[Figure]:
    """Offers per second with few and many waiting, the time for each further offer, and memory."""
    few, some, many = WAITING
    rates: dict[int, list[float]] = {count: [] for count in WAITING}
    bare: list[float] = []
    growth: list[float] = []
    memory: list[float] = []
    with endpoint.running(DELAY) as url:
        for _ in range(ROUNDS):
            bare.append(by_boto3(url, some))
            told = endpoint.told_by("intake", url, "0", *map(str, WAITING))
            # The first sweep was a cold start, and found nothing.
            seconds = dict(zip(WAITING, told["seconds"][1:], strict=True))
            for count, taken in seconds.items():
                rates[count].append(count / taken)
            further = (seconds[some] - seconds[few]) / (some - few)
            growth.append((seconds[many] - seconds[some]) / (many - some) / further)
            memory.append(told["megabytes"])
    calls = f"only these calls, with boto3 and as many threads: {statistics.median(bare):.0f}"
    return [
        *(
            Figure.ratio(
                f"Intake: offers taken in one invocation, {count:,} waiting, AWS calls of 50 ms",
                taken,
                bare,
                f"({statistics.median(taken):.0f} per second)",
                reference=calls,
                at_least=0.7 if count == many else None,
                tolerance=0.3,
            )
            for count, taken in rates.items()
        ),
        Figure.of(
            "Intake: the time for each further offer, from 1,000 to 5,000",
            growth,
            "×",
            reference="the same from 100 to 1,000",
            at_most=1.2,
            tolerance=0.2,
        ),
        Figure.of("Intake: peak memory", memory, "MB", at_most=256, tolerance=0.2, digits=0),
    ]


def by_boto3(url: str, offers: int) -> float:
    """Only poll and start executions; offers per second."""
    # Imported here, since Intake's process has this module, too, and its memory is measured.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    session = boto3.Session("testing", "testing", region_name="us-east-1")
    codepipeline = session.client("codepipeline", endpoint_url=url)
    connections = Config(max_pool_connections=THREADS)
    machines = session.client("stepfunctions", endpoint_url=url, config=connections)
    asked = {"actionTypeId": endpoint.ACTION_TYPE, "maxBatchSize": BATCH_SIZE}

    def start(job: dict[str, Any]) -> None:
        named = {"stateMachineArn": endpoint.MACHINE, "name": job["id"]}
        machines.start_execution(**named, input=json.dumps(job))

    endpoint.offer(url, offers)
    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as starters:
        while jobs := codepipeline.poll_for_jobs(**asked)["jobs"]:
            list(starters.map(start, jobs))
    return offers / (time.perf_counter() - begun)


def main(url: str, counts: list[int]) -> None:
    """Take these numbers of offers, each in a sweep; print the seconds of each, and peak memory."""
    intake, told = endpoint.function("intake", url, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    seconds = []
    for count in counts:
        endpoint.offer(url, count)
        begun = time.perf_counter()
        answer = intake({"detail-type": "Scheduled Event"})
        seconds.append(time.perf_counter() - begun)
        if answer["taken"] != count:
            raise RuntimeError(f"{answer['taken']} of {count} offers were taken")
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    told.write(json.dumps({"seconds": seconds, "megabytes": int(peak[1]) / 1024 if peak else 0}))


if __name__ == "__main__":
    main(sys.argv[1], [int(count) for count in sys.argv[2:]])
