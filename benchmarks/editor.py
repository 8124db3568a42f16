"""How well the miniature editor does as it is told, by a judge that shares nothing with it.

    python -m benchmarks.editor [--count N] [--json FILE]

The pictures are drawn scenes that no training shows, before a change; the judge looks whether the edited picture shows
what it is to show, and how far it is from the picture before away from the change. Where a thing is added nobody says
where, so away from the change is also away from where the judge finds it.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import FoundObject, Judge, Verdict
from benchmarks.measurement import Measurement, percent, table
from imgdiff_assets.method.lay_back import laid_back
from resources.editor import Editor, EditorSettings
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.scenes import parse_caption
from resources.miniature.train_editor import ROUNDS, SAMPLED_STEPS

SEED = 9_000
MARGIN = 3
LAID_BACK_FROM = 24
MINIATURE = EditorSettings(
    model="miniature:editor",
    image_size=64,
    num_inference_steps=SAMPLED_STEPS,
    guidance_scale=1.0,
    image_guidance_scale=1.0,
    batch_size=32,
)


def held_out_pairs(kind: str, count: int) -> list[KindPair]:
    """Pairs of a kind with held-out scenes, of which the judge knows how each caption's picture looks."""
    rng, pairs = random.Random(f"{SEED} {kind}"), list[KindPair]()
    while len(pairs) < count:
        pair = draw_kind_pair(rng, kind, held_out=True)
        if parse_caption(pair.captions[1]) is not None:
            pairs.append(pair)
    return pairs


def fidelity(
    source: NDArray[np.uint8], target: NDArray[np.uint8], pair: KindPair, added: Sequence[FoundObject] = ()
) -> float | None:
    """PSNR in dB of the pixels more than MARGIN from the change, and from what was added; None where all changes."""
    away = np.ones(source.shape[:2], bool)
    boxes = [box for change in pair.changes for box in change.boxes.tolist()]
    for x1, y1, x2, y2 in [*boxes, *(found.box for found in added)]:
        away[max(0, y1 - MARGIN) : y2 + MARGIN, max(0, x1 - MARGIN) : x2 + MARGIN] = False
    if not away.any():
        return None
    error = np.square(source[away].astype(np.float32) - target[away]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def added_of(pair: KindPair, verdict: Verdict) -> list[FoundObject]:
    """What the judge finds of the thing that was to be added, if one was."""
    before, after = (scene.objects for scene in pair.scenes)
    if pair.kind != "object_added":
        return []
    return [found for found in verdict.objects if found.thing in after and found.thing not in before]


def measure(settings: EditorSettings, count: int) -> list[Measurement]:
    """Instructions followed, for each kind that was trained, and the pictures' fidelity away from the change."""
    editor, judge = Editor(settings), Judge()
    measurements, followed_in_all = [], list[bool]()
    plain, laid = list[float](), list[float]()
    for kind in dict.fromkeys(ROUNDS[0].kinds):
        pairs = held_out_pairs(kind, count)
        sources = [pair.scenes[0].image for pair in pairs]
        targets = editor.edit(sources, [pair.instruction for pair in pairs], list(range(count)))
        followed = []
        for pair, source, target in zip(pairs, sources, targets, strict=True):
            verdict = judge.judge(target)
            followed.append(verdict.shows(pair.captions[1]))
            added = added_of(pair, verdict)
            away = fidelity(source, target, pair, added)
            back = fidelity(source, laid_back(source, target, LAID_BACK_FROM), pair, added)
            plain += [away] if away is not None else []
            laid += [back] if back is not None else []
        followed_in_all += followed
        measurements.append(Measurement("editor", f"{kind}: instruction followed", percent(followed), 90))
    return [
        Measurement("editor", "instruction followed, all kinds alike", percent(followed_in_all), 90),
        *measurements,
        Measurement("editor", "PSNR away from the change", float(np.mean(plain)), 27, "dB"),
        Measurement("editor", "the same, laid back onto the source (median)", float(np.median(laid)), 27, "dB"),
    ]


@click.command()
@click.option("--count", default=100, show_default=True, help="Pairs to measure each kind on.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures here.")
@click.option("--model", default=MINIATURE.model, show_default=True, help="An editor of drawn scenes.")
@click.option("--steps", default=SAMPLED_STEPS, show_default=True, help="Denoising steps.")
def main(count: int, file: Path | None, model: str, steps: int) -> None:
    """Print what the editor reaches and should reach."""
    settings = MINIATURE.model_copy(update={"model": model, "num_inference_steps": steps})
    measurements = measure(settings, count)
    click.echo(table(measurements))
    if file:
        rows = [{**asdict(one), "met": one.met} for one in measurements]
        file.write_text(json.dumps({"count": count, "measurements": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
