"""The sandbox's small part of KQL, also on the platform's own queries; the arithmetic of addresses and durations."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.services import shapes
from aksops_sandbox.services.monitor.kql import run
from aksops_sandbox.services.network import addressing
from aksops_sandbox.services.network.private_link import record_name
from aksops_sandbox.services.storage.blobs import permission

NOW = datetime.datetime.now(datetime.UTC)


def row(minutes, role, seconds, **more):
    moment = (NOW - datetime.timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    return {"TimeGenerated": moment, "AppRoleName": role, "DurationMs": seconds, "Success": seconds < 50, **more}


ROWS = [
    row(1, "web", 10, Properties={"run": "a | b"}),
    row(5, "web", 90, Properties={"run": "two"}),
    row(90, "api", 30),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T | count", [{"Count": 3}]),
        ("T | where TimeGenerated > ago(1h) | count", [{"Count": 2}]),
        ("T | where AppRoleName == 'web' and DurationMs >= 50 | project DurationMs", [{"DurationMs": 90}]),
        ("T | where AppRoleName == 'api' or DurationMs == 10 | count", [{"Count": 2}]),
        ("T | where (AppRoleName == 'api' or DurationMs == 10) and Success == true | count", [{"Count": 2}]),
        ("T | where Properties.run == 'a | b' | count", [{"Count": 1}]),
        ("T | where AppRoleName !contains 'WEB' | count", [{"Count": 1}]),
        ("T | where AppRoleName in ('api', \"none\") | count", [{"Count": 1}]),
        ("T | where isnotempty(Properties.run) | count", [{"Count": 2}]),
        (
            "T | summarize count() by AppRoleName",
            [{"AppRoleName": "web", "count_": 2}, {"AppRoleName": "api", "count_": 1}],
        ),
        ("T | summarize Slow = countif(DurationMs > 50), avg(DurationMs)", [{"Slow": 1, "avg_DurationMs": 130 / 3}]),
        ("T | sort by DurationMs desc | take 1 | project d = DurationMs", [{"d": 90}]),
        ("T | top 1 by DurationMs asc | project DurationMs", [{"DurationMs": 10}]),
        ("let span = 1h; T | where TimeGenerated > ago(span) | count", [{"Count": 2}]),
        ("T | where TimeGenerated between (ago(10m) .. now()) | count", [{"Count": 2}]),
        ("T | where not(AppRoleName == 'web') | project AppRoleName", [{"AppRoleName": "api"}]),
        ("T | where AppRoleName has_any ('web', 'x') and AppRoleName !in ('api') | count", [{"Count": 2}]),
        ("T | where AppRoleName startswith 'W' and AppRoleName != 'http://x // y' | count", [{"Count": 2}]),
        (
            "T | extend Run = tostring(Properties['run']) | where Run == 'two' | project Run, DurationMs",
            [{"Run": "two", "DurationMs": 90}],
        ),
        (
            "T | summarize percentile(DurationMs, 50), dcount(AppRoleName)",
            [{"percentile_DurationMs_50": 30, "dcount_AppRoleName": 2}],
        ),
        (
            "T | summarize Spread = max(DurationMs) - min(DurationMs) by AppRoleName | where Spread > 0",
            [{"AppRoleName": "web", "Spread": 80}],
        ),
        ("T | summarize Share = round(100.0 * countif(Success == true) / count(), 1)", [{"Share": 66.7}]),
        (
            "T | project Level = iff(DurationMs >= 50, 'slow', 'fast'), AppRoleName | distinct Level | count",
            [{"Count": 2}],
        ),
        (
            "T | order by AppRoleName asc, DurationMs desc | project DurationMs",
            [{"DurationMs": 30}, {"DurationMs": 90}, {"DurationMs": 10}],
        ),
        ("union T, U | count", [{"Count": 6}]),
        ("T | project Sum = DurationMs + 2 * 3 | top 1 by Sum | render table", [{"Sum": 96}]),
        ("print x = 7 / 2, strcat('a', 'b')", [{"x": 3, "print_1": "ab"}]),
        ("T // a comment\n| distinct AppRoleName", [{"AppRoleName": "web"}, {"AppRoleName": "api"}]),
    ],
)
def test_queries_yield_what_kusto_yields(query, expected):
    assert run(query, lambda name: list(ROWS)).rows == expected


@pytest.mark.parametrize(
    "query",
    [
        "T | join U on X",
        "T | where hash(A) > 3",
        "T | extend A = series_stats(B)",
        "let f = (x:int) { x }; T",
        "T | summarize DurationMs by AppRoleName",
        "T | where count() > 1 | mv-expand A",
        "T | take all",
        "T AppRoleName",
        "search 'x'",
        "T | project-rename a = b",
        "T | summarize stdev(DurationMs)",
        "T | where",
    ],
)
def test_what_is_not_known_is_refused_by_name(query):
    with pytest.raises(AzureError) as refusal:
        run(query, lambda name: list(ROWS))
    assert refusal.value.status == 501


def test_columns_are_there_without_rows():
    nothing = run("T | where AppRoleName == 'none' | project Role = AppRoleName, DurationMs", lambda name: list(ROWS))
    assert (nothing.columns, nothing.rows) == (["Role", "DurationMs"], [])
    assert "DurationMs" in run("T | where DurationMs > 1000", lambda name: list(ROWS)).columns


def test_times_are_put_into_bins():
    [first, *others] = run("T | summarize count() by bin(TimeGenerated, 1d)", lambda name: [ROWS[0]]).rows
    assert others == []
    assert first["TimeGenerated"] == NOW.replace(hour=0, minute=0, second=0, microsecond=0) or NOW.hour == 0


WORKBOOK = Path(__file__).parents[3] / "roles/azure_monitor/files/platform-workbook.json"


def test_the_dashboard_asks_what_kusto_knows():
    """Every query of the role's workbook, with its parameters filled in."""
    content = WORKBOOK.read_text()
    queries = [text for text in re.findall(r'"query": ("(?:[^"\\]|\\.)*")', content) if "|" in text]
    assert len(queries) >= 6
    for text in queries:
        query = json.loads(text).replace("{Range:grain}", "5m").replace("{Range}", "> ago(1h)")
        assert run(query, lambda name: list(ROWS)).columns, query


