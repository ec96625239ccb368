"""DynamoDB in moto, one request at a time, and each expression taken apart once.

moto checks a condition, makes the item and then updates it; another thread may come in between, and
see half an item or claim what is already claimed. In AWS every request on an item is atomic.
"""

from __future__ import annotations

import functools
import pickle
import threading
from typing import Any

from moto.dynamodb.parsing import validators
from moto.dynamodb.parsing.tokens import ExpressionTokenizer
from moto.dynamodb.responses import DynamoHandler

from local.patch import replace

_lock = threading.RLock()


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    moto_call = DynamoHandler.call_action
    if hasattr(moto_call, "one_at_a_time"):
        return

    @functools.wraps(moto_call)
    def call_action(self: Any) -> Any:
        with _lock:
            return moto_call(self)

    call_action.one_at_a_time = True  # type: ignore[attr-defined]
    replace(DynamoHandler, "call_action", call_action)
    # Where an expression's words end is the same each time: what they stand for is asked later.
    tokens = functools.lru_cache(1000)(ExpressionTokenizer.make_list)
    replace(ExpressionTokenizer, "make_list", staticmethod(tokens))
    # moto changes a copy of an expression's tree: so it is made in a third of the time.
    replace(validators, "deepcopy", lambda tree: pickle.loads(pickle.dumps(tree)))  # noqa: S301
