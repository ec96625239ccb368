"""CloudWatch Logs Insights on moto's logs: the query language, and queries that are saved.

moto knows of a query its `fields`, `sort` and `limit`, and takes no notice of the rest. This runs
Logs Insights QL: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html

- commands: fields, display, filter, stats … by, sort, limit, dedup;
- operators: + - * / %, = != < <= > >=, and or not, in, like 'text', like /regex/, =~;
- functions: see FUNCTIONS and AGGREGATES, and coalesce, ispresent, isempty, isblank, bin;
- fields: @timestamp, @ingestionTime, @message, @logStream, @log, @ptr, and all that is in a message
  that is a JSON object, by names such as `record.metrics.durationMs` or `list.0`.

A query that has anything else in it gets MalformedQueryException, with what it is and where.

Where AWS differs, or nobody says what it does:

- a query is done when StartQuery answers, and reads no more than what it is asked for;
- what is no JSON has no fields but its @message (AWS: @requestId, @duration and others of Lambda);
- a comparison with a field that a line lacks is neither true nor false, nor is its `not`: a filter
  drops the line;
- a time stays a time in `min`, `max`, `latest` and `earliest`, and `true` and `false` are 1 and 0;
- `sort` has to say asc or desc, and there is one `stats` at most.
"""

import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cmp_to_key
from statistics import median
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.utils import unix_time_millis, utcnow
from moto.logs import models
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogQuery
from moto.logs.responses import LogsResponse

from local.aws.metrics import percentile
from local.aws.patch import replace

#: What a field of a line may be. None: the line lacks it.
Value = str | float | bool | None
Row = dict[str, Value]
Expression = Callable[[Row], Value]
Step = Callable[[list[Row]], list[Row]]

DEFAULT_LIMIT = MAX_LIMIT = 10_000
MAX_LOG_GROUPS = 50
MAX_STEPS = 50
OWN_FIELDS = ("@timestamp", "@ingestionTime", "@message", "@logStream", "@log", "@ptr")

TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*)*(?:
    (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |`(?P<quoted>[^`]+)`
    |(?P<period>\d+(?:ms|s|m|h|d|w)\b)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>@{0,2}[A-Za-z_]\w*(?:\.\w+)*)
    |(?P<sign>!=|<=|>=|=~|[=<>(),|\[\]*+\-/%])
    |(?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
REGEX = re.compile(r"\s*/((?:[^/\\]|\\.)+)/", re.DOTALL)
PERIODS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
RESERVED = {"as", "by", "and", "or", "not", "in", "like", "asc", "desc"}


class MalformedQueryError(JsonRESTError):
    """A query is none, or has something in it that is not known here."""

    code = 400

    def __init__(self, message: str) -> None:
        super().__init__("MalformedQueryException", message)


class Time(int):
    """Milliseconds since 1970, shown as a time."""

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self / 1000, UTC)
        return moment.isoformat(" ", timespec="milliseconds").removesuffix("+00:00")


# -- Values ---------------------------------------------------------------------------------------


def number(value: Value) -> float | None:
    """Return a value as a number if it is one, however it is written."""
    if value is None:
        return None
    try:
        found = float(value) if isinstance(value, str) else value
        return found if math.isfinite(found) else None
    except (ValueError, OverflowError):
        return None


def text(value: Value) -> str:
    """Return a value as it is shown."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return str(value)


def compare(one: Value, other: Value) -> int:
    """Order two values: numbers as such, and after all others, which go by their text."""
    left, right = number(one), number(other)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    if left is None and right is None:
        first, second = chunks(text(one)), chunks(text(other))
        return (first > second) - (first < second)
    return 1 if right is None else -1


def chunks(value: str) -> list[tuple[int, str]]:
    """Return a text in its runs of digits, which are ordered by length first, and of others."""
    found = re.findall(r"\d+|\D", value)
    return [(len(one), one) if one.isdigit() else (0, one) for one in found]


def is_true(value: Value) -> bool:
    return value is not None and bool(value)


# -- Functions ------------------------------------------------------------------------------------


def numeric(function: Callable[..., float]) -> Callable[..., Value]:
    """Make a function of numbers one of values, which has no value where one of them is none."""

    def apply(*values: Value) -> Value:
        found = [number(value) for value in values]
        try:
            return None if None in found else function(*found)
        except (ArithmeticError, ValueError):
            return None

    return apply


def textual(function: Callable[..., Value]) -> Callable[..., Value]:
    """Make a function of texts one of values, which has no value where the first is missing."""

    def apply(*values: Value) -> Value:
        try:
            return None if None in values else function(*map(text, values))
        except ValueError:
            return None

    return apply


def substring(value: str, begin: str, length: str = "") -> str:
    rest = value[int(begin) :]
    return rest[: int(length)] if length else rest


def of_time(value: Value, period: float) -> Time | None:
    found = number(value)
    return None if found is None else Time(found // period * period)


#: The functions of a row's values: how many arguments each takes at least and at most, and itself.
FUNCTIONS: dict[str, tuple[int, int, Callable[..., Value]]] = {
    "abs": (1, 1, numeric(abs)),
    "ceil": (1, 1, numeric(math.ceil)),
    "floor": (1, 1, numeric(math.floor)),
    "greatest": (1, 99, numeric(max)),
    "least": (1, 99, numeric(min)),
    "sqrt": (1, 1, numeric(math.sqrt)),
    "fromMillis": (1, 1, lambda value: of_time(value, 1)),
    "toMillis": (1, 1, numeric(int)),
    "concat": (1, 99, textual(lambda *parts: "".join(parts))),
    "replace": (3, 3, textual(str.replace)),
    "strcontains": (2, 2, textual(lambda one, part: part in one)),
    "strlen": (1, 1, textual(len)),
    "substr": (
        2,
        3,
        textual(substring),
    ),
    "tolower": (1, 1, textual(str.lower)),
    "toupper": (1, 1, textual(str.upper)),
    "trim": (1, 1, textual(str.strip)),
    "ispresent": (1, 1, lambda value: value is not None),
    "isempty": (1, 1, lambda value: value in (None, "")),
    "isblank": (1, 1, lambda value: value is None or not text(value).strip()),
    "coalesce": (1, 99, lambda *values: next((one for one in values if one is not None), None)),
}


def spread(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def of_numbers(function: Callable[..., float]) -> Callable[..., Value]:
    def apply(values: list[Value], *more: float) -> Value:
        found = [one for one in map(number, values) if one is not None]
        if not found:
            return None
        result = function(found, *more)
        return Time(result) if all(isinstance(one, Time) for one in values) else result

    return apply


#: The functions of the values that the lines of a group have, in the order of the lines' times.
AGGREGATES: dict[str, Callable[..., Value]] = {
    "avg": of_numbers(lambda values: math.fsum(values) / len(values)),
    "count": len,
    "count_distinct": lambda values: len(set(map(text, values))),
    "earliest": lambda values: values[0] if values else None,
    "latest": lambda values: values[-1] if values else None,
    "max": of_numbers(max),
    "median": of_numbers(median),
    "min": of_numbers(min),
    "pct": of_numbers(percentile),
    "sortsFirst": lambda values: min(values, key=cmp_to_key(compare), default=None),
    "sortsLast": lambda values: max(values, key=cmp_to_key(compare), default=None),
    "stddev": of_numbers(spread),
    "sum": of_numbers(math.fsum),
}

COMPARED: dict[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}
COMPUTED: dict[str, Callable[..., Value]] = {
    "+": numeric(lambda one, other: one + other),
    "-": numeric(lambda one, other: one - other),
    "*": numeric(lambda one, other: one * other),
    "/": numeric(lambda one, other: one / other),
    "%": numeric(math.fmod),
}


# -- Reading a query ------------------------------------------------------------------------------


class Query:
    """A query in Logs Insights QL, ready to run; raises MalformedQueryError."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._steps: list[Step] = []
        self._counts = False
        #: The fields of lines that it names.
        self.fields: set[str] = set()
        #: How many lines the filters of the latest run have let through.
        self.matched = 0
        #: What is shown; None as long as no command has said so.
        self._shown: list[str] | None = None
        while True:
            self._read_command()
            if self._kind == "end":
                break
            self._expect("|")

    def run(self, lines: Iterable[Row], limit: int = DEFAULT_LIMIT) -> list[dict[str, str]]:
        """Return what the query gives of lines, a member for each field that is there."""
        rows = sorted(lines, key=lambda row: number(row["@timestamp"]) or 0, reverse=True)
        self.matched = len(rows)
        for step in self._steps:
            rows = step(rows)
        shown = ["@timestamp", "@message"] if self._shown is None else self._shown
        shown = shown if self._counts else [*shown, "@ptr"]
        return [
            {name: text(row[name]) for name in shown if row.get(name) is not None}
            for row in rows[:limit]
        ]

    # -- Tokens -------------------------------------------------------------------------------

    @property
    def _token(self) -> re.Match[str]:
        found = TOKEN.match(self._source, self._at)
        if not found:
            raise self._problem(f"unexpected symbol {self._source[self._at :].lstrip()[:1]}")
        return found

    @property
    def _kind(self) -> str:
        return str(self._token.lastgroup)

    @property
    def _next(self) -> str:
        """What comes next, if it is a sign or a word of the language."""
        token = self._token
        return token[token.lastgroup or 0] if token.lastgroup in ("sign", "name") else ""

    def _take(self, *wanted: str) -> str:
        """Take what comes next if it is one of these, and return it."""
        found = self._next
        if found and found.lower() in wanted:
            self._at = self._token.end()
            return found.lower()
        return ""

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._problem(f"expected {wanted}")

    def _take_kind(self, *kinds: str) -> str:
        token = self._token
        if token.lastgroup not in kinds:
            raise self._problem(f"expected a {' or '.join(kinds)}")
        self._at = token.end()
        return token[token.lastgroup or 0]

    def _problem(self, what: str) -> MalformedQueryError:
        before = self._source[: self._at]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        rest = self._source[self._at :].strip()[:40] or "its end"
        return MalformedQueryError(f"{what} (line {line}, position {column}, at: {rest})")

    # -- Commands -----------------------------------------------------------------------------

    def _read_command(self) -> None:
        if len(self._steps) >= MAX_STEPS:
            raise self._problem(f"more than {MAX_STEPS} commands")
        known = ("fields", "display", "filter", "stats", "sort", "limit", "dedup")
        command = self._take(*known)
        if not command:
            raise self._problem(f"expected a command, one of {', '.join(known)}")
        self._steps.append(getattr(self, f"_read_{command}")())

    def _read_fields(self) -> Step:
        made = [self._read_named() for _ in self._list()]
        shown = [name for name, _ in made]
        self._shown = list(dict.fromkeys([*(self._shown or []), *shown]))
        return lambda rows: [
            {**row, **{name: expression(row) for name, expression in made}} for row in rows
        ]

    def _read_display(self) -> Step:
        self._shown = [self._read_field() for _ in self._list()]
        return lambda rows: rows

    def _read_filter(self) -> Step:
        condition, of_groups = self._read_expression(), self._counts

        def keep(rows: list[Row]) -> list[Row]:
            kept = [row for row in rows if is_true(condition(row))]
            if not of_groups:
                self.matched = len(kept)
            return kept

        return keep

    def _read_sort(self) -> Step:
        keys = []
        for _ in self._list():
            expression = self._read_expression()
            direction = self._take("asc", "desc")
            if not direction:
                raise self._problem("expected asc or desc")
            keys.append((expression, direction == "desc"))

        def sort(rows: list[Row]) -> list[Row]:
            for expression, reverse in reversed(keys):
                having = [row for row in rows if expression(row) is not None]
                order = cmp_to_key(compare)
                having.sort(key=lambda row: order(expression(row)), reverse=reverse)
                rows = having + [row for row in rows if expression(row) is None]
            return rows

        return sort

    def _read_limit(self) -> Step:
        most = float(self._take_kind("number"))
        if not 1 <= most <= MAX_LIMIT or most != int(most):
            raise self._problem(f"limit must be a whole number from 1 to {MAX_LIMIT}")
        return lambda rows: rows[: int(most)]

    def _read_dedup(self) -> Step:
        names = [self._read_field() for _ in self._list()]

        def dedup(rows: list[Row]) -> list[Row]:
            first: dict[tuple[Value, ...], Row] = {}
            for row in rows:
                first.setdefault(tuple(row.get(name) for name in names), row)
            return list(first.values())

        return dedup

    def _read_stats(self) -> Step:
        if self._counts:
            raise self._problem("more than one stats is not known here")
        made = [self._read_named(aggregate=True) for _ in self._list()]
        keys = [self._read_named() for _ in self._list()] if self._take("by") else []
        self._shown = [name for name, _ in [*keys, *made]]
        self._counts = True

        def count(rows: list[Row]) -> list[Row]:
            groups: dict[tuple[Value, ...], list[Row]] = {} if keys else {(): []}
            for row in reversed(rows):  # which are as they came: the latest first
                groups.setdefault(tuple(key(row) for _, key in keys), []).append(row)
            return [
                {name: value for (name, _), value in zip(keys, group, strict=True)}
                | {name: aggregate(members) for name, aggregate in made}
                for group, members in groups.items()
            ]

        # A sort before it would say what is latest.
        return lambda rows: count(
            sorted(rows, key=lambda row: number(row["@timestamp"]) or 0, reverse=True)
        )

    def _list(self) -> Iterator[None]:
        """Go through a list, whose members whoever goes through it reads."""
        yield
        while self._take(","):
            yield

    def _read_named(self, *, aggregate: bool = False) -> tuple[str, Any]:
        """Read an expression and its name: that which it is given, or else its text."""
        token = self._token
        begin = token.start(token.lastgroup or 0)
        read: Any = self._read_aggregate() if aggregate else self._read_expression()
        name = self._source[begin : self._at].strip("` \n\t")
        return (self._read_field() if self._take("as") else name), read

    def _read_aggregate(self) -> Callable[[list[Row]], Value]:
        name = self._take_kind("name")
        if name not in AGGREGATES:
            raise self._problem(f"{name} is none of the functions {', '.join(AGGREGATES)}")
        function = AGGREGATES[name]
        self._expect("(")
        if name == "count" and (self._take("*") or self._next == ")"):
            self._expect(")")
            return len
        of = self._read_expression()
        more = []
        if name == "pct":
            self._expect(",")
            more = [float(self._take_kind("number"))]
        self._expect(")")

        def apply(rows: list[Row]) -> Value:
            found = (of(row) for row in rows)
            return function([value for value in found if value is not None], *more)

        return apply

    # -- Expressions --------------------------------------------------------------------------

    def _read_field(self) -> str:
        token = self._token
        if token["name"] and token["name"].lower() in RESERVED:
            raise self._problem("expected a field")
        return self._take_kind("name", "quoted")

    def _read_expression(self) -> Expression:
        return self._read_or()

    def _read_or(self) -> Expression:
        terms = [self._read_and()]
        while self._take("or"):
            terms.append(self._read_and())
        return terms[0] if len(terms) == 1 else lambda row: either(term(row) for term in terms)

    def _read_and(self) -> Expression:
        terms = [self._read_not()]
        while self._take("and"):
            terms.append(self._read_not())
        if len(terms) == 1:
            return terms[0]
        return lambda row: negated(either(negated(term(row)) for term in terms))

    def _read_not(self) -> Expression:
        if not self._take("not"):
            return self._read_comparison()
        term = self._read_not()
        return lambda row: negated(term(row))

    def _read_comparison(self) -> Expression:
        one = self._read_sum()
        if sign := self._take(*COMPARED):
            holds, other = COMPARED[sign], self._read_sum()

            def compared(row: Row) -> Value:
                left, right = one(row), other(row)
                return None if left is None or right is None else holds(compare(left, right))

            return compared
        not_so = bool(self._take("not"))
        if self._take("like", "=~"):
            found = self._read_pattern()
        elif self._take("in"):
            found = self._read_members()
        elif not_so:
            raise self._problem("expected like or in")
        else:
            return one

        def matched(row: Row) -> Value:
            value = one(row)
            return None if value is None else found(value) != not_so

        return matched

    def _read_pattern(self) -> Callable[[Value], bool]:
        if self._kind == "string":
            part = self._read_string()
            return lambda value: part in text(value)
        found = REGEX.match(self._source, self._at)
        if not found:
            raise self._problem("expected a 'text' or a /regular expression/")
        try:
            pattern = re.compile(found[1].replace("\\/", "/"))
        except re.error as error:
            raise self._problem(f"no regular expression: {error}") from None
        self._at = found.end()
        return lambda value: bool(pattern.search(text(value)))

    def _read_members(self) -> Callable[[Value], bool]:
        self._expect("[")
        members = [self._read_literal() for _ in self._list()]
        self._expect("]")
        return lambda value: any(compare(value, member) == 0 for member in members)

    def _read_sum(self) -> Expression:
        return self._read_operations(("+", "-"), self._read_product)

    def _read_product(self) -> Expression:
        return self._read_operations(("*", "/", "%"), self._read_primary)

    def _read_operations(
        self, signs: tuple[str, ...], read: Callable[[], Expression]
    ) -> Expression:
        result = read()
        while sign := self._take(*signs):
            result = computed(COMPUTED[sign], [result, read()])
        return result

    def _read_primary(self) -> Expression:
        if self._take("("):
            inner = self._read_expression()
            self._expect(")")
            return inner
        if self._kind in ("string", "number") or self._next == "-":
            literal = self._read_literal()
            return lambda _: literal
        quoted = self._kind == "quoted"
        name = self._read_field()
        if not quoted and self._next == "(":
            return self._read_call(name)
        if not quoted and name.startswith("@") and name not in OWN_FIELDS:
            raise self._problem(f"{name} is not known here; what is: {', '.join(OWN_FIELDS)}")
        if not self._counts:
            self.fields.add(name)
        return lambda row: row.get(name)

    def _read_call(self, name: str) -> Expression:
        if name in ("bin", "datefloor"):
            return self._read_bin(name)
        if name not in FUNCTIONS:
            raise self._problem(f"{name} is none of the functions {', '.join(FUNCTIONS)}, bin")
        least, most, function = FUNCTIONS[name]
        self._expect("(")
        arguments = [self._read_expression() for _ in self._list()]
        self._expect(")")
        if not least <= len(arguments) <= most:
            raise self._problem(f"{name} takes {least} arguments, and not {len(arguments)}")
        return computed(function, arguments)

    def _read_bin(self, name: str) -> Expression:
        self._expect("(")
        field = "@timestamp"
        if name == "datefloor":
            field = self._read_field()
            self._expect(",")
        length, unit = re.findall(r"\d+|\D+", self._take_kind("period"))
        self._expect(")")
        period = int(length) * PERIODS[unit]
        if not period:
            raise self._problem("a period of 0")
        return lambda row: of_time(row.get(field), period)

    def _read_literal(self) -> Value:
        if self._kind == "string":
            return self._read_string()
        sign = -1 if self._take("-") else 1
        found = self._take_kind("number")
        return sign * (float(found) if "." in found else int(found))

    def _read_string(self) -> str:
        return re.sub(r"\\(.)", r"\1", self._take_kind("string")[1:-1], flags=re.DOTALL)


