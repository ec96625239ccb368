"""The local cloud in this process, which leaves nothing behind when it stops."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from moto.sqs.models import sqs_backends

from local.aws import functions, stepfunctions
from local.aws.address import AddressError
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    SECONDS,
    alive,
    client_of,
    invoke,
    make_function,
    make_machine,
    running,
    wait_until_freed,
)
from tests.support import ROOT, wait_for

PID = "import os\ndef handler(event, context): return os.getpid()"


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fails if a test leaves a thread running."""
    if sys.platform == "linux":
        functions.starter()  # it serves all stacks of this process, and ends with the process
    before = set(threading.enumerate())
    yield
    wait_for(
        lambda: not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()],
        "all threads to end",
        SECONDS,
    )


@pytest.mark.parametrize("error", [None, ZeroDivisionError], ids=["without", "with an error"])
@pytest.mark.usefixtures("no_thread_left")
def test_the_cloud_starts_empty_and_leaves_nothing_behind(error):
    waits = {"Type": "Wait", "Seconds": 3600, "End": True}
    definition = {"StartAt": "Wait", "States": {"Wait": waits}}
    with suppress(ZeroDivisionError), running() as cloud:
        assert cloud.client("sqs").list_queues().get("QueueUrls") is None
        cloud.client("sqs").create_queue(QueueName="left")
        make_function(cloud, "pid", PID)
        pid = invoke(cloud, "pid")
        assert alive(pid)
        machine = make_machine(cloud, "waits", definition)
        cloud.client("stepfunctions").start_execution(stateMachineArn=machine)
        endpoint = cloud.endpoint_url
        if error:
            raise error
    assert not alive(pid)
    port = int(endpoint.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_running_invocations_are_logged_before_the_cloud_has_stopped(monkeypatch):
    """Otherwise they would be in the next stack's logs."""
    logged = []
    log = functions.Sandbox._write_log

    def late(self: functions.Sandbox, *args: Any, **kwargs: Any) -> str:
        time.sleep(0.5)
        text = log(self, *args, **kwargs)
        logged.append(text)
        return text

    monkeypatch.setattr(functions.Sandbox, "_write_log", late)
    sleeps = "import time\ndef handler(event, context): time.sleep(600)"
    with running() as cloud:
        make_function(cloud, "sleeps", sleeps)
        cloud.client("lambda").invoke(FunctionName="sleeps", InvocationType="Event")
        wait_for(lambda: functions.runner()._running, "the function to run", SECONDS)
    assert len(logged) == 1


def test_any_credentials_are_accepted_and_the_account_is_always_the_same():
    with running() as cloud:
        for key in ("AKIAIOSFODNN7EXAMPLE", "test", "000000000000"):
            sts = client_of(cloud.endpoint_url, "sts", aws_access_key_id=key)
            assert sts.get_caller_identity()["Account"] == ACCOUNT == cloud.account_id


def test_the_region_is_the_one_in_the_environment(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with LocalCloud(port=0) as cloud:
        assert cloud.region == "eu-west-1"
        url = cloud.client("sqs").create_queue(QueueName="regional")["QueueUrl"]
        attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        assert attributes["Attributes"]["QueueArn"].split(":")[3] == "eu-west-1"
        make_function(
            cloud, "region", "import os\ndef handler(e, c): return os.environ['AWS_REGION']"
        )
        assert invoke(cloud, "region") == "eu-west-1"
    assert "AWS_REGION" not in os.environ
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert LocalCloud(port=0).region == "us-east-1"


def test_a_port_in_use_is_reported_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError) as caught, LocalCloud(port=port):
            pass
    assert str(caught.value).startswith(f"PORT {port} is in use on 127.0.0.1: ")
    assert "\n" not in str(caught.value)


def test_queue_urls_lead_to_the_endpoint():
    with running() as cloud:
        url = cloud.client("sqs").create_queue(QueueName="urls")["QueueUrl"]
        assert url == f"{cloud.endpoint_url}/{ACCOUNT}/urls"


def test_after_the_end_state_machines_and_the_sample_worker_send_nothing_to_aws(monkeypatch):
    sent: list[Any] = []
    monkeypatch.setattr(URLLib3Session, "send", lambda _, request: sent.append(request))
    with running() as cloud:
        sqs = stepfunctions.Clients().client(
            "sqs", region_name=cloud.region, config=Config(retries={"total_max_attempts": 1})
        )
        assert sqs.create_queue(QueueName="ours")["QueueUrl"]
    with pytest.raises(EndpointConnectionError, match="amazonaws"):
        sqs.list_queues()
    assert sent == []


def test_garbage_collection_is_as_before_after_the_end():
    before = gc.get_threshold()
    with running():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before


def test_a_failing_tick_does_not_stop_the_others(caplog):
    ticked = threading.Semaphore(0)

    def fails() -> None:
        raise ZeroDivisionError

    with LocalCloud(port=0, ticks=(fails, ticked.release)):
        assert ticked.acquire(timeout=SECONDS)
        assert ticked.acquire(timeout=SECONDS), "ticks have ended"
    assert "ZeroDivisionError" in caplog.text


def test_requests_are_not_logged(capfd):
    with running() as cloud:
        cloud.client("sqs").list_queues()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)],
    ids=["Ctrl-C", "killed"],
)
def test_no_sandbox_outlives_the_process(number, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import time
from tests.local.fixtures.cloud import invoke, make_function, running
from tests.local.test_server import PID
with running() as cloud:
    make_function(cloud, "pid", {PID!r})
    print(invoke(cloud, "pid"), flush=True)
    time.sleep(60)
"""
    )
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.send_signal(number)
        process.wait(SECONDS)
    wait_for(lambda: not alive(pid), "the sandbox to end", SECONDS)


AFFINITY = "import os\ndef handler(event, context): return sorted(os.sched_getaffinity(0))"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_the_clouds_threads_keep_to_one_core_but_not_its_functions_or_the_caller():
    before = os.sched_getaffinity(0)
    with running() as cloud:
        assert os.sched_getaffinity(0) == before
        (endpoint,) = [one for one in threading.enumerate() if one.name == "endpoint"]
        assert len(os.sched_getaffinity(endpoint.native_id or 0)) == 1
        make_function(cloud, "affinity", AFFINITY)
        assert invoke(cloud, "affinity") == sorted(before)


def test_a_deleted_message_is_freed():
    with running() as cloud:
        sqs = cloud.client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="gone")
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        queue = sqs_backends[ACCOUNT][cloud.region].queues["q"]
        kept = weakref.ref(queue._messages[0])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        wait_until_freed(kept)
