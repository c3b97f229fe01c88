"""Which import blocks lead the state from one server to another."""

from __future__ import annotations

from ansible_collections.aksops.platform.plugins.module_utils import _terraform_adopt as adoption

GROUP = "/subscriptions/s/resourceGroups/old"
OLD = f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/old"
NEW = f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/new"


def resource(kind, name, module, *instances, mode="managed"):
    return {"mode": mode, "type": kind, "name": name, "module": module, "instances": list(instances)}


def instance(identifier, key=None, **attributes):
    found = {"attributes": {"id": identifier, **attributes}}
    return found if key is None else {**found, "index_key": key}


STATE = [
    resource("azurerm_resource_group", "this", "", instance(GROUP)),
    resource(adoption.SERVER, "this", "module.postgresql", instance(OLD, name="old")),
    resource(f"{adoption.SERVER}_database", "this", "module.postgresql", instance(f"{OLD}/databases/old", "old")),
    resource(
        "azurerm_private_endpoint",
        "this",
        "module.postgresql.module.private_endpoint[0]",
        instance(f"{GROUP}/providers/Microsoft.Network/privateEndpoints/pe-old"),
    ),
    resource(
        "azurerm_monitor_diagnostic_setting",
        "this",
        "module.postgresql.module.diagnostics",
        instance(f"{OLD}|platform"),
    ),
    resource("azurerm_redis", "this", "module.postgresql_cache", instance(f"{GROUP}/x")),
]


class Arm:
    def __init__(self, *paths):
        self.paths = paths

    def get(self, path, version):
        assert version
        return {} if path in self.paths else None


def test_children_follow_their_server_and_nothing_else_does():
    assert adoption.held_server(STATE) == "old"
    found = {address: identifier for address, _, identifier in adoption.successors(STATE, "old", "new")}
    assert found == {
        "module.postgresql.azurerm_postgresql_flexible_server.this": NEW,
        'module.postgresql.azurerm_postgresql_flexible_server_database.this["old"]': f"{NEW}/databases/old",
        "module.postgresql.module.private_endpoint[0].azurerm_private_endpoint.this": (
            f"{GROUP}/providers/Microsoft.Network/privateEndpoints/pe-new"
        ),
        "module.postgresql.module.diagnostics.azurerm_monitor_diagnostic_setting.this": f"{NEW}|platform",
    }


def test_only_what_exists_is_imported():
    setting = f"{NEW}/providers/Microsoft.Insights/diagnosticSettings/platform"
    found = adoption.existing(Arm(NEW, setting), adoption.successors(STATE, "old", "new"))
    assert sorted(found.values()) == [NEW, f"{NEW}|platform"]


def test_an_empty_state_holds_no_server():
    assert adoption.held_server([]) == ""
