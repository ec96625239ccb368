"""Programs on this machine and named web pages may use the endpoint; other web pages may not."""

import json
import socket
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from local import serve
from local.acknowledger import cloud_with_codepipeline
from local.arguments import Serving, WrongStartError, parser, serving
from local.aws.guard import Guard, OriginError, origin
from local.aws.server import LocalCloud
from local.page import PATH
from local.page.server import FILES
from tests.local.fixtures import programs
from tests.local.fixtures.cloud import REGION, SECONDS, client_of, exchange

HOST = "127.0.0.1:4566"
NAMED = "http://localhost:3000"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = (
    *("/", "/bucket/key", "/2015-03-31/functions", "/moto-api/", "/moto-api/reset"),
    *("/latest/meta-data/iam", "/_local", "/_local/", "/_local/page"),
    *(PATH + name for name in ("start", "events", *FILES)),
    *("/_local/codepipeline/behaviour", "/_local/codepipeline/clock"),
    *("//_local/page/", "/_local/page/../codepipeline/clock"),
)
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-amz-date,x-amz-target",
}


class Guarded:
    """A guarded application that counts its requests and, like moto, allows all origins."""

    def __init__(self) -> None:
        self.count = 0
        guard = Guard(self.answer, host="box.internal", page=PATH, origins=[NAMED])
        self._client = Client(guard)

    def answer(self, environ: Any, start_response: Any) -> Any:
        self.count += 1
        headers = {"Access-Control-Allow-Origin": "*", "access-control-allow-methods": "*"}
        return Response("behind", headers=headers)(environ, start_response)

    def send(self, method: str, path: str, headers: dict[str, str], body: str = "") -> TestResponse:
        return self._client.open(
            path, base_url=f"http://{HOST}", method=method, headers=headers, data=body
        )


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def reason(answer: TestResponse) -> str:
    """Check that a response is a refusal; return its reason."""
    assert answer.status_code == 403
    assert "Access-Control-" not in str(answer.headers)
    return str(answer.json["message"])


# -- Host -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *(HOST, "127.0.0.1", "[::1]:4566", "192.168.1.7:4566", "0.0.0.0:4566"),
        *("localhost:4566", "LocalHost:4566", "bucket.localhost:4566"),
        *("bucket.with.dots.localhost", "host.docker.internal:4566", "box.internal:4566"),
        socket.gethostname(),
    ],
)
def test_requests_to_this_machines_addresses_and_names_pass(guarded, host):
    assert guarded.send("POST", "/", {"Host": host}).text == "behind"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:4566", "evil:4566", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("evil-localhost", "evil.internal", "evil.local", "evil.box.internal"),
        *("bucket.s3.amazonaws.com", "lambda.us-east-1.amazonaws.com"),
        *("localhost@evil.example", "evil.example#localhost", "127.0.0.1,evil.example"),
        *("2130706433", "127.1", "[::1]evil.example", "[localhost]", "localhost:0x50", ""),
    ],
)
def test_a_host_name_that_a_web_site_can_have_is_refused(guarded, host):
    own = f"http://{host}"
    for headers in ({}, {"Origin": own}, {"Origin": NAMED}, {"Sec-Fetch-Site": "same-origin"}):
        for method, path in (("POST", "/"), ("GET", PATH), ("OPTIONS", "/")):
            answer = guarded.send(method, path, {**headers, **PREFLIGHT, "Host": host})
            assert (
                reason(answer) == f"Host: {host!r} is not a name of this machine; use its address"
            )
    assert guarded.count == 0


