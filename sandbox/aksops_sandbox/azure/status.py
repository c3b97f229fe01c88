"""Which status codes azurerm 5.2.0 accepts for which operation (azurerm-5.2-expected-status.tsv).

The table was extracted from the provider's own SDK; clients treat any other code as an error, so the generic resource
types answer from it.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

_TABLES = ("azurerm-5.2-expected-status.tsv", "azurerm-5.2-further-status.tsv")


@cache
def _codes() -> dict[tuple[str, str], set[int]]:
    table: dict[tuple[str, str], set[int]] = {}
    for name in _TABLES:
        lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
        for row in csv.reader(lines, delimiter="\t"):
            if len(row) < 6 or row[0].startswith("#"):
                continue
            if row[3] != "POST" and row[4] != "{id}" and not row[4].endswith("/default"):
                continue
            provider, group, _, verb, _, accepted = row[:6]
            codes = {int(code) for code in accepted.split(",") if code.strip().isdigit()}
            table.setdefault((f"{provider}/{group}", verb), set()).update(codes)
    return table


def accepted(status: str, verb: str) -> set[int]:
    """The codes accepted for a verb of a row group such as `keyvault/2026-02-01/vaults` (empty: not in the table)."""
    return _codes().get((status, verb), set())


def choose(status: str, verb: str, preferred: tuple[int, ...]) -> int:
    """The first preferred code that the table accepts; the first preferred one where the table says nothing."""
    allowed = accepted(status, verb)
    for code in preferred:
        if not allowed or code in allowed:
            return code
    return min(allowed)
