"""A release: all fresh shards as one folder that tells what is in it, how it was made, and what is new."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.export import hf
from imgdiff_assets.export.exporting import plan_of, write_samples
from imgdiff_assets.export.folder import export_folder
from imgdiff_assets.export.format import require
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.pictures.contact_sheet import write_contact_sheet
from imgdiff_assets.reading.gathered import Gathered, gather
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release import croissant, licensing
from imgdiff_assets.release.card import body
from imgdiff_assets.release.changes import Change, changes, counted, settings_changed
from imgdiff_assets.release.checksums import write_checksums
from imgdiff_assets.release.comparing import CONTAMINATION, compared_with
from imgdiff_assets.release.contents import PRECISION, Contents, contents, read_contents, write_contents
from imgdiff_assets.release.precision import precision_of
from imgdiff_assets.release.versions import ReleaseError, check_version, last_number, lock, releases, take_number
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.statistics.diversity import written_and_kept
from imgdiff_assets.statistics.funnel import funnel

CHANGES, CARD, SHEET = "changes.json", "README.md", "contact_sheet.png"
DESCRIPTION = "Pairs of nearly identical images, and questions about what is different between them."


@dataclass(frozen=True, slots=True)
class Release:
    """A release that is there. `made`: whether it was made now, or is the same as the latest one."""

    version: str
    folder: Path
    made: bool
    samples: dict[str, int]
    shards: Sequence[str]
    not_fresh: Sequence[str]
    failed_rows: int
    previous: str | None
    changed: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "folder": str(self.folder)}


def make_release(
    home: Home,
    recipe: Recipe,
    version: str | None = None,
    progress: Progress = lambda what, done, total: None,
    log: Say = lambda text: None,
    compare_with: Sequence[Path] = (),
) -> Release:
    """Gather all shards that are up to date with `recipe` into `<home>/releases/<version>` (default: the next number).

    Shards some of whose rows failed are among them. When the latest release has the same samples, made in the same
    way, none is made. Another process that makes one is waited for, and `log` is told. Its pictures and captions are
    looked for in the evaluation sets `compare_with`. Raises ReleaseError, NothingToCompare, ExportError, StaleSample,
    DamagedTable, FileNotFoundError (a model's weights), OSError.
    """
    if version is not None:
        check_version(version)
    with lock(home, log):
        return _make(home, recipe, version, progress, compare_with)


def _make(
    home: Home, recipe: Recipe, version: str | None, progress: Progress, compare_with: Sequence[Path]
) -> Release:
    ledger, stages = Ledger(home.ledger), stages_of(recipe)
    staleness = Staleness(home, recipe, [stage.name for stage in stages])
    keys = shard_keys(home)
    with staleness.looking():
        not_fresh = [key for key in keys if staleness.unusable(key)]
    fresh = sorted(set(keys) - set(not_fresh))
    if not fresh:
        raise ReleaseError("No shard is up to date with the recipe: run the graph first (`imgdiff run`).")
    gathered = gather(ledger, fresh)
    if not len(gathered):
        raise ReleaseError("There are no kept samples to release; `imgdiff stats` shows what was rejected and why.")
    compared = compared_with(ledger, recipe, gathered, compare_with, progress)
    now = contents(ledger, stages, gathered, not_fresh)
    if reviewed := precision_of(ledger, gathered, recipe):
        now = Contents({**now.manifest, PRECISION: reviewed}, now.samples)
    if compared:
        now = Contents({**now.manifest, CONTAMINATION: content_hash(compared)}, now.samples)
    there = releases(home)
    latest = there[-1] if there else None
    last = last_number(home, there)
    before = read_contents(latest) if latest is not None else None
    if latest is not None and before is not None and before.hash == now.hash and version in (None, latest.name):
        return _described(latest, before, made=False)
    if version is not None and (home.releases / version).exists():
        raise ReleaseError(f"{version}: this version is there already, and releases are not changed; name another.")
    require("a release", (*hf.FORMAT.needs, *croissant.NEEDS))
    changed = changes(ledger, before, now) if before is not None else None
    number = take_number(home, last, version)
    folder = home.releases / (version or str(number))
    about = {"number": number, "version": folder.name, "previous": latest.name if latest else None}
    now = Contents({**now.manifest, **about}, now.samples)
    plan = plan_of(hf.FORMAT, Options(), now.hash)
    export_folder(
        folder, plan, lambda place: _write(ledger, stages, gathered, now, before, changed, place, progress, compared)
    )
    return _described(folder, now, made=True, changed=changed)


def _described(folder: Path, found: Contents, made: bool, changed: list[Change] | None = None) -> Release:
    manifest = found.manifest
    return Release(
        version=folder.name,
        folder=folder,
        made=made,
        samples=dict(manifest["samples"]),
        shards=manifest["shards"],
        not_fresh=manifest["not_fresh"],
        failed_rows=manifest.get("failed_rows", 0),
        previous=manifest["previous"],
        changed={kind: dict(reasons) for kind, reasons in counted(changed).items()} if changed is not None else {},
    )


def _write(
    ledger: Ledger,
    stages: Sequence[Stage],
    gathered: Gathered,
    now: Contents,
    before: Contents | None,
    changed: list[Change] | None,
    folder: Path,
    progress: Progress,
    compared: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    report = write_samples(ledger, hf.FORMAT, gathered, folder, Options(), progress)
    shards = list(gathered.samples)
    write_contents(now, folder)
    listed = [asdict(change) for change in changed or ()]
    (folder / CHANGES).write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_contact_sheet(ledger, folder / SHEET, shards)
    if compared:
        text = json.dumps(compared, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{CONTAMINATION}.json").write_text(text, encoding="utf-8")
    text = body(
        ledger,
        now,
        funnel(ledger, shards, stages, anew=True),
        *written_and_kept(ledger, shards),
        changed,
        settings_changed(before, now) if before is not None else [],
        compared,
    )
    head = hf.front_matter(folder, report["samples"], licensing.for_the_hub(now.manifest))
    (folder / CARD).write_text(f"{head}\n{text}", encoding="utf-8")
    croissant.write_croissant(folder, now.manifest, DESCRIPTION)
    write_checksums(folder)
    return {**report, "version": str(now.manifest["version"])}
