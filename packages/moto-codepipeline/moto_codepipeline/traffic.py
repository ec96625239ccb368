"""Which execution works in each stage of a pipeline, and which wait before it.

Documented: a stage works on one execution at a time, and is unlocked when it succeeds, fails or is
stopped. In the mode SUPERSEDED one execution waits before a locked stage, and a newer one that
arrives takes its place; in the mode QUEUED all wait, in the order of their arrival; in the mode
PARALLEL none does. An execution that works in a stage is never superseded.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runs import PipelineRun, StageRun

SUPERSEDING, PARALLEL = "SUPERSEDED", "PARALLEL"


class Traffic:
    """The executions of one pipeline. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._inside: dict[str, PipelineRun] = {}
        self._waiting: dict[str, list[PipelineRun]] = defaultdict(list)

    def enter(self, stage: StageRun) -> bool:
        """Lock a stage for its execution. False: another one has it."""
        if stage.run.execution_mode == PARALLEL:
            return True
        return self._inside.setdefault(stage.name, stage.run) is stage.run

    def wait(self, stage: StageRun) -> list[PipelineRun]:
        """Let an execution wait before a locked stage; answers those that it supersedes."""
        waiting = self._waiting[stage.name]
        superseded = list(waiting) if stage.run.execution_mode == SUPERSEDING else []
        self._waiting[stage.name] = [each for each in waiting if each not in superseded]
        self._waiting[stage.name].append(stage.run)
        return superseded

    def leave(self, stage: StageRun) -> None:
        """Unlock a stage, if its execution has it."""
        if self._inside.get(stage.name) is stage.run:
            del self._inside[stage.name]

    def admit(self) -> list[PipelineRun]:
        """Lock each free stage for whoever has waited for it longest; answers those executions."""
        admitted = []
        for name, waiting in self._waiting.items():
            if waiting and name not in self._inside:
                self._inside[name] = waiting.pop(0)
                admitted.append(self._inside[name])
        return admitted

    def forget(self, run: PipelineRun) -> None:
        """Take an execution that waits out of its queue."""
        for waiting in self._waiting.values():
            if run in waiting:
                waiting.remove(run)

    def before(self, stage_name: str) -> list[PipelineRun]:
        """The executions that wait before a stage, the one that enters next first."""
        return list(self._waiting.get(stage_name, ()))
