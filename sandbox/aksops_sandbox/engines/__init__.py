"""The real parts of the sandbox, run as supervised processes."""
