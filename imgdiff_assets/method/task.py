"""What a task is, ours or one that an installed package offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.method.wordings import check


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of sample.

    `ask(known, first)` gets what is known of a region and the side shown first (`source` or `target`), and returns
    the `subject` asked about (or None) and the `answer`, as texts; None where the task has nothing to ask. It must
    give the same each time. Known, by name, are

    - of the caption: `caption_id`, `source_caption`, `target_caption`, `split` (`train` or `validation`), and what was
      replaced by what: `source_object`, `target_object`, `change_kind`, where it is known, and `asked_kind`, the kind
      that was asked for (None: an object replaced);
    - of the pair: `pair_id`, `source_hash`, `target_hash`, `width`, `height` (pixels), `image_similarity` (cosine),
      `too_similar` (whether the pair was rejected as such, for the two images show the same);
    - of the region: `region_id`, `x1`, `y1`, `x2`, `y2` (pixels), `box_text` (the box as answers tell it),
      `source_region_caption`, `target_region_caption`, `difference_caption` (which calls the source the left image),
      as the captioner gave them, `source_phrase`, `target_phrase`, `difference`, as sentences need them,
      `caption_similarity` (cosine), and how well each caption fits its own side's crop and the other side's:
      `source_match_itc`, `source_mismatch_itc`, the same of `target`, and the same with `itm`. `kept` says whether
      the region's captions passed their filters; where they did not, the sample is set aside. `differences`, of a
      task that is asked once per pair: `difference` and `box_text` of each kept region, from left to right.

    `language` is the recipe's. Special tokens are taken out of subjects and answers.

    Only `which_image` is asked of erased regions too, and only `same_or_different` of pairs that are too similar: the
    one knows `about` as well (the side that the text asked about is of), the other knows no region.

    `once_per_pair`: of all regions of a pair only one is asked about. `marked`: the region is marked in the images, or
    told in the question. `shuffled`: which image is first is chosen by seed. `mismatch`: it reads how well captions
    fit the other side, which is measured only where a task of the recipe does. `version` is raised when subjects or
    answers change. Raises ValueError for questions that cannot be asked.
    """

    name: str
    questions: tuple[str, ...]
    ask: Callable[[Mapping[str, Any], str], Row | None]
    once_per_pair: bool = False
    marked: bool = False
    shuffled: bool = True
    mismatch: bool = True
    version: int = 1

    def __post_init__(self) -> None:
        check(self.questions)
