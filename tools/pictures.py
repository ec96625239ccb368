"""Takes the documentation's screenshots of the local stack's page: `make pictures`.

It runs a local stack with two pipelines, and uses the Chromium or Chrome on the PATH.
"""

import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, ViewportSize, expect

sys.path.insert(0, str(Path(__file__).parent.parent))

from local import acknowledger, demo
from local.aws import isolation
from local.page import PATH
from tests.local.fixtures.browser import browsing

FOLDER = Path("docs")
SECONDS = 60
WIDE = ViewportSize(width=1280, height=860)
PHONE = ViewportSize(width=390, height=844)


def main(folder: Path = FOLDER) -> None:
    """Make `page.png`, `page-job.png` and `page-phone.png` in a folder."""
    isolation.isolate()
    expect.set_options(timeout=SECONDS * 1000)
    with acknowledger.running() as (cloud, _), browsing() as browser:
        acknowledger.create_sample_pipeline(
            cloud, acknowledger.CUSTOM_ACTION_TYPE, sample_worker=True
        )
        demo.start(cloud)
        page = browser.new_page(reduced_motion="reduce", color_scheme="light", viewport=WIDE)
        page.goto(cloud.endpoint_url + PATH)
        expect(card(page, "Failed", "Broken")).to_be_visible()
        page.get_by_role("button", name="Start sample", exact=True).click()
        expect(card(page, "InProgress", "Integration")).to_be_visible()
        expect(page.locator("#tally")).to_contain_text("Failed")
        page.locator("#said").evaluate("said => said.replaceChildren()")
        page.screenshot(path=folder / "page.png")
        page.set_viewport_size(PHONE)
        page.screenshot(path=folder / "page-phone.png")
        page.set_viewport_size(WIDE)
        card(page, "Failed", "Broken").click()
        expect(page.locator("[data-state=Failed].present")).to_be_visible()
        page.screenshot(path=folder / "page-job.png")


def card(page: Page, status: str, action: str) -> Locator:
    return page.locator(f".lane.{status} li button").filter(has_text=action).first


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
