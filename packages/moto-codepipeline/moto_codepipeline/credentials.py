"""Artifact credentials: what a job's credentials allow, and for how long.

They are new each time that a job or its details are returned, and have no expiry member
(documented). AWS's Jenkins plugin relies on 15 minutes; recorded from Lambda actions, they are a
session of the pipeline's role for the job's own artifacts. Here they allow getting and putting
the objects of the job's input and output artifacts, in one part or several, and nothing else. Only
an HTTP endpoint can check them, see ``http``; elsewhere they allow everything.
"""

import re
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass

from .behaviour import Behaviour
from .clock import Timeline
from .runs import ActionRun

CREDENTIAL_MARKS = ("ASIAJOBCRED", "job-secret-access-key-", "job-session-token-")
"""The prefixes of access key id, secret access key and session token of all artifact credentials,
so that a test can look for them where they must not be."""

_OPERATIONS = {("GET", ""), ("HEAD", ""), ("PUT", ""), ("POST", "uploads")}
_OPERATIONS |= {("PUT", "uploadId"), ("POST", "uploadId"), ("DELETE", "uploadId")}
"""GetObject, HeadObject (with the same permission), PutObject, and multipart uploads, by method and
the query parameter that distinguishes it."""

_WITHOUT_MEANING = re.compile(
    r"x-id|versionId|partNumber|response-.*|X-Amz-.*|AWSAccessKeyId|Signature|Expires",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class S3Request:
    """A request to S3.

    ``objects`` are bucket and key, for each way to read the address; ``parameters`` are the
    names in the query; ``copies`` says whether another object is the source.
    """

    method: str
    objects: frozenset[tuple[str, str]]
    parameters: frozenset[str]
    copies: bool

    @property
    def operation(self) -> tuple[str, str]:
        """The method, and the query parameters that determine the operation."""
        named = (each for each in self.parameters if not _WITHOUT_MEANING.fullmatch(each))
        return self.method, "&".join(sorted(named))


class ExpiredTokenError(Exception):
    """The credentials have expired. The text is S3's."""

    status, code, message = 400, "ExpiredToken", "The provided token has expired."


class AccessDeniedError(Exception):
    """The credentials do not allow this. The text is S3's."""

    status, code, message = 403, "AccessDenied", "Access Denied"


class ArtifactCredentials:
    """All artifact credentials of an account and region.

    Not thread-safe: its owner holds a lock.
    """

    def __init__(self, timeline: Timeline, behaviour: Callable[[], Behaviour]) -> None:
        self._timeline = timeline
        self._behaviour = behaviour
        self._issued: dict[str, tuple[ActionRun, float]] = {}

    def issue(self, action: ActionRun) -> dict[str, str]:
        """New credentials for an action's artifacts: the API's ``AWSSessionCredentials``."""
        unique = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9))
        access_key, secret_key, token = CREDENTIAL_MARKS
        expires = self._timeline.now() + self._behaviour().artifact_credentials_seconds
        self._issued[access_key + unique] = action, expires
        return {
            "accessKeyId": access_key + unique,
            "secretAccessKey": secret_key + secrets.token_hex(16),
            "sessionToken": token + secrets.token_hex(32),
        }

    def check(self, access_key: str, request: S3Request | None) -> None:
        """Raise ExpiredTokenError or AccessDeniedError if issued credentials don't allow a request.

        ``request`` is None if it is to another service. Other access keys allow everything.
        """
        if access_key not in self._issued:
            return
        action, expires = self._issued[access_key]
        if request is None:
            raise AccessDeniedError
        if self._timeline.now() >= expires:
            raise ExpiredTokenError
        own = {(each.bucket, each.key) for each in (*action.inputs, *action.outputs)}
        allowed = request.operation in _OPERATIONS and not request.copies
        if not allowed or not own & request.objects:
            raise AccessDeniedError
