"""The runner, with a queue that keeps messages as SQS does."""

import json
import threading
import time
from contextlib import contextmanager

import pytest

import acknowledger_worker.worker
from acknowledger_worker import JobCancelled, Runner, sqs
from doubles import Waiting, refusal, wait_for


class Queue:
    """Messages by receipt handle, with the time when each becomes visible."""

    def __init__(self):
        self.messages = {}
        self.kept = []
        self.asked = []
        self.errors = []
        self.lock = threading.Lock()

    def send(self, body):
        with self.lock:
            self.messages[f"m{len(self.messages)}"] = [body, 0.0]

    def receive_message(self, *, QueueUrl, MaxNumberOfMessages, VisibilityTimeout, **_):  # noqa: N803
        self.asked.append(MaxNumberOfMessages)
        if self.errors:
            raise refusal(self.errors.pop())
        with self.lock:
            now = time.monotonic()
            seen = [handle for handle, (_, at) in self.messages.items() if at <= now]
            for handle in seen[:MaxNumberOfMessages]:
                self.messages[handle][1] = now + VisibilityTimeout
        if not seen:
            time.sleep(0.01)
        return {
            "Messages": [
                {"MessageId": handle, "ReceiptHandle": handle, "Body": self.messages[handle][0]}
                for handle in seen[:MaxNumberOfMessages]
            ]
        }

    def delete_message(self, *, QueueUrl, ReceiptHandle):  # noqa: N803
        with self.lock:
            del self.messages[ReceiptHandle]

    def change_message_visibility(self, *, QueueUrl, ReceiptHandle, VisibilityTimeout):  # noqa: N803
        with self.lock:
            self.kept.append(VisibilityTimeout)
            self.messages[ReceiptHandle][1] = time.monotonic() + VisibilityTimeout

    def visible(self):
        with self.lock:
            return [handle for handle, (_, at) in self.messages.items() if at <= time.monotonic()]


@pytest.fixture
def queue(aws):
    aws.clients["sqs"] = made = Queue()
    return made


@contextmanager
def running(aws, function, **settings):
    runner = Runner(aws.worker(function), "url", client=aws, **settings)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join(60)
        assert not thread.is_alive()


def as_body(event, number=0):
    return json.dumps({**event, "detail": {**event["detail"], "jobId": f"job-{number}"}})


@pytest.fixture
def answered(step_functions, monkeypatch):
    """The reported ends; here each job has its own token, which stays valid."""
    told = []
    monkeypatch.setattr(type(step_functions), "_tell", lambda self, what, _: told.append(what))
    return told


def test_several_jobs_run_at_once_and_their_messages_are_deleted(aws, queue, event, answered):
    for number in range(5):
        queue.send(as_body(event, number))
    together = threading.Barrier(3)
    at_once, most = [], []

    def function(job):
        at_once.append(job)
        most.append(len(at_once))
        if len(most) <= 3:
            together.wait(60)
        at_once.remove(job)

    with running(aws, function, jobs_at_once=3):
        wait_for(lambda: not queue.messages, "all messages to be deleted", seconds=10)
    assert answered.count("success") == 5
    assert max(most) == 3
    assert max(queue.asked) == 3


def test_a_message_is_kept_invisible_while_its_job_runs(aws, queue, event, answered, monkeypatch):
    monkeypatch.setattr(acknowledger_worker.worker, "CLAIM_SECONDS", 0.1)
    queue.send(as_body(event))

    def function(job):
        wait_for(lambda: len(queue.kept) > 1, "two heartbeats", seconds=10)

    with running(aws, function):
        wait_for(lambda: not queue.messages, "the message to be deleted", seconds=10)
    assert set(queue.kept) == {sqs.VISIBILITY_SECONDS}


def test_a_message_that_is_delivered_twice_is_processed_once(aws, queue, event, answered):
    for _ in range(2):
        queue.send(as_body(event))
    worked = []

    def function(job):
        worked.append(job)
        wait_for(lambda: queue.kept, "the other delivery to be left", seconds=10)

    with running(aws, function):
        wait_for(lambda: len(queue.messages) == 1, "a message to be deleted", seconds=10)
    assert len(worked) == 1
    assert queue.visible() == []


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"detail-type": "Job Failed"}'])
def test_an_invalid_message_stays_in_the_queue(aws, queue, body, caplog):
    queue.send(body)
    with running(aws, lambda job: None):
        wait_for(lambda: queue.kept, "the message to be left", seconds=10)
    assert queue.kept == [sqs.VISIBILITY_SECONDS]
    assert len(queue.messages) == 1


def test_current_jobs_are_finished_when_the_runner_stops(aws, queue, event, answered):
    queue.send(as_body(event))
    function = Waiting()
    with running(aws, function) as runner:
        assert function.begun.wait(60)
        runner.stop()
        queue.send(as_body(event, 2))
        function.go_on.set()
    assert answered.count("success") == 1
    assert len(queue.messages) == len(queue.visible()) == 1


def test_messages_received_while_the_runner_stops_are_returned(aws, queue, event, answered):
    receive = queue.receive_message

    def receive_late(**request):
        runner.stop()
        queue.send(as_body(event))
        return receive(**request)

    queue.receive_message = receive_late
    runner = Runner(aws.worker(lambda job: None), "url", client=aws)
    runner.run()
    assert queue.kept == [0]
    assert len(queue.visible()) == 1
    assert answered == []


def test_jobs_that_take_too_long_are_handed_back_when_the_runner_stops(aws, queue, event, answered):
    queue.send(as_body(event))
    begun, stopped = threading.Event(), []

    def function(job):
        begun.set()
        try:
            job.wait(60)
        except JobCancelled as reason:
            stopped.append(str(reason))

    with running(aws, function, stop_seconds=0):
        assert begun.wait(60)
    assert stopped == ["the worker stops"]
    assert set(answered) == {"heartbeat"}
    assert len(queue.visible()) == 1


def test_a_function_that_does_not_stop_delays_the_runner_only_briefly(
    aws, queue, event, answered, monkeypatch, caplog
):
    monkeypatch.setattr(sqs, "POLITE_SECONDS", 0.05)
    queue.send(as_body(event))
    function = Waiting()
    with running(aws, function, stop_seconds=0):
        assert function.begun.wait(60)
    assert "1 jobs did not stop" in caplog.text
    function.go_on.set()
    wait_for(queue.visible, "the message to be handed back", seconds=10)
    assert set(answered) == {"heartbeat"}


def test_a_failed_read_of_the_queue_is_retried(aws, queue, event, answered, monkeypatch, caplog):
    monkeypatch.setattr(sqs, "RETRY_SECONDS", 0.01)
    queue.errors.append("ServiceUnavailable")
    queue.send(as_body(event))
    with running(aws, lambda job: None):
        wait_for(lambda: not queue.messages, "the message to be processed", seconds=10)
    assert "messages could not be received: ServiceUnavailable" in caplog.text
