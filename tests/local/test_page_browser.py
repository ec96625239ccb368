"""The page in a real browser."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect

import moto_codepipeline
from conformance import installs
from local import acknowledger, unserved, watched
from local.aws import dynamodb
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from local.page import PATH, view
from local.page.view import STATUSES
from local.worker import WorkerProcess
from tests.local.fixtures import programs
from tests.local.fixtures.browser import browsing, needs_browser
from tests.support import wait_for

SECONDS = 60
AXE = Path(__file__).parent / "axe"
APPROVAL = {
    "name": "Sign-off",
    "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
    "inputArtifacts": [],
}
PASSWORD = "a-password-that-nobody-may-see"
HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"

pytestmark = [needs_browser, pytest.mark.slow]

expect.set_options(timeout=SECONDS * 1000)


class World:
    """The stack with pipelines of one action each, and a browser."""

    def __init__(self, cloud: LocalCloud, stack: Stack, browser: Browser) -> None:
        self.cloud = cloud
        self.stack = stack
        self.url = cloud.endpoint_url + PATH
        self._problems: list[str] = []
        # Animations are most of a browser's work here.
        self._page = browser.new_page(
            reduced_motion="reduce", permissions=["clipboard-read", "clipboard-write"]
        )
        self._page.on("pageerror", lambda error: self._problems.append(str(error)))
        self._page.on("console", self._note)

    @property
    def emulator(self) -> moto_codepipeline.JobBackend:
        return moto_codepipeline.backend(self.cloud.account_id, self.cloud.region)

    @contextmanager
    def page(self, fragment: str = "", width: int = 1100, height: int = 700) -> Iterator[Page]:
        """Load the page again, at a fragment; fails if the page has an error."""
        self._problems.clear()
        self._page.set_viewport_size(ViewportSize(width=width, height=height))
        self._page.goto(self.url + fragment)
        expect(spoken(self._page, "connection")).to_have_text("live")
        yield self._page
        self._page.goto("about:blank")
        assert self._problems == []

    def _note(self, said: ConsoleMessage) -> None:
        # The console also reports refused requests, which are allowed.
        if said.type == "error" and "Failed to load resource" not in said.text:
            self._problems.append(said.text)

    def create(self, name: str, **configuration: str) -> None:
        self.create_stages(
            name, {"Build": [{"name": f"{name}-action", "configuration": configuration}]}
        )

    def create_stages(self, name: str, stages: dict[str, list[dict[str, Any]]]) -> None:
        kind = acknowledger.CUSTOM_ACTION_TYPE
        acknowledger.create_pipeline(self.cloud, name, kind, stages)

    def hold(self, name: str) -> None:
        """Disable the transition into a pipeline's stage Build."""
        self.cloud.client("codepipeline").disable_stage_transition(
            pipelineName=name, stageName="Build", transitionType="Inbound", reason="for lunch"
        )

    def delete(self, name: str) -> None:
        self.cloud.client("codepipeline").delete_pipeline(name=name)

    def start(self, name: str) -> str:
        answer = self.cloud.client("codepipeline").start_pipeline_execution(name=name)
        return str(answer["pipelineExecutionId"])

    def stop(self, name: str) -> None:
        """Abandon a pipeline's executions, unless they have ended or are stopping."""
        for execution in self.shown(name)["underWay"]:
            with suppress(ClientError):
                self.cloud.client("codepipeline").stop_pipeline_execution(
                    pipelineName=name, pipelineExecutionId=execution, abandon=True
                )

    def is_idle(self, *names: str) -> bool:
        """Whether no job is in flight, of these pipelines or of any."""
        with dynamodb.lock:
            rows = [dict(item.attrs) for item in self.rows.items.values()]
        return all(
            row["status"].value in STATUSES[4:]
            for row in rows
            if "status" in row and (not names or row["pipelineName"].value in names)
        )

    def ended(self, name: str, status: str) -> None:
        """Wait until a pipeline's latest execution has this status, and its jobs have ended."""

        def has() -> bool:
            return self.is_idle(name) and self.status(name) == status

        wait_for(has, f"{name} to be {status}", SECONDS)

    def run(self, name: str, status: str) -> None:
        """Start a pipeline, and wait until it has ended with this status."""
        self.start(name)
        self.ended(name, status)

    def status(self, name: str) -> str | None:
        """The status of a pipeline's latest execution."""
        status: str | None = self.shown(name)["status"]
        return status

    def shown(self, name: str) -> dict[str, Any]:
        """What the page is told about a pipeline."""
        return next(each for each in self.emulator.overview() if each["name"] == name)

    def latest(self, name: str) -> str | None:
        """The id of a pipeline's latest execution."""
        found = self.cloud.client("codepipeline").list_pipeline_executions(pipelineName=name)
        ids = [each["pipelineExecutionId"] for each in found["pipelineExecutionSummaries"]]
        return ids[0] if ids else None

    def keys(self) -> set[DynamoType]:
        """The keys of the job table's rows."""
        return set(self.rows.items.copy())  # other threads write rows

    def answer(self, job_id: str | None, **result: Any) -> None:
        """Send the result of a job that hangs."""
        [row] = [item.attrs for key, item in self.rows.items.items() if key.value == job_id]
        step_functions = self.cloud.client("stepfunctions")

        def asked() -> Any:
            history = step_functions.get_execution_history(
                executionArn=row["execution"].value, reverseOrder=True
            )
            scheduled = next(each for each in history["events"] if each["type"] == "TaskScheduled")
            [entry] = json.loads(scheduled["taskScheduledEventDetails"]["parameters"])["Entries"]
            return entry["Detail"] if entry["DetailType"] == "Job In Progress" else None

        # The row is InProgress before the execution is.
        detail = wait_for(asked, "the worker to be asked", SECONDS)
        step_functions.send_task_success(taskToken=detail["taskToken"], output=json.dumps(result))

    @property
    def rows(self) -> Any:
        """The job table's rows, in moto."""
        tables = dynamodb_backends[self.cloud.account_id][self.cloud.region].tables
        return tables[self.stack.outputs["JobTableName"]]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with acknowledger.running() as (cloud, stack), browsing() as browser:
        made = World(cloud, stack, browser)
        made.create("plain", Outcome="Succeed")
        made.create("held", Outcome="Hang", Password=PASSWORD)
        made.create("hostile", Outcome=HOSTILE)
        yield made


