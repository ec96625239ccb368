"""The address on which the endpoint listens."""

import errno
import ipaddress
import socket


class AddressError(ValueError):
    """The address can't be used. The message names HOST or PORT, and says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free port. Raises AddressError."""
    elsewhere = (
        f"HOST must be an address of this machine, not '{host}'; "
        "127.0.0.1 allows only this machine to connect, 0.0.0.0 allows others too"
    )
    try:
        # Digits and dots are never a name, so don't look them up in the network.
        if not host.strip("0123456789."):
            ipaddress.ip_address(host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.getaddrinfo(host, port, family)
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, ValueError) as error:  # ValueError includes UnicodeError, for bad names
        advice = {
            errno.EADDRINUSE: f"PORT {port} is in use on {host}: free it, or choose another port",
            errno.EACCES: f"PORT {port} needs root: choose 1024 or higher",
        }
        raise AddressError(advice.get(getattr(error, "errno", 0), elsewhere)) from error
