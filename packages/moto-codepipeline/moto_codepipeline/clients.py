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
from .steps import SteppedBackend, operation

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ClientOperations(SteppedBackend):
    """The clients of an account and region, and the actions that belong to them.

    None of these is an AWS operation, and only ``client_token`` returns a token. Every partner
    action that is not bound belongs to ``default_client_id``: one for each account, which always
    exists, and begins with a random token.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.default_client_id = str(uuid.uuid5(uuid.NAMESPACE_OID, account_id))
        self._client_tokens = {self.default_client_id: secrets.token_hex(32)}
        self._bound_clients: dict[tuple[str, str | None], str] = {}

    @operation
    def put_client(self, client_id: str, client_token: str) -> None:
        """Add a client, or replace a client's token; the old token is refused from then on.

        ``client_id`` is a UUID in lower case, ``client_token`` has 1 to 256 characters (documented
        as the API's shapes). Raises ValueError.
        """
        if not _UUID.fullmatch(client_id):
            raise ValueError("A client id must be a UUID in lower case")
        if not 1 <= len(client_token) <= 256:
            raise ValueError("A client token must have 1 to 256 characters")
        self._client_tokens[client_id] = client_token

    @operation
    def remove_client(self, client_id: str) -> None:
        """Forget a client's token. Raises LookupError if there is no such client.

        Its jobs are offered as before, but refuse every token until the client is added again.
        """
        self.client_token(client_id)
        del self._client_tokens[client_id]

    @operation
    def client_token(self, client_id: str) -> str:
        """A client's token, for the partner's store. Raises LookupError."""
        if client_id not in self._client_tokens:
            raise LookupError(f"There is no client {client_id}")
        return self._client_tokens[client_id]

    @operation
    def bind_client(self, client_id: str, pipeline: str, action: str | None = None) -> None:
        """Give a client the partner actions of a pipeline, or only those named ``action``.

        Names need not exist yet. An action that has begun keeps its client. Raises LookupError if
        there is no such client.
        """
        self.client_token(client_id)
        self._bound_clients[pipeline, action] = client_id

    def _client_of(self, pipeline: str, action: str) -> str:
        """The client that an action belongs to: bound itself, by its pipeline, or the default."""
        by_pipeline = self._bound_clients.get((pipeline, None), self.default_client_id)
        return self._bound_clients.get((pipeline, action), by_pipeline)

    def _check_client_token(self, client_id: str | None, token: str, job_id: str) -> None:
        """Raise InvalidClientTokenError unless ``token`` is the client's."""
        known = self._client_tokens.get(client_id) if client_id is not None else None
        if known is None or not hmac.compare_digest(_bytes(known), _bytes(token)):
            raise InvalidClientTokenError(job_id)


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
