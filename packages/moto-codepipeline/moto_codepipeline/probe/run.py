"""A run: asks one question after the other, writes each answer at once, removes its resources."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..answers import read, write
from .calls import ProbeError, UnansweredError
from .facts import FACTS
from .questions import NOT_ASKED, Found, Question, Unanswered
from .trials import Probe

Say = Callable[[str], None]
TABLES = ("switches", "how", "unanswered", "facts", "differs")


class Record:
    """The file of answers at ``path``, which a run continues, and the recorded calls next to it.

    Raises ProbeError if the file's answers are from another endpoint.
    """

    def __init__(self, path: Path, endpoint: str, region: str) -> None:
        self.path, self.evidence = path, path.with_suffix(".jsonl")
        present, asked = read(path), {"endpoint": endpoint, "region": region}
        if present and {name: present.get(name) for name in asked} != asked:
            raise ProbeError(f"{path} has the answers of another endpoint: choose another --output")
        self.content: dict[str, Any] = {"date": "", **asked}
        self.content |= {name: dict(present.get(name, {})) for name in TABLES}
        self.content["unanswered"] |= NOT_ASKED

    def answered(self, question: Question) -> bool:
        """Whether a question is fully answered, by this run or an earlier one."""
        return set(question.words) <= set(self.content["how"])

    def keep(self, question: Question, found: Found | Unanswered) -> str:
        """Write an answer, or why there is none; return it in words."""
        content, name = self.content, found.name
        for table in TABLES:
            content[table].pop(name, None)
        if isinstance(found, Unanswered):
            content["unanswered"][name] = found.why
            words = f"not answered. {found.why}"
        else:
            content["facts" if found.fact else "switches"][name] = found.value
            words = f"{found.value} ({found.sure})"
            if not found.fact:
                content["how"][name] = f"{question.how}: {found.sure}"
            elif (here := FACTS[name]["here"]) != found.value:
                content["differs"][name] = here
                words += f"; differs from the emulator: {here}"
        self.write()
        return f"  {name}: {words}"

    def write(self) -> None:
        self.content["date"] = datetime.now(UTC).date().isoformat()
        write(self.path, self.content)

    def note(self, call: dict[str, Any]) -> None:
        """Append a call to the recorded calls."""
        with self.evidence.open("a") as file:
            file.write(json.dumps(call) + "\n")

    def table(self, questions: Iterable[Question]) -> Iterator[str]:
        """Lines with each question, its answers, how they were found and how sure they are."""
        switches, how, unanswered, facts, differs = (self.content[each] for each in TABLES)
        for question in questions:
            yield from question.words.values()
            for name in [*question.words, *question.facts]:
                if name in switches:
                    yield f"  {name} = {json.dumps(switches[name])}"
                    yield f"    {how[name]}"
                elif name in facts:
                    yield f"  {name}: {facts[name]}"
                    yield f"    {question.how}: once"
                elif name in unanswered:
                    yield f"  {name} is not answered: {unanswered[name]}"
                if name in differs:
                    yield f"    differs from the emulator: {differs[name]}"


def run(probe: Probe, record: Record, questions: Iterable[Question], say: Say) -> None:
    """Create the resources, ask what is not answered yet, and always remove the resources.

    Raises ProbeError.
    """
    for each in probe.place.remove():
        say(f"Removed what an earlier run left behind: {each}")
    with probe.place.temporary():
        try:
            probe.place.make()
            for question in questions:
                if not record.answered(question):
                    _ask(probe, record, question, say)
        finally:
            probe.calls.question = probe.calls.fact = ""


def _ask(probe: Probe, record: Record, question: Question, say: Say) -> None:
    left = dict.fromkeys([*question.words, *question.facts])
    probe.calls.question, probe.calls.fact = " ".join(question.words), ""
    say(f"{' '.join(question.words.values())} (takes {question.takes})")

    def asked() -> None:
        for found in question.ask(probe):
            left.pop(found.name, None)
            if isinstance(found, Found):
                probe.known[found.name] = found.value
            say(record.keep(question, found))

    try:
        probe.clean(asked)  # if a call was lost, everything is asked again
    except (UnansweredError, ProbeError) as error:
        for name in left:
            say(record.keep(question, Unanswered(name, str(error))))
    else:
        for name in left:  # of a group of facts
            record.content["how"][name] = question.how
            record.content["unanswered"].pop(name, None)
            record.write()
