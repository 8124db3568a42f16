"""Fetching the weights that a role needs: from the Hugging Face hub, or as the checkpoint files of Segment Anything.

Of a repository only what is loaded is fetched: configurations, tokenizers and one set of weights, as safetensors where
there are any. What was fetched before stays; what was interrupted goes on.
"""

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from filelock import FileLock
from tqdm import tqdm

from resources.errors import ExpectedError
from resources.loading import weights

CHECKPOINT_URL = "https://dl.fbaipublicfiles.com/segment_anything"
PIECE = 1 << 20
TIMEOUT_SECONDS = 30

# Single files, and parts of several; diffusers and transformers write the variant before or after the part's number.
_WEIGHTS = re.compile(
    r"(?P<stem>(open_clip_)?(pytorch_)?model|diffusion_pytorch_model)"
    r"(?P<variant>\.fp16)?(-\d+-of-\d+)?(?P<variant_after>\.fp16)?\.(?P<format>safetensors|bin)"
)


class DownloadFailed(ExpectedError, OSError):
    """Weights that could not be fetched; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where weights are, and which commit of their repository they are; None for what has no commits."""

    path: Path
    commit: str | None = None


def is_remote(model: str) -> bool:
    """Whether `model` names something that can be fetched, and not a path or a model of this package."""
    return not model.startswith(weights.MINIATURE_PREFIX) and not Path(model).expanduser().exists()


def fetch(model: str, revision: str | None = None, dtype: str = "float32") -> Fetched:
    """Fetch `model` (a hub id, or one of `weights.CHECKPOINTS`) unless it is there, with progress on stderr.

    Of weights that are published in half precision too, `float16` fetches those. Raises DownloadFailed.
    """
    if model in weights.CHECKPOINTS:
        return Fetched(_fetch_checkpoint(model))
    return _fetch_from_hub(model, revision, dtype)


def needed_files(names: Collection[str], components: Collection[str] = (), half: bool = False) -> list[str]:
    """Return which of the files `names` of a repository are loaded.

    `components` are the folders of a diffusers pipeline; without any, the files of a transformers or open_clip model
    lie at the root. `half` prefers weights of the variant fp16.
    """
    chosen = []
    for folder in {".", *components}:
        inside = [name for name in names if str(PurePosixPath(name).parent) == folder]
        chosen += [name for name in inside if PurePosixPath(name).suffix in weights.CONFIG_SUFFIXES]
        if folder != "." or not components:
            chosen += _one_set_of_weights(inside, half)
    return sorted(chosen)


def _one_set_of_weights(names: Collection[str], half: bool) -> list[str]:
    """Return the best of the several formats in which a folder may hold the same weights."""
    open_clip = "open_clip_config.json" in names
    sets: dict[tuple[bool, bool], list[str]] = {}
    for name in names:
        known = _WEIGHTS.fullmatch(PurePosixPath(name).name)
        if known is not None and known["stem"].startswith("open_clip_") == open_clip:
            is_half = bool(known["variant"] or known["variant_after"])
            sets.setdefault((known["format"] != "safetensors", is_half != half), []).append(name)
    return sets[min(sets)] if sets else []


def _fetch_from_hub(model: str, revision: str | None, dtype: str) -> Fetched:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    with _hub_errors_explained(model, revision):
        names = HfApi().list_repo_files(model, revision=revision)
        components: list[str] = []
        if "model_index.json" in names:
            components = weights.diffusers_components(
                Path(hf_hub_download(model, "model_index.json", revision=revision))
            )
        wanted = needed_files(names, components, half=dtype == "float16")
        if not any(PurePosixPath(name).suffix in weights.WEIGHT_SUFFIXES for name in wanted):
            raise DownloadFailed(
                f"{model}: the repository holds no weights that diffusers, transformers or open_clip load."
            )
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=wanted))
    return Fetched(folder, folder.name)


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
                _resume(f"{CHECKPOINT_URL}/{name}", partial)
            except (urllib.error.URLError, HTTPException, OSError) as error:
                raise DownloadFailed(_unreachable(name, CHECKPOINT_URL, str(folder), error)) from error
            _check_md5(partial, name)
            partial.rename(file)
    return file


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
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    expected = name.removesuffix(".pth").rpartition("_")[2]
    if not found.startswith(expected):
        partial.unlink()
        raise DownloadFailed(
            f"{name}: what {CHECKPOINT_URL} delivered is another file (its MD5 begins with {found[:6]}, not "
            f"{expected}); it was removed, so fetch it again."
        )
