"""Files that the CSI driver's Azure provider makes, and the parts that a synced TLS Secret takes of them."""

from __future__ import annotations

import base64

import pytest
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.services.containerservice import vault_files
from aksops_sandbox.services.containerservice.vault_objects import VaultObject
from aksops_sandbox.services.keyvault.certificates import PEM, PFX, CertificateSpace, render
from aksops_sandbox.services.keyvault.keys import KeySpace
from aksops_sandbox.services.keyvault.keys import render as render_key
from aksops_sandbox.services.keyvault.secrets import Policy, SecretSpace
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

HOST = "kv-shop.vault.azure.net"


class Vault:
    """One vault's objects, as its data plane answers."""

    def __init__(self):
        self.secrets = SecretSpace({}, "kv-shop", Fernet.generate_key())
        self.certificates = CertificateSpace({}, "kv-shop", self.secrets)
        self.keys = KeySpace({}, "kv-shop", self.certificates)

    def certificate(self, content_type):
        policy = {"x509_props": {"subject": "CN=shop"}, "secret_props": {"contentType": content_type}}
        row = self.certificates.create("tls", {"policy": policy})
        version = self.secrets.get("tls")["version"]
        secret = {"value": version["value"], "contentType": content_type, "kid": "https://x/keys/tls/1"}
        return render(HOST, row, row["versions"][-1], Policy()), secret


@pytest.mark.parametrize("content_type", [PEM, PFX])
def test_a_certificate_as_secret_holds_key_and_certificate_and_splits_into_a_tls_secret(content_type):
    certificate, secret = Vault().certificate(content_type)
    file = vault_files.content(VaultObject(kind="secret"), secret)
    crt = vault_files.secret_value(vault_files.TLS, "tls.crt", file)
    key = vault_files.secret_value(vault_files.TLS, "tls.key", file)
    assert b"PRIVATE KEY" not in crt
    public = x509.load_pem_x509_certificate(crt).public_key()
    assert serialization.load_pem_private_key(key, None).public_key() == public
    assert vault_files.content(VaultObject(kind="cert"), certificate).strip() == crt.strip()
    assert vault_files.secret_value("Opaque", "tls.key", file) == file


def test_a_tls_secret_of_the_bare_certificate_has_no_key():
    certificate, _ = Vault().certificate(PEM)
    file = vault_files.content(VaultObject(kind="cert"), certificate)
    with pytest.raises(vault_files.ContentError, match="pkcs12: error reading P12 data"):
        vault_files.secret_value(vault_files.TLS, "tls.key", file)
    with pytest.raises(vault_files.ContentError, match=r"key 'cert' is not supported"):
        vault_files.secret_value(vault_files.TLS, "cert", file)


def test_an_archive_stays_one_where_the_class_asks_for_it():
    _, secret = Vault().certificate(PFX)
    assert vault_files.content(VaultObject(kind="secret", format="pfx"), secret) == secret["value"].encode()
    archive = vault_files.content(VaultObject(kind="secret", format="PFX", encoding="base64"), secret)
    assert archive == base64.b64decode(secret["value"])
    assert vault_files.secret_value(vault_files.TLS, "tls.key", archive).startswith(b"-----BEGIN RSA PRIVATE KEY")


@pytest.mark.parametrize(
    ("body", "kind"), [({"kty": "RSA"}, rsa.RSAPublicKey), ({"kty": "EC"}, ec.EllipticCurvePublicKey)]
)
def test_a_key_is_mounted_as_its_public_part(body, kind):
    vault = Vault()
    answer = render_key(HOST, vault.keys.create("sign", body), Policy())
    file = vault_files.content(VaultObject(kind="key"), answer)
    assert isinstance(serialization.load_pem_public_key(file), kind)


def test_a_certificates_key_is_that_of_the_certificate():
    vault = Vault()
    certificate, _ = vault.certificate(PEM)
    answer = render_key(HOST, vault.keys.get("tls"), Policy())
    assert answer["managed"]
    assert answer["key"]["kid"] == certificate["kid"]
    public = serialization.load_pem_public_key(vault_files.content(VaultObject(kind="key"), answer))
    assert public == x509.load_der_x509_certificate(base64.b64decode(certificate["cer"])).public_key()


def test_a_deleted_key_keeps_its_name_until_it_is_purged():
    vault = Vault()
    vault.keys.create("sign", {"kty": "EC", "crv": "P-384"})
    vault.keys.delete("sign", Policy())
    for refused, code in (
        (lambda: vault.keys.get("sign"), "KeyNotFound"),
        (lambda: vault.keys.create("sign", {}), "Conflict"),
    ):
        with pytest.raises(AzureError) as caught:
            refused()
        assert caught.value.code == code
    vault.keys.recover("sign")
    assert [found[0]["name"] for found in vault.keys.list()] == ["sign"]
    with pytest.raises(AzureError):
        vault.keys.create("other", {"kty": "oct"})


@pytest.mark.parametrize(
    ("value", "encoding", "expected"), [("cGw=", "base64", b"pl"), ("706c", "hex", b"pl"), ("pl", "", b"pl")]
)
def test_encodings(value, encoding, expected):
    assert vault_files.content(VaultObject(kind="secret", encoding=encoding), {"value": value}) == expected


@pytest.mark.parametrize("encoding", ["base64", "hex", "rot13"])
def test_a_value_that_is_not_in_its_encoding_is_refused(encoding):
    with pytest.raises(vault_files.ContentError):
        vault_files.content(VaultObject(kind="secret", encoding=encoding), {"value": "###"})
