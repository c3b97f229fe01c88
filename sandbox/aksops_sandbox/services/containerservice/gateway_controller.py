"""AGIC, played: Ingress objects of its class become the configuration of the application gateway, by ARM.

It asks management.azure.com with the add-on identity's token, so what that identity may do decides, as on Azure.
Like the add-on, it writes when something in the cluster changed and does not undo what others write to the gateway.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from aksops_sandbox.engines.kubernetes import Client, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path
from aksops_sandbox.http.message import Request, Response

from . import addons, gateway_cluster, gateway_config
from .events import warn
from .gateway_annotations import Annotations
from .gateway_cluster import Cluster, Complaint, Key
from .gateway_complaints import complaints

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

ADDON = "ingressApplicationGateway"
VERSION = "1.9.4"
_API = "2025-01-01"
_REWRITES = "appgw.ingress.azure.io/v1beta1"
_ARM = "https://management.azure.com"
_JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
_ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action"
_EVERY = 2.0
_AFTER_FAILURE = 10.0
# What ARM adds, and what it takes and never shows.
_VOLATILE = {"etag", "type", "id", "provisioningState", "httpListeners", "data", "password"}


class GatewayError(Exception):
    """ARM refused; the message is its own."""


class GatewayController:
    """The player of one cluster: one thread that looks at Ingress objects every two seconds while the add-on is on."""

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        self._ctx = ctx
        self._cluster_id = cluster_id
        self._client = client
        self._ended = threading.Event()
        self._applied = ""
        self._again = math.inf
        self._uploaded = "[]"
        self._bundles: dict[tuple[str, str], tuple[str, str]] = {}
        self._thread = threading.Thread(target=self._run, name="application gateway controller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        pause = _EVERY
        while not self._ended.wait(pause):
            pause = _EVERY
            try:
                self._sync()
            except (OSError, KubernetesError):
                continue
            except GatewayError as error:
                pause = _AFTER_FAILURE
                self._complain(str(error))
            except Exception:  # the player must outlive any single Ingress
                traceback.print_exc()
                pause = _AFTER_FAILURE

    def _sync(self) -> None:
        cluster = self._ctx.store.get(self._cluster_id)
        profile = addons.profile_of(cluster, ADDON) if cluster else {}
        gateway_id = (profile.get("config") or {}).get("effectiveApplicationGatewayId")
        if not (profile.get("enabled") and profile.get("identity") and gateway_id):
            self._applied = ""
            return
        wanted = self._read_cluster()
        digest = hashlib.sha256(f"{gateway_id} {wanted!r}".encode()).hexdigest()
        if digest == self._applied and time.monotonic() < self._again:
            return
        identity = profile["identity"]
        gateway = self._ask(identity, "GET", gateway_id)
        ignored = complaints(gateway, wanted)
        left_out = [complaint.ingress for complaint in ignored]
        wanted.ingresses = [ingress for ingress in wanted.ingresses if ingress not in left_out]
        collections, events = gateway_config.build(gateway, wanted)
        for complaint in [*ignored, *events]:
            self._complain_of(complaint)
        for complaint in ignored:
            self._complain(complaint.message, complaint.reason)
        uploaded = repr(sorted(wanted.certificates.items()))
        if self._differs(gateway["properties"], collections) or uploaded != self._uploaded:
            self._check_links(identity, gateway)
            gateway["properties"] |= collections
            for entry in gateway["properties"]["frontendIPConfigurations"]:
                entry["properties"].pop("httpListeners", None)  # read-only: SDKs do not send it
            gateway["tags"] = {
                **(gateway.get("tags") or {}),
                "managed-by-k8s-ingress": VERSION,
                "ingress-for-aks-cluster-id": self._cluster_id,
                "last-updated-by-k8s-ingress": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC"),
            }
            self._ask(identity, "PUT", gateway_id, gateway)
        self._publish(gateway, wanted.ingresses)
        self._uploaded = uploaded
        self._applied = digest
        # What an ignored Ingress waits for comes to the gateway, not to the cluster.
        self._again = time.monotonic() + _AFTER_FAILURE if ignored else math.inf

    def _read_cluster(self) -> Cluster:
        ingresses = [
            _plain(item)
            for item in self._client.list("/apis/networking.k8s.io/v1/ingresses")
            if gateway_cluster.is_ours(item) and not item["metadata"].get("deletionTimestamp")
        ]
        found = Cluster(sorted(ingresses, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"])))
        for ingress in ingresses:
            namespace = ingress["metadata"]["namespace"]
            for entry in ingress["spec"].get("tls") or []:
                if entry.get("secretName"):
                    self._read_certificate(found, namespace, entry["secretName"])
            named = [backend["service"] for backend in gateway_cluster.backends(ingress) if "service" in backend]
            for key in {(namespace, service["name"]) for service in named} - set(found.services):
                self._read_service(found, key)
            rewrite = Annotations(ingress).text("rewrite-rule-set-custom-resource")
            if rewrite:
                item = self._client.get(path(_REWRITES, "azureapplicationgatewayrewrites", namespace, rewrite))
                found.rewrites |= {(namespace, rewrite): {"spec": item.get("spec") or {}}} if item else {}
        return found

    def _read_certificate(self, found: Cluster, namespace: str, name: str) -> None:
        """The PFX of a TLS Secret; none where there is no such Secret or its content is no key and certificate."""
        data = (self._client.get(path("v1", "secrets", namespace, name)) or {}).get("data") or {}
        try:
            key = serialization.load_pem_private_key(base64.b64decode(data["tls.key"]), None)
            chain = x509.load_pem_x509_certificates(base64.b64decode(data["tls.crt"]))
        except (KeyError, ValueError, TypeError):
            return
        # The bytes of a PFX differ each time, so the digest that decides is the Secret's own.
        digest = hashlib.sha256(f"{data['tls.key']} {data['tls.crt']}".encode()).hexdigest()
        if self._bundles.get((namespace, name), ("",))[0] != digest:
            lock = serialization.BestAvailableEncryption(gateway_config.PASSWORD.encode())
            bundle = pkcs12.serialize_key_and_certificates(name.encode(), key, chain[0], chain[1:], lock)  # type: ignore[arg-type]
            self._bundles[namespace, name] = (digest, base64.b64encode(bundle).decode())
        found.certificates[namespace, name] = self._bundles[namespace, name][1]

    def _read_service(self, found: Cluster, key: Key) -> None:
        namespace, name = key
        service = self._client.get(path("v1", "services", namespace, name))
        if service is None:
            return
        spec = service["spec"]
        found.services[key] = {"spec": {"ports": spec.get("ports") or []}}
        endpoints = self._client.get(path("v1", "endpoints", namespace, name))
        if endpoints is not None:
            found.endpoints[key] = [_addresses(subset) for subset in endpoints.get("subsets") or []]
        if spec.get("selector"):
            selector = ",".join(f"{label}={value}" for label, value in sorted(spec["selector"].items()))
            for pod in self._client.list(path("v1", "pods", namespace), labelSelector=selector, limit="1"):
                found.probed[key] = {"spec": {"containers": [_probed(item) for item in pod["spec"]["containers"]]}}

    @staticmethod
    def _differs(properties: dict[str, Any], collections: dict[str, list[dict[str, Any]]]) -> bool:
        return any(_bare(properties.get(name) or []) != _bare(entries) for name, entries in collections.items())

    def _ask(self, identity: dict[str, str], method: str, resource_id: str, body: Any = None) -> dict[str, Any]:
        ctx = self._ctx
        token = ctx.tokens.issue(identity["objectId"], ctx.principals.tenant_id, _ARM, identity["clientId"])
        request = Request(
            method=method,
            host="management.azure.com",
            port=443,
            path=resource_id,
            query={"api-version": _API},
            headers={"authorization": f"Bearer {token}", "user-agent": f"ingress-azure/{VERSION}"},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        assert ctx.router is not None
        answer: Response = ctx.router.handle(request)
        content = json.loads(answer.body or b"{}")
        if answer.status >= 400:
            error = content.get("error") or {}
            raise GatewayError(
                f'Code="{error.get("code", answer.status)}" Message="{error.get("message", "")}" '
                f"({method} {resource_id}, status {answer.status})"
            )
        return content

    def _check_links(self, identity: dict[str, str], gateway: dict[str, Any]) -> None:
        """What Azure checks of a writer beyond the gateway itself: its subnet and its identities."""
        oid, allowed = identity["objectId"], self._ctx.rbac.allowed
        for entry in gateway["properties"]["gatewayIPConfigurations"]:
            subnet = entry["properties"]["subnet"]["id"]
            if not allowed(oid, _JOIN, subnet):
                raise GatewayError(
                    f'Code="ApplicationGatewayInsufficientPermissionOnSubnet" Message="Client with object id {oid} '
                    f"does not have permission on the Virtual Network resource {subnet} to perform action {_JOIN}. For "
                    'details on permissions, visit aka.ms/agsubnetjoin."'
                )
        for assigned in (gateway.get("identity") or {}).get("userAssignedIdentities") or {}:
            if not allowed(oid, _ASSIGN, assigned):
                raise GatewayError(
                    f'Code="LinkedAuthorizationFailed" Message="The client with object id \'{oid}\' has permission to '
                    "perform action 'Microsoft.Network/applicationGateways/write' on scope "
                    f"'{gateway['id']}'; however, it does not have permission to perform action(s) "
                    "'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) "
                    f"'{assigned}'.\""
                )

    def _publish(self, gateway: dict[str, Any], ingresses: list[dict[str, Any]]) -> None:
        """Write the gateway's address into the status of each Ingress."""
        for ingress in ingresses:
            metadata = ingress["metadata"]
            address = self._address(gateway, Annotations(ingress).flag("use-private-ip"))
            if address:
                target = path("networking.k8s.io/v1", "ingresses", metadata["namespace"], metadata["name"])
                change = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
                self._client.merge(f"{target}/status", change)

    def _address(self, gateway: dict[str, Any], private: bool) -> str:
        for entry in gateway["properties"]["frontendIPConfigurations"]:
            properties = entry["properties"]
            public = (properties.get("publicIPAddress") or {}).get("id")
            if private and not public:
                return str(properties.get("privateIPAddress") or "")
            if public and not private:
                found = self._ctx.store.get(public)
                return str(found.properties.get("ipAddress") or "") if found else ""
        return ""

    def _complain_of(self, complaint: Complaint) -> None:
        """An Event on the Ingress."""
        source = "azure/application-gateway"
        warn(self._client, {**complaint.ingress, "kind": "Ingress"}, complaint.reason, complaint.message, source)

    def _complain(self, message: str, reason: str = "FailedApplyingAppGwConfig") -> None:
        """An Event on AGIC's pod, as AGIC writes it."""
        pods = self._client.list(path("v1", "pods", "kube-system"), labelSelector="app=ingress-appgw")
        for pod in pods[:1]:
            warn(self._client, pod, reason, message, "azure/application-gateway")


