"""moto's DynamoDB with one request at a time, and each expression parsed once.

moto checks a condition, creates the item and then updates it. In between, another thread could see
an incomplete item, or claim an item that is already claimed. On AWS, each such request is atomic.
"""

import copy
import functools
import pickle
import threading
from collections.abc import Callable
from typing import Any

from moto.dynamodb.parsing import ast_nodes, expressions

# moto has no type annotations for these.
UpdateExpression: Any = ast_nodes.UpdateExpression  # type: ignore[attr-defined]
DepthFirstTraverser: Any = ast_nodes.DepthFirstTraverser  # type: ignore[attr-defined]
UpdateExpressionParser: Any = expressions.UpdateExpressionParser  # type: ignore[attr-defined]

#: Held by each request, and by code that reads items without a request.
lock = threading.RLock()


def copied(tree: Any) -> Any:
    """Return a copy of an expression's tree, or of a value."""
    if not isinstance(tree, UpdateExpression):
        return copy.deepcopy(tree)
    state = vars(tree)
    if "pickled" not in state:
        state["pickled"] = pickle.dumps(tree)
    return pickle.loads(state["pickled"])  # noqa: S301 - it was made here


def all_items(self: Any) -> list[Any]:
    """Return a table's items in the order of their keys; each key is computed once."""
    items = [
        item
        for found in list(self.items.values())
        for item in (found.values() if self.range_key_attr else (found,))
    ]
    return sorted(items, key=lambda item: [key.cast_value for key in keys_of(item)])


def keys_of(item: Any) -> list[Any]:
    return [key for key in (item.hash_key, item.range_key) if key]


def one_at_a_time(moto_call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(moto_call)
    def call_action(self: Any) -> Any:
        with lock:
            return moto_call(self)

    return call_action


parsed = functools.lru_cache(1000)
process: Any = DepthFirstTraverser.process
