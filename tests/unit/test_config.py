import pytest

import intake
from acknowledger.config import ActionType, Config, Query, Timeouts
from acknowledger.errors import ConfigurationInvalid
from tests.support import load_event
from tests.unit.conftest import ENVIRONMENT, Context

AWS = {name for name in ENVIRONMENT if name.startswith(("AWS_", "POWERTOOLS_"))}


def test_action_types_are_read_in_order_without_duplicates():
    names = "Custom/Test/B/2, Custom/Build/A/1,Custom/Test/B/2"
    config = Config({**ENVIRONMENT, "ACTION_TYPES": names})
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
def test_an_invalid_action_type_is_refused_and_the_message_shows_the_right_form(text):
    with pytest.raises(ConfigurationInvalid, match="write Owner/Category/Provider/Version"):
        ActionType.parse(text)


NEEDED = sorted(ENVIRONMENT.keys() - {"QUERIES", "CLIENT_TOKEN_PREFIX"} - AWS)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_variable_is_named(name, value):
    environ = {key: known for key, known in ENVIRONMENT.items() if key != name}
    with pytest.raises(ConfigurationInvalid, match=name):
        Config(environ if value is None else {**environ, name: value}).check()


def test_no_other_variable_is_needed():
    Config({name: ENVIRONMENT[name] for name in NEEDED}).check()


def test_the_prefix_of_client_tokens_is_required_only_with_partner_action_types():
    config = Config({**ENVIRONMENT, "CLIENT_TOKEN_PREFIX": ""})
    config.check()
    with pytest.raises(ConfigurationInvalid, match="CLIENT_TOKEN_PREFIX is missing or empty"):
        _ = config.client_token_prefix


def test_an_invalid_setting_stops_only_what_needs_it():
    """Results of jobs in flight are reported even if no job can be taken."""
    config = Config({**ENVIRONMENT, "ACTION_TYPES": "x", "MAX_JOBS_IN_FLIGHT": "many"})
    assert (config.job_table_name, config.bus_name) == ("JobTable", "JobBus")
    assert config.progress_interval_seconds == 60
    with pytest.raises(ConfigurationInvalid):
        config.check()


def test_a_wrong_number_of_limits_is_found_before_any_call(aws_calls, monkeypatch):
    """Nobody could say which limit is whose: so no job is taken."""
    monkeypatch.setenv("MAX_JOBS_IN_FLIGHT", "1,2,3")
    with pytest.raises(ConfigurationInvalid, match="MAX_JOBS_IN_FLIGHT must be one whole number"):
        intake.handler(load_event("intake-schedule"), Context())


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "²", "٣", " 1"])
@pytest.mark.parametrize("name", [name for name in NEEDED if name.endswith("_SECONDS")])
def test_a_limit_that_is_not_a_whole_number_of_seconds_is_named(name, value):
    with pytest.raises(ConfigurationInvalid, match=f"{name} must be a whole"):
        Config({**ENVIRONMENT, name: value}).check()


def test_the_configuration_has_the_values_of_the_environment():
    given = {
        "ACKNOWLEDGE_TIMEOUT_SECONDS": "1",
        "HEARTBEAT_TIMEOUT_SECONDS": "2",
        "JOB_TIMEOUT_SECONDS": "3",
        "CONTINUE_AFTER_SECONDS": "4",
        "PROGRESS_INTERVAL_SECONDS": "5",
        "METRICS_BY_ACTION_TYPE": "true",
    }
    config = Config({**ENVIRONMENT, **given})
    assert config.timeouts == Timeouts(1, 2, 3)
    assert (config.continue_after_seconds, config.progress_interval_seconds) == (4, 5)
    assert config.metrics_by_action_type is True
    assert Config(ENVIRONMENT).metrics_by_action_type is False
    names = (config.job_table_name, config.intake_table_name, config.bus_name)
    assert names == ("JobTable", "IntakeTable", "JobBus")
    assert config.state_machine_arn == ENVIRONMENT["STATE_MACHINE_ARN"]
    assert config.client_token_prefix == "/acknowledger/client-tokens/"


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
def test_one_limit_holds_for_all_action_types_and_several_for_one_each(given, limits):
    names = ["Custom/Test/B/2", "Custom/Build/A/1", "ThirdParty/Deploy/C/1"]
    environ = {"ACTION_TYPES": ",".join(names), "MAX_JOBS_IN_FLIGHT": given}
    config = Config({**ENVIRONMENT, **environ})
    expected = {ActionType.parse(name): n for name, n in zip(names, limits, strict=True)}
    assert config.max_jobs_in_flight == expected


@pytest.mark.parametrize(
    "given",
    [
        *("201", "1000", "0007", "-1", "1.5", "many", "1,2", "1,2,3,4", "1,,2", ",", "٣"),
        *("1;2;3", "1,2,201"),
    ],
)
def test_limits_that_are_invalid_or_too_few_or_too_many_are_named(given):
    names = "Custom/Test/B/2,Custom/Build/A/1,ThirdParty/Deploy/C/1"
    environ = {**ENVIRONMENT, "ACTION_TYPES": names, "MAX_JOBS_IN_FLIGHT": given}
    with pytest.raises(ConfigurationInvalid, match="MAX_JOBS_IN_FLIGHT must be one whole number"):
        Config(environ).check()


@pytest.mark.parametrize(
    "old", ["Build/Custom/MyTool/1", "Deploy/ThirdParty/Product/2", "Test/Custom/A/x"]
)
def test_an_action_type_in_the_old_order_is_refused_and_the_message_shows_the_new_order(old):
    category, owner, rest = old.split("/", 2)
    with pytest.raises(ConfigurationInvalid, match=f"for example {owner}/{category}/{rest}$"):
        ActionType.parse(old)


def test_there_may_be_any_number_of_action_types():
    names = [f"Custom/Build/A/{number}" for number in range(60)]
    read = Config({**ENVIRONMENT, "ACTION_TYPES": ",".join(names)})
    assert sorted(map(str, read.action_types)) == sorted(names)


def test_queries_are_read_by_action_type():
    names = "Custom/Test/B/2,Custom/Build/A/1"
    given = "Custom/Build/A/1?Project=x, Custom/Build/A/1?Project=y-2 ,Custom/Build/A/1?Project=x"
    environ = {**ENVIRONMENT, "ACTION_TYPES": names, "QUERIES": given}
    queries = Config(environ).queries
    assert queries == {
        ActionType.parse("Custom/Build/A/1"): (Query("Project", "x"), Query("Project", "y-2"))
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("x", "'x' is not a query: write ActionType\\?Property=Value"),
        ("Custom/Test/B/2?Project", "is not a query"),
        ("Custom/Test/B/2?Project=", "is not a query"),
        ("Custom/Test/B/2?=x", "is not a query"),
        (f"Custom/Test/B/2?Project={'x' * 51}", "a value of 1 to 50 letters"),
        ("Custom/Test/B/2?Project=x y", "is not a query"),
        ("Test/Custom/B/2?Project=x", "for example Custom/Test/B/2"),
    ],
)
def test_an_invalid_query_is_named(given, told):
    names = "Custom/Test/B/2,ThirdParty/Test/P/2"
    with pytest.raises(ConfigurationInvalid, match=told):
        Config({**ENVIRONMENT, "ACTION_TYPES": names, "QUERIES": given}).check()
