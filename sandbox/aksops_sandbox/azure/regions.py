"""Azure's public regions: display names, pairs and zones (learn.microsoft.com/azure/reliability/regions-list, 2026)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """One region; `pair` is '' where Azure pairs it with none."""

    display: str
    pair: str = ""
    zones: bool = True


REGIONS = {
    "australiacentral": Region("Australia Central", "australiacentral2", zones=False),
    "australiacentral2": Region("Australia Central 2", "australiacentral", zones=False),
    "australiaeast": Region("Australia East", "australiasoutheast"),
    "australiasoutheast": Region("Australia Southeast", "australiaeast", zones=False),
    "austriaeast": Region("Austria East"),
    "belgiumcentral": Region("Belgium Central"),
    "brazilsouth": Region("Brazil South", "southcentralus"),
    "brazilsoutheast": Region("Brazil Southeast", "brazilsouth", zones=False),
    "canadacentral": Region("Canada Central", "canadaeast"),
    "canadaeast": Region("Canada East", "canadacentral", zones=False),
    "centralindia": Region("Central India", "southindia"),
    "centralus": Region("Central US", "eastus2"),
    "chilecentral": Region("Chile Central"),
    "eastasia": Region("East Asia", "southeastasia"),
    "eastus": Region("East US", "westus"),
    "eastus2": Region("East US 2", "centralus"),
    "francecentral": Region("France Central", "francesouth"),
    "francesouth": Region("France South", "francecentral", zones=False),
    "germanynorth": Region("Germany North", "germanywestcentral", zones=False),
    "germanywestcentral": Region("Germany West Central", "germanynorth"),
    "indonesiacentral": Region("Indonesia Central"),
    "israelcentral": Region("Israel Central"),
    "italynorth": Region("Italy North"),
    "japaneast": Region("Japan East", "japanwest"),
    "japanwest": Region("Japan West", "japaneast"),
    "koreacentral": Region("Korea Central", "koreasouth"),
    "koreasouth": Region("Korea South", "koreacentral", zones=False),
    "malaysiawest": Region("Malaysia West"),
    "mexicocentral": Region("Mexico Central"),
    "newzealandnorth": Region("New Zealand North"),
    "northcentralus": Region("North Central US", "southcentralus", zones=False),
    "northeurope": Region("North Europe", "westeurope"),
    "norwayeast": Region("Norway East", "norwaywest"),
    "norwaywest": Region("Norway West", "norwayeast", zones=False),
    "polandcentral": Region("Poland Central"),
    "qatarcentral": Region("Qatar Central"),
    "southafricanorth": Region("South Africa North", "southafricawest"),
    "southafricawest": Region("South Africa West", "southafricanorth", zones=False),
    "southcentralus": Region("South Central US", "northcentralus"),
    "southeastasia": Region("Southeast Asia", "eastasia"),
    "southindia": Region("South India", "centralindia", zones=False),
    "spaincentral": Region("Spain Central"),
    "swedencentral": Region("Sweden Central", "swedensouth"),
    "swedensouth": Region("Sweden South", "swedencentral", zones=False),
    "switzerlandnorth": Region("Switzerland North", "switzerlandwest"),
    "switzerlandwest": Region("Switzerland West", "switzerlandnorth", zones=False),
    "uaecentral": Region("UAE Central", "uaenorth", zones=False),
    "uaenorth": Region("UAE North", "uaecentral"),
    "uksouth": Region("UK South", "ukwest"),
    "ukwest": Region("UK West", "uksouth", zones=False),
    "westcentralus": Region("West Central US", "westus2", zones=False),
    "westeurope": Region("West Europe", "northeurope"),
    "westindia": Region("West India", "southindia", zones=False),
    "westus": Region("West US", "eastus", zones=False),
    "westus2": Region("West US 2", "westcentralus"),
    "westus3": Region("West US 3", "eastus"),
}


def short(location: str) -> str:
    """The short name of a region that may be written as people do: 'West Europe' is westeurope."""
    return location.replace(" ", "").lower()


def pair(location: str | None) -> str:
    """The region that geo-redundant data goes to; '' where there is none."""
    region = REGIONS.get(short(location or ""))
    return region.pair if region else ""
