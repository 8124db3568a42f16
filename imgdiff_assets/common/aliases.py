"""Types that many modules name: rows, columns, arrays of one dtype."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Row = dict[str, Any]
"""A row of a table, by column."""

Columns = Mapping[str, npt.NDArray[Any]]
"""Columns of equal length: float64 with NaN for null where they are numbers, else objects."""

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
"""An image, (H, W, 3) RGB, unless said otherwise."""

Say = Callable[[str], None]
"""Takes a sentence to be shown or logged."""
