"""`python -m acknowledger_worker module:worker --queue-url URL` runs a worker until SIGTERM."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from acknowledger_worker.sqs import Runner
from acknowledger_worker.worker import Worker


def load(place: str) -> Worker:
    """The Worker that is somewhere, as `module:name`.

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
    raise LookupError(f"{place} is no Worker: it must be made as {name} = Worker(function)")


def _told(module: str, error: BaseException) -> str:
    """What went wrong in a module, and where."""
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "importlib" not in frame.filename and frame.filename != __file__:
            where = f" ({frame.filename}, line {frame.lineno})"
    said = " ".join(traceback.format_exception_only(error)[-1].split())
    return f"{module} can't be imported: {said}{where}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Take jobs from a queue until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="acknowledger_worker", description=__doc__)
    parser.add_argument("worker", help="where the Worker is, as module:name")
    parser.add_argument("--queue-url", default=os.environ.get("QUEUE_URL"))
    parser.add_argument("--jobs-at-once", type=int, default=4)
    parser.add_argument("--stop-seconds", type=float, default=20, help="then hand back jobs")
    parser.add_argument("--check", action="store_true", help="only import the Worker")
    given = parser.parse_args(arguments)
    if not given.queue_url and not given.check:
        parser.error("--queue-url or QUEUE_URL is needed")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("acknowledger_worker").setLevel(logging.INFO)
    sys.path.insert(0, "")
    try:
        worker = load(given.worker)
    except LookupError as error:
        parser.exit(2, f"{error}\n")
    if given.check:
        return
    Runner(
        worker,
        given.queue_url,
        jobs_at_once=given.jobs_at_once,
        stop_seconds=given.stop_seconds,
    ).run()


if __name__ == "__main__":
    main()
