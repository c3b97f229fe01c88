"""Write the variables that lead a client to the sandbox to a file, the client's secret to a file of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

PREFIXES = ("ARM_", "AZURE_", "AKSOPS_", "PG")
NAMES = {"KUBECONFIG", "PATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"}
CERTIFICATES = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}


def write_private(path: Path, content: str) -> None:
    """Replace a file that only its owner may read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)


def main() -> None:
    target = Path(sys.argv[1])
    secret = target.with_suffix(".secret")
    write_private(secret, os.environ["ARM_CLIENT_SECRET"])
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in NAMES | CERTIFICATES or name.startswith(PREFIXES))
        and "SAVED" not in name
        and value != os.environ["ARM_CLIENT_SECRET"]
    }
    kept["ARM_CLIENT_SECRET_FILE_PATH"] = str(secret)
    write_private(target, json.dumps(kept, indent=2))


main()
