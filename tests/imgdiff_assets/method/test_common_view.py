import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from imgdiff_assets.method.common_view import laid_together


@pytest.fixture(scope="module")
def photograph():
    return np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((320, 214), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(("dx", "dy"), [(9, 0), (-6, 5), (0, -11)])
def test_a_shifted_picture_is_laid_back(photograph, dx, dy):
    height, width = 180, 280
    first = photograph[16 : 16 + height, 20 : 20 + width]
    second = photograph[16 - dy : 16 - dy + height, 20 - dx : 20 - dx + width].copy()
    second[60:100, 100:150] = 255 - second[60:100, 100:150]
    source, target, placed = laid_together(first, second)
    assert placed is not None
    assert source.shape == target.shape
    assert source.shape[0] >= height - abs(dy) - 2
    assert source.shape[1] >= width - abs(dx) - 2
    off = np.abs(source.astype(int) - target).max(axis=2)
    assert np.median(off) <= 3
    assert np.median(np.abs(first.astype(int) - second)) > 5 * max(np.median(off), 1)


def test_a_zoomed_picture_is_laid_back(photograph):
    height, width = photograph.shape[:2]
    larger = Image.fromarray(photograph).resize((round(width * 1.06), round(height * 1.06)), Image.Resampling.BICUBIC)
    left, top = (larger.width - width) // 2, (larger.height - height) // 2
    zoomed = np.asarray(larger.crop((left, top, left + width, top + height)))
    source, target, placed = laid_together(photograph, zoomed)
    assert placed is not None
    assert placed.zoom == pytest.approx(1.06, abs=0.01)
    off = np.abs(source.astype(int) - target).mean()
    assert off < 0.3 * np.abs(photograph.astype(int) - zoomed).mean()


def test_pictures_that_lie_on_each_other_stay_as_they_are(photograph):
    changed = photograph.copy()
    changed[50:90, 50:90] = 0
    source, target, placed = laid_together(photograph, changed)
    assert placed is None
    assert source is photograph
    assert target is changed
