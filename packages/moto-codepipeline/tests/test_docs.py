"""docs/behaviour.md agrees with the code about every switch, and names no others."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from moto_codepipeline import answers
from moto_codepipeline.action_types import IDLE_TYPES
from moto_codepipeline.probe.facts import FACTS
from moto_codepipeline.probe.questions import NOT_ASKED, QUESTIONS
from moto_codepipeline.switches import allowed, switches, values

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PROBE = ((DOCS / name).read_text() for name in ("behaviour.md", "probe.md"))
FIELDS = {each.name for each in fields(answers.default())}


def rows(header: str, page: str = PAGE) -> list[list[str]]:
    """The cells of each row of all tables that have this header."""
    found = []
    for table in re.findall(rf"^\| {re.escape(header)} \|\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.M):
        for line in table.splitlines():
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.append([cell.strip() for cell in cells])
    return found


SHOWN = [
    line.split(" | ", 1)
    for line in Path(__file__).with_name("behaviours.txt").read_text().splitlines()
]
"""The test of each behavior, and how the behavior's row begins."""

ALL_SWITCHES = {row[0].strip("`"): row[1:] for row in rows("Switch | Values | Default")}
BEHAVIOURS = rows("behavior | evidence | here | switch")


def test_the_table_of_switches_has_all_of_them() -> None:
    assert set(ALL_SWITCHES) == FIELDS


@pytest.mark.parametrize("name", switches())
def test_the_table_has_the_values_and_the_default_of_each_switch(name: str) -> None:
    default = json.dumps(values(answers.default())[name])
    assert ALL_SWITCHES[name] == [allowed(name), f"`{default}`"]


def test_every_switch_belongs_to_a_behavior_and_there_are_no_others() -> None:
    assert {name for row in BEHAVIOURS for name in re.findall(r"`(\w+)`", row[3])} == FIELDS


def test_every_behavior_has_its_evidence_and_what_happens_here() -> None:
    known = re.compile(r"documented|recorded|seen in code|reported|unknown")
    for behaviour, evidence, here, _ in BEHAVIOURS:
        assert known.search(evidence) or behaviour == "Other access keys", behaviour
        assert here, behaviour


def test_every_source_is_defined_once_and_referred_to() -> None:
    defined = re.findall(r"^\[(\w+)\]: https://", PAGE, re.M)
    assert len(defined) == len(set(defined))
    assert set(re.findall(r"\]\[(\w+)\]", PAGE)) <= set(defined)
    assert [name for name in defined if PAGE.count(f"[{name}]") < 2] == []


def test_the_providers_that_do_nothing_are_listed() -> None:
    listed = rows("category | providers")
    found = {(row[0], name) for row in listed for name in row[1].split(", ")}
    assert found == {(key.category, key.provider) for key in IDLE_TYPES}


def test_every_behavior_has_a_test() -> None:
    tests = "".join(each.read_text() for each in Path(__file__).parent.rglob("test_*.py"))
    there = set(re.findall(r"(?:def|class) (\w+)", tests))
    assert [name for name, _ in SHOWN if name not in there] == []
    for behaviour, *_ in BEHAVIOURS:
        assert [row for _, row in SHOWN if behaviour.startswith(row)], behaviour
    for _, row in SHOWN:
        assert [each for each, *_ in BEHAVIOURS if each.startswith(row)], row


BY_ROW = rows("facts | row of behaviour.md, by its beginning", PROBE)
ROWS_OF_FACTS = {
    name: row.removeprefix("(no row)")
    for names, row in BY_ROW
    for name in re.findall(r"\w+", names)
}
ROWS_NOT_ASKED = dict(rows("row of behaviour.md, by its beginning | why", PROBE))


