"""What can be chosen of an export beside its format."""

from dataclasses import asdict, dataclass
from typing import Any

from imgdiff_assets.common.errors import ImgDiffError


class ExportError(ImgDiffError, ValueError):
    """A place that cannot be exported to, nothing to export, or options that do not go together."""


@dataclass(frozen=True, slots=True)
class Options:
    """`tasks`: which samples (None: all). `boxes`: red boxes are drawn into the images; else the question says where.

    `preference`: each question with a chosen and a rejected answer. `single`: both images in one picture, side by side
    with a black bar of 20 pixels, for models that read one image.
    """

    tasks: tuple[str, ...] | None = None
    boxes: bool = True
    single: bool = False
    preference: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "preference" or value}
