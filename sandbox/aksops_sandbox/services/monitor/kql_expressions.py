"""Expressions of the sandbox's small part of KQL: literals, columns, comparisons, arithmetic, functions, aggregates."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aksops_sandbox.azure.errors import AzureError

Row = dict[str, Any]
#: The value of an expression for a row, and, of an aggregate, for the rows of its group.
Value = Callable[[Row, list[Row]], Any]


class Expression(NamedTuple):
    """value, the name that a column of it has unless it is given one, and whether it aggregates."""

    value: Value
    name: str
    aggregates: bool = False


class Token(NamedTuple):
    kind: str
    text: str


_TOKEN = re.compile(
    r"(?P<blank>\s+|//[^\n]*)"
    r"|(?P<string>@'[^']*'|@\"[^\"]*\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<span>\d+(?:\.\d+)?(?:ms|d|h|m|s)\b)"
    r"|(?P<number>\d+\.\d+|\d+)"
    r"|(?P<name>[A-Za-z_$][A-Za-z0-9_]*)"
    r"|(?P<mark>==|!=|=~|!~|>=|<=|\.\.|[|()\[\],.=<>+\-*/%!;])",
    re.S,
)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def unsupported(what: str) -> AzureError:
    """The refusal of what this part of the language does not have."""
    words = f"The sandbox's query language does not know: {what.strip()[:200]}"
    return AzureError(501, "NotImplementedInSandbox", words)


def tokens(text: str) -> list[Token]:
    """The tokens of a query, without blanks and comments."""
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise unsupported(text[position:])
        position = match.end()
        if match.lastgroup != "blank":
            found.append(Token(str(match.lastgroup), match.group()))
    return found


def moment(value: Any) -> datetime.datetime | None:
    """A point in time, None of what is none."""
    if isinstance(value, datetime.datetime) or value is None:
        return value
    # Azure writes seven digits of a second, Python takes six.
    text = re.sub(r"(\.\d{6})\d+", r"\1", str(value).strip()).replace("Z", "+00:00")
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


class Parser:
    """Reads expressions from tokens; the statements of a query use it."""

    def __init__(self, text: str, variables: dict[str, Any] | None = None) -> None:
        self.tokens = tokens(text)
        self.position = 0
        self.variables = dict(variables or {})

    def peek(self, ahead: int = 0) -> Token:
        at = self.position + ahead
        return self.tokens[at] if at < len(self.tokens) else Token("end", "")

    def take(self, *texts: str) -> bool:
        """Step over one of these words or marks; False where something else stands there."""
        if self.peek().kind in {"name", "mark"} and self.peek().text in texts:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise self.refusal()

    def name(self) -> str:
        if self.peek().kind != "name":
            raise self.refusal()
        self.position += 1
        return self.tokens[self.position - 1].text

    def refusal(self) -> AzureError:
        return unsupported(" ".join(token.text for token in self.tokens[max(0, self.position - 4) : self.position + 4]))

    def listed(self, read: Callable[[], Any]) -> list[Any]:
        """One or more, with commas between them."""
        found = [read()]
        while self.take(","):
            found.append(read())
        return found

    def named(self) -> tuple[str, Expression]:
        """`name = expression`, or an expression with the name that it has by itself."""
        if self.peek().kind == "name" and self.peek(1) == Token("mark", "="):
            name = self.name()
            self.expect("=")
            return name, self.expression()
        found = self.expression()
        return found.name, found

    def expression(self) -> Expression:
        return self._joined("or", lambda: self._joined("and", self._comparison, all), any)

    def _joined(self, word: str, read: Callable[[], Expression], rule: Callable[[Iterable[Any]], bool]) -> Expression:
        parts = [read()]
        while self.take(word):
            parts.append(read())
        if len(parts) == 1:
            return parts[0]
        return Expression(
            lambda row, rows: rule(part.value(row, rows) is True for part in parts),
            "Column1",
            any(part.aggregates for part in parts),
        )

    def _comparison(self) -> Expression:
        left = self._sum()
        negated = self.peek().text == "!" and self.peek(1).kind == "name"
        word = self.peek(1 if negated else 0)
        texts = {"contains", "has", "startswith", "endswith"}
        if word.kind == "name" and word.text in texts | {"in", "between", "has_any"}:
            self.position += 2 if negated else 1
            test = self._words(word.text, left)
            return Expression(lambda row, rows: test(row, rows) != negated, "Column1", left.aggregates)
        if word.kind == "mark" and word.text in {"==", "!=", "=~", "!~", ">=", "<=", ">", "<"}:
            self.position += 1
            right = self._sum()
            return Expression(
                lambda row, rows: compare(left.value(row, rows), word.text, right.value(row, rows)),
                "Column1",
                left.aggregates or right.aggregates,
            )
        return left

    def _words(self, word: str, left: Expression) -> Callable[[Row, list[Row]], bool]:
        if word == "between":
            self.expect("(")
            low = self._sum()
            self.expect("..")
            high = self._sum()
            self.expect(")")
            return lambda row, rows: (
                compare(left.value(row, rows), ">=", low.value(row, rows))
                and compare(left.value(row, rows), "<=", high.value(row, rows))
            )
        if word in {"in", "has_any"}:
            operator = "has" if word == "has_any" else "=~" if self.take("~") else "=="
            self.expect("(")
            items = self.listed(self._sum)
            self.expect(")")
            return lambda row, rows: any(
                compare(left.value(row, rows), operator, item.value(row, rows)) for item in items
            )
        right = self._sum()
        return lambda row, rows: compare(left.value(row, rows), word, right.value(row, rows))

    def _sum(self) -> Expression:
        return self._binary(("+", "-"), lambda: self._binary(("*", "/", "%"), self._unary))

    def _binary(self, marks: tuple[str, ...], read: Callable[[], Expression]) -> Expression:
        left = read()
        while self.peek().kind == "mark" and self.peek().text in marks:
            mark = self.peek().text
            self.position += 1
            left = _calculated(left, mark, read())
        return left

    def _unary(self) -> Expression:
        if self.take("-"):
            inner = self._unary()
            return Expression(lambda row, rows: _calculate(0, "-", inner.value(row, rows)), "Column1", inner.aggregates)
        return self._primary()

    def _primary(self) -> Expression:
        token = self.peek()
        if self.take("("):
            inner = self.expression()
            self.expect(")")
            return inner
        self.position += 1
        if token.kind == "string":
            verbatim = token.text.startswith("@")
            text = token.text[2:-1] if verbatim else re.sub(r"\\(.)", _escape, token.text[1:-1])
            return _constant(text)
        if token.kind == "number":
            return _constant(float(token.text) if "." in token.text else int(token.text))
        if token.kind == "span":
            number, unit = re.match(r"([\d.]+)(\w+)", token.text).groups()  # type: ignore[union-attr]
            return _constant(datetime.timedelta(seconds=float(number) * _UNITS[unit]))
        if token.kind != "name":
            self.position -= 1
            raise self.refusal()
        if token.text in {"true", "false"}:
            return _constant(token.text == "true")
        if self.peek().text == "(" and self.peek().kind == "mark":
            return self._call(token.text)
        return self._column(token.text)

    def _column(self, name: str) -> Expression:
        if name in self.variables:
            return _constant(self.variables[name])
        path = [name]
        while self.peek().kind == "mark" and self.peek().text in {".", "["}:
            if self.take("."):
                path.append(self.name())
                continue
            self.expect("[")
            if self.peek().kind != "string":
                raise self.refusal()
            path.append(self._primary().value({}, []))
            self.expect("]")
        return Expression(lambda row, rows: _step_into(row, path), "_".join(path))

    def _call(self, name: str) -> Expression:
        self.expect("(")
        if name == "datetime":
            return self._datetime()
        if name == "count":
            self.expect(")")
            return Expression(lambda row, rows: len(rows), "count_", True)
        arguments = [] if self.peek().text == ")" else self.listed(self.expression)
        self.expect(")")
        if name in _AGGREGATES:
            return _aggregated(name, arguments, self)
        function = _FUNCTIONS.get(name)
        if function is None or not function[0] <= len(arguments) <= function[1]:
            raise unsupported(f"{name}() with {len(arguments)} arguments")
        return Expression(
            lambda row, rows: function[2](*(item.value(row, rows) for item in arguments)),
            arguments[0].name if arguments and name in _KEEP_NAME else "Column1",
            any(item.aggregates for item in arguments),
        )

    def _datetime(self) -> Expression:
        """The literal; its content has a syntax of its own."""
        text = ""
        while not self.take(")"):
            if self.peek().kind == "end":
                raise self.refusal()
            text += {"T": "T"}.get(self.peek().text, self.peek().text.strip("'\""))
            self.position += 1
        found = moment(re.sub(r"^(\d{4}-\d\d-\d\d)(\d)", r"\1T\2", text))
        if found is None:
            raise unsupported(f"datetime({text})")
        return _constant(found)


def _escape(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(match[1], match[1])


def _constant(value: Any) -> Expression:
    return Expression(lambda row, rows: value, "Column1")


def _step_into(row: Row, path: list[str]) -> Any:
    current: Any = row
    for step in path:
        if isinstance(current, str):
            try:
                current = json.loads(current)
            except ValueError:
                return None
        if not isinstance(current, dict):
            return None
        current = current.get(step)
    return current


def compare(left: Any, operator: str, right: Any) -> bool:
    """A comparison as Kusto makes it; what has no value is less and more than nothing."""
    if isinstance(left, datetime.datetime) or isinstance(right, datetime.datetime):
        left, right = moment(left), moment(right)
    if operator in {"=~", "!~"}:
        return (str(left or "").lower() == str(right or "").lower()) == (operator == "=~")
    if operator in {"contains", "has", "startswith", "endswith"}:
        text, part = _text(left).lower(), _text(right).lower()
        if operator == "has":
            return re.search(rf"(?<![a-z0-9]){re.escape(part)}(?![a-z0-9])", text) is not None
        tests: dict[str, Callable[[], bool]] = {
            "contains": lambda: part in text,
            "startswith": lambda: text.startswith(part),
            "endswith": lambda: text.endswith(part),
        }
        return tests[operator]()
    if isinstance(left, bool) or isinstance(right, bool):
        left, right = str(left).lower(), str(right).lower()
    elif isinstance(right, str):
        left = _text(left)
    elif isinstance(left, str) and isinstance(right, (int, float)):
        left = _number(left)
    if operator in {"==", "!="}:
        return (left == right) == (operator == "==")
    if left is None or right is None:
        return False
    try:
        return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[operator]
    except TypeError:
        return False


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    return shown(value) if isinstance(value, (dict, list, datetime.datetime)) else str(value)


def shown(value: Any) -> Any:
    """A value as the service's answer holds it: dynamic values and times are texts."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.timedelta):
        return str(value)
    return value


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    try:
        text = str(value).strip()
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return None


