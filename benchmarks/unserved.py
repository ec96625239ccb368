"""What a STARTED event of an action type that isn't served costs Intake when warm.

The rule matches the events of all custom actions. The cost, in processor time, is compared with one
empty poll without us, which is the least that an event of a served type costs.
"""

import io
import json
import statistics
import sys

from benchmarks import endpoint
from benchmarks.figures import Figure
from benchmarks.prices import cost
from tests.support import load_event

ROUNDS = 11
EVENTS_A_ROUND = 200
GIGABYTES = 0.25
# With this much memory, a function has a seventh of a processor.
SLOWER = 7
# Lambda's own log lines for an invocation, its start and its report, as CloudWatch counts bytes.
LAMBDA_BYTES = 1000


def measure() -> list[Figure]:
    """The ratio, and AWS's price of a thousand events."""
    with endpoint.running(0) as url:
        ours, polls, logged = endpoint.told_by("unserved", url)
    milliseconds = statistics.median(ours)
    bill = {
        "function invocations": 1,
        "GB-seconds": GIGABYTES * max(1, milliseconds * SLOWER) / 1000,
        "GB of logs": (logged + LAMBDA_BYTES) / 2**30,
        "traces": 1,
    }
    return [
        Figure.ratio(
            "Intake, warm: an event of an action type that is not served",
            ours,
            polls,
            f"({milliseconds:.2f} ms of processor time)",
            reference=f"one empty PollForJobs with boto3 alone: {statistics.median(polls):.2f} ms",
            at_most=1,
            tolerance=0.4,
        ),
        Figure(
            "AWS's price of 1,000 such events",
            1000 * cost(bill),
            "USD",
            at_most=0.01,
            tolerance=0.1,
            digits=4,
        ),
    ]


def main(url: str) -> None:
    """Handle the event many times, and poll as often; print both times and the bytes logged."""
    log = io.StringIO()
    intake, told = endpoint.function("intake", url, log)
    from acknowledger.aws import client  # noqa: PLC0415

    event = load_event("intake-action-type-not-served")
    codepipeline = client("codepipeline")

    def with_us() -> None:
        if intake(event) != {"offered": 0, "taken": 0}:
            raise RuntimeError("it was served")

    def without_us() -> None:
        codepipeline.poll_for_jobs(actionTypeId=endpoint.ACTION_TYPE, maxBatchSize=10)

    times = endpoint.alternately(ROUNDS, EVENTS_A_ROUND, with_us, without_us)
    logged = len(log.getvalue()) / (EVENTS_A_ROUND * (ROUNDS + 1))
    told.write(json.dumps([*times, logged]))


if __name__ == "__main__":
    main(sys.argv[1])
