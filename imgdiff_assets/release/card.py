"""The dataset card: what is in a release, how it was made, how good it is, and what it is not good for."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from imgdiff_assets.common.plain_text import counted as plural
from imgdiff_assets.common.plain_text import printable
from imgdiff_assets.common.tables import columns_of_table
from imgdiff_assets.export.hf import LOADED
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.conversations import IMAGE_TOKEN
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.release import contamination, licensing
from imgdiff_assets.release.changes import Change, counted
from imgdiff_assets.release.contents import Contents
from imgdiff_assets.release.precision import human_precision
from imgdiff_assets.setup.licences import licence_of
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.statistics.by_kind import by_kind, by_kind_text
from imgdiff_assets.statistics.diversity import Diversity, diversity_text
from imgdiff_assets.statistics.funnel import Funnel
from imgdiff_assets.what_if.what_if import flat
from resources.loading.known_models import AGREEMENTS, NOT_STATED

EXAMPLES = 2
LISTED = 20
LIMITS = (
    "Images, captions and answers are made by models; no person has seen them unless the funnel's filter `review` "
    "says so. Of the set this method was published with, people found the difference captions fully right in 70 % "
    "(Img-Diff, arXiv 2408.04594).",
    "A pair differs in one thing, of the kinds in the table above. Differences that came about beside it, and those "
    "of other kinds, of viewpoint or style, are not asked for, and nothing speaks of them.",
    "`Same.` is said of pairs that the image encoder cannot tell apart; small differences may be left in them.",
    "`commonality` and `edit_instruction` come from the words of the two prompts; that the images show the rest of "
    "them is known only from the encoder's similarity.",
    "The captions' biases, and those of every model below, are in the images.",
)


def body(
    ledger: Ledger,
    found: Contents,
    counts: Funnel,
    written: Diversity,
    kept: Diversity,
    changed: Sequence[Change] | None,
    settings_changed: Sequence[str],
    compared: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The card's Markdown, without the front matter."""
    shards, settings = list(found.manifest["shards"]), found.manifest["settings"]
    stages = [stage for stage in STAGES if stage.name in settings]
    sections = [
        ("# Image differences", _summary(found)),
        ("## Examples", "![Kept samples, then rejected candidates](contact_sheet.png)\n\n" + _examples(found)),
        ("## Funnel", _fenced(counts.to_text(110))),
        ("## Kinds", _fenced(by_kind_text(by_kind(ledger, shards)))),
        ("## Scores", _scores(ledger, shards, stages, settings)),
        ("## Models", _models(found.manifest["models"]) + agreement_of_verifiers(found.manifest)),
        ("## Licences", licensing.section(found.manifest)),
        *([("## Human precision", reviewed)] if (reviewed := human_precision(found.manifest)) else []),
        ("## Thresholds", _thresholds(settings)),
        ("## Diversity", _fenced(diversity_text(written, kept))),
        *([("## Contamination", contamination.section(compared, len(found.samples)))] if compared else []),
        ("## Cost", _cost(ledger, shards, stages, counts.samples)),
        ("## Changes", _changes(found, changed, settings_changed)),
        ("## Known limits", "\n".join(f"- {limit}" for limit in LIMITS)),
        ("## Citation", licensing.citation(found.manifest)),
    ]
    return "\n\n".join(f"{title}\n\n{text}" for title, text in sections) + "\n"


def _summary(found: Contents) -> str:
    manifest = found.manifest
    tasks = Counter(row["task"] for row in found.samples)
    lines = [
        f"Release {manifest['version']} of {manifest['date']}: "
        + ", ".join(f"{count:,} {split}" for split, count in sorted(manifest["samples"].items()))
        + f" samples from {plural(len(manifest['shards']), 'shard')}, recipe {', '.join(manifest['recipe'])}. "
        "Each row of `data/` is two images and a question about them; a region that it points at is in a red box.",
        LOADED,
        _table(["task", "samples"], [[task, f"{count:,}"] for task, count in sorted(tasks.items())]),
    ]
    if failed := manifest.get("failed_rows"):
        lines.append(f"{plural(failed, 'row')} could not be measured, and came to no sample.")
    if corrections := manifest.get("corrections"):
        count = len({each["sample_id"] for each in corrections})
        lines.append(
            f"People corrected texts or boxes of {plural(count, 'sample')}: what was found and what they say instead "
            "are in `release.json` (`corrections`)."
        )
    if manifest["not_fresh"]:
        lines.append(
            f"Left out, not being up to date with the recipe: {plural(len(manifest['not_fresh']), 'shard')} "
            f"({', '.join(manifest['not_fresh'][:LISTED])})."
        )
    lines.append(
        "The split is by caption. A training sample that is a near-duplicate (perceptual hash, image vectors) of a "
        f"validation sample is left out; {len(manifest['near_duplicates_left_out'])} were, beside those that the "
        "filters `near_validation` and `near_validation_hash` of the funnel rejected."
    )
    return "\n\n".join(lines)


