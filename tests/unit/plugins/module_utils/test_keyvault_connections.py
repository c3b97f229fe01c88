"""Which secrets lead to a host, and which of them a promotion's undoing gives back."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_connections as connections
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Version

HOST = "psql-a.postgres.database.azure.com"


@pytest.mark.parametrize(
    "value",
    [
        HOST,
        f"postgresql://u:p@{HOST}:5432/d?sslmode=verify-full",
        f"Host={HOST.upper()};Port=5432",
        f'{{"host": "{HOST}"}}',
        f"a\\n{HOST}",
        f"jdbc%3Apostgresql%3A%2F%2F{HOST}",
    ],
)
def test_a_value_that_names_the_host_leads_there(value):
    assert connections.leads_to(value, HOST)


@pytest.mark.parametrize("value", [None, "", "psql-a", f"my-{HOST}", f"x{HOST}", f"{HOST}pany", "psql-azpostgres"])
def test_another_host_is_another_host(value):
    assert not connections.leads_to(value, HOST)


def versions(*created):
    return [Version(f"v{number}", moment, True) for number, moment in enumerate(created)]


@pytest.mark.parametrize(
    ("before", "known", "current", "same", "action"),
    [
        ("v0", versions(1), "v0", True, "restored"),
        ("v0", versions(1, 2), "v1", False, "restore"),
        ("v0", versions(1, 1), "v1", False, "restore"),
        ("v1", versions(0, 1, 2), "v2", False, "restore"),
        # Changed by somebody after the promotion, or given back by an earlier run.
        ("v0", versions(1, 2, 3), "v2", False, "left"),
        ("v0", versions(1, 2, 3), "v2", True, "restored"),
        ("gone", versions(1, 2), "v1", False, "left"),
    ],
)
def test_only_what_the_promotion_wrote_is_taken_back(before, known, current, same, action):
    assert connections.way_back(before, known, current, same) == action
