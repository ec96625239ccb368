"""The whole stack on this machine: the time to acknowledgment, the throughput, and what a job needs
in AWS: state transitions, calls, and their price.
"""

import json
import os
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from moto.logs.models import logs_backends

from benchmarks import endpoint
from benchmarks.figures import Figure
from benchmarks.prices import cost
from local import acknowledger
from local.aws.server import LocalCloud
from moto_codepipeline.jobs import Job, JobBoard, JobStatus
from tests.resilience.faults import Call, Faults
from tests.resilience.witness import Execution, Witness
from tests.support import wait_for

PACED_JOBS = 60
PACE_SECONDS = 0.4
MANY_JOBS = 1000
ACTIONS = 10
IN_FLIGHT = 60
IDLE_SECONDS = 20
WARM_AFTER = 200
# A function's memory, and how long each of its calls is assumed to wait, as in Intake's benchmark.
GIGABYTES = 0.25
CALL_SECONDS = 0.05
# What Step Functions logs for one event of an execution, without its data; a generous estimate.
LOGGED_BYTES = 600


class Bench:
    """The running stack, with counts of its calls."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.reached: dict[str, dict[JobStatus, float]] = defaultdict(dict)
        self.pipelines = 0
        self.cloud: LocalCloud
        self.witness: Witness

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the stack; record every call and the times of every job's statuses."""
        enter = JobBoard._enter

        def noting(board: JobBoard, job: Job, status: JobStatus) -> Any:
            self.reached[job.id].setdefault(status, time.monotonic())
            return enter(board, job, status)

        def count(call: Call) -> None:
            self.calls[call.caller, call.name.partition(" #")[0]] += 1

        with (
            patch.object(JobBoard, "_enter", noting),
            acknowledger.running(
                parameters={"ProgressIntervalSeconds": "1"},
                behaviour={"continuation_seconds": 0},
                layers=(Faults(count).layer,),
            ) as (cloud, stack),
        ):
            self.cloud = cloud
            self.witness = Witness(cloud, stack)
            yield

    def start(self, configuration: dict[str, str], actions: int = 1) -> str:
        """Start a pipeline whose actions have this configuration; return its name."""
        self.pipelines += 1
        name = f"pipeline-{self.pipelines}"
        stage = [{"name": f"Work{n}", "configuration": configuration} for n in range(actions)]
        self.witness.start(name, acknowledger.CUSTOM_ACTION_TYPE, stage)
        return name

    def ended(self) -> int:
        """How many jobs have ended."""
        return sum(1 for job in self.witness.jobs() if job.status.ended)

    def wait(self, jobs: int) -> None:
        """Wait until this many jobs and all their executions have ended."""

        def over() -> bool:
            return self.ended() >= jobs and not self.witness.running()

        wait_for(over, f"the end of {jobs} jobs", seconds=60)

    def paths(self, pipeline: str) -> list[Execution]:
        """The executions of a pipeline's jobs."""
        jobs = [job for job in self.witness.jobs() if job.action.run.pipeline_name == pipeline]
        return [one for job in jobs for one in self.witness.executions_in_order(job.id)]


