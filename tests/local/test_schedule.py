"""Schedules of rules fire, by themselves and on request."""

from collections.abc import Iterator

import pytest

from local.aws.events import Schedule
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import ACCOUNT, REGION, Queue


@pytest.fixture
def queue(cloud: LocalCloud) -> Iterator[Queue]:
    """The target of a rule "sweep" that fires every two minutes."""
    queue = Queue(cloud, "swept")
    events = cloud.client("events")
    events.put_rule(Name="sweep", ScheduleExpression="rate(2 minutes)")
    events.put_targets(Rule="sweep", Targets=[{"Id": "1", "Arn": queue.arn}])
    yield queue
    events.remove_targets(Rule="sweep", Ids=["1"])
    events.delete_rule(Name="sweep")


def test_a_schedule_fires_a_scheduled_event_and_matches_no_event(cloud, queue):
    entry = {"Source": "shop", "DetailType": "Sold", "Detail": "{}"}
    assert cloud.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    assert queue.receive() is None
    assert cloud.schedule.fire() == 1
    event = queue.body()
    assert event == {
        "version": "0",
        "id": event["id"],
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": event["time"],
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/sweep"],
        "detail": {},
    }


def test_one_schedule_can_be_fired_by_name(cloud, queue):
    assert cloud.schedule.fire("sweep") == 1
    assert queue.body()["detail-type"] == "Scheduled Event"
    assert cloud.schedule.fire("other") == 0


def test_a_schedule_fires_once_a_period(queue):
    schedule = Schedule()
    for seconds, fires in ((0, False), (119, False), (121, True), (239, False), (240, True)):
        schedule.tick(1000.0 + seconds)
        assert (queue.receive() is not None) == fires, f"after {seconds} seconds"


def test_a_restarted_schedule_fires_a_whole_period_later(queue):
    schedule = Schedule()
    schedule.tick(1000)
    schedule.restart()
    for seconds, fires in ((1121, False), (1240, False), (1241, True)):
        schedule.tick(seconds)
        assert (queue.receive() is not None) == fires, f"after {seconds} seconds"


def test_a_disabled_schedule_does_not_fire(cloud, queue):
    cloud.client("events").disable_rule(Name="sweep")
    schedule = Schedule()
    schedule.tick(0)
    schedule.tick(1000)
    assert schedule.fire() == 0
    assert queue.receive() is None


def test_a_cron_schedule_is_logged_and_never_fires(cloud, queue, caplog):
    cloud.client("events").put_rule(Name="sweep", ScheduleExpression="cron(0 12 * * ? *)")
    schedule = Schedule()
    for seconds in (0, 10, 10_000_000):
        schedule.tick(seconds)
    assert caplog.messages == ["sweep: cron(0 12 * * ? *) never fires here"]
    assert queue.receive() is None
