"""Times that mean something on a shared machine: what is compared takes turns, and ratios are taken turn by turn."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

MIB = 2**20
DEAREST = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: `value` in `unit`, and what it should reach, if anything."""

    what: str
    value: float
    unit: str = "×"
    goal: str = ""
    spread: tuple[float, float] | None = None  # the least and the largest of the turns
    note: str = ""


def take_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int, warm: bool = False
) -> dict[str, list[float]]:
    """Seconds of each function in each of `rounds` rounds, after one round that does not count unless all is `warm`.

    Every second round goes backwards, so that none always runs in another's wake. See `clock` for the seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(warm, rounds + 1):
        names = list(functions)
        for name in names if number % 2 else reversed(names):
            started = clock()
            functions[name]()
            if number:
                seconds[name].append(clock() - started)
    return seconds


def clock() -> float:
    """Seconds of this process on the CPU, whatever else the machine does.

    With an accelerator or several threads, seconds that pass: the machine must be idle.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def ratio(what: str, over: list[float], under: list[float], goal: str = "", note: str = "") -> Figure:
    """The median over the rounds of one's seconds over the other's."""
    ratios = [one / other for one, other in zip(over, under, strict=True)]
    return Figure(what, statistics.median(ratios), "×", goal, (min(ratios), max(ratios)), note)


def seconds(what: str, times: list[float], note: str = "") -> Figure:
    """The median of some times."""
    return Figure(what, statistics.median(times), "s", "", (min(times), max(times)), note)


def peak_memory(function: Callable[[], object]) -> float:
    """MiB that a call needs at most beyond what is allocated before: on the accelerator, else of this process."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far is forgotten
    before = _status_kib("VmRSS")
    function()
    return (_status_kib("VmHWM") - before) / 1024


def _status_kib(name: str) -> int:
    """A line of Linux's account of this process, in KiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def dearest_kernels(what: str, run: Callable[[], object]) -> list[Figure]:
    """The ten dearest kernels of a call, as shares of all of them; it is called once before."""
    from torch.profiler import ProfilerActivity, profile

    run()
    on_gpu = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
        run()
    name = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(seen.key_averages(), key=lambda event: -getattr(event, name))
    total = sum(getattr(event, name) for event in events)
    shares = [100 * getattr(event, name) / max(total, 1) for event in events[:DEAREST]]
    return [
        Figure(f"{what}: kernel {event.key[:70]}", share, "%", note=f"{event.count} times")
        for event, share in zip(events, shares, strict=False)
    ]
