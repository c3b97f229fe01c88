# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door that the caller's kubeconfig or pod opens, for those who give no other, as kubernetes.core takes it.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import (
    AksPlatformError,
    missing_library,
    one_sentence,
)
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KubernetesClient


def client(door: t.Mapping[str, t.Any] | None) -> KubernetesClient:
    """Return a client for the given door (host, ca_path, token), or for the caller's own where none is given."""
    if door:
        return KubernetesClient(**door)
    settings = _settings()
    return KubernetesClient(settings.host, token="", opener=_opener(settings))


def _settings() -> t.Any:
    """Address and credentials as the library reads them; it also runs the helpers that a kubeconfig names."""
    try:
        from kubernetes import client as library
        from kubernetes import config
    except ImportError as error:
        raise missing_library("kubernetes", error, reason="to read a kubeconfig") from None
    settings = library.Configuration()
    file, context = os.environ.get("K8S_AUTH_KUBECONFIG"), os.environ.get("K8S_AUTH_CONTEXT")
    try:
        try:
            config.load_kube_config(file, context=context, client_configuration=settings)
        except config.ConfigException:
            if file or context:
                raise
            config.load_incluster_config(client_configuration=settings)
    except config.ConfigException as error:
        raise AksPlatformError(
            f"No cluster is named: {one_sentence(str(error), 200)}; give host, ca_path and token, or a kubeconfig."
        ) from None
    return settings


def _opener(settings: t.Any) -> t.Callable[..., t.Any]:
    """Open addresses with the credentials of `settings`: a token, or a certificate."""
    # The library has called this key by two names.
    names = ("BearerToken", "authorization")
    token = next(filter(None, (settings.get_api_key_with_prefix(name) for name in names)), None)

    def opener(url: str, *, headers: dict[str, str], ca_path: str | None, **more: t.Any) -> t.Any:
        from ansible.module_utils.urls import open_url

        own = {name: value for name, value in headers.items() if name != "Authorization"}
        return open_url(
            url,
            headers={**own, "Authorization": token} if token else own,
            ca_path=settings.ssl_ca_cert,
            client_cert=settings.cert_file,
            client_key=settings.key_file,
            validate_certs=settings.verify_ssl,
            **more,
        )

    return opener