def computed(function: Callable[..., Value], arguments: list[Expression]) -> Expression:
    return lambda row: function(*(argument(row) for argument in arguments))


def either(values: Iterable[Value]) -> Value:
    """Tell whether one of several is true: None if that is open."""
    found = [None if value is None else bool(value) for value in values]
    return True if True in found else None if None in found else False


def negated(value: Value) -> Value:
    return None if value is None else not value


# -- Reading lines --------------------------------------------------------------------------------


def fields(value: Any, name: str = "") -> Iterator[tuple[str, Value]]:
    """Yield the fields that are discovered in JSON, by their names with dots."""
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, member in members:
            yield from fields(member, f"{name}.{key}" if name else str(key))
    elif value is not None:
        # A name of a message's own that begins like AWS's has one more of it.
        yield (f"@{name}" if name.startswith("@") else name), value


def row_of(event: Any, stream: Any, group: Any) -> Row:
    """Return all fields of a line."""
    found: Row = {}
    if event.message.startswith("{"):
        try:
            found = dict(fields(json.loads(event.message)))
        except (ValueError, RecursionError):
            found = {}
    return {
        **found,
        "@timestamp": Time(event.timestamp),
        "@ingestionTime": Time(event.ingestion_time),
        "@message": event.message,
        "@logStream": stream.log_stream_name,
        "@log": f"{group.account_id}:{group.name}",
        "@ptr": str(event.event_id),
    }


