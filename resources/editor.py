"""Pictures changed as an instruction says: an editing model, whichever of diffusers' pipelines it is of."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from resources.loading.image_pipelines import EDITING, allowed_size, make_pictures, open_pipeline
from resources.loading.settings import ImageModelSettings

Pixels = NDArray[np.uint8]


class EditorSettings(ImageModelSettings):
    """`model` is a saved diffusers pipeline that edits, or what the server at `base_url` calls one."""

    role: ClassVar[str] = "editor"

    image_size: int = Field(
        default=1024,
        ge=8,
        description="The longer side at which the model sees a picture, in pixels; some models have a size of their "
        "own. What it makes is scaled to the picture's size.",
    )
    image_guidance_scale: float = Field(
        default=1.5, ge=0, description="How closely an InstructPix2Pix model keeps to the picture; others do not ask."
    )


class Editor:
    """Changes pictures. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: EditorSettings) -> None:
        """Load the pipeline.

        Raises:
            WeightsMissing: the weights are not on this machine, or are not a saved pipeline that edits.
        """
        self.settings = settings
        self.pipeline, self._handling = open_pipeline(settings, EDITING)

    def edit(self, sources: Sequence[Pixels], instructions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """Return each source (H, W, 3), of any shape, as its instruction changes it: RGB uint8 of the source's shape.

        All noise of a row is drawn in float32 on the CPU from its own seed, so a target depends on its source,
        instruction and seed only, not on the rows beside it.

        Raises:
            ValueError: there are not as many instructions and seeds as sources.
        """
        check_rows(sources, instructions, seeds)
        targets: dict[int, Pixels] = {}
        for size, rows in rows_by_size([self._working_size(source) for source in sources]).items():
            made = make_pictures(
                self.pipeline,
                self._handling,
                self.settings,
                size,
                [seeds[row] for row in rows],
                image=[resized(sources[row], size) for row in rows],
                prompt=[instructions[row] for row in rows],
            )
            for row, picture in zip(rows, made, strict=True):
                height, width = sources[row].shape[:2]
                targets[row] = np.asarray(resized(picture, (width, height)))
        return [targets[row] for row in range(len(sources))]

    def _working_size(self, source: Pixels) -> tuple[int, int]:
        height, width = source.shape[:2]
        scale = self.settings.image_size / max(height, width)
        return allowed_size(self.pipeline, self._handling, width * scale, height * scale)


def check_rows(sources: Sequence[Any], instructions: Sequence[Any], seeds: Sequence[Any]) -> None:
    """Raise ValueError unless there are as many of each."""
    if not len(sources) == len(instructions) == len(seeds):
        raise ValueError(
            f"An edit is a source, an instruction and a seed, but there are {len(sources)}, {len(instructions)} and "
            f"{len(seeds)} of them."
        )


def rows_by_size(sizes: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    """The rows of each size, in order."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row, size in enumerate(sizes):
        rows.setdefault(size, []).append(row)
    return rows


def resized(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    """The picture (H, W, 3) scaled to `size`, (width, height); untouched where it has it."""
    image = Image.fromarray(picture)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
