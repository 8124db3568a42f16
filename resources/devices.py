"""Which models are loaded on which device, shared by the whole process.

A role is fetched with `load` each time it is used and not held on to: that is what lets an accelerator too small for
all models of a run hold them in turn, and what attributes its peak memory to the right role.
"""

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any, TypeVar

from resources import weights
from resources.settings import ModelSettings

Settings = TypeVar("Settings", bound=ModelSettings)
Role = TypeVar("Role")

# The share of an accelerator's memory that is kept for activations when deciding whether another model fits.
ACTIVATION_SHARE = 0.25


@dataclass(slots=True)
class RoleUse:
    """What a role cost this process so far.

    `peak_memory_bytes` is the most memory allocated on the accelerator (by all models there) while the role was the
    last one fetched; zero on a CPU.
    """

    loads: int = 0
    load_seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Loaded:
    instance: Any
    device: str


_lock = RLock()
_loaded: OrderedDict[tuple[str, str], _Loaded] = OrderedDict()  # the least recently fetched comes first
_uses: dict[str, RoleUse] = {}
_current: tuple[str, str] | None = None  # role and device of the last fetch


def resolve(device: str) -> str:
    """Return the torch device that a `device` setting means on this machine: `cpu`, or a GPU with its number.

    Raises:
        ValueError: torch knows no such device, or this machine does not have it.
    """
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if available else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"The field `device` is {device!r}: write `auto`, `cpu`, `cuda` or `cuda:<number>`."
        ) from None
    if parsed.type != "cuda":
        return str(parsed)
    number = parsed.index if parsed.index is not None else torch.cuda.current_device() if available else 0
    if number >= torch.cuda.device_count():
        raise ValueError(
            f"The field `device` is {device!r}, but torch sees {torch.cuda.device_count()} GPUs here: write `auto`."
        )
    return f"cuda:{number}"


def describe(device: str) -> str:
    """Return the torch device that a `device` setting means, with the kind of processor: the last bits depend on it.

    Raises:
        ValueError: as `resolve`.
    """
    import torch

    resolved = resolve(device)
    kind = torch.device(resolved).type
    if kind == "cuda":
        return f"{resolved} ({torch.cuda.get_device_name(resolved)})"
    return f"{resolved} ({torch.backends.cpu.get_cpu_capability()})" if kind == "cpu" else resolved


def load(role: Callable[[Settings], Role], settings: Settings) -> Role:
    """Return the one instance of the class `role` with these settings, loading it if need be.

    Before a load that would not fit on an accelerator, the least recently fetched models there are let go. On a CPU
    all models stay.
    """
    with _lock:
        name = f"{role.__module__}.{role.__qualname__}"
        key = (name, settings.model_dump_json())
        device = resolve(settings.device)
        _attribute_peak_memory()
        if key not in _loaded:
            if device != "cpu":
                _make_room(device, _bytes_needed(settings))
            started = time.perf_counter()
            _loaded[key] = _Loaded(role(settings), device)
            use = _uses.setdefault(name, RoleUse())
            use.loads += 1
            use.load_seconds += time.perf_counter() - started
        _loaded.move_to_end(key)
        global _current
        _current = (name, device)
        instance: Role = _loaded[key].instance
        return instance


@contextmanager
def quiet_loading(*logs: Any) -> Iterator[None]:
    """Hide the loading bars of the libraries whose logging modules (of diffusers, of transformers) are given."""
    shown = [log for log in logs if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()


def uses() -> dict[str, RoleUse]:
    """Return what each role has cost so far, by the full name of its class."""
    with _lock:
        _attribute_peak_memory()
        return dict(_uses)


def unload_all() -> None:
    """Let go of every model and hand the accelerators' memory back."""
    with _lock:
        _attribute_peak_memory()
        global _current
        _current = None
        if _loaded:
            _loaded.clear()
            release_memory()


def release_memory() -> None:
    """Hand back the memory that is used no longer, to the accelerators too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _bytes_needed(settings: ModelSettings) -> int:
    """Estimate from above the accelerator memory that the weights take, zero where the files are not known."""
    try:
        on_disk = weights.size(weights.locate(settings.model, settings.revision))
    except FileNotFoundError:
        return 0  # some libraries know models by names of their own
    return 2 * on_disk if settings.dtype == "float32" else on_disk


def _make_room(device: str, needed: int) -> None:
    for key in [key for key, loaded in _loaded.items() if loaded.device == device]:
        free, total = _memory(device)
        if free >= needed + ACTIVATION_SHARE * total:
            return
        del _loaded[key]
        release_memory()


def _memory(device: str) -> tuple[int, int]:
    """Return the accelerator's (free, total) bytes; what torch holds without using it counts as free."""
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device), total


def _attribute_peak_memory() -> None:
    """Credit the accelerator's peak since the last fetch to the role that was fetched then, and begin a new one."""
    import torch

    if _current is None or not _current[1].startswith("cuda"):
        return
    name, device = _current
    _uses[name].peak_memory_bytes = max(_uses[name].peak_memory_bytes, torch.cuda.max_memory_allocated(device))
    torch.cuda.reset_peak_memory_stats(device)
