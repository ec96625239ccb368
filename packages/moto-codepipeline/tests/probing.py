"""The probe at an HTTP endpoint whose clock the test moves, and random settings for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import jsonpath_ng.ext
from moto import mock_aws
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from werkzeug.wrappers import Request, Response

from codepipeline_fixtures import ACCOUNT, REGION, action_type, client
from codepipeline_role import TRUST
from moto_codepipeline import JobBackend, ManualClock, backend, http, switches
from moto_codepipeline.probe.calls import Calls, Time
from moto_codepipeline.probe.facts import FACTS
from moto_codepipeline.probe.place import Place
from moto_codepipeline.probe.questions import NOT_ASKED, QUESTIONS, Question
from moto_codepipeline.probe.run import Record, run
from moto_codepipeline.probe.trials import Probe
from moto_codepipeline.testing import make_bucket

PREFIX = "codepipeline-probe"
PARTNER = {
    "category": "Deploy",
    "owner": "ThirdParty",
    "provider": f"{PREFIX}-partner",
    "version": "1",
}


class ServedTime(Time):
    """The clock of the probed CodePipeline. It stands still, except while the probe waits."""

    def __init__(self, service: JobBackend) -> None:
        self.service = service

    def now(self) -> float:
        return self.service.clock.now()

    def wait(self, seconds: float) -> None:
        self.service.clock.advance(seconds)
        self.service.tick()


@dataclass
class Asked:
    """A CodePipeline, and the calls that the probe has recorded. Without a URL it is in process."""

    service: JobBackend
    url: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    note: Callable[[dict[str, Any]], None] | None = None

    def probe(self) -> Probe:
        """A new probe, as in a program that has just started."""
        note = self.note or self.lines.append
        calls = Calls(REGION, self.url or None, ServedTime(self.service), note)
        token = self.service.client_token(self.service.default_client_id)
        return Probe(calls, Place(calls, PREFIX), PARTNER, token)


def random_settings(random: Random) -> dict[str, Any]:
    """A value of every switch."""
    setting = {
        name: random.choice(switches.choices(name) or NUMBERS[name]) for name in switches.switches()
    }
    large = {name: random.choice(numbers) for name, numbers in LARGE.items()}
    return setting | (large if random.random() < 0.3 else {})


NUMBERS: dict[str, list[Any]] = {
    "acknowledge_seconds": [0, 5, 12.5, 30, 60, 90, 217, 300],
    "continuation_seconds": [0, 2.5, 10, 30, 60, 124],
    "batch_cap": [None, 1, 3, 10, 25],
    "default_batch_size": [1, 2, 5, 10],
    "started_before_queued_seconds": [0, 0.3, 1.5, 2, 10, 27],
    "event_lag_seconds": [0, 2, 5.5, 11],
    "events_seed": [0, 1, 2, 3],
    "throttle": [None, 3, 5, 10, 20],
    "action_timeout_seconds": [10_800, 43_200, 54_321, 86_400],
    "third_party_timeout_seconds": [600, 3600, 7200.5],
    "lambda_timeout_seconds": [3600, 86_400],
    "lambda_silence_seconds": [600, 1200],
    "artifact_credentials_seconds": [60, 896, 900, 3600],
}

LARGE = {"batch_cap": [50, 60, 99, 100], "throttle": [30, 40, 99, 199, 200]}


def untold(setting: dict[str, Any]) -> set[str]:
    """The switches whose values can't be determined from outside with this setting."""
    names = set(NOT_ASKED)
    if setting["batch_cap"] and setting["default_batch_size"] >= setting["batch_cap"]:
        names.add("default_batch_size")
    if setting["throttle"] is None or setting["throttle"] >= 200:
        names.add("throttle")
    if not setting["event_lag_seconds"]:
        names.add("events_shuffled")
    elif setting["events_shuffled"]:
        names.add("event_lag_seconds")
    return names


