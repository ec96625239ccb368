"""`python -m local serve`, `demo` and `chaos`: what the make targets of these names call."""

from __future__ import annotations

import signal
import sys

from local import isolation

# Ctrl-C while all is imported ends it at once, without a word.
signal.signal(signal.SIGINT, signal.SIG_DFL)
isolation.isolate()

from local import arguments


def main() -> int:
    """Do what the command line says; the exit status.

    What can't be started as asked for ends with one line and status 2, before the rest is imported.
    """
    try:
        return run()
    except arguments.WrongStartError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def run() -> int:
    """The same, where nothing goes wrong."""
    given = arguments.parser().parse_args()
    arguments.check_region()
    if given.command == "serve":
        asked = arguments.serving(given)
        from local import serve

        return serve.main(asked)
    if given.command == "chaos":
        jobs = arguments.whole("JOBS", given.jobs, 1)
        seed = arguments.whole("SEED", given.seed, 0)
        rate = arguments.share("RATE", given.rate)
        from local import chaos

        signal.signal(signal.SIGINT, signal.default_int_handler)
        return chaos.main(jobs, seed, rate)
    from local import demo

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return demo.main()


if __name__ == "__main__":
    sys.exit(main())
