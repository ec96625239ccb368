"""``python -m moto_codepipeline.probe``: see docs/probe.md."""

import argparse
import os
import re
import sys
from pathlib import Path

from ..switches import SwitchError
from .calls import Calls, ProbeError, Time
from .console import confirmed, interruptible
from .place import Place
from .questions import QUESTIONS, Question
from .run import Record, run
from .trials import Probe

TOKEN = "CODEPIPELINE_CLIENT_TOKEN"  # noqa: S105 - a variable's name
COST = (
    "It costs less than half a US dollar: minutes of S3 sources in a pipeline of type V2, 0.002 "
    "USD each after the first 100 of a month, and calls of S3 and SQS. Custom actions are free."
)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m moto_codepipeline.probe",
        description="Find out how CodePipeline behaves where AWS has not published it.",
    )
    made.add_argument("--region", required=True, help="the Region to probe")
    made.add_argument("--endpoint-url", help="an emulator to probe instead of AWS")
    made.add_argument(
        "--output",
        type=Path,
        default=Path("behaviour.toml"),
        metavar="FILE",
        help="where the answers go (default: %(default)s)",
    )
    made.add_argument("--only", default="", metavar="NAMES", help="ask only these questions")
    made.add_argument("--long", action="store_true", help="also ask questions that take a day")
    made.add_argument("--again", action="store_true", help="also ask what the file already answers")
    made.add_argument("--clean", action="store_true", help="only remove what a run left behind")
    made.add_argument("--yes", action="store_true", help="begin without confirmation")
    made.add_argument("--prefix", default="codepipeline-probe", help="the prefix of all names")
    made.add_argument(
        "--partner-type",
        metavar="CATEGORY/PROVIDER/VERSION",
        help=f"your partner action type; the client token is read from {TOKEN}",
    )
    return made


def chosen(only: str, long: bool) -> list[Question]:
    """The questions to ask. Raises ProbeError for an unknown name."""
    names = set(only.replace(",", " ").split())
    there = {name for question in QUESTIONS for name in question.words}
    if unknown := sorted(names - there):
        raise ProbeError(
            f"--only: there is no question {unknown[0]!r}; there are {', '.join(sorted(there))}"
        )
    if names:
        return [each for each in QUESTIONS if names & set(each.words)]
    return [each for each in QUESTIONS if long or not each.long]


def partner_type(text: str | None, prefix: str) -> dict[str, str] | None:
    """An action type's id. Raises ProbeError if polls could take jobs that are not the probe's."""
    if text is None:
        return None
    category, provider, version, *more = [*text.split("/"), "", ""]
    if more != ["", ""] or not version or not provider.startswith(f"{prefix}-"):
        raise ProbeError(
            f"--partner-type must be CATEGORY/PROVIDER/VERSION, and PROVIDER must begin with "
            f"{prefix}-: the probe takes every job of this type"
        )
    named = {"category": category, "provider": provider, "version": version}
    return {"owner": "ThirdParty", **named}


def agreed(given: argparse.Namespace, place: Place, questions: list[Question]) -> bool:
    """Show what will be created and what it costs; return whether to begin."""
    print(f"In account {place.account}, Region {given.region}, it creates, and later removes:")
    print("".join(f"  {each}\n" for each in place.plan()) + "It asks:")
    for question in questions:
        print(f"  {', '.join(question.words)} (takes {question.takes})")
    if given.endpoint_url:
        return True
    print(COST)
    return confirmed(given.yes, "Begin?")


def begin(given: argparse.Namespace) -> int:
    """Run the command; return the exit status. Raises ProbeError and SwitchError."""
    if not re.fullmatch("[a-z][a-z0-9-]{2,17}", given.prefix):
        raise ProbeError("--prefix must be 3 to 18 lowercase letters, digits and hyphens")
    questions = chosen(given.only, given.long)
    partner = partner_type(given.partner_type, given.prefix)
    record = Record(given.output, given.endpoint_url or "AWS", given.region)
    calls = Calls(given.region, given.endpoint_url, Time(), record.note)
    place = Place(calls, given.prefix)
    if given.clean:
        print(f"In account {place.account}, Region {given.region}, it removes, if they exist:")
        print("".join(f"  {each}\n" for each in place.plan()))
        if not confirmed(given.yes or bool(given.endpoint_url), "Remove this?"):
            return 1
        print("".join(f"Removed: {each}\n" for each in place.remove()) + "Nothing is left.")
        return 0
    if not agreed(given, place, questions):
        return 1
    if given.again:
        for name in (name for question in questions for name in question.words):
            record.content["how"].pop(name, None)
    known = record.content["switches"]
    run(
        Probe(calls, place, partner, os.environ.get(TOKEN, ""), dict(known)),
        record,
        questions,
        print,
    )
    print("\n".join(["", *record.table(questions), ""]))
    print(f"The answers are in {record.path}, and the calls behind them are in {record.evidence}.")
    return 0


def main() -> int:
    """Run the command; return the exit status, with errors on stderr."""
    given = parser().parse_args()
    interruptible()
    try:
        return begin(given)
    except (ProbeError, SwitchError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. The next run removes what is left, and continues.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