PARTS = {
    "PollForJobs returns up to `maxBatchSize` jobs": ["poll_for_100"],
    "A poll for a type with a queryable property": ["poll_without_its_query"],
    "Each offer has a nonce": ["acknowledgment_with_the_first_nonce"],
    "A custom action may take 24 hours": ["timed_out_action"],
    "Everything else is as for custom jobs": [
        "repeated_partner_acknowledgment",
        "partner_result_before_acknowledgment",
        "partner_result_after_abandonment",
        "partner_acknowledgment_of_ended",
        "partner_job_offered_again",
        "partner_job_continued",
    ],
    "Its bucket must be versioned": ["missing_artifact_bucket", "unversioned_source_bucket"],
    "In these two modes no more than 50": ["executions_60", "executions_60_queued"],
    "UpdatePipeline cancels executions": ["status_of_a_waiting_execution_after_an_update"],
    "A stage without failed actions": ["retry_in_progress", "retry_of_a_stage_that_succeeded"],
    "A configuration property that the type does not": [
        f"{problem}_configuration{kind}"
        for kind in ("", "_of_s3", "_of_lambda")
        for problem in ("unknown", "missing")
    ]
    + ["unknown_configuration_of_an_approval"],
    "The job of an abandoned action, also one": ["poll_after_abandonment_of_a_continued_job"],
    "The first result for such a job": ["result_of_abandoned_before_acknowledgment"],
}
"""The facts about each part of a row that has several, or a switch for one of them only."""


def begins(row: str) -> list[list[str]]:
    return [each for each in BEHAVIOURS if each[0].startswith(row)]


def test_the_page_of_the_probe_has_every_question_by_its_name() -> None:
    for each in QUESTIONS:
        for name, words in each.words.items():
            long = " (`--long`)" if each.long else ""
            assert f"| {words} | `{name}` | {each.how}{long} |\n" in PROBE
    for name, why in NOT_ASKED.items():
        assert f"| `{name}` | {why} |\n" in PROBE


def test_the_page_of_the_probe_has_every_fact_and_no_other() -> None:
    named = [name for names, _ in BY_ROW for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted(FACTS)


def test_what_is_unknown_is_a_switch_a_fact_or_has_a_reason_why_it_is_not_asked() -> None:
    asked = {row for row in ROWS_OF_FACTS.values() if row}
    for row in (*asked, *ROWS_NOT_ASKED):
        assert len(begins(row)) == 1, row
    assert not asked & set(ROWS_NOT_ASKED)
    assert all(ROWS_NOT_ASKED.values())
    unknown = [row for row in BEHAVIOURS if "unknown" in row[1] or "own text" in row[2]]
    assert [
        behaviour
        for behaviour, _, _, switches in unknown
        if not switches and not behaviour.startswith((*asked, *ROWS_NOT_ASKED))
    ] == []
    parts = [(row, name) for row, names in PARTS.items() for name in names]
    assert [name for row, name in parts if begins(row) != begins(ROWS_OF_FACTS[name])] == []


def unsaid(shipped: Path, rows: list[list[str]]) -> list[str]:
    """The switches and facts in a file of answers whose rows do not say that they were probed."""
    content = answers.read(shipped)
    said = dict.fromkeys(answers.load(shipped), f"probed {content['date']}")
    for name, text in content.get("facts", {}).items():
        differs = ", differs" if text != FACTS[name]["here"] else ""
        said[name] = f"probed {content['date']}{differs}"
    of = {name: [row[1] for row in rows if f"`{name}`" in row[3]] for name in FIELDS}
    of |= {
        name: [row[1] for row in rows if row[0].startswith(begin)]
        for name, begin in ROWS_OF_FACTS.items()
        if begin
    }
    return [name for name in said if name in of and said[name] not in " ".join(of[name])]


def test_the_evidence_of_each_probed_switch_and_fact_says_so() -> None:
    if answers.SHIPPED.is_file():
        assert answers.read(answers.SHIPPED)["endpoint"] == "AWS"
        assert unsaid(answers.SHIPPED, BEHAVIOURS) == []
    else:
        assert "probed" not in [word for row in BEHAVIOURS for word in row[1].split()]


def test_evidence_that_does_not_say_what_was_probed_is_found(tmp_path: Path) -> None:
    shipped = tmp_path / "behaviour.toml"
    facts = {name: FACTS[name]["here"] for name in ("unknown_job", "type_that_exists")}
    content = {"date": "2026-11-28", "switches": {"throttle": None}}
    answers.write(shipped, content | {"facts": {"wrong_nonce": "Other", **facts}})
    assert unsaid(shipped, BEHAVIOURS) == ["throttle", "wrong_nonce", "unknown_job"]
    probed = [[row[0], "probed 2026-11-28", *row[2:]] for row in BEHAVIOURS]
    assert unsaid(shipped, probed) == ["wrong_nonce"]
    differing = [[row[0], "probed 2026-11-28, differs", *row[2:]] for row in BEHAVIOURS]
    assert unsaid(shipped, differing) == []
