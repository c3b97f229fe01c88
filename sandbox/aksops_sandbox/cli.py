"""The command `aksops-sandbox`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aksops_sandbox import admin, environment
from aksops_sandbox.engines.postgres.runtime import forget_abandoned
from aksops_sandbox.settings import Home, default_home, read_json

_START_TIMEOUT = 180.0


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    home = Home(Path(options.home) if options.home else default_home())
    try:
        return int(options.run(home, options) or 0)
    except (admin.NotRunningError, RuntimeError) as error:
        print(f"aksops-sandbox: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aksops-sandbox", description="A local Azure for unmodified clients.")
    parser.add_argument(
        "--home", help="folder of the sandbox (default: AKSOPS_SANDBOX_HOME, else the user's state folder)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    up = command("up", _up, "start the sandbox; nothing happens where it is up")
    up.add_argument("--while", dest="companion", type=int, metavar="PID", help="end it once this process has ended")
    command("down", _down, "stop it; its state stays")
    command("status", _status, "what runs and what exists")
    command("reset", _reset, "stop it and delete its state")
    env = command("env", _env, "print shell exports for every client")
    env.add_argument("--unset", action="store_true", help="print what restores the shell instead")
    execute = command("exec", _exec, "run one command in that environment")
    for sub in (env, execute):
        sub.add_argument("--vantage", choices=["inside", "outside"], default="inside", help="where the client stands")
        sub.add_argument("--account", choices=["operator", "second", "reader"], default="operator", help="who it is")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD")
    ledger = command("ledger", _ledger, "requests seen, as JSON lines")
    ledger.add_argument("--since", type=int, default=0, help="only after this serial number")
    ledger.add_argument("--method", default="", help="only these methods (comma-separated)")
    ledger.add_argument("--host", default="", help="only hosts that contain this")
    ledger.add_argument("--path", default="", help="only paths that contain this")
    ledger.add_argument("--limit", type=int, default=10_000, help="only the newest N")
    ledger.add_argument("--last", action="store_true", help="print the newest serial number only")
    fault = command("fault", _fault, "list, add or clear injected faults")
    kinds = "latency, status, reset, lost, timeout, rbac-delay, policy-delay, firewall-delay, clear"
    fault.add_argument("kind", nargs="?", help=kinds)
    fault.add_argument("--host", default="*", help="shell pattern")
    fault.add_argument("--path", default="*", help="shell pattern")
    fault.add_argument("--method", default="*", help="shell pattern")
    fault.add_argument("--rate", type=float, default=1.0, help="share of the requests, 0 to 1")
    fault.add_argument("--ms", type=int, default=0, help="milliseconds of latency or silence")
    fault.add_argument("--status", type=int, default=503, help="status code to answer")
    fault.add_argument("--count", type=int, default=0, help="end after so many hits")
    fault.add_argument("--retry-after", type=int, help="seconds to send as Retry-After")
    fault.add_argument("--seconds", type=float, default=0.0, help="for the delays")
    fault.add_argument("--seed", type=int, help="make the choice of hit requests repeatable")
    logs = command("logs", _logs, "print the end of a log")
    logs.add_argument("name", nargs="?", default="server", help="log name; 'list' names them")
    logs.add_argument("--lines", type=int, default=40)
    tools = command("tools", _tools, "build or list the tools (see 'aksops-sandbox tools --help')")
    tools.add_argument("argv", nargs=argparse.REMAINDER)
    call = command("call", _call, "send a service's own command, with a JSON argument")
    call.add_argument("name")
    call.add_argument("argument", nargs="?", default="{}")
    return parser


def _running(home: Home) -> dict[str, Any] | None:
    state = read_json(home.state)
    if state is None:
        return None
    try:
        os.kill(state["pid"], 0)
        admin.call(home.admin_socket, "GET", "status")
    except (OSError, admin.NotRunningError):
        return None
    return state


def _up(home: Home, options: argparse.Namespace) -> int:
    if _running(home):
        print(f"The sandbox in {home.path} is up.")
        return 0
    companion = [] if options.companion is None else [str(options.companion)]
    if companion and not Path("/proc", *companion).exists():
        raise RuntimeError(f"There is no process {options.companion} to end with: nothing was started.")
    home.make()
    home.state.unlink(missing_ok=True)
    started = time.monotonic()
    log = home.sub("logs") / "server.log"
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with log.open("ab") as output:
        position = output.tell()
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "aksops_sandbox.server", str(home.path), *companion],
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not _running(home):
        if server.poll() is not None or time.monotonic() - started > _START_TIMEOUT:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            text = log.read_bytes()[position:].decode(errors="replace")
            tail = "\n".join(text.splitlines()[-15:])
            raise RuntimeError(f"The sandbox did not start; its log {log} ends with:\n{tail}")
        time.sleep(0.1)
    print(f"The sandbox in {home.path} is up after {time.monotonic() - started:.1f} s.")
    return 0


def _down(home: Home, options: argparse.Namespace, how: signal.Signals = signal.SIGTERM) -> int:
    state = read_json(home.state)
    if state is None or not _alive(state["pid"]):
        print(f"No sandbox is up in {home.path}.")
        return 0
    os.kill(state["pid"], how)
    end = time.monotonic() + 90
    while _alive(state["pid"]):
        if time.monotonic() > end:
            os.kill(state["pid"], signal.SIGKILL)
            break
        time.sleep(0.1)
    print(f"The sandbox in {home.path} is down.")
    return 0


def _alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return text.rsplit(")", 1)[1].split()[0] != "Z" and "aksops_sandbox" in Path(f"/proc/{pid}/cmdline").read_text()


def _status(home: Home, options: argparse.Namespace) -> int:
    state = _running(home)
    if state is None:
        print(f"No sandbox is up in {home.path}.")
        return 3
    status = admin.call(home.admin_socket, "GET", "status")
    print(f"Sandbox    {home.path} (pid {state['pid']})")
    print("Proxies    " + ", ".join(f"{name} 127.0.0.1:{port}" for name, port in state["ports"].items()))
    print(f"Processes  {', '.join(status['processes']) or 'none'}")
    print("Resources")
    for kind, count in sorted(status["resources"].items()):
        print(f"  {count:4d}  {kind}")
    for rule in status["faults"]:
        print(f"Fault      {json.dumps(rule)}")
    return 0


def _reset(home: Home, options: argparse.Namespace) -> int:
    _down(home, options, signal.SIGUSR1)
    if home.path.exists():
        if not ((home.path / "principals.json").exists() or not any(home.path.iterdir())):
            raise RuntimeError(f"{home.path} is not a sandbox's home: nothing was deleted.")
        shutil.rmtree(home.path)
    forget_abandoned()
    print(f"The state in {home.path} is gone.")
    return 0


def _env(home: Home, options: argparse.Namespace) -> int:
    print(environment.restores() if options.unset else environment.exports(home, options.vantage, options.account))
    return 0


def _exec(home: Home, options: argparse.Namespace) -> int:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise RuntimeError("exec needs a command: aksops-sandbox exec -- CMD.")
    variables = environment.child(home, options.vantage, options.account)
    program = shutil.which(argv[0], path=variables["PATH"])
    if program is None:
        raise RuntimeError(f"There is no program '{argv[0]}' on PATH.")
    os.execve(program, argv, variables)


def _ledger(home: Home, options: argparse.Namespace) -> int:
    query = {name: getattr(options, name) for name in ("since", "method", "host", "path", "limit")}
    entries = admin.call(home.admin_socket, "GET", "ledger", query=query)
    if options.last:
        print(entries[-1]["serial"] if entries else options.since)
        return 0
    for entry in entries:
        print(json.dumps(entry))
    return 0


def _fault(home: Home, options: argparse.Namespace) -> int:
    delays = ("rbac-delay", "policy-delay", "firewall-delay")
    if options.kind in delays:
        admin.call(home.admin_socket, "POST", options.kind, {"seconds": options.seconds})
    if options.kind == "clear":
        admin.call(home.admin_socket, "DELETE", "fault")
    if options.seed is not None:
        admin.call(home.admin_socket, "POST", "fault", {"seed": options.seed})
    if options.kind not in {None, "clear", *delays}:
        rule = {name: getattr(options, name) for name in ("kind", "host", "path", "method", "rate", "status", "count")}
        rule |= {"milliseconds": options.ms, "retry_after": options.retry_after}
        admin.call(home.admin_socket, "POST", "fault", rule)
    for rule in admin.call(home.admin_socket, "GET", "fault"):
        print(json.dumps(rule))
    return 0


def _logs(home: Home, options: argparse.Namespace) -> int:
    folder = home.path / "logs"
    if options.name == "list":
        print("\n".join(sorted(file.stem for file in folder.glob("*.log"))))
        return 0
    file = folder / f"{options.name}.log"
    if not file.exists():
        raise RuntimeError(f"There is no log '{options.name}': 'aksops-sandbox logs list' names them.")
    print("\n".join(file.read_text(errors="replace").splitlines()[-options.lines :]))
    return 0


def _tools(home: Home, options: argparse.Namespace) -> int:
    return subprocess.call([sys.executable, "-P", "-m", "aksops_sandbox.tools", *options.argv])


def _call(home: Home, options: argparse.Namespace) -> int:
    print(json.dumps(admin.call(home.admin_socket, "POST", options.name, json.loads(options.argument)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
