"""The stack in AWS's other partitions, which have other ARNs and hosts."""

import pytest

from local import acknowledger
from tests.integration.conftest import World
from tests.integration.written import Written

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("region", "partition", "console"),
    [
        ("us-gov-west-1", "aws-us-gov", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("cn-north-1", "aws-cn", "cn-north-1.console.amazonaws.cn"),
    ],
)
def test_a_job_succeeds_in_every_partition(region, partition, console):
    with acknowledger.running(region=region, enforce_permissions=True) as (cloud, stack):
        machine = stack.outputs["JobStateMachineArn"]
        assert machine.startswith(f"arn:{partition}:states:{region}:")
        assert stack.outputs["DashboardUrl"].startswith(f"https://{console}/cloudwatch/home")
        world = World(cloud, stack, Written(cloud, stack))
        for outcome, status in (("Succeed", "Succeeded"), ("Fail", "Failed")):
            name = world.start({"Outcome": outcome})
            row = world.row(name, status)
            assert row["execution"]["S"].startswith(f"arn:{partition}:states:{region}:")
            assert world.pipeline_ended(name) == status
        assert cloud.permissions.refused == []