def _examples(found: Contents) -> str:
    rows, seen = [], Counter[str]()
    for row in sorted(found.samples, key=lambda row: str(row["sample_id"])):
        if seen[row["task"]] < EXAMPLES:
            seen[row["task"]] += 1
            question = row["question"].replace(IMAGE_TOKEN, "")
            rows.append([row["task"], question, row["answer"], f"`{row['sample_id']}`"])
    return _table(["task", "question", "answer", "sample"], sorted(rows))


def _scores(
    ledger: Ledger, shards: Sequence[str], stages: Sequence[Stage], settings: Mapping[str, Mapping[str, Any]]
) -> str:
    """Quantiles of every score that a filter compares with a threshold, over all rows that have it."""
    rows = []
    for stage in stages:
        names: dict[str, list[str]] = {}
        values_now = dict(flat(settings[stage.name]))
        for step in stage.filters:
            if step.score and step.setting:
                limit = f"{step.setting} {values_now.get(step.setting, '?')}"
                names.setdefault(step.score, []).append(limit)
        columns = columns_of_table(scan(ledger, stage.name, list(names), shards=shards), list(names))
        for name, limits in names.items():
            values = np.asarray(columns[name], dtype=np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
                shown = [f"{value:.3f}" for value in quantiles]
                rows.append([stage.name, name, f"{len(values):,}", *shown, ", ".join(limits)])
    return _table(["table", "score", "rows", "5 %", "25 %", "median", "75 %", "95 %", "thresholds"], rows)


def _models(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for role, identity in sorted(models.items()):
        model, revision = str(identity.get("model", "")), identity.get("revision")
        weights = str(identity.get("weights", ""))[:12]
        package = f" by {identity['backend_package']}" if "backend_package" in identity else ""
        licence = licence_of(role.partition(" ")[0], identity)  # `captioner 2` is a captioner
        rows.append([role, f"`{model}`{package}", str(revision or "—"), f"`{weights}`", licence])
    return _table(["role", "model", "revision", "weights (SHA-256)", "licence"], rows)


def agreement_of_verifiers(manifest: Mapping[str, Any]) -> str:
    """What is known of the verifiers that judged the pictures; nothing where none did."""
    models = {str(told.get("model")) for role, told in manifest["models"].items() if role.startswith("verifier")}
    stated = (manifest["settings"].get("filtered_pairs", {}).get("plausibility") or {}).get("agreement")
    return "".join(
        f"\n\nThe verifier `{model}`: {stated or AGREEMENTS.get(model, NOT_STATED)}." for model in sorted(models)
    )


def _thresholds(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """The numbers and choices of every stage; texts and lists are in `release.json`."""
    rows = [
        [name, key, str(value)]
        for name, values in settings.items()
        for key, value in flat(values)
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < 20)
    ]
    return _table(["stage", "setting", "value"], rows) + "\n\nPrompts and wordings are in `release.json`."


def _cost(ledger: Ledger, shards: Sequence[str], stages: Sequence[Stage], samples: int) -> str:
    """Seconds of all runs that were ever made of these shards, failed thresholds and repetitions included."""
    rows, total = [], 0.0
    for stage in stages:
        seconds = sum(
            float(record.get("seconds", 0)) for shard in shards for record in ledger.history(stage.name, shard)
        )
        total += seconds
        rows.append([stage.name, f"{seconds:,.1f}", f"{seconds / samples:.3f}" if samples else "—"])
    rows.append(["all", f"{total:,.1f}", f"{total / samples:.3f}" if samples else "—"])
    devices = sorted(
        {
            device
            for stage in stages
            for shard in shards
            for device in (ledger.record(stage.name, shard) or {}).get("devices", {}).values()
        }
    )
    table = _table(["stage", "seconds", "seconds per kept sample"], rows)
    return table + (f"\n\nMeasured on {', '.join(devices)}." if devices else "")


def _changes(found: Contents, changed: Sequence[Change] | None, settings_changed: Sequence[str]) -> str:
    if changed is None:
        return "The first release."
    counts = counted(list(changed))
    lines = [f"Since {found.manifest['previous']}; each sample in `changes.json`."]
    for kind, reasons in counts.items():
        lines.append(f"\n{sum(reasons.values()):,} {kind}")
        lines += [f"- {count:,}: {printable(why)}" for why, count in reasons.items()]
    if settings_changed:
        lines += [
            "\nSettings, models and code that are not what they were:",
            *(f"- `{text}`" for text in settings_changed),
        ]
    return "\n".join(lines)


def _fenced(text: str) -> str:
    return f"```\n{text}\n```"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    """Captions are anybody's: no markup of theirs is ours."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")
