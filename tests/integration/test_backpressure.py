"""Step Functions throttles StartExecution: the jobs that can't be started are offered again."""

import json
import threading
import time

import pytest

from local import acknowledger
from moto_codepipeline.jobs import JobStatus
from tests.resilience.faults import Call, Fault, Faults
from tests.resilience.witness import Witness
from tests.support import wait_for

JOBS = 20
# So at least five a second.
OFFERED_AGAIN_SECONDS = 4
STARTS_A_SECOND = 1
# A little more than the ten seconds that Intake reserves to finish, and less than all starts take.
INTAKE_TIMEOUT = 12


class Quota:
    """A token bucket for StartExecution, as in Step Functions."""

    def __init__(self) -> None:
        self.tokens, self.refilled = 1.0, time.monotonic()
        self.throttled = 0
        self._lock = threading.Lock()

    def choose(self, call: Call) -> Fault | None:
        if not call.name.startswith("StartExecution"):
            return None
        with self._lock:
            now = time.monotonic()
            self.tokens = min(1.0, self.tokens + (now - self.refilled) * STARTS_A_SECOND)
            self.refilled = now
            if self.tokens >= 1:
                self.tokens -= 1
                return None
            self.throttled += 1
            return "throttled"


@pytest.mark.slow
def test_with_a_fifth_of_the_starts_every_job_is_acknowledged_and_no_invocation_times_out():
    quota = Quota()
    with acknowledger.running(
        worker=False,
        retry_delays=(0.05, 0.05),
        behaviour={
            "started_before_queued_seconds": 0,
            "acknowledge_seconds": OFFERED_AGAIN_SECONDS,
        },
        layers=(Faults(quota.choose).layer,),
    ) as (cloud, stack):
        witness = Witness(cloud, stack)
        intake = stack.outputs["IntakeFunctionName"]
        cloud.client("lambda").update_function_configuration(
            FunctionName=intake, Timeout=INTAKE_TIMEOUT
        )
        actions = [{"name": f"Work{number}", "configuration": {}} for number in range(JOBS)]
        kind = acknowledger.CUSTOM_ACTION_TYPE
        acknowledger.create_pipeline(cloud, "burst", kind, {"Build": actions})
        cloud.client("codepipeline").start_pipeline_execution(name="burst")

        def acknowledged() -> bool:
            jobs = witness.jobs()
            return len(jobs) == JOBS and all(job.status is JobStatus.IN_PROGRESS for job in jobs)

        swept = 0.0

        def swept_until_acknowledged() -> bool:
            nonlocal swept
            if time.monotonic() > swept + 2:
                swept = time.monotonic()
                cloud.schedule.fire()
            return acknowledged()

        wait_for(swept_until_acknowledged, "every job to be acknowledged", seconds=90)
        witness.settle(60, waiting=JOBS)
        working = [
            sum("InProgress" in one.path for one in executions)
            for executions in witness.executions().values()
        ]
        logs = cloud.client("logs").filter_log_events(
            logGroupName="/aws/lambda/acknowledger-intake"
        )
        reports = [
            json.loads(event["message"])["record"]
            for event in logs["events"]
            if "platform.report" in event["message"]
        ]
    assert quota.throttled > JOBS
    assert working == [1] * JOBS
    seconds = [report["metrics"]["durationMs"] / 1000 for report in reports]
    assert len(seconds) > 1
    assert max(seconds) < INTAKE_TIMEOUT
    assert not any("timed out" in event["message"] for event in logs["events"])
