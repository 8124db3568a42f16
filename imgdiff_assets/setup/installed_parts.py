"""What installed packages offer to recipes, and whether a recipe names it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imgdiff_assets.method.wordings import wordings_of
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import SAMPLES, stages_of
from imgdiff_assets.stages.installed_filter import FILTERS
from resources.installed import GROUPS, BrokenPart, Offer, offers


@dataclass(frozen=True, slots=True)
class Part:
    """One part; `kind` is its plural, such as `backends`. `named` is None for a part that recipes do not name."""

    kind: str
    name: str
    package: str
    version: str
    named: bool | None


def installed_parts(recipe: Recipe) -> tuple[list[Part], list[str]]:
    """All parts, and what is wrong with those that cannot be used."""
    parts: list[Part] = []
    broken: list[str] = []
    for group, kind in GROUPS.items():
        try:
            for offer in offers(group).values():
                named = _NAMES[kind](recipe, offer) if kind in _NAMES else None
                parts.append(Part(kind, offer.name, offer.package, offer.package_version, named))
        except BrokenPart as error:
            broken.append(str(error).removesuffix("."))
    return parts, broken


def _names_filter(recipe: Recipe, offer: Offer) -> bool:
    return any(step.section == f"{FILTERS}.{offer.name}" for stage in stages_of(recipe) for step in stage.steps)


def _names_questions(recipe: Recipe, offer: Offer) -> bool:
    # A recipe that was read holds the wordings themselves.
    part = wordings_of(offer)
    return set(part.wordings) <= set(recipe.section(SAMPLES).questions.get(part.task, ()))


_NAMES: Mapping[str, Callable[[Recipe, Offer], bool]] = {
    "filters": _names_filter,
    "stages": lambda recipe, offer: recipe.section(offer.name) is not None,
    "tasks": lambda recipe, offer: offer.name in recipe.section(SAMPLES).tasks,
    "questions": _names_questions,
    "backends": lambda recipe, offer: any(settings.backend == offer.name for settings in recipe.roles.values()),
}
