# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of Terraform: prepare its folder, judge its plan, recover from a killed run, clean up.

FOR INTERNAL COLLECTION USE ONLY: may change in any release. Terraform itself is run by cloud.terraform or
community.general; this is what both leave out.
"""

from __future__ import annotations

import json
import socket
import typing as t
from pathlib import Path

from ansible_collections.aksops.platform.plugins.module_utils import _auth
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_adopt as adoption
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_project as project
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_active import TAG_ACTIVE, active_server
from ansible_collections.aksops.platform.plugins.module_utils._terraform_state import StateBlob
from ansible_collections.aksops.platform.plugins.module_utils._waiter import poll

STORAGE_API = "2025-06-01"
GROUPS_API = "2025-04-01"

LOCAL_BACKEND = 'terraform {\n  backend "local" {}\n}\n'

Arm = t.Callable[[], t.Any]
Run = t.Callable[[list[str]], tuple[int, str, str]]


def prepare(
    params: dict[str, t.Any],
    environ: t.Mapping[str, str],
    *,
    arm: Arm,
    blob: t.Callable[[], StateBlob],
    run: Run,
    check_mode: bool,
) -> dict[str, t.Any]:
    """Make the private folder ready for one run and return what the tasks after it need; see module terraform_project.

    :param arm: gives the ARM client, to see whether the state container exists (in check mode) and which PostgreSQL
        server is in use.
    :param blob: gives the state blob; called only after a run that was killed, and after a promotion.
    :param run: runs a program in the folder; called only where an earlier run could not store its state, and where the
        state has to follow a promotion.
    :raises AksPlatformError: the folder is in use, or somebody else holds the state.
    """
    main = Path(params["path"])
    backend = params["backend"]
    local = check_mode and not state_exists(params, environ, arm)
    folder = main.with_name(f"{main.name}.check") if local else main
    project.private_folder(main.parent)
    project.private_folder(folder)

    notes: list[str] = []
    interrupted = project.was_interrupted(folder)
    if interrupted is not None:
        other = project.conducted_elsewhere(interrupted)
        if other:
            raise AksPlatformError(
                f"Another run (process {other}) has been working in {folder} since {interrupted.get('since')}: "
                "wait until it ends."
            )
        notes.append(f"a run of {interrupted.get('since', 'unknown time')} did not come to its end")
        notes += _outlive(folder, params["orphan_timeout"])
        if not local:
            notes += release_lock(None, backend, blob, interrupted=interrupted)
    removed = project.clean(folder)
    if removed:
        notes.append(f"removed its leftovers: {', '.join(removed)}")

    files = project.root_files(Path(params["source"]))
    if local:
        files[project.OVERRIDE] = LOCAL_BACKEND.encode()
        project.clean(folder, ("terraform.tfstate", "terraform.tfstate.backup", ".terraform.tfstate.lock.info"))
    project.synchronise(files, folder)
    project.mark_running(folder)

    access = project.access(params, environ, folder)
    if access.credential:
        project.write_private(folder / project.CREDENTIAL, access.credential)
    subscription = _auth.subscription_id(params, environ)
    variables = dict(params["variables"])
    active = "" if params["destroy"] or not params["active_from"] else active_server(arm(), params["active_from"])
    if active:
        variables["postgresql"] = {**(variables.get("postgresql") or {}), "name": active}
    project.write_private(folder / project.INPUTS, json.dumps(variables, indent=1, sort_keys=True))
    if params["ephemeral_variables"]:
        project.write_private(folder / project.EPHEMERAL, json.dumps(params["ephemeral_variables"]))
    settings = project.hcl({**backend, "subscription_id": subscription, **access.backend})
    project.write_private(folder / project.BACKEND, settings)

    expected = project.digest(files, "" if local else settings, params["binary"])
    initialised = project.initialised(folder, expected)
    if initialised and not check_mode:
        notes += store_errored_state(folder, params["binary"], run)
    if active and not local:
        notes += follow(active, params, folder, initialised, arm=arm, blob=blob, run=run, check_mode=check_mode)
    return {
        "path": str(folder),
        "local_state": local,
        "plan_file": str(folder / project.PLAN),
        "backend_files": [] if local else [str(folder / project.BACKEND)],
        "init_required": not initialised,
        "init_digest": expected,
        "environment": {
            **access.environment,
            "ARM_SUBSCRIPTION_ID": subscription,
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            # The core alone: providers log what they are told.
            "TF_LOG_CORE": "INFO",
            "TF_LOG_PATH": str(folder / project.PROGRESS),
            # Both Ansible modules leave the parallelism of a plan at ten.
            "TF_CLI_ARGS_plan": f"-parallelism={params['parallelism']}{' -destroy' if params['destroy'] else ''}",
        },
        "notes": notes,
    }


def follow(
    active: str,
    params: dict[str, t.Any],
    folder: Path,
    initialised: bool,
    *,
    arm: Arm,
    blob: t.Callable[[], StateBlob],
    run: Run,
    check_mode: bool,
) -> list[str]:
    """Let the state follow a promotion: forget the old server, take the one in use in; return notes about it.

    Nothing in Azure is changed. Killed in between, the state holds neither, and the plan that follows meets what exists
    and takes it in like anything else that a killed run has left.

    :raises AksPlatformError: the tag names no server, or this is check mode, which must not write the state.
    """
    resources = blob().resources()
    held = adoption.held_server(resources)
    if not held or held == active:
        return []
    if check_mode:
        raise AksPlatformError(
            f"The state still holds the PostgreSQL server {held} while {active} is in use (tag {TAG_ACTIVE}); a run "
            "without check mode takes the one in use in."
        )
    found = adoption.existing(arm(), adoption.successors(resources, held, active))
    if f"{adoption.MODULE}.{adoption.SERVER}.this" not in found:
        raise AksPlatformError(
            f"The tag {TAG_ACTIVE} names the PostgreSQL server {active}, which does not exist: promote one that does, "
            "or correct the tag."
        )
    project.write_private(folder / project.IMPORTS, plans.import_blocks(found))
    binary = params["binary"]
    commands = [[binary, "state", "rm", adoption.MODULE]]
    if not initialised:
        backend = f"-backend-config={folder / project.BACKEND}"
        commands.insert(0, [binary, "init", "-input=false", "-no-color", "-reconfigure", backend])
    for command in commands:
        code, out, err = run(command)
        if code:
            reason = plans.errors(plans.redact(err or out, project.secrets_of(folder)))
            raise AksPlatformError(f"The state could not be led from {held} to {active}: {reason}")
    return [f"the state follows the promotion of {active}: forgot {held}, takes {len(found)} resources in"]


def store_errored_state(folder: Path, binary: str, run: Run) -> list[str]:
    """Store the state that an apply could not store at its end, and return a note that says so.

    :raises AksPlatformError: it still cannot be stored; the file stays where it is.
    """
    file = folder / project.ERRORED
    if not file.is_file():
        return []
    code, out, err = run([binary, "state", "push", project.ERRORED])
    if code:
        reason = plans.errors(plans.redact(err or out, project.secrets_of(folder)))
        raise AksPlatformError(
            f"An earlier run could not store its state and left it in {file}; it cannot be stored now either: {reason}"
        )
    file.unlink()
    return ["stored the state that an earlier run could not store"]


def _outlive(folder: Path, timeout: float) -> list[str]:
    """Wait for a Terraform that outlived the run that started it, and return a note about it.

    Ansible's tasks have sessions of their own, so killing the process group of a run leaves its Terraform at work. It
    is left to finish: interrupted, it would leave what it is making behind as half-made.
    """
    waited = project.terraform_in(folder)
    if waited:
        poll(
            lambda: (not project.terraform_in(folder), project.terraform_in(folder)),
            timeout=timeout,
            interval=1,
            describe=f"the Terraform of a killed run (process {waited[0]})",
        )
    return [f"waited for its Terraform (process {waited[0]}), which was still at work"] if waited else []


def finish(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Remove what must not outlive the run: ephemeral inputs, the credential, the plan, the copy of a check."""
    main = Path(params["path"])
    removed = project.clean(main) if main.is_dir() else []
    check = main.with_name(f"{main.name}.check")
    if check.is_dir():
        project.remove(check)
    return {"path": str(main), "removed": removed}