def measure() -> list[Figure]:
    """All figures of the stack."""
    bench = Bench()
    with bench.running():
        bench.start({})
        bench.wait(1)
        idle = at_rest()
        waited, second, writes, bill = paced(bench)
        long = bench.start({"Seconds": "60"})
        calls = bench.calls.copy()
        rate, own, growth = many(bench)
        bare = bare_moto(bench.calls - calls)
        told = bench.start({"Seconds": "3", "Progress": "1"})
        bench.wait(PACED_JOBS + MANY_JOBS + 4)
        (minute,) = bench.paths(long)
        continued = bench.paths(told)
    further = [len(one.path) for one in continued if "InProgress" not in one.path]
    once = cost(bill)
    if len(set(minute.path)) < len(minute.path):
        raise RuntimeError(f"a long job enters a state twice: {minute.path}")
    transitions = {
        "a second": second,
        "a minute": len(minute.path),
        # No state is entered twice, however long the worker takes.
        "23 hours, by the definition": len(minute.path),
    }
    joined = statistics.mean(further)
    # Two jobs. The second takes another path through the state machine. The first does too if its
    # worker ends in the minute between them.
    of_day = 2 * once + cost({"state transitions": joined - second})
    return [
        *(
            Figure(
                f"State transitions of a job of {length}",
                count,
                "",
                reference="a state machine that polls: 79 for ten minutes",
                at_most=7,
                digits=0,
            )
            for length, count in transitions.items()
        ),
        Figure(
            "State transitions of each further job that continues work, after 23 hours",
            joined,
            "",
            reference="the same",
            at_most=4,
            digits=0,
        ),
        Figure("Writes of a job's row", writes, "", at_most=4, digits=0),
        Figure("Writes of its entries in the indexes", 2 * writes, "", at_most=9, digits=0),
        Figure(
            "AWS's price of 1,000 jobs that last a second, a minute or 23 hours",
            once * 1000,
            "USD",
            reference="a state machine that polls: 2.00 at ten minutes, 9.56 at an hour",
            at_most=0.24,
            tolerance=0.1,
            digits=3,
        ),
        Figure(
            "AWS's price of 1,000 jobs of longer actions, with one job for each 23 hours",
            of_day / 2 * 1000,
            "USD",
            reference="the same",
            at_most=0.24,
            tolerance=0.1,
            digits=3,
        ),
        Figure(
            "Local stack: from when a job can be polled to its acknowledgment, p99",
            statistics.quantiles(waited, n=100)[98],
            f"s (median {statistics.median(waited):.2f})",
            reference=f"one job every {PACE_SECONDS} s, with its event",
            runs=len(waited),
            at_most=2,
            tolerance=0.6,
        ),
        Figure(
            f"Local stack: {MANY_JOBS:,} jobs from start to end",
            bare / own,
            f"× ({rate:.1f} jobs per second)",
            reference="jobs per processor second if each only made its calls to DynamoDB and "
            f"EventBridge, on unchanged moto: {1 / bare:.1f}",
            at_least=0.02,
            tolerance=0.5,
        ),
        Figure(
            "Local stack: processor use while idle",
            idle * 100,
            "%",
            at_most=1,
            tolerance=0.5,
        ),
        Figure(
            f"Local stack: memory after {MANY_JOBS:,} jobs",
            growth,
            "×",
            reference=f"after {WARM_AFTER}",
            at_most=1.1,
            tolerance=0.1,
        ),
    ]


