"""An endpoint that answers the AWS calls of Intake and Acknowledge, each after the same time.

    python -m benchmarks.endpoint SECONDS

It prints its port. `PUT /offers/1000` lets PollForJobs return this many jobs.
"""

import asyncio
import importlib
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TextIO

from local.aws.isolation import NO_FILES, NO_HOME
from tests.support import FUNCTIONS_ENVIRONMENT

ACTION_TYPE = {"owner": "Custom", "category": "Build", "provider": "Builder", "version": "1"}
MACHINE = FUNCTIONS_ENVIRONMENT["STATE_MACHINE_ARN"]
ENVIRONMENT = {
    **NO_FILES,
    **FUNCTIONS_ENVIRONMENT,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_SERVICE_NAME": "Intake",
    "POWERTOOLS_METRICS_NAMESPACE": "acknowledger",
    "ACTION_TYPES": "/".join(ACTION_TYPE.values()),
    # A variable that Lambda sets.
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
}


def job() -> dict[str, Any]:
    """A job as PollForJobs returns it."""
    artifact = {
        "name": "App",
        "location": {"type": "S3", "s3Location": {"bucketName": "b", "objectKey": "k" * 40}},
    }
    return {
        "id": str(uuid.uuid4()),
        "nonce": "3",
        "accountId": "123456789012",
        "data": {
            "actionTypeId": ACTION_TYPE,
            "actionConfiguration": {"configuration": {"Input": "x" * 200}},
            "pipelineContext": {
                "pipelineName": "release",
                "stage": {"name": "Build"},
                "action": {"name": "Build", "actionExecutionId": str(uuid.uuid4())},
                "pipelineArn": "arn:aws:codepipeline:us-east-1:123456789012:release",
                "pipelineExecutionId": str(uuid.uuid4()),
            },
            "inputArtifacts": [artifact],
            "outputArtifacts": [artifact],
            "artifactCredentials": {
                "accessKeyId": "A" * 20,
                "secretAccessKey": "s" * 40,
                "sessionToken": "t" * 800,
            },
        },
    }


class Services:
    """What the services answer."""

    def __init__(self) -> None:
        self.waiting = 0
        # Created once, since creating them during the measurement takes too long.
        self._jobs = itertools.cycle([json.dumps(job()) for _ in range(1000)])
        artifacts = {"minimumCount": 0, "maximumCount": 5}
        listed = {
            "id": ACTION_TYPE,
            "inputArtifactDetails": artifacts,
            "outputArtifactDetails": artifacts,
        }
        self._answers = {
            "ListActionTypes": json.dumps({"actionTypes": [listed]}),
            "StartExecution": json.dumps({"executionArn": MACHINE, "startDate": 1.0}),
            "SendTaskSuccess": "{}",
            "AcknowledgeJob": json.dumps({"status": "InProgress"}),
            "GetItem": "{}",
            "Query": '{"Items": [], "Count": 0}',
            "UpdateItem": json.dumps({"Attributes": {"acknowledgeCalls": {"M": {}}}}),
        }

    def answer(self, operation: str, body: bytes) -> str:
        """The answer to one call."""
        if operation != "PollForJobs":
            return self._answers[operation]
        count = min(self.waiting, json.loads(body)["maxBatchSize"])
        self.waiting -= count
        return '{"jobs": [' + ",".join(itertools.islice(self._jobs, count)) + "]}"


def told_by(module: str, *arguments: str) -> Any:
    """What a benchmark prints in a new process, as JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def printed(python: str, code: str, **environment: str) -> list[float]:
    """The numbers that some code prints in a new process, with nothing of the user's settings."""
    done = subprocess.run(
        [python, "-c", code],
        env={**ENVIRONMENT, **NO_HOME, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in done.stdout.split()]


def function(name: str, url: str, log: TextIO) -> tuple[Callable[[Any], Any], TextIO]:
    """A function as in Lambda, which calls the endpoint and logs to a file; and the output."""
    os.environ |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": url}
    sys.path.insert(0, "functions")
    told, sys.stdout = sys.stdout, log
    handler = importlib.import_module(name).handler
    # What is read of Lambda's context object.
    context = SimpleNamespace(
        function_name=name,
        memory_limit_in_mb=256,
        invoked_function_arn=f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: 60_000,
    )
    return lambda event: handler(event, context), told


def alternately(rounds: int, times: int, *acts: Callable[[], None]) -> tuple[list[float], ...]:
    """The milliseconds of processor time of each function in each round, in which it is called so
    many times. A round before, which is not counted, warms up.
    """
    spent: tuple[list[float], ...] = tuple([] for _ in acts)
    for counted in [False] + [True] * rounds:
        sums = [0.0 for _ in acts]
        for _ in range(times):
            for index, act in enumerate(acts):
                begun = time.process_time()
                act()
                sums[index] += time.process_time() - begun
        if counted:
            for taken, total in zip(spent, sums, strict=True):
                taken.append(total * 1000 / times)
    return spent


async def serve(delay: float) -> None:
    """Answer until standard input ends."""
    services = Services()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            request, *lines = head.decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if request.startswith("PUT"):
                services.waiting = int(request.split()[1].rpartition("/")[2])
                answer = "{}"
            else:
                await asyncio.sleep(delay)
                target = next(line for line in lines if line.lower().startswith("x-amz-target"))
                answer = services.answer(target.rpartition(".")[2], body)
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
                f"Content-Length: {len(answer)}\r\n\r\n{answer}".encode()
            )

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await connected(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answering, "127.0.0.1", 0, backlog=256)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    # Open connections need no more answers.
    os._exit(0)


@contextmanager
def running(delay: float) -> Iterator[str]:
    """The endpoint in a separate process; return its URL."""
    command = [sys.executable, "-m", "benchmarks.endpoint", str(delay)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def offer(url: str, count: int) -> None:
    """Let PollForJobs return this many jobs."""
    request = urllib.request.Request(f"{url}/offers/{count}", method="PUT")  # noqa: S310
    urllib.request.urlopen(request).close()  # noqa: S310


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
