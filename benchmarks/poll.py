"""How long the local CodePipeline's poll takes with few and with many queued jobs.

Two regions of one local CodePipeline have a hundred and ten thousand queued jobs, respectively.
They are polled alternately, one job at a time, so that what else the machine does affects both.
After each round the offered jobs are queued again, so that the queues keep their lengths.
"""

import json
import statistics
import time
from typing import Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from benchmarks.figures import Figure
from moto_codepipeline import JobBackend, ManualClock, backend, testing

ACCOUNT = "123456789012"
TYPE = {"category": "Build", "owner": "Custom", "provider": "Builder", "version": "1"}
FEW, MANY, ROUNDS = 100, 10_000, 20
POLLS_A_ROUND = 50
ACTIONS = 50
# One pipeline can't have more executions in progress.
EXECUTIONS = 50


def ignore(*_: Any) -> None:
    """Drop the events: their delivery is not measured."""


def queued(region: str, count: int) -> JobBackend:
    """A CodePipeline with `count` queued jobs, a multiple of 50."""
    jobs = backend(ACCOUNT, region)
    jobs.clock = ManualClock()
    artifacts = {"minimumCount": 0, "maximumCount": 5}
    jobs.create_custom_action_type(
        {
            **{name: text for name, text in TYPE.items() if name != "owner"},
            "inputArtifactDetails": artifacts,
            "outputArtifactDetails": artifacts,
        }
    )
    actions = [{"name": f"Build{number}", "actionTypeId": TYPE} for number in range(ACTIONS)]
    pipeline = {
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline",
        "artifactStore": {"type": "S3", "location": testing.BUCKET},
        "pipelineType": "V2",
        "executionMode": "PARALLEL",
        "stages": [
            {"name": "Source", "actions": [testing.SOURCE]},
            {"name": "Build", "actions": actions},
        ],
    }
    for number in range(count // ACTIONS):
        name = f"release-{number // EXECUTIONS}"
        if number % EXECUTIONS == 0:
            jobs.create_pipeline({"name": name, **pipeline}, [])
        jobs.start_pipeline_execution(name, None)
    # Jobs are queued a moment after their events.
    jobs.clock.advance(jobs.behaviour.started_before_queued_seconds)
    return jobs


def poll_time(jobs: JobBackend) -> float:
    """Poll for one job; return the microseconds that it took."""
    begun = time.perf_counter_ns()
    offered = jobs.poll_for_jobs(TYPE, 1, None)
    taken = time.perf_counter_ns() - begun
    if len(offered) != 1:
        raise RuntimeError("the queue is empty")
    return taken / 1000


def rounds_of(few: int, many: int, rounds: int) -> tuple[list[float], list[float]]:
    """The microseconds of each poll, with few and with many jobs queued."""
    document = json.dumps({"Statement": testing.STATEMENT})
    with mock_aws(), patch.object(JobBackend, "deliver_event", staticmethod(ignore)):
        iam = boto3.client("iam", region_name="eu-west-1")
        iam.create_role(RoleName="pipeline", AssumeRolePolicyDocument=document)
        s3 = boto3.client("s3", region_name="us-east-1")
        files = {"README.md": b"A source.\n"}
        testing.put_source(s3, testing.SOURCE_BUCKET, testing.SOURCE_KEY, files)
        testing.make_bucket(s3, testing.BUCKET)
        queues = queued("eu-west-1", few), queued("eu-central-1", many)
        times: tuple[list[float], list[float]] = ([], [])
        # The first round warms up, and is not counted.
        for counted in [False] + [True] * rounds:
            for _ in range(POLLS_A_ROUND):
                for jobs, taken in zip(queues, times, strict=True):
                    microseconds = poll_time(jobs)
                    if counted:
                        taken.append(microseconds)
            for jobs in queues:
                jobs.clock.advance(jobs.behaviour.acknowledge_seconds)
                jobs.tick()
        return times


def measure() -> list[Figure]:
    """The ratio of a round with many to one with few."""
    few, many = rounds_of(FEW, MANY, ROUNDS)
    rounds = range(0, len(few), POLLS_A_ROUND)
    ratios = [
        statistics.median(many[begin : begin + POLLS_A_ROUND])
        / statistics.median(few[begin : begin + POLLS_A_ROUND])
        for begin in rounds
    ]
    return [
        Figure.of(
            f"Local CodePipeline: PollForJobs with {MANY:,} jobs queued",
            ratios,
            "×",
            reference=f"with {FEW}: {statistics.median(few):.0f} µs",
            at_most=2,
            tolerance=0.3,
        )
    ]