def state_exists(params: dict[str, t.Any], environ: t.Mapping[str, str], arm: Arm) -> bool:
    """Whether the state container exists. ARM is asked, since its own address may not even resolve yet."""
    backend = params["backend"]
    path = (
        f"/subscriptions/{_auth.subscription_id(params, environ)}/resourceGroups/{backend['resource_group_name']}"
        f"/providers/Microsoft.Storage/storageAccounts/{backend['storage_account_name']}"
        f"/blobServices/default/containers/{backend['container_name']}"
    )
    return arm().get(path, STORAGE_API) is not None


def release_lock(
    lock: plans.Lock | None,
    backend: dict[str, t.Any],
    blob: t.Callable[[], StateBlob],
    *,
    interrupted: dict[str, t.Any] | None = None,
) -> list[str]:
    """Break the lease on the state if it is a leftover of this host, and return a note that says so.

    :param lock: what Terraform said about the lock, None where it has not been asked.
    :param interrupted: what a killed run of this folder noted; it also covers a lock without a name.
    :raises AksPlatformError: somebody holds the state, or may hold it: the sentence says who and since when.
    """
    state = blob()
    leased, encoded = state.lock_metadata()
    if not leased:
        return []
    lock = plans.lock_of_metadata(encoded) if encoded else lock
    own = socket.gethostname()
    where = f"{backend['key']} in {backend['storage_account_name']}"
    who = f"{lock.who} since {lock.since}" if lock and lock.who else "somebody who left no name"
    ours = lock.host == own if lock and lock.who else bool(interrupted) and interrupted.get("host") == own
    if not ours:
        raise AksPlatformError(
            f"The Terraform state {where} is locked by {who}: wait until that run ends, or, when it is known to be "
            "gone, break the lease of the blob."
        )
    alive = project.terraform_at_work(backend)
    if alive is None:
        raise AksPlatformError(
            f"The Terraform state {where} is locked by {who}, and this system does not tell whether that run still "
            "lives: break the lease of the blob when it is known to be gone."
        )
    if alive:
        raise AksPlatformError(
            f"The Terraform state {where} is locked by {who}, and process {alive[0]} of this host still works on it: "
            "wait until it ends."
        )
    state.break_lease()
    return [f"broke the lock on {where} that {who} left behind"]