@pytest.fixture
def held(world: World) -> Iterator[None]:
    """A job of the pipeline `held` that no worker takes, until the end of the test."""
    world.start("held")
    yield
    world.stop("held")
    wait_for(world.is_idle, "what was stopped to end", SECONDS)


@pytest.fixture
def approved(world: World) -> Iterator[None]:
    """A pipeline `approved` that waits for an approval."""
    world.create_stages("approved", {"Review": [APPROVAL]})
    world.start("approved")
    yield
    world.stop("approved")
    world.delete("approved")


def card(page: Page, name: str, status: str) -> Locator:
    """The latest card of a pipeline's action in a lane."""
    return page.locator(f".lane.{status} li").filter(has_text=f"{name}-action").first


def article(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=f"Pipeline {name}", exact=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def start(world: World, page: Page, name: str) -> None:
    """Start a pipeline on the page. Its last execution may have ended as the next one is to end."""
    before = world.latest(name)
    press(page, f"Start {name}")
    wait_for(lambda: world.latest(name) != before, f"{name} to start", SECONDS)


def spoken(page: Page, name: str) -> Locator:
    """One of the lines whose changes a screen reader says."""
    return page.get_by_role("status").and_(page.locator(f"#{name}"))


Act = Callable[[Page, str], None]


@pytest.fixture
def command() -> Act:
    """Runs the command that a button copies."""
    try:
        aws = installs.aws_cli()
    except installs.NotInstalled as reason:
        pytest.skip(str(reason))

    def run(page: Page, name: str) -> None:
        command = copied(page, f"Copy the command: {name}")
        environment = {"PATH": f"{aws}{os.pathsep}{os.environ['PATH']}"}
        programs.output_of("/bin/sh", "-ec", command, environment=environment, seconds=SECONDS)
        if page.locator("#ask").is_visible():
            press(page, "Cancel")

    return run


@pytest.fixture(params=["button", "command"])
def act(request: pytest.FixtureRequest) -> Act:
    """Presses a button, or runs the command that it copies."""
    if request.param == "button":
        return press
    run: Act = request.getfixturevalue("command")
    return run


def copied(page: Page, button: str) -> str:
    """The text that a button copies."""
    page.evaluate("navigator.clipboard.writeText('')")
    press(page, button)
    text = wait_for(lambda: page.evaluate("navigator.clipboard.readText()"), "a copy", SECONDS)
    expect(spoken(page, "said")).to_have_text(f"Copied: {text}")
    return str(text)


def focused(page: Page) -> str:
    """The name of the focused element."""
    name = page.evaluate(
        "document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()"
    )
    return str(name)


def expect_focus(page: Page, name: str) -> None:
    wait_for(lambda: focused(page) == name, f"the focus to be on {name}", SECONDS)


def go_to(page: Page, name: str, key: str = "Tab") -> None:
    """Move the focus to a button with a key."""
    for _ in range(100):
        if focused(page) == name:
            return
        page.keyboard.press(key)
    pytest.fail(f"{key} does not lead to {name}")


def test_a_job_moves_through_the_lanes_and_a_click_shows_its_details(world):
    with world.page() as page:
        press(page, "Start held")
        expect(spoken(page, "said")).to_have_text("Started the pipeline held.")
        working = card(page, "held", "InProgress")
        expect(working).to_be_visible()
        totals = page.locator("p[aria-live=polite]")
        expect(totals).to_contain_text("InProgress")
        job_id = working.get_attribute("data-job")
        watched.worker.add(f"2026-01-01 10:00:00,000 INFO job {job_id}: {PASSWORD}")
        [row] = [item.attrs for key, item in world.rows.items.items() if key.value == job_id]
        progress = {"percentComplete": {"N": "80"}, "summary": {"S": "Linking"}}
        row["progress"] = DynamoType({"M": progress})
        expect(working.locator(".age")).to_contain_text("80 %")
        working.click()
        dialog = page.get_by_role("dialog", name="held-action")
        expect(dialog.locator("dd", has_text="80 % · Linking")).to_be_visible()
        state = page.locator("[data-state=InProgress]")
        expect(state).to_have_class("state Task entered present running")
        expect(dialog.locator(".log")).to_contain_text(f"job {job_id}: ****")
        # Reduced motion is preferred.
        style = "each => getComputedStyle(each).animationName"
        assert state.locator("rect").evaluate(style) == "none"
        assert page.evaluate("document.getAnimations().length") == 0
        # The job moves on in the open dialog, and in the lanes behind it.
        world.answer(job_id, executionDetails={"summary": "Held for long enough"})
        expect(page.locator("[data-state=Succeeded]")).to_have_class(
            "state Succeed entered present"
        )
        expect(state).to_have_class("state Task entered")
        expect(card(page, "held", "Succeeded")).to_have_attribute("data-job", str(job_id))
        expect(dialog).not_to_contain_text("80 %")
        expect(dialog).not_to_contain_text("Linking")
        steps = dialog.get_by_label("Statuses").locator("strong")
        expect(steps).to_have_text(["Created", "Dispatched", "InProgress", "Succeeded"])
        for words in (
            "event Job Dispatched",
            "answered InProgress",
            "event Job In Progress",
            "answered Succeeded",
        ):
            expect(dialog.locator(".story .what", has_text=words)).to_have_count(1)
        expect(dialog.locator("dd", has_text="Held for long enough")).to_be_visible()
        shown = page.content()
        assert "****" in shown
        assert PASSWORD not in shown
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert focused(page).startswith("held-action, pipeline held, Build: Succeeded, ")
        assert "%" not in focused(page)
        assert "%" not in card(page, "held", "Succeeded").inner_text()
        expect(totals).to_contain_text("Succeeded")
        expect(article(page, "held").locator(".status")).to_have_text("Succeeded")


def test_the_page_can_be_used_without_a_mouse_and_shows_a_jobs_data_as_text(world):
    world.run("plain", "Succeeded")
    world.run("hostile", "Failed")
    with world.page() as page:
        expect(card(page, "hostile", "Failed")).to_be_visible()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert (
            page.evaluate("document.activeElement.closest('.lane').className") == "lane Succeeded"
        )
        page.keyboard.press("ArrowRight")
        chosen = focused(page)
        assert chosen.startswith("hostile-action, pipeline hostile, Build: Failed, ")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="hostile-action")
        expect(dialog.locator(".error")).to_contain_text("ConfigurationError")
        expect(dialog.locator("dt:text-is('Outcome') + dd")).to_have_text(HOSTILE)
        assert page.title() == "Acknowledger"
        assert page.locator("dialog script, dialog img").count() == 0
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert focused(page) == chosen


