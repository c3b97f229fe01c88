"""Add to Argo CD's newest Helm release a next one that is pending for ever, and an administrator's password.

Reads the cluster's door as JSON from standard input.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys

from door import api_client
from kubernetes import client

NAMESPACE, RELEASE = "argocd", "argocd"


def main() -> None:
    door = json.load(sys.stdin)
    api = client.CoreV1Api(api_client(door))
    found = api.list_namespaced_secret(NAMESPACE, label_selector=f"owner=helm,name={RELEASE}").items
    newest = max(found, key=lambda secret: int(secret.metadata.labels["version"]))
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(newest.data["release"]))))
    release["version"] += 1
    release["info"]["status"] = "pending-upgrade"
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    labels = {**newest.metadata.labels, "version": str(release["version"]), "status": "pending-upgrade"}
    name = f"sh.helm.release.v1.{RELEASE}.v{release['version']}"
    secret = client.V1Secret(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        type=newest.type,
        data={"release": base64.b64encode(packed).decode()},
    )
    api.create_namespaced_secret(NAMESPACE, secret)
    # What argocd-server writes where an administrator may sign in.
    password = client.V1ObjectMeta(name="argocd-initial-admin-secret")
    api.create_namespaced_secret(NAMESPACE, client.V1Secret(metadata=password, string_data={"password": "planted"}))


main()
