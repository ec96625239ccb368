"""Where the endpoint listens."""

from __future__ import annotations

import errno
import ipaddress
import socket


class AddressError(ValueError):
    """Nothing can listen there. The message names HOST or PORT, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any free one. Raises AddressError."""
    elsewhere = (
        f"HOST must be an address of this machine, not '{host}'; "
        "127.0.0.1 is for this machine alone, 0.0.0.0 lets others in"
    )
    try:
        # Such a thing is no name, which would be looked up in the network.
        if not host.strip("0123456789."):
            ipaddress.ip_address(host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.getaddrinfo(host, port, family)
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, ValueError) as error:  # of names, UnicodeError
        advice = {
            errno.EADDRINUSE: f"PORT {port} is in use on {host}: free it, or choose another one",
            errno.EACCES: f"PORT {port} needs root: choose one from 1024 up",
        }
        raise AddressError(advice.get(getattr(error, "errno", 0), elsewhere)) from error