def _calculated(left: Expression, mark: str, right: Expression) -> Expression:
    return Expression(
        lambda row, rows: _calculate(left.value(row, rows), mark, right.value(row, rows)),
        "Column1",
        left.aggregates or right.aggregates,
    )


def _calculate(left: Any, mark: str, right: Any) -> Any:
    times = (datetime.datetime, datetime.timedelta)
    if isinstance(left, str) and (isinstance(right, times) or moment(left)):
        left = moment(left)
    if isinstance(right, str) and isinstance(left, datetime.datetime):
        right = moment(right)
    try:
        if mark == "+":
            return left + right
        if mark == "-":
            return left - right
        if mark == "*":
            return left * right
        if mark == "%":
            return left % right
        whole = isinstance(left, int) and isinstance(right, int)
        return math.trunc(left / right) if whole else left / right
    except (TypeError, ZeroDivisionError):
        return None


def _bin(value: Any, size: Any) -> Any:
    if isinstance(size, datetime.timedelta):
        at = moment(value)
        if at is None:
            return None
        seconds = size.total_seconds()
        return datetime.datetime.fromtimestamp(at.timestamp() // seconds * seconds, datetime.UTC)
    number = _number(value)
    return None if number is None or not size else number // size * size


def _round(value: Any, digits: Any = 0) -> Any:
    number = _number(value)
    return None if number is None else round(float(number), int(digits))


def _ago(span: Any) -> Any:
    if not isinstance(span, datetime.timedelta):
        raise unsupported("ago() of something that is no timespan")
    return datetime.datetime.now(datetime.UTC) - span


def _integer(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


#: name -> (fewest arguments, most, function).
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "ago": (1, 1, _ago),
    "now": (0, 0, lambda: datetime.datetime.now(datetime.UTC)),
    "not": (1, 1, lambda value: value is not True),
    "isempty": (1, 1, lambda value: value in (None, "")),
    "isnotempty": (1, 1, lambda value: value not in (None, "")),
    "isnull": (1, 1, lambda value: value is None),
    "isnotnull": (1, 1, lambda value: value is not None),
    "tostring": (1, 1, _text),
    "toint": (1, 1, _integer),
    "tolong": (1, 1, _integer),
    "todouble": (1, 1, _number),
    "toreal": (1, 1, _number),
    "todatetime": (1, 1, moment),
    "tobool": (1, 1, lambda value: _text(value).lower() in {"true", "1"}),
    "tolower": (1, 1, lambda value: _text(value).lower()),
    "toupper": (1, 1, lambda value: _text(value).upper()),
    "strlen": (1, 1, lambda value: len(_text(value))),
    "strcat": (1, 64, lambda *values: "".join(_text(value) for value in values)),
    "iff": (3, 3, lambda test, yes, no: yes if test is True else no),
    "iif": (3, 3, lambda test, yes, no: yes if test is True else no),
    "coalesce": (2, 64, lambda *values: next((value for value in values if value not in (None, "")), None)),
    "bin": (2, 2, _bin),
    "round": (1, 2, _round),
}
_KEEP_NAME = {"bin", "tostring", "toint", "tolong", "todouble", "toreal", "todatetime", "tobool", "round"}


def _percentile(numbers: list[Any], part: float) -> Any:
    """The smallest value that at least that part of the values do not exceed."""
    ordered = sorted(numbers)
    return ordered[max(0, math.ceil(part / 100 * len(ordered)) - 1)] if ordered else None


def _distinct(values: list[Any]) -> list[Any]:
    found: dict[str, Any] = {}
    for value in values:
        found.setdefault(repr(value), value)
    return list(found.values())


#: name -> (name that its column begins with, function of the values that there are).
_AGGREGATES: dict[str, tuple[str, Callable[[list[Any]], Any]]] = {
    "sum": ("sum", lambda values: sum(_number(value) or 0 for value in values)),
    "avg": ("avg", lambda values: sum(_number(value) or 0 for value in values) / len(values) if values else None),
    "min": ("min", lambda values: min(values, default=None)),
    "max": ("max", lambda values: max(values, default=None)),
    "dcount": ("dcount", lambda values: len(_distinct(values))),
    "make_set": ("set", _distinct),
    "make_list": ("list", list),
    "take_any": ("", lambda values: values[0] if values else None),
    "percentile": ("percentile", list),
    "countif": ("countif", list),
    "sumif": ("sumif", list),
}


def _aggregated(name: str, arguments: list[Expression], parser: Parser) -> Expression:
    if len(arguments) != (2 if name in {"percentile", "sumif"} else 1) or any(item.aggregates for item in arguments):
        raise parser.refusal()
    inner = arguments[0]
    if name == "countif":
        return Expression(lambda row, rows: sum(inner.value(item, []) is True for item in rows), "countif_", True)

    def values(rows: list[Row]) -> list[Any]:
        return [found for item in rows if (found := inner.value(item, [])) is not None]

    if name == "sumif":
        test = arguments[1]
        return Expression(
            lambda row, rows: sum(
                _number(found) or 0 for found in values([item for item in rows if test.value(item, []) is True])
            ),
            f"sumif_{inner.name}",
            True,
        )
    if name == "percentile":
        part = float(arguments[1].value({}, []))
        words = f"percentile_{inner.name}_{part:g}"
        return Expression(lambda row, rows: _percentile(values(rows), part), words, True)
    before, function = _AGGREGATES[name]
    return Expression(
        lambda row, rows: function(values(rows)), f"{before}_{inner.name}" if before else inner.name, True
    )
