"""The floor of a verification: its costly statements from a bare script, without a single other check.

`verify_floor.py <server> <user> <workers> <database>...`. One session a database, so many at once as `workers` says. It
counts the rows of every table, finds the largest id, and reads every row to its end. Prints the seconds from its first
line to the last answer: with the driver's import, the token and the sessions, as the module's own figure counts them.
"""

import time

STARTED = time.monotonic()

import http.client  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import ssl  # noqa: E402
import sys  # noqa: E402
import urllib.parse  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402

import psycopg  # noqa: E402


def token() -> str:
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connection = http.client.HTTPSConnection(proxy.hostname or "", proxy.port, context=context)
    connection.set_tunnel("login.microsoftonline.com", 443)
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["ARM_CLIENT_ID"],
        "client_secret": os.environ["ARM_CLIENT_SECRET"],
        "scope": "https://ossrdbms-aad.database.windows.net/.default",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    path = f"/{os.environ['ARM_TENANT_ID']}/oauth2/v2.0/token"
    connection.request("POST", path, urllib.parse.urlencode(form), headers)
    return str(json.loads(connection.getresponse().read())["access_token"])


def read(server: str, user: str, password: str, database: str) -> int:
    rows = 0
    with psycopg.connect(
        host=server, user=user, password=password, dbname=database, sslmode="verify-full", autocommit=True
    ) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            statement = f"SELECT count(*), max(id), sum(octet_length({table}::text)) FROM {table}"
            found = connection.execute(statement).fetchone()
            assert found is not None
            rows += found[0]
    return rows


def main() -> None:
    server, user, workers, databases = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    password = token()
    with ThreadPoolExecutor(workers) as pool:
        rows = sum(pool.map(lambda database: read(server, user, password, database), databases))
    print(json.dumps({"seconds": time.monotonic() - STARTED, "rows": rows}))


main()
