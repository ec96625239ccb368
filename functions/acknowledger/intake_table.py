"""IntakeTable: one row per action type, with the executions that have room, and pauses of intake.

Every change is one conditional update of one row, so that two Intakes at once give the same room
only once, and a repeated change does nothing. The executions that have room or wait for it are
named. All functions may raise TableUnavailable.
"""

from typing import Any

from acknowledger.config import config
from acknowledger.room import Room
from acknowledger.table import Table

_TABLE = Table("IntakeTable", "actionType", lambda: config().intake_table_name)
_MAPS = ("holders", "waiting", "awaiting", "unshown")


def read(action_type: str, limit: int) -> Room:
    """An action type's current row, with empty maps to count jobs in if they are limited.

    Args:
        limit: how many of its jobs may be in flight; 0 for no limit.
    """
    row = _TABLE.find(action_type) or {}
    room = Room(action_type, limit, row.get("paused", False), *(row.get(m, {}) for m in _MAPS))
    if not room.unlimited and "holders" not in row:
        _make_maps(action_type)
    return room


def pause(action_type: str, *, paused: bool) -> None:
    """Pause intake for an action type, or resume it."""
    _update(action_type, "SET paused = :paused", {":paused": paused})


def take(room: Room, execution: str, job_id: str, now: str) -> bool:
    """Give an execution room, or else a place in the queue; return whether it has room."""
    holder = {"jobId": job_id, "since": now, "told": True}
    if not room.paused and _update(
        room.action_type,
        "SET holders.#execution = if_not_exists(holders.#execution, :holder)",
        {":holder": holder, ":limit": room.limit, ":nobody": 0},
        # Waiting executions go before new ones.
        "attribute_exists(holders.#execution)"
        " OR (size(holders) < :limit AND size(waiting) = :nobody)",
        execution=execution,
    ):
        return True
    waits = _update(
        room.action_type,
        "SET waiting.#execution = if_not_exists(waiting.#execution, :waiting)",
        {":waiting": {"jobId": job_id, "since": now}},
        "attribute_not_exists(holders.#execution)",
        execution=execution,
    )
    return not waits


def give(room: Room, execution: str) -> bool:
    """Give room to an execution that waits for it, if there is still some."""
    return _update(
        room.action_type,
        "SET holders.#execution = :holder REMOVE waiting.#execution",
        {":holder": {**room.waiting[execution], "told": False}}
        | ({":limit": room.limit} if room.limit else {}),
        "attribute_exists(waiting.#execution)" + (" AND size(holders) < :limit" * bool(room.limit)),
        execution=execution,
    )


def notified(action_type: str, execution: str) -> None:
    """Note that an execution was notified of its room."""
    change, there = "SET holders.#execution.told = :yes", "attribute_exists(holders.#execution)"
    _update(action_type, change, {":yes": True}, there, execution=execution)


def give_back(action_type: str, execution: str) -> None:
    """Release an execution's room or its place in the queue."""
    change, ready = "REMOVE holders.#execution, waiting.#execution", "attribute_exists(holders)"
    _update(action_type, change, {}, ready, execution=execution)


def expect(action_type: str, job_id: str, now: str) -> None:
    """Note that CodePipeline will offer a job that continues the work of this one."""
    _note(action_type, "SET awaiting.#job = :now", job_id, now)


def remind(action_type: str, job_id: str, now: str) -> None:
    """Note that a job has progress that is not shown yet."""
    _note(action_type, "SET unshown.#job = :now", job_id, now)


def forget(action_type: str, job_id: str, now: str) -> None:
    """Note that all progress of a job was shown at that moment."""
    _update(action_type, "REMOVE unshown.#job", {":now": now}, "unshown.#job < :now", job=job_id)


def expect_no_more(action_type: str, job_id: str, since: str) -> None:
    """Note that the job expected since then was offered, or never will be."""
    same = "awaiting.#job = :since"
    _update(action_type, "REMOVE awaiting.#job", {":since": since}, same, job=job_id)


def _note(action_type: str, expression: str, job_id: str, now: str) -> None:
    ready = "attribute_exists(awaiting) AND attribute_exists(unshown)"
    if not _update(action_type, expression, {":now": now}, ready, job=job_id):
        _make_maps(action_type)
        _update(action_type, expression, {":now": now}, ready, job=job_id)


def _make_maps(action_type: str) -> None:
    change = ", ".join(f"{name} = if_not_exists({name}, :none)" for name in _MAPS)
    _update(action_type, f"SET {change}", {":none": {}})


def _update(
    action_type: str,
    expression: str,
    values: dict[str, Any],
    condition: str | None = None,
    **names: str,
) -> bool:
    """Change a row; return whether the condition held. Expressions refer to `names` as `#name`."""
    named = {f"#{name}": of for name, of in names.items()}
    return _TABLE.change(action_type, expression, condition, values, named)[0]
