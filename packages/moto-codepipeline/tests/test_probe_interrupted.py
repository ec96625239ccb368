"""The probe, interrupted at a call: the next run removes what is left, and changes nothing else.

A run goes on to its end. At each chosen call, a fork of its process is interrupted instead, as soon as
the call has been carried out, and then cleans up; so every point is tried in one run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from codepipeline_fixtures import REGION
from moto_codepipeline.probe import __main__ as command
from moto_codepipeline.probe.calls import Calls
from moto_codepipeline.probe.place import Place
from moto_codepipeline.probe.questions import QUESTIONS, Question
from moto_codepipeline.probe.run import Record, run
from probing import Asked, asked, left, make_neighbors


class KilledError(BaseException):
    """The program was killed: it makes no further call."""


Point = tuple[str, str, type[BaseException]]
"""A question, a call, and how the program is interrupted after it."""


class Interruptions:
    """Interrupts a fork of this process after each call that is chosen.

    ``choose`` gets a question and a call, and returns how to interrupt it there. ``tried`` has all
    interruptions, ``failed`` those after which something was left or changed.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        choose: Callable[[str, str], Iterable[type[BaseException]]],
    ) -> None:
        self.choose = choose
        self.tried: list[Point] = []
        self.failed: list[Point] = []
        self.how: type[BaseException] | None = None
        self.removing = self.while_removing = False
        made, remove = Calls.once, Place.remove

        def once(calls: Calls, service: str, operation: str, *more: Any, **request: Any) -> Any:
            if self.how is KilledError:
                raise KilledError
            answer = made(calls, service, operation, *more, **request)
            if self.how is None:
                self.interrupt(calls.question, f"{service} {operation}")
            return answer

        def removed(place: Place) -> list[str]:
            self.removing = True
            found = remove(place)
            self.removing = False
            return found

        monkeypatch.setattr(Calls, "once", once)
        monkeypatch.setattr(Place, "remove", removed)

    def interrupt(self, question: str, call: str) -> None:
        for how in self.choose(question, call):
            self.tried.append((question, call, how))
            if (child := os.fork()) == 0:
                self.how, self.while_removing = how, self.removing
                raise how
            if os.waitpid(child, 0)[1]:
                self.failed.append(self.tried[-1])

    def run(self, there: Asked, folder: Path, questions: list[Question] = QUESTIONS) -> None:
        """A run of the questions. A fork ends here, with status 0 if it cleans up."""
        before = everything(there)
        try:
            run(there.probe(), Record(folder / "behaviour.toml", "AWS", REGION), questions, quietly)
        except (KilledError, KeyboardInterrupt):
            if self.how is None:
                raise
            alone = self.how is KeyboardInterrupt and not self.while_removing
            self.how = SystemExit  # no further interruptions
            if not alone and len(self.tried) % 2:
                options = [
                    "--region",
                    REGION,
                    "--clean",
                    "--yes",
                    "--output",
                    str(folder / "clean.toml"),
                ]
                command.begin(command.parser().parse_args(options))
            elif not alone:
                run(there.probe(), Record(folder / "next.toml", "AWS", REGION), [], quietly)
            os._exit(everything(there) != before)
        finally:
            if self.how is not None:
                os._exit(2)
        assert everything(there) == before


def quietly(_: str) -> None:
    pass


def everything(there: Asked) -> tuple[list[str], list[Any]]:
    """The resources there are, and the state of the pipelines."""
    return left(there.service), list(there.service.overview())


WAYS: tuple[type[BaseException], ...] = (KeyboardInterrupt, KilledError)


@pytest.fixture
def there() -> Iterator[Asked]:
    with asked({}, served=False) as made:
        make_neighbors(made)
        yield made


def test_an_interruption_in_each_question_and_at_each_kind_of_call_leaves_nothing(
    there: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, calls = Random(1), set[str]()
    counted: dict[str, int] = defaultdict(lambda: random.randrange(8))

    def some(question: str, call: str) -> list[type[BaseException]]:
        counted[question] -= 1
        chosen = counted[question] == -1 or call not in calls or random.random() < 0.02
        calls.add(call)
        return [random.choice(WAYS)] if chosen else []

    interruptions = Interruptions(monkeypatch, some)
    interruptions.run(there, tmp_path)
    assert interruptions.failed == []
    questions = {" ".join(each.words) for each in QUESTIONS}
    assert questions <= {question for question, *_ in interruptions.tried}


@pytest.mark.slow
def test_an_interruption_at_any_call_leaves_nothing(
    there: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set[tuple[str, str]]()

    def every(question: str, call: str) -> tuple[type[BaseException], ...]:
        new = (question, call) not in seen
        seen.add((question, call))
        # A read changes nothing, so it leaves the same as the call before it.
        reads = call.partition(" ")[2].startswith(("get_", "list_"))
        return WAYS if new else () if reads else (KilledError,)

    interruptions = Interruptions(monkeypatch, every)
    interruptions.run(there, tmp_path)
    assert interruptions.failed == []


def test_a_resource_that_is_left_is_noticed(
    there: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "remove", lambda _: [])
    interruptions = Interruptions(
        monkeypatch, lambda _, call: WAYS if call == "iam create_role" else ()
    )
    with pytest.raises(AssertionError):
        interruptions.run(there, tmp_path, [])
    assert [how for *_, how in interruptions.failed] == [*WAYS]
