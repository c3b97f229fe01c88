from __future__ import annotations

from types import SimpleNamespace

from ansible_collections.aksops.platform.plugins.callback.terraform_progress import CallbackModule, line

LOG = """\
2026-11-24T03:11:03.203Z [INFO]  Starting apply for azurerm_resource_group.this
2026-11-24T03:11:03.205Z [INFO]  Starting apply for module.network[0].azurerm_virtual_network.this
2026-11-24T03:11:04.213Z [INFO]  Starting apply for module.network[0].azurerm_subnet.this["aks"]
"""


class Screen:
    columns = 79
    verbosity = 0

    def __init__(self):
        self.lines = []

    def display(self, text):
        self.lines.append(text)


def event(action, host="shop", **result):
    task = SimpleNamespace(resolved_action=action)
    return SimpleNamespace(_task=task, _host=SimpleNamespace(get_name=lambda: host), _result=result)


def test_it_counts_what_has_begun_and_names_the_last():
    assert line("shop", LOG, 111, 12.4) == (
        '  shop: 3 of 111 changes begun, 12 s; last module.network[0].azurerm_subnet.this["aks"]'
    )


def test_before_the_first_change_it_says_since_when_terraform_works():
    assert line("shop", "[INFO] Terraform version", 0, 31) == "  shop: Terraform at work, 31 s"


def test_an_unknown_number_of_changes_is_left_out():
    assert "3 changes begun" in line("shop", LOG, 0, 1)


def test_it_speaks_while_terraform_works_and_not_after(tmp_path):
    screen, now = Screen(), [0.0]
    callback = CallbackModule(screen, clock=lambda: now[0])
    callback.get_option = {"interval": 3600}.__getitem__
    (tmp_path / "progress.log").write_text(LOG)
    callback.v2_runner_on_ok(
        event("aksops.platform.terraform_project", environment={"TF_LOG_PATH": str(tmp_path / "progress.log")})
    )
    callback.v2_runner_on_ok(event("aksops.platform.terraform_plan", tally="Changes: 9"))
    started = event("community.general.terraform")
    callback.v2_runner_on_start(started._host, started._task)
    now[0] = 20.0
    callback.say()
    callback.v2_runner_on_failed(started)
    callback.say()
    assert screen.lines == ['  shop: 3 of 9 changes begun, 20 s; last module.network[0].azurerm_subnet.this["aks"]']
