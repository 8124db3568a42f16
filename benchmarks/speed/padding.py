"""What becomes of targets when paddings of prompts of unequal length are read by position, as published.

Of prompts of equal length both edits are one; see `resources.attention.prompt_edits` for what is lost otherwise.
"""

from dataclasses import replace

import numpy as np

from benchmarks.speed.timing import Figure
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.attention.prompt_edits import PromptEdit
from resources.pair_generator import PairGenerator

SOURCE = "a red ball and a blue house on the grass"
TARGETS = {
    "as long": "a red ball and a blue tree on the grass",
    "a word longer": "a red ball and a blue ice cream on the grass",
    "three words longer": "a red ball and a blue house and a tree on the grass",
    "four words shorter": "a red ball on the grass",
}
SEEDS = range(4)


def by_position(edit: PromptEdit, target_tokens: int) -> PromptEdit:
    """The edit with all that stands behind the target's tokens read from the same position of the source."""
    source_map, own_weight = edit.source_map.copy(), edit.own_weight.copy()
    source_map[:, target_tokens:] = np.eye(len(source_map), dtype=np.float32)[:, target_tokens:]
    own_weight[target_tokens:] = 0
    return replace(edit, source_map=source_map, own_weight=own_weight)


def measure() -> list[Figure]:
    """How far the targets of both edits are apart, as shares of a picture's range of values."""
    generator = PairGenerator(load_recipe("miniature").models.pair_generator)
    shared_out, tokenizer = generator._edit, generator.pipeline.tokenizer

    def as_published(source: str, target: str) -> PromptEdit:
        return by_position(shared_out(source, target), len(tokenizer(target).input_ids))

    figures = []
    for length, target in TARGETS.items():
        both = []
        for edit in (shared_out, as_published):
            generator._edit = edit  # type: ignore[method-assign]
            _, targets = generator.generate([SOURCE] * len(SEEDS), [target] * len(SEEDS), SEEDS)
            both.append(np.asarray(targets, np.float64) / 255)
        apart = np.abs(both[0] - both[1])
        spread = (float(apart.max((1, 2, 3)).min()), float(apart.max()))
        what = f"paddings by position / shared out, {length}: largest difference of a target, miniature"
        note = f"{len(SEEDS)} pairs; {apart.mean():.1e} on average"
        figures.append(Figure(what, float(np.median(apart.max((1, 2, 3)))), "", "", spread, note))
    return figures
