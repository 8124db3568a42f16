"""Extents of masks that are enlarged where they must be, against masks enlarged whole by the library."""

import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score
from torch.nn.functional import interpolate

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
    torch.testing.assert_close(
        masks.stability(0.0, 1.0), calculate_stability_score(whole, 0.0, 1.0), atol=1e-6, rtol=0, equal_nan=True
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
    assert masks.stability(0.0, 1.0).shape == (0,)
    assert masks.boxes(torch.tensor([], dtype=torch.long), 0.0).shape == (0, 4)


def test_only_the_outline_of_a_mask_is_enlarged(monkeypatch):
    disk = (torch.cartesian_prod(*[torch.arange(64.0) - 31.5] * 2).norm(dim=1) - 20).mul(-1).view(1, 64, 64)
    axis = enlarging(64, 256, 256, 256, "cpu")
    masks = EnlargedMasks(disk, axis, axis)
    enlarged = []
    whole = masks._enlarge
    monkeypatch.setattr(masks, "_enlarge", lambda *cells: enlarged.append(len(cells[0])) or whole(*cells))
    masks.stability(0.0, 1.0)
    masks.boxes(torch.tensor([0]), 0.0)
    assert 0 < sum(enlarged[:2]) < 0.1 * 2 * 64**2
    assert 0 < enlarged[2] < 0.01 * 64**2
