"""What kubectl runs for a token in a sandbox's kubeconfig: kubelogin's `spn` mode, with the standard library only.

    python -m aksops_sandbox.kubelogin SERVER-APPLICATION-ID

Signs in with AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID through the sandbox's proxy, as
`aksops-sandbox env` sets them, and prints an ExecCredential.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


def main(application: str) -> int:
    """Print the credential; returns the exit code."""
    missing = [name for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET") if name not in os.environ]
    if missing:
        print(f"{', '.join(missing)} not set: run kubectl in the environment of 'aksops-sandbox env'.", file=sys.stderr)
        return 1
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["AZURE_CLIENT_ID"],
        "client_secret": os.environ["AZURE_CLIENT_SECRET"],
        "scope": f"{application}/.default",
    }
    url = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30) as response:
            answer = json.load(response)
    except (OSError, urllib.error.URLError) as error:
        print(f"No token from {url}: {error}. Is the sandbox up?", file=sys.stderr)
        return 1
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=int(answer["expires_in"]) - 60)
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {
            "token": answer["access_token"],
            "expirationTimestamp": expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
    }
    print(json.dumps(credential))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
