"""Make a key and a certificate in a vault, or new versions of both, by Azure's clients: `fill_vault.py <vault uri>`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from azure.identity import ClientSecretCredential
from azure.keyvault.certificates import CertificateClient, CertificateContentType, CertificatePolicy
from azure.keyvault.keys import KeyClient

secret = Path(os.environ["ARM_CLIENT_SECRET_FILE_PATH"]).read_text()
credential = ClientSecretCredential(os.environ["ARM_TENANT_ID"], os.environ["ARM_CLIENT_ID"], secret)
KeyClient(sys.argv[1], credential).create_rsa_key("sign")
policy = CertificatePolicy(issuer_name="Self", subject="CN=shop.example", content_type=CertificateContentType.pkcs12)
CertificateClient(sys.argv[1], credential).begin_create_certificate("tls", policy).result()