def left(service: JobBackend) -> list[str]:
    """All existing resources of the kinds that a probe creates."""
    kinds = service.list_action_types("Custom")
    names = [*service.pipelines, *(each["id"]["provider"] for each in kinds)]
    names += [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
    names += [each["RoleName"] for each in client("iam").list_roles()["Roles"]]
    names += client("sqs").list_queues().get("QueueUrls", [])
    return names + [each["Name"] for each in client("events").list_rules()["Rules"]]


def make_neighbors(there: Asked) -> None:
    """Create resources that are not the probe's, with names that could be."""
    iam, service = client("iam"), client("codepipeline")
    own = there.probe().place
    kinds = [("Test", f"{PREFIX}-0123ab", "1"), ("Build", f"{PREFIX}-lint", "7")]
    kinds += [("Build", f"{own.name}-01ab", "1"), ("Test", f"{own.name}-01ab", "2")]
    for category, provider, version in [*kinds, ("Test", f"{own.name}-lint", "1")]:
        kind = action_type(category=category, provider=provider, version=version)
        service.create_custom_action_type(**kind)
    for name in (PREFIX, PREFIX[:-1], f"{PREFIX}2", f"{PREFIX}-pipeline"):
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        make_bucket(client("s3"), f"{name}-bucket")
        client("sqs").create_queue(QueueName=name)
        client("events").put_rule(Name=name, ScheduleExpression="rate(1 day)")
        service.create_custom_action_type(**action_type(provider=name))
        place = there.probe().place
        place.role_arn = role["Role"]["Arn"]
        kind = {**place.type_id, "category": "Build", "provider": name}
        structure = place.pipeline([{"name": "Build", "actionTypeId": kind}])
        service.create_pipeline(pipeline=structure | {"name": name})
        service.start_pipeline_execution(name=name)


class Faulty:
    """An application whose responses are sometimes late, refused for now, or lost before or after."""

    def __init__(self, application: Any, random: Random, share: float) -> None:
        self.application, self.random, self.share = application, random, share
        self.passing = cycle(["ThrottlingException", "ConcurrentModificationException"])

    def __call__(self, environ: Any, start_response: Any) -> Any:
        fault = self.random.random() < self.share and self.random.randrange(5)
        service = backend(ACCOUNT, REGION)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if fault is False:
            return self.application(environ, start_response)
        if fault == 0 and target.startswith("CodePipeline"):
            reads = target.partition(".")[2].startswith(("Get", "List", "Poll"))
            code = "ThrottlingException" if reads else next(self.passing)
            body = {"__type": code, "message": "Not now"}
            return Response(json.dumps(body), 400)(environ, start_response)
        if fault == 1:
            Request(environ).get_data()
            return Response("", 503)(environ, start_response)
        if fault == 2:
            self.be_late(service)
        answer = Response.from_app(self.application, environ)
        if fault == 3:
            self.be_late(service)
        if fault == 4:
            answer = Response("", 500)
        return answer(environ, start_response)

    def be_late(self, service: JobBackend) -> None:
        """Let time pass, and let what is due happen, such as the delivery of an event."""
        service.clock.advance(self.random.uniform(0, 2))
        service.tick()


def found(
    folder: Path,
    setting: dict[str, Any],
    questions: Iterable[Question] = QUESTIONS,
    *,
    faults: Random | None = None,
) -> dict[str, Any]:
    """What a run finds out about a CodePipeline with this setting. It must leave nothing behind."""
    with asked(setting, faults=faults) as there:
        record = Record(folder / "behaviour.toml", there.url, REGION)
        there.note = record.note
        run(there.probe(), record, questions, lambda _: None)
        assert left(there.service) == []
    return record.content


def facts_of(setting: dict[str, Any], known: set[str]) -> dict[str, str]:
    """The facts with this setting, if the answers about the ``known`` switches are found first."""
    facts = {name: fact["here"] for name, fact in FACTS.items()}
    if not setting["nonce_rotates"]:
        facts["acknowledgment_with_the_first_nonce"] = "InProgress"
    if setting["repeated_acknowledgment"] == "status":
        facts["repeated_partner_acknowledgment"] = "InProgress"
    if setting["acknowledge_of_ended"] == "status":
        facts["acknowledge_of_abandoned"] = "Failed"
    if setting["source_without_version"] == "succeed":
        facts["missing_artifact_bucket"] = facts["unversioned_source_bucket"] = "Succeeded"
    if not setting["acknowledge_seconds"]:  # then an offered job is at once as it was
        for name, text in facts.items():
            facts[name] = text.replace("its status is Dispatched", "its status is Queued")
    if setting["acknowledge_of_ended"] == "status":
        facts["partner_acknowledgment_of_ended"] = "Succeeded"
    if setting["result_before_acknowledgment"] == "accept":
        facts["partner_result_before_acknowledgment"] = "accepted"
        facts["result_of_abandoned_before_acknowledgment"] = "accepted"
    if setting["result_after_abandonment"] != "accept":
        terminated = "InvalidJobStateException: Job with id <ID> has already terminated"
        facts["result_of_canceled"] = facts["partner_result_after_abandonment"] = terminated
        facts["result_of_abandoned_before_acknowledgment"] = terminated
    if "update_under_way" not in known or setting["update_under_way"] == "leave":
        del facts["status_of_canceled"], facts["result_of_canceled"]
        del facts["status_of_a_waiting_execution_after_an_update"]
    if "acknowledge_seconds" not in known:
        del facts["late_acknowledgment"], facts["partner_job_offered_again"]
    if "continuation_seconds" not in known:
        del facts["partner_job_continued"], facts["poll_after_abandonment_of_a_continued_job"]
    return facts


def check(content: dict[str, Any], setting: dict[str, Any], questions: Iterable[Question]) -> None:
    """Fail unless each requested switch is answered as it is set, or is unanswered if its value
    can't be determined, and each fact is found as it is."""
    questions = list(questions)
    names = {name for question in questions for name in question.words} & set(setting)
    names |= set(NOT_ASKED)
    unanswered = untold(setting) & names
    assert content["switches"] == {name: setting[name] for name in names - unanswered}
    assert set(content["unanswered"]) & set(setting) == unanswered
    wanted = {name for question in questions for name in question.facts}
    facts = facts_of(setting, names)
    assert content["facts"] == {name: facts[name] for name in wanted & set(facts)}
    assert set(content["unanswered"]) & wanted == wanted - set(facts)


ENDPOINT = http.Endpoint

#: What moto computes anew for each request or event, although it is always the same.
CONSTANT = [(jsonpath_ng.ext, "parse"), (DomainDispatcherApplication, "get_backend_for_host")]
COMPUTED = [(place, name, cache(getattr(place, name))) for place, name in CONSTANT]


def faulty_endpoint(random: Random, share: float, *arguments: Any) -> Faulty:
    return Faulty(ENDPOINT(*arguments), random, share)


@contextmanager
def asked(
    behaviour: dict[str, Any],
    *,
    faults: Random | None = None,
    share: float = 0.05,
    served: bool = True,
) -> Iterator[Asked]:
    """A new CodePipeline with these switches and a partner's action type."""
    config: Any = {"core": {"reset_boto3_session": True}}
    with ExitStack() as stack:
        stack.enter_context(mock_aws(config=config))
        for each in COMPUTED:
            stack.enter_context(patch.object(*each))
        if faults is not None:
            faulty = partial(faulty_endpoint, faults, share)
            stack.enter_context(patch.object(http, "Endpoint", faulty))
        url = stack.enter_context(http.serve(REGION)) if served else ""
        service = backend(ACCOUNT, REGION)
        service.clock = ManualClock()
        switches.change(service.behaviour, behaviour)
        request = action_type(
            **{name: PARTNER[name] for name in ("category", "provider", "version")}
        )
        service.register_third_party_action_type(request)
        yield Asked(service, url)
