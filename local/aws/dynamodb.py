"""moto's DynamoDB with one request at a time, and without what moto does again at each request.

moto checks a condition, creates the item and then updates it. In between, another thread could see
an incomplete item, or claim an item that is already claimed. On AWS, each such request is atomic.
"""

import copy
import functools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import AttributeDoesNotExist
from moto.dynamodb.parsing import ast_nodes, validators

# moto has no type annotations for these.
nodes: Any = ast_nodes
ACTIONS = [
    nodes.UpdateExpressionSetAction,
    nodes.UpdateExpressionRemoveAction,
    nodes.UpdateExpressionAddAction,
    nodes.UpdateExpressionDeleteAction,
]

moto_words = ConditionExpressionParser._lex_condition_expression

#: Held by each request, and by code that reads items without a request.
lock = threading.RLock()


def one_at_a_time(moto_call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(moto_call)
    def call_action(self: Any) -> Any:
        with lock:
            return moto_call(self)

    return call_action


# -- Queries ---------------------------------------------------------------------------------------


def query(moto_query: Callable[..., Any]) -> Callable[..., Any]:
    """Let a query see only the items with its partition key."""

    def query_items(self: Any, *args: Any, **given: Any) -> Any:
        asked = given.get("hash_key_conditions") or ()
        # A number may be written in several ways.
        self.asked = [(name, key) for name, key in asked if key.type != "N"]
        try:
            return moto_query(self, *args, **given)
        finally:
            del self.asked

    return query_items


def all_items(self: Any) -> list[Any]:
    """Return a table's items, or those that a query asks for, in the order of their keys."""
    items = [
        item
        for found in list(self.items.values())
        for item in (found.values() if self.range_key_attr else (found,))
    ]
    for name, key in vars(self).get("asked", ()):
        items = [item for item in items if (its := item.attrs.get(name)) and its.value == key.value]
    return sorted(items, key=lambda item: [key.cast_value for key in keys_of(item)])


def keys_of(item: Any) -> list[Any]:
    return [key for key in (item.hash_key, item.range_key) if key]


# -- Expressions -----------------------------------------------------------------------------------


def same(value: Any) -> Any:
    """Return an expression's tree itself, which `validate` doesn't change; copy other values."""
    return value if isinstance(value, nodes.UpdateExpression) else copy.deepcopy(value)


def validate(moto_validate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Resolve an update's actions one by one, without changing the tree.

    moto copies the tree, and walks through all of it ten times. It still does if there is an error,
    so that it finds the same one first.
    """

    def validated(self: Any) -> Any:
        tree = self.node_to_validate
        try:
            return with_children(tree, resolved(self, tree))
        except Exception:  # noqa: BLE001 - moto finds it again, or doesn't find it
            self.node_to_validate = copy.deepcopy(tree)
            return moto_validate(self)

    return validated


def resolved(validator: Any, tree: Any) -> list[Any]:
    """Return copies of a tree's actions with their values; fails if one is invalid."""
    by = {type(each): each for each in validator.processors}
    of_keys = by[validators.UpdateHashRangeKeyValidator]
    values = by[validators.ExpressionAttributeValueProcessor]
    paths = by[validators.ExpressionAttributeResolvingProcessor]
    functions = by[validators.UpdateExpressionFunctionEvaluator]
    operations = by[validators.ExecuteOperations]
    of_type = by[validators.TypeMismatchValidator]
    of_length = by[validators.EmptyStringKeyValueValidator]

    def value(node: Any) -> Any:
        match node.type:
            case "UpdateExpressionPath":
                return paths.resolve_expression_path(node)
            case "ExpressionAttributeValue":
                return values.replace_expression_attribute_value_with_value(node)
            case "UpdateExpressionFunction":
                name, *given = node.children
                return functions.process_function(with_children(node, [name, *map(value, given)]))
            case "UpdateExpressionValue":
                combined = with_children(node, [value(child) for child in node.children])
                made = operations.process_update_expression_value(combined)
                if made.type == "NoneExistingPath":
                    raise AttributeDoesNotExist
                return made
        return node

    names = frozenset(validator.expression_attribute_names.items())
    actions = []
    for action in actions_of(tree, names, *of_keys.table_key_attributes):
        path, *given = action.children
        paths.process_expression_path_node(path)
        actions.append(with_children(action, [path, *map(value, given)]))
        if action.type == "UpdateExpressionSetAction":
            of_type.check_for_type_mismatch(actions[-1])
            of_length.check_for_empty_string_key_value(actions[-1])
    return actions


@functools.lru_cache(1000)
def actions_of(tree: Any, names: frozenset[tuple[str, str]], *keys: str) -> list[Any]:
    """Return a tree's actions, the same for each item; fails if its paths are invalid."""
    for check in (
        validators.ActionCountValidator(),
        validators.OverlappingPathsValidator(dict(names)),
        validators.UpdateHashRangeKeyValidator(list(keys), dict(names)),
    ):
        check.traverse(tree)
    return list(tree.find_clauses(ACTIONS))


def with_children(node: Any, children: list[Any]) -> Any:
    made = copy.copy(node)
    made.children = children
    return made


@functools.lru_cache(1000)
def words_of(condition: str) -> tuple[Any, ...]:
    return tuple(moto_words(ConditionExpressionParser(condition, None, None)))


def words(self: Any) -> deque[Any]:
    return deque(words_of(self.condition_expression))


parsed = functools.lru_cache(1000)
