"""DynamoDB whose writes are atomic.

moto checks the condition of a write and then writes, in as many threads as there are requests:
two conditional writes at the same time can both succeed, and a claim is then held twice.
"""

import threading
from typing import Any

from moto.dynamodb.responses import DynamoHandler

from local.patch import replace

_one_at_a_time = threading.RLock()


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    call_action: Any = DynamoHandler.call_action
    if hasattr(call_action, "atomic"):
        return

    def atomic_call_action(self: Any) -> Any:
        with _one_at_a_time:
            return call_action(self)

    replace(atomic_call_action, "atomic", True)
    # moto has no locks.
    replace(DynamoHandler, "call_action", atomic_call_action)
