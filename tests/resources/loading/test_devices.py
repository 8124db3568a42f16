import gc
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resources.loading import devices, turns
from resources.loading.file_lock import held
from resources.loading.settings import ModelSettings


class Network:
    """A role with real weights: a linear layer."""

    def __init__(self, settings: ModelSettings) -> None:
        import torch

        time.sleep(0.01)
        self.settings = settings
        self.layer = torch.nn.Linear(4, 4)


class OtherNetwork(Network):
    pass


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    devices.unload_all()
    yield
    devices.unload_all()


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of 100 bytes on which every loaded model takes 30."""
    monkeypatch.setattr(devices, "resolve", lambda device: "xla:0" if device == "auto" else device)
    monkeypatch.setattr(devices, "memory", lambda device: (100 - 30 * loaded_on(device), 100))


def loaded_on(device: str) -> int:
    return sum(loaded.device == device for loaded in devices._loaded.values())


def settings(folder: Path, name: str, **fields: object) -> ModelSettings:
    file = folder / f"{name}.safetensors"
    file.write_bytes(b"x" * 30)
    return ModelSettings.model_validate({"model": str(file), "dtype": "float16"} | fields)


def test_one_instance_for_each_class_and_settings(tmp_path: Path) -> None:
    first = devices.load(Network, settings(tmp_path, "a", device="cpu"))
    assert devices.load(Network, settings(tmp_path, "a", device="cpu")) is first
    assert devices.load(Network, settings(tmp_path, "b", device="cpu")) is not first
    assert type(devices.load(OtherNetwork, settings(tmp_path, "a", device="cpu"))) is OtherNetwork


def test_a_cpu_keeps_all_models_that_its_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "memory", lambda device: (100 - 30 * loaded_on(device), 100))
    a, b, c, d = (settings(tmp_path, name, device="cpu") for name in "abcd")
    instances = [devices.load(Network, each) for each in (a, b, c)]
    assert all(devices.load(Network, instance.settings) is instance for instance in instances)
    devices.load(Network, d)
    assert loaded_on("cpu") == 3
    assert devices.load(Network, c) is instances[2]


def test_the_least_recently_used_model_makes_room(tmp_path: Path, accelerator: None) -> None:
    a, b, c = (settings(tmp_path, name) for name in "abc")
    on_cpu = devices.load(Network, settings(tmp_path, "a", device="cpu"))
    kept = devices.load(Network, a)
    freed = weakref.ref(devices.load(Network, b))
    assert devices.load(Network, a) is kept
    devices.load(Network, c)
    gc.collect()
    assert freed() is None
    assert devices.load(Network, a) is kept
    assert devices.load(Network, on_cpu.settings) is on_cpu


def test_auto_is_of_several_cards_the_first_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = [0]
    monkeypatch.setattr(devices, "cards", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda card: current.append(int(card.partition(":")[2])))
    monkeypatch.setattr(devices, "resolve", lambda device: f"cuda:{current[-1]}" if device == "auto" else device)
    monkeypatch.setattr(turns, "_name", lambda device: device)
    with held(tmp_path / "cuda:0", "cuda:0", "another"), turns.taking_turns(tmp_path, "this test", pytest.fail):
        assert devices._claim("auto") == "cuda:1"
        assert turns.any_taken()
    devices.give_way()


def test_an_accelerator_is_this_process_s_until_its_models_are_let_go(tmp_path: Path, accelerator: None) -> None:
    kept = devices.load(Network, settings(tmp_path, "a", device="cpu"))
    devices.give_way()
    assert devices.load(Network, kept.settings) is kept, "on a CPU nobody waits"
    with turns.taking_turns(tmp_path, "this test", pytest.fail):
        devices.load(Network, kept.settings)
        assert not turns.any_taken()
        devices.load(Network, settings(tmp_path, "b"))
    assert turns.any_taken()
    devices.give_way()
    assert not turns.any_taken()
    assert not devices._loaded


def test_float32_takes_twice_the_room_of_half_precision_files(tmp_path: Path, accelerator: None) -> None:
    devices.load(Network, settings(tmp_path, "a"))
    devices.load(Network, settings(tmp_path, "b", dtype="float32"))
    assert loaded_on("xla:0") == 1


def test_a_model_too_large_for_the_device_is_tried_all_the_same(tmp_path: Path, accelerator: None) -> None:
    large = settings(tmp_path, "large")
    Path(large.model).write_bytes(b"x" * 1000)
    devices.load(Network, settings(tmp_path, "a"))
    assert devices.load(Network, large).settings == large
    assert loaded_on("xla:0") == 1


def test_a_model_known_by_name_only_is_loaded(accelerator: None) -> None:
    assert devices.load(Network, ModelSettings(model="name-of-the-library")).settings.model == "name-of-the-library"


def test_a_failed_load_leaves_nothing(tmp_path: Path) -> None:
    class Broken:
        def __init__(self, settings: ModelSettings) -> None:
            raise FileNotFoundError("no weights")

    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="no weights"):
            devices.load(Broken, settings(tmp_path, "a", device="cpu"))
    assert not devices._loaded


def test_loads_and_seconds_are_recorded(tmp_path: Path) -> None:
    name = f"{Network.__module__}.{Network.__qualname__}"
    before = devices.uses().get(name, devices.RoleUse())
    loads, seconds = before.loads, before.load_seconds
    for model in "aab":
        devices.load(Network, settings(tmp_path, model, device="cpu"))
    after = devices.uses()[name]
    assert after.loads == loads + 2
    assert 0.02 <= after.load_seconds - seconds < 60
    assert after.peak_memory_bytes > 0


def test_peak_memory_is_that_of_the_role_fetched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    peak = {"bytes": 0}
    monkeypatch.setattr(devices, "resolve", lambda device: "cuda:0")
    monkeypatch.setattr(devices, "memory", lambda device: (100, 100))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak["bytes"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peak.update(bytes=0))
    monkeypatch.setattr(devices, "_uses", {})
    monkeypatch.setattr(devices, "_current", None)
    # Which role is fetched, and what is then allocated until the next is.
    for role, used in ((Network, 300), (OtherNetwork, 500), (Network, 200)):
        devices.load(role, settings(tmp_path, role.__name__))
        peak["bytes"] = used
    assert [use.peak_memory_bytes for use in devices.uses().values()] == [300, 500]


def test_peaks_are_those_of_the_stage_that_began_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"peak": 500}
    monkeypatch.setattr(devices, "_peak", lambda device: now["peak"])
    a, b = (settings(tmp_path, name, device="cpu") for name in "ab")
    devices.load(Network, a)
    devices.begin_peaks()
    now["peak"] = 300
    devices.load(Network, b)
    now["peak"] = 100
    assert (devices.peak_memory(a), devices.peak_memory(b)) == (300, 100)
    devices.begin_peaks()
    assert devices.peak_memory(a) is None


def test_a_cpu_has_the_peak_of_the_process(tmp_path: Path) -> None:
    import numpy as np

    wanted = settings(tmp_path, "a", device="cpu")
    devices.load(Network, wanted)
    devices.begin_peaks()
    before = devices.peak_memory(wanted) or 0
    np.ones(200_000_000, np.uint8)  # gone at once
    assert 100_000_000 < (devices.peak_memory(wanted) or 0) - before < 2_000_000_000


def test_unload_all_lets_go(tmp_path: Path) -> None:
    instance = weakref.ref(devices.load(Network, settings(tmp_path, "a", device="cpu")))
    devices.unload_all()
    assert instance() is None


def test_threads_share_one_load(tmp_path: Path) -> None:
    wanted = settings(tmp_path, "a", device="cpu")
    found: list[Network] = []
    threads = [threading.Thread(target=lambda: found.append(devices.load(Network, wanted))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(instance) for instance in found}) == 1


class TestResolve:
    def test_auto_is_a_device_of_this_machine(self) -> None:
        import torch

        assert devices.resolve("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
        assert devices.resolve("cpu") == "cpu"

    @pytest.mark.parametrize("device", ["gpu", "", "cuda:x"])
    def test_a_device_that_torch_does_not_know(self, device: str) -> None:
        with pytest.raises(ValueError, match="write `auto`, `cpu`, `cuda` or `cuda:<number>`"):
            devices.resolve(device)

    def test_a_gpu_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="torch sees"):
            devices.resolve("cuda:99")


@pytest.mark.parametrize("shown", [True, False])
def test_loading_bars_are_hidden_and_come_back(shown: bool) -> None:
    from transformers.utils import logging

    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    try:
        with devices.quiet_loading(logging):
            assert not logging.is_progress_bar_enabled()
        assert logging.is_progress_bar_enabled() == shown
    finally:
        logging.enable_progress_bar()
