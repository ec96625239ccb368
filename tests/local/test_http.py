import threading
from contextlib import closing
from http.client import HTTPConnection, HTTPException

import pytest

from local.aws import http


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise RuntimeError("no answer")
    body = environ["wsgi.input"].read() if path == "/read" else path.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))] if path != "/stream" else [])
    return [body[:3], body[3:]]


@pytest.fixture
def server():
    made = http.Server("127.0.0.1", 0, application, http.Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def connection(server):
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as made:
        yield made


def answer(connection, path, body=None, **headers):
    connection.request("POST", path, body, headers)
    return connection.getresponse()


@pytest.mark.parametrize("path", ["/read", "/unread"])
def test_a_connection_is_used_again_whether_the_body_was_read_or_not(connection, path):
    for _ in range(2):
        expected = b"first" if path == "/read" else path.encode()
        assert answer(connection, path, b"first").read() == expected
        assert connection.sock  # HTTPConnection's own, if the server keeps it open


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/stream", {}),
        ("/read", {"Connection": "close"}),
        ("/unread", {"Content-Length": "many"}),
        ("/unread", {"Content-Length": "5", "content-length": "0"}),
        ("/unread", {"Content-Length ": "5"}),
        ("/read", {"Transfer-Encoding": "chunked"}),
    ],
)
def test_a_connection_is_closed_if_an_end_is_not_certain(connection, path, headers):
    chunked = "Transfer-Encoding" in headers
    body = iter([b"stream"]) if chunked else None
    connection.request("POST", path, body, headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert response.will_close
    assert response.read() in (path.encode(), b"stream", b"")


def test_a_failure_is_logged_and_answered(connection, caplog):
    response = answer(connection, "/fails")
    assert (response.status, b"no answer" in response.read()) == (500, False)
    assert "POST /fails failed" in caplog.text
    assert answer(connection, "/read", b"next").read() == b"next"


def test_a_stopped_server_answers_no_request_of_an_open_connection(server, connection):
    answer(connection, "/read").read()
    server.shutdown()
    server.server_close()
    with pytest.raises((ConnectionError, HTTPException)):
        answer(connection, "/read")
