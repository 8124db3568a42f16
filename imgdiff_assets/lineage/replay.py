"""Making a row of the ledger again from its lineage alone, and saying precisely what differs.

Every measurement of every row above it, and of the row itself, is made again from what the ledger holds: captions,
seeds, settings and models as recorded, and the recorded results of the measurements before. So a difference is named
where it arises; if there is none, the whole chain gives the same again.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.parents import MissingInput, read_inputs
from imgdiff_assets.engine.shard_work import ShardWork, Sources
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import CAPTIONS, held_by, pair_images_path
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.images import ErasedImages, GivenImages, PairImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.compare import Comparison, Verdict, closest, compare, tolerance
from imgdiff_assets.lineage.lineage import CAPTION_ID, ancestors, find_row, ids_in, table_of
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.recorded_recipe import recorded_recipe
from imgdiff_assets.stages.graph import STAGES, line, stage_named
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement

Images = TypeVar("Images", PairImages, ErasedImages)

SERVED = "server"
"""How the device of a served model begins, as records tell it."""

SERVED_TIMES = 5

NOTHING_MADE = (
    "a caption is given, not made: replay a pair, a region or a sample of it (`imgdiff lineage` lists them)."
)


class ReplayError(ImgDiffError, ValueError):
    """A row that cannot be replayed."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One measurement made again, or the reason why it could not be."""

    stage: str
    measurement: str
    comparisons: list[Comparison]
    failure: str | None = None
    asked: int = 1
    """How often it was made: what a server answers hangs on what else it is asked, so one is asked several times."""
    agreed: int = 1
    """How often that was the same as what is recorded, or within rounding of it."""

    @property
    def verdict(self) -> Verdict:
        if self.failure is not None:
            return Verdict.DIFFERS
        return max((comparison.verdict for comparison in self.comparisons), default=Verdict.SAME)


@dataclass(slots=True)
class Replay:
    """What came of it.

    `origins` are differences in what the row is made of: weights, code, rows above it that have changed since. With
    any of them the replay differs. `surroundings` are other libraries and devices: they may explain a difference.
    """

    kind: str
    id: str
    shard: str
    steps: list[Replayed] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    surroundings: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        if self.origins:
            return Verdict.DIFFERS
        return max((step.verdict for step in self.steps), default=Verdict.SAME)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {"verdict": str(self.verdict), **asdict(self)}
        for step, made in zip(values["steps"], self.steps, strict=True):
            step["verdict"] = str(made.verdict)
            for comparison in step["comparisons"]:
                comparison["verdict"] = str(comparison["verdict"])
        return values


def shared_models(recipe: Recipe) -> LoadedModels:
    """The process's models, with the settings of `recipe`."""
    return LoadedModels.shared(recipe.roles)


def replay(
    home: Home,
    base: Recipe,
    prefix: str,
    models_of: Callable[[Recipe], LoadedModels] = shared_models,
    times: int = SERVED_TIMES,
) -> Replay:
    """Make the pair, region or sample again whose id begins with `prefix`; what a server answers, so many `times`.

    Everything but the device is as recorded; that is `base`'s. Of an image that is not kept any more the pixels' hash
    is compared, and what was measured of it is measured of the one that is made again. Raises LineageError,
    ReplayError, UnknownOrigin, DamagedTable.
    """
    ledger = Ledger(home.ledger)
    column, identity, shard = find_row(home, ledger, prefix)
    if column == CAPTION_ID:
        raise ReplayError(f"{identity}: {NOTHING_MADE}")
    known = ancestors(ledger, column, identity, shard)
    result = Replay(column.removesuffix("_id"), identity, shard)
    with ExitStack() as opened:
        pairs = _open(opened, PairImages, PairImages.asset, ledger, shard)
        erased = _open(opened, ErasedImages, ErasedImages.asset, ledger, shard)
        given = None
        if held_by(home, shard) != CAPTIONS:
            given = opened.enter_context(closing(GivenImages(pair_images_path(home, shard))))
        for base_stage in _stages_above(ledger, column, known, shard):
            stage = stage_of_shard(base_stage, home, shard)
            for row in _read_rows(ledger, stage, shard, ids_in(stage, known)):
                _replay_row(result, home, stage, row, base, models_of, pairs, erased, given, times)
    result.surroundings = list(dict.fromkeys(result.surroundings))
    result.origins = list(dict.fromkeys(result.origins))
    return result


