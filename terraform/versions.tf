terraform {
  required_version = ">= 1.11.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "= 5.2.0"
    }
  }

  # Everything else comes from the backend file that the role `infrastructure` writes, so that no environment is named here.
  backend "azurerm" {
    use_azuread_auth = true
  }
}
