"""How a command asks for confirmation, and how it is interrupted."""

import signal


def confirmed(yes: bool, question: str) -> bool:
    """Whether the user agrees, or did so in advance. Without a terminal nobody does."""
    try:
        return yes or input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def interruptible() -> None:
    """Let SIGTERM, and SIGHUP where there is one, do what Ctrl-C does: everything is removed."""
    for name in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.default_int_handler)
