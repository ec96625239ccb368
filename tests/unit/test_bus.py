import json

import pytest

from acknowledger import bus
from acknowledger.errors import BusUnavailable


def test_an_event_is_put_with_our_source(aws_calls):
    entry = {
        "EventBusName": "JobBus",
        "Source": "acknowledger",
        "DetailType": "Job Progress",
        "Detail": json.dumps({"jobId": "j"}),
    }
    answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}
    aws_calls.expects("events", "put_events", answer, {"Entries": [entry]})
    bus.put("Job Progress", {"jobId": "j"})


def test_more_events_than_one_call_takes_are_put_in_several_calls(aws_calls):
    answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}
    details = [{"jobId": str(number)} for number in range(12)]
    for some in (details[:10], details[10:]):
        entries = [
            {
                "EventBusName": "JobBus",
                "Source": "acknowledger",
                "DetailType": "Job Progress",
                "Detail": json.dumps(detail),
            }
            for detail in some
        ]
        aws_calls.expects("events", "put_events", answer, {"Entries": entries})
    bus.put("Job Progress", *details)


def test_an_event_that_is_refused_among_others_is_an_error(aws_calls):
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "Later."}
    answer = {"FailedEntryCount": 1, "Entries": [{"EventId": "e"}, failed]}
    aws_calls.expects("events", "put_events", answer)
    with pytest.raises(BusUnavailable, match=r"InternalFailure: Later\."):
        bus.put("Job Progress", {}, {})


def test_a_single_event_that_is_refused_is_an_error(aws_calls):
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "Later."}
    aws_calls.expects("events", "put_events", {"FailedEntryCount": 1, "Entries": [failed]})
    with pytest.raises(BusUnavailable, match=r"InternalFailure: Later\."):
        bus.put("Job Progress", {})


def test_a_bus_that_does_not_answer_raises_a_retryable_error(aws_calls):
    aws_calls.expects_error("events", "put_events", "InternalFailure", "Later.", 500)
    with pytest.raises(BusUnavailable, match="Later"):
        bus.put("Job Progress", {})
