"""Whether this machine can run a recipe: devices, memory, disk, libraries, weights; and what to do where it cannot."""

import os
import platform
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import shipped_recipes
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.installed_parts import Part, installed_parts
from imgdiff_assets.setup.model_list import ModelState, distinct, in_memory, model_states, role_settings
from resources.backends.choice import OWN, backend_of, backends
from resources.installed import BrokenPart
from resources.loading import devices
from resources.loading.known_models import NOT_STATED

SLOW_ON_A_CPU = 1_000_000_000
"""Bytes of weights from which on a CPU works, but takes minutes for a row."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where models can run, with its memory in bytes."""

    device: str
    name: str
    free: int
    total: int


@dataclass(slots=True)
class RecipeReport:
    """Whether a recipe runs here.

    `fits` is `together` (all models at once), `in_turn` (one at a time) or `no`. `problems` keep it from running, each
    with what to do about it; `remarks` do not.
    """

    recipe: str
    present: int
    models: int
    to_fetch: int
    largest: int
    together: int
    fits: str
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What `imgdiff doctor` found; bytes throughout."""

    python: str
    system: str
    cpus: int
    disk_free: dict[str, int]
    versions: dict[str, str]
    devices: list[Device]
    recipes: list[RecipeReport]
    installed: list[Part] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def examine(home: Home, recipe: Recipe, options: str, needed: Collection[str]) -> Report:
    """Look at this machine, and at `recipe` and the shipped recipes; `recipe` comes first.

    `options` are those that name it to another command, `needed` the roles that this home's shards need.
    """
    found = available_devices()
    folders = (home.local, weights_cache())
    parts, broken = installed_parts(recipe)
    others = [load_recipe(name) for name in shipped_recipes() if name != recipe.name]
    return Report(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpus=os.cpu_count() or 1,
        disk_free={str(folder): _disk_free(folder) for folder in folders},
        versions=library_versions(),
        devices=found,
        recipes=[
            _of_home(recipe, found, options, needed),
            *(examine_recipe(each, model_states(each), found, f" --recipe {each.name}") for each in others),
        ],
        installed=parts,
        remarks=list(dict.fromkeys([*_remarks(found), *broken])),
    )


def _of_home(recipe: Recipe, found: Sequence[Device], options: str, needed: Collection[str]) -> RecipeReport:
    """The recipe with those of its models that this home needs."""
    states = model_states(recipe)
    there = [state for state in states if state.role in needed]
    if len(there) == len(states):
        return examine_recipe(recipe, states, found, options)
    report = examine_recipe(recipe, there, found, f"{options} --roles {' '.join(state.role for state in there)}")
    others = ", ".join(state.role for state in states if state not in there)
    report.remarks.append(f"this home has given pairs alone, which need no {others}")
    return report


def available_devices() -> list[Device]:
    """The accelerators that torch sees, then the CPU."""
    import torch

    found = []
    for number in range(torch.cuda.device_count()):
        device = f"cuda:{number}"
        found.append(Device(device, torch.cuda.get_device_name(device), *devices.memory(device)))
    return [*found, Device("cpu", torch.backends.cpu.get_cpu_capability(), *devices.memory("cpu"))]


def weights_cache() -> Path:
    """Where the weights of the hub are kept."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def examine_recipe(
    recipe: Recipe, states: Sequence[ModelState], available: Sequence[Device], options: str = ""
) -> RecipeReport:
    """Whether the models in `states` are here, and fit into the memory of the devices they are meant for."""
    report = RecipeReport(recipe.name, sum(state.present for state in states), len(states), 0, 0, 0, "together")
    fetchable = distinct(state for state in states if state.fetchable and not state.present)
    report.to_fetch = sum(state.disk_bytes or 0 for state in fetchable)
    by_device: dict[str, list[ModelState]] = {}
    for state in states:
        settings = role_settings(recipe)[state.role]
        try:
            device = backend_of(settings).device(settings)
        except ValueError as error:
            report.problems.append(f"{state.role}: {error}")
        else:
            if device is not None:
                by_device.setdefault(device, []).append(state)
    if recipe.models.verifier is not None and any(state.role == "verifier" for state in states):
        report.remarks.append(f"the verifier: {recipe.verifier_agreement or NOT_STATED}")
    for name, there in by_device.items():
        memory = next((each for each in available if each.device == name), None)
        if memory is not None:
            _weigh(report, there, memory)
    if fetchable:
        report.problems.append(
            f"{counted(len(fetchable), 'model')} missing, {bytes_text(report.to_fetch)}: "
            f"fetch with `imgdiff models pull{options}`"
        )
    # A server that two roles ask is told of once.
    missing = (str(state.missing) for state in states if not state.present and not state.fetchable)
    report.problems += dict.fromkeys(missing)
    if any(state.disk_bytes is None for state in fetchable):
        report.remarks.append("the size of a model that is not here is not known: the sums leave it out")
    return report


def _weigh(report: RecipeReport, states: Sequence[ModelState], device: Device) -> None:
    """Compare the models of one device with its memory."""
    # As `devices.load` reckons before it loads: an accelerator keeps a share for what the models compute.
    room = device.total * (1 - (0 if device.device == "cpu" else devices.ACTIVATION_SHARE))
    sizes = {state.role: state.memory_bytes or 0 for state in states}
    together = sum(state.memory_bytes or 0 for state in in_memory(states))
    largest = max(sizes, key=lambda role: sizes[role])
    report.largest = max(report.largest, sizes[largest])
    report.together += together
    if sizes[largest] > room:
        report.fits = "no"
        report.problems.append(
            f"{largest} takes {bytes_text(sizes[largest])}, and {device.device} has room for {bytes_text(room)}: take "
            "a smaller model or a half-precision `dtype`, or let a server run it (`base_url`)"
        )
    elif together > room and report.fits == "together":
        report.fits = "in_turn"
    if device.device == "cpu" and sizes[largest] > SLOW_ON_A_CPU:
        report.remarks.append("models this large run on a CPU, but take minutes for a row: use an accelerator")


def _remarks(available: Sequence[Device]) -> list[str]:
    remarks = []
    if len(available) == 1 and shutil.which("nvidia-smi"):
        remarks.append(
            "there is an NVIDIA driver, but torch sees no GPU: install a build of torch with CUDA, or see `nvidia-smi`"
        )
    try:
        known = backends()
    except BrokenPart as error:
        remarks.append(str(error).removesuffix("."))
        known = OWN
    for backend in known.values():
        remarks += [
            f"models {backend.place} need the {module} package: {command}"
            for module, command in backend.packages.items()
            if find_spec(module) is None
        ]
    return remarks


def _disk_free(folder: Path) -> int:
    """The free bytes where `folder` is, or will be."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free
