"""`python -m acknowledger_worker module:worker --queue-url URL` runs a worker until SIGTERM."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from acknowledger_worker.sqs import Runner
from acknowledger_worker.worker import Worker


def main(arguments: Sequence[str] | None = None) -> None:
    """Take jobs from a queue until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="acknowledger_worker", description=__doc__)
    parser.add_argument("worker", help="where the Worker is, as module:name")
    parser.add_argument("--queue-url", default=os.environ.get("QUEUE_URL"))
    parser.add_argument("--jobs-at-once", type=int, default=4)
    parser.add_argument("--stop-seconds", type=float, default=20, help="then hand back jobs")
    given = parser.parse_args(arguments)
    if not given.queue_url:
        parser.error("--queue-url or QUEUE_URL is needed")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("acknowledger_worker").setLevel(logging.INFO)
    sys.path.insert(0, "")
    module, _, name = given.worker.partition(":")
    worker = getattr(importlib.import_module(module), name, None)
    if not isinstance(worker, Worker):
        parser.error(f"{given.worker} is no Worker")
    Runner(
        worker,
        given.queue_url,
        jobs_at_once=given.jobs_at_once,
        stop_seconds=given.stop_seconds,
    ).run()


if __name__ == "__main__":
    main()