def paced(bench: Bench) -> tuple[list[float], int, float, dict[str, float]]:
    """Jobs one after another: the seconds until each is acknowledged, its state transitions, the
    writes of its row, and what a job needs in AWS."""
    before, known = bench.calls.copy(), {job.id for job in bench.witness.jobs()}
    told_before = logged(bench)
    for _ in range(PACED_JOBS):
        bench.start({"Seconds": "1"})
        time.sleep(PACE_SECONDS)
    bench.wait(PACED_JOBS + len(known))
    jobs = [job.id for job in bench.witness.jobs() if job.id not in known]
    count = len(jobs)
    times = [bench.reached[job] for job in jobs]
    waited = [each[JobStatus.IN_PROGRESS] - each[JobStatus.QUEUED] for each in times]
    executions = bench.witness.executions()
    histories = [one.to_history_output()["events"] for one in bench.witness._executions()]
    happened = statistics.mean(map(len, histories)) * count
    paths = [one.path for job in jobs for one in executions[job]]
    calls = bench.calls - before
    told = logged(bench) - told_before
    rows = bench.witness.rows()
    size = statistics.mean(len(json.dumps(rows[job])) for job in jobs)
    writes = sum(n for (_, name), n in calls.items() if name.startswith(("Update", "Delete")))
    units = -(-size // 1024)
    of_functions = sum(n for (who, _), n in calls.items() if not who.endswith(" state"))
    bill = {
        "state transitions": sum(map(len, paths)) / count,
        "function invocations": told["invocations"] / count,
        "GB-seconds": GIGABYTES
        * (told["milliseconds"] / 1000 + of_functions * CALL_SECONDS)
        / count,
        # Each write sets a status: it writes the row, and in ByStatus the old and the new entry, of
        # 1 KB at most each. The first write has no old entry, but one in the other index.
        "write units": (units + 2) * writes / count,
        "read units": sum(n for (_, name), n in calls.items() if name.startswith(("Get", "Query")))
        * units
        / count,
        "events put": sum(n for (_, name), n in calls.items() if name == "PutEvents") / count,
        "GB of logs": (told["bytes"] + happened * LOGGED_BYTES) / count / 2**30,
        # Every trace, although X-Ray samples one per second and 5% of the rest.
        "traces": (told["invocations"] + len(paths)) / count,
    }
    (transitions,) = {len(path) for path in paths}
    return waited, transitions, writes / count, bill


def bare_moto(calls: Counter[tuple[str, str]]) -> float:
    """The processor seconds of a job's calls to the tables and buses, on unchanged moto."""
    counts: Counter[str] = Counter()
    for (_, name), number in calls.items():
        if name in ("UpdateItem", "GetItem", "PutEvents"):
            counts[name] += number
    asked = [f"{name}={number / MANY_JOBS}" for name, number in counts.items()]
    return float(endpoint.told_by("bare_moto", *asked))


def at_rest() -> float:
    """The share of a processor that this process uses while idle."""
    begun, used = time.monotonic(), time.process_time()
    time.sleep(IDLE_SECONDS)
    return (time.process_time() - used) / (time.monotonic() - begun)


def many(bench: Bench) -> tuple[float, float, float]:
    """Many jobs: how many end per second, this process's processor seconds for each, and the ratio
    of the memory at the end to that after some jobs."""
    begun, used, before = time.monotonic(), time.process_time(), bench.ended()
    started, warm, least = 0, 0.0, before
    while least < MANY_JOBS + before:
        if started < MANY_JOBS and started + before - least < IN_FLIGHT:
            bench.start({}, ACTIONS)
            started += ACTIONS
        else:
            time.sleep(0.1)
        least = bench.ended()
        if not warm and least - before >= WARM_AFTER:
            warm = memory()
        if time.monotonic() > begun + 600:
            raise TimeoutError(f"{least - before} jobs have ended")
    own = (time.process_time() - used) / MANY_JOBS
    return MANY_JOBS / (time.monotonic() - begun), own, memory() / warm


def memory() -> float:
    """The kilobytes of this process, of the one that starts functions, and of the functions."""
    parents, kilobytes = {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            found = dict(re.findall(r"^(Pid|PPid|VmRSS):\s+(\d+)", path.read_text(), re.M))
        except OSError:  # it has ended
            continue
        parents[found["Pid"]] = found["PPid"]
        kilobytes[found["Pid"]] = float(found.get("VmRSS", 0))
    family = {str(os.getpid())}
    for _ in range(2):
        family |= {pid for pid, parent in parents.items() if parent in family}
    return sum(kilobytes[pid] for pid in family)


def logged(bench: Bench) -> Counter[str]:
    """What the functions have logged so far: invocations, billed milliseconds, bytes."""
    told: Counter[str] = Counter()
    logs = logs_backends[bench.cloud.account_id][bench.cloud.region]
    for name, group in logs.groups.items():
        if not name.startswith("/aws/lambda/"):
            continue
        for stream in group.streams.values():
            for event in stream.events:
                # As CloudWatch counts bytes.
                told["bytes"] += len(event.message.encode()) + 26
                if '"platform.report"' in event.message:
                    figures = json.loads(event.message)["record"]["metrics"]
                    told["milliseconds"] += figures["billedDurationMs"]
                    told["invocations"] += 1
    return told
