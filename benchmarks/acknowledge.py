"""Our own processor time to acknowledge a job when warm, beyond that of the same calls alone.

Processor time doesn't include waiting for calls, or what else the machine does.
"""

import json
import os
import statistics
import sys
from typing import Any

from botocore import xform_name

from benchmarks import endpoint
from benchmarks.figures import Figure
from tests.support import load_event

ROUNDS = 11
JOBS_A_ROUND = 100
# The note, the acknowledgment, the row, and the answer to the execution.
CALLS = 4
# The limit; in the table it is a ratio, like the figure.
MOST_MILLISECONDS = 2


def measure() -> list[Figure]:
    """Our own processor time for each job."""
    with endpoint.running(0) as url:
        ours, bare = endpoint.told_by("acknowledge", url)
    over = [mine - theirs for mine, theirs in zip(ours, bare, strict=True)]
    reference = statistics.median(bare)
    return [
        Figure.ratio(
            "Acknowledge, warm: our own processor time per job",
            over,
            bare,
            f"({statistics.median(over):.2f} ms)",
            reference=f"the same four calls with boto3 alone: {reference:.2f} ms",
            at_most=round(MOST_MILLISECONDS / reference, 2),
            tolerance=0.4,
        )
    ]


def main(url: str) -> None:
    """Acknowledge jobs alternately with and without us, and print the milliseconds of both."""
    acknowledge, told = endpoint.function("acknowledge", url, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    from acknowledger.aws import client  # noqa: PLC0415

    event = load_event("acknowledge-job-dispatched")
    event["detail"]["taskToken"] = "t" * 600
    clients = client("dynamodb"), client("codepipeline", retrying=False), client("stepfunctions")
    calls: list[tuple[Any, str, dict[str, Any]]] = []

    def with_us() -> None:
        answer = acknowledge(event)
        if answer != {"status": "InProgress"}:
            raise RuntimeError(answer)

    def without_us() -> None:
        for one, operation, request in calls:
            getattr(one, operation)(**request)

    def note(params: Any, model: Any, **_: Any) -> None:
        operation = xform_name(model.name)
        (one,) = (each for each in clients if hasattr(each, operation))
        calls.append((one, operation, dict(params)))

    for one in clients:
        one.meta.events.register_first("provide-client-params.*.*", note)
    with_us()
    for one in clients:
        one.meta.events.unregister("provide-client-params.*.*", note)
    if len(calls) != CALLS:
        raise RuntimeError(f"{len(calls)} calls")

    times = endpoint.alternately(ROUNDS, JOBS_A_ROUND, with_us, without_us)
    told.write(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1])