def _plain(ingress: dict[str, Any]) -> dict[str, Any]:
    """An Ingress without what changes by itself."""
    metadata = ingress["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "annotations") if key in metadata}
    return {"metadata": kept, "spec": ingress["spec"]}


def _addresses(subset: dict[str, Any]) -> dict[str, Any]:
    """A subset of Endpoints without what changes by itself."""
    kept = {name: subset[name] for name in ("ports",) if name in subset}
    for name in ("addresses", "notReadyAddresses"):
        kept[name] = sorted(({"ip": item["ip"]} for item in subset.get(name) or []), key=lambda item: item["ip"])
    return kept


def _probed(container: dict[str, Any]) -> dict[str, Any]:
    """What of a container counts for the gateway's probe."""
    return {name: container[name] for name in ("ports", "readinessProbe", "livenessProbe") if name in container}


def _bare(entries: list[dict[str, Any]]) -> list[Any]:
    """Entries of a collection, comparable: without what ARM adds to them, by name."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"id"}:
                return str(value["id"]).lower()
            return {key: clean(item) for key, item in sorted(value.items()) if key not in _VOLATILE}
        if isinstance(value, list):
            return [clean(item) for item in value]
        return value

    return sorted((clean(entry) for entry in entries), key=lambda item: item["name"])
