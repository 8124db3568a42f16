"""CLIP and its kin in the format of open_clip (Radford et al., 2021, arXiv 2103.00020)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.images.crops import squash

CONFIG_NAME = "open_clip_config.json"
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


class OpenClipTowers:
    """See `resources.encoding.towers.Towers`."""

    def __init__(self, folder: Path, dtype: str, device: str) -> None:
        import open_clip
        import torch

        self._device, self._dtype = device, getattr(torch, dtype)
        name = f"local-dir:{folder}"
        self.model = open_clip.create_model(
            name, precision=PRECISIONS[dtype], device=device, require_pretrained=True
        ).eval()
        self._tokenize = open_clip.get_tokenizer(name)
        self.dimension: int = open_clip.get_model_config(name)["embed_dim"]
        preprocessing = open_clip.get_model_preprocess_cfg(self.model)
        size = preprocessing["size"]
        self.size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self._mean, self._std = preprocessing["mean"], preprocessing["std"]
        self._interpolation = preprocessing["interpolation"]

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        pixels = squash(images, self.size, self._mean, self._std, self._device, self._interpolation)
        return self.model.encode_image(pixels.to(self._dtype))

    def encode_texts(self, texts: Sequence[str]) -> Any:
        return self.model.encode_text(self._tokenize(list(texts)).to(self._device))
