"""CloudWatch's alarms, evaluated on the local stack's metrics. No notification is sent."""

from datetime import timedelta

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.utils import utcnow

from local.aws import alarms, metrics
from tests.integration.conftest import World

#: For each function, an event that it can't handle.
DEAD_LETTERS = {
    "Intake": "bad/intake-not-ours",
    "Acknowledge": "bad/acknowledge-nonce-missing",
    "Report": "bad/report-outcome",
    "Stop": "bad/stop-action-state",
}
#: CloudWatch's data points cover whole periods; here, one data point covers this window.
WINDOW = timedelta(hours=1)


def firing(world: World) -> set[str]:
    """The alarms, by their names in the template, that would fire if the metrics stayed the same.

    The metrics of the last hour count as one data point, which stands for all that an alarm needs.
    """
    metrics.sample_queues()
    names = {
        physical: logical
        for logical, physical in world.stack.resources.items()
        if logical.endswith("Alarm")
    }
    backend = cloudwatch_backends[world.cloud.account_id][world.cloud.region]
    end, found = utcnow() + timedelta(minutes=1), set()
    for alarm in list(backend.alarms.values()):
        value = alarms.figure(backend, alarm, end - WINDOW, end)
        if value is None:
            # INSUFFICIENT_DATA, which also notifies if there had been data before.
            fires = alarm.treat_missing_data in ("breaching", "missing")
        else:
            fires = alarms.COMPARED[alarm.comparison_operator](value, alarm.threshold)
        if fires:
            found.add(names[alarm.name])
    return found
