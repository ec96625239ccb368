"""A partner's clients: which client an action's jobs belong to, and the token that they require.

Documented: a poll returns a client id, a UUID; the partner has a token of 1 to 256 characters for
it, and CodePipeline refuses calls for a job without that token. How ids and tokens are created, how
a token is changed, and how an action gets its client is unknown. Here Python code does it.
"""

import hmac
import re
import secrets
import uuid

from .exceptions import InvalidClientTokenError

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Clients:
    """The clients of an account and region, and the actions that belong to them.

    Only ``token`` returns a token. Not thread-safe: its owner holds a lock.
    """

    def __init__(self, account_id: str) -> None:
        self.default_id = str(uuid.uuid5(uuid.NAMESPACE_OID, account_id))
        self._tokens = {self.default_id: secrets.token_hex(32)}
        self._bound: dict[tuple[str, str | None], str] = {}

    def put(self, client_id: str, token: str) -> None:
        """Add a client, or replace a client's token. Raises ValueError."""
        if not _UUID.fullmatch(client_id):
            raise ValueError("A client id must be a UUID in lower case")
        if not 1 <= len(token) <= 256:
            raise ValueError("A client token must have 1 to 256 characters")
        self._tokens[client_id] = token

    def remove(self, client_id: str) -> None:
        """Forget a client's token. Raises LookupError."""
        self.token(client_id)
        del self._tokens[client_id]

    def token(self, client_id: str) -> str:
        """A client's token. Raises LookupError."""
        if client_id not in self._tokens:
            raise LookupError(f"There is no client {client_id}")
        return self._tokens[client_id]

    def bind(self, client_id: str, pipeline: str, action: str | None) -> None:
        """Give a client the partner actions of a pipeline, or one of them. Raises LookupError."""
        self.token(client_id)
        self._bound[pipeline, action] = client_id

    def owning(self, pipeline: str, action: str) -> str:
        """The client that an action belongs to: bound itself, by its pipeline, or the default."""
        by_pipeline = self._bound.get((pipeline, None), self.default_id)
        return self._bound.get((pipeline, action), by_pipeline)

    def check(self, client_id: str | None, token: str, job_id: str) -> None:
        """Raise InvalidClientTokenError unless ``token`` is the client's."""
        known = self._tokens.get(client_id) if client_id is not None else None
        if known is None or not hmac.compare_digest(_bytes(known), _bytes(token)):
            raise InvalidClientTokenError(job_id)


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
