"""The recipe: one YAML file that says everything a ledger depends on."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home, expanded
from imgdiff_assets.ingest.ingest_captions import LARGEST_SHARD
from imgdiff_assets.recipe.cron import check_cron
from imgdiff_assets.recipe.editions import SHIPPED, shipped_file, shipped_recipes
from imgdiff_assets.recipe.retention_settings import RetentionSettings
from imgdiff_assets.recipe.review_settings import ReviewSettings
from imgdiff_assets.recipe.worker_settings import WorkersSettings
from imgdiff_assets.stages.graph import STAGES, stages_of
from imgdiff_assets.stages.installed_filter import FILTERS
from imgdiff_assets.stages.settings import StageSettings, off_unless_named
from imgdiff_assets.stages.stage import Stage
from resources.captioner import CaptionerSettings
from resources.image_text_encoder import ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcherSettings
from resources.inpainter import InpainterSettings
from resources.installed import BrokenPart, offers
from resources.loading.api_key import name_server
from resources.loading.bounded_yaml import load_yaml
from resources.loading.known_models import AGREEMENTS
from resources.loading.settings import ChatModelSettings, ModelSettings
from resources.pair_generator import PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriterSettings
from resources.segmenter import SegmenterSettings
from resources.verifier import VerifierSettings

DEFAULT_RECIPE = "miniature"
BY_NAME, BY_ENVIRONMENT, BY_HOME, BY_DEFAULT = "--recipe", "IMGDIFF_RECIPE", "recipe.yaml of the home", "default"
TOLD_MISTAKES = 100
LONGEST_GIVEN = 80


class RecipeError(ImgDiffError, ValueError):
    """A recipe that cannot be used; the message names file, key and what to do."""


class BudgetSettings(StageSettings):
    """How long models may work in runs that nobody starts by hand."""

    hours: float = Field(gt=0, description="Hours; what people start counts, and is not stopped.")
    per: Literal["day", "week"] = Field("day", description="Days begin at midnight, weeks on Monday, in `timezone`.")


class TellSettings(StageSettings):
    """Who is told of what goes wrong by night: a command, a web address, or both."""

    command: list[str] = Field(
        [],
        description="A program and its arguments, as in `[mail, -s, imgdiff, me@example.org]`: it reads the text on "
        "standard input, no shell is between. IMGDIFF_TELL_COMMAND names another.",
    )
    url: str | None = Field(
        None,
        description="Gets a POST of JSON with the key `text`, as Slack and Mattermost take it. An address that is "
        "itself a secret belongs into IMGDIFF_TELL_URL.",
    )
    room_gb: float = Field(
        10.0, ge=0, description="Free space on the disk of the home below which that is told, in GB."
    )

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("write an address that begins with https:// or http://")
        return url


class AutomationSettings(StageSettings):
    """When the graph brings itself up to date. No row depends on it."""

    cron: str | None = Field(
        None,
        description="When stale shards are run, as in `0 3 * * *`; without it the schedule is there, for three at "
        "night, but switched off.",
    )
    timezone: str = Field("UTC", description="The time zone of `cron`, as in `Europe/Berlin`.")
    inbox_seconds: int = Field(
        30, ge=1, description="The inbox is looked at this often, and takes a file that stood still for as long."
    )
    shard_size: int = Field(
        1_000, ge=1, le=LARGEST_SHARD, description="Most captions of a file of the inbox in one shard."
    )
    max_shards_per_run: int | None = Field(
        None,
        ge=1,
        description="Most shards that one run is asked for, so that runs beside it get some; none: as many as follow "
        "one another.",
    )
    fill_gaps: bool = Field(
        False,
        description="Whether captions of the inbox are noted with the replacements made so far, as "
        "`imgdiff ingest --fill-gaps` notes them, for prompt_pairs.keep_attempts to go by.",
    )

    budget: BudgetSettings | None = Field(
        None, description="Schedule, inbox and sensors ask for no run when it is spent, nor for more than is left."
    )
    tell: TellSettings = TellSettings()

    @field_validator("cron")
    @classmethod
    def _cron_is_one(cls, cron: str | None) -> str | None:
        return None if cron is None else check_cron(cron)

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, LookupError, OSError):
            raise ValueError("is not a time zone; write it as in Europe/Berlin") from None
        return timezone


class RoleModels(StageSettings):
    """The model of each role."""

    prompt_rewriter: PromptRewriterSettings
    pair_generator: PairGeneratorSettings
    image_text_encoder: ImageTextEncoderSettings
    image_text_matcher: ImageTextMatcherSettings
    segmenter: SegmenterSettings
    captioner: CaptionerSettings
    inpainter: InpainterSettings = InpainterSettings(model="stabilityai/sdxl-turbo")
    verifier: VerifierSettings | None = off_unless_named(
        "Whatever says how right pictures look; `filtered_pairs.plausibility` asks it."
    )

    @classmethod
    def settings_class(cls, role: str) -> type[ModelSettings]:
        """The class of a role's settings. Raises KeyError for what is no role."""
        kind = _section_in(cls.model_fields[role].annotation)
        assert kind is not None
        assert issubclass(kind, ModelSettings)
        return kind


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
    retention: RetentionSettings = RetentionSettings()
    workers: WorkersSettings = WorkersSettings()

    @model_validator(mode="after")
    def _shares_are_of_stages(self) -> Self:
        sections = [stage.name for stage in STAGES]
        for name, (least, largest) in self.kept_share.items():
            if name not in sections:
                raise ValueError(f"kept_share: {_unknown(name, sections)}")
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
    def _what_rejects_agrees_with_something(self) -> Self:
        asked = self.section("filtered_pairs").plausibility
        if asked is not None and asked.min_plausibility > 0 and self.verifier_agreement is None:
            raise ValueError(
                "filtered_pairs.plausibility.min_plausibility: of this verifier no agreement with truth or people is "
                "stated, so it may not reject: state it in `filtered_pairs.plausibility.agreement` (the figure, and "
                "where it was measured), or leave min_plausibility at 0"
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
        return content_hash(self.model_dump(mode="json", exclude={"automation", "retention", "review", "workers"}))[
            :16
        ]

    def section(self, stage: str) -> Any:
        """A stage's section; None for an installed stage that the recipe does not name."""
        return getattr(self, stage)

    def role(self, name: str) -> ModelSettings:
        """The settings of a role's model."""
        settings: ModelSettings = getattr(self.models, name)
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
    return stage.section, stage.section()


if TYPE_CHECKING:
    Recipe = RecipeValues
else:
    Recipe = create_model("Recipe", __base__=RecipeValues, **{stage.name: _section_of(stage) for stage in STAGES})
    Recipe.__doc__ = (
        "Everything that a row of the ledger depends on, and the limits of a run: a section for each stage."
    )


@dataclass(frozen=True, slots=True)
class ChosenRecipe:
    """Which recipe is meant, where it lies, and what said so: one of the `BY_` words."""

    name: str
    path: Path
    by: str

    @property
    def is_shipped(self) -> bool:
        return self.path.is_relative_to(SHIPPED)

    def text(self) -> str:
        """The YAML, with its comments. Raises RecipeError."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RecipeError(
                f"{self.name}: no such recipe; give a YAML file or one of {', '.join(shipped_recipes())}."
            ) from None
        except (OSError, ValueError) as error:
            raise RecipeError(f"{self.path}: cannot be read as YAML: {' '.join(str(error).split())}") from None

    def values(self) -> dict[str, Any]:
        """What the YAML says. Raises RecipeError."""
        try:
            values = load_yaml(self.text())
        except (ValueError, yaml.YAMLError) as error:
            if isinstance(error, RecipeError):
                raise
            raise RecipeError(f"{self.path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise RecipeError(f"{self.path}: a recipe is a mapping of sections; see {SHIPPED / 'miniature.yaml'}.")
        return values


def chosen_recipe(name: str | None = None, anew: bool = False) -> ChosenRecipe:
    """The recipe `name`, else `IMGDIFF_RECIPE`, else `recipe.yaml` of the home, else `miniature`.

    A shipped one is as the home was begun with it, or `anew` as this release ships it. Raises UnreadableEditions.
    """
    by, home = BY_NAME, Home.from_environment()
    if not name and (name := os.environ.get("IMGDIFF_RECIPE")):
        by = BY_ENVIRONMENT
    if not name:
        own = home.recipe
        name, by = (str(own), BY_HOME) if own.is_file() else (DEFAULT_RECIPE, BY_DEFAULT)
    if name not in shipped_recipes():
        return ChosenRecipe(name, expanded(Path(name)), by)
    return ChosenRecipe(name, SHIPPED / f"{name}.yaml" if anew else shipped_file(home, name), by)


def load_recipe(name: str | None = None, overrides: Sequence[str] = (), anew: bool = False) -> Recipe:
    """The recipe `name` (a shipped one, or a YAML file), or the one that `chosen_recipe` tells, `anew` as it says.

    `overrides` are `section.key=value` with YAML values. The servers that it names may be sent the key: nobody but
    the user writes them here. Those of a recipe that was merely found in the home may not. Raises RecipeError,
    UnreadableEditions.
    """
    chosen = chosen_recipe(name, anew)
    recipe = override_recipe(_read(chosen), overrides)
    typed = {override.partition("=")[2].strip() for override in overrides}
    for settings in recipe.roles.values():
        url = settings.base_url if isinstance(settings, ChatModelSettings) else None
        if url is not None and (chosen.by != BY_HOME or url in typed):
            name_server(url)
    return recipe


def changed_since(name: str | None = None) -> str | None:
    """A sentence where this release ships the recipe otherwise than `IMGDIFF_HOME` goes on with it."""
    then, now = chosen_recipe(name), chosen_recipe(name, anew=True)
    if then == now or _read(then) == _read(now):
        return None
    return (
        f"This release ships another {then.name} than this home was begun with (that of {then.path.parent.name}), "
        "with which it goes on: `imgdiff run --new-recipe --dry-run` tells what today's would make anew."
    )


def _read(chosen: ChosenRecipe) -> Recipe:
    try:
        return Recipe.model_validate(chosen.values())
    except ValidationError as error:
        raise RecipeError(_explain(chosen.path.name, error)) from None


def override_recipe(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """`recipe` with `section.key=value` applied. Raises RecipeError."""
    values = recipe.model_dump(mode="json")
    for override in overrides:
        _apply(values, override)
    return recipe_of("--set", values)


def recipe_of(source: str, values: Mapping[str, Any]) -> Recipe:
    """The recipe that has these values; `source` says where they were written. Raises RecipeError."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(_explain(source, error)) from None


def key_path(key: str) -> list[str]:
    """Where a key lies that is written as in `--set`: a role's without `models.` before it."""
    parts = key.strip().split(".")
    return ["models", *parts] if parts[0] in RoleModels.model_fields else parts


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key_path(key)
    if not equals or not all(parts):
        raise RecipeError(f"--set {override}: write section.key=value, as in filtered_pairs.min_similarity=0.85.")
    section: Any = values
    for index, part in enumerate(parts[:-1]):
        if part not in _known_keys(parts[:index]):
            raise RecipeError(f"--set {override}: {_unknown(part, _known_keys(parts[:index]))}")
        if part not in section or (section[part] is None and _known_keys(parts[: index + 1])):
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise RecipeError(f"--set {override}: {'.'.join(parts[: index + 1])} is a value, not a section.")
    try:
        value = load_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"--set {_short(override)}: {_short(text)!r} is not a YAML value ({reason}).") from None
    if _section_at(parts) is None:
        section[parts[-1]] = value
    elif _is_off_unless_named(parts) and value == {}:
        section.setdefault(parts[-1], {})
    elif _is_off_unless_named(parts) and value is None:
        section.pop(parts[-1], None)
    else:
        raise RecipeError(f"--set {override}: {'.'.join(parts)} is a section; set its keys one by one.")


