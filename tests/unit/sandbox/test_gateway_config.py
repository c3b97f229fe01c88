"""What AGIC makes of Ingress objects."""

from __future__ import annotations

import hashlib

import pytest
from aksops_sandbox.services.containerservice import gateway_complaints, gateway_config
from aksops_sandbox.services.containerservice.gateway_cluster import CLASS, Cluster, Listener, is_ours, limited

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
    return {"metadata": metadata, "spec": {"ingressClassName": CLASS, "rules": rules, **spec}}


SERVICE = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}}
SUBSET = {"ports": [{"name": "http", "port": 8080}], "addresses": [{"ip": "10.244.0.7"}]}


def cluster_of(*ingresses, **more):
    """A cluster with the service `web`, which one pod serves."""
    return Cluster(
        list(ingresses), **{"services": {("shop", "web"): SERVICE}, "endpoints": {("shop", "web"): [SUBSET]}, **more}
    )


def build(*ingresses, gateway=GATEWAY, **more):
    return gateway_config.build(gateway, cluster_of(*ingresses, **more))[0]


def events(*ingresses, **more):
    return [(item.reason, item.message) for item in gateway_config.build(GATEWAY, cluster_of(*ingresses, **more))[1]]


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
    (pool,) = collections["backendAddressPools"]
    assert pool["name"] == "pool-shop-web-http-bp-8080"
    assert pool["properties"]["backendAddresses"] == [{"ipAddress": "10.244.0.7"}]
    assert names(collections, "backendHttpSettingsCollection") == ["bp-shop-web-http-8080-web"]
    settings = collections["backendHttpSettingsCollection"][0]["properties"]
    assert settings["port"] == 8080
    assert settings["requestTimeout"] == 20
    assert settings["connectionDraining"] == {"enabled": True, "drainTimeoutInSec": 60}
    assert names(collections, "probes") == ["pb-shop-web-http-web"]
    probe = collections["probes"][0]["properties"]
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
    assert rule["name"] == "pr-shop-web-rule-0-path-1"
    assert rule["properties"]["paths"] == ["/api*"]
    assert rule["properties"]["firewallPolicy"] == {"id": "/waf"}
    assert path_map["properties"]["defaultBackendAddressPool"]["id"].endswith("/pool-shop-web-http-bp-8080")
    assert collections["httpListeners"][0]["properties"]["firewallPolicy"] == {"id": "/waf"}


def test_a_missing_service_gets_the_default_pool():
    backend = {"service": {"name": "gone", "port": {"number": 80}}}
    rules = [{"host": "b.example", "http": {"paths": [{"path": "/", "backend": backend}]}}]
    item = ingress(rules=rules)
    (rule,) = build(item)["requestRoutingRules"]
    assert rule["properties"]["backendAddressPool"]["id"].endswith("/defaultaddresspool")
    assert [reason for reason, _ in events(item)] == ["PortResolutionError", "EndpointsEmpty"]


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
    assert is_ours({"metadata": {"annotations": annotations}, "spec": spec}) is ours


def complaints(*ingresses, installed=(), frontends=None):
    held = [{"name": name} for name in installed]
    shown = GATEWAY["properties"]["frontendIPConfigurations"] if frontends is None else frontends
    gateway = {**GATEWAY, "properties": {"sslCertificates": held, "frontendIPConfigurations": shown}}
    return gateway_complaints.complaints(gateway, Cluster(list(ingresses)))


def test_an_ingress_whose_certificate_the_gateway_lacks_is_ignored_by_name():
    found = complaints(ingress({"appgw-ssl-certificate": "shop"}), installed=["other"])
    assert [item.reason for item in found] == ["NoPreInstalledSslCertificate"]
    assert "pre-installed ssl certificate 'shop'" in found[0].message
    assert not complaints(ingress({"appgw-ssl-certificate": "shop"}), installed=["shop"])


def test_a_redirect_without_a_certificate_is_ignored_by_name():
    assert [item.reason for item in complaints(ingress({"ssl-redirect": "true"}))] == ["RedirectWithNoTLS"]


@pytest.mark.parametrize(("private", "reason"), [("true", "NoPrivateIP"), ("false", "NoPublicIP")])
def test_an_ingress_for_an_address_that_the_gateway_lacks_is_ignored_by_name(private, reason):
    other = GATEWAY["properties"]["frontendIPConfigurations"][0 if private == "true" else 1]
    found = complaints(ingress({"use-private-ip": private}), frontends=[other])
    assert [item.reason for item in found] == [reason]


def test_a_root_certificate_and_a_profile_must_be_there():
    found = complaints(ingress({"appgw-trusted-root-certificate": "inner"}), ingress({"appgw-ssl-profile": "strict"}))
    assert [item.reason for item in found] == ["NoPreInstalledRootCertificate", "NoPreInstalledSslProfile"]


