"""The recipe: all values that a ledger depends on, put together from the sections of the stages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, ValidationInfo, create_model, model_validator

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.recipe.automation_settings import AutomationSettings
from imgdiff_assets.recipe.mistakes import RecipeError, explain, unknown
from imgdiff_assets.recipe.release_settings import ReleaseSettings
from imgdiff_assets.recipe.retention_settings import RetentionSettings
from imgdiff_assets.recipe.review_settings import ReviewSettings
from imgdiff_assets.recipe.role_models import RoleModels
from imgdiff_assets.recipe.worker_settings import WorkersSettings
from imgdiff_assets.stages.graph import STAGES, stages_of
from imgdiff_assets.stages.settings import StageSettings, off_unless_named
from imgdiff_assets.stages.stage import Stage
from resources.installed import BrokenPart, offers
from resources.loading.known_models import AGREEMENTS
from resources.loading.settings import ModelSettings

RECORDED = {"recorded": True}
"""The context in which a recipe is validated that is put together from what tables were made with."""


UNDER_NO_ROW = {"automation", "retention", "review", "release", "workers"}
"""Sections that no row of the ledger depends on, and no hash."""


class RecipeValues(StageSettings):
    """Everything that a row of the ledger depends on, and the limits of a run, but for the stages: see `Recipe`."""

    name: str = Field(description="Shown in the catalog and in reports.")
    seed: int = Field(0, ge=0, description="All seeds are hashes of this and a row's id.")
    max_error_share: float = Field(0.2, ge=0, le=1, description="A shard with a larger share of failed rows fails.")
    max_tries: int = Field(
        3,
        ge=1,
        description="A row that failed is tried by so many runs; then it is left as it is, unless a run is told to "
        "try it again.",
    )
    kept_share: dict[str, tuple[float, float]] = Field(
        {}, description="Per stage, the least and the largest share of judged rows to be kept; outside, a check warns."
    )
    models: RoleModels
    automation: AutomationSettings = AutomationSettings()
    review: ReviewSettings = ReviewSettings()
    release: ReleaseSettings = ReleaseSettings()
    retention: RetentionSettings = RetentionSettings()
    workers: WorkersSettings = WorkersSettings()

    @model_validator(mode="after")
    def _shares_are_of_stages(self) -> Self:
        sections = [stage.name for stage in STAGES]
        for name, (least, largest) in self.kept_share.items():
            if name not in sections:
                raise ValueError(f"kept_share: {unknown(name, sections)}")
            if not 0 <= least <= largest <= 1:
                raise ValueError(f"kept_share.{name}: give the least and the largest share, as in [0.1, 0.9]")
        return self

    @model_validator(mode="after")
    def _parents_are_named(self) -> Self:
        named = {stage.name for stage in stages_of(self)}
        for stage in stages_of(self):
            for parent in stage.tables:
                if parent not in named:
                    raise ValueError(f"{stage.name} is made of {parent}: name that stage too, as in `{parent}: {{}}`")
        return self

    @model_validator(mode="after")
    def _roles_are_named(self) -> Self:
        for stage in stages_of(self):
            for role in stage.roles:
                if getattr(self.models, role) is None:
                    raise ValueError(f"{stage.name} asks the {role}: name its model, as in `models.{role}.model`")
        return self

    @model_validator(mode="after")
    def _editors_are_told(self, info: ValidationInfo) -> Self:
        if (
            info.context != RECORDED
            and self.section("image_pairs").edits
            and self.section("prompt_pairs").instructions is None
        ):
            raise ValueError(
                "image_pairs asks an editor, and nothing tells it what to do: `prompt_pairs.instructions: {}` does"
            )
        return self

    @model_validator(mode="after")
    def _what_rejects_agrees_with_something(self) -> Self:
        asked = self.section("filtered_pairs").plausibility
        if asked is not None and asked.min_plausibility > 0 and self.verifier_agreement is None:
            raise ValueError(
                "filtered_pairs.plausibility.min_plausibility: of this verifier no agreement with truth or people is "
                "stated, so it may not reject: state it in `filtered_pairs.plausibility.agreement` (the figure, and "
                "where it was measured), or leave min_plausibility at 0"
            )
        return self

    @model_validator(mode="after")
    def _what_is_registered_is_rejected_as_it_was(self) -> Self:
        derived, alignment = self.section("derived_pairs"), self.section("filtered_pairs").alignment
        if derived is None or not derived.registered:
            return self
        if alignment is None:
            raise ValueError("derived_pairs.registered: needs `filtered_pairs.alignment: {}`, or both would be kept")
        apart = (derived.min_displacement, derived.max_misfit) != (alignment.max_displacement, alignment.max_misfit)
        if apart:
            raise ValueError(
                "derived_pairs.registered: min_displacement and max_misfit must be max_displacement and max_misfit of "
                "`filtered_pairs.alignment`: a pair is kept as it was, or registered"
            )
        return self

    @property
    def verifier_agreement(self) -> str | None:
        """How far the verifier agrees with truth or people, as the recipe or this project states it; else None."""
        asked = self.section("filtered_pairs").plausibility
        if asked is None or self.models.verifier is None:
            return None
        stated: str | None = asked.agreement or AGREEMENTS.get(self.models.verifier.model)
        return stated

    @property
    def hash(self) -> str:
        """Changes whenever any value does that a run depends on."""
        elsewhere = dict.fromkeys(UNDER_NO_ROW, True)
        later = {role: {"batches": True} for role in type(self.models).model_fields}
        return content_hash(self.model_dump(mode="json", exclude={**elsewhere, "models": later}))[:16]

    def section(self, stage: str) -> Any:
        """A stage's section; None for an installed stage that the recipe does not name."""
        return getattr(self, stage)

    def role(self, name: str) -> ModelSettings:
        """The settings of a role's model. Raises RecipeError for a role without one."""
        settings: ModelSettings | None = getattr(self.models, name)
        if settings is None:
            raise RecipeError(f"The recipe has no {name}: name its model, as in `models.{name}.model`.")
        return settings

    @property
    def roles(self) -> dict[str, ModelSettings]:
        """The settings of the models of all roles that the recipe names, by role."""
        named = ((name, getattr(self.models, name)) for name in RoleModels.model_fields)
        return {name: settings for name, settings in named if settings is not None}


