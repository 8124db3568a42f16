"""Extents of masks that are enlarged where they must be, against masks enlarged whole by the library."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling import Sam
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score
from torch.nn.functional import interpolate

from resources.sam import mask_extents
from resources.sam.mask_extents import EnlargedMasks, enlarging

SIDE = 64


class Encoder(torch.nn.Module):
    img_size = SIDE


def blobs(count, side):
    """Logits of smooth masks and of noise, one mask that is nowhere and one that is everywhere."""
    random = torch.Generator().manual_seed(0)
    smooth = interpolate(torch.randn(count, 1, 6, 6, generator=random), (side, side), mode="bicubic")[:, 0] * 6 - 8
    noise = torch.randn(count, side, side, generator=random) * 2 - 5
    return torch.cat([smooth, noise, torch.full((1, side, side), -9.0), torch.full((1, side, side), 9.0)])


@pytest.mark.parametrize(
    ("side", "input_size", "size"),
    [
        pytest.param(16, (64, 64), (64, 64), id="four pixels a logit"),
        pytest.param(64, (64, 64), (64, 64), id="as large as the image"),
        pytest.param(16, (64, 43), (64, 43), id="padded"),
        pytest.param(16, (43, 64), (75, 111), id="enlarged twice"),
        pytest.param(16, (64, 47), (300, 221), id="much larger"),
        pytest.param(16, (33, 64), (10, 20), id="fewer pixels than logits"),
        pytest.param(24, (64, 64), (64, 64), id="no whole number of pixels a logit"),
    ],
)
def test_stability_and_boxes_are_those_of_whole_masks(side, input_size, size):
    logits = blobs(20, side)
    whole = Sam.postprocess_masks(Sam(Encoder(), None, None), logits[:, None], input_size, size)[:, 0]
    axes = [enlarging(side, SIDE, *lengths, "cpu") for lengths in zip(input_size, size, strict=True)]
    masks = EnlargedMasks(logits, *axes)
    stability = calculate_stability_score(whole, 0.0, 1.0)
    known = stability[~stability.isnan()]
    for least in (0.0, 0.05, 0.95, 1.0, *known.tolist(), *(known * 0.99).tolist(), *(known * 1.01).tolist()):
        assert torch.equal(masks.stable(0.0, 1.0, least), stability >= least)
    torch.testing.assert_close(
        masks._areas(torch.arange(len(logits)), (0.0,))[0], (whole > 0).sum((1, 2)).float(), atol=0, rtol=0
    )
    wanted = torch.arange(0, len(logits), 2)
    boxes = masks.boxes(wanted, 0.0)
    expected = batched_mask_to_box(whole[wanted] > 0).float()
    # The library's boxes end with the last row and column of the mask.
    expected[:, 2:] += (whole[wanted] > 0).flatten(1).any(1)[:, None]
    assert len(expected.unique(dim=0)) > 5
    torch.testing.assert_close(boxes, expected, atol=0, rtol=0)


def test_no_masks_have_no_extents():
    axis = enlarging(16, SIDE, SIDE, SIDE, "cpu")
    masks = EnlargedMasks(torch.empty(0, 16, 16), axis, axis)
    assert masks.stable(0.0, 1.0, 0.9).shape == (0,)
    assert masks.boxes(torch.tensor([], dtype=torch.long), 0.0).shape == (0, 4)


AXES = [
    enlarging(16, SIDE, *lengths, "cpu")
    for lengths in ((64, 64), (43, 43), (43, 75), (64, 300), (33, 10))  # in cells of 4, 4, 7, 19 and 2 pixels
]


def drawn(logits, rows, columns, threshold):
    """Whole masks, cell by cell by products of matrices."""
    cells = [[axis.weights[cell].nan_to_num() for cell in range(len(axis.pixels))] for axis in (rows, columns)]
    around = torch.nn.functional.pad(
        logits[:, None], [columns.reach - 1] * 2 + [rows.reach - 1] * 2, mode="replicate"
    )[:, 0]
    bands = [
        torch.cat(
            [
                (down[: int(high)] @ around[:, r : r + rows.reach, c : c + columns.reach] @ right[: int(wide)].mT)
                for c, (right, wide) in enumerate(zip(cells[1], columns.pixels, strict=True))
            ],
            2,
        )
        for r, (down, high) in enumerate(zip(cells[0], rows.pixels, strict=True))
    ]
    return torch.cat(bands, 1) > threshold


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.sampled_from(AXES),
    columns=st.sampled_from(AXES),
    grain=st.integers(1, 16),
    threshold=st.floats(-2, 2, width=16),
    offset=st.floats(0, 1, width=16),
    nearly=st.floats(0.9, 1.1),
    crowded=st.sampled_from([0.0, mask_extents.CROWDED, 2.0]),
    peeled=st.integers(0, 4),
)
def test_however_few_cells_are_enlarged_masks_are_as_if_all_were(
    seed, rows, columns, grain, threshold, offset, nearly, crowded, peeled
):
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(3, 1, grain, grain, generator=random) * 3 - torch.rand(3, 1, 1, 1, generator=random) * 4
    logits = interpolate(coarse, (16, 16), mode="bilinear")[:, 0]
    raised, middle, lowered = (
        drawn(logits, rows, columns, limit) for limit in (threshold + offset, threshold, threshold - offset)
    )
    stability = raised.sum((1, 2)) / lowered.sum((1, 2))
    least = nearly * float(stability.nan_to_num()[0])
    masks = EnlargedMasks(logits, rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_extents, "CROWDED", crowded)
        patch.setattr(mask_extents, "PEELED", peeled)
        areas = masks._areas(torch.arange(3), (threshold + offset, threshold - offset))
        stable, boxes = masks.stable(threshold, offset, least), masks.boxes(torch.arange(3), threshold)
    assert [area.tolist() for area in areas] == [mask.sum((1, 2)).tolist() for mask in (raised, lowered)]
    assert stable.tolist() == (stability >= least).tolist()
    for mask, box in zip(middle, boxes.tolist(), strict=True):
        y, x = mask.nonzero(as_tuple=True)
        assert box == ([x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [0, 0, 0, 0])


def a_disk():
    """A mask of radius 20 in the middle of 64 x 64 logits, each of four pixels."""
    logits = (torch.cartesian_prod(*[torch.arange(64.0) - 31.5] * 2).norm(dim=1) - 20).mul(-1).view(1, 64, 64)
    axis = enlarging(64, 256, 256, 256, "cpu")
    return EnlargedMasks(logits, axis, axis)


def test_only_the_outline_of_a_mask_is_enlarged(monkeypatch):
    masks = a_disk()
    enlarged = []
    whole = masks._enlarge
    monkeypatch.setattr(masks, "_enlarge", lambda *cells: enlarged.append(len(cells[0])) or whole(*cells))
    assert masks.stable(0.0, 1.0, (19 / 21) ** 2 - 0.01)
    assert 0 < sum(enlarged) < 0.1 * 2 * 64**2
    enlarged.clear()
    masks.boxes(torch.tensor([0]), 0.0)
    assert 0 < sum(enlarged) < 0.01 * 64**2


@pytest.mark.parametrize(("least", "stable"), [(0.5, True), (0.95, False)])
def test_no_outline_is_enlarged_where_whole_cells_say_how_stable_a_mask_is(monkeypatch, least, stable):
    masks = a_disk()
    monkeypatch.delattr(EnlargedMasks, "_enlarge")
    monkeypatch.delattr(EnlargedMasks, "_of_all")
    assert masks.stable(0.0, 1.0, least).tolist() == [stable]


def test_of_an_edge_only_the_outermost_cells_are_enlarged(monkeypatch):
    """Of noise, where no cell is in the mask as a whole."""
    axis = enlarging(64, 256, 256, 256, "cpu")
    masks = EnlargedMasks(torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0)), axis, axis)
    enlarged = []
    whole = masks._enlarge
    monkeypatch.setattr(masks, "_enlarge", lambda *cells: enlarged.append(len(cells[0])) or whole(*cells))
    masks.boxes(torch.tensor([0]), 1.5)
    assert 0 < sum(enlarged) < 0.1 * 64**2
