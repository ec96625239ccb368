"""Lambda's Python runtime: a process that runs one function.

It is run by path and never imported: ``python lambda_runtime.py <requests fd> <answers fd>``. It
uses only the standard library, so that a function finds nothing here that it would not find on AWS.

``python lambda_runtime.py <socket fd>`` imports the SDK, which takes most of a cold start, and
forks such a process for each request: see `fork_sandboxes`.

Events and answers are JSON, one document per line, in two pipes that the function does not know, so
its output can't be taken for an answer. Standard output and standard error are the function's log.
When the parent ends, the requests pipe closes, and this process ends too.
"""

import contextlib
import decimal
import gc
import importlib
import json
import logging
import os
import queue
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Handler = Callable[[Any, Any], Any]


class CognitoIdentity:
    """The caller's identity in Amazon Cognito; always None here."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class Context:
    """The second argument of a handler."""

    client_context = None

    def __init__(self, request: dict[str, Any]) -> None:
        self.aws_request_id = request["requestId"]
        self.invoked_function_arn = request["functionArn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = CognitoIdentity()
        self._deadline = time.monotonic() + request["timeout"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class RequestIdFilter(logging.Filter):
    """Puts the id of the running invocation into every log record, as Lambda does."""

    request_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self.request_id
        return True


def set_up_logging() -> RequestIdFilter:
    """Give the root logger the handler that it has in Lambda, and the configured level if any."""
    request_id = RequestIdFilter()
    if level := os.environ.get("AWS_LAMBDA_LOG_LEVEL"):
        logging.getLogger().setLevel(level)
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
        "%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    handler.addFilter(request_id)
    logging.getLogger().addHandler(handler)
    return request_id


def load(handler: str) -> Handler:
    """Import ``module.function``; the module may be in a package, written with dots or slashes."""
    module_name, _, function_name = handler.rpartition(".")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise InitError("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise InitError("Runtime.UserCodeSyntaxError", message) from error
    try:
        found: Handler = getattr(module, function_name)
    except AttributeError as error:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise InitError("Runtime.HandlerNotFound", message) from error
    return found


class InitError(Exception):
    """The handler could not be loaded; has the error type of Lambda's answer."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def describe(error: Exception, request_id: str) -> dict[str, Any]:
    """Return what Lambda answers for an exception, and log it as Lambda does."""
    if isinstance(error, InitError):
        error_type, stack = error.error_type, []
    else:
        error_type = type(error).__name__
        # The first frame is this file.
        stack = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
    answer = {
        "errorMessage": str(error),
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": stack,
    }
    log_error(answer)
    return answer


def log_error(answer: dict[str, Any]) -> None:
    """Log that the function failed, in the function's log format."""
    if os.environ["AWS_LAMBDA_LOG_FORMAT"] == "JSON":
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(json.dumps({"timestamp": moment, "level": "ERROR", **answer}))
        return
    print(f"[ERROR] {answer['errorType']}: {answer['errorMessage']}")
    if answer["stackTrace"]:
        print("Traceback (most recent call last):\n" + "".join(answer["stackTrace"]), end="")


