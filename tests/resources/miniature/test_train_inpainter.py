"""Training the inpainter, for a few steps: it saves a pipeline whose UNet sees the mask."""

from pathlib import Path

import numpy as np
import pytest

from resources.inpainter import Inpainter, InpainterSettings
from resources.miniature import train_inpainter


def test_it_saves_a_pipeline_that_erases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SCENES", 6), ("STEPS", 2), ("BATCH", 2)):
        monkeypatch.setattr(train_inpainter, name, value)
    train_inpainter.train(tmp_path / "inpainter")
    settings = InpainterSettings(model=str(tmp_path / "inpainter"), image_size=64, prompt="nothing", device="cpu")
    inpainter = Inpainter(settings)
    assert inpainter.pipeline.unet.config.in_channels == 9
    image, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), bool)
    mask[10:30, 20:50] = True
    (erased,) = inpainter.erase([image], [mask], [1])
    assert erased[mask].any()
    assert not erased[~mask].any()
