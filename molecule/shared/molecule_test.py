"""Print the process id of the `molecule test` that this process belongs to.

Prints nothing where there is none (`molecule converge` and the like leave the sandbox to the next command), and where
the test is to keep what it has made (`--destroy never`).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path


def ancestry(pid: int) -> Iterator[int]:
    """Yield a process and its ancestors, the oldest last."""
    while pid > 1:
        yield pid
        # The name, in parentheses, may hold anything; the state and the parent follow.
        pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[1])


def cleans_up(pid: int) -> bool:
    """Whether a process is a `molecule test` that ends what it starts."""
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    is_test = "test" in argv and any(os.path.basename(word) == "molecule" for word in argv)
    return is_test and "--destroy=never" not in argv and ("--destroy", "never") not in itertools.pairwise(argv)


def main() -> None:
    # Molecule's workers have its command line too; the oldest is the test.
    print(next(filter(cleans_up, reversed(list(ancestry(os.getpid())))), ""))


if __name__ == "__main__":
    main()
