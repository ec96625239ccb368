"""Lambda functions run and answer as on AWS."""

import base64
import io
import json
import os
import signal
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from moto.awslambda import models
from moto.awslambda.exceptions import UnknownFunctionException

from local.aws import functions
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    REGION,
    SECONDS,
    Queue,
    alive,
    attributes_of,
    make_function,
    zipped,
)
from tests.support import wait_for

HANDLER = "def handler(event, context):"


def invoke(cloud: LocalCloud, name: str, event: Any = None, **settings: Any) -> Any:
    """Invoke a function; return the response, with the parsed payload as `json`."""
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), **settings)
    answer["json"] = json.loads(answer["Payload"].read() or "null")
    return answer


def log_lines(cloud: LocalCloud, group: str) -> list[str]:
    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    return [event["message"] for event in events]


# -- Input ----------------------------------------------------------------------------------------


def test_a_function_gets_the_event_and_answers_its_return_value(cloud):
    arn = make_function(cloud, "echo", f"{HANDLER} return {{'got': event}}")
    event = {"text": 'quotes " and \\ and é😀', "none": None, "list": [1, 2.5, True]}
    for name, more in (("echo", {}), (arn, {}), (arn, {"Qualifier": "$LATEST"})):
        answer = invoke(cloud, name, event, **more)
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
        assert "FunctionError" not in answer
        assert answer["json"] == {"got": event}


def test_the_context_has_the_function_the_request_and_the_remaining_time(cloud):
    source = """
        def handler(event, context):
            names = ("function_name", "function_version", "invoked_function_arn",
                     "memory_limit_in_mb", "aws_request_id", "log_group_name", "log_stream_name")
            found = {name: getattr(context, name) for name in names}
            return found | {"left": context.get_remaining_time_in_millis()}
    """
    make_function(cloud, "context", source, Timeout=70, MemorySize=512)
    answer = invoke(cloud, "context")
    context = answer["json"]
    assert 60_000 < context.pop("left") <= 70_000
    assert "[$LATEST]" in context.pop("log_stream_name")
    assert context == {
        "function_name": "context",
        "function_version": "$LATEST",
        "invoked_function_arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:context",
        "memory_limit_in_mb": "512",
        "log_group_name": "/aws/lambda/context",
        "aws_request_id": answer["ResponseMetadata"]["RequestId"],
    }


