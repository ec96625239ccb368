import socket
import threading
from contextlib import closing
from http.client import HTTPConnection, HTTPException

import pytest

from local.aws import http


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise RuntimeError("no answer")
    if path == "/lost":
        raise ConnectionAbortedError
    body = environ["wsgi.input"].read() if path == "/read" else path.encode()
    length = len(body) + {"/short": 1, "/long": -1}.get(path, 0)
    start_response("200 OK", [("Content-Length", str(length))] if path != "/stream" else [])
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
    ("path", "header", "body", "expected"),
    [
        ("/stream", "Content-Length: 0", "", "/stream"),
        ("/read", "Connection: close\r\nContent-Length: 4", "body", "body"),
        ("/unread", "Content-Length: many", "", "/unread"),
        ("/unread", "Content-Length: 5\r\nContent-Length: 0", "", "/unread"),
        ("/unread", "Content-Length : 5", "", "/unread"),
        ("/read", "Transfer-Encoding: chunked", "4\r\nbody\r\n0\r\n\r\n", "body"),
    ],
)
def test_a_connection_is_closed_if_an_end_is_not_certain(server, path, header, body, expected):
    request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n{body}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as answered:
            head, _, rest = answered.read().decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ")
    assert "Connection: close" in head
    assert rest == expected


@pytest.mark.parametrize("path", ["/short", "/long"])
def test_a_connection_is_closed_after_a_body_of_another_length_than_declared(server, path):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with connection.makefile("rb") as answered:
            assert answered.read().decode().endswith(f"\r\n\r\n{path}")


def test_a_request_without_a_version_is_refused(server, capfd):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /read\r\n\r\n")
        with connection.makefile("rb") as answered:
            assert "HTTP Version Not Supported" in answered.read().decode()
    assert capfd.readouterr().err == ""


def test_a_failure_is_logged_and_answered(connection, caplog):
    response = answer(connection, "/fails")
    assert (response.status, b"no answer" in response.read()) == (500, False)
    assert "POST /fails failed" in caplog.text
    assert answer(connection, "/read", b"next").read() == b"next"


def test_a_lost_connection_is_closed_without_an_answer_or_a_log(connection, caplog):
    with pytest.raises((ConnectionError, HTTPException)):
        answer(connection, "/lost")
    assert caplog.text == ""


def test_a_stopped_server_answers_no_request_of_an_open_connection(server, connection):
    answer(connection, "/read").read()
    server.shutdown()
    server.server_close()
    with pytest.raises((ConnectionError, HTTPException)):
        answer(connection, "/read")