def test_each_dialog_works_with_the_keyboard_and_the_focus_is_never_lost(world, held, approved):
    kind = acknowledger.PARTNER_ACTION_TYPE  # it is not the first
    world.hold("plain")
    question = "Stop held …"
    with world.page() as page:
        status = article(page, "held").locator(".status")
        go_to(page, "Start plain")
        page.keyboard.press("Enter")
        expect(article(page, "plain")).to_contain_text("Held")
        assert focused(page) == "Start plain"

        # The dialog changes nothing unless the user chooses an answer.
        go_to(page, question, "Shift+Tab")
        page.keyboard.press("Enter")
        assert focused(page) == "Cancel"
        page.keyboard.press("Enter")
        expect_focus(page, question)
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        expect_focus(page, question)
        assert world.status("held") == "InProgress"

        # If the focused button disappears, the focus moves to a button beside it.
        for _ in range(2):
            page.keyboard.press("Enter")
            go_to(page, "Stop held and abandon", "Shift+Tab")
            page.keyboard.press("Enter")
            expect(status).to_have_text("Stopped")
            expect_focus(page, "Start held")
            go_to(page, "Retry held, Build")
            page.keyboard.press("Enter")
            expect(status).to_have_text("InProgress")
            expect_focus(page, question)
        world.stop("held")

        go_to(page, "Release plain, Build", "Shift+Tab")
        page.keyboard.press("Enter")
        expect_focus(page, "Start plain")

        go_to(page, "Review Sign-off …")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "summary"
        page.keyboard.type("fine")
        go_to(page, "Approve Sign-off")
        page.keyboard.press("Enter")
        world.ended("approved", "Succeeded")
        expect_focus(page, "Start approved")

        go_to(page, f"Pause {kind}")
        for words in ("Resume", "Pause"):
            page.keyboard.press("Enter")
            expect_focus(page, f"{words} {kind}")