@pytest.mark.parametrize(
    ("duration", "seconds"), [("PT1M", 60), ("P1DT2H", 93600), ("P7D", 604800), ("PT0.5S", 0.5), ("P1W", 604800)]
)
def test_durations_are_iso_8601(duration, seconds):
    assert shapes.seconds(duration, "x") == seconds


@pytest.mark.parametrize("duration", ["", "P", "1h", "PT", "PT5", 7])
def test_other_durations_are_refused(duration):
    with pytest.raises(AzureError):
        shapes.seconds(duration, "x")


@pytest.mark.parametrize(
    ("fqdn", "zone", "name"),
    [
        ("kv.vault.azure.net", "privatelink.vaultcore.azure.net", "kv"),
        ("kv.vault.azure.net", "privatelink.vault.azure.net", None),
        ("st.blob.core.windows.net", "privatelink.blob.core.windows.net", "st"),
        ("acr.westeurope.data.azurecr.io", "privatelink.azurecr.io", "acr.westeurope.data"),
        ("r.westeurope.redis.azure.net", "privatelink.redis.azure.net", "r.westeurope"),
        ("st.blob.core.windows.net", "privatelink.file.core.windows.net", None),
    ],
)
def test_a_public_name_has_a_record_in_its_private_zone_only(fqdn, zone, name):
    assert record_name(fqdn, zone) == name


def test_blocks_know_what_they_hold():
    space = addressing.networks(["10.0.0.0/16", "fd00::/48"], "v")
    assert addressing.contains(space, addressing.network("10.0.255.0/24", "s"))
    assert not addressing.contains(space, addressing.network("10.1.0.0/24", "s"))
    assert addressing.overlap(space, addressing.networks(["10.0.3.0/24"], "s"))
    assert not addressing.overlap(space, addressing.networks(["10.1.0.0/24", "fd01::/64"], "s"))


_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"


@pytest.mark.parametrize(
    ("method", "container", "blob", "query", "needed"),
    [
        ("GET", "c", "b", {}, (f"{_BLOBS}/read", True)),
        ("PUT", "c", "b", {"comp": "lease"}, (f"{_BLOBS}/write", True)),
        ("DELETE", "c", "b", {}, (f"{_BLOBS}/delete", True)),
        ("GET", "c", "", {"restype": "container", "comp": "list"}, (f"{_BLOBS}/read", True)),
        ("PUT", "c", "", {"restype": "container"}, (f"{_CONTAINERS}/write", False)),
        ("GET", "", "", {"comp": "list"}, (f"{_CONTAINERS}/read", False)),
        ("GET", "", "", {"restype": "account", "comp": "properties"}, None),
    ],
)
def test_each_blob_request_needs_its_permission(method, container, blob, query, needed):
    assert permission(method, container, blob, query) == needed