class InsightsQuery(LogQuery):
    """A query that has run, in moto's place."""

    def __init__(
        self, query_id: str, start_time: int, end_time: int, query: str, log_groups: list[Any]
    ) -> None:
        self.query_id = query_id
        self.start_time = start_time
        self.end_time = end_time
        self.query = query
        self.log_group_names = [group.name for group in log_groups]
        self.create_time = utcnow()
        self.status = "Complete"
        read = Query(query)
        lines = [
            (event, stream, group)
            for group in log_groups
            for stream in list(group.streams.values())
            for event in list(stream.events)
            if start_time * 1000 <= event.timestamp < (end_time + 1) * 1000
        ]
        self.results = read.run(row_of(*line) for line in lines)
        self.statistics = {
            "recordsMatched": float(read.matched),
            "recordsScanned": float(len(lines)),
            "bytesScanned": float(sum(len(event.message.encode()) for event, _, _ in lines)),
        }

    def to_json(self, log_group_name: str | None = None) -> dict[str, Any]:
        return {
            "queryLanguage": "CWLI",
            "queryId": self.query_id,
            "queryString": self.query,
            "status": self.status,
            "createTime": int(unix_time_millis(self.create_time)),
            "logGroupName": log_group_name or self.log_group_names[0],
        }

    def to_result_json(self) -> dict[str, Any]:
        return {
            "queryLanguage": "CWLI",
            "results": [
                [{"field": name, "value": value} for name, value in row.items()]
                for row in self.results
            ],
            "statistics": self.statistics,
            "status": self.status,
        }


