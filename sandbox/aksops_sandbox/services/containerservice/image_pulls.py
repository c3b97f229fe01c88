"""Pulling images, played: a pod whose image an Azure container registry does not hand out is held, as a kubelet would.

Only registries of this sandbox can be asked. What comes from elsewhere counts as pulled: nothing is known of it here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aksops_sandbox.engines.kubernetes import Client
from aksops_sandbox.engines.kubernetes.client import path
from aksops_sandbox.http.message import Request
from aksops_sandbox.services.registry import REGISTRY

from .events import warn
from .pods import Pod, PodQueue, annotation, scheduled

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

PULLED = "sandbox.aksops.platform/images-pulled"
#: As in the stages of kwok, which hold exactly these.
_PRIVATE = re.compile(r"[a-z0-9]{5,50}\.azurecr\.io/")
_REFERENCE = re.compile(
    r"[a-z0-9]{5,50}\.azurecr\.io/(?P<repository>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class PullError(Exception):
    """An image cannot be pulled; the message is the container runtime's."""


def images(pod: Pod) -> list[str]:
    """The pod's images that come from an Azure container registry, each once."""
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return sorted({item["image"] for item in containers if _PRIVATE.match(item.get("image") or "")})


class ImagePulls(PodQueue):
    """The player of one cluster. It asks the registry as the cluster's kubelet identity, from inside the network."""

    name = "image pulls"

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        super().__init__(client)
        self._ctx = ctx
        self._cluster_id = cluster_id

    def waits(self, pod: Pod) -> bool:
        return bool(images(pod)) and scheduled(pod) and annotation(pod, PULLED) != "true"

    def attempt(self, pod: Pod, tries: int) -> bool:
        metadata = pod["metadata"]
        target = path("v1", "pods", metadata["namespace"], metadata["name"])
        failed: dict[str, str] = {}
        for image in images(pod):
            try:
                self._pull(image)
            except PullError as error:
                failed[image] = str(error)
        if failed:
            for image, text in failed.items():
                warn(self._client, pod, "Failed", f'Failed to pull image "{image}": {text}', "kubelet")
            self._client.merge(f"{target}/status", {"status": _held(pod, failed, tries)})
            return False
        self._client.merge(target, {"metadata": {"uid": metadata["uid"], "annotations": {PULLED: "true"}}})
        return True

    def _pull(self, image: str) -> None:
        host = image.split("/", 1)[0]
        if not any(item.name.lower() == host.split(".")[0] for item in self._ctx.store.peek(type=REGISTRY)):
            return
        found = _REFERENCE.fullmatch(image)
        if found is None:
            raise PullError(f'couldn\'t parse image name "{image}": invalid reference format')
        cluster = self._ctx.require_resource(self._cluster_id)
        kubelet = (cluster.properties.get("identityProfile") or {}).get("kubeletidentity") or {}
        token = self._ctx.tokens.issue(
            kubelet.get("objectId", ""), self._ctx.principals.tenant_id, host, kubelet.get("clientId")
        )
        reference = found["digest"] or found["tag"] or "latest"
        request = Request(
            method="GET",
            host=host,
            port=443,
            path=f"/v2/{found['repository']}/manifests/{reference}",
            query={},
            headers={"authorization": f"Bearer {token}", "user-agent": "containerd/2.0.5"},
            body=b"",
        )
        router = self._ctx.router
        assert router is not None
        answer = router.handle(request)
        if answer.status == 200:
            return
        name = f"{host}/{found['repository']}{':' if not found['digest'] else '@'}{reference}"
        if answer.status == 404:
            raise PullError(f'rpc error: code = NotFound desc = failed to pull and unpack image "{name}": not found')
        first = (json.loads(answer.body or b"{}").get("errors") or [{}])[0]
        raise PullError(
            f'failed to pull and unpack image "{name}": failed to authorize: failed to fetch oauth token: unexpected '
            f"status from GET request to https://{host}/oauth2/token: {answer.status}: {first.get('message', '')}"
        )


def _held(pod: Pod, failed: dict[str, str], tries: int) -> dict[str, Any]:
    """Status of a pod whose images do not come: the first time an error, later a pause."""

    def waiting(container: dict[str, Any]) -> dict[str, Any]:
        image = container["image"]
        if image not in failed:
            return {"reason": "ContainerCreating"}
        if tries == 0:
            return {"reason": "ErrImagePull", "message": failed[image]}
        return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}": {failed[image]}'}

    def status(container: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "started": False,
            "state": {"waiting": waiting(container)},
        }

    conditions = [
        {"type": kind, "status": "False", "reason": "ContainersNotReady", "message": "containers with unready status"}
        for kind in ("Ready", "ContainersReady")
    ]
    kept = [item for item in (pod.get("status") or {}).get("conditions") or [] if item["type"] == "PodScheduled"]
    spec = pod["spec"]
    result = {
        "phase": "Pending",
        "conditions": [*kept, *conditions],
        "containerStatuses": [status(item) for item in spec["containers"]],
    }
    if spec.get("initContainers"):
        result["initContainerStatuses"] = [status(item) for item in spec["initContainers"]]
    return result
