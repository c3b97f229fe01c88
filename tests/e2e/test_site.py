"""site.yml as a person runs it: dry, for real, again, as somebody else, with bad input, and after destroy.

The tests build on each other and run in the order of this file.
"""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PLANTED = {"AKSOPS_PLANTED": "planted-env-Zq7rT2mXw9", "AKSOPS_PLANTED_FILE": "planted-file-Hs4vK8pLc3"}

OVERLAPPING = json.dumps(
    {
        "infrastructure_network": {
            "address_space": ["10.40.0.0/16"],
            "subnets": {
                "aks": "10.40.0.0/20",
                "api_server": "10.40.0.0/27",
                "gateway": "10.40.17.0/24",
                "private_endpoints": "10.40.18.0/24",
                "postgresql": "10.40.19.0/26",
                "runner": "10.40.20.0/27",
            },
        }
    }
)


class Processes:
    """Looks at every process' arguments again and again while a run lasts."""

    def __init__(self, wanted: list[str]) -> None:
        self._wanted = [text.encode() for text in wanted]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.found: set[str] = set()
        self.looks = 0

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.looks += 1
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = file.read_bytes()
                except OSError:
                    continue
                if any(text in line for text in self._wanted):
                    self.found.add(line.replace(b"\0", b" ").decode(errors="replace")[:200])


@pytest.fixture(scope="module")
def planted(bench, tmp_path_factory):
    """Variables that seed two planted values, by environment and by file."""
    folder = tmp_path_factory.mktemp("planted")
    secret = folder / "secret"
    secret.write_text(PLANTED["AKSOPS_PLANTED_FILE"], encoding="ascii")
    secret.chmod(0o600)
    variables = folder / "seeds.yml"
    variables.write_text(
        "secrets_items:\n"
        "  - {name: reference-api-key, value_env: AKSOPS_PLANTED}\n"
        f"  - {{name: reference-session-key, value_file: {secret}}}\n",
        encoding="ascii",
    )
    return {"argv": ["-e", f"@{variables}"], "env": {"AKSOPS_PLANTED": PLANTED["AKSOPS_PLANTED"]}, "source": secret}


def test_a_dry_run_on_an_empty_subscription_names_what_it_would_make_and_writes_nothing(bench):
    mark = bench.mark()
    run = bench.playbook("site", "--check", "--diff")
    assert run.code == 0, run.output[-4000:]
    assert run.recap("changed") >= 7
    assert not bench.ledger(mark, "PUT,PATCH,DELETE")


def test_a_first_run_makes_the_platform_and_shows_no_secret(bench, planted):
    secrets = [*PLANTED.values(), *_credentials(bench)]
    with Processes(secrets) as processes:
        run = bench.playbook("site", "-vvv", *planted["argv"], env=planted["env"], timeout=1500)
    assert run.code == 0, run.output[-6000:]
    assert processes.looks > 10
    assert not processes.found
    for secret in secrets:
        assert secret not in run.output
    assert 0 < _modules(run.output, "azure/azcollection") <= 3
    written = [file for file in bench.work.rglob("*") if file.is_file()]
    for file in written:
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], file
    bench.remembered = secrets


def test_the_state_holds_no_secret(bench):
    blobs = [file for file in (bench.home / "azurite").rglob("*") if file.is_file()]
    assert blobs
    for file in blobs:
        content = file.read_bytes()
        assert not [secret for secret in bench.remembered if secret.encode() in content], file


def test_a_second_run_changes_nothing(bench, planted):
    mark = bench.mark()
    run = bench.playbook("site", *planted["argv"], env=planted["env"])
    assert run.code == 0, run.output[-4000:]
    assert run.changed_tasks == []
    assert run.recap("changed") == 0
    assert bench.writes(mark) == []


def test_a_dry_run_on_a_converged_platform_predicts_no_change(bench, planted):
    mark = bench.mark()
    run = bench.playbook("site", "--check", "--diff", *planted["argv"], env=planted["env"])
    assert run.code == 0, run.output[-4000:]
    assert run.recap("changed") == 0
    assert bench.writes(mark) == []


