"""The tools: what the manifest promises against the pins, choice from PATH, cache, lock and the Terraform mirror."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pathlib
import re
import stat
import subprocess
import sys
import time

import pytest
from aksops_sandbox.tools import (
    ToolMissingError,
    Tools,
    builder,
    cache,
    manifest,
    mirror,
    onpath,
    progress,
    recipes,
    registry,
)
from aksops_sandbox.tools.__main__ import main


def program(folder, name, output, code=0):
    """An executable that prints a text."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{output}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def no_memory():
    onpath.version_of.cache_clear()


def go_tools():
    return [tool for tool in manifest.TOOLS if isinstance(tool.build, manifest.GoBuild)]


@pytest.mark.parametrize("tool", go_tools(), ids=lambda tool: tool.name)
def test_go_mod_pins_the_manifests_version_and_no_registry(tool):
    folder = recipes.SOURCES / tool.build.group
    text = (folder / "go.mod").read_text()
    sums = (folder / "go.sum").read_text()
    for package in tool.build.packages.values():
        pins = re.findall(r"^\s*(?:require\s+)?(\S+) (v\S+)", text, re.M)
        module, version = max(
            (pin for pin in pins if package == pin[0] or package.startswith(pin[0] + "/")), key=lambda pin: len(pin[0])
        )
        assert f"{module} {version} h1:" in sums
        # azurerm's tags of major version 5 are no Go versions: the commit stands in for the release.
        assert version == f"v{tool.version}" or tool.name == "azurerm"
    assert re.findall(r"https?://(?!git\.k8s\.io)", text + sums) == []


def test_azurites_lockfile_names_no_registry():
    content = json.loads((recipes.SOURCES / "azurite" / "package-lock.json").read_text())
    packages = content["packages"]
    assert packages["node_modules/azurite"]["version"] == manifest.BY_NAME["azurite"].version
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []


def test_every_binary_has_one_tool():
    names = [binary for tool in manifest.TOOLS for binary in tool.build.binaries]
    assert len(names) == len(set(names))
    with pytest.raises(KeyError, match="no tool 'nothing'"):
        manifest.find("nothing")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Kubernetes v1.36.3", (1, 36, 3)),
        ("Terraform v1.11.4\non linux_amd64", (1, 11, 4)),
        ("etcd Version: 3.6.5\nGit SHA: Not provided", (3, 6, 5)),
        ("v1.37.0-rc.1", None),
        ("nothing here", None),
    ],
)
def test_versions_are_read_from_what_tools_print(text, version):
    assert onpath.parse(text) == version


@pytest.mark.parametrize(
    ("programs", "chosen"),
    [
        ({"terraform": "Terraform v1.11.0"}, "terraform"),
        ({"terraform": "Terraform v1.10.5"}, None),
        ({"terraform": "Terraform v1.10.5", "tofu": "OpenTofu v1.11.1"}, "tofu"),
        ({"terraform": "Terraform v1.14.0", "tofu": "OpenTofu v1.12.6"}, "terraform"),
        ({"tofu": "OpenTofu v1.9.0"}, None),
        ({"terraform": "Terraform v1.13.0-beta1"}, None),
        ({}, None),
    ],
)
def test_terraform_or_tofu_is_taken_from_path_where_it_is_new_enough(tmp_path, programs, chosen):
    for name, output in programs.items():
        program(tmp_path, name, output)
    assert onpath.find_terraform(str(tmp_path)) == (tmp_path / chosen if chosen else None)


def test_where_there_is_neither_opentofu_is_missing_and_would_be_built(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = Tools(tmp_path / "cache")
    assert "opentofu" in [tool.name for tool in tools.missing()]
    with pytest.raises(ToolMissingError, match=r"terraform 1\.12\.6 is not built yet: run `make tools`"):
        tools.path("terraform")
    program(tmp_path, "terraform", "Terraform v1.12.0")
    onpath.version_of.cache_clear()
    assert "opentofu" not in [tool.name for tool in tools.missing()]
    assert tools.path("terraform") == tmp_path / "terraform"


def test_only_the_right_version_on_path_replaces_a_build(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "kwok", "kwok version v0.7.0")
    tools = Tools(tmp_path / "cache")
    assert [tool.name for tool in tools.missing(["kwok"])] == ["kwok"]
    program(tmp_path, "kwok", "kwok version v0.8.0")
    onpath.version_of.cache_clear()
    assert tools.missing(["kwok"]) == []
    assert tools.path("kwok") == tmp_path / "kwok"
    program(tmp_path, "argocd", "3.2.11")  # its CRDs would be missing
    assert [tool.name for tool in tools.missing(["argocd"])] == ["argocd"]


def fake_make(tool, staging, log, env):
    """Stands in for a compiler: leaves a mark for each run."""
    log.write_text("one line\nlast line\n")
    (staging / "bin").mkdir(parents=True)
    for binary in tool.build.binaries:
        program(staging / "bin", binary, tool.version)
    with (log.parent / "runs").open("a") as runs:
        runs.write(f"{tool.name}\n")


def build_in_a_process(root, name):
    recipes.make = fake_make
    builder.build(manifest.BY_NAME[name], root)


def test_a_tool_is_built_once_even_by_two_builders(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=build_in_a_process, args=(tmp_path, "etcd")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "logs" / "runs").read_text() == "etcd\n"
    assert Tools(tmp_path).path("etcd") == tmp_path / "etcd" / "3.6.5" / "bin" / "etcd"


def test_a_failed_build_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(tool, staging, log, env):
        (staging / "bin").mkdir()
        raise progress.CommandError("etcd 3.6.5 failed")

    monkeypatch.setattr(recipes, "make", fail)
    with pytest.raises(progress.CommandError):
        builder.build(manifest.BY_NAME["etcd"], tmp_path)
    assert list((tmp_path / "etcd").iterdir()) == []
    assert Tools(tmp_path).locate("kwok") is None


def test_a_changed_recipe_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "make", fake_make)
    tool = manifest.BY_NAME["etcd"]
    builder.build(tool, tmp_path)
    assert builder.build(tool, tmp_path) == 0.0
    receipt = cache.folder(tmp_path, tool) / "build.json"
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "recipe": "other"}))
    assert builder.build(tool, tmp_path) > 0.0


