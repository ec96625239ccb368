"""What acknowledging one job costs of our own, over the same calls without us, when warm.

Processor time: what the calls wait for, and what else the machine does, is not in it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks import endpoint
from benchmarks.figures import Figure

ROUNDS = 11
JOBS_A_ROUND = 100
# What it may be; the table has it as a ratio, like the figure.
MOST_MILLISECONDS = 2


def measure() -> list[Figure]:
    """Our own processor time for each job."""
    command = [sys.executable, "-m", "benchmarks.acknowledge"]
    with endpoint.running(0) as url:
        told = subprocess.run([*command, url], stdout=subprocess.PIPE, text=True, check=True).stdout
    ours, bare = json.loads(told)
    over = [mine - theirs for mine, theirs in zip(ours, bare, strict=True)]
    reference = statistics.median(bare)
    return [
        Figure.of(
            "Acknowledge, warm: our own processor time per job",
            [one / theirs for one, theirs in zip(over, bare, strict=True)],
            f"× ({statistics.median(over):.2f} ms)",
            reference=f"the same three calls without us: {reference:.2f} ms",
            at_most=round(MOST_MILLISECONDS / reference, 2),
            tolerance=0.4,
        )
    ]


def main(url: str) -> None:
    """Acknowledge many jobs, with and without us in turn, and print the milliseconds of both."""
    os.environ |= {**endpoint.ENVIRONMENT, "AWS_ENDPOINT_URL": url}
    sys.path.insert(0, "functions")
    told, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: PTH123, SIM115
    import acknowledge  # noqa: PLC0415
    from acknowledger.aws import client  # noqa: PLC0415

    context = endpoint.context("Acknowledge")
    request = {"jobId": "11111111-2222-3333-4444-555555555555", "nonce": "3"}
    event = {"detail-type": "Job Dispatched", "detail": {**request, "taskToken": "t" * 600}}
    table, machine = client("dynamodb"), client("stepfunctions")
    codepipeline = client("codepipeline", retrying=False)

    def with_us() -> None:
        answer = acknowledge.handler(event, context)
        if answer != {"status": "InProgress"}:
            raise RuntimeError(answer)

    def without_us() -> None:
        table.update_item(
            TableName="JobTable",
            Key={"jobId": {"S": request["jobId"]}},
            UpdateExpression="SET acknowledgeCalls.#call = :nonce",
            ConditionExpression="attribute_exists(acknowledgeCalls)",
            ExpressionAttributeNames={"#call": "c" * 36},
            ExpressionAttributeValues={":nonce": {"S": "3"}},
            ReturnValues="ALL_NEW",
        )
        codepipeline.acknowledge_job(**request)
        machine.send_task_success(taskToken="t" * 600, output='{"status": "InProgress"}')

    times: tuple[list[float], list[float]] = ([], [])
    for counted in [False] + [True] * ROUNDS:
        sums = [0.0, 0.0]
        for _ in range(JOBS_A_ROUND):
            for index, act in enumerate((with_us, without_us)):
                begun = time.process_time()
                act()
                sums[index] += time.process_time() - begun
        if counted:
            for taken, total in zip(times, sums, strict=True):
                taken.append(total * 1000 / JOBS_A_ROUND)
    told.write(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1])
