"""Where a model's weight files are on this machine, how large they are, and which exact bytes they hold."""

import hashlib
import json
import math
import os
import re
from functools import lru_cache
from pathlib import Path

from resources.loading.failures import WeightsMissing
from resources.loading.loaded_files import CONFIG_SUFFIXES, WEIGHT_SUFFIXES, loaded_files

MINIATURE_PREFIX = "miniature:"
MINIATURE_FOLDER = Path(__file__).parents[1] / "miniature" / "weights"
CHECKPOINTS = ("sam_vit_b_01ec64.pth", "sam_vit_l_0b3195.pth", "sam_vit_h_4b8939.pth")
"""The files that Segment Anything is published as; the digits in their names begin their MD5."""

ITEM_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def locate(model: str, revision: str | None = None) -> Path:
    """Return the folder (or single file) that holds the weights of `model`.

    `miniature:<role>` is a folder shipped with this package; anything that exists on disk is taken as it is; one of
    `CHECKPOINTS` lies in the cache of PyTorch; anything else must be a hub id whose snapshot is in the local Hugging
    Face cache, for nothing is downloaded here.

    Raises:
        WeightsMissing: the weights are not on this machine, or not all of them; the message says where they were
            looked for and how to get them.
    """
    if model.startswith(MINIATURE_PREFIX):
        return _locate_miniature(model.removeprefix(MINIATURE_PREFIX))
    local = Path(model).expanduser()
    if model in CHECKPOINTS and not local.exists():
        local = checkpoint_folder() / model
        if not local.exists():
            raise WeightsMissing(
                f"The checkpoint {model} is not in {local.parent}: fetch it with `imgdiff models pull`, or set the "
                "field `model` to the file."
            )
    if local.exists():
        if not weight_files(local):
            raise WeightsMissing(f"The folder {local} holds no weight files: correct the path in the field `model`.")
        return local.resolve()
    if not HUB_ID.fullmatch(model):
        raise WeightsMissing(f"There are no weights at {local}: correct the path in the field `model`.")
    return _locate_in_hub_cache(model, revision)


def _locate_miniature(role: str) -> Path:
    folder = MINIATURE_FOLDER / role
    shipped = sorted(path.name for path in MINIATURE_FOLDER.glob("*") if any(path.glob("*")))
    if role not in shipped:
        raise WeightsMissing(
            f"There are no miniature weights for the role {role!r} in {MINIATURE_FOLDER} "
            f"(present: {', '.join(shipped) or 'none'}): correct the field `model`, or train them with "
            "`python -m resources.miniature.train`."
        )
    return folder


def _locate_in_hub_cache(model: str, revision: str | None) -> Path:
    # Imported here because it reads its environment variables on import and costs the definitions a tenth of a second.
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except IncompleteSnapshotError as error:
        # A repository often holds the same weights in several formats; whoever fetched one of them has enough.
        folder = Path(error.snapshot_path)
    except LocalEntryNotFoundError:
        option = f" --revision {revision}" if revision else ""
        raise WeightsMissing(
            f"The model {model!r} is neither a path nor in the Hugging Face cache {constants.HF_HUB_CACHE}: fetch it "
            f"with `imgdiff models pull` (or `hf download {model}{option}`), or set the field `model` to a folder "
            "that holds it."
        ) from None
    missing = missing_files(folder)
    if missing:
        raise WeightsMissing(
            f"The model {model!r} is not whole in {folder} ({missing[0]} is missing): `imgdiff models pull` goes on "
            "with the download."
        )
    return folder


def in_hub_cache(folder: Path) -> bool:
    """Whether a folder that `locate` gave is a snapshot in the cache of the Hugging Face hub."""
    return folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--")


