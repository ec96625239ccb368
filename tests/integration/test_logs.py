"""What is logged about a job: each fact once, with the job's ids, as the saved queries expect."""

import json
import re
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

import moto_codepipeline
from local.aws import functions
from tests.integration.conftest import World
from tests.support import ROOT, load_event, wait_for

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
COMMANDS = (
    "anomaly dedup diff display fields filter filterIndex join limit lookup parse pattern "
    "sort stats unmask unnest"
)
FUNCTIONS = (
    "abs avg bin ceil coalesce concat count count_distinct datefloor earliest floor fromMillis "
    "greatest isblank isempty ispresent latest least max median min pct strcontains strlen sum"
)
WORDS = "and as asc by desc in like not or"


@pytest.mark.parametrize(("outcome", "status"), [("Succeed", "Succeeded"), ("Fail", "Failed")])
def test_each_fact_about_a_job_is_one_line_that_names_the_job(owners_world, outcome, status):
    world = owners_world
    row = world.row(world.start({"Outcome": outcome}), status)
    about = {
        "job_id": row["jobId"]["S"],
        "action_type": world.action_type,
        "execution_arn": row["execution"]["S"],
        "pipeline_name": row["pipelineName"]["S"],
        **({"client_id": row["clientId"]["S"]} if world.owner == "ThirdParty" else {}),
    }

    def lines():
        found = [json.loads(text) for text in world.written.logs() if about["job_id"] in text]
        told = [line for line in found if line.get("level") not in (None, "DEBUG")]
        # A function's lines are read when its invocation is over.
        services = {line["service"] for line in told}
        return told if services >= {"Intake", "Acknowledge", "Report"} else None

    told = sorted(wait_for(lines, "all lines", seconds=20), key=lambda line: line["timestamp"])
    assert [(line["service"], line["level"], line["message"]) for line in told] == [
        ("Intake", "INFO", "Offer taken"),
        ("Acknowledge", "INFO", "Acknowledged"),
        ("Report", "INFO", "Reported"),
    ]
    for line in told:
        assert about.items() <= line.items()
    assert told[2]["status"] == status
    assert (told[2].get("cause"), told[2].get("error")) == tuple(
        row[name]["S"] if name in row else None for name in ("cause", "error")
    )


class SavedQuery:
    """The commands, functions, fields and messages in a query."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"#.*", "", text)
        self.commands = {part.split()[0] for part in re.sub(r"'[^']*'", "", text).split("|")}
        looked_for = re.findall(r"\bmessage (?:=|in) (\[[^]]*\]|'[^']*')", text)
        self.messages = set(re.findall(r"'([^']*)'", " ".join(looked_for)))
        text = re.sub(r"'[^']*'", "", text)
        self.functions = set(re.findall(r"(\w+)\(", text))
        named = set(re.findall(r"[@A-Za-z_][\w.]*", text))
        made = set(re.findall(r"\bas (\w+)", text))
        self.fields = named - made - self.commands - self.functions - set(WORDS.split())


@pytest.fixture(scope="module")
def saved(running: World) -> list[dict[str, Any]]:
    """The saved queries, once jobs and a failed function have been logged."""
    running.emulator.behaviour = moto_codepipeline.Behaviour(started_before_queued_seconds=0)
    partners = replace(running, owner="ThirdParty")
    rows = [
        running.row(running.start({"Outcome": "Fail"}), "Failed"),
        partners.row(partners.start({"Outcome": "Succeed"}), "Succeeded"),
    ]
    assert "errorType" in running.invoke("Report", load_event("bad/report-outcome"))

    def is_reported(job: str) -> bool:
        return any(job in text and '"Reported"' in text for text in running.written.logs())

    for row in rows:
        wait_for(partial(is_reported, row["jobId"]["S"]), "Report's line", seconds=20)
    assert functions.runner().wait_until_idle(120)
    described = running.client("logs").describe_query_definitions(
        queryDefinitionNamePrefix=f"{running.stack.name}/"
    )
    found: list[dict[str, Any]] = described["queryDefinitions"]
    assert len(found) == 5
    return found


def test_a_saved_query_uses_commands_and_functions_of_logs_insights(saved):
    for each in saved:
        query = SavedQuery(each["queryString"])
        assert query.commands <= set(COMMANDS.split()), each["name"]
        assert query.functions <= set(FUNCTIONS.split()), each["name"]


def test_a_saved_query_names_only_what_is_logged_in_its_log_groups(saved, running):
    code = "".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    for each in saved:
        query = SavedQuery(each["queryString"])
        groups = each["logGroupNames"]
        lines = [line for group in groups for line in running.written.lines(group)]
        # CloudWatch adds these fields to each line.
        logged = {"@timestamp", "@log"}.union(*map(json.loads, lines))
        assert query.fields, each["name"]
        assert query.fields - logged == set(), each["name"]
        assert {text for text in query.messages if f'"{text}"' not in code} == set(), each["name"]
