# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""From a module's parameters to a run and its result. Nothing here, nor in any error, carries a value."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._keyvault import Pruning, Report, Run, Source
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import VaultClient
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import (
    MAXIMUM_TAG_LENGTH,
    Desired,
    Settings,
    parse_duration,
    parse_time,
    validate,
)
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_values import (
    Generator,
    Template,
    ValueSourceError,
    from_environment,
    from_file,
    size_problem,
)

SOURCES = {
    "value": "value",
    "value_file": "file",
    "value_env": "env",
    "generate": "generate",
    "template": "template",
    "arm_key": "arm",
}
MINIMUM_MASKED = 4


def settings(params: Mapping[str, Any], host: str) -> Settings:
    """What holds for all secrets."""
    key = params.get("fingerprint_key")
    return Settings(
        owner=params.get("owner"),
        adopt=params.get("adopt", False),
        prefix=params.get("tag_prefix", "aksops"),
        purge_tags=params.get("purge_tags", False),
        vault=host,
        fingerprint_key=key.encode() if key else None,
        fingerprint_id=params.get("fingerprint_key_id", "1"),
    )


def interpret(
    params: Mapping[str, Any], host: str, environ: Mapping[str, str] | None = None
) -> tuple[list[Desired], dict[str, Source], Settings]:
    """The wanted secrets and their sources, all checked. Raises AksPlatformError with every problem at once."""
    environ = os.environ if environ is None else environ
    common = settings(params, host)
    wanted: list[Desired] = []
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for item in params.get("secrets") or []:
        try:
            desired, source = _secret(item, params, environ)
        except (ValueSourceError, ValueError) as error:
            problems.append(f"{item['name']}: {error}")
            continue
        wanted.append(desired)
        sources[desired.key] = source
    problems.extend(validate(wanted, common))
    if len(common.prefix) > 100 or not common.prefix:
        problems.append("tag_prefix must have 1 to 100 characters")
    if params.get("prune") and not common.owner:
        problems.append("prune needs owner: only secrets that carry the owner's tag are ever deleted")
    if problems:
        raise AksPlatformError("Nothing was changed. " + "; ".join(problems) + ".", problems=problems)
    return wanted, sources, common


def _secret(item: Mapping[str, Any], params: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Desired, Source]:
    given = [name for name in SOURCES if item.get(name) is not None]
    kind = SOURCES[given[0]] if given else "none"
    state = item.get("state") or params.get("state", "present")
    source = _source(kind, item, params, environ) if state == "present" else Source()
    if item.get("apply_to") and state == "present":
        _check_resource("apply_to", item["apply_to"])
        source = replace(source, apply_to={name: str(text) for name, text in item["apply_to"].items()})
    desired = Desired(
        name=item["name"],
        state=state,
        source=kind if state == "present" else "none",
        compare=item.get("compare") or params.get("compare", "value"),
        tags=_texts(item.get("tags"), params.get("tags") or {}),
        content_type=item.get("content_type"),
        enabled=item.get("enabled"),
        not_before=_time("not_before", item.get("not_before")),
        expires=_time("expires", item.get("expires")),
        value_version=item.get("value_version"),
        rotate_after=_duration("rotate_after", item.get("rotate_after")),
        disable_previous_after=_duration("disable_previous_after", item.get("disable_previous_after")),
        purge=bool(item.get("purge")),
        applied_to=source.apply_to["resource_id"][-MAXIMUM_TAG_LENGTH:].lower() if source.apply_to else "",
        references=tuple(source.template.references) if source.template else (),
    )
    return desired, source


def _source(kind: str, item: Mapping[str, Any], params: Mapping[str, Any], environ: Mapping[str, str]) -> Source:
    if kind == "value":
        if len(item["value"]) < MINIMUM_MASKED and not params.get("allow_short"):
            raise ValueSourceError(
                "the value is so short that masking it would garble the output; give it by value_file or value_env, or "
                "set allow_short"
            )
        return Source(text=_sized(item["value"]))
    if kind == "file":
        encoding = item.get("value_encoding") or "utf-8"
        return Source(text=_sized(from_file(item["value_file"], encoding, item.get("strip_newline", True))))
    if kind == "env":
        return Source(text=_sized(from_environment(item["value_env"], environ)))
    if kind == "generate":
        options = item["generate"]
        generator = Generator(
            length=options["length"],
            alphabet=options["alphabet"],
            characters=options.get("characters") or "",
            exclude=options.get("exclude") or "",
            require_each=options["require_each"],
        )
        problem = generator.problem()
        if problem:
            raise ValueSourceError(problem)
        return Source(generator=generator)
    if kind == "template":
        return Source(template=Template(item["template"]))
    if kind == "arm":
        options = item["arm_key"]
        _check_resource("arm_key", options)
        return Source(arm={name: str(text) for name, text in options.items()})
    return Source()


def _check_resource(option: str, options: Mapping[str, Any]) -> None:
    if not options["resource_id"].startswith("/subscriptions/"):
        raise ValueSourceError(f"{option}.resource_id must be an Azure resource id")


