"""Switches by name, from the command line and over HTTP, and the clock over HTTP."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from codepipeline_fixtures import Service, at_once
from codepipeline_served import call, served_service
from moto_codepipeline import Behaviour
from moto_codepipeline.switches import SwitchError, change, read, switches, values

REFUSED = [
    ("nonce_rotate", "true", "There is no switch 'nonce_rotate'; there are acknowledge_seconds"),
    ("third_party_job_ids", "1", "There is no switch 'third_party_job_ids'"),
    ("nonce_rotates", "1", "nonce_rotates must be true or false, not 1"),
    ("acknowledge_seconds", "-1", "acknowledge_seconds must be a number from 0, not -1"),
    ("acknowledge_seconds", "NaN", "acknowledge_seconds must be a number from 0, not NaN"),
    ("acknowledge_seconds", "true", "acknowledge_seconds must be a number from 0, not true"),
    ("default_batch_size", "1.5", "default_batch_size must be a whole number from 1, not 1.5"),
    ("batch_cap", "0", "batch_cap must be a whole number from 1, or null, not 0"),
    ("throttle", "[]", "throttle must be a whole number from 0, or null, not []"),
    (
        "repeated_acknowledgment",
        '"maybe"',
        'repeated_acknowledgment must be "InvalidNonceException" or "status", not "maybe"',
    ),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[Service, str]]:
    with served_service() as (service, url):
        yield service, f"{url}/_local/codepipeline/"


def test_every_field_except_functions_is_a_switch() -> None:
    names = {each.name for each in fields(Behaviour)}
    assert names - set(switches()) == {"third_party_job_ids"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nonce_rotates=false", False),
        ("nonce_rotates = False", False),
        ("acknowledge_seconds=5", 5),
        ("acknowledge_seconds=0.5", 0.5),
        ("batch_cap=10", 10),
        ("batch_cap=None", None),
        ("throttle=null", None),
        ("repeated_acknowledgment=status", "status"),
        ('acknowledge_of_ended="status"', "status"),
    ],
)
def test_a_text_sets_a_switch(text: str, value: object) -> None:
    behaviour = Behaviour(batch_cap=1, throttle=1)
    change(behaviour, read([text]))
    assert values(behaviour)[text.partition("=")[0].strip()] == value


@pytest.mark.parametrize(("name", "text", "message"), REFUSED)
def test_a_wrong_switch_or_value_is_refused_by_name(name: str, text: str, message: str) -> None:
    behaviour = Behaviour()
    with pytest.raises(SwitchError) as caught:
        change(behaviour, {"events_twice": True} | read([f"{name}={text}"]))
    assert str(caught.value).startswith(message)
    assert behaviour == Behaviour()


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(SwitchError, match="'nonce_rotates' is not of the form name=value"):
        read(["nonce_rotates"])


def test_switches_are_shown_and_changed_while_it_runs(endpoint: tuple[Service, str]) -> None:
    service, url = endpoint
    assert call(url + "behaviour") == (200, values(at_once()))
    changed = values(at_once(nonce_rotates=False, batch_cap=3))
    body = '{"nonce_rotates": false, "batch_cap": 3}'
    assert call(url + "behaviour", "PATCH", body) == (200, changed)
    assert service.behaviour == at_once(nonce_rotates=False, batch_cap=3)
    body = '{"nonce_rotates": true, "batch_cap": null}'
    assert call(url + "behaviour", "PATCH", body) == (200, values(at_once()))


def test_another_region_has_its_own_switches(endpoint: tuple[Service, str]) -> None:
    _, url = endpoint
    elsewhere = url + "behaviour?region=us-west-2"
    call(elsewhere, "PATCH", '{"events_twice": true}')
    assert call(elsewhere)[1]["events_twice"]
    assert not call(url + "behaviour")[1]["events_twice"]
    assert call(url + "behaviour?region=moon-1") == (
        400,
        {"message": "region: there is no 'moon-1'"},
    )


@pytest.mark.parametrize(("name", "text", "message"), REFUSED)
def test_http_refuses_with_the_same_messages(
    endpoint: tuple[Service, str], name: str, text: str, message: str
) -> None:
    service, url = endpoint
    status, answer = call(url + "behaviour", "PATCH", f'{{"events_twice": true, "{name}": {text}}}')
    assert status == 400
    assert answer["message"].startswith(message)
    assert service.behaviour == at_once()


def test_a_request_moves_the_clock_and_what_is_due_happens(endpoint: tuple[Service, str]) -> None:
    service, url = endpoint
    job = service.job()
    service.succeed(job, continuationToken="t")
    assert service.poll() == []
    before = call(url + "clock")[1]["now"]
    assert call(url + "clock", "POST", '{"advance_seconds": 30}') == (200, {"now": before + 30})
    assert len(service.poll()) == 1


@pytest.mark.parametrize(
    ("path", "method", "body", "status", "message"),
    [
        ("clock", "POST", '{"advance_seconds": -1}', 400, '{"advance_seconds": a number from 0}'),
        ("clock", "POST", '{"advance_seconds": true}', 400, '{"advance_seconds": a number from 0}'),
        ("clock", "POST", '{"advance_seconds": NaN}', 400, '{"advance_seconds": a number from 0}'),
        ("clock", "POST", '{"seconds": 1}', 400, '{"advance_seconds": a number from 0}'),
        ("clock", "POST", "{", 400, "The body must be a JSON object"),
        ("behaviour", "PATCH", "[]", 400, "The body must be a JSON object"),
        ("behaviour", "PUT", "{}", 405, "/_local/codepipeline/behaviour takes GET and PATCH"),
        ("clock", "DELETE", None, 405, "/_local/codepipeline/clock takes GET and POST"),
        ("nothing", "GET", None, 404, "There are /_local/codepipeline/behaviour and"),
    ],
)
def test_an_invalid_request_is_refused(
    endpoint: tuple[Service, str],
    path: str,
    method: str,
    body: str | None,
    status: int,
    message: str,
) -> None:
    service, url = endpoint
    before = service.clock.now()
    answered, answer = call(url + path, method, body)
    assert answered == status
    assert message in answer["message"]
    assert service.clock.now() == before
