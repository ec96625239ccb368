"""`make demo`: runs a pipeline of custom and partner actions, and checks all three outcomes.

For each action it compares the job table, Step Functions and CodePipeline.
"""

import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local import acknowledger
from local.aws.server import LocalCloud
from local.page import PATH
from local.progress import Progress

Client = Callable[[str], Any]

SECONDS = 120
SWEEP_SECONDS = 2
# An execution ends after its job's row.
END_SECONDS = 30
COLUMNS = 79
PARTNER = acknowledger.action_type_id(acknowledger.PARTNER_ACTION_TYPE)
STATUSES = ("Created", "Queued", "Dispatched", "InProgress")

# Outcome in the action's configuration -> status in the table, the execution and CodePipeline.
ENDS = {
    "Succeed": ("Succeeded", "SUCCEEDED", "Succeeded"),
    "Fail": ("Failed", "FAILED", "Failed"),
    "Hang": ("TimedOut", "FAILED", "Failed"),
}


def declare(name: str, outcome: str, order: int = 1, **configuration: str) -> dict[str, Any]:
    return {
        "name": name,
        "runOrder": order,
        "configuration": {"Outcome": outcome, **configuration},
    }


STAGES: dict[str, list[dict[str, Any]]] = {
    "Build": [
        declare("Compile", "Succeed", Seconds="1"),
        declare("Document", "Succeed"),
        declare("Package", "Succeed", order=2),
    ],
    "Test": [
        *(declare(f"Unit-{n}", "Succeed") for n in range(1, 5)),
        declare("Slow", "Succeed", Seconds="4"),
        declare("Beating", "Succeed", Seconds="5", HeartbeatTimeoutSeconds="4"),
        declare("Broken", "Fail"),
        declare("Broken-late", "Fail", Seconds="2"),
        declare("Stuck", "Hang", JobTimeoutSeconds="3"),
        declare("Silent", "Hang", HeartbeatTimeoutSeconds="3"),
        *(
            {**each, "actionTypeId": PARTNER}
            for each in (
                declare("Partner-good", "Succeed", Seconds="1"),
                declare("Partner-bad", "Fail"),
                declare("Partner-stuck", "Hang", JobTimeoutSeconds="3"),
            )
        ),
    ],
}


@dataclass(frozen=True)
class Comparison:
    """An action's configured outcome, and its status in the table, execution and CodePipeline."""

    action: str
    asked: str
    row: str
    execution: str
    codepipeline: str
    path: tuple[str, ...]

    def objection(self) -> str:
        """What is wrong, or "" if nothing is."""
        row, execution, codepipeline = ENDS[self.asked]
        if (self.row, self.execution, self.codepipeline) != (row, execution, codepipeline):
            return (
                f"{self.action} was asked to {self.asked}, but the table says {self.row}, the "
                f"execution {self.execution} and CodePipeline {self.codepipeline}"
            )
        if [state for state in self.path if state in (*STATUSES, row)] != [*STATUSES, row]:
            return f"{self.action} took another path: {' → '.join(self.path)}"
        return ""


