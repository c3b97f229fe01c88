"""A restore that the region, the quota or the subnet has no room for is refused in one sentence."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_offer as offers
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/vnet"
SUBNET = f"{NETWORK}/subnets/psql"
ZONE = "/zones/shop.postgres.database.azure.com"
CAPABILITIES = [
    {
        "supportedServerVersions": [{"name": "17"}, {"name": "18"}],
        "supportedServerEditions": [
            {
                "name": "GeneralPurpose",
                "supportedServerSkus": [{"name": "Standard_D2ds_v5", "supportedZones": ["1", "2"]}],
            }
        ],
    }
]


def usage(name, used, limit):
    return {"name": {"value": name}, "currentValue": used, "limit": limit}


def vnet(**change):
    delegation = {"properties": {"serviceName": "Microsoft.DBforPostgreSQL/flexibleServers"}}
    subnet = {"id": SUBNET.upper(), "properties": {"delegations": [delegation], **change}}
    return {"location": "West Europe", "properties": {"subnets": [subnet]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "14"}, "offers no PostgreSQL 14, the source's version, but 17, 18"),
        ({"size": "Standard_D4ds_v5"}, "does not offer the size Standard_D4ds_v5"),
        ({"zone": "3"}, "not offered in zone 3 of westeurope, but in 1, 2"),
    ],
)
def test_what_the_region_does_not_offer_is_refused(change, words):
    asked = {"size": "Standard_D2ds_v5", "version": "18", "zone": None, "location": "westeurope"}
    offers.check_offer(CAPABILITIES, **asked)
    offers.check_offer([], **asked | change)
    with pytest.raises(AksPlatformError, match=words):
        offers.check_offer(CAPABILITIES, **asked | change)


@pytest.mark.parametrize(
    ("usages", "machines", "refused"),
    [
        ([], 2, False),
        ([usage("cores", 10, 12), usage("standardDDSv5Family", 8, 10)], 1, False),
        ([usage("cores", 10, 20), usage("standardDDSv5Family", 8, 10)], 2, True),
        ([usage("cores", 19, 20), usage("standardDDSv5Family", 0, 10)], 1, True),
        ([usage("standardESv3Family", 10, 10)], 1, False),
    ],
)
def test_a_quota_that_is_used_up_is_refused(usages, machines, refused):
    if not refused:
        offers.check_quota(usages, "Standard_D2ds_v5", machines, "westeurope")
        return
    with pytest.raises(AksPlatformError, match=r"The quota \S+ of PostgreSQL in westeurope is \d+ vCores"):
        offers.check_quota(usages, "Standard_D2ds_v5", machines, "westeurope")


@pytest.mark.parametrize(
    ("network", "usages", "zone", "words"),
    [
        (None, [], ZONE, "The subnet vnet/psql does not exist"),
        ({"location": "westeurope", "properties": {}}, [], ZONE, "does not exist"),
        (vnet() | {"location": "northeurope"}, [], ZONE, "is in northeurope"),
        (vnet(delegations=[]), [], ZONE, "delegated to nothing"),
        (
            vnet(delegations=[{"properties": {"serviceName": "Microsoft.App/environments"}}]),
            [],
            ZONE,
            "delegated to Microsoft.App/environments",
        ),
        (vnet(), [{"id": SUBNET, "currentValue": 10, "limit": 11}], ZONE, "has 1 free addresses"),
        (vnet(), [], "/zones/other.example", "does not end in postgres.database.azure.com"),
    ],
)
def test_a_subnet_without_room_is_refused(network, usages, zone, words):
    offers.check_subnet(vnet(), [{"id": SUBNET, "currentValue": 9, "limit": 11}], SUBNET, ZONE, 2, "westeurope")
    with pytest.raises(AksPlatformError, match=words):
        offers.check_subnet(network, usages, SUBNET, zone, 2, "westeurope")
