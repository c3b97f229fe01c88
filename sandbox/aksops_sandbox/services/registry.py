"""Microsoft.ContainerRegistry: registries, replications, image import; and reading and deleting at *.azurecr.io."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qs

from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.network.private_link import connections_of

REGISTRY = "Microsoft.ContainerRegistry/registries"
REPLICATION = f"{REGISTRY}/replications"
_TABLE = "registry-images"
_NAME = r"[A-Za-z0-9]{5,50}"
_CHILD = r"[A-Za-z0-9-]{5,50}"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
_IMAGE = re.compile(
    rf"(?P<repository>{_REPOSITORY})(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(@(?P<digest>{_DIGEST.pattern}))?"
)
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Registry(ResourceType):
    type = REGISTRY
    status = "containerregistry/2025-11-01/registries"
    name_pattern = _NAME

    def __init__(self) -> None:
        super().__init__(
            actions={
                "listCredentials": self._credentials,
                "regenerateCredential": self._regenerate,
                "importImage": self._import,
            }
        )

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        for other in ctx.store.list(type=REGISTRY):
            if other.name.lower() == new.name.lower() and other.id.lower() != new.id.lower():
                raise AzureError(
                    409, "AlreadyInUse", f"The registry DNS name {new.name.lower()}.azurecr.io is already in use."
                )
        properties = new.properties
        if old is not None:
            shapes.carry(new, old, *old.properties)
            new.body.setdefault("sku", old.body["sku"])
        name = shapes.choice(
            shapes.dig(new.body, "sku.name"), ("Basic", "Standard", "Premium"), "sku.name", "InvalidSku"
        )
        new.body["sku"] = {"name": name, "tier": name}
        if name == "Premium":
            shapes.fixed(new, old, "zoneRedundancy")
        shapes.defaults(
            properties,
            {
                "adminUserEnabled": False,
                "anonymousPullEnabled": False,
                "dataEndpointEnabled": False,
                "encryption": {"status": "disabled"},
                "networkRuleBypassOptions": "AzureServices",
                "networkRuleBypassAllowedForTasks": False,
                "publicNetworkAccess": "Enabled",
                "roleAssignmentMode": "LegacyRegistryPermissions",
                "zoneRedundancy": "Enabled" if name == "Premium" else "Disabled",
                "policies": {
                    "quarantinePolicy": {"status": "disabled"},
                    "trustPolicy": {"type": "Notary", "status": "disabled"},
                    "retentionPolicy": {"days": 7, "status": "disabled"},
                    "exportPolicy": {"status": "enabled"},
                    "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
                },
            },
        )
        self._premium_only(new, name)
        if name == "Premium":
            shapes.defaults(properties, {"networkRuleSet": {"defaultAction": "Allow", "ipRules": []}})
        properties["policies"]["retentionPolicy"].setdefault("lastUpdatedTime", shapes.now())
        shapes.computed(new, old, creationDate=shapes.now)
        properties["loginServer"] = f"{new.name.lower()}.azurecr.io"
        hosts = [f"{new.name.lower()}.{new.location}.data.azurecr.io"] if properties["dataEndpointEnabled"] else []
        properties["dataEndpointHostNames"] = hosts
        properties.pop("privateEndpointConnections", None)
        new.internal.setdefault("passwords", [shapes.access_key(36), shapes.access_key(36)])
        self._home(ctx, new, name)

    @staticmethod
    def _premium_only(new: Resource, sku: str) -> None:
        properties = new.properties
        if (
            properties["publicNetworkAccess"] == "Enabled"
            and properties["policies"]["exportPolicy"]["status"] == "disabled"
        ):
            message = "Disabling exports needs public network access to be disabled."
            raise bad_request("ExportPolicyConflict", message)
        if sku == "Premium":
            return
        used = {
            "publicNetworkAccess": properties["publicNetworkAccess"] == "Disabled",
            "dataEndpointEnabled": properties["dataEndpointEnabled"],
            "zoneRedundancy": properties["zoneRedundancy"] == "Enabled",
            "networkRuleSet": shapes.dig(properties, "networkRuleSet.defaultAction") == "Deny",
            "policies.retentionPolicy": properties["policies"]["retentionPolicy"]["status"] == "enabled",
            "encryption": properties["encryption"].get("status") == "enabled",
        }
        for name, wanted in used.items():
            if wanted:
                message = f"'{name}' is not supported for a registry of SKU {sku}; it needs Premium."
                raise bad_request("SkuNotSupported", message)

    @staticmethod
    def _home(ctx: Any, new: Resource, sku: str) -> None:
        """A Premium registry lists its own region among its replications."""
        home_id = f"{new.id}/replications/{new.location}"
        if sku == "Premium" and ctx.store.get(home_id) is None:
            properties = {
                "provisioningState": "Succeeded",
                "regionEndpointEnabled": True,
                "status": {"displayStatus": "Ready", "timestamp": shapes.now()},
                "zoneRedundancy": new.properties["zoneRedundancy"],
            }
            ctx.store.put(Resource(home_id, new.location or "", REPLICATION, new.location, {}, properties))

    def removed(self, ctx: Any, resource: Resource) -> None:
        ctx.store.table(_TABLE).pop(resource.id.lower(), None)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown

    @staticmethod
    def _credentials(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        if not resource.properties["adminUserEnabled"]:
            message = (
                f"Run 'az acr update -n {resource.name} --admin-enabled true' to enable admin first: it is disabled."
            )
            raise bad_request("UnAuthorizedForCredentialOperations", message)
        names = ("password", "password2")
        passwords = [
            {"name": name, "value": value} for name, value in zip(names, resource.internal["passwords"], strict=True)
        ]
        return {"username": resource.name, "passwords": passwords}

    def _regenerate(self, ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        which = shapes.choice(body.get("name"), ("password", "password2"), "name")
        resource.internal["passwords"][which == "password2"] = shapes.access_key(36)
        ctx.store.put(resource)
        return self._credentials(ctx, resource, body, request)

    @staticmethod
    def _import(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> Response:
        """Record what an import brings: repository, tags and digest. No layers are copied.

        What can be seen beforehand is refused at once, what only the copying finds out fails the operation.
        """
        source = body.get("source") or {}
        image = _IMAGE.fullmatch(str(source.get("sourceImage") or ""))
        if image is None or (image["tag"] and image["digest"]):
            message = f"Invalid value {source.get('sourceImage')} for property parameters.Source.SourceImage."
            raise bad_request("InvalidParameterValue", message)
        if not (image["tag"] or image["digest"]):
            message = f"The source image '{source.get('sourceImage')}' needs a tag or digest."
            raise bad_request("InvalidImportSource", message)
        if not source.get("registryUri") and not source.get("resourceId"):
            raise bad_request("InvalidImportSource", "The source needs a registryUri or a resourceId.")
        if source.get("resourceId"):
            ctx.rbac.require(request, f"{REGISTRY}/pull/read", source["resourceId"])
        force = shapes.choice(body.get("mode") or "NoForce", ("NoForce", "Force"), "mode") == "Force"
        targets = _targets(body, image)
        if not force:
            images = ctx.store.table(_TABLE).get(resource.id.lower(), {})
            for repository, tag in targets:
                if tag and tag in images.get(repository, {"tags": {}})["tags"]:
                    message = f"Tag {repository}:{tag} already exists in target registry."
                    raise AzureError(409, "Conflict", message)

        def copy() -> None:
            digest = _source_digest(ctx, source, image)
            with ctx.store.lock:
                table = ctx.store.table(_TABLE)
                images = json.loads(json.dumps(table.get(resource.id.lower(), {})))
                for name, tag in targets:
                    repository = images.setdefault(name, {"tags": {}, "manifests": {}})
                    repository["manifests"].setdefault(digest, {"time": shapes.now(), "source": _source_name(source)})
                    if tag:
                        repository["tags"][tag] = {"digest": digest, "time": shapes.now()}
                table[resource.id.lower()] = images

        subscription = ctx.subscription_of(resource.id)
        path = ctx.operations.start(subscription, "Microsoft.ContainerRegistry", resource.location, resource.id, copy)
        return Response.empty(202, ctx.operations.headers(path, request))


def _targets(body: dict[str, Any], image: re.Match[str]) -> list[tuple[str, str]]:
    """(repository, tag) of what an import writes; no tag for a copy of the manifest only."""
    tagged = body.get("targetTags") or []
    untagged = body.get("untaggedTargetRepositories") or []
    if not tagged and not untagged:
        return [(image["repository"], image["tag"] or "")]
    found = [(str(name), "") for name in untagged]
    for target in tagged:
        parsed = _IMAGE.fullmatch(target)
        if parsed is None or parsed["digest"]:
            raise bad_request("InvalidParameterValue", f"Invalid value {target} for property parameters.TargetTags.")
        found.append((parsed["repository"], parsed["tag"] or image["tag"] or "latest"))
    return found


def _source_name(source: dict[str, Any]) -> str:
    registry = source.get("registryUri") or source.get("resourceId", "").rsplit("/", 1)[-1] + ".azurecr.io"
    return f"{registry}/{source['sourceImage']}"


def _source_digest(ctx: Any, source: dict[str, Any], image: re.Match[str]) -> str:
    """The digest of the source image: the one that is named, the recorded one of a registry here, else a made-up one.

    The sandbox reaches no public registry: whatever is named there exists, and the digest of a bare tag is derived from
    the image's name. Names that RFC 2606 reserves exist nowhere.
    """
    here = None
    host = str(source.get("registryUri") or "").lower().split(":")[0]
    if source.get("resourceId"):
        here = ctx.store.get(source["resourceId"])
        if here is None:
            raise not_found(source["resourceId"])
    elif host.endswith(".azurecr.io"):
        here = _find(ctx, host.split(".")[0])
        if here is not None:
            _admit(here, source.get("credentials") or {})
    elif re.fullmatch(r"(.+\.)?(invalid|test|localhost|example(\.com|\.net|\.org)?)", host):
        message = f"Failed to import {_source_name(source)}: no such host {host}."
        raise bad_request("ImportSourceUnreachable", message)
    if here is not None:
        repository = (
            ctx.store.table(_TABLE).get(here.id.lower(), {}).get(image["repository"], {"tags": {}, "manifests": {}})
        )
        found = image["digest"] if image["digest"] in repository["manifests"] else None
        found = found or (repository["tags"].get(image["tag"]) or {}).get("digest")
        if found is None:
            raise AzureError(404, "ManifestUnknown", f"The source image '{source['sourceImage']}' does not exist.")
        return found
    return image["digest"] or "sha256:" + hashlib.sha256(_source_name(source).encode()).hexdigest()


def _admit(registry: Resource, credentials: dict[str, Any]) -> None:
    """Whether a registry here, named by its address, hands images to these credentials. Raises AzureError."""
    properties = registry.properties
    if properties["anonymousPullEnabled"]:
        return
    user, password = str(credentials.get("username") or ""), credentials.get("password")
    known = properties["adminUserEnabled"] and user.lower() == registry.name.lower()
    if not known or password not in registry.internal["passwords"]:
        raise AzureError(401, "UNAUTHORIZED", f"Access to {properties['loginServer']} denied.")


class Replication(ResourceType):
    type = REPLICATION
    status = "containerregistry/2025-11-01/replications"
    name_pattern = r"^[A-Za-z0-9]{5,50}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        registry = ctx.store.get(new.id.rsplit("/", 2)[0])
        if registry.body["sku"]["name"] != "Premium":
            raise bad_request("SkuNotSupported", "Replications need a registry of the Premium SKU.")
        if new.name.lower() != new.location:
            message = f"The name of a replication must be its location: '{new.name}' is not '{new.location}'."
            raise bad_request("InvalidReplicationName", message)
        shapes.defaults(new.properties, {"regionEndpointEnabled": True, "zoneRedundancy": "Enabled"})
        new.properties["status"] = {"displayStatus": "Ready", "timestamp": shapes.now()}

    def delete(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        registry = ctx.store.get(rid.parent)
        if registry is not None and registry.location == rid.name.lower():
            raise bad_request("CannotDeleteHomeReplication", "The replication of the registry's own region must stay.")
        return super().delete(ctx, request, rid)


def _find(ctx: Any, name: str) -> Resource | None:
    return next((item for item in ctx.store.list(type=REGISTRY) if item.name.lower() == name.lower()), None)


def _name_free(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST .../Microsoft.ContainerRegistry/checkNameAvailability."""
    ctx.rbac.require(request, "Microsoft.ContainerRegistry/checkNameAvailability/read", match["scope"])
    name = str(request.json().get("name"))
    if not re.fullmatch(_NAME, name):
        message = "The registry name must contain only alphanumeric characters and be between 5 and 50 in length."
        return Response.json(200, {"nameAvailable": False, "reason": "Invalid", "message": message})
    if _find(ctx, name) is not None:
        message = f"The registry {name} is already in use."
        return Response.json(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Response.json(200, {"nameAvailable": True})


def _usages(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {registry}/listUsages."""
    ctx.rbac.require(request, f"{REGISTRY}/listUsages/read", match["id"])
    ctx.require_resource(match["id"])
    rows = (("Size", 536870912000, 0, "Bytes"), ("Webhooks", 500, 0, "Count"))
    value = [{"name": name, "limit": limit, "currentValue": used, "unit": unit} for name, limit, used, unit in rows]
    return Response.json(200, {"value": value})


# Data plane ----------------------------------------------------------------------------------------------------------


class DataPlane:
    """*.azurecr.io: Entra or admin login, tags and manifests of what was imported, and deleting those."""

    def handle(self, ctx: Any, request: Request) -> Response:
        registry = _find(ctx, request.host.split(".")[0])
        try:
            if registry is None:
                raise AzureError(403, "NAME_UNKNOWN", f"There is no registry at '{request.host}'.")
            ctx.network.check(ctx, request, registry)
            if request.path.rstrip("/") in {"/oauth2/exchange", "/oauth2/token"}:
                return self._token(ctx, request, registry)
            self._authorize(ctx, request, registry)
            return self._read(ctx, request, registry)
        except AzureError as error:
            content = {"errors": [{"code": error.code.upper(), "message": error.message, "detail": None}]}
            return Response.json(error.status, content, error.headers)

    def _token(self, ctx: Any, request: Request, registry: Resource) -> Response:
        """Entra access token -> refresh token -> access token; or the admin user's password -> access token."""
        form = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()} | request.query
        service = registry.properties["loginServer"]
        if request.path.rstrip("/") == "/oauth2/exchange":
            claims = ctx.tokens.verify(form.get("access_token", ""), None)
            extra = {"grant_type": "refresh_token", "permissions": {"actions": ["read"]}}
            token = ctx.tokens.issue(claims["oid"], claims["tid"], service, claims.get("appid"), extra)
            return Response.json(200, {"refresh_token": token})
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            user, _, password = base64.b64decode(credential).decode().partition(":")
            if user == "00000000-0000-0000-0000-000000000000":
                return self._access(ctx, ctx.tokens.verify(password, [service]), service, form)
            if not registry.properties["adminUserEnabled"] or user.lower() != registry.name.lower():
                raise AzureError(401, "UNAUTHORIZED", "The admin user is disabled or the user name is unknown.")
            if password not in registry.internal["passwords"]:
                raise AzureError(401, "UNAUTHORIZED", "The user name or password is wrong.")
            token = ctx.tokens.issue("admin", ctx.tokens.tenant_id, service, None, {"admin": True})
            return Response.json(200, {"access_token": token})
        if form.get("grant_type") != "refresh_token":
            raise AzureError(401, "UNAUTHORIZED", "authentication required, visit https://aka.ms/acr/authorization.")
        return self._access(ctx, ctx.tokens.verify(form.get("refresh_token", ""), [service]), service, form)

    @staticmethod
    def _access(ctx: Any, claims: dict[str, Any], service: str, form: dict[str, str]) -> Response:
        extra = {"grant_type": "access_token", "scope": form.get("scope", "")}
        token = ctx.tokens.issue(claims["oid"], claims["tid"], service, claims.get("appid"), extra)
        return Response.json(200, {"access_token": token})

    @staticmethod
    def _authorize(ctx: Any, request: Request, registry: Resource) -> None:
        service = registry.properties["loginServer"]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        challenge = {"WWW-Authenticate": f'Bearer realm="https://{service}/oauth2/token",service="{service}"'}
        if scheme.lower() != "bearer":
            message = "authentication required, visit https://aka.ms/acr/authorization for more information."
            raise AzureError(401, "UNAUTHORIZED", message, challenge)
        try:
            claims = ctx.tokens.verify(token.strip(), [service])
        except AzureError as error:
            raise AzureError(401, "UNAUTHORIZED", error.message, challenge) from None
        if claims.get("admin") and registry.properties["adminUserEnabled"]:
            return
        request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
        right = "artifacts/delete" if request.method == "DELETE" else "pull/read"
        if not ctx.rbac.allowed(claims["oid"], f"{REGISTRY}/{right}", registry.id):
            raise AzureError(403, "DENIED", "requested access to the resource is denied")

    def _read(self, ctx: Any, request: Request, registry: Resource) -> Response:
        images = ctx.store.table(_TABLE).get(registry.id.lower(), {})
        path = request.path.rstrip("/")
        if request.method == "DELETE":
            return self._delete(ctx, request, registry)
        if request.method not in {"GET", "HEAD"}:
            raise AzureError(501, "UNSUPPORTED", f"The sandbox does not answer {request.method} {request.path}.")
        if path == "/v2":
            return Response.json(200, {})
        if path in {"/v2/_catalog", "/acr/v1/_catalog"}:
            return Response.json(200, {"repositories": sorted(images)})
        found = re.fullmatch(
            r"/(?P<api>v2|acr/v1)/(?P<name>.+?)/(?P<what>tags/list|_tags|_manifests|manifests|blobs)(/(?P<ref>.+))?",
            path,
        )
        if found is None:
            repository = re.fullmatch(r"/acr/v1/(?P<name>.+)", path)
            if repository and repository["name"] in images:
                return Response.json(200, self._attributes(registry, repository["name"], images[repository["name"]]))
            raise AzureError(501, "UNSUPPORTED", f"The sandbox does not answer {request.method} {request.path}.")
        repository = images.get(found["name"])
        if repository is None:
            raise AzureError(404, "NAME_UNKNOWN", f"repository '{found['name']}' is not found")
        if found["what"] == "tags/list":
            return Response.json(200, {"name": found["name"], "tags": sorted(repository["tags"])})
        if found["what"] == "manifests":
            return self._manifest(repository, found["name"], found["ref"] or "")
        if found["what"] in {"_tags", "_manifests"}:
            return self._listing(registry, repository, found["name"], found["what"], found["ref"])
        raise AzureError(404, "BLOB_UNKNOWN", "The sandbox keeps no layers.")

    @staticmethod
    def _delete(ctx: Any, request: Request, registry: Resource) -> Response:
        """DELETE /v2/{repository}/manifests/{digest}: the manifest and every tag of it."""
        found = re.fullmatch(rf"/v2/(?P<name>{_REPOSITORY})/manifests/(?P<digest>{_DIGEST.pattern})", request.path)
        if found is None:
            raise AzureError(501, "UNSUPPORTED", f"The sandbox does not answer DELETE {request.path}.")
        with ctx.store.lock:
            table = ctx.store.table(_TABLE)
            images = json.loads(json.dumps(table.get(registry.id.lower(), {})))
            repository = images.get(found["name"], {"tags": {}, "manifests": {}})
            if found["digest"] not in repository["manifests"]:
                raise AzureError(404, "MANIFEST_UNKNOWN", f"manifest {found['digest']} is not found")
            del repository["manifests"][found["digest"]]
            kept = {tag: entry for tag, entry in repository["tags"].items() if entry["digest"] != found["digest"]}
            repository["tags"] = kept
            if not repository["manifests"]:
                del images[found["name"]]
            table[registry.id.lower()] = images
        return Response.empty(202)

    @staticmethod
    def _attributes(registry: Resource, name: str, repository: dict[str, Any]) -> dict[str, Any]:
        return {
            "registry": registry.properties["loginServer"],
            "imageName": name,
            "manifestCount": len(repository["manifests"]),
            "tagCount": len(repository["tags"]),
        }

    @staticmethod
    def _manifest(repository: dict[str, Any], name: str, reference: str) -> Response:
        """A manifest that names where the image came from; its layers are not here."""
        digest = (
            reference
            if reference in repository["manifests"]
            else (repository["tags"].get(reference) or {}).get("digest")
        )
        if digest is None:
            raise AzureError(404, "MANIFEST_UNKNOWN", f"manifest {reference} is not found in {name}")
        content = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2},
            "layers": [],
            "annotations": {"org.opencontainers.image.source": repository["manifests"][digest]["source"]},
        }
        headers = {"Content-Type": _MANIFEST_TYPE, "Docker-Content-Digest": digest}
        return Response(200, headers, json.dumps(content).encode())

    @staticmethod
    def _listing(
        registry: Resource, repository: dict[str, Any], name: str, what: str, reference: str | None
    ) -> Response:
        server = registry.properties["loginServer"]
        flags = {"deleteEnabled": True, "writeEnabled": True, "readEnabled": True, "listEnabled": True}
        if what == "_tags":
            items = [
                {
                    "name": tag,
                    "digest": entry["digest"],
                    "createdTime": entry["time"],
                    "lastUpdateTime": entry["time"],
                    "signed": False,
                    "changeableAttributes": flags,
                }
                for tag, entry in sorted(repository["tags"].items())
            ]
            key, one = "name", "tag"
        else:
            items = [
                {
                    "digest": digest,
                    "createdTime": entry["time"],
                    "lastUpdateTime": entry["time"],
                    "mediaType": _MANIFEST_TYPE,
                    "tags": sorted(tag for tag, value in repository["tags"].items() if value["digest"] == digest),
                    "changeableAttributes": flags,
                }
                for digest, entry in repository["manifests"].items()
            ]
            key, one = "digest", "manifest"
        head = {"registry": server, "imageName": name}
        if reference is None:
            return Response.json(200, {**head, f"{one}s": items})
        for item in items:
            if item[key] == reference:
                return Response.json(200, {**head, one: item})
        raise AzureError(404, f"{one}_UNKNOWN", f"{one} {reference} is not found in {name}")


class RegistryService(Service):
    """Control plane of container registries, and of their data plane what reads and deletes."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [
            Registry(),
            Replication(),
            ResourceType(
                f"{REGISTRY}/cacheRules", "containerregistry/2023-07-01/cacherules", tracked=False, name_pattern=_CHILD
            ),
            ResourceType(
                f"{REGISTRY}/credentialSets",
                "containerregistry/2023-07-01/credentialsets",
                tracked=False,
                name_pattern=_CHILD,
            ),
            ResourceType(
                f"{REGISTRY}/scopeMaps",
                "containerregistry/2025-11-01/scopemaps",
                tracked=False,
                name_pattern=r"[A-Za-z0-9_-]{5,50}",
            ),
        ]
        subscription = r"(?P<scope>/subscriptions/[^/]+)/providers/Microsoft\.ContainerRegistry"
        self.arm_routes = [
            ("POST", rf"{subscription}/checkNameAvailability", _name_free),
            ("GET", r"(?P<id>/.+/Microsoft\.ContainerRegistry/registries/[^/]+)/listUsages", _usages),
        ]
        self.hosts = [(r"[a-z0-9]{5,50}(\.[a-z]+\.data)?\.azurecr\.io", DataPlane().handle)]
