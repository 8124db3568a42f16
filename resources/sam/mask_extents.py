"""How stable masks are, and the boxes around them, as if they had been enlarged to the size of their image.

Segment Anything draws a mask as few logits, enlarges them twice by bilinear interpolation (to the model's input, then
to the image), and counts the pixels above a threshold (Kirillov et al., 2023, arXiv 2304.02643). Along an axis both
steps are one weighted mean of neighbouring logits. Pixels with the same neighbours form a cell, and none of them goes
beyond these. So only cells with neighbours on both sides of a threshold, the outline, are enlarged; and of these only
as many as it takes to say whether a mask is stable, and where its edges are. It changes no bit which and how many are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


ROUNDING = 1e-4
"""By how much sums of pixels may be off, relatively: float32 counts to 2^24 one by one."""

PEELED = 4
"""How many times the outermost rows and columns of cells are looked at before all that is left."""
CROWDED = 1 / 8
"""Where more than this share of the cells are outline, it is cheaper to enlarge all."""
CACHED_NUMBERS = 2**18
"""How many pixels of whole masks are enlarged at once."""
FEW_PRODUCTS = 400
"""On a CPU torch multiplies matrices of fewer products number by number: here it is faster for many side by side."""


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

    def have(self, lines: "torch.Tensor") -> "torch.Tensor":
        """Which cells have a pixel among those that are True in (N, H): (N, cells)."""
        return self.pixels.new_zeros(len(lines), len(self.pixels)).index_add(1, self.cell, lines.float()) > 0


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
        self._around = around = pad(logits[:, None], beyond, mode="replicate")[:, 0]
        self._lowest, self._highest = self._extremes(torch.minimum, around), self._extremes(torch.maximum, around)
        (down, high), (right, wide) = (axis.weights.shape[:0:-1] for axis in (rows, columns))
        self._small = logits.is_cpu and high * right * max(down, wide) < FEW_PRODUCTS
        self._drawn = rows.pixels[:, None] * columns.pixels > 0

    def stable(self, threshold: float, offset: float, least: float) -> "torch.Tensor":
        """Return which masks (K,) have an IoU of at least `least` under a lowered and a raised threshold.

        An empty mask has not. Most masks are known by their whole cells, without an outline enlarged.
        """
        raised, lowered = threshold + offset, threshold - offset
        whole, touched = self._lowest > raised, self._highest > lowered
        stable = self._pixels(whole) / self._pixels(touched) > least * (1 + ROUNDING)
        at_most = self._pixels(self._highest > raised) / self._pixels(self._lowest > lowered)
        (doubtful,) = (~stable & ~(at_most < least * (1 - ROUNDING))).nonzero(as_tuple=True)
        if len(doubtful):
            kept, reached = self._areas(doubtful, (raised, lowered))
            stable[doubtful] = kept / reached >= least
        return stable

    def boxes(self, wanted: "torch.Tensor", threshold: float) -> "torch.Tensor":
        """Return float32 boxes (N, 4), xyxy with exclusive ends, around masks `wanted` (N,); zeros around nothing."""
        import torch

        full, partly = self._cells(wanted, threshold)
        rows, columns = _any(full, 2), _any(full, 1)
        maybe_rows, maybe_columns = rows | _any(partly, 2), columns | _any(partly, 1)
        row_lines, column_lines = rows[:, self._rows.cell], columns[:, self._columns.cell]
        # From outside inwards, for an outermost cell mostly has a pixel; in the end whatever may still move an edge.
        for outermost in (True,) * PEELED + (False,):
            # A cell whose row and column both lie between those that are known to the last pixel moves no edge.
            some = partly & ~(_between(rows)[:, :, None] & _between(columns)[:, None])
            outer_rows, outer_columns = _ends(maybe_rows) & ~rows, _ends(maybe_columns) & ~columns
            if outermost:
                some &= outer_rows[:, :, None] | outer_columns[:, None]
            mask, row, column = some.nonzero(as_tuple=True)
            if not len(mask):
                break
            above = self._enlarge(wanted[mask], row, column) > threshold
            for axis, lines, cell, pixels in (
                (self._rows, row_lines, row, above.any(1)),
                (self._columns, column_lines, column, above.any(0)),
            ):
                pixel, number = pixels.nonzero(as_tuple=True)
                lines[mask[number], axis.first[cell[number]] + pixel] = True
            for axis, lines, known, maybe, outer in (
                (self._rows, row_lines, rows, maybe_rows, outer_rows),
                (self._columns, column_lines, columns, maybe_columns, outer_columns),
            ):
                known |= outer & axis.have(lines)
                maybe &= known | ~outer
        edges = []
        for line in (column_lines, row_lines):
            start, end = _first(line), line.shape[1] - _first(line.flip(1))
            edges.append((start, torch.where(_any(line, 1), end, start)))
        (left, right), (top, bottom) = edges
        return torch.stack([left, top, right, bottom], 1).float()

    def _areas(self, wanted: "torch.Tensor", thresholds: Sequence[float]) -> "list[torch.Tensor]":
        """The pixels (N,) of masks `wanted` (N,) above each threshold."""
        full, partly = zip(*(self._cells(wanted, threshold) for threshold in thresholds), strict=True)
        outline = sum(int(cells.count_nonzero()) for cells in partly)
        crowded = self._small and outline > CROWDED * sum(cells.numel() for cells in partly)
        above = (self._of_all if crowded else self._of_outline)(wanted, partly, thresholds)
        return [self._pixels(cells) + pixels for cells, pixels in zip(full, above, strict=True)]

    def _of_outline(
        self, wanted: "torch.Tensor", partly: "Sequence[torch.Tensor]", thresholds: Sequence[float]
    ) -> "Iterator[torch.Tensor]":
        """For each threshold the pixels (N,) above it in some cells (N, rows, columns)."""
        for cells, threshold in zip(partly, thresholds, strict=True):
            mask, row, column = cells.nonzero(as_tuple=True)
            above = (self._enlarge(wanted[mask], row, column) > threshold).sum((0, 1)).float()
            yield above.new_zeros(len(wanted)).index_add(0, mask, above)

    def _of_all(
        self, wanted: "torch.Tensor", partly: "Sequence[torch.Tensor]", thresholds: Sequence[float]
    ) -> "Iterator[torch.Tensor]":
        """As `_of_outline`; all cells are enlarged, those of a few masks at once."""
        import torch

        rows, columns = self._drawn.shape
        down = self._rows.weights.permute(2, 0, 1)[..., None]  # (w, rows, m, 1)
        right = self._columns.weights.permute(1, 2, 0).contiguous()  # (m, w, columns)
        at_once = max(1, CACHED_NUMBERS // (down[0].numel() * columns))
        counts = []
        for some in torch.split(torch.arange(len(wanted), device=wanted.device), at_once):
            around = self._around[wanted[some], :, None]  # (n, rows + w - 1, 1, columns + w - 1)
            lines = _mean((weight, around[:, k : k + rows]) for k, weight in enumerate(down))
            count = lines.new_zeros((len(thresholds), *lines.shape[:3], columns), dtype=torch.uint8)
            for weights in right:
                pixels = _mean((weights[k], lines[..., k : k + columns]) for k in range(right.shape[1]))
                for number, (cells, threshold) in enumerate(zip(partly, thresholds, strict=True)):
                    count[number] += (pixels > threshold) & cells[some, :, None]
            counts.append(count.float().sum((2, 3, 4)))
        yield from torch.cat(counts, 1)

    def _pixels(self, cells: "torch.Tensor") -> "torch.Tensor":
        """How many pixels (K,) there are in some cells (K, rows, columns)."""
        return cells.float() @ self._columns.pixels @ self._rows.pixels

    def _cells(self, wanted: "torch.Tensor", threshold: float) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Which cells (N, rows, columns) are above a threshold as a whole, and which may be so in part."""
        full, touched = (
            (extreme > threshold).index_select(0, wanted) & self._drawn for extreme in (self._lowest, self._highest)
        )
        return full, touched & ~full

    def _extremes(self, either: Callable[..., "torch.Tensor"], logits: "torch.Tensor") -> "torch.Tensor":
        """The lowest or highest of the logits of each cell."""
        for dim, axis in ((1, self._rows), (2, self._columns)):
            cells = len(axis.pixels)
            logits = reduce(either, (logits.narrow(dim, start, cells) for start in range(axis.reach)))
        return logits

    def _enlarge(self, mask: "torch.Tensor", row: "torch.Tensor", column: "torch.Tensor") -> "torch.Tensor":
        """The pixels (m, m, n) of cells; not a number for those that a cell lacks."""
        (rows, down), (columns, right) = ((axis.weights, axis.reach) for axis in (self._rows, self._columns))
        if not self._small:
            windows = self._around.unfold(1, down, 1).unfold(2, right, 1)[mask, row, column]
            return (rows[row] @ windows @ columns[column].mT).permute(1, 2, 0)
        # Cells lie side by side: many short products at once, each summed as torch sums small ones.
        height, width = self._around.shape[1:]
        first, logits = (mask * height + row) * width + column, self._around.view(-1)
        rows, columns = (
            axis.weights.flatten(1)[cell].T.contiguous().view(*axis.weights.shape[1:], len(cell))
            for axis, cell in ((self._rows, row), (self._columns, column))
        )
        lines = [
            _mean((rows[:, k], logits.index_select(0, first + (k * width + beside))) for k in range(down))
            for beside in range(right)
        ]
        return _mean((line[:, None], columns[:, k]) for k, line in enumerate(lines))


def _mean(weighted: "Iterable[tuple[torch.Tensor, torch.Tensor]]") -> "torch.Tensor":
    """The sum of products, one after the other."""
    (weight, value), *more = weighted
    total = weight * value
    for weight, value in more:
        total += weight * value
    return total


def _any(flags: "torch.Tensor", dim: int) -> "torch.Tensor":
    """`flags.any(dim)`, which is slow on a CPU."""
    import torch

    return flags.view(torch.uint8).amax(dim).bool()


def _first(flags: "torch.Tensor") -> "torch.Tensor":
    """Where in each row of (N, L) the first True is; 0 where none is."""
    return flags.byte().argmax(1)


def _ends(flags: "torch.Tensor") -> "torch.Tensor":
    """The first and the last True in each row of (N, L)."""
    count = flags.cumsum(1)
    return flags & ((count == 1) | (count == count[:, -1:]))


def _between(flags: "torch.Tensor") -> "torch.Tensor":
    """Which places of (N, L) have a True at or before them, and one at or after them."""
    return flags.cummax(1).values & flags.flip(1).cummax(1).values.flip(1)
