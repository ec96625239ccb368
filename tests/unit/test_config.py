from __future__ import annotations

import pytest

from acknowledger.config import (
    MOST_ACTION_TYPES,
    ActionType,
    IntakeConfig,
    ReportConfig,
    StopConfig,
    Timeouts,
)
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


READ = {
    IntakeConfig: [
        "ACTION_TYPES",
        "MAX_JOBS_IN_FLIGHT",
        "STATE_MACHINE_ARN",
        "BUS_NAME",
        "ACKNOWLEDGE_TIMEOUT_SECONDS",
        "HEARTBEAT_TIMEOUT_SECONDS",
        "JOB_TIMEOUT_SECONDS",
    ],
    ReportConfig: ["PROGRESS_INTERVAL_SECONDS", "BUS_NAME"],
    StopConfig: ["ACTION_TYPES", "BUS_NAME", "CONTINUE_AFTER_SECONDS"],
}
EACH = [(config, name) for config, names in READ.items() for name in names]


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(("config", "name"), EACH)
def test_a_missing_variable_is_named(config, name, value):
    environ = {key: known for key, known in ENVIRONMENT.items() if key != name}
    with pytest.raises(ConfigurationInvalid, match=name):
        config.from_environment(environ if value is None else {**environ, name: value})


@pytest.mark.parametrize(("config", "names"), READ.items())
def test_no_other_variable_is_needed(config, names):
    config.from_environment({name: ENVIRONMENT[name] for name in names})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "²", "٣", " 1"])
@pytest.mark.parametrize(
    ("config", "name"), [(config, name) for config, name in EACH if name.endswith("_SECONDS")]
)
def test_a_limit_that_is_no_whole_number_of_seconds_is_named(config, name, value):
    with pytest.raises(ConfigurationInvalid, match=f"{name} must be a whole"):
        config.from_environment({**ENVIRONMENT, name: value})


def test_what_is_read_is_what_is_given():
    given = {
        "ACKNOWLEDGE_TIMEOUT_SECONDS": "1",
        "HEARTBEAT_TIMEOUT_SECONDS": "2",
        "JOB_TIMEOUT_SECONDS": "3",
        "CONTINUE_AFTER_SECONDS": "4",
        "PROGRESS_INTERVAL_SECONDS": "5",
    }
    intake = IntakeConfig.from_environment({**ENVIRONMENT, **given})
    assert intake.timeouts == Timeouts(1, 2, 3)
    assert intake.bus_name == "JobBus"
    report = ReportConfig.from_environment({**ENVIRONMENT, **given})
    assert (report.progress_interval_seconds, report.bus_name) == (5, "JobBus")
    stop = StopConfig.from_environment({**ENVIRONMENT, **given})
    assert (stop.action_types, stop.bus_name) == (set(intake.action_types), "JobBus")
    assert stop.continue_after_seconds == 4


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ("0", [0, 0, 0]),
        ("7", [7, 7, 7]),
        ("200", [200, 200, 200]),
        ("3,0,10", [3, 0, 10]),
        (" 3 , 0 ,10 ", [3, 0, 10]),
        ("007", [7, 7, 7]),
    ],
)
def test_one_limit_is_for_all_action_types_and_several_are_for_one_each(given, limits):
    names = ["Test/Custom/B/2", "Build/Custom/A/1", "Deploy/ThirdParty/C/1"]
    environ = {"ACTION_TYPES": ",".join(names), "MAX_JOBS_IN_FLIGHT": given}
    config = IntakeConfig.from_environment({**ENVIRONMENT, **environ})
    expected = {ActionType.parse(name): n for name, n in zip(names, limits, strict=True)}
    assert config.max_jobs_in_flight == expected


@pytest.mark.parametrize(
    "given",
    [
        *("201", "1000", "0007", "-1", "1.5", "many", "1,2", "1,2,3,4", "1,,2", ",", "٣"),
        *("1;2;3", "1,2,201"),
    ],
)
def test_limits_that_are_none_or_do_not_match_the_action_types_are_named(given):
    names = "Test/Custom/B/2,Build/Custom/A/1,Deploy/ThirdParty/C/1"
    environ = {**ENVIRONMENT, "ACTION_TYPES": names, "MAX_JOBS_IN_FLIGHT": given}
    with pytest.raises(ConfigurationInvalid, match="MAX_JOBS_IN_FLIGHT must be one whole number"):
        IntakeConfig.from_environment(environ)


@pytest.mark.parametrize("config", [IntakeConfig, StopConfig])
def test_more_action_types_than_the_template_is_made_for_are_refused(config):
    names = [f"Build/Custom/A/{number}" for number in range(MOST_ACTION_TYPES + 1)]
    with pytest.raises(ConfigurationInvalid, match="ACTION_TYPES must be 10 at most"):
        config.from_environment({**ENVIRONMENT, "ACTION_TYPES": ",".join(names)})
    config.from_environment({**ENVIRONMENT, "ACTION_TYPES": ",".join(names[:-1])})
