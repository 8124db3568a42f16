"""Images and texts as vectors of one space, by CLIP and its kin (Radford et al., 2021, arXiv 2103.00020)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from resources.images.crops import distinct, squash
from resources.loading import devices, weights
from resources.loading.settings import ModelSettings

Vectors = NDArray[np.float32]

CONFIG_NAME = "open_clip_config.json"
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


class ImageTextEncoderSettings(ModelSettings):
    """Settings of the image-text encoder.

    `model` is a folder or hub id in the format of open_clip: `open_clip_config.json`, `open_clip_model.safetensors`
    and, unless the model uses CLIP's own vocabulary, tokenizer files.
    """

    role: ClassVar[str] = "image_text_encoder"


class ImageTextEncoder:
    """Encodes images and texts. Slow to make (it loads the weights), so get it from `devices.load`.

    The cosine similarity of two encodings is their dot product.
    """

    def __init__(self, settings: ImageTextEncoderSettings) -> None:
        import open_clip
        import torch

        self.settings = settings
        self._device = devices.resolve(settings.device)
        self._dtype = getattr(torch, settings.dtype)
        folder = weights.locate(settings.model, settings.revision)
        if not (folder / CONFIG_NAME).is_file():
            raise FileNotFoundError(
                f"The image-text encoder's folder {folder} has no {CONFIG_NAME}: "
                "set `model` to a folder in open_clip's format."
            )
        name = f"local-dir:{folder}"
        self._model = open_clip.create_model(
            name, precision=PRECISIONS[settings.dtype], device=self._device, require_pretrained=True
        ).eval()
        self._tokenize = open_clip.get_tokenizer(name)
        self._dimension: int = open_clip.get_model_config(name)["embed_dim"]
        preprocessing = open_clip.get_model_preprocess_cfg(self._model)
        size = preprocessing["size"]
        self._size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self._mean, self._std = preprocessing["mean"], preprocessing["std"]
        self._interpolation = preprocessing["interpolation"]

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Return vectors of length 1, float32 (N, D), for images (H, W, 3) of any shapes, each seen whole.

        The same image, or the same region of one, is encoded once.
        """

        def encode(batch: Sequence[NDArray[np.uint8]]) -> Any:
            pixels = squash(batch, self._size, self._mean, self._std, self._device, self._interpolation)
            return self._model.encode_image(pixels.to(self._dtype))

        different, places = distinct(images)
        return self._in_batches(encode, different)[places]

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of length 1, float32 (N, D); what exceeds the model's context is cut off.

        The same text is encoded once.
        """

        def encode(batch: Sequence[str]) -> Any:
            return self._model.encode_text(self._tokenize(list(batch)).to(self._device))

        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        return self._in_batches(encode, list(places))[[places[text] for text in texts]]

    def _in_batches(self, encode: Callable[[Sequence[Any]], Any], items: Sequence[Any]) -> Vectors:
        import torch
        from torch.nn import functional

        vectors = np.empty((len(items), self._dimension), np.float32)
        size = self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(items), size):
                encoded = encode(items[start : start + size]).float()
                vectors[start : start + size] = functional.normalize(encoded, dim=-1).cpu().numpy()
        return vectors