# -- The API --------------------------------------------------------------------------------------


def checked(name: str, value: Any, most: int) -> Any:
    """Return a member of a request that has to be there, and no longer than this."""
    if not value or len(value) > most:
        raise InvalidParameterException(f"{name} must be there, and have {most} members at most")
    return value


def answer_start_query(self: Any) -> str:
    given = [
        *([self._get_param("logGroupName")] if self._get_param("logGroupName") else []),
        *(self._get_param("logGroupNames") or []),
        *(self._get_param("logGroupIdentifiers") or []),
    ]
    # An identifier is a name, or an ARN that ends in it.
    names = [name.partition(":log-group:")[2] or name for name in given]
    checked("logGroupNames", names, MAX_LOG_GROUPS)
    start, end = self._get_int_param("startTime"), self._get_int_param("endTime")
    if start is None or end is None or start > end:
        raise InvalidParameterException("startTime and endTime must be there, in this order")
    backend, query_id = self.logs_backend, str(uuid.uuid4())
    for name in names:
        if name not in backend.groups:
            raise ResourceNotFoundException(f"Log group '{name}' does not exist.")
    query = InsightsQuery(
        query_id, start, end, self._get_param("queryString"), [backend.groups[n] for n in names]
    )
    limit = self._get_int_param("limit")
    query.results = query.results[: limit or DEFAULT_LIMIT]
    backend.queries[query_id] = query
    return json.dumps({"queryId": query_id})


