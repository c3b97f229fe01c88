"""Print the value of a secret: `read_secret.py <vault uri> <name>`, by the client library that applications use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient

secret = Path(os.environ["ARM_CLIENT_SECRET_FILE_PATH"]).read_text()
credential = ClientSecretCredential(os.environ["ARM_TENANT_ID"], os.environ["ARM_CLIENT_ID"], secret)
sys.stdout.write(SecretClient(sys.argv[1], credential).get_secret(sys.argv[2]).value or "")
