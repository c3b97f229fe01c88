"""PostgreSQL Flexible Server on real PostgreSQL clusters: runtime, clusters, backups, recovery and the TLS front."""
