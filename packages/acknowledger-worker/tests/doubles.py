"""What stands in for AWS here."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError


def refusal(code: str, operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "secret-in-aws-message"}}, operation)


@dataclass
class Context:
    """Lambda's, as far as it is asked."""

    seconds: float = 900

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)
