"""How many offers one invocation of Intake takes per second if every AWS call takes 50 ms."""

import json
import statistics
import time

import boto3

from benchmarks import endpoint
from benchmarks.figures import Figure

DELAY = 0.05
WAITING = (100, 1000, 5000)
ROUNDS = 3
LOOP_JOBS = 10


def measure() -> list[Figure]:
    """Offers per second with few and many waiting, the time for each further offer, and memory."""
    rates: dict[int, list[float]] = {count: [] for count in WAITING}
    growth: list[float] = []
    memory: list[float] = []
    loops: list[float] = []
    with endpoint.running(DELAY) as url:
        for _ in range(ROUNDS):
            loops.append(one_by_one(url))
            told = endpoint.told_by("intake_process", url, "0", *map(str, WAITING))
            # The first sweep was a cold start, and found nothing.
            seconds = dict(zip(WAITING, told["seconds"][1:], strict=True))
            for count, taken in seconds.items():
                rates[count].append(count / taken)
            few, some, many = WAITING
            further = (seconds[some] - seconds[few]) / (some - few)
            growth.append((seconds[many] - seconds[some]) / (many - some) / further)
            memory.append(told["megabytes"])
    loop = f"a loop that polls, acknowledges and starts one by one: {statistics.median(loops):.1f}"
    return [
        *(
            Figure.of(
                f"Intake: offers taken in one invocation, {count:,} waiting, AWS calls of 50 ms",
                taken,
                "per second",
                reference=loop,
                at_least=300 if count == max(WAITING) else None,
                tolerance=0.4,
                digits=0,
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


def one_by_one(url: str) -> float:
    """Take jobs as the usual sample does; jobs per second."""
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    codepipeline = session.client("codepipeline", endpoint_url=url)
    machines = session.client("stepfunctions", endpoint_url=url)
    endpoint.offer(url, LOOP_JOBS)
    begun = time.perf_counter()
    offered = codepipeline.poll_for_jobs(actionTypeId=endpoint.ACTION_TYPE, maxBatchSize=LOOP_JOBS)
    for job in offered["jobs"]:
        codepipeline.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
        machines.start_execution(
            stateMachineArn=endpoint.MACHINE, name=job["id"], input=json.dumps(job)
        )
    return LOOP_JOBS / (time.perf_counter() - begun)
