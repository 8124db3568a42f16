"""Which models are loaded on which device, shared by the whole process.

A role is fetched with `load` each time it is used and not held on to: that is what lets a machine too small for all
models of a run hold them in turn, and what attributes peak memory to the right role.

Peak memory is the most that was allocated on the accelerator, by all models there; on a CPU, the most that the whole
process had in memory (its resident set), or where the system keeps no peak that can be begun anew, what it has in
memory when the role gives way to the next.
"""

import gc
import pickle
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from resources.loading import turns, weights
from resources.loading.failures import DeviceMissing, ModelUnavailable, is_out_of_memory
from resources.loading.settings import ModelSettings

Settings = TypeVar("Settings", bound=ModelSettings)
Role = TypeVar("Role")

# The share of an accelerator's memory that is kept for activations when deciding whether another model fits. A CPU's
# memory belongs to others too, and is asked only for the weights.
ACTIVATION_SHARE = 0.25


@dataclass(slots=True)
class RoleUse:
    """What a role cost this process so far; `peak_memory_bytes` is over the times it was the last one fetched."""

    loads: int = 0
    load_seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Loaded:
    instance: Any
    device: str | None  # None: not in this process


_lock = RLock()
_shared: WeakValueDictionary[tuple[str, str | None, str, str], Any] = WeakValueDictionary()
_loaded: OrderedDict[tuple[str, str], _Loaded] = OrderedDict()  # the least recently fetched comes first
_uses: dict[str, RoleUse] = {}
_peaks: dict[str, int] = {}  # by role's settings, since `begin_peaks`
_current: tuple[str, str, str | None] | None = None  # role, settings and device of the last fetch


def cards() -> int:
    """Return how many GPUs torch sees here."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve(device: str) -> str:
    """Return the torch device that a `device` setting means on this machine: `cpu`, or a GPU with its number.

    Raises:
        DeviceMissing: torch knows no such device, or this machine does not have it.
    """
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if available else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError:
        raise DeviceMissing(
            f"The field `device` is {device!r}: write `auto`, `cpu`, `cuda` or `cuda:<number>`."
        ) from None
    if parsed.type != "cuda":
        return str(parsed)
    number = parsed.index if parsed.index is not None else torch.cuda.current_device() if available else 0
    if number >= torch.cuda.device_count():
        raise DeviceMissing(
            f"The field `device` is {device!r}, but torch sees {torch.cuda.device_count()} GPUs here: write `auto`."
        )
    return f"cuda:{number}"


def describe(device: str) -> str:
    """Return the torch device that a `device` setting means, with the kind of processor: the last bits depend on it.

    Raises:
        DeviceMissing: as `resolve`.
    """
    import torch

    resolved = resolve(device)
    kind = torch.device(resolved).type
    if kind == "cuda":
        return f"{resolved} ({torch.cuda.get_device_name(resolved)})"
    return f"{resolved} ({torch.backends.cpu.get_cpu_capability()})" if kind == "cpu" else resolved


def load(role: Callable[[Settings], Role], settings: Settings, here: bool = True) -> Role:
    """Return the one instance of the class `role` with these settings, loading it if need be.

    Before a load that would not fit, the least recently fetched models on that device are let go. For an accelerator
    that another process has it waits, where processes take turns (`resources.loading.turns`); `auto` is, of several,
    the first that is free. A model that is not
    `here`, in this process, needs no room and has no peak.

    Raises:
        WeightsMissing: its weights are not on this machine.
        ModelUnavailable: it cannot be loaded.
    """
    with _lock:
        name = f"{role.__module__}.{role.__qualname__}"
        key = (name, settings.model_dump_json())
        _attribute_peak_memory()
        device = _claim(settings.device) if here else None
        if key not in _loaded:
            if device is not None:
                # A server takes for itself what it finds free.
                whole = device != "cpu" and getattr(role, "fills_card", False)
                _make_room(device, sys.maxsize if whole else _bytes_needed(settings))
            started = time.perf_counter()
            with _explained(settings):
                _loaded[key] = _Loaded(role(settings), device)
            use = _uses.setdefault(name, RoleUse())
            use.loads += 1
            use.load_seconds += time.perf_counter() - started
        _loaded.move_to_end(key)
        global _current
        _current = (*key, device)
        instance: Role = _loaded[key].instance
        return instance


def shared(settings: ModelSettings, load: Callable[[], Role]) -> Role:
    """Return what `load` loads, or what it loaded for another role with these weights that still holds it."""
    with _lock:
        key = _weights_key(settings)
        if (known := _shared.get(key)) is None:
            known = _shared[key] = load()
        return known  # type: ignore[no-any-return]


def _weights_key(settings: ModelSettings) -> tuple[str, str | None, str, str]:
    return settings.model, settings.revision, settings.dtype, resolve(settings.device)


def _claim(device: str) -> str:
    """The torch device that a setting means, which this process may have models on from now on."""
    import torch

    if device == "auto" and (count := cards()) > 1:
        # From here on `auto` is this one for all that asks.
        torch.cuda.set_device(turns.wait_for_one([f"cuda:{number}" for number in range(count)]))
    resolved = resolve(device)
    turns.wait_for(resolved)
    return resolved


@contextmanager
def _explained(settings: ModelSettings) -> Iterator[None]:
    """Say of any error of a library what model it is about, and what its users can do."""
    try:
        yield
    except (FileNotFoundError, ModelUnavailable):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            reason = "its pickled weights hold more than tensors, and loading them could run any code"
            advice = "take a model that is published as safetensors"
        elif "trust_remote_code" in reason:
            reason = "it brings code of its own, which would be run"
            advice = "take a model whose classes transformers and diffusers have themselves"
        elif is_out_of_memory(error):
            advice = "take a smaller one, set `dtype` to a half precision, or see with `imgdiff doctor` what fits"
        else:
            advice = "correct the fields `model` and `revision`, or fetch it again with `imgdiff models pull`"
        raise ModelUnavailable(f"The model {settings.model!r} is not loaded: {reason[:500]}: {advice}.") from error


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


def begin_peaks() -> None:
    """Forget the peaks that `peak_memory` tells of: another stage begins."""
    with _lock:
        _attribute_peak_memory()
        _peaks.clear()


def peak_memory(settings: ModelSettings) -> int | None:
    """Return the peak memory in bytes while a role with these settings was the last one fetched, since `begin_peaks`.

    None if it was not fetched, or does not run in this process.
    """
    with _lock:
        _attribute_peak_memory()
        return _peaks.get(settings.model_dump_json())


def unload_all() -> None:
    """Let go of every model and hand the accelerators' memory back."""
    with _lock:
        _attribute_peak_memory()
        global _current
        _current = None
        if _loaded:
            _loaded.clear()
            release_memory()
        turns.give_back()


