"""Room for jobs: how many may be in flight, and whose turn it is. Nothing here calls AWS."""

from dataclasses import dataclass, field
from typing import Any

# PollForJobs has no documented maximum; what it gives back beyond a batch comes with the next.
BATCH_SIZE = 100
# What a job's row says of its room.
GIVEN, AWAITED = "given", "awaited"


@dataclass(frozen=True)
class Room:
    """What IntakeTable has of one action type, and its limit.

    action_type: `Owner/Category/Provider/Version`.
    limit: how many jobs may be in flight; 0 is as many as there are.
    paused: whether an operator has stopped intake.
    holders: the executions that have room, by name: `{jobId, since, told}`; told is False until
        one that had to wait is known to have been told.
    waiting: those that wait for some: `{jobId, since}`.
    awaiting: the jobs whose work is to be continued by a job that has not been polled yet, with
        the moment since when.
    unshown: the jobs whose worker has told progress that the pipeline doesn't show yet, likewise.
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
        """Whether nobody needs to ask for room."""
        return not self.limit and not self.paused

    @property
    def left(self) -> int:
        """How many more jobs could be taken now, BATCH_SIZE at most."""
        if self.paused or not self.limit:
            return 0 if self.paused else BATCH_SIZE
        return min(BATCH_SIZE, max(0, self.limit - len(self.holders) - len(self.waiting)))

    @property
    def to_ask_for(self) -> int:
        """How many jobs to ask CodePipeline for: 0 is not to ask at all.

        A job that continues one in flight needs no room, but only asking brings it.
        """
        return min(BATCH_SIZE, self.left + len(self.awaiting))

    def to_ask_for_after(self, asked: int, offered: int) -> int:
        """How many more to ask for after so many were: where no room is left, more and more.

        What is awaited may stand behind what there is no room for, as long as batches are full.
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
    def untold(self) -> list[str]:
        """The executions that were given room and may not know it."""
        return [name for name, holder in self.holders.items() if not holder["told"]]
