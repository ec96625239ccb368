"""DynamoDB in moto, one request at a time, and each expression parsed once.

moto checks a condition, makes the item and then updates it; another thread may come in between, and
see half an item or claim what is already claimed. In AWS every request on an item is atomic.
"""

from __future__ import annotations

import copy
import functools
import pickle
import threading
from typing import Any, cast

from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes, expressions, validators
from moto.dynamodb.responses import DynamoHandler

from local.aws.patch import replace

# What moto leaves without types.
Node: Any = ast_nodes.Node  # type: ignore[attr-defined]
UpdateExpression: Any = ast_nodes.UpdateExpression  # type: ignore[attr-defined]
DepthFirstTraverser: Any = ast_nodes.DepthFirstTraverser  # type: ignore[attr-defined]
UpdateExpressionParser: Any = expressions.UpdateExpressionParser  # type: ignore[attr-defined]

_lock = threading.RLock()


def copied(tree: Any) -> Any:
    """Return a copy of an expression's tree, or of a value."""
    if not isinstance(tree, UpdateExpression):
        return copy.deepcopy(tree)
    state = vars(tree)
    if "pickled" not in state:
        state["pickled"] = pickle.dumps(tree)
    return pickle.loads(state["pickled"])  # noqa: S301 - it was made here


def is_a(node: Any, kinds: tuple[Any, ...]) -> bool:
    """Tell what isinstance tells, which takes its time with abstract classes."""
    return _is_a(cast(Any, type(node)), kinds)


@functools.cache
def _is_a(kind: Any, kinds: Any) -> bool:
    return issubclass(kind, kinds)


def traverse(self: Any, root: Any) -> Any:
    """Process an expression's nodes from the leaves to the root, as moto's own method does."""
    kinds = self.nodes_to_be_processed()
    hooked = type(self).pre_processing_of_child is not DepthFirstTraverser.pre_processing_of_child

    def processed(node: Any) -> Any:
        for place, child in enumerate(node.children or ()):
            if hooked:
                self.pre_processing_of_child(node, place)
            if is_a(child, (Node,)):
                node.children[place] = processed(child)
        if is_a(node, kinds):
            return self.process(node)
        return node

    return processed(root)


def all_items(self: Any) -> list[Any]:
    """Return a table's items in the order of their keys, each key looked at once."""
    items = [
        item
        for found in list(self.items.values())
        for item in (found.values() if self.range_key_attr else (found,))
    ]
    return sorted(items, key=lambda item: [key.cast_value for key in keys_of(item)])


def keys_of(item: Any) -> list[Any]:
    return [key for key in (item.hash_key, item.range_key) if key]


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
    # moto compares two keys by what both are cast to, each time.
    replace(Table, "all_items", all_items)
    # What an expression says is the same each time: what its words stand for is asked later.
    parsed = functools.lru_cache(1000)(UpdateExpressionParser.make)
    replace(UpdateExpressionParser, "make", staticmethod(parsed))
    # moto changes a copy of an expression's tree: so it is made in a sixth of the time.
    replace(validators, "deepcopy", copied)
    # moto goes through the tree ten times, and asks the same of each node's type each time.
    replace(DepthFirstTraverser, "traverse", traverse)
    # These two look through a whole tree, but moto has them look through each of its branches, too.
    for validator in (validators.ActionCountValidator, validators.OverlappingPathsValidator):
        replace(validator, "traverse", DepthFirstTraverser.process)