def encode(value: Any) -> float | str:
    """Encode the two types that Lambda supports in addition to JSON's."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def run(handler: Handler, request: dict[str, Any]) -> dict[str, Any]:
    """Run one event; the answer has ``payload``, and ``error`` if the function failed."""
    try:
        result = handler(json.loads(request["event"]), Context(request))
    except Exception as error:  # noqa: BLE001 - whatever a function raises is its answer
        return {"error": True, "payload": json.dumps(describe(error, request["requestId"]))}
    try:
        return {"payload": json.dumps(result, default=encode)}
    except (TypeError, ValueError) as error:
        marshal = {
            "errorMessage": f"Unable to marshal response: {error}",
            "errorType": "Runtime.MarshalError",
            "requestId": request["requestId"],
            "stackTrace": [],
        }
        log_error(marshal)
        return {"error": True, "payload": json.dumps(marshal)}


def max_memory() -> int:
    """Return the most memory this process has used, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024)
    # getrusage would include the memory of the parent when it forked this process.
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def receive(requests_fd: int, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass requests on to the main thread, and end the process when the parent ends."""
    with os.fdopen(requests_fd, encoding="utf-8") as requests:
        for line in requests:
            inbox.put(json.loads(line))
    os._exit(0)


def scale_sleep(scale: float) -> None:
    """Shorten `time.sleep`, for tests."""
    sleep = time.sleep
    if scale != 1:
        time.sleep = lambda seconds: sleep(float(seconds) * scale)


def fork_sandboxes(requests: socket.socket) -> None:
    """Fork a process for each request, and report its start and end, until the socket is closed.

    A request has five descriptors: standard input, output, requests, answers, and one with the
    settings: ``{"environment": {...}, "folder": "..."}``. The reports are lines of JSON:
    ``{"started": pid}`` and ``{"ended": pid, "status": as from `waitpid`}``.
    """
    # This process may inherit the one core to which the local stack's threads are limited.
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    before = set(sys.modules)
    with contextlib.suppress(ImportError):
        importlib.import_module("boto3")
    imported = {name.partition(".")[0] for name in set(sys.modules) - before}
    gc.freeze()
    ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    def tell(**what: int) -> None:
        requests.sendall(json.dumps(what).encode() + b"\n")

    while True:
        ready, _, _ = select.select([requests.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            with contextlib.suppress(ChildProcessError):
                while (found := os.waitpid(-1, os.WNOHANG))[0]:
                    tell(ended=found[0], status=found[1])
        if requests.fileno() in ready:
            message, fds, _, _ = socket.recv_fds(requests, 1, 5)
            if not message:
                return
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for fd in (requests.detach(), ended, wakeup):
                    os.close(fd)
                become_sandbox(fds, imported)
                return
            # In the parent as well, because the receiver may kill the group at once.
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            for fd in fds:
                os.close(fd)
            tell(started=pid)


def become_sandbox(fds: list[int], imported: set[str]) -> None:
    """Make this forked process look newly started to the function.

    If the function has its own module with the name of an imported one, or sets variables that are
    read when Python starts, really start a new Python instead.
    """
    os.setpgid(0, 0)
    stdin, output, requests_fd, answers_fd, settings_fd = fds
    for fd, standard in ((stdin, 0), (output, 1), (output, 2)):
        os.dup2(fd, standard)
    os.close(stdin)
    os.close(output)
    with os.fdopen(settings_fd) as file:
        settings = json.load(file)
    os.chdir(settings["folder"])
    os.environ.clear()
    os.environ.update(settings["environment"])
    time.tzset()
    sys.argv[1:] = [str(requests_fd), str(answers_fd)]
    own = {path.stem for path in Path(settings["folder"]).iterdir()}
    if own & imported or any(name.startswith(("PYTHON", "BOTO")) for name in os.environ):
        for fd in (requests_fd, answers_fd):
            os.set_inheritable(fd, True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:-1], *sys.argv[1:]])  # noqa: S606
    main()


def main() -> None:
    # Programs that a shell starts in the background ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    requests_fd, answers_fd = int(sys.argv[1]), int(sys.argv[2])
    scale_sleep(float(os.environ.pop("LOCAL_SLEEP_SCALE", "1")))
    sys.argv = [os.environ["_HANDLER"]]
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    for fd in (requests_fd, answers_fd):  # not for processes that the function starts
        os.set_inheritable(fd, False)
    answers = os.fdopen(answers_fd, "w", encoding="utf-8")

    def answer(document: dict[str, Any], marker: str) -> None:
        # The marker tells the parent that it has read everything this invocation printed.
        sys.stderr.flush()
        print(marker, flush=True)
        document["maxMemory"] = max_memory()
        print(json.dumps(document), file=answers, flush=True)

    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(requests_fd, inbox), daemon=True).start()
    request_id = set_up_logging()
    marker = sys.stdin.readline().rstrip("\n")
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - it is the answer to the event
        answer({"error": True, "payload": json.dumps(describe(error, ""))}, marker)
        return
    answer({}, marker)
    while True:
        request = inbox.get()
        request_id.request_id = request["requestId"]
        os.environ["_X_AMZN_TRACE_ID"] = request["traceId"]
        answer(run(handler, request), marker)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        fork_sandboxes(socket.socket(fileno=int(sys.argv[1])))
    else:
        main()