def test_a_backend_that_is_no_service_is_ignored_and_harms_nobody_else():
    resource = {"resource": {"apiGroup": "x", "kind": "Bucket", "name": "b"}}
    bad = ingress(rules=[{"http": {"paths": [{"path": "/", "backend": resource}]}}])
    assert [item.reason for item in complaints(bad, ingress())] == ["InvalidAppGwConfig"]


def test_a_tls_secret_that_is_missing_is_named_and_http_remains():
    item = ingress(tls=[{"secretName": "shop-tls"}])
    assert [reason for reason, _ in events(item)] == ["SecretNotFound"]
    listener = build(item)["httpListeners"][0]["properties"]
    assert listener["protocol"] == "Http"


def test_a_tls_secret_becomes_a_certificate_of_the_gateway_and_all_others_stay():
    item = ingress({"ssl-redirect": "true"}, tls=[{"secretName": "shop-tls", "hosts": ["a.example"]}])
    held = [{"name": "vault", "properties": {}}, {"name": "cert-shop-old", "properties": {}}]
    gateway = {**GATEWAY, "properties": {**GATEWAY["properties"], "sslCertificates": held}}
    collections = build(item, gateway=gateway, certificates={("shop", "shop-tls"): "UEZY"})
    assert names(collections, "sslCertificates") == ["cert-shop-old", "cert-shop-shop-tls", "vault"]
    protocols = {entry["properties"]["protocol"] for entry in collections["httpListeners"]}
    assert protocols == {"Http", "Https"}
    assert len(collections["redirectConfigurations"]) == 1


def named(name, annotations=None, *, path="/", host="a.example", **backend):
    """An Ingress with one path."""
    service = {"service": {"name": "web", "port": {"number": 80}, **backend}}
    rules = [{"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": service}]}}]
    found = ingress(annotations, rules)
    found["metadata"]["name"] = name
    return found


def test_ingresses_of_one_host_share_a_listener_and_each_has_its_paths():
    collections = build(named("root"), named("api", path="/api"), named("again", path="/api"))
    (listener,) = collections["httpListeners"]
    (rule,) = collections["requestRoutingRules"]
    assert rule["properties"]["ruleType"] == "PathBasedRouting"
    (path_map,) = collections["urlPathMaps"]
    assert path_map["properties"]["defaultBackendHttpSettings"]["id"].endswith("/bp-shop-web-80-8080-root")
    assert [item["name"] for item in path_map["properties"]["pathRules"]] == ["pr-shop-api-rule-0-path-0"]
    assert {listener["name"][3:], rule["name"][3:], path_map["name"][4:]} == {listener["name"][3:]}


def test_names_are_those_that_agic_computes():
    # What Go's json.Marshal makes of AGIC's listenerIdentifier.
    form = '{"FrontendPort":80,"HostNames":["a.example","","","",""],"FrontendType":"Public"}'
    assert Listener(80, ("a.example",)).digest == hashlib.md5(form.encode(), usedforsecurity=False).hexdigest()
    assert len(limited("x" * 200)) == 80


def test_an_ingress_redirects_every_path_of_http():
    paths = [{"path": "/", "pathType": "Prefix"}, {"path": "/api", "pathType": "Exact"}]
    item = ingress(
        {"appgw-ssl-certificate": "shop", "ssl-redirect": "true"}, [{"host": "a.example", "http": {"paths": paths}}]
    )
    collections = build(item)
    assert len(collections["urlPathMaps"]) == 2
    plain = next(entry for entry in collections["urlPathMaps"] if "defaultRedirectConfiguration" in entry["properties"])
    assert "backendAddressPool" not in plain["properties"]["pathRules"][0]["properties"]
    assert plain["properties"]["pathRules"][0]["properties"]["paths"] == ["/api"]


@pytest.mark.parametrize(
    ("name", "value", "field", "wanted"),
    [
        ("backend-path-prefix", "/v2/", "path", "/v2/"),
        ("backend-hostname", "inner.example", "hostName", "inner.example"),
        ("backend-protocol", "HTTPS", "protocol", "Https"),
        ("cookie-based-affinity", "true", "cookieBasedAffinity", "Enabled"),
        ("request-timeout", "7", "requestTimeout", 7),
    ],
)
def test_annotations_become_settings(name, value, field, wanted):
    (settings,) = build(ingress({name: value}))["backendHttpSettingsCollection"]
    assert settings["properties"][field] == wanted


@pytest.mark.parametrize(
    "name", ["request-timeout", "connection-draining", "cookie-based-affinity", "backend-protocol"]
)
def test_a_value_that_cannot_be_parsed_is_named_and_the_default_counts(name):
    item = ingress({name: "often"})
    assert [reason for reason, _ in events(item)] == ["InvalidAnnotation"]
    assert f"{name} does not contain a valid value (often)" in events(item)[0][1]
    assert build(item)["backendHttpSettingsCollection"] == build(ingress())["backendHttpSettingsCollection"]


