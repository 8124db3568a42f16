"""How stable masks are, and the boxes around them, as if they had been enlarged to the size of their image.

Segment Anything draws a mask as few logits, enlarges them twice by bilinear interpolation (to the model's input, then
to the image), and counts the pixels above a threshold (Kirillov et al., 2023, arXiv 2304.02643). Along an axis both
steps are one weighted mean of neighbouring logits. Pixels with the same neighbours form a cell, and none of them goes
beyond these. So only cells with neighbours on both sides of a threshold, the outline, are enlarged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the enlargement: L logits to H pixels in cells of up to m pixels, each from w logits in a row.

    There are L + w - 1 cells; the first and last w - 1 reach beyond the logits, which are repeated there.
    """

    weights: "torch.Tensor"  # (cells, m, w) float32; not a number where a cell has fewer than m pixels
    first: "torch.Tensor"  # (cells,) the first pixel of each cell
    pixels: "torch.Tensor"  # (cells,) float32, how many there are
    cell: "torch.Tensor"  # (H,) the cell of each pixel

    @property
    def reach(self) -> int:
        """How many logits a pixel may depend on: w."""
        return self.weights.shape[2]


def enlarging(logits: int, model_side: int, input_length: int, length: int, device: str) -> Axis:
    """Return how an axis of `logits` is enlarged: to `model_side`, of which the first `input_length` to `length`."""
    import torch
    from torch.nn.functional import interpolate, pad

    unit = torch.eye(logits, device=device)[None]  # what becomes of each logit says how each pixel is made
    scaled = interpolate(unit, model_side, mode="linear")[..., :input_length]
    weights = interpolate(scaled, length, mode="linear")[0].T
    used = (weights != 0).int()
    start, end = used.argmax(1), logits - used.flip(1).argmax(1)
    reach = int((end - start).max())
    # Pixels before the first logit's centre, which have it alone, are the cell before it.
    start = torch.where(end < reach, end - 1, start + reach - 1)
    pixels = start.bincount(minlength=logits + reach - 1)
    first = pixels.cumsum(0) - pixels
    own = pad(weights, (reach - 1, reach - 1)).gather(1, start[:, None] + torch.arange(reach, device=device))
    grouped = own.new_full((len(pixels), int(pixels.max()), reach), torch.nan)
    grouped[start, torch.arange(length, device=device) - first[start]] = own
    return Axis(grouped, first, pixels.float(), start)


class EnlargedMasks:
    """Masks of one image size: logits (K, h, w) float32, and how rows and columns are enlarged."""

    def __init__(self, logits: "torch.Tensor", rows: Axis, columns: Axis) -> None:
        import torch
        from torch.nn.functional import pad

        self._rows, self._columns = rows, columns
        beyond = [columns.reach - 1] * 2 + [rows.reach - 1] * 2
        around = pad(logits[:, None], beyond, mode="replicate")[:, 0]
        self._windows = around.unfold(1, rows.reach, 1).unfold(2, columns.reach, 1)
        self._lowest, self._highest = self._extremes(torch.minimum, around), self._extremes(torch.maximum, around)
        self._drawn = rows.pixels[:, None] * columns.pixels > 0

    def stability(self, threshold: float, offset: float) -> "torch.Tensor":
        """Return the IoU (K,) of each mask under a lowered and a raised threshold; not a number for an empty one."""
        return self._areas(threshold + offset) / self._areas(threshold - offset)

    def boxes(self, wanted: "torch.Tensor", threshold: float) -> "torch.Tensor":
        """Return float32 boxes (N, 4), xyxy with exclusive ends, around masks `wanted` (N,); zeros around nothing."""
        import torch

        full, partly = (cells.index_select(0, wanted) for cells in self._cells(threshold))
        rows, columns = _any(full, 2), _any(full, 1)
        # A cell whose row and column both lie between those of full cells moves no edge.
        partly &= ~(_between(rows)[:, :, None] & _between(columns)[:, None])
        mask, row, column = partly.nonzero(as_tuple=True)
        above = self._enlarge(wanted[mask], row, column) > threshold
        edges = []
        for axis, occupied, cell, pixels in (
            (self._columns, columns, column, above.any(1)),
            (self._rows, rows, row, above.any(2)),
        ):
            line = occupied[:, axis.cell]
            number, pixel = pixels.nonzero(as_tuple=True)
            line[mask[number], axis.first[cell[number]] + pixel] = True
            start, end = _first(line), line.shape[1] - _first(line.flip(1))
            edges.append((start, torch.where(_any(line, 1), end, start)))
        (left, right), (top, bottom) = edges
        return torch.stack([left, top, right, bottom], 1).float()

    def _areas(self, threshold: float) -> "torch.Tensor":
        """The pixels (K,) above a threshold."""
        full, partly = self._cells(threshold)
        cells = partly.nonzero(as_tuple=True)
        areas = full.float() @ self._columns.pixels @ self._rows.pixels
        return areas.index_add(0, cells[0], self._enlarge(*cells).gt(threshold).sum((1, 2)).float())

    def _cells(self, threshold: float) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Which cells (K, rows, columns) are above a threshold as a whole, and which may be so in part."""
        full = (self._lowest > threshold) & self._drawn
        return full, (self._highest > threshold) & self._drawn & ~full

    def _extremes(self, either: Callable[..., "torch.Tensor"], logits: "torch.Tensor") -> "torch.Tensor":
        """The lowest or highest of the logits of each cell."""
        for dim, axis in ((1, self._rows), (2, self._columns)):
            cells = len(axis.pixels)
            logits = reduce(either, (logits.narrow(dim, start, cells) for start in range(axis.reach)))
        return logits

    def _enlarge(self, mask: "torch.Tensor", row: "torch.Tensor", column: "torch.Tensor") -> "torch.Tensor":
        """The pixels (n, m, m) of cells; not a number for those that a cell lacks."""
        return self._rows.weights[row] @ self._windows[mask, row, column] @ self._columns.weights[column].mT


def _any(flags: "torch.Tensor", dim: int) -> "torch.Tensor":
    """`flags.any(dim)`, which is slow on a CPU."""
    import torch

    return flags.view(torch.uint8).amax(dim).bool()


def _first(flags: "torch.Tensor") -> "torch.Tensor":
    """Where in each row of (N, L) the first True is; 0 where none is."""
    return flags.byte().argmax(1)


def _between(flags: "torch.Tensor") -> "torch.Tensor":
    """Which places of (N, L) have a True at or before them, and one at or after them."""
    return flags.cummax(1).values & flags.flip(1).cummax(1).values.flip(1)