def main() -> int:
    """Run the demo; the exit status is 0 if everything agrees, else 1."""
    began = time.monotonic()
    print("Starting the stack of template.yaml on this machine …")
    with acknowledger.running() as (cloud, stack):
        print(f"… {cloud.endpoint_url}, ready after {time.monotonic() - began:.1f} s")
        print(f"… watch it: {cloud.endpoint_url}{PATH}")
        actions = [action for stage in STAGES.values() for action in stage]
        partners = sum("actionTypeId" in action for action in actions)
        print()
        say(
            f"The pipeline `demo` has {len(actions) - partners} custom actions and {partners} "
            "partner actions. Each becomes a job. No event announces a partner's job: the sweep "
            f"that finds them runs every {SWEEP_SECONDS} seconds here, not every minute."
        )
        print()
        execution_id = start(cloud)
        table, sweep = stack.outputs["JobTableName"], sweeper(cloud)
        rows = watch(cloud.client, table, "demo", execution_id, len(actions), step=sweep)
        comparisons = [
            compare(
                cloud.client,
                "demo",
                execution_id,
                rows,
                name=action["name"],
                asked=action["configuration"]["Outcome"],
            )
            for action in actions
        ]
        show(rows, comparisons)
        status = pipeline_status(cloud.client, "demo", execution_id)
    objections = [words for comparison in comparisons if (words := comparison.objection())]
    if status != "Failed":
        objections.append(f"CodePipeline says that the pipeline is {status}, not Failed")
    for words in objections:
        say(f"✗ {words}", 2)
    if not objections:
        say(
            f"✓ {len(comparisons)} jobs: the table, the executions and CodePipeline agree, and "
            "each job ended as its configuration asked.",
            2,
        )
    print(f"{time.monotonic() - began:.0f} s in total.")
    return 1 if objections else 0


def say(text: str, indent: int = 0) -> None:
    """Print a text wrapped to `COLUMNS`; lines after the first are indented by so many spaces."""
    lines = textwrap.wrap(text, COLUMNS, subsequent_indent=" " * indent, break_on_hyphens=False)
    print("\n".join(lines))


def start(cloud: LocalCloud) -> str:
    """Create and start the pipeline; return the id of its execution."""
    acknowledger.create_pipeline(cloud, "demo", acknowledger.CUSTOM_ACTION_TYPE, STAGES)
    started = cloud.client("codepipeline").start_pipeline_execution(name="demo")
    return str(started["pipelineExecutionId"])


def sweeper(cloud: LocalCloud) -> Callable[[], None]:
    """A function that starts the sweep if the last one was more than SWEEP_SECONDS ago."""
    swept = time.time()

    def sweep() -> None:
        nonlocal swept
        if time.time() - swept > SWEEP_SECONDS:
            swept = time.time()
            cloud.schedule.fire()

    return sweep


