"""Pages of other sites in a real browser try to use the endpoint."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page

from local.acknowledger import cloud_with_codepipeline
from local.aws import guard
from local.aws.server import LocalCloud
from local.page import PATH
from tests.local.fixtures.browser import browsing, needs_browser
from tests.local.fixtures.cloud import REGION, SECONDS
from tests.support import wait_for

pytestmark = [needs_browser, pytest.mark.slow]

RESET = "/moto-api/reset"
EVENTS = f"{PATH}events"


def signed() -> dict[str, str]:
    """The headers that an SDK in a browser sends to S3."""
    scope = f"any/20260101/{REGION}/s3/aws4_request"
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=a",
        "Content-Type": "application/json",
        "X-Amz-Date": "20260101T000000Z",
        "X-Amz-User-Agent": "aws-sdk-js/3",
        "amz-sdk-invocation-id": "any",
        "amz-sdk-request": "attempt=1; max=3",
    }


class Site(BaseHTTPRequestHandler):
    """A web site with an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>A site</title>")

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class World:
    """A cloud with a queue, a web site under several names, and a browser's page.

    ``refused`` has the method, path and reason of every request that the guard refused.
    """

    cloud: LocalCloud
    page: Page
    site_port: int
    refused: list[tuple[str, str, str]]

    def ask(self, host: str, script: str, url: str, init: dict[str, Any] | None = None) -> Any:
        """Run a script with ``url`` and ``init`` in the site's page under a host.

        ``url`` may be a path on the endpoint.
        """
        self.page.goto(f"http://{host}:{self.site_port}/")
        self.refused.clear()
        values = [urljoin(self.cloud.endpoint_url, url), init or {}]
        return self.page.evaluate(f"async ([url, init]) => {{ {script} }}", values)

    def untouched(self) -> bool:
        """Whether nothing was deleted."""
        return len(self.cloud.client("sqs").list_queues().get("QueueUrls", [])) == 1


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    refused: list[tuple[str, str, str]] = []
    refuse = guard._refuse

    def noted(environ: Any, problem: str) -> Any:
        refused.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], problem))
        return refuse(environ, problem)

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site, pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "_refuse", noted)
        port = site.server_port
        serving = Thread(target=site.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        names = ("*.example", socket.gethostname())
        rules = ",".join(f"MAP {name} 127.0.0.1" for name in names)
        with (
            cloud_with_codepipeline(
                port=0, region=REGION, origins=[f"http://named.example:{port}"]
            ) as cloud,
            browsing(f"--host-resolver-rules={rules}") as browser,
        ):
            cloud.client("sqs").create_queue(QueueName="here")
            yield World(cloud, browser.new_page(), port, refused)
        site.shutdown()
        serving.join(SECONDS)


FETCH = "return fetch(url, init).then(answer => answer.type, error => error.name)"
FORM = """
    const form = document.createElement("form"), frame = document.createElement("iframe");
    frame.name = "inside";
    Object.assign(form, {method: "POST", action: url, enctype: "text/plain", target: init.target});
    document.body.append(form, frame);
    form.submit();
"""
FRAME = """
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
"""
IMAGE = """return new Promise(done => Object.assign(
    new Image(), {src: url, onload: () => done("shown"), onerror: () => done("error")}))"""
SCRIPT = """return new Promise(done => document.head.append(
    Object.assign(document.createElement("script"), {src: url, onerror: () => done("error")})))"""
STREAM = """return new Promise(done => {
    const source = new EventSource(url);
    source.onmessage = () => done("told");
    source.onerror = () => done("error");
})"""
NO_CORS = {"mode": "no-cors"}

# What a page does, the method and path that the guard sees, `init`, and what the page gets.
TRIES: dict[str, tuple[str, str, str, dict[str, Any], Any]] = {
    "fetch": (FETCH, "GET", "/moto-api/data.json", {}, "TypeError"),
    "fetch without CORS": (FETCH, "GET", "/bucket/key", NO_CORS, "opaque"),
    "fetch that posts": (FETCH, "POST", RESET, {"method": "POST"}, "TypeError"),
    "fetch that posts without CORS": (
        FETCH,
        "POST",
        RESET,
        NO_CORS | {"method": "POST", "body": "a" * 300_000},
        "opaque",
    ),
    "fetch with a preflight": (FETCH, "OPTIONS", RESET, {"method": "PUT"}, "TypeError"),
    "a beacon": ("return navigator.sendBeacon(url, 'a')", "POST", RESET, {}, True),
    "a form": (FORM, "POST", RESET, {"target": "inside"}, None),
    "a frame": (FRAME, "GET", PATH, {}, None),
    "an image": (IMAGE, "GET", "/_local/codepipeline/clock", {}, "error"),
    "a script": (SCRIPT, "GET", f"{PATH}page.js", {}, "error"),
    "an event stream": (STREAM, "GET", EVENTS, {}, "error"),
    "a window": ("window.open(url)", "GET", "/moto-api/", {}, None),
}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1"])
@pytest.mark.parametrize("way", TRIES)
def test_pages_of_other_sites_read_and_change_nothing(world, way, host):
    script, method, path, init, outcome = TRIES[way]
    assert world.ask(host, script, path, init) == outcome
    wait_for(lambda: world.refused, "the guard to refuse", SECONDS)
    for refused in world.refused:
        assert refused[:2] == (method, path)
        assert refused[2].startswith(("Origin: web pages of http://", "Sec-Fetch-Site: web pages "))
    assert world.untouched()
    for window in world.page.context.pages[1:]:
        window.close()


def test_a_form_shows_why_it_was_refused(world):
    world.ask("evil.example", FORM, RESET, {"target": "_self"})
    world.page.wait_for_url(f"**{RESET}")
    assert "web pages of http://evil.example" in world.page.inner_text("body")


def test_a_link_of_another_site_opens_the_page(world):
    world.ask("evil.example", "location.href = url", PATH)
    world.page.wait_for_url(f"**{PATH}")
    world.page.wait_for_selector("#connection:text-is('live')")
    assert world.refused == []


@pytest.mark.skipif("localhost" in socket.gethostname(), reason="browsers know that name")
def test_without_sec_fetch_site_the_page_works_and_other_sites_are_refused(world):
    endpoint = world.cloud.endpoint_url.replace("127.0.0.1", socket.gethostname())
    world.ask("evil.example", "location.href = url", endpoint + PATH)
    world.page.wait_for_selector("#connection:text-is('live')")
    post = """async () => (await fetch("/_local/codepipeline/next-jobs", {method: "POST", body: "{}"})).status"""
    assert world.page.evaluate(post) == 400  # from the page itself
    assert world.refused == []
    silent = IMAGE.replace("{src", "{referrerPolicy: 'no-referrer', src")
    for script in (IMAGE, silent):
        assert world.ask("evil.example", script, f"{endpoint}/moto-api/data.json") == "error"
        [(_, _, problem)] = world.refused
        assert problem.startswith("Sec-Fetch-Site: this browser does not say which web page sent")


def test_an_object_opened_in_the_browser_runs_no_script(world):
    s3 = world.cloud.client("s3")
    s3.create_bucket(Bucket="files")
    body = f"<title>An object</title><script>fetch('{RESET}', {{method: 'POST'}})</script>"
    s3.put_object(Bucket="files", Key="a.html", Body=body, ContentType="text/html")
    said: list[str] = []
    world.page.once("console", lambda message: said.append(message.text))
    world.page.goto(
        s3.generate_presigned_url("get_object", Params={"Bucket": "files", "Key": "a.html"})
    )
    assert world.page.title() == "An object"
    wait_for(lambda: world.page.title() and said, "the browser to complain", SECONDS)
    assert "script execution" in said[0].lower() or "sandboxed" in said[0]
    assert world.untouched()


CALL = """
    const answer = await fetch(url, init);
    return [answer.status, await answer.text(), answer.headers.get(init.wanted ?? "ETag")];
"""


def test_a_named_origin_may_do_what_a_program_may(world):
    named, s3 = "named.example", signed()
    coloured = s3 | {"x-amz-meta-colour": "red"}
    assert world.ask(named, CALL, "/own", {"method": "PUT", "headers": s3})[0] == 200
    put = {"method": "PUT", "headers": coloured, "body": "text"}
    status, _, etag = world.ask(named, CALL, "/own/key", put)
    assert status == 200
    assert etag
    get = {"headers": s3, "wanted": "x-amz-meta-colour"}
    assert world.ask(named, CALL, "/own/key", get) == [200, "text", "red"]
    assert world.ask(named, CALL, "/own/key", {"method": "DELETE", "headers": s3})[0] == 204
    assert world.refused == []


def test_a_named_origin_shows_an_image(world):
    s3 = world.cloud.client("s3")
    s3.create_bucket(Bucket="images")
    image = {"Bucket": "images", "Key": "image.svg"}
    body = '<svg xmlns="http://www.w3.org/2000/svg"/>'
    s3.put_object(**image, Body=body, ContentType="image/svg+xml")
    url = s3.generate_presigned_url("get_object", Params=image)
    path = url.removeprefix(world.cloud.endpoint_url)
    assert world.ask("named.example", IMAGE, path) == "shown"
    assert world.ask("evil.example", IMAGE, path) == "error"
