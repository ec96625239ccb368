import json

import pytest

from acknowledger import bus
from acknowledger.errors import BusUnavailable

FAILED = {"ErrorCode": "InternalFailure", "ErrorMessage": "Later."}


@pytest.mark.parametrize("calls", [[], [1], [10, 2]])
def test_events_are_put_with_our_source_as_many_at_once_as_one_call_takes(calls, aws_calls):
    details = [{"jobId": str(number)} for number in range(sum(calls))]
    about = {"EventBusName": "JobBus", "Source": "acknowledger", "DetailType": "Job Progress"}
    entries = [{**about, "Detail": json.dumps(detail)} for detail in details]
    for size in calls:
        answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}] * size}
        some, entries = entries[:size], entries[size:]
        aws_calls.expects("events", "put_events", answer, {"Entries": some})
    bus.put("Job Progress", *details)


@pytest.mark.parametrize("entries", [[FAILED], [{"EventId": "e"}, FAILED]])
def test_an_event_that_is_refused_alone_or_among_others_is_an_error(entries, aws_calls):
    aws_calls.expects("events", "put_events", {"FailedEntryCount": 1, "Entries": entries})
    with pytest.raises(BusUnavailable, match=r"InternalFailure: Later\."):
        bus.put("Job Progress", *({} for _ in entries))


def test_a_bus_that_does_not_answer_raises_a_retryable_error(aws_calls):
    aws_calls.expects_error("events", "put_events", "InternalFailure", "Later.", 500)
    with pytest.raises(BusUnavailable, match="Later"):
        bus.put("Job Progress", {})
