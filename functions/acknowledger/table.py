"""The boundary to DynamoDB: plain values in and out, and its errors as TableUnavailable."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acknowledger.aws import client
from acknowledger.errors import TableUnavailable, unavailable


@dataclass(frozen=True)
class Table:
    """A table whose key is one string. Every call may raise TableUnavailable.

    name: its name in the template.
    key: the key's attribute.
    full_name: returns its name in AWS.
    """

    name: str
    key: str
    full_name: Callable[[], str]

    def find(self, key: str) -> dict[str, Any] | None:
        """The current row, or None."""
        answer = self.call("get_item", Key=typed({self.key: key}), ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def change(
        self,
        key: str,
        expression: str | None,
        condition: str | None,
        values: Mapping[str, Any],
        names: Mapping[str, str],
        **more: str,
    ) -> tuple[bool, dict[str, Any] | None]:
        """Change a row, or delete it if there is no expression, if it meets a condition.

        Args:
            expression, condition: DynamoDB's UpdateExpression and ConditionExpression.
            values, names: for these, as plain values; unused ones are left out.
            more: further parameters for DynamoDB.

        Returns:
            whether the condition was met; and the row that DynamoDB returned, if any.
        """
        used = set(re.findall(r"[#:]\w+", f"{expression} {condition}"))
        request = {
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": typed({of: values[of] for of in values if of in used}),
            "ExpressionAttributeNames": {of: names[of] for of in names if of in used},
        }
        asked = {name: given for name, given in request.items() if given}
        operation = "update_item" if expression else "delete_item"
        answer = self.call(operation, Key=typed({self.key: key}), **asked, **more)
        return "refused" not in answer, plain(answer.get("Attributes", {})) or None

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """DynamoDB's response; `{refused, Attributes}` if the row didn't meet the condition."""
        dynamodb = client("dynamodb")
        with unavailable(TableUnavailable, self.name):
            try:
                return dict(getattr(dynamodb, operation)(TableName=self.full_name(), **request))
            except dynamodb.exceptions.ConditionalCheckFailedException as error:
                return {"refused": True, "Attributes": error.response.get("Item", {})}


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """A low-level item as plain values; its numbers must be whole."""
    return {name: _plain(value) for name, value in item.items()}


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as the low-level client takes them."""
    return {name: _typed(value) for name, value in values.items()}


# boto3 has similar functions, but importing it would take longer than all our own modules.
def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "M":
        return plain(content)
    if kind == "L":
        return [_plain(item) for item in content]
    if kind == "NULL":
        return None
    return int(content) if kind == "N" else content


def _typed(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, Mapping):
        return {"M": typed(value)}
    if isinstance(value, list):
        return {"L": [_typed(item) for item in value]}
    raise TypeError(f"{type(value).__name__} can't be stored in a table")