@pytest.mark.parametrize(
    ("button", "pipeline", "ends"),
    [
        ("succeeds", "held", "Succeeded"),
        ("fails", "plain", "Failed"),
        ("hangs for 10 s", "plain", "TimedOut"),
        ("is offered twice", "plain", "Succeeded"),
    ],
)
def test_buttons_decide_what_happens_to_the_next_job(world, act, button, pipeline, ends):
    with world.page() as page:
        act(page, button)
        expect(spoken(page, "wanted")).to_contain_text("Next jobs")
        before = world.keys()
        start(world, page, pipeline)
        [new] = wait_for(lambda: world.keys() - before, "the next job", SECONDS)
        world.ended(pipeline, "Succeeded" if ends == "Succeeded" else "Failed")
        expect(spoken(page, "wanted")).to_have_text("")
        offers = "2 offers" if button == "is offered twice" else ""
        job = page.locator(f".lane.{ends} [data-job='{new.value}']")
        expect(job.locator(".age")).to_contain_text(offers)


@pytest.mark.parametrize(("button", "seconds"), [("a minute", 60), ("an hour", 3600)])
def test_the_clock_is_advanced(world, act, button, seconds):
    before = world.emulator.clock.now()
    with world.page() as page:
        page.locator("#switches summary").click()
        act(page, f"Advance the clock by {button}")
        wait_for(lambda: world.emulator.clock.now() > before + seconds, "later", SECONDS)
    assert world.emulator.clock.now() < before + seconds + 60


def test_a_switch_can_be_changed_and_an_invalid_value_is_reported(world):
    with world.page() as page:
        page.locator("#switches summary").click()
        page.get_by_label("nonce_rotates").select_option("false")
        expect(spoken(page, "said")).to_have_text("nonce_rotates is now false.")
        assert world.emulator.behaviour.nonce_rotates is False
        seconds = page.get_by_label("acknowledge_seconds")
        seconds.fill("soon")
        seconds.press("Tab")
        expect(spoken(page, "said")).to_have_text(
            'acknowledge_seconds must be a number from 0, not "soon"'
        )
        expect(seconds).to_have_value("60")
        # Changes from elsewhere are shown.
        world.emulator.behaviour.continuation_seconds = 7
        expect(page.get_by_label("continuation_seconds")).to_have_value("7")
        world.emulator.behaviour = moto_codepipeline.Behaviour()
        expect(page.get_by_label("nonce_rotates")).to_have_value("true")


# -- Pipelines ------------------------------------------------------------------------------------


def test_a_pipeline_can_be_stopped_in_both_ways_after_one_question(world, act):
    with world.page() as page:
        act(page, "Start held")
        expect(card(page, "held", "InProgress")).to_be_visible()
        question = page.get_by_role("dialog", name="Stop held?")
        press(page, "Stop held …")
        expect(question).to_be_visible()
        press(page, "Cancel")
        expect(question).to_be_hidden()
        assert world.status("held") == "InProgress"
        for words, status in (("wait", "Stopping"), ("abandon", "Stopped")):
            press(page, "Stop held …")
            act(page, f"Stop held and {words}")
            expect(question).to_be_hidden()
            expect(spoken(page, "said")).to_contain_text("held")
            expect(spoken(page, "said")).to_be_visible()
            expect(article(page, "held").locator(".status")).to_have_text(status)
        expect(page.get_by_role("button", name="Stop held …")).to_be_hidden()