def _section_at(path: Sequence[Any]) -> type[BaseModel] | None:
    """The class of the section at `path`; None for a place that is not a section."""
    section: type[BaseModel] | None = Recipe
    for part in path:
        field = section.model_fields.get(part) if section is not None else None
        section = _section_in(field.annotation) if field is not None else None
    return section


def _known_keys(path: Sequence[Any]) -> list[str]:
    """The keys of the section at `path`; none for a place that is not a section."""
    section = _section_at(path)
    return list(section.model_fields) if section is not None else []


def _is_off_unless_named(path: Sequence[Any]) -> bool:
    """Whether the section at `path` is that of an installed part: `{}` has it on with its defaults, `null` off."""
    section = _section_at(path[:-1])
    return section is not None and path[-1] in section.model_fields and section.model_fields[path[-1]].default is None


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, or may hold."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _unknown(key: str, known: Sequence[str]) -> str:
    if key == FILTERS:
        return "no installed package adds a filter here; `imgdiff doctor` lists what is installed."
    key = _short(key)
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown key {key!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}.")


def _explain(source: str, error: ValidationError) -> str:
    """One line per mistake: file, key, what is wrong, what was given."""
    lines = []
    mistakes = error.errors()
    for mistake in mistakes[:TOLD_MISTAKES]:
        where = _short(".".join(str(part) for part in mistake["loc"]))
        given = _short(repr(mistake["input"]))
        if mistake["type"] == "extra_forbidden":
            known = _known_keys(mistake["loc"][:-1])
            lines.append(f"{source}: {where}: {_unknown(str(mistake['loc'][-1]), known)}")
        elif mistake["type"] == "missing":
            lines.append(f"{source}: {where}: this key is required.")
        elif mistake["type"] == "model_type":
            lines.append(f"{source}: {where}: should be a section with keys of its own (given: {given}).")
        elif not where:  # of several sections, which the message names
            lines.append(f"{source}: {mistake['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{source}: {where}: {mistake['msg'].removeprefix('Value error, ')} (given: {given}).")
    if len(mistakes) > TOLD_MISTAKES:
        lines.append(f"{source}: and {len(mistakes) - TOLD_MISTAKES:,} more mistakes.")
    return "\n".join(lines)


def _short(text: str) -> str:
    """Text as an error repeats it."""
    text = " ".join(text[: 2 * LONGEST_GIVEN].split())
    return text if len(text) <= LONGEST_GIVEN else f"{text[: LONGEST_GIVEN - 4]} ..."
