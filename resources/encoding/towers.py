"""What the formats of encoders have in common: pictures and texts in, vectors of any length out."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Towers(Protocol):
    """A loaded model; batches go in whole, and float tensors (N, `dimension`) come out, not yet of length 1."""

    dimension: int

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Any: ...

    def encode_texts(self, texts: Sequence[str]) -> Any: ...
