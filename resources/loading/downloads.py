"""Fetching the weights that a role needs: from the Hugging Face hub, or as the checkpoint files of Segment Anything.

Of a repository only what is loaded is fetched: configurations, tokenizers and one set of weights, as safetensors where
there are any; and the model's card, which states its licence. What was fetched before stays; what was interrupted goes
on.
"""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from filelock import FileLock
from tqdm import tqdm

from resources.errors import ExpectedError
from resources.loading import weights
from resources.loading.loaded_files import WEIGHT_SUFFIXES, loaded_files

CHECKPOINT_URL = "https://dl.fbaipublicfiles.com/segment_anything"
PIECE = 1 << 20
TIMEOUT_SECONDS = 30


class DownloadFailed(ExpectedError, OSError):
    """Weights that could not be fetched; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where weights are, and which commit of their repository they are; None for what has no commits."""

    path: Path
    commit: str | None = None


def is_remote(model: str) -> bool:
    """Whether `model` names something that can be fetched, and not a path or a model of this package."""
    return weights.HUB_ID.fullmatch(model) is not None and not Path(model).expanduser().exists()


def fetch(model: str, revision: str | None = None, dtype: str = "float32") -> Fetched:
    """Fetch `model` (a hub id, or one of `weights.CHECKPOINTS`) unless it is there, with progress on stderr.

    Of weights that are published in half precision too, `float16` fetches those. Raises DownloadFailed.
    """
    if model in weights.CHECKPOINTS:
        return Fetched(_fetch_checkpoint(model))
    return _fetch_from_hub(model, revision, dtype)


def _fetch_from_hub(model: str, revision: str | None, dtype: str) -> Fetched:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    with _hub_errors_explained(model, revision):
        names = HfApi().list_repo_files(model, revision=revision)
        components: list[str] = []
        if "model_index.json" in names:
            components = weights.diffusers_components(
                Path(hf_hub_download(model, "model_index.json", revision=revision))
            )
        wanted = loaded_files(names, components, dtype)
        if not any(PurePosixPath(name).suffix in WEIGHT_SUFFIXES for name in wanted):
            raise DownloadFailed(
                f"{model}: the repository holds no weights that diffusers, transformers or open_clip load."
            )
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=wanted))
    _fetch_card(model, folder.name)
    return Fetched(folder, folder.name)


def _fetch_card(model: str, commit: str) -> None:
    """Fetch the model's card if it has one. The model runs without it: whatever fails here fails nothing."""
    import httpx2
    from huggingface_hub import hf_hub_download

    with suppress(httpx2.HTTPError, OSError):
        hf_hub_download(model, "README.md", revision=commit)


@contextmanager
def _hub_errors_explained(model: str, revision: str | None) -> Iterator[None]:
    import httpx2
    from huggingface_hub import constants, errors

    place = f"{model}" + (f" at {revision}" if revision else "")
    try:
        yield
    except errors.GatedRepoError:
        raise DownloadFailed(
            f"{place}: its owners ask for consent. Give it at {constants.ENDPOINT}/{model}, then `hf auth login`."
        ) from None
    except errors.RevisionNotFoundError:
        raise DownloadFailed(
            f"{place}: there is no such branch, tag or commit: correct the field `revision`."
        ) from None
    except errors.RepositoryNotFoundError:
        raise DownloadFailed(
            f"{place}: {constants.ENDPOINT} knows no such model, or not to you: correct the field `model`, or "
            "`hf auth login`."
        ) from None
    except (httpx2.HTTPError, OSError) as error:
        if isinstance(error, DownloadFailed):
            raise
        raise DownloadFailed(_unreachable(place, constants.ENDPOINT, constants.HF_HUB_CACHE, error)) from error


def _unreachable(what: str, where: str, cache: str, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{what}: {where} did not deliver it ({reason[:300]}). The same command goes on with what is there; for a "
        f"machine without network, copy the folder {cache} from one that has fetched it."
    )


def _fetch_checkpoint(name: str) -> Path:
    """Fetch a checkpoint of Segment Anything into PyTorch's cache; what an interrupted call left is gone on with."""
    folder = weights.checkpoint_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file, partial = folder / name, folder / f"{name}.partial"
    with FileLock(folder / f"{name}.lock"):
        if not file.exists():
            try:
                _fetch_rest(f"{CHECKPOINT_URL}/{name}", partial, name)
            except (urllib.error.URLError, HTTPException, OSError) as error:
                raise DownloadFailed(_unreachable(name, CHECKPOINT_URL, str(folder), error)) from error
            _check_md5(partial, name)
            partial.rename(file)
    return file


def _fetch_rest(url: str, partial: Path, name: str) -> None:
    """Fetch what `partial` lacks of the file, or all of it where `partial` is no beginning of it."""
    try:
        _resume(url, partial)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # The file has no more bytes than are here.
        if not _md5(partial).startswith(_expected_md5(name)):
            partial.unlink()
            _resume(url, partial)


def _resume(url: str, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        have = have if response.status == 206 else 0
        left = int(response.headers["Content-Length"])
        with (
            partial.open("ab" if have else "wb") as file,
            tqdm(desc=partial.stem, total=have + left, initial=have, unit="B", unit_scale=True) as bar,
        ):
            while piece := response.read(PIECE):
                file.write(piece)
                bar.update(len(piece))
    if partial.stat().st_size < have + left:
        raise ConnectionError(f"the connection ended after {partial.stat().st_size} of {have + left} bytes")


def _check_md5(partial: Path, name: str) -> None:
    found, expected = _md5(partial), _expected_md5(name)
    if not found.startswith(expected):
        partial.unlink()
        raise DownloadFailed(
            f"{name}: what {CHECKPOINT_URL} delivered is another file (its MD5 begins with {found[:6]}, not "
            f"{expected}); it was removed, so fetch it again."
        )


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _expected_md5(name: str) -> str:
    return name.removesuffix(".pth").rpartition("_")[2]
