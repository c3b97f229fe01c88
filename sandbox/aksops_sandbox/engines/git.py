"""Git repositories of the sandbox: bare ones in its home, served by git's own http-backend."""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
import threading
from pathlib import Path

_IDENTITY = {"NAME": "aksops-sandbox", "EMAIL": "sandbox@aksops.invalid"}


class GitError(Exception):
    """git refused; the message is its own."""


class GitServer:
    """Repositories below one folder, each at the path of its URL (bare, without `.git`)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()

    def publish(self, name: str, source: Path, folders: tuple[str, ...], branch: str = "main") -> tuple[str, bool]:
        """Commit the present content of some folders of `source` (committed there or not) as the branch's next commit.

        Args:
            name: path of the repository below the root.
            source: folder that holds them.
            folders: folders to publish; what the repository held elsewhere goes.

        Returns:
            (commit, changed): nothing is committed where the tree is the same already.

        Raises:
            GitError: git refused, or the folders are not there.
        """
        with self._lock:
            repository = self._repository(name, branch)
            with tempfile.TemporaryDirectory(dir=self._root) as temporary:
                index = {"GIT_INDEX_FILE": str(Path(temporary) / "index"), "GIT_WORK_TREE": str(source)}
                _git(repository, "add", "--all", "--force", "--", *folders, cwd=source, extra=index)
                tree = _git(repository, "write-tree", cwd=source, extra=index)
            reference = f"refs/heads/{branch}"
            head = _git(repository, "rev-parse", "--verify", "--quiet", reference, check=False)
            if head and _git(repository, "rev-parse", f"{head}^{{tree}}") == tree:
                return head, False
            parent = ("-p", head) if head else ()
            commit = _git(repository, "commit-tree", tree, *parent, "-m", f"Publish {', '.join(folders)}")
            _git(repository, "update-ref", reference, commit)
            return commit, True

    def _repository(self, name: str, branch: str) -> Path:
        repository = (self._root / name.strip("/")).resolve()
        if not repository.is_relative_to(self._root.resolve()) or repository == self._root.resolve():
            raise GitError(f"'{name}' is no path below the git server's root.")
        if not (repository / "HEAD").exists():
            repository.mkdir(parents=True, exist_ok=True)
            _git(repository, "init", "--quiet", "--bare", f"--initial-branch={branch}", str(repository), cwd=self._root)
            # Entra and git hosts serve commits by id too; Argo CD fetches a pinned revision that way.
            _git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
        return repository

    def answer(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Serve one request of the smart HTTP protocol, reading only. Raises GitError where git itself fails."""
        service = path.rsplit("/", 1)[-1]
        if service == "git-receive-pack" or "service=git-receive-pack" in query:
            message = b"This repository is read-only: publish with 'aksops-sandbox call git-publish'."
            return 403, {"Content-Type": "text/plain"}, message
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        environment = {
            **_environment(),
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, cwd=self._root, timeout=60
        )
        head, separator, content = done.stdout.partition(b"\r\n\r\n")
        if not separator:
            raise GitError(f"git http-backend failed: {done.stderr.decode(errors='replace').strip()}")
        answer: dict[str, str] = {}
        for line in head.decode("latin-1").splitlines():
            key, _, value = line.partition(":")
            answer[key.strip()] = value.strip()
        status = int(answer.pop("Status", "200").split()[0])
        return status, answer, content


def _environment() -> dict[str, str]:
    """A small environment: no settings of the user's or of a surrounding repository."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    clean |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    for role in ("AUTHOR", "COMMITTER"):
        clean |= {f"GIT_{role}_{part}": value for part, value in _IDENTITY.items()}
    # The checkout may belong to another user (a container's volume).
    return clean | {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


def _git(
    repository: Path, *arguments: str, cwd: Path | None = None, extra: dict[str, str] | None = None, check: bool = True
) -> str:
    done = subprocess.run(
        ["git", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or repository,
        env={**_environment(), "GIT_DIR": str(repository), **(extra or {})},
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    if check and done.returncode:
        raise GitError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