def _section_of(stage: Stage) -> tuple[Any, Any]:
    """Type and default of a stage's field in the recipe. Raises BrokenPart."""
    for step in stage.measurements:
        if unknown := [role for role in step.roles if role not in RoleModels.model_fields]:
            filters = offers("imgdiff_assets.filters")
            package = filters[step.section.partition(".")[2]].package if step.section else stage.package
            raise BrokenPart(f"{package} asks for the model {unknown[0]!r}, which is no role: mend or uninstall it.")
    if stage.package is not None:
        if stage.name in (*RecipeValues.model_fields, *RoleModels.model_fields):
            clash = f"{stage.package} offers {stage.name!r}, but every recipe has a key of that name"
            raise BrokenPart(f"{clash}: mend or uninstall it.")
        return stage.section, off_unless_named(f"{(stage.section.__doc__ or '').strip()} ({stage.package})")
    if stage.optional:
        return stage.section, off_unless_named((stage.section.__doc__ or "").strip())
    return stage.section, stage.section()


if TYPE_CHECKING:
    Recipe = RecipeValues
else:
    Recipe = create_model("Recipe", __base__=RecipeValues, **{stage.name: _section_of(stage) for stage in STAGES})
    Recipe.__doc__ = (
        "Everything that a row of the ledger depends on, and the limits of a run: a section for each stage."
    )


def recipe_of(source: str, values: Mapping[str, Any]) -> Recipe:
    """The recipe that has these values; `source` says where they were written. Raises RecipeError."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(source, error, Recipe)) from None