def test_each_stage_shows_the_latest_execution_that_reached_it(world):
    configuration = {"name": "Check", "configuration": {"Outcome": "Hang"}}
    world.create_stages("twice", {"Build": [APPROVAL], "Test": [configuration]})
    with world.page() as page:
        first = world.start("twice")
        press(page, "Review Sign-off …")
        press(page, "Approve Sign-off")
        shown = article(page, "twice")
        check = shown.get_by_role("button", name="Check : InProgress", exact=True)
        expect(check).to_be_visible()
        world.hold("twice")
        second = world.start("twice")
        expect(shown.locator(".status")).to_have_text("InProgress · 2 under way")
        press(page, "Stop twice …")
        for execution in (first, second):
            expect(page.get_by_role("dialog")).to_contain_text(f"Execution {execution}")
        expect(page.get_by_role("dialog")).to_contain_text(f"Execution {first}, in Test: ")
        expect(page.get_by_role("dialog")).to_contain_text(f"Execution {second} waits for a stage.")
        assert page.get_by_role("button", name=re.compile(f"execution {second}")).count() == 0
        press(page, f"Stop twice, execution {first}, and abandon")
        press(page, "Retry twice, Test")
        expect(check).to_be_visible()
        check.click()
        expect(page.get_by_role("dialog", name="Check")).to_be_visible()
        press(page, "Close")
        world.stop("twice")
        expect(check).to_have_count(0)
        # The first execution has ended, and the second waits, which can't be stopped.
        press(page, "Release twice, Build")
        press(page, "Review Sign-off …")
        press(page, "Reject Sign-off")
        world.ended("twice", "Failed")
        third = world.start("twice")
        press(page, "Review Sign-off …")
        press(page, "Cancel")
        assert third != second
        world.stop("twice")
    world.delete("twice")


def test_start_buttons_stay_in_place_with_many_pipelines(world):
    names = [f"many-{number:02}" for number in range(21)]
    for name in names:
        world.create_stages(name, {"Review": [APPROVAL]})
    titles = "[...document.querySelectorAll('#pipelines h3')].map(each => each.textContent)"

    def shown() -> list[str]:
        return [str(each) for each in page.evaluate(titles)]

    try:
        with world.page() as page:
            page.get_by_label("Find jobs and pipelines").fill("pipeline:many-")
            wait_for(lambda: shown() == names[:20], "20 pipelines to be shown", SECONDS)
            for name, then in ((names[7], names[:20]), (names[20], [*names[:19], names[20]])):
                world.start(name)
                expect(article(page, name).locator(".status")).to_have_text("InProgress")
                assert shown() == then
            page.get_by_role("button", name="… and 1 more", exact=True).click()
            assert shown() == names
            world.stop(names[7])
            expect(article(page, names[7]).locator(".status")).to_have_text("Stopped")
            assert shown() == names
    finally:
        for name in names:
            world.stop(name)
            world.delete(name)


def test_a_click_counts_even_if_the_page_changes_during_it(world):
    world.hold("plain")
    with world.page() as page:
        # The press takes the focus from it.
        page.get_by_label("Find jobs and pipelines").focus()
        page.get_by_role("button", name="Release plain, Build", exact=True).hover()
        page.mouse.down()
        world.start("plain")
        expect(article(page, "plain").locator(".status")).to_have_text("InProgress")
        page.mouse.up()
        world.ended("plain", "Succeeded")
        expect(article(page, "plain")).not_to_contain_text("Held")


def test_a_copied_command_does_what_its_button_does(world, command):
    kind = acknowledger.CUSTOM_ACTION_TYPE
    world.hold("plain")
    with world.page() as page:
        press(page, "fails")
        expect(spoken(page, "wanted")).to_contain_text("Fail")
        expect(article(page, "plain")).to_contain_text("Held: for lunch")
        start(world, page, "plain")
        command(page, "Release plain, Build")
        world.ended("plain", "Failed")
        expect(article(page, "plain")).not_to_contain_text("Held")
        command(page, "Retry plain, Build")
        world.ended("plain", "Succeeded")
        expect(page.get_by_role("button", name="Retry plain, Build", exact=True)).to_be_hidden()
        line = page.locator("#intake li").filter(has_text=kind)
        for button, words in (("Pause", "paused"), ("Resume", "active")):
            command(page, f"{button} {kind}")
            expect(line.locator(".status")).to_have_text(words)