@pytest.mark.parametrize("account", ["operator", "second"])
def test_a_bare_plan_is_empty_for_anybody_from_anywhere(bench, account, tmp_path):
    tally = tmp_path / "tally"
    run = bench.playbook(
        "plan", "-e", f"infrastructure_plan_file={tally}", account=account, env={"AKSOPS_WORK_DIR": str(tmp_path)}
    )
    assert run.code == 0, run.output[-4000:]
    assert tally.read_text(encoding="utf-8").strip() == "No changes"


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("platform_locatoin=westeurope", "platform_location"),
        ("{'infrastructure_kubernetes': {'version': '1.30'}}", "1.30"),
        ("platform_name_prefix=Not_Valid", "name_prefix"),
        (OVERLAPPING, "overlap"),
        ("platform_subscription_id=00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("{'secrets_items': [{'nam': 'a', 'value_env': 'A'}]}", "There is no secrets_items.nam"),
        ("{'postgresql_databases_list': [{'name': 'a', 'ownr': 'b'}]}", "There is no postgresql_databases_list.ownr"),
    ],
    ids=["misspelt", "kubernetes", "name", "subnets", "subscription", "secret", "database"],
)
def test_bad_input_is_one_sentence_before_any_write(bench, argument, named):
    mark = bench.mark()
    run = bench.playbook("site", "-e", argument)
    assert run.code != 0
    assert named in run.output
    assert "PLAY [State]" not in run.output
    assert not bench.ledger(mark, "PUT,PATCH,DELETE")


def test_an_inventory_without_platforms_is_no_success(bench, tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all:\n  hosts:\n    elsewhere:\n", encoding="utf-8")
    run = bench.playbook("site", inventory=str(inventory))
    assert run.code == 2
    assert "no host in the group platforms" in run.output


def test_without_a_credential_one_sentence_names_the_variables(bench):
    mark = bench.mark()
    names = ("ARM_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "AZURE_SECRET")
    run = bench.playbook("site", prefix=("env", *(word for name in names for word in ("-u", name))))
    assert run.code != 0
    assert "AZURE_CLIENT_SECRET" in run.output
    assert not bench.ledger(mark, "PUT,PATCH,DELETE")


def test_what_terraforms_write_of_the_cluster_takes_away_comes_back(bench, planted):
    wish = {"addons_features": {"gateway_api": {}}}
    enabled = bench.playbook("addons", "-e", json.dumps(wish))
    assert enabled.code == 0, enabled.output[-4000:]
    assert enabled.changed_tasks == ["Enable all add-ons in one request"]
    mark = bench.mark()
    tagged = json.dumps({**wish, "infrastructure_tags": {"drill": "api-versions"}})
    run = bench.playbook("site", *planted["argv"], "-e", tagged, env=planted["env"])
    assert run.code == 0, run.output[-4000:]
    written = [item for item in bench.ledger(mark, "PUT", "managedClusters") if _is_cluster(item["path"])]
    assert [item["api_version"] for item in written] == ["2025-10-01", "2026-04-01"]
    mark = bench.mark()
    again = bench.playbook("site", *planted["argv"], "-e", tagged, env=planted["env"])
    assert again.code == 0, again.output[-4000:]
    assert again.changed_tasks == []
    assert bench.writes(mark) == []


def _is_cluster(path):
    return path.rstrip("/").split("/")[-2].lower() == "managedclusters"


def test_destroy_leaves_nothing_that_runs_and_the_platform_can_be_made_again(bench, planted):
    gone = bench.playbook("destroy", "-e", "destroy_confirm=sandbox", "-e", "destroy_data=true", timeout=900)
    assert gone.code == 0, gone.output[-4000:]
    status = bench.sandbox("status")
    for kind in ("managedClusters", "flexibleServers", "Microsoft.Network/", "storageAccounts"):
        assert kind not in status, status
    again = bench.playbook("site", *planted["argv"], env=planted["env"], timeout=1500)
    assert again.code == 0, again.output[-6000:]
    after = bench.playbook("site", *planted["argv"], env=planted["env"])
    assert after.recap("changed") == 0, after.changed_tasks


def _credentials(bench) -> list[str]:
    """The run's own client secret."""
    text = (bench.home / "principals.json").read_text(encoding="utf-8")
    return re.findall(r'"client_secret": "([^"]+)"', text)


def _modules(output: str, folder: str) -> int:
    """How many modules of a collection a run at -vvv has used."""
    return len(re.findall(rf"Using module file \S*/{folder}/plugins/modules/", output))