def test_a_function_has_its_own_environment_and_nothing_of_this_process(cloud, monkeypatch):
    monkeypatch.setenv("OF_THIS_PROCESS", "secret")
    source = """
        import os
        def handler(event, context): return dict(os.environ)
    """
    make_function(cloud, "environment", source, Environment={"Variables": {"MINE": "1"}})
    environment = invoke(cloud, "environment")["json"]
    assert environment["MINE"] == "1"
    assert environment["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert environment["AWS_REGION"] == REGION
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "environment"
    assert environment["_HANDLER"] == "app.handler"
    assert "OF_THIS_PROCESS" not in environment
    assert "PYTHONPATH" not in environment


@pytest.mark.skipif(sys.platform != "linux", reason="functions are forked on Linux alone")
def test_a_function_can_be_interrupted_even_if_this_process_ignores_sigint(cloud, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        starter = functions.Starter()
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.setattr(functions, "starter", lambda: starter)
    source = """
        import signal
        def handler(event, context): return signal.getsignal(signal.SIGINT).__name__
    """
    make_function(cloud, "interrupted", source)
    assert invoke(cloud, "interrupted")["json"] == "default_int_handler"
    starter.close()


def test_nothing_of_this_repository_can_be_imported(cloud):
    source = """
        import importlib.util
        def handler(event, context):
            return [name for name in event if importlib.util.find_spec(name)]
    """
    make_function(cloud, "imports", source)
    names = ["app", "boto3", "local", "events", "functions", "stepfunctions", "tests"]
    assert invoke(cloud, "imports", names)["json"] == ["app", "boto3"]


def test_a_function_can_bring_its_own_sdk(cloud):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("boto3.py", "whose = 'mine'")
        archive.writestr("app.py", "import boto3\ndef handler(event, context): return boto3.whose")
    make_function(cloud, "own-sdk", "", Code={"ZipFile": content.getvalue()})
    assert invoke(cloud, "own-sdk")["json"] == "mine"


def test_variables_that_python_reads_at_its_start_take_effect(cloud):
    source = """
        import sys
        def handler(event, context): return [sys.flags.optimize, sys.argv, "/opt/more" in sys.path]
    """
    variables = {"PYTHONOPTIMIZE": "1", "PYTHONPATH": "/opt/more"}
    make_function(cloud, "optimized", source, Environment={"Variables": variables})
    assert invoke(cloud, "optimized")["json"] == [1, ["app.handler"], True]


# -- Output ---------------------------------------------------------------------------------------


def test_what_a_function_prints_is_its_log_and_never_its_answer(cloud):
    source = """
        import logging, sys
        print("loaded")
        def handler(event, context):
            print('{"payload": "not the answer"}')
            print("to stderr", file=sys.stderr)
            logging.getLogger().warning("careful")
            return "answer"
    """
    make_function(cloud, "prints", source)
    answer = invoke(cloud, "prints", LogType="Tail")
    assert answer["json"] == "answer"
    lines = log_lines(cloud, "/aws/lambda/prints")
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[1:4] == ["loaded", '{"payload": "not the answer"}', "to stderr"]
    assert lines[4].startswith("[WARNING]\t")
    assert lines[4].endswith(f"\t{request_id}\tcareful")
    assert lines[5] == f"END RequestId: {request_id}"
    assert lines[6].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "Init Duration" in lines[6]
    assert base64.b64decode(answer["LogResult"]).decode().splitlines() == lines
    assert "LogResult" not in invoke(cloud, "prints")


def test_a_function_logs_to_the_group_of_its_configuration(cloud):
    source = f"{HANDLER} print('here'); return context.log_group_name"
    make_function(cloud, "grouped", source, LoggingConfig={"LogGroup": "/mine"})
    assert invoke(cloud, "grouped")["json"] == "/mine"
    assert "here" in log_lines(cloud, "/mine")
    configuration = cloud.client("lambda").get_function_configuration(FunctionName="grouped")
    assert configuration["LoggingConfig"]["LogGroup"] == "/mine"


# -- Failures -------------------------------------------------------------------------------------


def test_an_exception_is_answered_with_its_class_name_and_trace(cloud):
    source = """
        class OutOfStock(Exception): pass
        def handler(event, context): raise OutOfStock('no "tea"')
    """
    make_function(cloud, "raises", source)
    answer = invoke(cloud, "raises")
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert answer["json"]["errorType"] == "OutOfStock"
    assert answer["json"]["errorMessage"] == 'no "tea"'
    assert answer["json"]["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert "in handler" in answer["json"]["stackTrace"][-1]
    assert '[ERROR] OutOfStock: no "tea"' in log_lines(cloud, "/aws/lambda/raises")


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        (f"{HANDLER} return {{1, 2}}", "Runtime.MarshalError", "Unable to marshal"),
        (f"{HANDLER} return b'\\xff'", "Runtime.MarshalError", "Unable to marshal"),
        ("import no_such_module", "Runtime.ImportModuleError", "Unable to import module 'app'"),
        (
            *("def other(): pass", "Runtime.HandlerNotFound"),
            "Handler 'handler' missing on module 'app'",
        ),
        ("def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("raise ValueError('at once')", "ValueError", "at once"),
        (
            *(f"{HANDLER} exit(3)", "Runtime.ExitError"),
            "Runtime exited with error: exit status 3",
        ),
        (f"{HANDLER} exit()", "Runtime.ExitError", "exited without providing a reason"),
        (f"import os\n{HANDLER} os.abort()", "Runtime.ExitError", "signal: Aborted"),
    ],
)
def test_failures_have_lambdas_error_types(cloud, source, error_type, message):
    name = f"fails-{abs(hash(source))}"
    make_function(cloud, name, source)
    answer = invoke(cloud, name)
    assert answer["FunctionError"] == "Unhandled"
    assert answer["json"]["errorType"] == error_type
    assert message in answer["json"]["errorMessage"]


def test_a_function_that_times_out_is_killed_and_restarted(cloud):
    source = """
        import time
        count = 0
        def handler(event, context):
            global count
            count += 1
            time.sleep(event)
            return count
    """
    make_function(cloud, "slow", source, Timeout=1)
    assert invoke(cloud, "slow", 0)["json"] == 1
    answer = invoke(cloud, "slow", 30)
    assert answer["FunctionError"] == "Unhandled"
    assert answer["json"]["errorType"] == "Sandbox.Timedout"
    assert answer["json"]["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert any("Task timed out" in line for line in log_lines(cloud, "/aws/lambda/slow"))
    assert invoke(cloud, "slow", 0)["json"] == 1


def test_an_event_that_is_not_json_and_an_unknown_function_are_refused(cloud):
    make_function(cloud, "json-only", f"{HANDLER} return event")
    client = cloud.client("lambda")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="json-only", Payload=b"{")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


# -- Sandboxes ------------------------------------------------------------------------------------

PID = """
    import os, time
    def handler(event, context):
        time.sleep(event or 0)
        return os.getpid()
"""


def test_a_sandbox_stays_warm_until_the_code_or_the_configuration_changes(cloud):
    make_function(cloud, "warm", PID)
    client = cloud.client("lambda")
    first = invoke(cloud, "warm")["json"]
    assert invoke(cloud, "warm")["json"] == first
    environment = {"Variables": {"NEW": "1"}}
    client.update_function_configuration(FunctionName="warm", Environment=environment)
    second = invoke(cloud, "warm")["json"]
    assert second != first
    client.update_function_code(FunctionName="warm", ZipFile=zipped(f"{HANDLER} return 'new code'"))
    assert invoke(cloud, "warm")["json"] == "new code"
    assert not Path(f"/proc/{first}").exists()


def test_concurrent_events_run_in_separate_sandboxes(cloud, tmp_path):
    source = """
        import os, pathlib, time
        def handler(event, context):
            folder = pathlib.Path(event)
            (folder / context.aws_request_id).touch()
            while len(list(folder.iterdir())) < 3: time.sleep(0.01)
            return os.getpid()
    """
    make_function(cloud, "parallel", source, Timeout=60)
    with ThreadPoolExecutor(3) as threads:
        answers = threads.map(lambda _: invoke(cloud, "parallel", str(tmp_path)), range(3))
        pids = [answer["json"] for answer in answers]
    assert len(set(pids)) == 3
    assert os.getpid() not in pids


def test_events_wait_while_all_sandboxes_are_busy(cloud):
    make_function(cloud, "crowded", PID)
    with ThreadPoolExecutor(10) as threads:
        pids = list(threads.map(lambda _: invoke(cloud, "crowded", 0.05)["json"], range(10)))
    assert len(set(pids)) <= 4


# -- Asynchronous invocation ----------------------------------------------------------------------

FAILS_UNTIL = """
    count = 0
    def handler(event, context):
        global count
        count += 1
        print("attempt", count, context.aws_request_id)
        if count <= event["failures"]:
            raise RuntimeError("failure %d" % count)
"""


def test_an_asynchronous_invocation_is_accepted_and_run_later_and_a_dry_run_never(cloud):
    make_function(cloud, "later", f"{HANDLER} print('ran with', event)")
    client, logs = cloud.client("lambda"), cloud.client("logs")
    for kind, status in (("DryRun", 204), ("Event", 202)):
        answer = client.invoke(FunctionName="later", InvocationType=kind, Payload=f'"{kind}"')
        assert (answer["StatusCode"], answer["Payload"].read()) == (status, b"")

    def lines() -> list[str]:
        found = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/later")["logGroups"]
        return log_lines(cloud, "/aws/lambda/later") if found else []

    ran = [line for line in wait_for(lines, "the function to run", SECONDS) if "ran" in line]
    assert ran == ["ran with Event"]


def test_an_event_that_fails_three_times_becomes_a_dead_letter(cloud):
    dead_letters = Queue(cloud, "dead-letters")
    config = {"TargetArn": dead_letters.arn}
    make_function(cloud, "dead", FAILS_UNTIL, DeadLetterConfig=config)
    invoke(cloud, "dead", {"failures": 9}, InvocationType="Event")
    message = dead_letters.message()
    assert message["Body"] == '{"failures": 9}'
    attributes = attributes_of(message)
    assert attributes["ErrorCode"] == "200"
    assert attributes["ErrorMessage"] == "failure 3"
    attempts = [line for line in log_lines(cloud, "/aws/lambda/dead") if line.startswith("attempt")]
    request_id = attributes["RequestID"]
    assert attempts == [f"attempt {n} {request_id}" for n in (1, 2, 3)]


def test_a_dead_letter_that_cannot_be_sent_is_logged_and_stops_nothing(cloud, caplog):
    gone = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone"
    make_function(cloud, "lost", FAILS_UNTIL, DeadLetterConfig={"TargetArn": gone})
    for _ in range(2):
        caplog.clear()
        invoke(cloud, "lost", {"failures": 9}, InvocationType="Event")
        wait_for(lambda: f"not sent to {gone}" in caplog.text, "the log", SECONDS)


def test_an_event_that_succeeds_on_a_retry_is_not_a_dead_letter(cloud):
    dead_letters, done = Queue(cloud, "none"), Queue(cloud, "done")
    make_function(cloud, "recovers", FAILS_UNTIL, DeadLetterConfig={"TargetArn": dead_letters.arn})
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName="recovers", DestinationConfig={"OnSuccess": {"Destination": done.arn}}
    )
    invoke(cloud, "recovers", {"failures": 2}, InvocationType="Event")
    assert done.body()["requestContext"]["condition"] == "Success"
    assert dead_letters.receive() is None


def test_the_invoke_config_limits_attempts_and_sends_the_record(cloud):
    failed = Queue(cloud, "failed")
    arn = make_function(cloud, "configured", FAILS_UNTIL)
    client = cloud.client("lambda")
    client.put_function_event_invoke_config(FunctionName="configured", MaximumRetryAttempts=2)
    client.put_function_event_invoke_config(
        FunctionName="configured",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": failed.arn}},
    )
    invoke(cloud, "configured", {"failures": 9}, InvocationType="Event")
    record = failed.body()
    assert record["version"] == "1.0"
    assert record["requestContext"]["functionArn"] == f"{arn}:$LATEST"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["requestPayload"] == {"failures": 9}
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorMessage"] == "failure 1"


def test_reserved_concurrency_throttles_and_an_event_is_retried_until_it_runs(cloud):
    done = Queue(cloud, "unthrottled")
    make_function(cloud, "throttled", f"{HANDLER} return 'ran'")
    client = cloud.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName="throttled",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": done.arn}},
    )
    client.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        client.invoke(FunctionName="throttled")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    client.invoke(FunctionName="throttled", InvocationType="Event")
    assert done.receive() is None
    client.delete_function_concurrency(FunctionName="throttled")
    assert done.body()["responsePayload"] == "ran"