def judge_plan(params: dict[str, t.Any], run: Run, *, arm: Arm, check_mode: bool = False) -> dict[str, t.Any]:
    """Return what the plan in C(plan_file) would do; see module terraform_plan.

    An apply that fails marks what it had just made, and the next plan would replace it. Where Azure says that such a
    resource is whole, the mark is cleared and the plan wants to be made again (C(retry)); in check mode that is noted.

    :param run: runs a program with arguments and returns exit code, output and error output.
    :raises AksPlatformError: it would destroy something that the caller did not allow.
    """
    folder = Path(params["path"])
    project.write_private(folder / project.INITIALISED, params["init_digest"])
    if plans.nothing_to_do(params["output"]):
        return _verdict(plans.Plan([], []), "")
    code, out, err = run([params["binary"], "show", "-json", params["plan_file"]])
    if code:
        raise AksPlatformError(f"Terraform cannot read its own plan: {plans.errors(err or out)}")
    plan = plans.read_plan(json.loads(out))
    marked = _whole_though_marked(plan, params, arm)
    if marked:
        # What depends on them would be replaced with them, so this plan is judged no further.
        notes = [_keep(item.address, params, run, check_mode) for item in marked]
        return {**_verdict(plans.Plan([], []), ""), "retry": not check_mode, "notes": notes}
    refused = plans.refused(plan, params["allow_destroy"])
    if refused:
        raise AksPlatformError(
            plans.refusal(refused),
            refused=[{"address": item.address, "verb": item.verb, "reason": item.reason} for item in refused],
        )
    text = ""
    if plan.pending and params["describe"]:
        text = run([params["binary"], "show", "-no-color", params["plan_file"]])[1]
    return _verdict(plan, plans.redact(text, project.secrets_of(folder)))


