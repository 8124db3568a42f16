"""An object replaced by another."""

from imgdiff_assets.method.change import OBJECT, check
from imgdiff_assets.method.kind import OBJECT_REPLACED, Example, Kind

KIND = Kind(
    name=OBJECT_REPLACED,
    differs="an object is another",
    called=OBJECT,
    request="Swap exactly one object of this caption for another object that could be in the same place and looks "
    "clearly different.",
    names="name the object",
    check=check,
    told="replace the {source} with {target}",
    right=(
        Example("A dog on a sofa.", "A cat on a sofa.", "dog", "cat", "object"),
        Example("A woman holds a wine glass", "A woman holds an apple", "wine glass", "apple"),
    ),
    wrong=(
        Example("A red car", "A blue car", "red car", "blue car", "object"),
        Example("A dog on a sofa.", "A cat under a sofa.", "dog", "cat", "object"),
    ),
)