def _open(
    stack: ExitStack, images: Callable[[Ledger, str], Images], asset: str, ledger: Ledger, shard: str
) -> Images | None:
    """The images of a table, until the stack is left; None where there is no such table. Raises DamagedTable."""
    if not ledger.exists(asset, shard):
        return None
    return stack.enter_context(closing(images(ledger, shard)))


def _stages_above(ledger: Ledger, column: str, known: Mapping[str, str], shard: str) -> Sequence[Stage]:
    """The stages that a row may come from; a sample comes from one of the branches, a region goes into all."""
    stage = stage_named(table_of(ledger, column, known[column], shard))
    if len(stage.above) == 1:
        return STAGES
    where = pc.field(column) == known[column]
    row = scan(ledger, stage.name, stage.columns_above, where, [shard]).to_pylist()[0]
    branch, _ = stage.row_above(row)
    return [other for other in STAGES if other.name in {stage.name, *line(branch)}]


def _read_rows(ledger: Ledger, stage: Stage, shard: str, ids: Sequence[str]) -> list[Row]:
    """The rows of this stage, without images; there is none where the one above was rejected."""
    names = [column.name for column in stage.schema if not is_image(column)]
    where = pc.field(stage.id_column).isin(pa.array(ids, pa.string()))
    rows: list[Row] = scan(ledger, stage.name, names, where, [shard], stage.schema).to_pylist() if ids else []
    return rows


def _replay_row(
    result: Replay,
    home: Home,
    stage: Stage,
    row: Row,
    base: Recipe,
    models_of: Callable[[Recipe], LoadedModels],
    pairs: PairImages | None,
    erased: ErasedImages | None,
    given: GivenImages | None,
    times: int,
) -> None:
    """Make the measurements of one row again."""
    ledger, shard = Ledger(home.ledger), result.shard
    record = ledger.record(stage.name, shard) or {}
    measured_by = next(
        (entry for entry in reversed(ledger.history(stage.name, shard)) if entry["run_id"] == row["run_id"]), record
    )
    recipe = recorded_recipe(base, [record])
    models, stage = models_of(recipe), stage.under(recipe)
    sources = Sources(ledger.root, shard)
    work = ShardWork(models, sources, pair_images=pairs, erased_images=erased, given_images=given)
    measured = [step for step in stage.measurements if row[step.fingerprint_column] is not None]
    roles = list(dict.fromkeys(role for step in measured for role in step.roles))
    result.origins += _older(home, stage, shard, row, recipe) + _origins(stage, record, models, roles)
    for step in measured:
        result.steps.append(
            _replay_step(stage, step, _with_images(step, row, work), work.with_settings(stage, recipe, step), times)
        )
    result.surroundings += _surroundings(measured_by, models, [role for role in roles if role in models.opened])


def _with_images(step: Measurement, row: Row, work: ShardWork) -> Row:
    """The row with the image cells that this step filled."""
    names = {column.name for column in step.columns if is_image(column)}
    if names & set(ErasedImages.columns) and work.erased_images is not None:
        return {**row, **work.erased_images.encoded(row["region_id"])}
    if names and work.pair_images is not None:
        return {**row, **work.pair_images.encoded(row["pair_id"])}
    return row


def _replay_step(stage: Stage, step: Measurement, row: Row, work: ShardWork, times: int) -> Replayed:
    """Make one measurement again. One of a served model is made several times, and the closest is compared."""
    served = any(work.models.device(role).startswith(SERVED) for role in step.roles)
    made = [_made_again(stage, step, row, work) for _ in range(times if served else 1)]
    agreed = sum(each.verdict != Verdict.DIFFERS for each in made)
    return replace(min(made, key=lambda each: each.verdict), asked=len(made), agreed=agreed)


