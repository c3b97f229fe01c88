-- What Azure has made in a new server before its administrator first connects. Run as the superuser azuresu.
CREATE ROLE azure_pg_admin NOLOGIN CREATEDB CREATEROLE;
CREATE ROLE azure_ad_user NOLOGIN;
GRANT pg_monitor, pg_signal_backend, pg_read_all_stats, pg_stat_scan_tables, pg_checkpoint, pg_maintain,
    pg_create_subscription, pg_read_all_settings
    TO azure_pg_admin WITH ADMIN OPTION;
ALTER DATABASE postgres OWNER TO azure_pg_admin;
ALTER DATABASE template1 OWNER TO azure_pg_admin;
