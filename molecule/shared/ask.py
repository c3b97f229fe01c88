"""Print the objects of a cluster that are asked for, as JSON by name.

Reads as JSON from standard input the cluster's `door`, and `asked`: a list of `as`, `kind`, and where wanted
`api_version`, `name`, `namespace` and `labels`. What is not there, or whose kind is not, is an empty list.
"""

from __future__ import annotations

import json
import sys
import typing as t

from door import api_client
from kubernetes import dynamic
from kubernetes.client.exceptions import ApiException


def found(cluster: dynamic.DynamicClient, ask: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    try:
        kind = cluster.resources.get(api_version=ask.get("api_version", "v1"), kind=ask["kind"])
        wanted = {"name": ask.get("name"), "namespace": ask.get("namespace")}
        answer = kind.get(**wanted, label_selector=",".join(ask.get("labels", []))).to_dict()
    except (ApiException, dynamic.exceptions.ResourceNotFoundError) as error:
        if getattr(error, "status", 404) != 404:
            raise
        return []
    return answer["items"] if "name" not in ask else [answer]


def main() -> None:
    given = json.load(sys.stdin)
    cluster = dynamic.DynamicClient(api_client(given["door"]))
    json.dump({ask["as"]: found(cluster, ask) for ask in given["asked"]}, sys.stdout)


main()
