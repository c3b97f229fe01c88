"""The stand-in chart host: archives that helm takes, with the CRDs of the built project."""

from __future__ import annotations

import hashlib
import io
import tarfile
from types import SimpleNamespace

import pytest
import yaml
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request
from aksops_sandbox.services.charts import ChartsService, pack


@pytest.fixture
def crds(tmp_path):
    (tmp_path / "application-crd.yaml").write_text("kind: CustomResourceDefinition\nmetadata: {name: a}\n")
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    return tmp_path


def _get(crds, path):
    ctx = SimpleNamespace(tools=SimpleNamespace(shared=lambda name, files: crds))
    request = Request("GET", "argoproj.github.io", 443, path, {}, {}, b"")
    return ChartsService().hosts[0][1](ctx, request)


def test_the_index_names_an_archive_with_its_digest(crds):
    entry = yaml.safe_load(_get(crds, "/argo-helm/index.yaml").body)["entries"]["argo-cd"][0]
    archive = _get(crds, "/" + entry["urls"][0].split("/", 3)[3])
    assert entry["version"] == "10.1.1"
    assert hashlib.sha256(archive.body).hexdigest() == entry["digest"]


def test_the_archive_holds_the_projects_crds_and_nothing_else_of_it(crds):
    with tarfile.open(fileobj=io.BytesIO(pack("argo-cd", crds)), mode="r:gz") as archive:
        names = archive.getnames()
    assert names[0] == "argo-cd/Chart.yaml"
    assert [name for name in names if "/files/" in name] == ["argo-cd/files/application-crd.yaml"]


def test_an_earlier_version_is_served_too_and_says_so(crds):
    entries = yaml.safe_load(_get(crds, "/argo-helm/index.yaml").body)["entries"]
    versions = [entry["version"] for entry in entries["argo-cd"]]
    assert len(versions) >= 2
    assert "argocd-apps" in entries
    archive = _get(crds, f"/argo-helm/argo-cd-{versions[1]}.tgz").body
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        chart = yaml.safe_load(packed.extractfile("argo-cd/Chart.yaml").read())
    assert chart["version"] == versions[1]


def test_the_archive_is_the_same_each_time(crds):
    first = pack("argo-cd", crds)
    pack.cache_clear()
    assert pack("argo-cd", crds) == first


def test_another_path_is_refused_by_name(crds):
    with pytest.raises(AzureError, match=r"other-1\.0\.0\.tgz"):
        _get(crds, "/argo-helm/other-1.0.0.tgz")
