"""What a recipe's models are: how large, where they are on this machine, on what terms; and fetching those missing."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGES
from resources.loading import weights
from resources.loading.downloads import fetch, is_remote
from resources.loading.failures import ModelUnavailable
from resources.loading.known_models import KNOWN_MODELS
from resources.loading.settings import ChatModelSettings, ModelSettings

SHIPPED_LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class ModelState:
    """The model of one role.

    `disk_bytes` is what its files take, or will take once fetched, `memory_bytes` what its weights take in the
    recipe's type; None where that is not known. `missing` says why a model that is not `present` is not.
    """

    role: str
    model: str
    revision: str | None
    dtype: str
    present: bool
    served: bool
    where: str | None
    disk_bytes: int | None
    memory_bytes: int | None
    licence: str | None
    missing: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def role_settings(recipe: Recipe) -> dict[str, ModelSettings]:
    """The settings of every role of the recipe."""
    return recipe.roles


def chosen_roles(recipe: Recipe, roles: Sequence[str] = ()) -> dict[str, ModelSettings]:
    """The settings of `roles`, or of all that some stage needs which the recipe has switched on.

    Raises ValueError for a role that there is not.
    """
    known = role_settings(recipe)
    for role in roles:
        if role not in known:
            raise ValueError(f"{role!r} is not a role; the roles are {', '.join(known)}.")
    running = [step for stage in STAGES if stage.enabled(recipe) for step in stage.measurements]
    chosen = roles or {role for step in running for role in step.roles}
    return {role: settings for role, settings in known.items() if role in chosen}


def model_states(recipe: Recipe) -> list[ModelState]:
    """The models of all roles that the recipe needs; servers are asked, the network is not."""
    return [model_state(role, settings) for role, settings in chosen_roles(recipe).items()]


def model_state(role: str, settings: ModelSettings) -> ModelState:
    """The model of one role."""
    known = KNOWN_MODELS.get(settings.model)
    shipped = settings.model.startswith(weights.MINIATURE_PREFIX)
    disk = memory = where = missing = None
    try:
        if isinstance(settings, ChatModelSettings) and settings.served:
            from resources.chat_server import served_identity

            where = settings.base_url
            served_identity(settings)
        else:
            path = weights.locate(settings.model, settings.revision)
            where, disk, memory = str(path), weights.size(path), weights.memory(path, settings.dtype)
    except (FileNotFoundError, ModelUnavailable) as error:
        missing = str(error)
        if known is not None and not settings.served:
            disk, memory = known.download_bytes(settings.dtype), known.memory_bytes(settings.dtype)
    return ModelState(
        role=role,
        model=settings.model,
        revision=settings.revision,
        dtype=settings.dtype,
        present=missing is None,
        served=settings.served,
        where=where,
        disk_bytes=disk,
        memory_bytes=memory,
        licence=known.licence if known is not None else SHIPPED_LICENCE if shipped else None,
        missing=missing,
    )


def states_text(states: Sequence[ModelState]) -> str:
    """A line per model; below, what is missing and how to get it."""
    rows = [("role", "model", "size", "type", "licence", "where")]
    for state in states:
        rows.append(
            (
                state.role,
                state.model + (f"@{state.revision}" if state.revision else ""),
                "" if state.disk_bytes is None else bytes_text(state.disk_bytes),
                "" if state.served else state.dtype,
                state.licence or "not known here",
                (state.where or "") if state.present else "missing",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines.insert(1, "─" * max(map(len, lines)))
    absent = [state for state in states if not state.present]
    if absent:
        lines.append("")
    lines += [f"{state.role}: {state.missing}" for state in absent if state.disk_bytes is None]
    sizes = [state.disk_bytes for state in absent if state.disk_bytes is not None]
    if sizes:
        lines.append(
            f"{counted(len(sizes), 'model')} missing, {bytes_text(sum(sizes))}: fetch with "
            "`imgdiff models pull` and the same options"
        )
    return "\n".join(lines)


def pull(recipe: Recipe, roles: Sequence[str], log: Callable[[str], None]) -> dict[str, str | None]:
    """Fetch what `roles` (default: all that the recipe needs) lack; returns the commit that each fetched model now is.

    Raises DownloadFailed, and ValueError for an unknown role.
    """
    commits: dict[str, str | None] = {}
    for role, settings in chosen_roles(recipe, roles).items():
        if settings.served or not is_remote(settings.model):
            log(f"{role}: {settings.model} is {'served' if settings.served else 'on this machine'}, nothing to fetch")
            continue
        state = model_state(role, settings)
        size = "" if state.present or state.disk_bytes is None else f", {bytes_text(state.disk_bytes)}"
        log(f"{role}: fetching {settings.model}{size}")
        fetched = fetch(settings.model, settings.revision, settings.dtype)
        commits[role] = fetched.commit
        log(f"{role}: in {fetched.path}")
    return commits
