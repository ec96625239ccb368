"""Removes the user's AWS settings, except the region, from what is started here.

An endpoint, a profile or a proxy that the user has set for AWS would lead the local stack away
from this machine. `isolate` is called before other imports, since some settings are read during
imports; child processes inherit the environment that it leaves.
`python -m local.aws.isolation COMMAND …` runs another program in this environment.
"""

import os
import sys
from collections.abc import Mapping

#: With these, SDKs read no credentials or settings from files or from the instance's metadata.
NO_FILES: Mapping[str, str] = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

#: For processes that get nothing of the user's environment: there is no home directory either.
NO_HOME: Mapping[str, str] = {**NO_FILES, "HOME": os.devnull}

#: Settings of the AWS CLI and SDKs, of moto and of Powertools.
PREFIXES = ("AWS_", "BOTO_", "MOTO_", "POWERTOOLS_")
NAMES = {
    *("INITIAL_NO_AUTH_ACTION_COUNT", "S3_IGNORE_SUBDOMAIN_BUCKETNAME"),
    *("S3_UPLOAD_PART_MIN_SIZE", "SF_EXECUTION_HISTORY_TYPE", "TEST_PROXY_MODE"),
    "TEST_SERVER_MODE",
}
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

#: Other hosts may be reached through the user's proxy, but this machine never is.
DIRECTLY = ("localhost", "127.0.0.1", "::1")


def isolate(*, region: bool = True) -> None:
    """Remove the user's AWS settings from this process's environment.

    Args:
        region: whether AWS_REGION and AWS_DEFAULT_REGION stay.
    """
    kept = REGIONS if region else ()
    for name in list(os.environ):
        if (name.startswith(PREFIXES) or name in NAMES) and name not in kept:
            del os.environ[name]
    # The SDK fails if this variable is set but empty.
    if not os.environ.get("REQUESTS_CA_BUNDLE", "-").strip():
        del os.environ["REQUESTS_CA_BUNDLE"]
    os.environ.update(NO_FILES, BOTO_CONFIG=os.devnull)
    reach_directly(*DIRECTLY)
    from botocore.loaders import Loader  # noqa: PLC0415 - it reads the environment

    Loader.CUSTOMER_DATA_PATH = os.devnull  # ~/.aws/models


def module(name: str) -> list[str]:
    """The command that runs a module with the user's home, but without ~/.aws/models."""
    program = (
        "import runpy; from botocore.loaders import Loader; "
        f"Loader.CUSTOMER_DATA_PATH = {os.devnull!r}; "
        f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", program]


def region() -> str:
    """The region that the user has set, or us-east-1."""
    return next(filter(None, map(os.environ.get, REGIONS)), "us-east-1")


def reach_directly(*hosts: str) -> None:
    """Use no proxy for these hosts."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if known.strip() == "*":
        return
    exempt = dict.fromkeys([*(each.strip() for each in known.split(",")), *hosts])
    value = ",".join(filter(None, exempt))
    os.environ.update({"no_proxy": value, "NO_PROXY": value})


if __name__ == "__main__":
    isolate()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - a command of the Makefile