def _made_again(stage: Stage, step: Measurement, row: Row, work: ShardWork) -> Replayed:
    try:
        (made,) = step.run([{name: row[name] for name in (*step.reads, *step.told)}], work)
        if isinstance(made, Exception):
            raise made
    except Exception as error:
        return Replayed(stage.name, step.name, [], " ".join(f"{error}".split()) or type(error).__name__)
    again = closest(step.columns, row, made) if step.expands else made
    _hold_dropped(step, row, dict(again), work)
    limits = tolerance([work.models.settings(role).dtype for role in step.roles])
    return Replayed(stage.name, step.name, compare(step.columns, row, again, limits))


def _hold_dropped(step: Measurement, row: Row, again: Row, work: ShardWork) -> None:
    """Have what is measured of images that are not kept any more be measured of those that were made again."""
    names = {column.name for column in step.columns if is_image(column)}
    if not any(row[name] is None for name in names):
        return
    if names & set(ErasedImages.columns) and work.erased_images is not None:
        work.erased_images.made_again(row["region_id"], again)
    elif work.pair_images is not None:
        work.pair_images.made_again(row["pair_id"], again)


def _older(home: Home, stage: Stage, shard: str, row: Row, recipe: Recipe) -> list[str]:
    """What the row was measured from, and the tables above it do not give any more."""
    measured_from = {stage.id_column, *(name for step in stage.measurements for name in step.reads)}
    names = [column.name for column in stage.item_columns if column.name in measured_from]
    try:
        made_of = stage.values(recipe, stage.item_settings)
        items = rows_of(stage.items(read_inputs(stage, home, shard).read(), made_of), names)
    except (MissingInput, KeyError) as error:
        return [f"{stage.name} cannot be traced to {', '.join(stage.parents)}: {error}"]
    apart = [[name for name in names if item[name] != row[name]] for item in items]
    if [] in apart:
        return []
    above, parent = stage.row_above(row)
    ids = [origin.id_column for origin in stage.above if origin.table == above]
    siblings = [index for index, item in enumerate(items) if item.get(ids[0]) == parent]
    nearest = min(siblings, key=lambda index: len(apart[index]), default=None)
    if nearest is None:
        return [f"{stage.name} is older than {above}, which has nothing like it any more."]
    return [
        f"{stage.name} is older than {above}: its {name} was {row[name]!r}, and is {items[nearest][name]!r} now."
        for name in apart[nearest]
    ]


def _origins(stage: Stage, record: Mapping[str, Any], models: LoadedModels, roles: Sequence[str]) -> list[str]:
    """Weights and code that are not those of the record."""
    found = []
    if record["code_version"] != stage.code_version:
        found.append(f"{stage.name}: made by version {record['code_version']} of its code, now {stage.code_version}.")
    for role in roles:
        recorded = record["models"][role]
        try:
            now = models.identity(role)
        except FileNotFoundError as error:
            found.append(f"{role}: {error}")
            continue
        if now["weights"] != recorded["weights"]:
            was, is_now = recorded["weights"][:12], now["weights"][:12]
            found.append(f"{role}: the weights have changed, from {was} to {is_now} (SHA-256).")
        if now.get("backend_package") != recorded.get("backend_package"):
            found.append(f"{role}: run by {recorded.get('backend_package')}, now by {now.get('backend_package')}.")
    return found


def _surroundings(record: Mapping[str, Any], models: LoadedModels, roles: Sequence[str]) -> list[str]:
    """Libraries and devices that are not those of the record."""
    now = library_versions()
    versions = record.get("versions", {})
    found = [
        f"{library} {version} then, {now.get(library, 'not installed')} now"
        for library, version in versions.items()
        if now.get(library) != version
    ]
    for role in roles:
        then = record.get("devices", {}).get(role)
        if then is not None and then != models.device(role):
            found.append(f"{role} on {then} then, on {models.device(role)} now")
    return found
