# Azure Load Testing: the resource only. Tests and runs are data, and the load-test role owns them.

resource "azurerm_load_test" "this" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  description         = "Load tests of ${var.name}"
  tags                = var.tags
}
