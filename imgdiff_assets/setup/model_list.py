"""What a recipe's models are: how large, where they are on this machine, on what terms; and fetching those missing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.role_models import RoleModels
from imgdiff_assets.stages.graph import stages_of
from resources.backends.choice import backend_name, backend_of
from resources.loading.settings import ModelSettings

WIDTH = 100


@dataclass(frozen=True, slots=True)
class ModelState:
    """The model of one role.

    `backend` runs it. `disk_bytes` is what its files take, or will take once fetched, `memory_bytes` what its weights
    take in `dtype`; None where that is not known, or not this machine's concern. `missing` says why a model that is
    not `present` is not, `fetchable` whether `imgdiff models pull` may bring it.
    """

    role: str
    model: str
    revision: str | None
    dtype: str | None
    backend: str
    present: bool
    fetchable: bool
    where: str | None
    disk_bytes: int | None
    memory_bytes: int | None
    licence: str
    missing: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class UnknownRole(ImgDiffError, ValueError):
    """A name that is not a role's; the message lists those that are."""


def role_settings(recipe: Recipe) -> dict[str, ModelSettings]:
    """The settings of every role of the recipe."""
    return recipe.roles


def chosen_roles(recipe: Recipe, roles: Sequence[str] = ()) -> dict[str, ModelSettings]:
    """The settings of `roles`, or of all that some stage needs which the recipe has switched on.

    Raises UnknownRole.
    """
    known = role_settings(recipe)
    for role in roles:
        if role not in known:
            raise UnknownRole(f"{role!r} is not a role; the roles are {', '.join(known)}.")
    running = [step for stage in stages_of(recipe) if stage.enabled(recipe) for step in stage.measurements]
    chosen = roles or {role for step in running for role in step.roles}
    return {role: settings for role, settings in known.items() if role in chosen}


def model_states(recipe: Recipe) -> list[ModelState]:
    """The models of all roles that the recipe needs; servers are asked, the network is not."""
    return [model_state(role, settings) for role, settings in chosen_roles(recipe).items()]


def distinct(states: Iterable[ModelState]) -> list[ModelState]:
    """One state of each model: what two roles share is fetched once, and lies on the disk once."""
    return list({(state.model, state.revision, state.dtype): state for state in states}.values())


def in_memory(states: Iterable[ModelState]) -> list[ModelState]:
    """One state of each model that is loaded: some roles of the same weights have them in memory once."""
    shared = {role for role in RoleModels.model_fields if RoleModels.settings_class(role).shares_weights}
    apart = {
        (state.model, state.revision, state.dtype, state.role not in shared and state.role): state for state in states
    }
    return list(apart.values())


def model_state(role: str, settings: ModelSettings) -> ModelState:
    """The model of one role."""
    backend = backend_of(settings)
    found = backend.presence(settings)
    return ModelState(
        role=role,
        model=settings.model,
        revision=settings.revision,
        dtype=found.dtype,
        backend=backend_name(settings),
        present=found.missing is None,
        fetchable=backend.fetches(settings) and found.where is None,
        where=found.where,
        disk_bytes=found.disk_bytes,
        memory_bytes=found.memory_bytes,
        licence=backend.licence(settings),
        missing=found.missing,
    )


def states_text(states: Sequence[ModelState], options: str = "") -> str:
    """Two lines per model, for a terminal of 100 columns; below, what is missing and how to get it.

    `options` are those that name the recipe to another command.
    """
    rows = [
        (
            "" if state.disk_bytes is None else bytes_text(state.disk_bytes),
            state.dtype or state.backend,
            _here(state),
            state.licence,
        )
        for state in states
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for state, row in zip(states, rows, strict=True):
        lines.append(f"{state.role:<19} {state.model}{f'@{state.revision}' if state.revision else ''}")
        lines.append((" " * 20 + "  ".join(map(str.ljust, row, widths))).rstrip())
        if state.present and state.where is not None:
            lines.append(f"{'':19} {_shortened_path(state.where)}")
    return "\n".join([*lines, *_missing_lines(states, options)])


def _here(state: ModelState) -> str:
    return "here" if state.present else "missing" if state.fetchable else "not usable"


def _shortened_path(where: str) -> str:
    """The end of a path, which tells more than its beginning."""
    return where if len(where) <= WIDTH - 20 else f"...{where[-(WIDTH - 23) :]}"


def _missing_lines(states: Sequence[ModelState], options: str) -> Iterator[str]:
    absent = [state for state in states if not state.present]
    if absent:
        yield ""
    for state in absent:
        if not state.fetchable or state.disk_bytes is None:
            yield f"{state.role}: {state.missing}"
    sizes = [state.disk_bytes for state in distinct(absent) if state.fetchable and state.disk_bytes is not None]
    if sizes:
        yield f"{counted(len(sizes), 'model')} missing, {bytes_text(sum(sizes))}: fetch with"
        yield f"  imgdiff models pull{options}"


def pull(recipe: Recipe, roles: Sequence[str], log: Callable[[str], None]) -> dict[str, str | None]:
    """Fetch what `roles` (default: all that the recipe needs) lack; returns the commit that each fetched model now is.

    Raises DownloadFailed and UnknownRole.
    """
    commits: dict[str, str | None] = {}
    for role, settings in chosen_roles(recipe, roles).items():
        backend = backend_of(settings)
        if not backend.fetches(settings):
            log(f"{role}: {settings.model} is {backend.place}, nothing to fetch")
            continue
        state = model_state(role, settings)
        size = "" if state.present or state.disk_bytes is None else f", {bytes_text(state.disk_bytes)}"
        log(f"{role}: fetching {settings.model}{size}")
        fetched = backend.fetch(settings)
        commits[role] = fetched.commit
        log(f"{role}: in {fetched.path}")
    return commits
