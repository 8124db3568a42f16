"""Which of a model's files are loaded: its configurations, and one of the forms that its weights are published in.

A repository often holds the same weights in several formats and precisions. What is chosen goes by names alone, so
that it is the same for what is about to be fetched, for what is on disk, and for what a library is told to load.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth"})
CONFIG_SUFFIXES = frozenset({".json", ".txt", ".model", ".jinja"})
OPEN_CLIP_CONFIG = "open_clip_config.json"

# In the order in which open_clip, and transformers and diffusers, look for them.
_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_OTHERS = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
)

# Single files, the parts of several, and the index of the parts. Libraries write the variant in any of four places.
_WEIGHTS = re.compile(
    r"(?P<stem>\w+)(\.fp16)?(?P<part>-\d+-of-\d+)?(\.fp16)?\.(?P<format>safetensors|bin)"
    r"(?P<index>(\.fp16)?\.index(\.fp16)?\.json)?"
)


def loaded_files(names: Collection[str], components: Collection[str] = (), dtype: str = "float32") -> list[str]:
    """Return which of the files `names` (relative, with slashes) of a model are loaded to run it in `dtype`, sorted.

    `components` are the folders of a diffusers pipeline; without any, the files of a transformers, open_clip or SAM
    model lie at the root.
    """
    half = bool(components) and variant(names, dtype) is not None
    chosen: list[str] = []
    for folder in {".", *components}:
        inside = [name for name in names if str(PurePosixPath(name).parent) == folder]
        if folder == "." and components:
            # Single files beside the components hold the whole pipeline once more.
            chosen += [name for name in inside if _is_configuration(name)]
        else:
            chosen += [name for name in inside if _is_configuration(name)] + weight_set(inside, half)
    return sorted(chosen)


def variant(names: Iterable[str], dtype: str) -> str | None:
    """Return which variant of a diffusers pipeline is loaded: half precision where it is wanted, or all there is."""
    files = [name for name in names if re.fullmatch(r"unet/[^/]+\.safetensors", name)]
    halves = [name for name in files if is_half(name)]
    return "fp16" if halves and (dtype == "float16" or len(halves) == len(files)) else None


def is_half(name: str) -> bool:
    """Whether a file's name says that it holds the weights in half precision."""
    return ".fp16" in PurePosixPath(name).name


def weight_set(names: Iterable[str], half: bool = False) -> list[str]:
    """Return the files of the one form of the weights in a folder that is loaded, with the index of its parts.

    `names` are all of the same folder. `half` prefers half precision, which is taken anyhow where there is no other.
    """
    named = {name: PurePosixPath(name).name for name in names}
    order = _OPEN_CLIP + _OTHERS if OPEN_CLIP_CONFIG in named.values() else _OTHERS
    forms: dict[tuple[int, bool, bool], list[str]] = {}
    for name, file in named.items():
        known = _WEIGHTS.fullmatch(file)
        base = f"{known['stem']}.{known['format']}" if known is not None else ""
        if known is None or base not in order:
            continue
        in_parts = bool(known["part"] or known["index"])
        # Where one file and parts are there, transformers takes the file and diffusers the parts.
        second = in_parts != base.startswith("diffusion_")
        forms.setdefault((order.index(base), is_half(file) != half, second), []).append(name)
    whole = [form for form, files in forms.items() if any(not name.endswith(".json") for name in files)]
    return forms[min(whole)] if whole else []


def _is_configuration(name: str) -> bool:
    path = PurePosixPath(name)
    known = _WEIGHTS.fullmatch(path.name)
    return path.suffix in CONFIG_SUFFIXES and not (known is not None and known["index"])
