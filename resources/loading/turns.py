"""Processes take turns on an accelerator: the models of two seldom fit, and neither would know of the other's.

Who loads a model there takes the accelerator's lock first, and has it until all its models are let go or it ends.
Processes on a CPU do not wait for each other.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from resources.loading.file_lock import Say, one_held

_mine: dict[str, ExitStack] = {}
_hold: Callable[[Sequence[str]], AbstractContextManager[str]] | None = None


@contextmanager
def taking_turns(folder: Path, holder: str, on_wait: Say) -> Iterator[None]:
    """While the block lasts, wait for accelerators that others have who take turns in `folder`; see `file_lock`."""
    global _hold
    before, _hold = _hold, lambda devices: _one_of(devices, folder, holder, on_wait)
    try:
        yield
    finally:
        _hold = before


def wait_for(device: str) -> None:
    """Return when this process may have models on the torch device: at once on a CPU, or where no turns are taken."""
    if not device.startswith("cpu"):
        wait_for_one([device])


def wait_for_one(devices: Sequence[str]) -> str:
    """Return which of these accelerators this process may have models on: its own, or else the first that is free."""
    mine = next((device for device in devices if device in _mine), None)
    if mine is not None or _hold is None:
        return mine or devices[0]
    with ExitStack() as stack:
        device = stack.enter_context(_hold(devices))
        _mine[device] = stack.pop_all()
    return device


@contextmanager
def _one_of(devices: Sequence[str], folder: Path, holder: str, on_wait: Say) -> Iterator[str]:
    names = {folder / _name(device): device for device in devices}
    with one_held(names, holder, on_wait) as place:
        yield names[place]


def any_taken() -> bool:
    """Whether others may be waiting for an accelerator of this process."""
    return bool(_mine)


def give_back() -> None:
    """Let others have the accelerators, on which no model of this process may be left."""
    while _mine:
        _mine.popitem()[1].close()


def _name(device: str) -> str:
    """The accelerator's own name: each process may number those that it sees in another way."""
    if not device.startswith("cuda"):
        return device
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
