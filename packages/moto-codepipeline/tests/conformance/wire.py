"""HTTP without any SDK."""

import json
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from urllib.parse import urlsplit

from codepipeline_fixtures import REGION

JSON = "application/x-amz-json-1.1"
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/codepipeline/aws4_request, "
    "SignedHeaders=host, Signature=none"
)


@dataclass
class Reply:
    """An HTTP response."""

    status: int
    headers: Message
    raw: bytes

    @property
    def body(self) -> str:
        return self.raw.decode()

    @property
    def error(self) -> str | None:
        """The code in the body, where botocore looks for it."""
        code: str | None = json.loads(self.raw or "{}").get("__type")
        return code


def post(
    url: str, operation: str | None, body: str | bytes, path: str = "/", **changes: str
) -> Reply:
    """Send a request as an SDK does; headers can be changed or added by name."""
    headers = {"Content-Type": JSON, "Authorization": SIGNED}
    if operation is not None:
        headers["X-Amz-Target"] = f"CodePipeline_20150709.{operation}"
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    address = urlsplit(url)
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=20)) as connection:
        connection.request("POST", path, body, headers)
        with connection.getresponse() as response:
            return Reply(response.status, response.headers, response.read())
