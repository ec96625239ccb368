"""The page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

import moto_codepipeline
from local import acknowledger
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from local.page import PATH
from local.page.view import STATUSES
from tests.local.fixtures.browser import browsing, needs_browser
from tests.support import wait_for

SECONDS = 60
PASSWORD = "a-password-that-nobody-may-see"
HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"

pytestmark = needs_browser

expect.set_options(timeout=SECONDS * 1000)


class World:
    """The stack with pipelines of one action each, and a browser."""

    def __init__(self, cloud: LocalCloud, stack: Stack, browser: Browser) -> None:
        self.cloud = cloud
        self.stack = stack
        self.url = cloud.endpoint_url + PATH
        self._problems: list[str] = []
        # Drawing what moves is most of a browser's work here.
        self._page = browser.new_page(reduced_motion="reduce")
        self._page.on("pageerror", lambda error: self._problems.append(str(error)))
        self._page.on("console", self._note)

    @property
    def emulator(self) -> moto_codepipeline.JobBackend:
        return moto_codepipeline.backend(self.cloud.account_id, self.cloud.region)

    @contextmanager
    def page(self, **viewport: int) -> Iterator[Page]:
        """The page, loaded anew; fails if something in it does."""
        self._problems.clear()
        self._page.set_viewport_size({"width": 1100, "height": 700} | viewport)
        self._page.goto(self.url)
        expect(self._page.locator("#connection")).to_have_text("live")
        yield self._page
        self._page.goto("about:blank")
        assert self._problems == []

    def _note(self, said: ConsoleMessage) -> None:
        # That a request was refused may be, and is told here too.
        if said.type == "error" and "Failed to load resource" not in said.text:
            self._problems.append(said.text)

    def create(self, name: str, **configuration: str) -> None:
        role = self.cloud.client("iam").get_role(RoleName=acknowledger.PIPELINE_ROLE)["Role"]["Arn"]
        action = {"name": f"{name}-action", "configuration": configuration}
        declared = acknowledger.pipeline(
            name, acknowledger.CUSTOM_ACTION_TYPE, {"Build": [action]}, role
        )
        self.cloud.client("codepipeline").create_pipeline(pipeline=declared)

    def start(self, name: str) -> None:
        self.cloud.client("codepipeline").start_pipeline_execution(name=name)

    def ended(self, name: str, status: str) -> None:
        """Wait until a pipeline's latest execution has ended so."""

        def has() -> bool:
            return any(
                (each["name"], each["status"]) == (name, status)
                for each in self.emulator.overview()
            )

        wait_for(has, f"{name} to be {status}", SECONDS)

    def answer(self, job_id: str | None, **result: Any) -> None:
        """Be the worker of a job that the sample worker has left hanging."""
        [row] = [item.attrs for key, item in self.rows.items.items() if key.value == job_id]
        step_functions = self.cloud.client("stepfunctions")
        history = step_functions.get_execution_history(
            executionArn=row["execution"].value, reverseOrder=True
        )
        scheduled = next(each for each in history["events"] if each["type"] == "TaskScheduled")
        [entry] = json.loads(scheduled["taskScheduledEventDetails"]["parameters"])["Entries"]
        step_functions.send_task_success(
            taskToken=entry["Detail"]["taskToken"], output=json.dumps(result)
        )

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


def card(page: Page, name: str, status: str) -> Locator:
    """The latest card of a pipeline's action in a lane."""
    return page.locator(f".lane.{status} li").filter(has_text=f"{name}-action").first


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_job_is_seen_to_move_and_a_click_shows_its_way(world: World) -> None:
    with world.page() as page:
        press(page, "Start held")
        expect(page.locator("#said")).to_have_text("Pipeline held is started.")
        working = card(page, "held", "InProgress")
        expect(working).to_be_visible()
        job_id = working.get_attribute("data-job")
        working.click()
        state = page.locator("[data-state=InProgress]")
        expect(state).to_have_class("state Task entered present running")
        # It moves on while its way is open, and behind it.
        world.answer(job_id, executionDetails={"summary": "Held for long enough"})
        expect(page.locator("[data-state=Succeeded]")).to_have_class(
            "state Succeed entered present"
        )
        expect(state).to_have_class("state Task entered")
        assert card(page, "held", "Succeeded").get_attribute("data-job") == job_id
        dialog = page.get_by_role("dialog", name="held-action")
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
        press(page, "Close")
        expect(dialog).to_be_hidden()
        expect(page.locator(".pipeline", has_text="held").locator(".status")).to_have_text(
            "Succeeded"
        )