def answer_get_query_results(self: Any) -> str:
    query = self.logs_backend.queries.get(self._get_param("queryId"))
    if not query:
        raise ResourceNotFoundException("The specified query does not exist.")
    return json.dumps(query.to_result_json())


def answer_describe_queries(self: Any) -> str:
    name, status = self._get_param("logGroupName"), self._get_param("status")
    queries = [
        query.to_json(name)
        for query in self.logs_backend.queries.values()
        if (not name or name in query.log_group_names) and status in (None, query.status)
    ]
    return json.dumps({"queries": queries})


def definitions(backend: Any) -> dict[str, dict[str, Any]]:
    """Return the saved queries of an account and region, by their ids."""
    found: dict[str, dict[str, Any]] = vars(backend).setdefault("query_definitions", {})
    return found


def save(backend: Any, definition: dict[str, Any]) -> str:
    """Save a query, or change the one that has this id; its id."""
    query_id = definition.get("queryDefinitionId") or str(uuid.uuid4())
    if "queryDefinitionId" in definition and query_id not in definitions(backend):
        raise ResourceNotFoundException("The specified query definition does not exist.")
    definitions(backend)[query_id] = {
        "queryLanguage": "CWLI",
        "queryDefinitionId": query_id,
        "name": checked("name", definition.get("name"), 255),
        "queryString": checked("queryString", definition.get("queryString"), 10_000),
        "logGroupNames": definition.get("logGroupNames") or [],
        "lastModified": int(unix_time_millis(utcnow())),
    }
    return query_id


