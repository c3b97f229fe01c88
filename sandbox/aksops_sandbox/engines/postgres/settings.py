"""The configuration files of one cluster: Azure's defaults, the user's parameters, and what the sandbox imposes.

PostgreSQL reads them in this order and the last one wins. Only the middle one belongs to the user; a restore starts
with an empty one, as on Azure.
"""

from __future__ import annotations

from pathlib import Path

AZURE_DEFAULTS = {
    "azure.extensions": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "idle_in_transaction_session_timeout": "0",
    "log_min_duration_statement": "-1",
    "timezone": "UTC",
    "track_commit_timestamp": "off",
}

# What one machine can carry is decided here, whatever size a user asks of Azure.
_IMPOSED = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "shared_buffers": "16MB",
    "huge_pages": "off",
    "io_method": "sync",
    "wal_level": "replica",
    "max_wal_senders": "5",
    "min_wal_size": "8MB",
    "max_wal_size": "256MB",
    "wal_buffers": "1MB",
    "archive_mode": "on",
    "archive_library": "basic_archive",
    "archive_timeout": "60s",
    "restart_after_crash": "on",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "ssl": "off",
    "summarize_wal": "on",
}

# Imposed ones that a user may set all the same: ARM remembers the value, the cluster keeps the small one.
IMPOSED_SIZES = frozenset(
    {"shared_buffers", "max_wal_size", "min_wal_size", "wal_buffers", "wal_level", "max_wal_senders", "archive_timeout"}
)

# Parameters that Azure does not let a user change, or that a change of would take the cluster from the sandbox.
READ_ONLY = frozenset(
    {
        *(_IMPOSED.keys() - IMPOSED_SIZES),
        "allow_system_table_mods",
        "external_pid_file",
        "fsync",
        "full_page_writes",
        "hba_file",
        "ident_file",
        "unix_socket_directories",
        "unix_socket_group",
        "zero_damaged_pages",
    }
)

ENTRA_ROLES_FILE = "entra_roles"

# A file of names and not a group: membership is inherited, and would let members of Entra roles in without a password.
HBA = f"""\
# The socket's folder is closed to everybody but the sandbox, whose front has checked the token of an Entra role.
local  all          azuresu               trust
local  replication  azuresu               trust
local  all          @{ENTRA_ROLES_FILE}   trust
local  all          all                   scram-sha-256
"""


def quote(value: str) -> str:
    """A value as a configuration file holds it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\n", " ") + "'"


def render_main(sockets: Path, archive: Path) -> str:
    """postgresql.conf: defaults, then the user's file, then what is imposed."""
    defaults = [f"{name} = {quote(value)}" for name, value in AZURE_DEFAULTS.items()]
    imposed = {
        **_IMPOSED,
        "unix_socket_directories": str(sockets),
        "basic_archive.archive_directory": str(archive),
    }
    lines = [
        "# Written by the sandbox.",
        *defaults,
        "include_if_exists = 'azure.conf'",
        *(f"{name} = {quote(value)}" for name, value in imposed.items()),
        "include_if_exists = 'sandbox.conf'",
    ]
    return "\n".join(lines) + "\n"


def render_parameters(parameters: dict[str, str], library: Path) -> str:
    """azure.conf: what the user set through ARM."""
    lines = ["# The server parameters set through Azure Resource Manager; written by the sandbox."]
    for name, value in sorted(parameters.items()):
        if name.lower() == "shared_preload_libraries":
            value = loadable(value, library)
        lines.append(f"{name} = {quote(value)}")
    return "\n".join(lines) + "\n"


def loadable(libraries: str, library: Path) -> str:
    """The libraries of a list that the binaries have: Azure preloads some that the wheel does not bring."""
    names = [name.strip() for name in libraries.split(",") if name.strip()]
    return ",".join(name for name in names if (library / f"{name}.so").exists())
