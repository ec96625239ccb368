import json
import logging
import os
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

from acknowledger import aws
from tests.support import ROOT
from tests.unit.conftest import SERVICE

TOKEN = "a-client-token-that-nobody-may-see"
CALL = f"""
import logging, sys
logging.basicConfig(stream=sys.stdout)
logging.getLogger().setLevel(logging.DEBUG)  # as Lambda does at log level DEBUG
from acknowledger.aws import client
from acknowledger.log import logger
try:
    client("codepipeline", retrying=False).get_third_party_job_details(jobId="1", clientToken="{TOKEN}")
except Exception as error:
    logger.info(type(error).__name__)
"""


@pytest.mark.parametrize(("rate", "debugged"), [("0", False), ("1", True)])
def test_a_sampled_invocation_logs_each_aws_call_and_no_secret(rate, debugged, environment):
    variables = {
        "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "POWERTOOLS_LOGGER_SAMPLE_RATE": rate,
        "PYTHONPATH": str(ROOT / "functions"),
    }
    printed = subprocess.run(
        [sys.executable, "-c", CALL],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [json.loads(line) for line in printed.stdout.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] == ["AWS called"] * debugged + [
        "EndpointConnectionError"
    ]
    if debugged:
        told = {"aws_service": "codepipeline", "operation": "GetThirdPartyJobDetails"}
        assert lines[0] | told | {"level": "DEBUG", "error": "EndpointConnectionError"} == lines[0]
    assert TOKEN not in printed.stdout + printed.stderr


def test_errors_of_aws_are_logged_at_level_debug_only(aws_calls, log, caplog):
    for level in (logging.INFO, logging.DEBUG):
        aws_calls.expects_error("dynamodb", "get_item", "ThrottlingException", status=400)
        with caplog.at_level(level, SERVICE), pytest.raises(ClientError, match="Throttling"):
            aws.client("dynamodb").get_item(TableName="JobTable", Key={"jobId": {"S": "secret"}})
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert line["error"] == "ThrottlingException"
    assert line["http_status"] == 400
    assert "secret" not in json.dumps(line)