def checkpoint_folder() -> Path:
    """Return where PyTorch keeps the checkpoints that are fetched by their names."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"


def missing_files(folder: Path) -> list[str]:
    """Return what an interrupted download left out of a model's folder: shards and components that it lists itself."""
    missing = []
    for index in sorted(folder.rglob("*.index.json")):
        shards = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        absent = sorted(shard for shard in shards if not (index.parent / shard).is_file())
        # Of several formats of the same weights, one is enough.
        if absent and (len(absent) < len(shards) or not _files(index.parent, WEIGHT_SUFFIXES)):
            missing += [(index.parent / shard).relative_to(folder).as_posix() for shard in absent]
    pipeline = folder / "model_index.json"
    for name in diffusers_components(pipeline) if pipeline.is_file() else ():
        part = folder / name
        if not part.is_dir() or ((part / "config.json").is_file() and not _files(part, WEIGHT_SUFFIXES)):
            missing.append(name)
    return missing


def diffusers_components(model_index: Path) -> list[str]:
    """Return the folders that a pipeline consists of. Raises FileNotFoundError where the file does not tell."""
    try:
        parts = json.loads(model_index.read_text(encoding="utf-8"))
        return [name for name, value in parts.items() if isinstance(value, list) and all(value)]
    except (ValueError, AttributeError):
        raise WeightsMissing(
            f"{model_index} is damaged: remove it, and fetch it again with `imgdiff models pull`."
        ) from None


def files(path: Path, dtype: str = "float32") -> list[Path]:
    """Return the weight and configuration files under `path` that are loaded to run the model in `dtype`, sorted.

    Outside of pipelines, where no weights have a name that the libraries look for, all of them count.
    """
    if path.is_file():
        return [path]
    present = _files(path, WEIGHT_SUFFIXES | CONFIG_SUFFIXES)
    pipeline = path / "model_index.json"
    components = diffusers_components(pipeline) if pipeline.is_file() else []
    named = {file.relative_to(path).as_posix(): file for file in present}
    # Paths sort by their parts, names do not.
    loaded = sorted(named[name] for name in loaded_files(named, components, dtype))
    return loaded if components or any(file.suffix in WEIGHT_SUFFIXES for file in loaded) else present


def weight_files(path: Path, dtype: str = "float32") -> list[Path]:
    """Return those of `files` that hold weights."""
    return [file for file in files(path, dtype) if path.is_file() or file.suffix in WEIGHT_SUFFIXES]


def size(path: Path, dtype: str = "float32") -> int:
    """Return how many bytes the weights under `path` take on disk that are loaded to run the model in `dtype`."""
    return sum(file.stat().st_size for file in weight_files(path, dtype))


def memory(path: Path, dtype: str) -> int:
    """Return the bytes that the weights under `path` take once they are loaded in `dtype`; files that do not say how
    many numbers they hold are taken for half precision, the larger guess."""
    item = ITEM_SIZES[dtype]
    counts = [(_element_count(file), file.stat().st_size) for file in weight_files(path, dtype)]
    return sum(size * item // 2 if count is None else count * item for count, size in counts)


def _element_count(file: Path) -> int | None:
    """The numbers in a safetensors file, by its header."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return None
    try:
        with safe_open(file, "numpy") as tensors:
            shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
            return sum(map(math.prod, shapes))
    except SafetensorError:
        return None


def digest(path: Path, dtype: str = "float32") -> str:
    """Return the SHA-256 (hexadecimal) of the files at `path` that are loaded in `dtype`, their names included.

    So it stays the same when other formats or precisions of the same weights are put beside them.
    """
    whole = hashlib.sha256()
    for file in files(path, dtype):
        status = file.stat()
        name = file.name if file == path else file.relative_to(path).as_posix()
        whole.update(f"{_file_digest(file, status.st_size, status.st_mtime_ns)}  {name}\n".encode())
    return whole.hexdigest()


def _files(path: Path, suffixes: frozenset[str]) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in suffixes and file.is_file())


@lru_cache(maxsize=4096)
def _file_digest(file: Path, size: int, modified_ns: int) -> str:
    # The hub's cache names the file behind the link by its SHA-256: gigabytes need not be read to know it again.
    stored = file.resolve()
    if stored.parent.name == "blobs" and _SHA256.fullmatch(stored.name):
        return stored.name
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
