"""A release onto the Hugging Face Hub: what would go is told first, and it goes in one commit or not at all.

Large files are sent before the commit names them, so what was stopped leaves nothing to be seen; those that arrived
are not sent again. Files of an earlier release that this one has not are taken away by the same commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import file_hash
from imgdiff_assets.release.contents import read_manifest

LEFT_HERE = (".plan", ".lock")
KEPT_THERE = (".gitattributes",)
"""What the Hub itself puts into a repository."""


class PushError(ImgDiffError, OSError):
    """A repository that cannot be published to, or a server that does not take a release."""


@dataclass(frozen=True, slots=True)
class Push:
    """What would go: `files` with their size in bytes, of which `new` are not there as they are; `gone` are there and
    not in the release. `exists` says whether the repository is there."""

    repo: str
    folder: Path
    version: str
    files: Mapping[str, int]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    exists: bool

    @property
    def bytes_to_go(self) -> int:
        return sum(self.files[name] for name in self.new)

    @property
    def changes_nothing(self) -> bool:
        """Whether the repository has this release already."""
        return self.exists and not self.new and not self.gone

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        told = {"repo": self.repo, "version": self.version, "exists": self.exists, "files": dict(self.files)}
        return {**told, "new": list(self.new), "gone": list(self.gone), "bytes_to_go": self.bytes_to_go}


def plan_push(folder: Path, repo: str, token: str | None = None) -> Push:
    """Compare a release's folder with what the dataset `repo` (OWNER/NAME) holds. Raises PushError, BrokenRelease."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    paths = {name: path for name, path in paths.items() if not name.startswith(".") and path.name not in LEFT_HERE}
    there: dict[str, Any] = {}
    exists = True
    with _told(repo):
        try:
            listed = HfApi(token=token).list_repo_tree(repo, repo_type="dataset", recursive=True)
            there = {each.path: each for each in listed if isinstance(each, RepoFile)}
        except RepositoryNotFoundError:
            exists = False
    new = tuple(name for name, path in paths.items() if name not in there or not _is_same(path, there[name]))
    gone = tuple(name for name in sorted(there) if name not in paths and name not in KEPT_THERE)
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    return Push(repo, folder, str(read_manifest(folder)["version"]), sizes, new, gone, exists)


def push(planned: Push, private: bool = False, token: str | None = None) -> str:
    """Send what was planned, in one commit; returns its address. Raises PushError, and nothing is published then."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    hub = HfApi(token=token)
    with _told(planned.repo):
        if not planned.exists:
            hub.create_repo(planned.repo, repo_type="dataset", private=private, exist_ok=True)
        head = hub.repo_info(planned.repo, repo_type="dataset").sha
        operations = [
            *(CommitOperationAdd(name, planned.folder / name) for name in planned.new),
            *(CommitOperationDelete(name) for name in planned.gone),
        ]
        made = hub.create_commit(
            planned.repo,
            operations,
            commit_message=f"Release {planned.version}",
            repo_type="dataset",
            parent_commit=head,
        )
        return str(made.commit_url)


def _is_same(path: Path, there: Any) -> bool:
    if there.size != path.stat().st_size:
        return False
    if there.lfs:
        return bool(there.lfs.sha256 == file_hash(path))
    return bool(there.blob_id == _git_hash(path))


def _git_hash(path: Path) -> str:
    """What git calls the file's content."""
    import hashlib

    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class _told:
    """The library's errors as one of ours, which says of which repository."""

    def __init__(self, repo: str) -> None:
        self._repo = repo

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        from httpx2 import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        if isinstance(error, HfHubHTTPError | HFValidationError | HTTPError | RuntimeError | OSError):
            causes = filter(None, [error, error.__cause__])
            text = " ".join(" ".join(map(str, causes)).split())
            raise PushError(
                f"{self._repo}: nothing was published. {text} (`hf auth login`, or HF_TOKEN, says who you are.)"
            ) from error
