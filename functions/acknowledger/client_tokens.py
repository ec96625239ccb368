"""The client tokens of a partner's customers, from Parameter Store.

Each is a SecureString under one prefix, named after the client id. Tokens are kept only in memory,
for a while.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetThirdPartyJobDetails.html
"""

import functools
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from acknowledger.aws import client
from acknowledger.config import config
from acknowledger.errors import ClientTokenMissing, ParameterStoreUnavailable

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SSMProvider

KEPT_SECONDS = 300
KEPT_AT_MOST = 1000


def client_token(client_id: str, *, anew: bool = False) -> str:
    """The token of a client.

    Args:
        client_id: as PollForThirdPartyJobs gives it, a UUID.
        anew: read it again, since it may have been rotated.

    Raises:
        ClientTokenMissing: there is no such parameter, or we may not read it.
        ParameterStoreUnavailable: worth another try.
    """
    from aws_lambda_powertools.utilities.parameters import exceptions  # noqa: PLC0415

    name = f"{config().client_token_prefix}{client_id}"
    provider = _provider()
    if len(provider.store) >= KEPT_AT_MOST:
        provider.store.clear()
    try:
        token = provider.get(name, max_age=KEPT_SECONDS, decrypt=True, force_fetch=anew)
    except exceptions.GetParameterError as error:
        aws_error = error.__context__
        code = aws_error.response["Error"]["Code"] if isinstance(aws_error, ClientError) else ""
        why = f"the token of client {client_id} at {name} could not be read: {code or aws_error}"
        if code == "ParameterNotFound":
            why = f"client {client_id} has no token: put a SecureString at {name}"
        elif not code.startswith(("AccessDenied", "InvalidKeyId", "KMS")):
            raise ParameterStoreUnavailable(why) from None
        raise ClientTokenMissing(why) from None
    return str(token).strip()


@functools.cache
def _provider() -> "SSMProvider":
    # Imported for partner actions only: it makes a cold start longer.
    from aws_lambda_powertools.utilities.parameters import SSMProvider  # noqa: PLC0415

    return SSMProvider(boto3_client=client("ssm"))
