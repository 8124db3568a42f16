"""Encoders in the format of transformers: SigLIP and SigLIP 2 (Tschannen et al., 2025, arXiv 2502.14786), CLIP, and
encoders of pictures alone such as DINOv3 (Siméoni et al., 2025, arXiv 2508.10104).

Pictures are squashed to the model's size and seen whole, as everywhere here; a model of any shape (SigLIP 2 "NaFlex")
sees them in theirs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.images.crops import Interpolation, squash
from resources.loading.failures import WeightsMissing
from resources.loading.transformers_models import load_model

BILINEAR = 2
"""Pillow's number for it, as configurations of image processors have it."""


class PictureTower:
    """An encoder of pictures alone: what its transformer pools of a picture."""

    def __init__(self, folder: Path, dtype: str, device: str) -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModel

        self._device, self._dtype = device, getattr(torch, dtype)
        self.model = load_model(AutoModel, folder, dtype, device)
        self._processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
        self.any_shape = self.model.config.model_type == "siglip2"
        self._size = (0, 0) if self.any_shape else _size(self._processor)
        self.dimension = self._dimension()

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        """See `resources.encoding.towers.Towers`."""
        if self.any_shape:
            inputs = self._processor(images=list(images), return_tensors="pt").to(self._device)
            inputs["pixel_values"] = inputs["pixel_values"].to(self._dtype)
            return self._pooled(inputs)
        how: Interpolation = "bilinear" if self._processor.resample == BILINEAR else "bicubic"
        mean, std = self._processor.image_mean, self._processor.image_std
        pixels = squash(images, self._size, mean, std, self._device, how)
        return self._pooled({"pixel_values": pixels.to(self._dtype)})

    def _pooled(self, inputs: Mapping[str, Any]) -> Any:
        return self.model(**inputs).pooler_output

    def _dimension(self) -> int:
        return int(self.model.config.hidden_size)


class TransformersTowers(PictureTower):
    """An encoder of pictures and texts; see `resources.encoding.towers.Towers`."""

    def __init__(self, folder: Path, dtype: str, device: str) -> None:
        from transformers import AutoTokenizer

        super().__init__(folder, dtype, device)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._longest = self.model.config.text_config.max_position_embeddings
        # SigLIP was trained on texts that are filled up, and sees what they are filled with; CLIP must not.
        self._filled = self.model.config.model_type != "clip"

    def encode_texts(self, texts: Sequence[str]) -> Any:
        inputs = self._tokenizer(
            list(texts),
            padding="max_length" if self._filled else True,
            max_length=self._longest,
            truncation=True,
            return_attention_mask=not self._filled,
            return_token_type_ids=False,
            return_tensors="pt",
        ).to(self._device)
        return self.model.get_text_features(**inputs).pooler_output

    def _pooled(self, inputs: Mapping[str, Any]) -> Any:
        return self.model.get_image_features(**inputs).pooler_output

    def _dimension(self) -> int:
        config = self.model.config
        return int(config.projection_dim if config.model_type == "clip" else config.vision_config.hidden_size)


def _size(processor: Any) -> tuple[int, int]:
    """Height and width that a picture is squashed to."""
    size = processor.crop_size if getattr(processor, "do_center_crop", False) else processor.size
    values = {name: getattr(size, name, None) for name in ("height", "width", "shortest_edge")}
    side = values["shortest_edge"]
    height, width = values["height"] or side, values["width"] or side
    if not height or not width:
        raise WeightsMissing("The encoder's preprocessor_config.json does not say how large its pictures are.")
    return int(height), int(width)