@pytest.mark.parametrize(
    ("button", "status"), [("Approve Sign-off", "Succeeded"), ("Reject Sign-off", "Failed")]
)
def test_an_approval_can_be_approved_or_rejected(world, approved, act, button, status):
    with world.page() as page:
        press(page, "Review Sign-off …")
        page.get_by_label("Summary").fill("It's <b>fine</b>")
        act(page, button)
        world.ended("approved", status)
        expect(article(page, "approved").locator(".status")).to_have_text(status)
    codepipeline = world.cloud.client("codepipeline")
    actions = codepipeline.list_action_executions(pipelineName="approved")["actionExecutionDetails"]
    [action] = [each for each in actions if each["actionName"] == "Sign-off"]
    assert action["output"]["executionResult"]["externalExecutionSummary"] == "It's <b>fine</b>"


def test_a_refusal_is_shown_and_the_dialog_stays_open(world, held):
    with world.page() as page:
        expect(card(page, "held", "InProgress")).to_be_visible()
        press(page, "Stop held …")
        world.stop("held")
        press(page, "Stop held and wait")
        said = page.get_by_role("dialog").locator("#said.bad")
        expect(said).to_contain_text("held")
        expect(page.get_by_role("dialog", name="Stop held?")).to_be_visible()
        press(page, "Cancel")
        page.route("**/invocations", lambda route: route.abort())
        kind = acknowledger.CUSTOM_ACTION_TYPE
        press(page, f"Pause {kind}")
        expect(spoken(page, "said")).to_have_text("The local stack does not answer.")
        page.unroute("**/invocations")
        line = page.locator("#intake li").filter(has_text=kind)
        for button, words in (("Pause", "paused"), ("Resume", "active")):
            press(page, f"{button} {kind}")
            expect(line.locator(".status")).to_have_text(words)


def test_an_action_leads_to_its_job_and_a_link_to_the_job_opens_it(world):
    world.run("plain", "Succeeded")
    with world.page() as page:
        article(page, "plain").get_by_role("button", name="plain-action").click()
        dialog = page.get_by_role("dialog", name="plain-action")
        expect(dialog.locator(".steps")).to_contain_text("Succeeded")
        job_id = dialog.locator("dt:text-is('Job') + dd").inner_text()
        expect(dialog.locator(".log")).to_contain_text(f"job {job_id}: Success")
        assert copied(page, "Copy link") == f"{world.url}#job={job_id}"
        press(page, "Close")
        expect(dialog).to_be_hidden()
        expect(page).to_have_url(world.url)
    with world.page(f"#job={job_id}") as page:
        dialog = page.get_by_role("dialog", name="plain-action")
        expect(dialog.locator("dt:text-is('Job') + dd")).to_have_text(job_id)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    with world.page("#job=nothing%20of%20ours") as page:
        dialog = page.get_by_role("dialog", name="Job nothing of ours")
        expect(dialog).to_contain_text("no row for this job")


# -- Jobs -----------------------------------------------------------------------------------------


def test_jobs_and_pipelines_are_found_by_words(world):
    world.run("plain", "Succeeded")
    world.run("hostile", "Failed")
    with world.page() as page:
        expect(card(page, "hostile", "Failed")).to_be_visible()
        find = page.get_by_label("Find jobs and pipelines")
        # The words, and whether they show jobs of hostile, jobs that succeeded, and hostile.
        for words, *found in (
            ("status:failed hostile", True, False, None),
            ("pipeline:hostile", True, False, True),
            ("action:hostile-action", True, False, True),
            ("configurationerror", True, False, None),
            ("plain-action", False, True, False),
            ("action:plain-action", False, True, False),
            ("pipeline:plain-action", False, False, None),
            ("action:configurationerror", False, False, None),
            ("", True, True, True),
        ):
            find.fill(words)
            expect(spoken(page, "found")).to_have_text(re.compile(" of " if words else "^$"))
            shown = (
                page.locator(".lane li", has_text="hostile"),
                page.locator(".lane.Succeeded li"),
                article(page, "hostile"),
            )
            for each, is_found in zip(shown, found, strict=True):
                if is_found is not None:
                    expect(each.first).to_be_visible(visible=is_found)


def test_the_card_of_a_failed_job_shows_the_whole_reason(world):
    world.create("silent", Outcome="Hang", HeartbeatTimeoutSeconds="3")
    reasons = {
        "silent": "The worker sent no heartbeat for 3 seconds (HeartbeatTimeoutSeconds)",
        "plain": "Failed because the action's configuration says so",
        "hostile": "ConfigurationError: Outcome must be Succeed, Fail or Hang",
    }
    with world.page(width=1280) as page:
        press(page, "fails")
        expect(spoken(page, "wanted")).to_contain_text("Fail")
        for name, reason in sorted(reasons.items(), key=lambda each: each[0] != "plain"):
            world.run(name, "Failed")
            lane = "TimedOut" if name == "silent" else "Failed"
            why = card(page, name, lane).locator(".why")
            expect(why).to_have_text(re.compile("^" + re.escape(reason)))
            if name != "hostile":
                assert why.evaluate("each => each.scrollHeight <= each.clientHeight")
                assert why.evaluate("each => each.scrollWidth <= each.clientWidth")
    world.delete("silent")


