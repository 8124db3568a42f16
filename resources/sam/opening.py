"""Which Segment Anything is in a folder: the first, in this project's format, or a later one in transformers'."""

from collections.abc import Mapping
from typing import Any

from resources.loading import devices, weights
from resources.loading.model_kinds import segmenter_kind
from resources.sam.sam2 import Sam2Segmenter
from resources.sam.sam3 import Sam3Segmenter
from resources.segmenter import Segmenter, SegmenterSettings

CLASSES: Mapping[str, type[Any]] = {"Sam2Model": Sam2Segmenter, "Sam3Model": Sam3Segmenter}


def open_segmenter(settings: SegmenterSettings) -> Segmenter | Sam2Segmenter | Sam3Segmenter:
    """The loaded segmenter. Raises WeightsMissing."""
    kind = segmenter_kind(weights.locate(settings.model, settings.revision))
    opened: Segmenter | Sam2Segmenter | Sam3Segmenter = devices.load(CLASSES[kind] if kind else Segmenter, settings)
    return opened