def watch(
    client: Client,
    table: str,
    pipeline: str,
    execution_id: str,
    jobs: int,
    *,
    step: Callable[[], None],
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Print every status when it is seen, until the pipeline has ended; return the rows by action.

    Args:
        table: the JobTable.
        jobs: how many jobs the pipeline has.
        step: is called before each look.
        seconds: the time limit.
    """
    rows = scanner(client, table)
    shown: set[tuple[str, str]] = set()
    progress = Progress()
    began = time.monotonic()
    while True:
        since = time.monotonic() - began
        step()
        ended = pipeline_status(client, pipeline, execution_id) != "InProgress"
        found = {
            row["actionName"]["S"]: row
            for row in rows()
            if row["pipelineName"]["S"] == pipeline
            # CodePipeline does not tell a partner the execution.
            and row["pipelineExecutionId"]["S"] in ("", execution_id)
        }
        over = [row for row in found.values() if row["status"]["S"] not in STATUSES]
        moves = sorted(
            (moment, action, status)
            for action, row in found.items()
            for status, moment in times(row).items()
            if (action, status) not in shown
        )
        for _, action, status in moves:
            shown.add((action, status))
            progress.line(f"  {since:5.1f} s  {action:14} {indent(status)}{status}", status)
        in_flight = [row for row in found.values() if row not in over]
        progress.show(so_far(since, len(over), jobs, in_flight))
        if (ended and len(over) == jobs) or since > seconds:
            progress.end()
            return found
        time.sleep(0.1)


def pipeline_status(client: Client, pipeline: str, execution_id: str) -> str:
    """The status of a pipeline execution."""
    answer = client("codepipeline").get_pipeline_execution(
        pipelineName=pipeline, pipelineExecutionId=execution_id
    )
    return str(answer["pipelineExecution"]["status"])


def scanner(client: Client, table: str) -> Callable[[], Iterator[dict[str, Any]]]:
    """A function that reads all rows of the table."""
    pages = client("dynamodb").get_paginator("scan")

    def rows() -> Iterator[dict[str, Any]]:
        for page in pages.paginate(TableName=table):
            yield from page["Items"]

    return rows


def times(row: dict[str, Any]) -> dict[str, float]:
    """When a job reached each of its statuses, in seconds since the epoch."""
    return {
        status: datetime.fromisoformat(value["S"].replace("Z", "+00:00")).timestamp()
        for status, value in row["times"]["M"].items()
    }


def told(rows: Iterable[dict[str, Any]]) -> str:
    """The number of jobs in each status, as text."""
    statuses = sorted(row["status"]["S"] for row in rows)
    return ", ".join(f"{statuses.count(each)} {each}" for each in dict.fromkeys(statuses))


def so_far(seconds: float, over: int, jobs: int, in_flight: list[dict[str, Any]]) -> str:
    """The progress line: how many jobs have ended, and the number of others in each status."""
    told_now = f" · {told(in_flight)}" if in_flight else ""
    return f"  {seconds:5.1f} s  {over} of {jobs} ended{told_now}"


def indent(status: str) -> str:
    """The indentation of a status: later statuses are further to the right."""
    return "  " * (STATUSES.index(status) if status in STATUSES else len(STATUSES))


def compare(
    client: Client, pipeline: str, execution_id: str, rows: dict[str, Any], *, name: str, asked: str
) -> Comparison:
    """Read an action's status from the table, Step Functions and CodePipeline."""
    said = {
        detail["actionName"]: detail["status"]
        for page in client("codepipeline")
        .get_paginator("list_action_executions")
        .paginate(pipelineName=pipeline, filter={"pipelineExecutionId": execution_id})
        for detail in page["actionExecutionDetails"]
    }
    if name not in rows:
        return Comparison(name, asked, "nothing", "nothing", said.get(name, "nothing"), ())
    row = rows[name]
    step_functions = client("stepfunctions")
    arn = row["execution"]["S"]
    end = time.monotonic() + (0 if row["status"]["S"] in STATUSES else END_SECONDS)
    while True:
        execution = step_functions.describe_execution(executionArn=arn)["status"]
        if execution != "RUNNING" or time.monotonic() > end:
            break
        time.sleep(0.1)
    history = step_functions.get_paginator("get_execution_history").paginate(executionArn=arn)
    return Comparison(
        action=name,
        asked=asked,
        row=row["status"]["S"],
        execution=execution,
        codepipeline=said.get(name, "nothing"),
        path=tuple(
            event["stateEnteredEventDetails"]["name"]
            for page in history
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ),
    )


def show(rows: dict[str, Any], comparisons: list[Comparison]) -> None:
    """Print each job's statuses with their times, and its status in the three places."""
    print("\nEach job's statuses, in seconds after the first one:\n")
    for comparison in comparisons:
        if comparison.action not in rows:
            continue
        row = rows[comparison.action]
        reached = sorted(times(row).items(), key=lambda item: item[1])
        first = reached[0][1]
        way = " → ".join(
            f"{status} {moment - first:.1f}" if moment > first else status
            for status, moment in reached
        )
        print(f"  {comparison.action} (asked to {comparison.asked})")
        for words in (
            way,
            f"table {comparison.row}, execution {comparison.execution}, "
            f"CodePipeline {comparison.codepipeline}",
            *([f"{row['error']['S']}: {row['cause']['S']}"] if "cause" in row else []),
        ):
            say(f"    {words}", 6)
    durations = sorted(max(times(row).values()) - min(times(row).values()) for row in rows.values())
    if durations:
        quickest, slowest = durations[0], durations[-1]
        print()
        how_long = f"the fastest took {quickest:.1f} s, the slowest {slowest:.1f} s"
        say(f"{told(rows.values())}; {how_long}")