# -- Results of bytes, and deletion ---------------------------------------------------------------


def test_bytes_are_answered_as_text(cloud):
    make_function(cloud, "bytes", f"{HANDLER} return {{'a': [b'\\xc3\\xa9']}}")
    answer = cloud.client("lambda").invoke(FunctionName="bytes")
    assert answer["Payload"].read().decode() == '{"a": ["\\u00e9"]}'


THREADS = ("(_read_answers)", "(_read_output)", "(_work)")


@pytest.mark.parametrize(
    "number", [12, pytest.param(200, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_deleted_functions_leave_nothing_behind(cloud, number):
    client, runner = cloud.client("lambda"), functions.runner()

    def threads() -> int:
        return len([one for one in threading.enumerate() if one.name.endswith(THREADS)])

    def files() -> set[Path]:
        return set(runner._code.iterdir())

    before = (threads(), files(), dict(runner._pools))
    pids = []
    for each in range(number):
        name = f"short-lived-{each}"
        make_function(cloud, name, PID)
        pids.append(invoke(cloud, name)["json"])
        invoke(cloud, name, 60, InvocationType="Event")
        client.delete_function(FunctionName=name)
    wait_for(lambda: not any(map(alive, pids)), "the processes to end", SECONDS)
    wait_for(lambda: threads() <= before[0], "the threads to end", SECONDS)
    assert (files(), runner._pools) == before[1:]
    assert runner.unfinished() == []
    # A new function with the same name works.
    make_function(cloud, "short-lived-0", f"{HANDLER} return 1")
    assert client.invoke(FunctionName="short-lived-0")["Payload"].read() == b"1"
    client.delete_function(FunctionName="short-lived-0")


def test_an_invocation_that_overlaps_the_deletion_leaves_nothing_behind(cloud):
    runner = functions.runner()
    before = (set(runner._code.iterdir()), dict(runner._pools))
    make_function(cloud, "overlap", f"{HANDLER} return 1")
    function = models.lambda_backends[ACCOUNT][REGION].get_function("overlap")
    cloud.client("lambda").delete_function(FunctionName="overlap")
    for invoke in (runner.invoke, runner.invoke_async):
        with pytest.raises(UnknownFunctionException, match="overlap"):
            invoke(function, "{}")
    assert (set(runner._code.iterdir()), runner._pools) == before
    assert runner.unfinished() == []


def test_deleting_a_version_keeps_the_function(cloud):
    client = cloud.client("lambda")
    make_function(cloud, "versioned", f"{HANDLER} return 1")
    version = client.publish_version(FunctionName="versioned")["Version"]
    for qualifier in (version, "$LATEST"):
        answer = client.invoke(FunctionName="versioned", Qualifier=qualifier)
        assert answer["Payload"].read() == b"1"
    client.delete_function(FunctionName="versioned", Qualifier=version)
    functions.runner().cool()
    assert client.invoke(FunctionName="versioned")["Payload"].read() == b"1"
