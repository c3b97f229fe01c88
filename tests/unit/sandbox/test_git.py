"""The sandbox's git host: what is published, and what a real git client gets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from aksops_sandbox.engines.git import GitError, GitServer


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "charts" / "shop").mkdir(parents=True)
    (folder / "charts" / "shop" / "Chart.yaml").write_text("name: shop\n")
    (folder / "private.txt").write_text("not published\n")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> GitServer:
    (tmp_path / "git").mkdir()
    return GitServer(tmp_path / "git")


def _show(tmp_path: Path, name: str, *arguments: str) -> str:
    argv = ["git", "--git-dir", str(tmp_path / "git" / name), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_only_the_named_folders_are_published_committed_or_not(server, checkout, tmp_path):
    server.publish("org/repo", checkout, ("charts",))
    assert _show(tmp_path, "org/repo", "ls-tree", "-r", "--name-only", "main").split() == ["charts/shop/Chart.yaml"]


def test_the_same_content_makes_no_second_commit(server, checkout):
    first, changed = server.publish("org/repo", checkout, ("charts",))
    assert changed
    assert server.publish("org/repo", checkout, ("charts",)) == (first, False)


def test_a_change_and_a_removal_are_commits_on_top(server, checkout, tmp_path):
    first, _ = server.publish("org/repo", checkout, ("charts",))
    (checkout / "charts" / "shop" / "values.yaml").write_text("replicas: 2\n")
    server.publish("org/repo", checkout, ("charts",))
    (checkout / "charts" / "shop" / "Chart.yaml").unlink()
    server.publish("org/repo", checkout, ("charts",))
    assert _show(tmp_path, "org/repo", "ls-tree", "-r", "--name-only", "main").split() == ["charts/shop/values.yaml"]
    assert _show(tmp_path, "org/repo", "rev-list", "main").split()[-1] == first


def test_a_missing_folder_publishes_nothing(server, checkout, tmp_path):
    with pytest.raises(GitError):
        server.publish("org/repo", checkout, ("nothing",))


@pytest.mark.parametrize("name", ["../outside", "", "/", "org/../../outside"])
def test_a_name_never_leaves_the_root(server, checkout, name):
    with pytest.raises(GitError):
        server.publish(name, checkout, ("charts",))


def test_a_client_is_told_the_branch(server, checkout):
    commit, _ = server.publish("org/repo", checkout, ("charts",))
    status, headers, body = server.answer("GET", "/org/repo/info/refs", "service=git-upload-pack", {}, b"")
    assert status == 200
    assert headers["Content-Type"] == "application/x-git-upload-pack-advertisement"
    assert f"{commit} refs/heads/main".encode() in body


@pytest.mark.parametrize(
    ("path", "query"),
    [("/org/repo/info/refs", "service=git-receive-pack"), ("/org/repo/git-receive-pack", "")],
)
def test_nobody_pushes(server, checkout, path, query):
    server.publish("org/repo", checkout, ("charts",))
    assert server.answer("POST", path, query, {}, b"")[0] == 403


def test_a_repository_that_is_not_there_is_404(server, checkout):
    assert server.answer("GET", "/org/other/info/refs", "service=git-upload-pack", {}, b"")[0] == 404