# -- Origin, Sec-Fetch-Site and Referer -----------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        *(
            {"Origin": origin}
            for origin in (
                *("https://evil.example", "http://127.0.0.1:8080", "https://127.0.0.1:4566"),
                *("http://localhost:4566", "http://127.0.0.1:4566.evil.example", f"{NAMED}0"),
                *("null", ""),
            )
        ),
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "a new one")),
        {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
        NAVIGATION | {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Referer": f"http://{HOST}/"},
        FIREFOX,
        FIREFOX | {"Referer": "https://evil.example/"},
        FIREFOX | {"Referer": "https://[evil/"},
    ],
    ids=str,
)
def test_pages_of_other_sites_are_refused(guarded, sent):
    for method, path in product(METHODS, PATHS):
        answer = guarded.send(method, path, sent | PREFLIGHT, "a" * 1000)
        assert answer.status_code == 403
        if method != "HEAD":
            assert reason(answer).startswith(("Origin: ", "Sec-Fetch-Site: "))
            assert "\n" not in reason(answer)
    assert guarded.count == 0


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"User-Agent": "curl/8.14.1"},
        {"User-Agent": "Boto3/1.44.5"},
        {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; en-GB) WindowsPowerShell/5.1"},
        {"User-Agent": "node", "Sec-Fetch-Mode": "cors"},
        FIREFOX | {"Sec-Fetch-Site": "same-origin"},
        FIREFOX | {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}"},
        FIREFOX | {"Sec-Fetch-Site": "none"},
        FIREFOX | {"Origin": f"http://{HOST}"},
        FIREFOX | {"Referer": f"http://{HOST}{PATH}"},
    ],
    ids=str,
)
def test_programs_and_the_page_itself_are_allowed(guarded, sent):
    for method in METHODS:
        answer = guarded.send(method, f"{PATH}start", sent)
        assert answer.status_code == 200
        assert "access-control-" not in str(answer.headers).lower()
    assert guarded.count == len(METHODS)


@pytest.mark.parametrize(
    "sent",
    [
        FIREFOX | NAVIGATION | {"Sec-Fetch-Site": "cross-site"},
        FIREFOX | NAVIGATION | {"Sec-Fetch-Site": "same-site"},
        FIREFOX,
        FIREFOX | {"Referer": "https://elsewhere.example/"},
    ],
    ids=str,
)
def test_a_link_from_anywhere_opens_the_page_and_nothing_else(guarded, sent):
    assert guarded.send("GET", f"{PATH}?job=1", sent).text == "behind"
    for method, path in (
        ("POST", PATH),
        ("DELETE", PATH),
        ("GET", PATH[:-1]),
        ("GET", f"{PATH}events"),
        ("GET", f"{PATH}page.js"),
        ("GET", "/moto-api/"),
        ("GET", f"/x?{PATH}"),
    ):
        assert reason(guarded.send(method, path, sent))
    assert guarded.count == 1


@pytest.mark.parametrize(
    "sent", [{"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}, {"Origin": "null"}]
)
def test_other_sites_can_neither_frame_nor_fetch_the_page(guarded, sent):
    cross = {"Sec-Fetch-Site": "cross-site"} | NAVIGATION
    assert reason(guarded.send("GET", PATH, cross | sent))
    assert guarded.count == 0


# -- Named origins --------------------------------------------------------------------------------


def test_a_named_origin_may_send_and_see_everything(guarded):
    preflight = guarded.send("OPTIONS", "/", {"Origin": NAMED} | PREFLIGHT)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == NAMED
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    assert allowed == PREFLIGHT["Access-Control-Request-Headers"]
    assert guarded.count == 0
    answer = guarded.send("POST", "/", {"Origin": NAMED, "Sec-Fetch-Site": "same-site"})
    assert answer.text == "behind"
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [NAMED]
    assert answer.headers["Access-Control-Expose-Headers"] == "*"
    assert answer.headers["Vary"] == "Origin"
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize(
    "text", [NAMED, "https://app.example", "http://[::1]:3000", "http://127.0.0.1:65535"]
)
def test_a_valid_origin_is_accepted(text):
    assert origin(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("*", "http://*", "http://*.example", "null", "", "localhost:3000", "http://"),
        *(f"{NAMED}/", f"{NAMED}/app", f"{NAMED},http://b", "http://Localhost:3000"),
        *("http://localhost:80", "https://localhost:443", "http://localhost:0"),
        *("http://localhost:03000", "http://localhost:65536", "http://user@localhost"),
        *("ftp://localhost", "file://"),
    ],
)
def test_an_invalid_origin_is_refused_in_one_line(text):
    with pytest.raises(OriginError):
        origin(text)
    with pytest.raises(WrongStartError) as caught:
        serve.main(Serving(port=0, origins=[NAMED, text]))
    assert str(caught.value).startswith(f"ORIGINS: {text!r} must be an origin ")
    assert "\n" not in str(caught.value)


def test_make_local_passes_on_all_origins():
    given = parser().parse_args(["serve", "--port=0", f"--origins={NAMED} https://app.example"])
    assert serving(given).origins == [NAMED, "https://app.example"]
    assert '--origins="$ORIGINS"' in programs.output_of("make", "--dry-run", "local")


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)],  # noqa: S104
)
def test_the_banner_warns_if_others_can_run_programs(host, warned, monkeypatch, capsys):
    over = Mock(empty=lambda: True)
    monkeypatch.setattr(serve, "until_interrupted", lambda: over)
    assert serve.main(Serving(host=host, port=0, empty=True)) == 0
    over.get.assert_called_once_with()
    assert ("can run programs on it as you" in capsys.readouterr().out) == warned


