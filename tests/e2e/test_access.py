"""site.yml from both sides of the network's border: let in by address and out again, refused, killed, by somebody else.

The tests build on each other and run in the order of this file.
"""

from __future__ import annotations

import time

import pytest
from aksops_sandbox.settings import Home
from support.azure import Client

# A whole platform is made first, and that counts for the first test.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1400)]

OUTSIDE = "203.0.113.10"
ALLOWLIST = ("-e", "platform_access=allowlist")
TAG = "aksops-access-"


@pytest.fixture(scope="module")
def ask(bench):
    """Asks ARM of the test's sandbox with GET."""
    client = Client(Home(bench.home))

    def get(path: str, version: str):
        answer = client.arm("GET", path, version)
        assert answer.status == 200, answer.body
        return answer.json

    return get


def listed(ask) -> dict[str, list[str]]:
    """What every firewall of the platform lists, and the records, by resource."""
    found = {}
    versions = {
        "Microsoft.KeyVault/vaults": "2023-07-01",
        "Microsoft.Storage/storageAccounts": "2023-05-01",
        "Microsoft.ContainerService/managedClusters": "2026-04-01",
    }
    for kind, version in versions.items():
        for body in ask(f"/providers/{kind}", version)["value"]:
            properties = body["properties"]
            rules = [item["value"] for item in (properties.get("networkAcls") or {}).get("ipRules") or []]
            rules += (properties.get("apiServerAccessProfile") or {}).get("authorizedIPRanges") or []
            tags = [name for name in body.get("tags") or {} if name.startswith(TAG)]
            found[body["name"]] = [*rules, *tags]
    return found


def at_rest(found: dict[str, list[str]]) -> bool:
    """Nothing but the cluster's own range is listed anywhere."""
    return all(item == "127.0.0.1/32" for items in found.values() for item in items)


def test_the_first_run_from_outside_opens_what_it_needs_and_closes_it(bench, ask):
    bench.sandbox("fault", "firewall-delay", "--seconds", "3")
    run = bench.playbook("site", *ALLOWLIST, vantage="outside")
    assert run.code == 0, run.output[-6000:]
    assert "Work on the PostgreSQL server" in run.output
    found = listed(ask)
    assert len(found) == 4
    assert at_rest(found), found


def test_the_second_run_changes_nothing(bench, ask):
    run = bench.playbook("site", *ALLOWLIST, vantage="outside")
    assert (run.code, run.changed_tasks) == (0, []), run.output[-6000:]
    assert at_rest(listed(ask))


def test_work_on_databases_by_itself_is_refused_by_name(bench, ask):
    run = bench.playbook("databases", *ALLOWLIST, vantage="outside")
    assert run.code == 2
    assert "Work on the PostgreSQL server psql-sandbox" in run.output
    assert at_rest(listed(ask))


def test_a_failed_stage_closes_behind_itself(bench, ask):
    seed = '{"secrets_items": [{"name": "lost", "value_env": "AKSOPS_NOT_SET"}]}'
    run = bench.playbook("secrets", *ALLOWLIST, "-e", seed, vantage="outside")
    assert run.code == 2, run.output[-3000:]
    assert "AKSOPS_NOT_SET" in run.output, run.output[-3000:]
    assert at_rest(listed(ask))


def test_what_a_killed_run_leaves_open_the_next_one_closes(bench, ask):
    process = bench.start("secrets", *ALLOWLIST, vantage="outside")
    deadline = time.monotonic() + 60
    try:
        while not any(OUTSIDE in item for items in listed(ask).values() for item in items):
            assert time.monotonic() < deadline, "the run never opened a door"
            assert process.poll() is None, "the run ended before it opened a door"
            time.sleep(0.2)
    finally:
        bench.kill(process)
    assert not at_rest(listed(ask))
    # By somebody else, with another private folder: the record is in Azure.
    run = bench.playbook(
        "secrets", *ALLOWLIST, vantage="outside", account="second", env={"AKSOPS_WORK_DIR": str(bench.work / "second")}
    )
    assert run.code == 0, run.output[-3000:]
    assert at_rest(listed(ask))


def test_a_run_from_inside_closes_what_a_killed_one_left(bench, ask):
    process = bench.start("secrets", *ALLOWLIST, vantage="outside")
    deadline = time.monotonic() + 60
    try:
        while at_rest(listed(ask)):
            assert time.monotonic() < deadline, "the run never opened a door"
            time.sleep(0.2)
    finally:
        bench.kill(process)
    run = bench.playbook("verify")
    assert [name.split(" : ")[-1] for name in run.changed_tasks] == ["Close the doors that this run has opened"]
    assert at_rest(listed(ask))


def test_another_principal_from_inside_finds_nothing_to_do_but_the_databases(bench, ask):
    run = bench.playbook("site", *ALLOWLIST, account="second", env={"AKSOPS_WORK_DIR": str(bench.work / "third")})
    assert run.code == 0, run.output[-6000:]
    assert [name.split(" : ")[-1] for name in run.changed_tasks] == [
        "Make extensions, roles and rights as they should be"
    ]
    assert at_rest(listed(ask))


def test_without_the_allowlist_each_stage_says_from_outside_which_door_is_closed(bench):
    """A vault that only its private endpoint reaches, and the cluster's ranges."""
    run = bench.playbook("site")
    assert run.code == 0, run.output[-6000:]
    said = {
        "secrets": "The Key Vault kv-sandbox",
        "databases": "The PostgreSQL server psql-sandbox",
        "addons": "The API server of the cluster aks-aksops-sandbox",
        "argocd": "The API server of the cluster aks-aksops-sandbox",
        "workload": "The API server of the cluster aks-aksops-sandbox",
        "verify": "The API server of the cluster aks-aksops-sandbox",
    }
    for stage, words in said.items():
        mark = time.monotonic()
        run = bench.playbook(stage, vantage="outside")
        assert run.code == 2, run.output[-3000:]
        assert words in run.output, run.output[-3000:]
        assert "Traceback" not in run.output
        assert "run in the platform's network" in run.output
        assert time.monotonic() - mark < 30


def test_the_network_is_made_through_arm_and_terraform_takes_it_by_id(bench):
    """As another platform of the same sandbox, by its prefix."""
    other = ("-e", "platform_name_prefix=boot", "-e", "platform_network=bootstrap")
    mark = bench.mark()
    run = bench.playbook("bootstrap_network", *other, "--check", vantage="outside")
    assert run.code == 0, run.output[-3000:]
    assert bench.writes(mark) == []
    run = bench.playbook("bootstrap_network", *other, vantage="outside")
    assert run.code == 0, run.output[-3000:]
    assert run.recap("changed") > 0
    mark = bench.mark()
    run = bench.playbook("bootstrap_network", *other, vantage="outside")
    assert (run.code, run.changed_tasks) == (0, []), run.output[-3000:]
    assert bench.writes(mark) == []
    run = bench.playbook("plan", *other)
    assert "module.kubernetes.azurerm_kubernetes_cluster.this" in run.output, run.output[-3000:]
    for made in ("azurerm_virtual_network.", "azurerm_subnet.", "azurerm_nat_gateway.", "azurerm_private_dns_zone."):
        assert made not in run.output