def _whole_though_marked(plan: plans.Plan, params: dict[str, t.Any], arm: Arm) -> list[plans.Change]:
    """What a plan would replace for a mark alone though it is whole, inside the platform's own resource groups."""
    marked = [item for item in plans.refused(plan, params["allow_destroy"]) if item.tainted]
    marked = [item for item in marked if plans.within(item.tainted, params["resource_groups"])]
    if not marked:
        return []
    states = {}
    for group in params["resource_groups"]:
        for item in arm().list(f"{group}/resources?$expand=provisioningState", GROUPS_API):
            states[item["id"].lower()] = str(item.get("provisioningState") or "").lower()
    return [item for item in marked if plans.whole(item.tainted, states)]


def _keep(address: str, params: dict[str, t.Any], run: Run, check_mode: bool) -> str:
    """Clear the mark on one resource, and return a note that says so."""
    if check_mode:
        return f"would keep {address}, which a failed apply has marked for replacement, and plan again"
    code, out, err = run([params["binary"], "untaint", address])
    if code:
        reason = plans.errors(plans.redact(err or out, project.secrets_of(Path(params["path"]))))
        raise AksPlatformError(f"The mark of the failed apply on {address} cannot be cleared: {reason}")
    return f"kept {address}: a failed apply had marked it for replacement, and Azure says that it is whole"


def _verdict(plan: plans.Plan, text: str) -> dict[str, t.Any]:
    return {
        "pending": plan.pending,
        "retry": False,
        "counts": plan.counts(),
        "resources": [{"address": item.address, "action": item.verb} for item in plan.changes],
        "outputs": plan.outputs,
        "tally": plans.tally(plan),
        "text": text,
        "notes": [],
    }


def recover(params: dict[str, t.Any], *, arm: Arm, blob: t.Callable[[], StateBlob], run: Run) -> dict[str, t.Any]:
    """Mend what a killed run left behind, so that the same plan can be made again; see module terraform_plan.

    :raises AksPlatformError: this failure is of another kind; the text is Terraform's own, without secrets.
    """
    folder = Path(params["path"])
    text = plans.redact(params["error"], project.secrets_of(folder))
    stored = store_errored_state(folder, params["binary"], run)
    if stored:
        return {**_verdict(plans.Plan([], []), ""), "retry": True, "notes": stored}
    lock = plans.lock_of(text)
    if lock:
        notes = release_lock(lock, params["backend"], blob)
        return {**_verdict(plans.Plan([], []), ""), "retry": True, "notes": notes}

    found = plans.existing(text)
    own = {address: item for address, item in found.items() if plans.within(item, params["resource_groups"])}
    written = folder / project.IMPORTS
    known = written.read_text(encoding="utf-8") if written.is_file() else ""
    fresh = {address: item for address, item in own.items() if f"to = {address}\n" not in known}
    if not fresh:
        raise AksPlatformError(plans.errors(text))
    _refuse_foreign_groups(params, arm)
    project.write_private(written, known + plans.import_blocks(fresh))
    notes = [f"took into the state what exists already: {address}" for address in sorted(fresh)]
    return {**_verdict(plans.Plan([], []), ""), "retry": True, "notes": notes}


def _refuse_foreign_groups(params: dict[str, t.Any], arm: Arm) -> None:
    """Refuse to take over a resource group that only happens to have the platform's name."""
    client = arm()
    for group in params["resource_groups"]:
        found = client.get(group, GROUPS_API)
        tags = (found or {}).get("tags") or {}
        missing = [name for name, value in params["owner_tags"].items() if tags.get(name) != value]
        if found and missing:
            raise AksPlatformError(
                f"The resource group {group} exists and does not carry this environment's tag {missing[0]}: it is not "
                "taken over. Remove it, tag it, or change infrastructure_name_prefix."
            )
