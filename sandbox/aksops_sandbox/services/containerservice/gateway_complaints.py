"""Ingress objects that AGIC leaves out of the gateway, and its words for each."""

from __future__ import annotations

from collections.abc import Iterator

from .gateway_annotations import PREFIX, Annotations
from .gateway_cluster import Cluster, Complaint, Manifest, backends


def complaints(gateway: Manifest, cluster: Cluster) -> list[Complaint]:
    """The Ingress objects that this gateway cannot serve, each with the first reason."""
    return [
        Complaint(ingress, *first) for ingress in cluster.ingresses if (first := next(_reasons(gateway, ingress), None))
    ]


def _reasons(gateway: Manifest, ingress: Manifest) -> Iterator[tuple[str, str]]:
    metadata, options = ingress["metadata"], Annotations(ingress)
    properties, name = gateway["properties"], gateway["id"].rsplit("/", 1)[-1]
    ignoring = f"ignoring Ingress {metadata['namespace']}/{metadata['name']} as it"

    def lacks(collection: str, kind: str, wanted: str) -> str | None:
        if wanted in {entry["name"] for entry in properties.get(collection) or []}:
            return None
        return f"{ignoring} requires Application Gateway {name} to have pre-installed {kind} '{wanted}'"

    if any("service" not in backend for backend in backends(ingress)):
        yield "InvalidAppGwConfig", f"{ignoring} has a backend that is not a Service"
    private = options.flag("use-private-ip")
    frontends = {bool(entry["properties"].get("publicIPAddress")) for entry in properties["frontendIPConfigurations"]}
    if private and False not in frontends:
        cure = f"Either add a private IP to Application Gateway or remvove '{PREFIX}use-private-ip' from the ingress."
        yield "NoPrivateIP", f"{ignoring} requires Application Gateway '{name}' to have a private IP address. {cure}"
    if not private and True not in frontends:
        cure = (
            f"Either add a public IP to Application Gateway or annotate ingress with '{PREFIX}use-private-ip: true' to "
            "attach Ingress to private IP."
        )
        yield "NoPublicIP", f"{ignoring} requires Application Gateway '{name}' to have a public IP address. {cure}"
    certificate = options.text("appgw-ssl-certificate")
    if options.flag("ssl-redirect") and not certificate and not ingress["spec"].get("tls"):
        text = (
            f"{ignoring} has an invalid spec. It is annotated with ssl-redirect: true but is missing a TLS secret or "
            f"'{PREFIX}appgw-ssl-certificate' annotation. Please add a TLS secret/annotation or remove ssl-redirect "
            "annotation"
        )
        yield "RedirectWithNoTLS", text
    if certificate is not None and (missing := lacks("sslCertificates", "ssl certificate", certificate)):
        yield "NoPreInstalledSslCertificate", missing
    profile = options.text("appgw-ssl-profile")
    if profile is not None and (missing := lacks("sslProfiles", "ssl profile", profile)):
        yield "NoPreInstalledSslProfile", missing
    for root in (options.text("appgw-trusted-root-certificate") or "").split(","):
        if root and (missing := lacks("trustedRootCertificates", "root certificate", root)):
            yield "NoPreInstalledRootCertificate", missing