def give_way() -> None:
    """Let go of every model if any is on an accelerator that another process may be waiting for."""
    if turns.any_taken():
        unload_all()


def release_memory() -> None:
    """Hand back the memory that is used no longer, to the accelerators too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _bytes_needed(settings: ModelSettings) -> int:
    """The memory that the weights take, zero where the files are not known, or another role has them loaded."""
    if settings.shares_weights and _weights_key(settings) in _shared:
        return 0
    try:
        return weights.memory(weights.locate(settings.model, settings.revision), settings.dtype)
    except FileNotFoundError:
        return 0  # some libraries know models by names of their own


def _make_room(device: str, needed: int) -> None:
    for key in [key for key, loaded in _loaded.items() if loaded.device == device]:
        free, total = memory(device)
        if free >= needed + (0 if device == "cpu" else ACTIVATION_SHARE * total):
            return
        del _loaded[key]
        release_memory()


def memory(device: str) -> tuple[int, int]:
    """Return the device's (free, total) bytes; what torch holds without using it counts as free."""
    if device == "cpu":
        import psutil

        machine = psutil.virtual_memory()
        return machine.available, machine.total
    import torch

    if device.startswith("mps"):  # which shares the machine's memory, and keeps no peak
        limit = torch.mps.recommended_max_memory()
        return limit - torch.mps.driver_allocated_memory(), limit
    free, total = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device), total


def _attribute_peak_memory() -> None:
    """Credit the peak since the last fetch to the role that was fetched then, and begin a new one."""
    if _current is None:
        return
    name, settings, device = _current
    if device is None:
        return
    peak = _peak(device)
    _uses[name].peak_memory_bytes = max(_uses[name].peak_memory_bytes, peak)
    _peaks[settings] = max(_peaks.get(settings, 0), peak)


def _peak(device: str) -> int:
    """Return the peak memory since the last call, and begin a new one."""
    if device.startswith("cuda"):
        import torch

        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        high = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return high
    except (OSError, IndexError, ValueError):
        import psutil

        return int(psutil.Process().memory_info().rss)
