"""A backup on request: taken once, refused where Azure takes none, and only such a one is deleted."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_backup as backups
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

SERVER = {"name": "psql", "sku": {"tier": "GeneralPurpose"}, "properties": {"state": "Ready", "storage": {"type": ""}}}
OWN = {"name": "mine", "properties": {"source": "Customer Initiated"}}
AUTOMATIC = {"name": "daily", "properties": {"source": "Automatic"}}


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        ("new", "present", "take"),
        ("mine", "present", None),
        ("daily", "present", None),
        ("mine", "absent", "delete"),
        ("new", "absent", None),
    ],
)
def test_what_is_there_is_left(name, state, expected):
    assert backups.change(SERVER, [OWN, AUTOMATIC], name, state) == expected


@pytest.mark.parametrize(
    ("server", "name", "state", "words"),
    [
        (SERVER, "a b", "present", "no name of a backup"),
        (None, "new", "present", "does not exist"),
        (SERVER, "daily", "absent", "an automatic one"),
        ({**SERVER, "sku": {"tier": "Burstable"}}, "new", "present", "is Burstable"),
        ({**SERVER, "properties": {"storage": {"type": "PremiumV2_LRS"}}}, "new", "present", "Premium SSD v2"),
        ({**SERVER, "properties": {"state": "Stopped"}}, "new", "present", "psql is Stopped"),
    ],
)
def test_what_azure_would_refuse_is_refused_first(server, name, state, words):
    with pytest.raises(AksPlatformError, match=words):
        backups.change(server, [OWN, AUTOMATIC], name, state)


def test_the_eighth_is_refused():
    full = [{**OWN, "name": f"b{number}"} for number in range(backups.MOST)]
    with pytest.raises(AksPlatformError, match="delete one of b0, b1"):
        backups.change(SERVER, full, "new", "present")
