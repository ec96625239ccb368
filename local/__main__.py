"""The commands `python -m local serve`, `demo` and `event`, which the make targets call."""

import signal
import sys

from local.aws import isolation

# During the imports, Ctrl-C ends the process at once and without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)
isolation.isolate()

from local import arguments


def main() -> int:
    """Check the command line, run its command and return the exit status."""
    given = arguments.parser().parse_args()
    arguments.check_region()
    if given.command == "serve":
        asked = arguments.serving(given)
        from local import serve

        return serve.main(asked)
    if given.command == "event":
        port = arguments.whole("PORT", given.port, 1, 65535)
        from local import by_hand

        return by_hand.main(port)
    from local import demo

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return demo.main()


if __name__ == "__main__":
    sys.exit(arguments.ended(main))