def test_a_trusted_root_takes_the_host_name_from_the_backend_unless_one_is_given():
    options = {"backend-protocol": "https", "appgw-trusted-root-certificate": "inner,outer"}
    (settings,) = build(ingress(options))["backendHttpSettingsCollection"]
    assert settings["properties"]["pickHostNameFromBackendAddress"]
    assert settings["properties"]["trustedRootCertificates"] == [
        {"id": "/gw/trustedRootCertificates/inner"},
        {"id": "/gw/trustedRootCertificates/outer"},
    ]


def test_port_hosts_priority_and_rewrites_are_taken_from_annotations():
    options = {
        "override-frontend-port": "8443",
        "hostname-extension": "b.example, *.c.example",
        "rule-priority": "7",
        "rewrite-rule-set-custom-resource": "headers",
    }
    rewrite = {
        "spec": {
            "rewriteRules": [
                {
                    "name": "one",
                    "ruleSequence": 21,
                    "actions": {"requestHeaderConfigurations": [{"headerName": "a", "headerValue": "b"}]},
                }
            ]
        }
    }
    collections = build(ingress(options), rewrites={("shop", "headers"): rewrite})
    assert names(collections, "frontendPorts") == ["fp-8443"]
    assert collections["httpListeners"][0]["properties"]["hostNames"] == ["a.example", "b.example", "*.c.example"]
    (rule,) = collections["requestRoutingRules"]
    assert rule["properties"]["priority"] == 7
    assert rule["properties"]["rewriteRuleSet"] == {"id": "/gw/rewriteRuleSets/crd-shop-headers"}
    (made,) = collections["rewriteRuleSets"]
    assert made["properties"]["rewriteRules"][0]["actionSet"]["requestHeaderConfigurations"] == [
        {"headerName": "a", "headerValue": "b"}
    ]


def test_listeners_without_a_host_come_last():
    rules = build(named("any", host=""), named("one"), named("two", host="b.example"))["requestRoutingRules"]
    assert sorted(rule["properties"]["priority"] for rule in rules) == [19000, 19005, 19500]


def test_a_port_that_the_gateway_has_keeps_its_name():
    held = [{"name": "http", "properties": {"port": 80}}]
    gateway = {**GATEWAY, "properties": {**GATEWAY["properties"], "frontendPorts": held}}
    assert names(build(ingress(), gateway=gateway), "frontendPorts") == ["http"]


def test_the_pods_readiness_probe_is_the_gateways_unless_annotations_say_otherwise():
    probe = {"httpGet": {"path": "/ready", "port": "web", "scheme": "HTTP"}, "periodSeconds": 5, "timeoutSeconds": 2}
    container = {"ports": [{"name": "web", "containerPort": 8080}], "readinessProbe": {**probe, "failureThreshold": 30}}
    pod = {"spec": {"containers": [{"name": "sidecar"}, container]}}
    (found,) = build(ingress(), probed={("shop", "web"): pod})["probes"]
    wanted = {
        "path": "/ready",
        "port": 8080,
        "interval": 5,
        "timeout": 2,
        "unhealthyThreshold": 20,
        "host": "a.example",
    }
    assert found["properties"].items() >= wanted.items()
    (found,) = build(ingress({"health-probe-path": "/else"}), probed={("shop", "web"): pod})["probes"]
    assert (found["properties"]["path"], found["properties"]["port"]) == ("/else", 8080)


def test_pods_that_are_not_ready_stay_in_the_pool_for_the_gateways_probe_to_judge():
    subset = {**SUBSET, "notReadyAddresses": [{"ip": "10.244.0.2"}]}
    (pool,) = build(ingress(), endpoints={("shop", "web"): [subset]})["backendAddressPools"]
    assert [item["ipAddress"] for item in pool["properties"]["backendAddresses"]] == ["10.244.0.2", "10.244.0.7"]


def test_a_service_without_pods_leaves_the_rule_on_the_default_pool_with_its_own_settings():
    collections = build(named("web"), endpoints={("shop", "web"): []})
    assert names(collections, "backendAddressPools") == ["defaultaddresspool"]
    assert names(collections, "backendHttpSettingsCollection") == ["bp-shop-web-80-80-web"]


def test_a_default_backend_serves_what_no_path_takes():
    item = named("web", path="/api")
    item["spec"]["defaultBackend"] = {"service": {"name": "web", "port": {"number": 80}}}
    (path_map,) = build(item)["urlPathMaps"]
    assert path_map["properties"]["defaultBackendAddressPool"]["id"].endswith("/pool-shop-web-80-bp-8080")