# -- In front of the endpoint ---------------------------------------------------------------------

# One operation in each protocol.
OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "cloudformation": ("create_stack", {"StackName": "s", "TemplateBody": "{}"}),
    "cloudwatch": ("list_metrics", {}),
    "codepipeline": ("list_pipelines", {}),
    "lambda": ("list_functions", {}),
    "s3": ("create_bucket", {"Bucket": "made"}),
}
SENT_BY_BROWSERS = {
    "Host": "evil.example",
    "Origin": "https://evil.example",
    "Sec-Fetch-Site": "same-site",
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with cloud_with_codepipeline(port=0, region=REGION) as running:
        yield running


@pytest.mark.parametrize("chunk", ["zz\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n"])
def test_a_malformed_body_is_refused_like_any_other(cloud, chunk):
    host, _, port = cloud.endpoint_url.removeprefix("http://").partition(":")
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall((head + chunk).encode())
        assert connection.recv(2**16).startswith(b"HTTP/1.1 403 ")


def add_header(request: Any, *, name: str, value: str, **_: Any) -> None:
    request.headers[name] = value


@pytest.mark.parametrize("service", OPERATIONS)
def test_no_service_gets_requests_of_another_sites_page(cloud, service):
    operation, parameters = OPERATIONS[service]
    client = client_of(cloud.endpoint_url, service)
    for name, value in SENT_BY_BROWSERS.items():
        add = partial(add_header, name=name, value=value)
        client.meta.events.register("before-sign", add, unique_id="sent")
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**parameters)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        if service != "s3":  # for which boto3 has only the status
            assert caught.value.response["Error"]["Message"].startswith(f"{name}: ")
        client.meta.events.unregister("before-sign", add, unique_id="sent")


@pytest.mark.parametrize("method", METHODS)
def test_the_guard_is_in_front_of_every_path(cloud, method):
    for path in (PATH, *PATHS):
        for name, value in SENT_BY_BROWSERS.items():
            status, headers, body = exchange(cloud, method, path, PREFLIGHT | {name: value})
            assert status == 403, path
            assert not [each for each in headers if each.startswith("access-control-")]
            if method != "HEAD":
                assert json.loads(body)["message"].startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("host.docker.internal:4566", "/files/key"),
        ("localhost", "/files/key"),
        ("files.localhost:4566", "/key"),
    ],
)
def test_a_bucket_is_found_by_path_and_by_host(cloud, host, path):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="files")
    s3.put_object(Bucket="files", Key="key", Body="text")
    scope = f"any/20260101/{REGION}/s3/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=a, Signature=a"}
    status, headers, body = exchange(cloud, "GET", path, signed | {"Host": host})
    assert (status, body) == (200, "text")
    assert not [each for each in headers if each.startswith("access-control-")]
