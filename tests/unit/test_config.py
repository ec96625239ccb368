from __future__ import annotations

import pytest

from acknowledger.config import ActionType, IntakeConfig
from acknowledger.errors import ConfigurationInvalid
from tests.unit.conftest import ENVIRONMENT


def test_several_action_types_are_read_once_each_in_their_order():
    names = "Test/Custom/B/2, Build/Custom/A/1,Test/Custom/B/2"
    config = IntakeConfig.from_environment({**ENVIRONMENT, "ACTION_TYPES": names})
    assert [str(kind) for kind in config.action_types] == ["Test/Custom/B/2", "Build/Custom/A/1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Build/Custom/A",
        "Build/Custom/A/1/2",
        "Build/AWS/CodeBuild/1",
        "Make/Custom/A/1",
        f"Build/Custom/{'A' * 36}/1",
        f"Build/Custom/A/{'1' * 10}",
        "Build/Custom/Ä/1",
        "Build/Custom/A/1\n",
    ],
)
def test_what_is_no_action_type_is_refused_with_the_form_it_should_have(text):
    with pytest.raises(ConfigurationInvalid, match="write Category/Owner/Provider/Version"):
        ActionType.parse(text)


@pytest.mark.parametrize("name", ["ACTION_TYPES", "STATE_MACHINE_ARN", "JOB_TIMEOUT_SECONDS"])
def test_a_missing_variable_is_named(name):
    environ = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(ConfigurationInvalid, match=name):
        IntakeConfig.from_environment(environ)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "²"])
def test_a_limit_that_is_no_whole_number_of_seconds_is_named(value):
    with pytest.raises(ConfigurationInvalid, match="HEARTBEAT_TIMEOUT_SECONDS must be a whole"):
        IntakeConfig.from_environment({**ENVIRONMENT, "HEARTBEAT_TIMEOUT_SECONDS": value})
