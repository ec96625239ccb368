"""`python -m acknowledger_worker module:worker --queue-url URL` runs a worker until SIGTERM."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from acknowledger_worker.reload import run_reloading
from acknowledger_worker.sqs import Runner
from acknowledger_worker.worker import Worker


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Take jobs from a queue until SIGTERM or SIGINT."""
    parser = _Parser(prog="acknowledger_worker", description=__doc__)
    parser.add_argument("worker", help="where the Worker is, as module:name")
    parser.add_argument("--queue-url", default=os.environ.get("QUEUE_URL"))
    parser.add_argument("--jobs-at-once", type=int, default=4)
    parser.add_argument("--stop-seconds", type=float, default=20, help="then hand back jobs")
    parser.add_argument(
        "--reload",
        action="store_true",
        help="for authors: start anew when a Python file in this folder changes, "
        "with the jobs in hand",
    )
    given = parser.parse_args(arguments)
    if given.reload:
        again = [each for each in arguments or sys.argv[1:] if each != "--reload"]
        command = [sys.executable, "-m", "acknowledger_worker", *again, "--stop-seconds", "0"]
        return run_reloading(command)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("acknowledger_worker").setLevel(logging.INFO)
    try:
        worker = _worker(given.worker)
    except ValueError as error:
        parser.error(str(error))
    if not given.queue_url:
        parser.error("--queue-url or QUEUE_URL is needed")
    return Runner(
        worker,
        given.queue_url,
        jobs_at_once=given.jobs_at_once,
        stop_seconds=given.stop_seconds,
    ).run()


def _worker(place: str) -> Worker:
    """The worker at `module:name`.

    Raises:
        ValueError: why there is none, in one line.
    """
    sys.path.insert(0, "")
    module, _, name = place.partition(":")
    if not module or not name:
        raise ValueError(f"{place!r} must be module:name")
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the module does
        reason = " ".join([f"{type(error).__name__}:", *str(error).split()]).rstrip(":")
        where = traceback.extract_tb(error.__traceback__)[-1]
        # A syntax error says its own place, and a module that is not there has none.
        said = isinstance(error, SyntaxError) or "importlib" in where.filename
        at = "" if said else f" ({where.filename}, line {where.lineno})"
        raise ValueError(f"module {module} can't be imported: {reason}{at}") from None
    worker = getattr(imported, name, None)
    if isinstance(worker, Worker):
        return worker
    what = "no Worker" if hasattr(imported, name) else "not there"
    raise ValueError(f"{place} is {what}")


if __name__ == "__main__":
    main()
