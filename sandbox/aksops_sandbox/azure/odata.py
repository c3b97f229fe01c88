"""The part of OData that Azure's lists take: `$filter` of comparisons, and pages by `$top` and `$skiptoken`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.http.message import Request, Response

_COMPARISON = re.compile(
    r"(?P<field>[\w./]+)\s+(?P<verb>eq|ne|ge|gt|le|lt)\s+(?:'(?P<value>(?:[^']|'')*)'|(?P<bare>[\w.:+-]+))"
)
_CALLS = {
    "substringof": re.compile(r"substringof\(\s*'(?P<value>(?:[^']|'')*)'\s*,\s*(?P<field>[\w./]+)\s*\)", re.I),
    "startswith": re.compile(r"startswith\(\s*(?P<field>[\w./]+)\s*,\s*'(?P<value>(?:[^']|'')*)'\s*\)", re.I),
}
_JOINT = re.compile(r"\s+(and|or)\s+", re.I)


class Term(NamedTuple):
    """One comparison, for example (`name`, `eq`, `vnet`); the field is in lower case."""

    field: str
    verb: str
    value: str

    def holds(self, text: str) -> bool:
        """Whether a value fulfils it; texts are compared without case."""
        left, right = text.lower(), self.value.lower()
        match self.verb:
            case "eq":
                return left == right
            case "ne":
                return left != right
            case "substringof":
                return right in left
            case "startswith":
                return left.startswith(right)
            case "ge":
                return left >= right
            case "gt":
                return left > right
            case "le":
                return left <= right
            case _:
                return left < right


def terms(text: str, fields: tuple[str, ...]) -> list[list[Term]]:
    """A filter as alternatives of terms that hold together; [] where there is none.

    Raises AzureError 400 for what is no comparison of one of the fields (in lower case). Brackets are not understood.
    """
    alternatives: list[list[Term]] = [[]]
    position, text = 0, text.strip()
    while position < len(text):
        found, verb = _term(text, position)
        if found is None or found["field"].lower() not in fields:
            raise bad_request("InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")
        parts = found.groupdict()
        value = parts["value"] if parts["value"] is not None else parts["bare"]
        alternatives[-1].append(Term(parts["field"].lower(), verb, value.replace("''", "'")))
        position = found.end()
        if position < len(text):
            joint = _JOINT.match(text, position)
            if joint is None:
                raise bad_request(
                    "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string."
                )
            position = joint.end()
            if joint.group(1).lower() == "or":
                alternatives.append([])
    return alternatives if text else []


def _term(text: str, position: int) -> tuple[re.Match[str] | None, str]:
    for verb, pattern in _CALLS.items():
        if found := pattern.match(text, position):
            return found, verb
    found = _COMPARISON.match(text, position)
    return found, found["verb"] if found else ""


def tagged(tags: dict[str, str] | None, terms: list[Term]) -> bool:
    """Whether one tag fulfils every term on `tagName` and `tagValue`; true where there is none."""
    pairs = [{"tagname": name, "tagvalue": value} for name, value in (tags or {}).items()]
    return not terms or any(all(term.holds(pair[term.field]) for term in terms) for pair in pairs)


def page(request: Request, items: list[Any], render: Callable[[Any], Any], most: int = 1000) -> Response:
    """One page of a list: `$top` entries, `most` where the client asks for none or more, and the next page's link."""
    start, size = _number(request, "$skiptoken", 0), min(_number(request, "$top", most), most)
    content: dict[str, Any] = {"value": [render(item) for item in items[start : start + size]]}
    if start + size < len(items):
        query = {name: value for name, value in request.query.items() if name.lower() != "$skiptoken"}
        query["$skiptoken"] = str(start + size)
        content["nextLink"] = f"https://{request.host}{request.path}?{urlencode(query)}"
    return Response.json(200, content)


def _number(request: Request, name: str, default: int) -> int:
    text = next((value for key, value in request.query.items() if key.lower() == name), "")
    if not text:
        return default
    if not text.isdigit() or (name == "$top" and int(text) == 0):
        raise bad_request(
            "InvalidQueryParameterValue", f"The value '{text}' of the query parameter '{name}' is invalid."
        )
    return int(text)
