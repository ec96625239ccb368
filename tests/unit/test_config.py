from __future__ import annotations

import pytest

from acknowledger.config import (
    ActionType,
    IntakeConfig,
    Query,
    ReportConfig,
    StopConfig,
    Timeouts,
)
from acknowledger.errors import ConfigurationInvalid
from tests.unit.conftest import ENVIRONMENT


def test_several_action_types_are_read_once_each_in_their_order():
    names = "Custom/Test/B/2, Custom/Build/A/1,Custom/Test/B/2"
    config = IntakeConfig.from_environment({**ENVIRONMENT, "ACTION_TYPES": names})
    assert [str(kind) for kind in config.action_types] == ["Custom/Test/B/2", "Custom/Build/A/1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Custom/Build/A",
        "Custom/Build/A/1/2",
        "AWS/Build/CodeBuild/1",
        "Custom/Make/A/1",
        f"Custom/Build/{'A' * 36}/1",
        f"Custom/Build/A/{'1' * 10}",
        "Custom/Build/Ä/1",
        "Custom/Build/A/1\n",
    ],
)
def test_what_is_no_action_type_is_refused_with_the_form_it_should_have(text):
    with pytest.raises(ConfigurationInvalid, match="write Owner/Category/Provider/Version"):
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
    ReportConfig: ["PROGRESS_INTERVAL_SECONDS", "METRICS_BY_ACTION_TYPE", "BUS_NAME"],
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
    names = ["Custom/Test/B/2", "Custom/Build/A/1", "ThirdParty/Deploy/C/1"]
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
    names = "Custom/Test/B/2,Custom/Build/A/1,ThirdParty/Deploy/C/1"
    environ = {**ENVIRONMENT, "ACTION_TYPES": names, "MAX_JOBS_IN_FLIGHT": given}
    with pytest.raises(ConfigurationInvalid, match="MAX_JOBS_IN_FLIGHT must be one whole number"):
        IntakeConfig.from_environment(environ)


@pytest.mark.parametrize(
    "old", ["Build/Custom/MyTool/1", "Deploy/ThirdParty/Product/2", "Test/Custom/A/x"]
)
def test_the_order_of_before_is_refused_with_the_new_one(old):
    category, owner, rest = old.split("/", 2)
    with pytest.raises(ConfigurationInvalid, match=f"for example {owner}/{category}/{rest}$"):
        ActionType.parse(old)


@pytest.mark.parametrize("config", [IntakeConfig, StopConfig])
def test_there_may_be_any_number_of_action_types(config):
    names = [f"Custom/Build/A/{number}" for number in range(60)]
    read = config.from_environment({**ENVIRONMENT, "ACTION_TYPES": ",".join(names)})
    assert sorted(map(str, read.action_types)) == sorted(names)


def test_an_action_type_is_polled_with_the_values_that_are_given_for_it():
    names = "Custom/Test/B/2,Custom/Build/A/1"
    given = "Custom/Build/A/1?Project=x, Custom/Build/A/1?Project=y-2 ,Custom/Build/A/1?Project=x"
    environ = {**ENVIRONMENT, "ACTION_TYPES": names, "QUERIES": given}
    queries = IntakeConfig.from_environment(environ).queries
    assert queries == {
        ActionType.parse("Custom/Build/A/1"): (Query("Project", "x"), Query("Project", "y-2"))
    }
    assert Query("Project", "x").as_param() == {"Project": "x"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("x", "'x' is no query: write ActionType\\?Property=Value"),
        ("Custom/Test/B/2?Project", "is no query"),
        ("Custom/Test/B/2?Project=", "is no query"),
        ("Custom/Test/B/2?=x", "is no query"),
        (f"Custom/Test/B/2?Project={'x' * 51}", "a value of 1 to 50 letters"),
        ("Custom/Test/B/2?Project=x y", "is no query"),
        ("Custom/Test/C/2?Project=x", "Custom/Test/C/2 must be a custom action type that is in"),
        ("ThirdParty/Test/P/2?Project=x", "must be a custom action type"),
        ("Test/Custom/B/2?Project=x", "for example Custom/Test/B/2"),
    ],
)
def test_what_is_no_query_or_for_no_type_that_is_served_is_named(given, told):
    names = "Custom/Test/B/2,ThirdParty/Test/P/2"
    with pytest.raises(ConfigurationInvalid, match=told):
        IntakeConfig.from_environment({**ENVIRONMENT, "ACTION_TYPES": names, "QUERIES": given})
