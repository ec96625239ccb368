"""What can be set up for the next job, to try things out."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from codepipeline_fixtures import Service, action_type, at_once, configuration_property
from codepipeline_served import call, served_service


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[Service, str]]:
    with served_service() as (service, url):
        service.backend.behaviour = at_once()
        service.api.create_custom_action_type(
            **action_type(
                configurationProperties=[
                    configuration_property(name, required=False) for name in ("Outcome", "Input")
                ]
            )
        )
        plain = service.register(provider="Plain")
        service.create(
            [
                service.action("First", configuration={"Outcome": "Succeed", "Input": "x"}),
                service.action("Second", configuration={"Input": "y"}, runOrder=2),
            ]
        )
        service.create([{"name": "Other", "actionTypeId": plain}], name="plain")
        yield service, f"{url}/_local/codepipeline/next-jobs"


def wish_for(url: str, body: Any) -> tuple[int, Any]:
    return call(url, "POST", json.dumps(body))


def configuration(job: dict[str, Any]) -> Any:
    return job["data"]["actionConfiguration"]["configuration"]


def test_only_the_next_job_has_the_configuration_that_was_set_up(
    endpoint: tuple[Service, str],
) -> None:
    service, url = endpoint
    wish = {"configuration": {"Outcome": "Fail"}, "offer_twice": False}
    assert wish_for(url, {"configuration": {"Outcome": "Fail"}}) == (200, {"next_jobs": [wish]})
    assert call(url) == (200, {"next_jobs": [wish]})
    # It is for the next job whose type has the property.
    service.start("plain")
    assert call(url) == (200, {"next_jobs": [wish]})
    service.start()
    assert call(url) == (200, {"next_jobs": []})
    [first] = service.poll()
    assert configuration(first) == {"Outcome": "Fail", "Input": "x"}
    assert (
        service.worker.details(first)["data"]["actionConfiguration"]
        == first["data"]["actionConfiguration"]
    )
    service.acknowledge(first)
    service.succeed(first)
    [second] = service.poll()
    assert configuration(second) == {"Input": "y"}
    service.acknowledge(second)
    service.fail(second)
    # The pipeline keeps its own configuration.
    service.start()
    [again] = service.poll()
    assert configuration(again) == {"Outcome": "Succeed", "Input": "x"}
    service.acknowledge(again)
    service.fail(again)


def test_offer_twice_offers_the_job_once_more_at_once(endpoint: tuple[Service, str]) -> None:
    service, url = endpoint
    assert wish_for(url, {"offer_twice": True})[0] == 200
    service.start()
    [offer] = service.poll()
    [again] = service.poll()
    assert (again["id"], again["nonce"] == offer["nonce"]) == (offer["id"], False)
    assert service.poll() == []
    with pytest.raises(service.api.exceptions.InvalidNonceException):
        service.acknowledge(offer)
    assert service.acknowledge(again) == "InProgress"
    service.fail(again)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"configuration": {"Outcome": 1}},
        {"configuration": []},
        {"offer_twice": "yes"},
        {"offers": 2},
    ],
)
def test_an_invalid_request_for_the_next_job_is_refused(
    endpoint: tuple[Service, str], body: Any
) -> None:
    _, url = endpoint
    status, answer = wish_for(url, body)
    assert status == 400
    assert answer["message"].startswith("The body must")
    assert call(url) == (200, {"next_jobs": []})


def overview(service: Service, name: str) -> dict[str, Any]:
    return next(each for each in service.backend.overview() if each["name"] == name)


def reached(pipeline: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["name"], each["status"], each["execution"]) for each in pipeline["stages"]]


def test_everything_known_about_a_job_and_pipelines_is_shown(endpoint: tuple[Service, str]) -> None:
    service, _ = endpoint
    assert service.backend.job_state("no job") is None
    first = service.start()
    [job] = service.poll()
    told = service.backend.job_state(job["id"])
    assert told is not None
    assert (told["status"], told["withdrawn"]) == ("Dispatched", False)
    assert told["action"]["status"] == "InProgress"
    release = overview(service, "release")
    assert release["status"] == "InProgress"
    assert reached(release) == [("Source", "Succeeded", first), ("Stage2", "InProgress", first)]
    both = {"type": "Custom/Build/Builder/1", "token": None, "error": None}
    assert release["stages"][1]["held"] is None
    offered = {"status": "InProgress", "jobId": job["id"], "jobStatus": "Dispatched"}
    assert release["stages"][1]["actions"] == [
        both | offered | {"name": "First"},
        both | dict.fromkeys(offered) | {"name": "Second"},
    ]
    place = {"pipelineName": "release", "stageName": "Stage2", "transitionType": "Inbound"}
    service.api.disable_stage_transition(**place, reason="for lunch")
    release = overview(service, "release")
    assert release["stages"][1]["held"] == "for lunch"
    # A stage shows the latest execution that reached it.
    second = service.start()
    release = overview(service, "release")
    assert reached(release) == [("Source", "Succeeded", second), ("Stage2", "InProgress", first)]
    assert release["stages"][1]["actions"][0]["jobId"] == job["id"]
    assert list(release["underWay"].items()) == [(second, None), (first, "InProgress")]
    service.api.enable_stage_transition(**place)
    service.create(name="never")
    never = overview(service, "never")
    assert (never["status"], never["underWay"]) == (None, {})
    assert (never["stages"][1]["status"], never["stages"][1]["execution"]) == (None, None)
