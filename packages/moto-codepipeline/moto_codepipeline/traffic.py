"""Which execution is in each stage of a pipeline, and which ones wait for it.

Documented: a stage runs one execution at a time, and is unlocked when it succeeds, fails or is
stopped. In SUPERSEDED mode one execution waits for a locked stage, and is superseded by a newer one
that arrives; in QUEUED mode all wait, in the order of their arrival; in PARALLEL mode none waits.
An execution that is in a stage is never superseded. While the transition to a stage is disabled,
all wait.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Generic, Protocol, TypeVar

SUPERSEDING, PARALLEL = "SUPERSEDED", "PARALLEL"


class Run(Protocol):
    """An execution, as far as it matters here."""

    @property
    def execution_mode(self) -> str: ...


AnyRun = TypeVar("AnyRun", bound=Run)


class Traffic(Generic[AnyRun]):
    """The executions of one pipeline. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._inside: dict[str, AnyRun] = {}
        self._waiting: dict[str, list[AnyRun]] = defaultdict(list)
        self._transitions: dict[str, dict[str, Any]] = {}

    def enter(self, stage_name: str, execution: AnyRun) -> bool:
        """Lock a stage for an execution. False: it is locked, or its transition is disabled."""
        return self.transition(stage_name)["enabled"] and self.claim(stage_name, execution)

    def claim(self, stage_name: str, execution: AnyRun) -> bool:
        """Lock a stage for an execution, even if its transition is disabled."""
        if execution.execution_mode == PARALLEL:
            return True
        return self._inside.setdefault(stage_name, execution) is execution

    def wait(self, stage_name: str, execution: AnyRun) -> list[AnyRun]:
        """Make an execution wait for a locked stage; return those that it supersedes."""
        waiting = self._waiting[stage_name]
        superseded = list(waiting) if execution.execution_mode == SUPERSEDING else []
        self._waiting[stage_name] = [each for each in waiting if each not in superseded]
        self._waiting[stage_name].append(execution)
        return superseded

    def leave(self, stage_name: str, execution: AnyRun) -> None:
        """Unlock a stage, if the execution is in it."""
        if self._inside.get(stage_name) is execution:
            del self._inside[stage_name]

    def admit(self) -> list[AnyRun]:
        """Lock each free stage for the execution that has waited longest; return these."""
        admitted = []
        for name, waiting in self._waiting.items():
            while waiting and self.enter(name, waiting[0]):
                admitted.append(waiting.pop(0))
        return admitted

    def forget(self, execution: AnyRun) -> None:
        """Remove a waiting execution from its queue."""
        for waiting in self._waiting.values():
            if execution in waiting:
                waiting.remove(execution)

    def set_transition(self, stage_name: str, state: dict[str, Any]) -> None:
        """Enable or disable a stage's transition, with the API's ``TransitionState``."""
        self._transitions[stage_name] = state

    def transition(self, stage_name: str) -> dict[str, Any]:
        """The API's ``TransitionState`` of the transition to a stage."""
        return self._transitions.get(stage_name, {"enabled": True})

    def before(self, stage_name: str) -> list[AnyRun]:
        """The executions that wait for a stage, the next one first."""
        return list(self._waiting.get(stage_name, ()))
