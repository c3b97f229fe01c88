"""What the emulated Azure services share: resource store, long-running operations, RBAC, tokens, errors."""
