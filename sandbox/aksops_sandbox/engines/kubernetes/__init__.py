"""Real Kubernetes control planes: etcd, API server, controller manager and scheduler as processes; nodes by kwok."""

from __future__ import annotations

from .client import Client, KubernetesError
from .control_plane import ClusterSpec, ControlPlane

__all__ = ["Client", "ClusterSpec", "ControlPlane", "KubernetesError"]
