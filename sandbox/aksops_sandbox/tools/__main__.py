"""Command line: build, path, status."""

from __future__ import annotations

import argparse
import sys

from . import ToolMissingError, Tools, cache, manifest
from .progress import CommandError, elapsed
from .recipes import PrerequisiteError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m aksops_sandbox.tools", description=__doc__)
    parser.add_argument("--cache", help="folder of the cache (default: below XDG_CACHE_HOME or ~/.cache)")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build what is missing, one at a time")
    build.add_argument("names", nargs="*", help=f"default: all; of {', '.join(manifest.BY_NAME)}")
    build.add_argument("--trim", action="store_true", help="keep no Go build cache")
    path = commands.add_parser("path", help="print where a binary is")
    path.add_argument("name")
    commands.add_parser("status", help="one line per tool")
    options = parser.parse_args(argv)
    tools = Tools(options.cache)
    try:
        if options.command == "build":
            seconds = tools.build(options.names, trim=options.trim)
            total = f", {elapsed(sum(seconds.values()))}" if seconds else ""
            print(f"tools: {len(seconds)} built{total}; cache {tools.root}")
        elif options.command == "path":
            print(tools.path(options.name))
        else:
            _status(tools)
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    except (ToolMissingError, CommandError, PrerequisiteError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _status(tools: Tools) -> None:
    for tool in manifest.TOOLS:
        if cache.is_built(tools.root, tool):
            state = "built"
        elif tool.name == "opentofu" and tools.locate("terraform"):
            state = f"not needed: {tools.locate('terraform')}"
        else:
            found = tools.locate(tool.build.binaries[0])
            state = f"on PATH: {found}" if found else "missing"
        print(f"{tool.name:<12} {tool.version:<10} {state}")


if __name__ == "__main__":
    sys.exit(main())
