"""Run SQL as the run's Entra administrator: python sql.py SERVER DATABASE STATEMENT... (prints the last value)."""

from __future__ import annotations

import os
import sys

import psycopg
from azure.identity import ClientSecretCredential


def main() -> None:
    server, database, *statements = sys.argv[1:]
    secret = os.environ.get("ARM_CLIENT_SECRET")
    if not secret:
        with open(os.environ["ARM_CLIENT_SECRET_FILE_PATH"], encoding="utf-8") as file:
            secret = file.read().strip()
    credential = ClientSecretCredential(os.environ["ARM_TENANT_ID"], os.environ["ARM_CLIENT_ID"], secret)
    token = credential.get_token("https://ossrdbms-aad.database.windows.net/.default").token
    with psycopg.connect(
        host=f"{server}.postgres.database.azure.com",
        user="operator",
        password=token,
        dbname=database,
        sslmode="verify-full",
        sslrootcert=os.environ["PGSSLROOTCERT"],
        autocommit=True,
    ) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        print(row[0] if row else "")


if __name__ == "__main__":
    main()