def test_trim_uses_a_go_cache_of_its_own_and_removes_it(tmp_path, monkeypatch):
    seen = {}

    def make(tool, staging, log, env):
        seen["cache"] = env["GOCACHE"]
        (tmp_path / "go-build").mkdir()
        fake_make(tool, staging, log, env)

    monkeypatch.setattr(recipes, "make", make)
    builder.build(manifest.BY_NAME["etcd"], tmp_path, trim=True, environ={"GOCACHE": "/the/users/own"})
    assert seen["cache"] == str(tmp_path / "go-build")
    assert not (tmp_path / "go-build").exists()


def test_progress_names_time_and_last_line_and_a_failure_its_log(tmp_path):
    out = io.StringIO()
    log = tmp_path / "x.log"
    script = "import time; print('compiling things', flush=True); time.sleep(1.5); raise SystemExit(3)"
    with pytest.raises(progress.CommandError, match=r"x 1 failed after \d+ s \(exit code 3\); log: .*x\.log"):
        progress.run("x 1", [sys.executable, "-c", script], log=log, every=0.2, out=out)
    assert re.search(r"x 1: \d+ s, compiling things", out.getvalue())
    assert progress.elapsed(125) == "2 min 05 s"
    with pytest.raises(progress.CommandError, match="cannot be started"):
        progress.run("y", [str(tmp_path / "missing")], log=log)


def test_a_killed_builder_leaves_no_compiler_behind(tmp_path):
    mark = tmp_path / "pid"
    child = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(60)"
    code = (
        "import pathlib, sys; from aksops_sandbox.tools import progress; "
        f"progress.run('x', [sys.executable, '-c', {child!r}], log=pathlib.Path({str(tmp_path / 'log')!r}))"
    )
    builder_process = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    builder_process.kill()
    builder_process.wait()
    pid = int(mark.read_text())
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the compiler outlived its builder")


def test_a_missing_go_is_one_sentence(tmp_path, monkeypatch, capsys):
    program(tmp_path, "go", "go version go1.25.1 linux/amd64")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert main(["--cache", str(tmp_path / "cache"), "build", "kubeconform"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"Go 1\.26\.6 or newer.*1\.25\.1.*https://go\.dev/dl/", said)


def test_the_mirror_leads_both_programs_to_the_built_provider(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "make", fake_make)
    tools = Tools(tmp_path)
    tools.build(["azurerm"])
    config = tools.terraform_config()
    assert str(tmp_path / "terraform-mirror") in config.read_text()
    assert "direct" not in config.read_text()
    for host in mirror.HOSTS:
        folder = tmp_path / "terraform-mirror" / host / "hashicorp/azurerm/5.2.0" / mirror.target_platform()
        provider = folder / "terraform-provider-azurerm_v5.2.0_x5"
        assert provider.stat().st_mode & stat.S_IXUSR
    before = config.stat().st_mtime_ns
    assert tools.terraform_config().stat().st_mtime_ns == before


TERRAFORM = """#!{python}
import pathlib, sys, zipfile
if sys.argv[1] == "version":
    print("Terraform v1.12.0")
    raise SystemExit(0)
target = pathlib.Path(sys.argv[-1], "registry.terraform.io", "hashicorp", "azurerm")
target.mkdir(parents=True)
with zipfile.ZipFile(target / "terraform-provider-azurerm_5.2.0_any.zip", "w") as archive:
    archive.writestr("{inside}", "#!/bin/sh\\n")
raise SystemExit({code})
"""


@pytest.mark.parametrize(
    ("inside", "code", "fetched"),
    [
        ("terraform-provider-azurerm_v5.2.0_x5", 0, True),
        ("something-else", 0, False),
        ("terraform-provider-azurerm_v5.2.0_x5", 1, False),
    ],
)
def test_the_provider_is_downloaded_where_terraform_reaches_its_registry(tmp_path, inside, code, fetched):
    (tmp_path / "path").mkdir()
    program = tmp_path / "path" / "terraform"
    program.write_text(TERRAFORM.format(python=sys.executable, inside=inside, code=code))
    program.chmod(0o755)
    staging = tmp_path / "staging"
    (staging / "bin").mkdir(parents=True)
    tool = manifest.BY_NAME["azurerm"]
    env = {"PATH": str(tmp_path / "path")}
    assert registry.fetch(tool, staging, tmp_path / "log", env) is fetched
    assert (staging / "bin" / "terraform-provider-azurerm_v5.2.0_x5").exists() is fetched
    assert [path.name for path in staging.iterdir()] == ["bin"]


def test_other_tools_are_never_asked_of_that_registry(tmp_path):
    assert registry.fetch(manifest.BY_NAME["etcd"], tmp_path, tmp_path / "log", {"PATH": ""}) is False
