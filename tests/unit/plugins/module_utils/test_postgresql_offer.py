"""Which quota a size of PostgreSQL counts to."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_offer as offers


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_D2ds_v5", ("standardDDSv5Family", 2)),
        ("Standard_D4ads_v5", ("standardDADSv5Family", 4)),
        ("Standard_E20s_v3", ("standardESv3Family", 20)),
        ("Standard_B1ms", ("standardBSFamily", 1)),
        ("Standard_B2s", ("standardBSFamily", 2)),
        ("nonsense", None),
    ],
)
def test_a_size_counts_to_its_family(size, expected):
    assert offers.quota_name(size) == expected