def answer_put_query_definition(self: Any) -> str:
    names = ("queryDefinitionId", "name", "queryString", "logGroupNames")
    given = {name: value for name in names if (value := self._get_param(name)) is not None}
    return json.dumps({"queryDefinitionId": save(self.logs_backend, given)})


def answer_describe_query_definitions(self: Any) -> str:
    prefix = self._get_param("queryDefinitionNamePrefix") or ""
    found = [
        one for one in definitions(self.logs_backend).values() if one["name"].startswith(prefix)
    ]
    return json.dumps({"queryDefinitions": sorted(found, key=lambda one: str(one["name"]))})


def answer_delete_query_definition(self: Any) -> str:
    if not definitions(self.logs_backend).pop(self._get_param("queryDefinitionId"), None):
        raise ResourceNotFoundException("The specified query definition does not exist.")
    return json.dumps({"success": True})


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    # moto runs queries as if they had nothing but fields, sort and limit.
    replace(models, "LogQuery", InsightsQuery)
    replace(LogsResponse, "start_query", answer_start_query)
    replace(LogsResponse, "get_query_results", answer_get_query_results)
    replace(LogsResponse, "describe_queries", answer_describe_queries)
    # moto can't save queries.
    for answer in (
        answer_put_query_definition,
        answer_describe_query_definitions,
        answer_delete_query_definition,
    ):
        replace(LogsResponse, answer.__name__.removeprefix("answer_"), answer)
