"""Intake's upkeep: gives room to waiting executions, and finds jobs that missed an event."""

from collections.abc import Mapping
from typing import Any

from acknowledger import bus, executions, intake_table, job_table
from acknowledger.log import logger
from acknowledger.moments import ago, seconds_since
from acknowledger.room import GIVEN, Room

# A younger entry's execution may be about to start.
LEAK_SECONDS = 120
# A job awaited for a day is given up.
AWAITED_SECONDS = 24 * 3600


def give_room(room: Room) -> Room:
    """Give free room to the executions that wait for it; return the new state.

    Raises:
        TableUnavailable, StepFunctionsUnavailable
    """
    for execution in room.not_notified:
        _notify(room, execution, room.holders[execution])
    given = [execution for execution in room.next if intake_table.give(room, execution)]
    for execution in given:
        _notify(room, execution, room.waiting[execution])
    return intake_table.read(room.action_type, room.limit) if given else room


def heal(room: Room) -> Room:
    """Release the room of executions that ended unnoticed, if needed; return the new state.

    Raises:
        TableUnavailable, StepFunctionsUnavailable
    """
    _forget_awaited(room)
    if (room.limit and room.left) or not _heal_leaks(room):
        return room
    return intake_table.read(room.action_type, room.limit)


def look_after() -> dict[str, int]:
    """Have Stop check the jobs that are due, and count those in flight.

    Returns:
        the metrics JobsInFlight, of all action types, and OldestJobAge, in seconds.

    Raises:
        TableUnavailable, BusUnavailable
    """
    found = job_table.survey()
    bus.put("Job Due", *({"jobId": job_id} for job_id in found.due))
    oldest = round(seconds_since(found.oldest)) if found.oldest else 0
    return {"JobsInFlight": found.in_flight, "OldestJobAge": oldest}


def _notify(room: Room, execution: str, entry: Mapping[str, Any]) -> None:
    """Let an execution go on that has room now.

    While it may still write its row again, the next Intake notifies it again. If a newer offer has
    the row now, or another acknowledged it, the execution needs no room: it will stand down.
    """
    row = job_table.update(
        entry["jobId"],
        "SET room = :given",
        condition="#execution = :execution",
        values={":given": GIVEN, ":execution": executions.arn_of(execution)},
    )
    if row is None:
        row = job_table.find(entry["jobId"])
        acknowledged = row and row["status"] not in job_table.UNACKNOWLEDGED
        if row and (acknowledged or row["offeredAt"] > entry["since"]):
            intake_table.give_back(room.action_type, execution)
        return
    if "roomToken" in row:
        executions.succeed(row["roomToken"])
    elif row["status"] in ("Created", "Queued"):
        return
    if room.limit:
        intake_table.notified(room.action_type, execution)
    else:
        intake_table.give_back(room.action_type, execution)


def _heal_leaks(room: Room) -> bool:
    """Release the room of executions that are no longer running; return whether any were."""
    present = {**room.holders, **room.waiting}
    old = {name for name, entry in present.items() if entry["since"] < ago(LEAK_SECONDS)}
    if not old:
        return False
    unseen = old - executions.running()
    leaks = [name for name in unseen if not executions.is_running(executions.arn_of(name))]
    for name in leaks:
        logger.warning("Room of an ended execution released", execution=name)
        intake_table.give_back(room.action_type, name)
    return bool(leaks)


def _forget_awaited(room: Room) -> None:
    """Stop waiting for jobs and progress that have not come for a day, or have come."""
    for job_id, since in room.unshown.items():
        if since < ago(AWAITED_SECONDS):
            intake_table.forget(room.action_type, job_id, ago(AWAITED_SECONDS))
    for job_id, since in room.awaiting.items():
        row = job_table.find(job_id)
        joined = row and row["status"] == "InProgress" and "continuing" not in row
        if joined or since < ago(AWAITED_SECONDS):
            intake_table.expect_no_more(room.action_type, job_id, since)
