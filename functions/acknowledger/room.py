"""Room for jobs: how many may be in flight, and which is next. Nothing here calls AWS."""

from dataclasses import dataclass, field
from typing import Any

# PollForJobs has no documented maximum; further jobs come with the next batch.
BATCH_SIZE = 100
# Whether a job has room, in its row.
GIVEN, AWAITED = "given", "awaited"


@dataclass(frozen=True)
class Room:
    """The row of one action type in IntakeTable, and its limit.

    action_type: `Owner/Category/Provider/Version`.
    limit: how many jobs may be in flight; 0 for no limit.
    paused: whether an operator has paused intake.
    holders: the executions that have room, by name: `{jobId, since, told}`; told is False until
        an execution that had to wait has certainly been notified.
    waiting: those that wait for room: `{jobId, since}`.
    awaiting: the jobs whose work continues in a job that has not been polled yet, and since when
        that is awaited.
    unshown: the jobs with progress that the pipeline doesn't show yet, likewise.
    """

    action_type: str
    limit: int = 0
    paused: bool = False
    holders: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    awaiting: dict[str, str] = field(default_factory=dict)
    unshown: dict[str, str] = field(default_factory=dict)

    @property
    def unlimited(self) -> bool:
        """Whether jobs need no room."""
        return not self.limit and not self.paused

    @property
    def left(self) -> int:
        """How many more jobs could be taken now, BATCH_SIZE at most."""
        if self.paused or not self.limit:
            return 0 if self.paused else BATCH_SIZE
        return min(BATCH_SIZE, max(0, self.limit - len(self.holders) - len(self.waiting)))

    @property
    def to_ask_for(self) -> int:
        """How many jobs to poll for: 0 means not to poll at all.

        A job that continues one in flight needs no room, but has to be polled too.
        """
        return min(BATCH_SIZE, self.left + len(self.awaiting))

    def to_ask_for_after(self, asked: int, offered: int) -> int:
        """How many jobs to poll for next; without room, twice as many each time.

        As long as batches are full, an awaited job may come after jobs that have no room.
        """
        if self.left or not self.to_ask_for:
            return self.to_ask_for
        return min(BATCH_SIZE, asked * 2) if offered == asked else 0

    @property
    def next(self) -> list[str]:
        """The waiting executions that can have room now, the longest waiting first."""
        if self.paused:
            return []
        in_turn = sorted(self.waiting, key=lambda name: (self.waiting[name]["since"], name))
        return in_turn[: max(0, self.limit - len(self.holders))] if self.limit else in_turn

    @property
    def not_notified(self) -> list[str]:
        """The executions that were given room but may not have been notified."""
        return [name for name, holder in self.holders.items() if not holder["told"]]
