"""`python -m acknowledger_worker module:worker --queue-url URL` runs a worker until SIGTERM."""

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from acknowledger_worker.reload import Code
from acknowledger_worker.sqs import Runner
from acknowledger_worker.worker import Worker, running


class Naming(logging.Formatter):
    """Names the job in what is logged while its function runs; further lines begin with a tab."""

    def format(self, record: logging.LogRecord) -> str:
        job_id = running.get()
        record.job = f"job {job_id}: " if job_id not in record.getMessage() else ""
        return super().format(record).replace("\n", "\n\t")


def load(place: str) -> Worker:
    """The Worker at `module:name`.

    Raises:
        LookupError: there is none; the message says why in one line.
    """
    module, _, name = place.partition(":")
    if not module or not name or module.startswith("."):
        raise LookupError(f"'{place}' must be module:name, such as hello:handler")
    try:
        found = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        if error.name != name:
            raise LookupError(_told(module, error)) from error
        raise LookupError(f"{module} has no {name}") from error
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise LookupError(f"there is no module {error.name}") from error
        raise LookupError(_told(module, error)) from error
    if isinstance(found, Worker):
        return found
    raise LookupError(f"{place} is not a Worker: write {name} = Worker(function)")


def _told(module: str, error: BaseException) -> str:
    """The error of a module's import, and its place."""
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "importlib" not in frame.filename and frame.filename != __file__:
            where = f" ({frame.filename}, line {frame.lineno})"
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    said = " ".join(traceback.format_exception_only(error)[-1].split())
    return f"{module} can't be imported: {said}{where}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Take jobs from a queue until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m acknowledger_worker", description="Run a worker until SIGTERM."
    )
    parser.add_argument("worker", help="where the Worker is, as module:name")
    parser.add_argument(
        "--queue-url", default=os.environ.get("QUEUE_URL"), help="default: QUEUE_URL's value"
    )
    parser.add_argument("--jobs-at-once", type=int, default=4, help="default: %(default)s")
    parser.add_argument(
        "--stop-seconds",
        type=float,
        default=20,
        help="how long jobs may go on after SIGTERM, before they are handed back "
        "(default: %(default)s)",
    )
    parser.add_argument("--check", action="store_true", help="only import the Worker")
    parser.add_argument(
        "--reload",
        action="store_true",
        help="for development: restart, with the current jobs, when a Python file in this folder "
        "has changed",
    )
    given = parser.parse_args(arguments)
    code = Code() if given.reload else None
    handler = logging.StreamHandler()
    handler.setFormatter(Naming("%(asctime)s %(levelname)s %(job)s%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logger = logging.getLogger("acknowledger_worker")
    sys.path.insert(0, "")
    try:
        worker = load(given.worker)
    except LookupError as error:
        if not code or not given.queue_url:
            parser.exit(2, f"{error}\n")
        logger.warning("%s takes no jobs until the code changes: %s", given.worker, error)
        code.wait_for_change()
    else:
        if given.check:
            return
        if not given.queue_url:
            parser.exit(2, "--queue-url or QUEUE_URL is needed\n")
        runner = Runner(
            worker,
            given.queue_url,
            jobs_at_once=given.jobs_at_once,
            stop_seconds=0 if code else given.stop_seconds,
        )
        if code:
            code.when_changed(runner.stop)
        logger.info("%s takes jobs", given.worker)
        runner.run()
    if code and code.changed:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this same program


if __name__ == "__main__":
    main()
