"""What Azure offers for PostgreSQL Flexible Server: sizes, storage, versions, parameters, extensions and names."""

from __future__ import annotations

from dataclasses import dataclass

# The one version that the sandbox has binaries of.
VERSION = "18"

TIERS = {
    "Burstable": ("Standard_B1ms", "Standard_B2s", "Standard_B2ms", "Standard_B4ms", "Standard_B8ms"),
    "GeneralPurpose": tuple(
        f"Standard_D{cores}{kind}"
        for kind in ("s_v3", "ds_v4", "ds_v5", "ads_v5")
        for cores in (2, 4, 8, 16, 32, 48, 64, 96)
    ),
    "MemoryOptimized": tuple(
        f"Standard_E{cores}{kind}"
        for kind in ("s_v3", "ds_v4", "ds_v5", "ads_v5")
        for cores in (2, 4, 8, 16, 20, 32, 48, 64)
    ),
}

# Size in GiB -> (performance tier, IOPS) of Premium SSD.
STORAGE = {
    32: ("P4", 120),
    64: ("P6", 240),
    128: ("P10", 500),
    256: ("P15", 1100),
    512: ("P20", 2300),
    1024: ("P30", 5000),
    2048: ("P40", 7500),
    4095: ("P50", 7500),
    4096: ("P50", 7500),
    8192: ("P60", 16000),
    16384: ("P70", 18000),
    32767: ("P80", 20000),
}

RESERVED_LOGINS = frozenset(
    {"azure_superuser", "azure_pg_admin", "azuresu", "admin", "administrator", "root", "guest", "public", "postgres"}
)

EXTENSIONS = frozenset(
    """
    address_standardizer address_standardizer_data_us age amcheck anon azure_ai azure_storage bloom btree_gin btree_gist
    citext cube dblink dict_int dict_xsyn earthdistance fuzzystrmatch hll hstore hypopg intagg intarray isn lo
    login_hook ltree oracle_fdw orafce pageinspect pg_buffercache pg_cron pg_diskann pg_duckdb pg_failover_slots
    pg_freespacemap pg_hint_plan pg_partman pg_prewarm pg_repack pg_signal_autovacuum pg_squeeze pg_stat_statements
    pg_trgm pg_visibility pgaudit pgcrypto pglogical pgrowlocks pgstattuple plpgsql plv8 postgis postgis_raster
    postgis_sfcgal postgis_tiger_geocoder postgis_topology postgres_fdw postgres_protobuf semver session_variable
    sslinfo tablefunc tdigest tds_fdw timescaledb topn tsm_system_rows tsm_system_time unaccent uuid-ossp vector
    """.split()  # noqa: SIM905 - a list to read
)

PRELOADABLE = frozenset(
    """
    age anon auto_explain azure_storage login_hook pg_cron pg_duckdb pg_failover_slots pg_hint_plan pg_partman_bgw
    pg_prewarm pg_squeeze pg_stat_statements pgaudit pglogical timescaledb wal2json
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class AzureParameter:
    """A server parameter that PostgreSQL does not know."""

    name: str
    default: str
    kind: str  # Boolean, Enumeration, Integer, Set or String
    allowed: str
    dynamic: bool
    description: str


_ALLOWED = ",".join(sorted(EXTENSIONS))

AZURE_PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        AzureParameter("azure.extensions", "", "Set", _ALLOWED, True, "Extensions that users may create."),
        AzureParameter("azure.accepted_password_auth_method", "md5,scram-sha-256", "Set", "md5,scram-sha-256", True,
                       "Accepted password authentication methods."),
        AzureParameter("require_secure_transport", "on", "Boolean", "on,off", True,
                       "Whether clients must connect with TLS."),
        AzureParameter("connection_throttle.enable", "off", "Boolean", "on,off", True,
                       "Throttles connections from an address with too many failed logins."),
        AzureParameter("logfiles.download_enable", "off", "Boolean", "on,off", True, "Server logs for download."),
        AzureParameter("logfiles.retention_days", "3", "Integer", "1-7", True, "Days that server logs are kept."),
        AzureParameter("metrics.collector_database_activity", "off", "Boolean", "on,off", True,
                       "Enables enhanced metrics for database activity."),
        AzureParameter("metrics.autovacuum_diagnostics", "off", "Boolean", "on,off", True,
                       "Enables metrics of autovacuum."),
        AzureParameter("pgbouncer.enabled", "false", "Boolean", "true,false", True, "Enables the built-in PgBouncer."),
        AzureParameter("pgbouncer.default_pool_size", "50", "Integer", "1-4950", True, "Server connections per pool."),
        AzureParameter("pgbouncer.pool_mode", "transaction", "Enumeration", "session,transaction,statement", True,
                       "When a server connection can be reused."),
        AzureParameter("pg_qs.query_capture_mode", "none", "Enumeration", "top,all,none", True, "Query Store."),
        AzureParameter("pgms_wait_sampling.query_capture_mode", "none", "Enumeration", "all,none", True,
                       "Which wait events are sampled."),
        AzureParameter("intelligent_tuning", "off", "Boolean", "on,off", True, "Enables intelligent tuning."),
    )
}  # fmt: skip