def test_it_can_be_used_without_a_mouse(world: World) -> None:
    for name in ("plain", "hostile"):
        world.start(name)
    world.ended("plain", "Succeeded")
    world.ended("hostile", "Failed")
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
        focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert focused.startswith("hostile-action, pipeline hostile, Build: Failed, ")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="hostile-action")
        expect(dialog.locator(".error")).to_contain_text("ConfigurationError")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == focused


def test_what_a_job_brings_along_stays_text(world: World) -> None:
    world.start("hostile")
    world.ended("hostile", "Failed")
    with world.page() as page:
        card(page, "hostile", "Failed").click()
        value = page.get_by_role("dialog").locator("dt:text-is('Outcome') + dd")
        expect(value).to_have_text(HOSTILE)
        assert page.title() == "Acknowledger"
        assert page.locator("dialog script, dialog img").count() == 0


def test_buttons_decide_what_becomes_of_the_next_job(world: World) -> None:
    with world.page() as page:
        for button in ("fails", "is offered twice"):
            press(page, button)
            expect(page.locator("#wanted")).to_contain_text("Wanted of jobs to come")
            before = set(world.rows.items)
            press(page, "Start plain")
            world.ended("plain", "Failed" if button == "fails" else "Succeeded")
            expect(page.locator("#wanted")).to_have_text("")
            [new] = set(world.rows.items) - before
            offers = "2 offers" if button == "is offered twice" else ""
            expect(page.locator(f"[data-job='{new.value}'] .age")).to_contain_text(offers)


def test_a_switch_is_turned_and_what_it_cannot_be_is_said(world: World) -> None:
    with world.page() as page:
        page.locator("#switches summary").click()
        page.get_by_label("nonce_rotates").select_option("false")
        expect(page.locator("#said")).to_have_text("nonce_rotates is false now.")
        assert world.emulator.behaviour.nonce_rotates is False
        seconds = page.get_by_label("acknowledge_seconds")
        seconds.fill("soon")
        seconds.press("Tab")
        expect(page.locator("#said")).to_have_text(
            'acknowledge_seconds must be a number from 0, not "soon"'
        )
        expect(seconds).to_have_value("60")
        # What is turned elsewhere is seen.
        world.emulator.behaviour.continuation_seconds = 7
        expect(page.get_by_label("continuation_seconds")).to_have_value("7")
        world.emulator.behaviour = moto_codepipeline.Behaviour()
        expect(page.get_by_label("nonce_rotates")).to_have_value("true")


def test_a_notice_is_shown_while_there_is_one(world: World) -> None:
    with world.page() as page:
        expect(page.locator("#notices")).to_be_hidden()
        world.cloud.notices["worker"] = "The worker ended."
        expect(page.get_by_role("alert")).to_have_text("The worker ended.")
        world.cloud.notices.clear()
        expect(page.locator("#notices")).to_be_hidden()


@pytest.mark.slow
def test_a_thousand_jobs_are_usable(world: World) -> None:
    before = len(world.rows.items)
    now = datetime.now(UTC)
    for number in range(1000 - before):
        world.rows.put_item(row(number, now))
    with world.page(width=400) as page:
        total = "[...document.querySelectorAll('.count')].reduce((sum, each) => sum + Number(each.textContent), 0)"
        page.wait_for_function(f"{total} === 1000")
        assert page.locator(".lane li").count() <= 12 * len(STATUSES)
        lane = page.locator(".lane.Succeeded")
        count = int(lane.locator(".count").inner_text())
        expect(lane.locator(".more")).to_have_text(f"… and {count - 12} more")
        lane.locator(".more").click()
        page.wait_for_function(
            f"document.querySelectorAll('.lane.Succeeded li').length === {count}"
        )
        # One that moves is seen to, among all of them.
        key = next(iter(world.rows.items))
        world.rows.items[key].attrs["status"].value = "TimedOut"
        page.wait_for_selector(f".lane.TimedOut li[data-job='{key.value}']")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def row(number: int, now: datetime) -> dict[str, Any]:
    """A row as the state machine writes them, of a job that succeeded lately."""
    began = now - timedelta(seconds=number)
    times = {
        status: {"S": (began + timedelta(seconds=at)).isoformat(timespec="milliseconds")}
        for at, status in enumerate(STATUSES[:5])
    }
    texts = {
        "jobId": f"made-{number:036}",
        "status": "Succeeded",
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