def _sized(value: str) -> str:
    problem = size_problem(value)
    if problem:
        raise ValueSourceError(problem)
    return value


def _texts(tags: Mapping[str, Any] | None, common: Mapping[str, Any]) -> dict[str, str] | None:
    """The tags of a secret over those of all; None where neither is given."""
    if tags is None and not common:
        return None
    return {str(name): str(text) for name, text in {**common, **(tags or {})}.items()}


def _time(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        reason = str(error) if "zone" in str(error) else "is not an ISO 8601 time, nor 'never'"
        raise ValueError(f"{name} {reason}") from None


def _duration(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


class ArmKeys:
    """Keys that Azure Resource Manager lists for a resource, each resource asked once, and values that it takes."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        import threading

        self._params = params
        self._client: Any = None
        self._answers: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, options: Mapping[str, str]) -> str:
        """The value at `path` of the action's answer. Raises AksPlatformError."""
        key = (options["resource_id"].lower(), options["action"], options["api_version"])
        with self._lock:
            self._connect()
            if key not in self._answers:
                self._answers[key] = self._ask(options)
            found: Any = self._answers[key]
        for part in options["path"].split("."):
            found = (
                found[int(part)]
                if isinstance(found, list) and part.isdigit() and int(part) < len(found)
                else (found.get(part) if isinstance(found, dict) else None)
            )
        if not isinstance(found, str) or not found:
            name = options["resource_id"].rstrip("/").rsplit("/", 1)[-1]
            raise AksPlatformError(
                f"{options['action']} of {name} has no text at '{options['path']}'; is key authentication off?"
            )
        return found

    def _connect(self) -> None:
        if self._client is None:
            from ansible_collections.aksops.platform.plugins.module_utils import _arm

            self._client = _arm.client(self._params)

    def set(self, options: Mapping[str, str], value: str) -> None:
        """Set a value on a resource, such as an administrator's password, and wait until that has ended."""
        body: Any = value
        for part in reversed(options["path"].split(".")):
            body = {part: body}
        with self._lock:
            self._connect()
            self._client.patch(options["resource_id"].rstrip("/"), options["api_version"], body)

    def _ask(self, options: Mapping[str, str]) -> dict[str, Any]:
        resource, version = options["resource_id"].rstrip("/"), options["api_version"]
        if options["action"] != "read":
            return dict(self._client.post(f"{resource}/{options['action']}", version))
        found = self._client.get(resource, version)
        if found is None:
            raise AksPlatformError(f"{resource} does not exist")
        return dict(found)


def client(params: Mapping[str, Any], uri: str) -> VaultClient:
    """The client of a vault; the SDK for credentials is imported with the first token."""
    from ansible_collections.aksops.platform.plugins.module_utils._auth import credential
    from ansible_collections.aksops.platform.plugins.module_utils._keyvault_http import Transport

    transport = Transport(uri, params["concurrency"] + 1, read_timeout=params["request_timeout"])
    return VaultClient(transport, lambda: credential(params), rbac_wait=params["rbac_wait"])


def seed(
    params: Mapping[str, Any],
    vault: VaultClient,
    *,
    check_mode: bool,
    arm_value: Callable[[Mapping[str, str]], str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Report, dict[str, Any]]:
    """Run and describe. Raises AksPlatformError where nothing was done."""
    wanted, sources, common = interpret(params, vault.host, environ)
    azure = ArmKeys(params)
    pruning = params.get("prune")
    run = Run(
        vault,
        wanted,
        sources,
        common,
        pruning=Pruning(pruning.get("match"), pruning["max"]) if pruning else None,
        recover=params.get("recover", True),
        arm_value=arm_value or azure,
        apply_value=azure.set,
        concurrency=params["concurrency"],
        check_mode=check_mode,
    )
    report = run.execute()
    return report, {
        "changed": report.changed,
        "vault_uri": f"https://{vault.host}/",
        "secrets": [outcome.row() for outcome in report.outcomes],
        "summary": report.summary(),
        **statistics(vault),
    }


def statistics(vault: VaultClient) -> dict[str, Any]:
    """Requests by kind, retries by reason and seconds: what a run cost."""
    seconds = 0.0
    if vault.first_request is not None and vault.last_answer is not None:
        seconds = vault.last_answer - vault.first_request
    return {
        "requests": dict(sorted(vault.requests.items())),
        "retries": dict(sorted(vault.retries.items())),
        "seconds": {"vault": round(seconds, 3), "waited_for_rbac": round(vault.rbac_waited, 1)},
    }


def failure(report: Report) -> str:
    """The sentence and the table of a partial failure."""
    bad = len(report.failures)
    good = len(report.outcomes) - bad
    return (
        f"{bad} of {len(report.outcomes)} secrets failed; {good} are as wanted, and running again finishes the rest. "
        f"By secret (action, HTTP code, request id):\n{report.table()}"
    )
