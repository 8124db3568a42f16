"""Every role on a real GPU: its results beside the CPU's in each precision, its memory, and its turns.

`make test-gpu` runs these; without a GPU they are skipped. The reference is always the CPU in float32, so a half
precision may be as far from it as its own rounding takes it: the bounds are three to five times what the CPU's own
half precision was seen to be from its float32, and no less than what the shorter floats of a GPU's convolutions cost.
"""

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imgdiff_assets.engine.batches import Batches
from imgdiff_assets.stages.steps import Measurement
from resources.loading import devices, turns
from tests.resources.test_on_an_accelerator import MODELS, ROLES

GPU = "cuda"
MIB = 2**20
DTYPES = ("float32", "float16", "bfloat16")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

# The scheduler of some models hands a tensor to numpy in a way that numpy is about to drop.
pytestmark.append(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    yield
    devices.unload_all()


def use(name: str, device: str, dtype: str) -> Any:
    """What a role makes of the same inputs."""
    role, build, run, changes = ROLES[name]
    settings = MODELS[role].model_copy(update={**changes, "device": device, "dtype": dtype})
    return run(devices.load(build, settings))


@cache
def expected(name: str) -> Any:
    return use(name, "cpu", "float32")


def pictures(one: Any, other: Any) -> float:
    """The mean difference of pixels, of 255."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def numbers(one: Any, other: Any) -> float:
    """The largest difference."""
    pairs = zip(one, other, strict=True)
    return max(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) for a, b in pairs)


def texts(one: Any, other: Any) -> float:
    """The share of answers that are others."""
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)


def boxes(one: Any, other: Any) -> float:
    """The largest distance of an edge in pixels, over boxes of which each image has as many."""
    pairs = [(a, b) for (a, _), (b, _) in zip(one, other, strict=True)]
    if any(len(a) != len(b) for a, b in pairs):
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in pairs if len(a))


APART: dict[str, tuple[Callable[[Any, Any], float], dict[str, float]]] = {
    "prompt_rewriter": (texts, {"float32": 0, "float16": 0.4, "bfloat16": 0.4}),
    "pair_generator with everything": (pictures, {"float32": 0.1, "float16": 0.1, "bfloat16": 1.5}),
    "image_text_encoder": (numbers, {"float32": 1e-3, "float16": 2e-3, "bfloat16": 8e-3}),
    "image_text_matcher": (numbers, {"float32": 1e-3, "float16": 2e-3, "bfloat16": 5e-3}),
    "segmenter": (boxes, {"float32": 1, "float16": 1, "bfloat16": 2}),
    "captioner": (texts, {"float32": 0, "float16": 0.4, "bfloat16": 0.4}),
    "inpainter": (pictures, {"float32": 0.1, "float16": 0.1, "bfloat16": 0.3}),
    "verifier": (numbers, {"float32": 1e-3, "float16": 1e-3, "bfloat16": 2e-3}),
    "verifier that is asked": (numbers, {"float32": 2e-3, "float16": 2e-3, "bfloat16": 1.5e-2}),
}
"""By role: how a result is compared, and the most that it may be apart in each precision."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROLES)
def test_a_role_gives_there_what_it_gives_on_the_cpu(name: str, dtype: str) -> None:
    compare, allowed = APART[name]
    assert compare(use(name, GPU, dtype), expected(name)) <= allowed[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_pair_twice_is_the_same_to_the_bit(dtype: str) -> None:
    once, again = (use("pair_generator with everything", GPU, dtype) for _ in range(2))
    np.testing.assert_array_equal(np.stack(once), np.stack(again))


@pytest.mark.parametrize("name", ROLES)
def test_a_role_leaves_no_memory_behind(name: str) -> None:
    """The first time, libraries take what they keep for themselves."""
    left = []
    for _ in range(3):
        use(name, GPU, "float32")
        devices.unload_all()
        gc.collect()
        left.append(torch.cuda.memory_allocated())
    assert left[2] - left[1] <= MIB
    assert devices.uses()


def test_a_role_that_does_not_fit_beside_another_takes_its_place() -> None:
    """Memory that is left is less than a share that is kept for activations: one model at a time."""
    name, other = "image_text_matcher", "captioner"
    use(name, GPU, "float32")
    kept = devices.memory(f"{GPU}:0")[0] - int(devices.ACTIVATION_SHARE * devices.memory(f"{GPU}:0")[1])
    ballast = torch.empty(max(kept, 0) + MIB, dtype=torch.uint8, device=GPU)
    use(other, GPU, "float32")
    assert [loaded for loaded, _ in devices._loaded] == [
        f"{ROLES[other][1].__module__}.{ROLES[other][1].__qualname__}"
    ]
    del ballast


def test_what_does_not_fit_is_measured_in_halves() -> None:
    """Torch's own error, at a limit of its own."""
    allocated: list[int] = []

    def run(rows: Any, work: Any) -> list[dict[str, float]]:
        allocated.append(len(rows))
        return [{"value": float(torch.ones(len(rows) * 64 * MIB, dtype=torch.uint8, device=GPU)[0])} for _ in rows]

    step = Measurement(name="large", columns=(), inputs=(), run=run)
    batches = Batches(step, None, 8)  # type: ignore[arg-type]
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 200 * MIB) / total)
    try:
        results = batches.run([{}] * 8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert results == [[{"value": 1.0}]] * 8
    assert (batches.batch_size, allocated[:3]) == (2, [8, 4, 2])


def _takes_its_turn(folder: Path, events: Connection) -> None:
    with turns.taking_turns(folder, "another", lambda text: events.send("waits")):
        use("image_text_encoder", GPU, "float32")
        events.send("has it")
        events.recv()
        devices.unload_all()
    events.send("gave it back")
    events.recv()


def test_two_processes_take_turns(tmp_path: Path) -> None:
    apart = multiprocessing.get_context("spawn")
    pipes = [apart.Pipe() for _ in range(2)]
    processes = [apart.Process(target=_takes_its_turn, args=(tmp_path, theirs)) for _, theirs in pipes]
    first, second = (ours for ours, _ in pipes)
    try:
        processes[0].start()
        assert first.recv() == "has it"
        processes[1].start()
        assert second.recv() == "waits"
        first.send("go on")
        assert first.recv() == "gave it back"
        assert second.recv() == "has it"
        second.send("go on")
        assert second.recv() == "gave it back"
    finally:
        for process in processes:
            process.kill()
            process.join()