def test_a_silent_worker_is_shown_with_what_to_do(world, held, monkeypatch):
    monkeypatch.setattr(view, "SILENT_PART", 0)
    with world.page() as page:
        working = card(page, "held", "InProgress")
        expect(working.locator(".why")).to_have_text(re.compile(r"no heartbeat for \d+ of \d+ s"))
        working.click()
        expect(page.get_by_role("dialog").locator(".error")).to_contain_text("restart it")


def test_a_killed_worker_is_shown_with_what_to_do(world, request, tmp_path, monkeypatch):
    (tmp_path / "waiting.py").write_text(
        "import os\nfrom acknowledger_worker import Worker\n"
        "def wait(job):\n    open(f'{os.getpid()}.pid', 'w').close()\n    job.wait(600)\n"
        "handler = Worker(wait)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(acknowledger, "WorkerProcess", partial(WorkerProcess, pauses=(600,)))
    worker = acknowledger.worker_of(world.cloud, world.stack, "waiting:handler")
    worker.start()
    try:
        # Not before there is the rule that sends its job to the worker.
        request.getfixturevalue("held")
        with world.page() as page:
            [pid] = wait_for(lambda: list(tmp_path.glob("*.pid")), "the job's worker", SECONDS)
            os.kill(int(pid.stem), signal.SIGKILL)
            ended = "The worker waiting:handler ended (Killed)."
            expect(page.get_by_role("alert")).to_have_text(f"{ended} It restarts in 600 s.")
            working = card(page, "held", "InProgress")
            expect(working.locator(".why")).to_have_text("its worker has ended")
            working.click()
            expect(page.get_by_role("dialog").locator(".error")).to_have_text(
                f"{ended} When it runs again, it receives the job within two minutes."
            )
            assert "false" not in page.get_by_role("dialog").inner_text()
    finally:
        worker.stop()
        watched.worker.begin("sample")
        world.cloud.notices.clear()


def test_an_action_of_a_type_that_is_not_served_is_marked(world, monkeypatch):
    monkeypatch.setattr(unserved, "QUEUED_SECONDS", 0)
    kind = "Custom/Test/Nobody/1"
    acknowledger.register(world.cloud, world.stack, kind)
    acknowledger.create_pipeline(world.cloud, "unserved", kind, {"Build": [{"name": "Waiting"}]})
    world.start("unserved")
    with world.page() as page:
        expect(page.get_by_role("alert")).to_contain_text("add it to ActionTypes")
        expect(article(page, "unserved")).to_contain_text("its type is not served")
        world.stop("unserved")
        expect(page.get_by_role("alert")).to_be_hidden()
    world.delete("unserved")


def test_buttons_for_the_next_job_are_shown_only_if_the_worker_supports_them(world):
    with world.page() as page:
        expect(page.get_by_role("button", name="fails", exact=True)).to_be_visible()
        watched.worker.kind = "yours"
        try:
            expect(page.get_by_role("button", name="fails", exact=True)).to_be_hidden()
            expect(page.get_by_role("button", name="is offered twice", exact=True)).to_be_visible()
        finally:
            watched.worker.kind = "sample"
        expect(page.get_by_role("button", name="fails", exact=True)).to_be_visible()


# -- Looks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core."""
    try:
        return (installs.node_modules(AXE) / "axe-core" / "axe.min.js").read_text()
    except installs.NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_to_fix(world, held, approved, axe, width, scheme):
    world.run("plain", "Succeeded")
    world.run("hostile", "Failed")
    world.cloud.notices["worker"] = "The worker ended."
    try:
        with world.page(width=width, height=844) as page:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.evaluate(axe)
            expect(card(page, "held", "InProgress")).to_be_visible()
            page.locator("#switches summary").click()
            check(page)
            card(page, "hostile", "Failed").get_by_role("button").press("Enter")
            expect(page.locator("[data-state=Failed].present")).to_be_visible()
            check(page)
            press(page, "Close")
            for question in ("Stop held …", "Review Sign-off …"):
                press(page, question)
                check(page)
                press(page, "Cancel")
    finally:
        world.cloud.notices.clear()


def check(page: Page) -> None:
    """Check the open dialog, or the whole page, with axe."""
    found = page.evaluate(
        "axe.run(document.querySelector('dialog[open]') ?? document, {resultTypes: ['violations']})"
    )
    told = [
        (each["id"], node["target"], node["failureSummary"])
        for each in found["violations"]
        for node in each["nodes"]
    ]
    assert told == [], json.dumps(told, indent=1)


@pytest.mark.parametrize("jobs", [500, 5000])
def test_the_first_screen_shows_what_matters_with_many_jobs(world, held, jobs):
    with world.page() as page:
        expect(card(page, "held", "InProgress")).to_be_visible()
        before = world.keys()
        working_id = card(page, "held", "InProgress").get_attribute("data-job")
        places = "['[aria-label=\"Start held\"]', '#plots', '#types'].map(each => JSON.stringify(document.querySelector(each).getBoundingClientRect()))"
        at_first = page.evaluate(places)
        now = datetime.now(UTC)
        for number in range(jobs):
            world.rows.put_item(row(number, now))
        for number in range(jobs, jobs + 20):
            world.rows.put_item(row(number, now, "Queued"))
        world.rows.put_item(row(jobs + 20, now, "Failed"))
        total = "[...document.querySelectorAll('.count')].reduce((sum, each) => sum + Number(each.textContent), 0)"
        try:
            wait_for(lambda: page.evaluate(total) == jobs + 21 + len(before), "all jobs", SECONDS)
            # Nothing has moved, although many jobs came.
            assert page.evaluate(places) == at_first
            lane = page.locator(".lane.Succeeded")
            count = int(lane.locator(".count").inner_text())
            expect(lane.locator(".more").first).to_have_text(f"… and {count - 12} more")
            newest = lane.locator("li").first
            expect(newest).to_contain_text("Action-0")
            lane.locator(".more").first.click()
            expect(lane.locator("li")).to_have_count(62)
            # A job that moves is shown in its new lane.
            key = next(key for key in world.rows.items if key.value.startswith("made-"))
            world.rows.items[key].attrs["status"].value = "TimedOut"
            page.wait_for_selector(f".lane.TimedOut li[data-job='{key.value}']")
            page.locator("#find").fill(f"pipeline:made action-{jobs - 1}")
            expect(spoken(page, "found")).to_contain_text(f" of {jobs + 21 + len(before)} jobs")
            expect(page.locator(".lane.Succeeded li", has_text=f"Action-{jobs - 1}")).to_have_count(
                1
            )
            with world.page(width=390, height=844):
                wait_for(
                    lambda: page.evaluate(total) == jobs + 21 + len(before), "all jobs", SECONDS
                )
                start = page.get_by_role("button", name="Start held", exact=True)
                working = page.locator(f".lane li[data-job='{working_id}']")
                tally = page.locator("#tally")
                expect(tally).to_contain_text("20 Queued, 1 InProgress, ")
                expect(tally).to_contain_text(" Succeeded, ")
                for each in (start, tally, working):
                    box = each.bounding_box()
                    assert box
                    assert box["width"] > 20
                    assert box["y"] + box["height"] <= 844
                lanes = [page.locator(f".lane.{each}").bounding_box() for each in ORDER]
                tops = [box["y"] for box in lanes if box]
                assert tops == sorted(tops)
                assert len(tops) >= 4
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        finally:
            for key in [key for key in world.rows.items if key not in before]:
                del world.rows.items[key]


#: The order of the lanes on a phone.
ORDER = ("Queued", "InProgress", "Failed", "Succeeded")


def row(number: int, now: datetime, status: str = "Succeeded") -> dict[str, Any]:
    """A row of a recent job, as the state machine writes it."""
    began = now - timedelta(seconds=number)
    times = {
        reached: {"S": (began + timedelta(seconds=at)).isoformat(timespec="milliseconds")}
        for at, reached in enumerate(STATUSES[: STATUSES.index(status) + 1])
    }
    texts = {
        "jobId": f"made-{number:036}",
        "status": status,
        "actionType": acknowledger.CUSTOM_ACTION_TYPE,
        "pipelineName": f"made-{number % 20}",
        "stageName": "Build",
        "actionName": f"Action-{number}",
    }
    return {
        **{name: {"S": text} for name, text in texts.items()},
        "offers": {"N": "1"},
        "times": {"M": times},
    }


def test_make_pictures_makes_exactly_the_documentations_pictures(tmp_path):
    folder = Path(__file__).parents[2]
    # In a process of its own, since a process has at most one stack.
    command = [sys.executable, "tools/pictures.py", str(tmp_path)]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    made = {path.name for path in tmp_path.iterdir()}
    text = (folder / "docs" / "local-stack.md").read_text()
    assert made == {path.name for path in (folder / "docs").glob("*.png")}
    assert made == set(re.findall(r"\(([\w-]+\.png)\)", text))
