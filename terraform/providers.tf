# Credentials are never written here: the provider finds them in files (client_secret_file_path, oidc_token_file_path),
# whose paths come from the environment, or in the az CLI.
provider "azurerm" {
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id

  # Keys are off on the storage account, so its containers are reached by Entra.
  storage_use_azuread = true

  # Registering is the subscription's business (playbooks/subscription.yml), not an environment's.
  resource_provider_registrations = "none"

  features {
    # A killed run leaves what it was waiting for in the state, so that the next run can go on.
    persist_id_on_create_before_polling_for_completion = true

    key_vault {
      # A deleted platform must be recoverable: the vault keeps its secrets until their retention ends.
      purge_soft_delete_on_destroy               = false
      purge_soft_deleted_secrets_on_destroy      = false
      purge_soft_deleted_keys_on_destroy         = false
      purge_soft_deleted_certificates_on_destroy = false
      recover_soft_deleted_key_vaults            = true
    }

    log_analytics_workspace {
      permanently_delete_on_destroy = false
    }

    resource_group {
      prevent_deletion_if_contains_resources = true
    }
  }
}
