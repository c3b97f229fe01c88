"""What AGIC makes of Ingress objects."""

from __future__ import annotations

import pytest
from aksops_sandbox.services.containerservice import gateway_config

GATEWAY = {
    "id": "/gw",
    "properties": {
        "frontendIPConfigurations": [
            {"name": "public", "id": "/gw/public", "properties": {"publicIPAddress": {"id": "/ip"}}},
            {"name": "private", "id": "/gw/private", "properties": {"privateIPAddress": "10.0.0.9"}},
        ]
    },
}


def ingress(annotations=None, rules=None, **spec):
    """An Ingress of AGIC's class for the service `web`."""
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    if rules is None:
        rules = [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    for rule in rules:
        for path in rule["http"]["paths"]:
            path.setdefault("backend", backend)
    prefix = "appgw.ingress.kubernetes.io/"
    metadata = {
        "name": "web",
        "namespace": "shop",
        "annotations": {f"{prefix}{key}": value for key, value in (annotations or {}).items()},
    }
    return {"metadata": metadata, "spec": {"ingressClassName": gateway_config.CLASS, "rules": rules, **spec}}


def build(*ingresses):
    service = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web", "resolved": 8080}]}}
    cluster = gateway_config.Cluster(list(ingresses), {("shop", "web"): service}, {("shop", "web"): ["10.244.0.7"]})
    return gateway_config.build(GATEWAY, cluster)


def names(collections, name):
    return [entry["name"] for entry in collections[name]]


def test_without_an_ingress_a_default_listener_and_rule_remain():
    collections = build()
    assert [entry["properties"]["port"] for entry in collections["frontendPorts"]] == [80]
    assert len(collections["httpListeners"]) == len(collections["requestRoutingRules"]) == 1
    assert names(collections, "backendAddressPools") == ["defaultaddresspool"]


def test_an_ingress_becomes_listener_pool_settings_probe_and_rule():
    options = {
        "health-probe-path": "/healthz",
        "health-probe-status-codes": "200-299",
        "request-timeout": "20",
        "connection-draining": "true",
        "connection-draining-timeout": "60",
    }
    collections = build(ingress(options))
    (listener,) = collections["httpListeners"]
    assert listener["properties"]["hostNames"] == ["a.example"]
    assert listener["properties"]["frontendIPConfiguration"] == {"id": "/gw/public"}
    pool = collections["backendAddressPools"][1]
    assert pool["name"] == "pool-shop-web-80-bp-8080"
    assert pool["properties"]["backendAddresses"] == [{"ipAddress": "10.244.0.7"}]
    settings = collections["backendHttpSettingsCollection"][1]["properties"]
    assert settings["port"] == 8080
    assert settings["requestTimeout"] == 20
    assert settings["connectionDraining"] == {"enabled": True, "drainTimeoutInSec": 60}
    probe = collections["probes"][1]["properties"]
    assert (probe["path"], probe["match"]["statusCodes"]) == ("/healthz", ["200-299"])
    (rule,) = collections["requestRoutingRules"]
    assert rule["properties"]["ruleType"] == "Basic"
    assert rule["properties"]["priority"] == 19000


def test_a_certificate_makes_https_and_a_redirect():
    collections = build(ingress({"appgw-ssl-certificate": "shop", "ssl-redirect": "true"}))
    protocols = {entry["properties"]["protocol"]: entry for entry in collections["httpListeners"]}
    assert protocols["Https"]["properties"]["sslCertificate"] == {"id": "/gw/sslCertificates/shop"}
    (redirect,) = collections["redirectConfigurations"]
    assert redirect["properties"]["targetListener"]["id"].endswith(protocols["Https"]["name"])
    assert sorted(entry["properties"]["port"] for entry in collections["frontendPorts"]) == [80, 443]
    priorities = [entry["properties"]["priority"] for entry in collections["requestRoutingRules"]]
    assert len(set(priorities)) == 2


def test_further_paths_make_a_path_map():
    paths = [{"path": "/", "pathType": "Prefix"}, {"path": "/api", "pathType": "Prefix"}]
    collections = build(ingress({"waf-policy-for-path": "/waf"}, [{"host": "a.example", "http": {"paths": paths}}]))
    (path_map,) = collections["urlPathMaps"]
    (rule,) = path_map["properties"]["pathRules"]
    assert rule["properties"]["paths"] == ["/api", "/api/*"]
    assert rule["properties"]["firewallPolicy"] == {"id": "/waf"}
    assert path_map["properties"]["defaultBackendAddressPool"]["id"].endswith("/pool-shop-web-80-bp-8080")
    assert collections["httpListeners"][0]["properties"]["firewallPolicy"] == {"id": "/waf"}


def test_a_missing_service_gets_the_default_pool():
    backend = {"service": {"name": "gone", "port": {"number": 80}}}
    rules = [{"host": "b.example", "http": {"paths": [{"path": "/", "backend": backend}]}}]
    (rule,) = build(ingress(rules=rules))["requestRoutingRules"]
    assert rule["properties"]["backendAddressPool"]["id"].endswith("/defaultaddresspool")


def test_a_private_address_is_used_when_asked_for():
    (listener,) = build(ingress({"use-private-ip": "true"}))["httpListeners"]
    assert listener["properties"]["frontendIPConfiguration"] == {"id": "/gw/private"}


@pytest.mark.parametrize(
    ("spec", "annotations", "ours"),
    [
        ({"ingressClassName": "azure-application-gateway"}, {}, True),
        ({"ingressClassName": "nginx"}, {}, False),
        ({}, {"kubernetes.io/ingress.class": "azure/application-gateway"}, True),
        ({}, {}, False),
    ],
)
def test_only_its_own_class_is_agics(spec, annotations, ours):
    assert gateway_config.is_ours({"metadata": {"annotations": annotations}, "spec": spec}) is ours


def complaints(*ingresses, installed=(), secrets=None):
    gateway = {**GATEWAY, "properties": {"sslCertificates": [{"name": name} for name in installed]}}
    return gateway_config.complaints(gateway, gateway_config.Cluster(list(ingresses), certificates=secrets or {}))


def test_an_ingress_whose_certificate_the_gateway_lacks_is_ignored_by_name():
    found = complaints(ingress({"appgw-ssl-certificate": "shop"}), installed=["other"])
    assert [(item.reason, item.ignored) for item in found] == [("NoPreInstalledSslCertificate", True)]
    assert "pre-installed ssl certificate 'shop'" in found[0].message
    assert not complaints(ingress({"appgw-ssl-certificate": "shop"}), installed=["shop"])


def test_a_redirect_without_a_certificate_is_ignored_by_name():
    assert [item.reason for item in complaints(ingress({"ssl-redirect": "true"}))] == ["RedirectWithNoTLS"]


def test_a_tls_secret_that_is_missing_is_named_and_http_remains():
    found = complaints(ingress(tls=[{"secretName": "shop-tls"}]))
    assert [(item.reason, item.ignored) for item in found] == [("SecretNotFound", False)]
    listener = build(ingress(tls=[{"secretName": "shop-tls"}]))["httpListeners"][0]["properties"]
    assert listener["protocol"] == "Http"


def test_a_tls_secret_becomes_a_certificate_of_the_gateway_and_those_of_others_stay():
    item = ingress({"ssl-redirect": "true"}, tls=[{"secretName": "shop-tls", "hosts": ["a.example"]}])
    cluster = gateway_config.Cluster([item], certificates={("shop", "shop-tls"): "UEZY"})
    held = [{"name": "vault", "properties": {}}, {"name": "cert-shop-old", "properties": {}}]
    gateway = {**GATEWAY, "properties": {**GATEWAY["properties"], "sslCertificates": held}}
    collections = gateway_config.build(gateway, cluster)
    assert names(collections, "sslCertificates") == ["vault", "cert-shop-shop-tls"]
    protocols = {entry["properties"]["protocol"] for entry in collections["httpListeners"]}
    assert protocols == {"Http", "Https"}
    assert len(collections["redirectConfigurations"]) == 1
